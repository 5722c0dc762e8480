/* Text that is ANSI, or wide with _UNICODE. */
#ifndef _INC_TCHAR
#define _INC_TCHAR
#pragma GCC system_header
#include <windef.h>
#include <overlapped/crt.h>

#if defined(_UNICODE) && !defined(UNICODE)
#error "_UNICODE without UNICODE: define both, or neither"
#endif
#ifdef UNICODE
#error "<tchar.h> is ANSI only so far: wide text has 16-bit units, and libc's functions want 32. Leave out UNICODE."
#endif
typedef char _TCHAR, _TSCHAR, _TUCHAR;
#define _T(text) __TEXT(text)
#define __T(text) __TEXT(text)
#define _tmain main
#define _tprintf printf
#define _tprintf_s printf_s
#define _ftprintf fprintf
#define _ftprintf_s fprintf_s
#define _stprintf sprintf
#define _stprintf_s sprintf_s
#define _sntprintf _snprintf
#define _sntprintf_s _snprintf_s
#define _vstprintf vsprintf
#define _vstprintf_s vsprintf_s
#define _vsntprintf _vsnprintf
#define _vsntprintf_s _vsnprintf_s
#define _vtprintf vprintf
#define _tcslen strlen
#define _tcscpy strcpy
#define _tcscpy_s strcpy_s
#define _tcsncpy strncpy
#define _tcsncpy_s strncpy_s
#define _tcscat strcat
#define _tcscat_s strcat_s
#define _tcscmp strcmp
#define _tcsncmp strncmp
#define _tcsicmp strcasecmp
#define _tcsnicmp strncasecmp
#define _tcschr strchr
#define _tcsrchr strrchr
#define _tcsstr strstr
#define _tcstok strtok
#define _tcstok_s strtok_s
#define _tcsdup strdup
#define _tcstol strtol
#define _tcstoul strtoul
#define _ttoi atoi
#define _tstoi atoi
#define _ttol atol
#define _itot _itoa
#define _tfopen fopen
#define _tfopen_s fopen_s
#define _fgetts fgets
#define _fputts fputs
#define _putts puts
#define _tscanf scanf
#define _tscanf_s scanf_s
#define _stscanf sscanf
#define _stscanf_s sscanf_s
#define _totlower tolower
#define _totupper toupper
#define _istdigit isdigit
#define _istspace isspace
#define _tgetenv getenv
#define _tsystem system
#define _TEOF EOF
#define _TINT int

#endif
