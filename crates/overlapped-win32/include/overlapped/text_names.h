/* Names that stand for the ANSI form of a call, or with UNICODE for the wide one where there is one. */
#ifndef OVERLAPPED_TEXT_NAMES_H
#define OVERLAPPED_TEXT_NAMES_H
#pragma GCC system_header

#ifdef UNICODE
#define CreateFile CreateFileW
#define CreateEvent CreateEventW
#define CreateMutex CreateMutexW
#define CreateSemaphore CreateSemaphoreW
#define CreateWaitableTimer CreateWaitableTimerW
#define FormatMessage FormatMessageW
#define OutputDebugString OutputDebugStringW
#define WriteConsole WriteConsoleW
#define SetConsoleTitle SetConsoleTitleW
#define DeleteFile DeleteFileW
#define GetFileAttributes GetFileAttributesW
#define GetModuleHandle GetModuleHandleW
#define LoadLibrary LoadLibraryW
#define lstrlen lstrlenW
#define CreateEventEx CreateEventExW
#define CreateMutexEx CreateMutexExW
#define CreateSemaphoreEx CreateSemaphoreExW
#define OpenEvent OpenEventW
#define OpenMutex OpenMutexW
#define OpenSemaphore OpenSemaphoreW
#define GetComputerName GetComputerNameW
#define GetModuleFileName GetModuleFileNameW
#define GetEnvironmentVariable GetEnvironmentVariableW
#define LoadLibraryEx LoadLibraryExW
#define MessageBox MessageBoxW
#define lstrcpy lstrcpyW
#define lstrcpyn lstrcpynW
#define lstrcat lstrcatW
#define lstrcmp lstrcmpW
#define lstrcmpi lstrcmpiW
#else
#define CreateFile CreateFileA
#define CreateEvent CreateEventA
#define CreateMutex CreateMutexA
#define CreateSemaphore CreateSemaphoreA
#define CreateWaitableTimer CreateWaitableTimerA
#define FormatMessage FormatMessageA
#define OutputDebugString OutputDebugStringA
#define WriteConsole WriteConsoleA
#define SetConsoleTitle SetConsoleTitleA
#define DeleteFile DeleteFileA
#define GetFileAttributes GetFileAttributesA
#define GetModuleHandle GetModuleHandleA
#define LoadLibrary LoadLibraryA
#define lstrlen lstrlenA
#define CreateEventEx CreateEventExA
#define CreateMutexEx CreateMutexExA
#define CreateSemaphoreEx CreateSemaphoreExA
#define OpenEvent OpenEventA
#define OpenMutex OpenMutexA
#define OpenSemaphore OpenSemaphoreA
#define GetComputerName GetComputerNameA
#define GetModuleFileName GetModuleFileNameA
#define GetEnvironmentVariable GetEnvironmentVariableA
#define LoadLibraryEx LoadLibraryExA
#define MessageBox MessageBoxA
#define lstrcpy lstrcpyA
#define lstrcpyn lstrcpynA
#define lstrcat lstrcatA
#define lstrcmp lstrcmpA
#define lstrcmpi lstrcmpiA
#endif

/* Of these there is only the one. */
#define GetFileAttributesEx GetFileAttributesExA
#define CreateDirectory CreateDirectoryA
#define RemoveDirectory RemoveDirectoryA
#define FindFirstFile FindFirstFileA
#define FindNextFile FindNextFileA
#define GetTempPath GetTempPathA
#define GetTempFileName GetTempFileNameA
#define GetFullPathName GetFullPathNameA
#define CreateFileMapping CreateFileMappingA
#define GetVersionEx GetVersionExA
#define GetSystemDirectory GetSystemDirectoryA
#define GetWindowsDirectory GetWindowsDirectoryA
#define ReadConsole ReadConsoleA
#define CopyFile CopyFileA
#define MoveFile MoveFileA
#define MoveFileEx MoveFileExA
#define GetCurrentDirectory GetCurrentDirectoryA
#define SetCurrentDirectory SetCurrentDirectoryA
#define SetEnvironmentVariable SetEnvironmentVariableA
#define GetCommandLine GetCommandLineA
#define GetUserName GetUserNameA
#define wsprintf wsprintfA
#define wvsprintf wvsprintfA
#define CreateNamedPipe CreateNamedPipeA
#define CharLower CharLowerA
#define CharUpper CharUpperA
#define CreateWaitableTimerEx CreateWaitableTimerExW

#endif
