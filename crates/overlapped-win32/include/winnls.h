#pragma once
#pragma GCC system_header
#include <stringapiset.h>
