#pragma once
#pragma GCC system_header
#include <processthreadsapi.h>
