#include <guiddef.h>
