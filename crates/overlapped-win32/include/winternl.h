#pragma once
#pragma GCC system_header
#include <ntstatus.h>
