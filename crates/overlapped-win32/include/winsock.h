/* Winsock 1 is part of Winsock 2, and so is its header. */
#pragma once
#pragma GCC system_header
#include <winsock2.h>
#include <mswsock.h>
