#pragma once
#pragma GCC system_header
#include <winbase.h>
