/* The base types, at Windows's sizes: a LONG has 32 bits although `long` has 64 here. */
#ifndef _WINDEF_
#define _WINDEF_
#pragma GCC system_header
#include <overlapped/platform.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sal.h>
#include <basetsd.h>
#include <overlapped/text_names.h>

#ifndef VOID
#define VOID void
#endif
#ifndef CONST
#define CONST const
#endif
#ifndef IN
#define IN
#endif
#ifndef OUT
#define OUT
#endif
#ifndef OPTIONAL
#define OPTIONAL
#endif
#ifndef FALSE
#define FALSE 0
#endif
#ifndef TRUE
#define TRUE 1
#endif
#ifndef NULL
#define NULL 0
#endif
#define MAX_PATH 260
#define FORCEINLINE __forceinline

typedef char CHAR, *PCHAR, *LPCH, *PCH;
typedef signed char SCHAR;
typedef unsigned char UCHAR, *PUCHAR, BYTE, *PBYTE, *LPBYTE, BOOLEAN, *PBOOLEAN;
typedef short SHORT, *PSHORT;
typedef unsigned short USHORT, *PUSHORT, WORD, *PWORD, *LPWORD, ATOM;
typedef int INT, *PINT, *LPINT, LONG, *PLONG, *LPLONG, BOOL, *PBOOL, *LPBOOL;
typedef unsigned int UINT, *PUINT, *LPUINT, ULONG, *PULONG, DWORD, *PDWORD, *LPDWORD;
typedef long long LONGLONG, *PLONGLONG;
typedef unsigned long long ULONGLONG, *PULONGLONG, DWORDLONG, *PDWORDLONG, QWORD;
typedef float FLOAT, *PFLOAT;
typedef double DOUBLE;
typedef void *PVOID, *LPVOID;
typedef const void *LPCVOID, *PCVOID;

/* A UTF-16 unit. Under -fshort-wchar it is wchar_t, so that L"" is text of it; else u"" is. */
#if __SIZEOF_WCHAR_T__ == 2
typedef wchar_t WCHAR;
#elif defined(__cplusplus)
typedef char16_t WCHAR;
#else
typedef unsigned short WCHAR;
#endif
typedef WCHAR *PWCHAR, *LPWCH, *PWCH, *LPWSTR, *PWSTR, *NWPSTR;
typedef const WCHAR *LPCWCH, *PCWCH, *LPCWSTR, *PCWSTR;
typedef CHAR *LPSTR, *PSTR, *NPSTR;
typedef const CHAR *LPCSTR, *PCSTR, *LPCCH, *PCCH;
#ifdef UNICODE
typedef WCHAR TCHAR, *PTCHAR, TBYTE;
typedef LPWSTR LPTSTR, PTSTR, LPTCH;
typedef LPCWSTR LPCTSTR, PCTSTR;
#if __SIZEOF_WCHAR_T__ == 2
#define __TEXT(text) L##text
#else
#define __TEXT(text) u##text
#endif
#else
typedef CHAR TCHAR, *PTCHAR, TBYTE;
typedef LPSTR LPTSTR, PTSTR, LPTCH;
typedef LPCSTR LPCTSTR, PCTSTR;
#define __TEXT(text) text
#endif
#define TEXT(text) __TEXT(text)

typedef void *HANDLE, **PHANDLE, **LPHANDLE, *HGLOBAL, *HLOCAL, *GLOBALHANDLE, *LOCALHANDLE;
#define DECLARE_HANDLE(name) \
    struct name##__ { \
        int unused; \
    }; \
    typedef struct name##__ *name
DECLARE_HANDLE(HINSTANCE);
DECLARE_HANDLE(HWND);
DECLARE_HANDLE(HKEY);
DECLARE_HANDLE(HDC);
DECLARE_HANDLE(HICON);
DECLARE_HANDLE(HMENU);
typedef HINSTANCE HMODULE;
typedef int HFILE;
typedef UINT_PTR WPARAM;
typedef LONG_PTR LPARAM, LRESULT;
typedef INT_PTR (*FARPROC)();
typedef LONG HRESULT, NTSTATUS, *PNTSTATUS;
typedef DWORD COLORREF, LCID, ACCESS_MASK, *PACCESS_MASK;
typedef WORD LANGID;

#define MAKEWORD(low, high) \
    ((WORD)((BYTE)((DWORD_PTR)(low) & 0xff) | (WORD)((BYTE)((DWORD_PTR)(high) & 0xff)) << 8))
#define MAKELONG(low, high) \
    ((LONG)((WORD)((DWORD_PTR)(low) & 0xffff) | (DWORD)((WORD)((DWORD_PTR)(high) & 0xffff)) << 16))
#define LOWORD(l) ((WORD)((DWORD_PTR)(l) & 0xffff))
#define HIWORD(l) ((WORD)((DWORD_PTR)(l) >> 16 & 0xffff))
#define LOBYTE(w) ((BYTE)((DWORD_PTR)(w) & 0xff))
#define HIBYTE(w) ((BYTE)((DWORD_PTR)(w) >> 8 & 0xff))
#define MAKEWPARAM(low, high) ((WPARAM)(DWORD)MAKELONG(low, high))
#define MAKELPARAM(low, high) ((LPARAM)(DWORD)MAKELONG(low, high))
#define UNREFERENCED_PARAMETER(p) ((void)(p))
#define DBG_UNREFERENCED_PARAMETER(p) ((void)(p))
#define DBG_UNREFERENCED_LOCAL_VARIABLE(v) ((void)(v))

typedef struct _POINT {
    LONG x;
    LONG y;
} POINT, *PPOINT, *LPPOINT;
typedef struct _RECT {
    LONG left;
    LONG top;
    LONG right;
    LONG bottom;
} RECT, *PRECT, *LPRECT;

/* libstdc++ does not survive macros of these names. By value, and of two types, since programs mix them. */
#ifndef NOMINMAX
#ifdef __cplusplus
#if __cplusplus >= 201402L
template <class A, class B> constexpr auto min(A a, B b) { return b < a ? b : a; }
template <class A, class B> constexpr auto max(A a, B b) { return a < b ? b : a; }
#endif
#else
#ifndef min
#define min(a, b) ((a) < (b) ? (a) : (b))
#endif
#ifndef max
#define max(a, b) ((a) > (b) ? (a) : (b))
#endif
#endif
#endif

#endif
