#include <errhandlingapi.h>
