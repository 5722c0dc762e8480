/* What every header here begins with: the words that Microsoft's compiler knows and GCC and Clang do
   not, and the platform that the program is told it is on.

   The program's own names are its own. So words are macros only where Windows's headers make them
   macros too, and names that libc has as well are bound to this library by an assembler label
   (OVERLAPPED_LIBC_NAME), which leaves members, namespaces and other libraries alone. */
#ifndef OVERLAPPED_PLATFORM_H
#define OVERLAPPED_PLATFORM_H
#pragma GCC system_header

#if !defined(__linux__) || !defined(__LP64__)
#error "overlapped-win32 is for 64-bit Linux; on Windows use the Windows SDK"
#endif

#ifndef _WIN32
#define _WIN32 1
#endif
#ifndef WIN32
#define WIN32 1
#endif
#ifndef _WIN64
#define _WIN64 1
#endif

#ifdef __cplusplus
#define OVERLAPPED_BEGIN extern "C" {
#define OVERLAPPED_END }
#define OVERLAPPED_INLINE inline
#else
#define OVERLAPPED_BEGIN
#define OVERLAPPED_END
#define OVERLAPPED_INLINE static inline __attribute__((unused))
#endif

/* A function that libc has too: the program's `name` is the library's `overlapped_name`. */
#define OVERLAPPED_LIBC_NAME(name) __asm__("overlapped_" #name)

/* Calling conventions. There is one here. */
#define __cdecl
#define __stdcall
#define __fastcall
#define __vectorcall
#define __thiscall
#define __clrcall
#define _cdecl
#define _stdcall
#define _fastcall
#define cdecl
#define pascal
#define far
#define near
#define FAR
#define NEAR
#define CDECL
#define PASCAL
#define WINAPI
#define WINAPIV
#define APIENTRY
#define APIPRIVATE
#define CALLBACK
#define NTAPI
#define WSAAPI
#define STDMETHODCALLTYPE
#define WINBASEAPI
#define WINUSERAPI
#define WINSOCK_API_LINKAGE
#define NTSYSAPI
#define DECLSPEC_IMPORT
#define DECLSPEC_NORETURN __attribute__((noreturn))
#define DECLSPEC_ALIGN(n) __attribute__((aligned(n)))
#define DECLSPEC_NOINLINE __attribute__((noinline))
#define DECLSPEC_DEPRECATED __attribute__((deprecated))
#define DECLSPEC_SELECTANY __attribute__((weak))

/* Integer types. `unsigned __int64` has to work, so they are macros. */
#define __int8 char
#define __int16 short
#define __int32 int
#define __int64 long long
#define _int64 long long

/* Keywords. */
#define __forceinline inline __attribute__((always_inline))
#define _inline inline
#define __w64
#define __ptr32
#define __ptr64
#define __unaligned
#define UNALIGNED
#ifndef __cplusplus
#define __assume(x) ((void)0)
#else
#define __assume(x) ((x) ? (void)0 : __builtin_unreachable())
#endif
#define __debugbreak() __builtin_trap()
#define __noop(...) ((void)0)
#define __FUNCDNAME__ __func__

/* `__declspec(a)` is one attribute here; of several in one pair of brackets the compiler complains. */
#define __declspec(a) OVERLAPPED_DECLSPEC_##a
#define _declspec(a) OVERLAPPED_DECLSPEC_##a
#define OVERLAPPED_DECLSPEC_dllexport __attribute__((visibility("default")))
#define OVERLAPPED_DECLSPEC_dllimport
#define OVERLAPPED_DECLSPEC_noreturn __attribute__((noreturn))
#define OVERLAPPED_DECLSPEC_noinline __attribute__((noinline))
#define OVERLAPPED_DECLSPEC_nothrow __attribute__((nothrow))
#define OVERLAPPED_DECLSPEC_novtable
#define OVERLAPPED_DECLSPEC_restrict __attribute__((malloc))
#define OVERLAPPED_DECLSPEC_noalias
#define OVERLAPPED_DECLSPEC_selectany __attribute__((weak))
#define OVERLAPPED_DECLSPEC_deprecated __attribute__((deprecated))
#define OVERLAPPED_DECLSPEC_align(n) __attribute__((aligned(n)))
#define OVERLAPPED_DECLSPEC_uuid(text)
#ifdef __cplusplus
#define OVERLAPPED_DECLSPEC_thread thread_local
#else
#define OVERLAPPED_DECLSPEC_thread _Thread_local
#endif

#endif
