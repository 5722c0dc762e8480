/* Times of day. */
#ifndef _TIMEZONEAPI_H_
#define _TIMEZONEAPI_H_
#pragma GCC system_header
#include <minwinbase.h>

OVERLAPPED_BEGIN
BOOL FileTimeToSystemTime(const FILETIME *from, LPSYSTEMTIME to);
BOOL SystemTimeToFileTime(const SYSTEMTIME *from, LPFILETIME to);
BOOL FileTimeToLocalFileTime(const FILETIME *from, LPFILETIME to);
BOOL LocalFileTimeToFileTime(const FILETIME *from, LPFILETIME to);
LONG CompareFileTime(const FILETIME *one, const FILETIME *other);
OVERLAPPED_END

#endif
