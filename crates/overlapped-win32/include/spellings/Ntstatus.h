#include <ntstatus.h>
