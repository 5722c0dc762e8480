/* All of it, Winsock as well unless WIN32_LEAN_AND_MEAN says no. */
#ifndef _WINDOWS_
#define _WINDOWS_
#pragma GCC system_header

#ifndef _INC_WINDOWS
#define _INC_WINDOWS
#endif
#include <sdkddkver.h>
#include <windef.h>
#include <winnt.h>
#include <winbase.h>
#include <consoleapi.h>
#include <winuser.h>
#include <overlapped/crt.h>
#ifndef WIN32_LEAN_AND_MEAN
#include <mmsystem.h>
#ifndef _WINSOCKAPI_
#include <winsock2.h>
#include <mswsock.h>
#endif
#endif

#endif
