/* The console. */
#ifndef _APISETCONSOLE_
#define _APISETCONSOLE_
#pragma GCC system_header
#include <minwinbase.h>

#define STD_INPUT_HANDLE ((DWORD)-10)
#define STD_OUTPUT_HANDLE ((DWORD)-11)
#define STD_ERROR_HANDLE ((DWORD)-12)
#define CTRL_C_EVENT 0
#define CTRL_BREAK_EVENT 1
#define CTRL_CLOSE_EVENT 2
#define CTRL_LOGOFF_EVENT 5
#define CTRL_SHUTDOWN_EVENT 6
#define ENABLE_PROCESSED_INPUT 0x0001
#define ENABLE_LINE_INPUT 0x0002
#define ENABLE_ECHO_INPUT 0x0004
#define FOREGROUND_BLUE 0x0001
#define FOREGROUND_GREEN 0x0002
#define FOREGROUND_RED 0x0004
#define FOREGROUND_INTENSITY 0x0008

typedef struct _COORD {
    SHORT X;
    SHORT Y;
} COORD, *PCOORD;
typedef BOOL(WINAPI *PHANDLER_ROUTINE)(DWORD event);

OVERLAPPED_BEGIN
HANDLE GetStdHandle(DWORD which);
BOOL SetStdHandle(DWORD which, HANDLE handle);
BOOL AllocConsole(VOID);
BOOL FreeConsole(VOID);
BOOL GetConsoleMode(HANDLE console, LPDWORD mode);
BOOL SetConsoleMode(HANDLE console, DWORD mode);
UINT GetConsoleCP(VOID);
HWND GetConsoleWindow(VOID);
UINT GetConsoleOutputCP(VOID);
BOOL SetConsoleCP(UINT page);
BOOL SetConsoleOutputCP(UINT page);
BOOL SetConsoleTitleA(LPCSTR title);
BOOL SetConsoleTitleW(LPCWSTR title);
BOOL SetConsoleTextAttribute(HANDLE console, WORD attributes);
BOOL SetConsoleCursorPosition(HANDLE console, COORD position);
BOOL SetConsoleCtrlHandler(PHANDLER_ROUTINE handler, BOOL add);
BOOL GenerateConsoleCtrlEvent(DWORD event, DWORD group);
BOOL WriteConsoleA(HANDLE console, const VOID *text, DWORD length, LPDWORD written, LPVOID reserved);
BOOL WriteConsoleW(HANDLE console, const VOID *text, DWORD length, LPDWORD written, LPVOID reserved);
BOOL ReadConsoleA(HANDLE console, LPVOID text, DWORD length, LPDWORD read, LPVOID control);
OVERLAPPED_END

#endif
