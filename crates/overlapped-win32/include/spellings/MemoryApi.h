#include <memoryapi.h>
