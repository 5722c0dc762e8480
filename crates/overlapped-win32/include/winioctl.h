#pragma once
#pragma GCC system_header
#include <ioapiset.h>
