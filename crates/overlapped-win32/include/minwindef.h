#pragma once
#pragma GCC system_header
#include <windef.h>
