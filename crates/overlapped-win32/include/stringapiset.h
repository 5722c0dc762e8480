/* From one encoding to another. */
#ifndef _APISETSTRING_
#define _APISETSTRING_
#pragma GCC system_header
#include <windef.h>

#define CP_ACP 0
#define CP_OEMCP 1
#define CP_UTF7 65000
#define CP_UTF8 65001
#define MB_PRECOMPOSED 0x00000001
#define MB_ERR_INVALID_CHARS 0x00000008
#define WC_ERR_INVALID_CHARS 0x00000080

OVERLAPPED_BEGIN
int MultiByteToWideChar(UINT page, DWORD flags, LPCCH from, int from_length, LPWSTR to, int to_length);
int WideCharToMultiByte(UINT page, DWORD flags, LPCWCH from, int from_length, LPSTR to, int to_length, LPCCH other,
                        LPBOOL used_other);
UINT GetACP(VOID);
UINT GetOEMCP(VOID);
OVERLAPPED_END

#endif
