#include <fileapi.h>
