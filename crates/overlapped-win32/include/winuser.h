/* What servers use of the windows: formatted text, and keys. */
#ifndef _WINUSER_
#define _WINUSER_
#pragma GCC system_header
#include <windef.h>
#include <stdio.h>
#include <string.h>

#define MB_OK 0x00000000
#define MB_ICONERROR 0x00000010
#define VK_ESCAPE 0x1b
#define VK_SPACE 0x20
#define VK_RETURN 0x0d
#define VK_F1 0x70

OVERLAPPED_BEGIN
SHORT GetAsyncKeyState(int key);
SHORT GetKeyState(int key);
int MessageBoxA(HWND window, LPCSTR text, LPCSTR title, UINT type);
int MessageBoxW(HWND window, LPCWSTR text, LPCWSTR title, UINT type);
LPSTR CharLowerA(LPSTR text);
LPSTR CharUpperA(LPSTR text);
OVERLAPPED_END

OVERLAPPED_INLINE int wvsprintfA(LPSTR to, LPCSTR format, va_list arguments)
{
    return overlapped_vformat(to, 1025, format, arguments);
}
OVERLAPPED_INLINE int wsprintfA(LPSTR to, LPCSTR format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = wvsprintfA(to, format, arguments);
    va_end(arguments);
    return length;
}

#endif
