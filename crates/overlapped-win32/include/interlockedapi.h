#pragma once
#pragma GCC system_header
#include <winnt.h>
