#pragma once
#pragma GCC system_header
#include <timeapi.h>
