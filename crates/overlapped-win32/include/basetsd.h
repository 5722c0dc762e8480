/* Integer types by their size. */
#ifndef _BASETSD_H_
#define _BASETSD_H_
#pragma GCC system_header
#include <overlapped/platform.h>

typedef signed char INT8, *PINT8;
typedef short INT16, *PINT16;
typedef int INT32, *PINT32;
typedef long long INT64, *PINT64;
typedef unsigned char UINT8, *PUINT8;
typedef unsigned short UINT16, *PUINT16;
typedef unsigned int UINT32, *PUINT32;
typedef unsigned long long UINT64, *PUINT64;
typedef int LONG32, *PLONG32;
typedef unsigned int ULONG32, *PULONG32, DWORD32, *PDWORD32;
typedef long long LONG64, *PLONG64;
typedef unsigned long long ULONG64, *PULONG64, DWORD64, *PDWORD64;

/* As wide as a pointer, and one type with size_t and uintptr_t. */
typedef long INT_PTR, *PINT_PTR, LONG_PTR, *PLONG_PTR, SSIZE_T, *PSSIZE_T;
typedef unsigned long UINT_PTR, *PUINT_PTR, ULONG_PTR, *PULONG_PTR, DWORD_PTR, *PDWORD_PTR;
typedef unsigned long SIZE_T, *PSIZE_T;
typedef int HALF_PTR, *PHALF_PTR;
typedef unsigned int UHALF_PTR, *PUHALF_PTR;
typedef unsigned long KAFFINITY, *PKAFFINITY;

#define HandleToULong(h) ((ULONG)(ULONG_PTR)(h))
#define HandleToUlong(h) HandleToULong(h)
#define HandleToLong(h) ((LONG)(LONG_PTR)(h))
#define ULongToHandle(n) ((HANDLE)(ULONG_PTR)(n))
#define UlongToHandle(n) ULongToHandle(n)
#define LongToHandle(n) ((HANDLE)(LONG_PTR)(n))
#define PtrToUlong(p) ((ULONG)(ULONG_PTR)(p))
#define PtrToULong(p) PtrToUlong(p)
#define PtrToLong(p) ((LONG)(LONG_PTR)(p))
#define PtrToUint(p) ((UINT)(UINT_PTR)(p))
#define PtrToInt(p) ((INT)(INT_PTR)(p))
#define IntToPtr(n) ((VOID *)(INT_PTR)(int)(n))
#define UIntToPtr(n) ((VOID *)(UINT_PTR)(unsigned)(n))
#define UlongToPtr(n) ((VOID *)(ULONG_PTR)(unsigned)(n))
#define ULongToPtr(n) UlongToPtr(n)
#define LongToPtr(n) ((VOID *)(LONG_PTR)(int)(n))

#endif
