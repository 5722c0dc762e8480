#pragma once
#pragma GCC system_header
#include <consoleapi.h>
