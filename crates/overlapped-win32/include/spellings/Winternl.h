#include <winternl.h>
