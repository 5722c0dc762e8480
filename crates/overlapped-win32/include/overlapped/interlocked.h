/* Interlocked operations: the compiler's, sequentially consistent, on whatever has the size.

   In C++ they take `long` too, which is what a LONG is called in many a program and has 64 bits here. */
#ifndef OVERLAPPED_INTERLOCKED_H
#define OVERLAPPED_INTERLOCKED_H
#pragma GCC system_header

#define OVERLAPPED_SEQ __ATOMIC_SEQ_CST
#ifdef __cplusplus
#define OVERLAPPED_INTERLOCKED(name, type, args, body) \
    OVERLAPPED_INLINE type name args { return body; }
/* A value has whatever type the program gave it, as a literal's or a DWORD: what it is put into decides. */
#define OVERLAPPED_INTERLOCKED_WITH(name, T, body) \
    template <class V> OVERLAPPED_INTERLOCKED(name, T, (T volatile *to, V value), body)

#define OVERLAPPED_INTERLOCKED_ALL(suffix, T) \
    OVERLAPPED_INTERLOCKED(InterlockedIncrement##suffix, T, (T volatile *to), __atomic_add_fetch(to, 1, OVERLAPPED_SEQ)) \
    OVERLAPPED_INTERLOCKED(InterlockedDecrement##suffix, T, (T volatile *to), __atomic_sub_fetch(to, 1, OVERLAPPED_SEQ)) \
    OVERLAPPED_INTERLOCKED_WITH(InterlockedExchange##suffix, T, __atomic_exchange_n(to, (T)value, OVERLAPPED_SEQ)) \
    OVERLAPPED_INTERLOCKED_WITH(InterlockedExchangeAdd##suffix, T, __atomic_fetch_add(to, (T)value, OVERLAPPED_SEQ)) \
    OVERLAPPED_INTERLOCKED_WITH(InterlockedAdd##suffix, T, __atomic_add_fetch(to, (T)value, OVERLAPPED_SEQ)) \
    OVERLAPPED_INTERLOCKED_WITH(InterlockedAnd##suffix, T, __atomic_fetch_and(to, (T)value, OVERLAPPED_SEQ)) \
    OVERLAPPED_INTERLOCKED_WITH(InterlockedOr##suffix, T, __atomic_fetch_or(to, (T)value, OVERLAPPED_SEQ)) \
    OVERLAPPED_INTERLOCKED_WITH(InterlockedXor##suffix, T, __atomic_fetch_xor(to, (T)value, OVERLAPPED_SEQ)) \
    template <class V, class E> \
    OVERLAPPED_INTERLOCKED(InterlockedCompareExchange##suffix, T, (T volatile *to, V value, E expected), __sync_val_compare_and_swap(to, (T)expected, (T)value))

OVERLAPPED_INTERLOCKED_ALL(, LONG)
OVERLAPPED_INTERLOCKED_ALL(, ULONG)
OVERLAPPED_INTERLOCKED_ALL(, long)
OVERLAPPED_INTERLOCKED_ALL(, unsigned long)
OVERLAPPED_INTERLOCKED_ALL(64, LONG64)
OVERLAPPED_INTERLOCKED_ALL(64, ULONG64)
OVERLAPPED_INTERLOCKED_ALL(64, long)
OVERLAPPED_INTERLOCKED_ALL(64, unsigned long)
OVERLAPPED_INTERLOCKED_ALL(16, SHORT)
OVERLAPPED_INTERLOCKED_ALL(8, CHAR)
#undef OVERLAPPED_INTERLOCKED_ALL
#undef OVERLAPPED_INTERLOCKED_WITH
OVERLAPPED_INTERLOCKED(InterlockedExchangePointer, PVOID, (PVOID volatile *to, PVOID value), __atomic_exchange_n(to, value, OVERLAPPED_SEQ))
OVERLAPPED_INTERLOCKED(InterlockedCompareExchangePointer, PVOID, (PVOID volatile *to, PVOID value, PVOID expected), __sync_val_compare_and_swap(to, expected, value))
#undef OVERLAPPED_INTERLOCKED
#else
#define InterlockedIncrement(to) __atomic_add_fetch((to), 1, OVERLAPPED_SEQ)
#define InterlockedDecrement(to) __atomic_sub_fetch((to), 1, OVERLAPPED_SEQ)
#define InterlockedExchange(to, value) __atomic_exchange_n((to), (value), OVERLAPPED_SEQ)
#define InterlockedExchangeAdd(to, value) __atomic_fetch_add((to), (value), OVERLAPPED_SEQ)
#define InterlockedAdd(to, value) __atomic_add_fetch((to), (value), OVERLAPPED_SEQ)
#define InterlockedAnd(to, value) __atomic_fetch_and((to), (value), OVERLAPPED_SEQ)
#define InterlockedOr(to, value) __atomic_fetch_or((to), (value), OVERLAPPED_SEQ)
#define InterlockedXor(to, value) __atomic_fetch_xor((to), (value), OVERLAPPED_SEQ)
#define InterlockedCompareExchange(to, value, expected) \
    __sync_val_compare_and_swap((to), (expected), (value))
#define InterlockedIncrement64 InterlockedIncrement
#define InterlockedDecrement64 InterlockedDecrement
#define InterlockedExchange64 InterlockedExchange
#define InterlockedExchangeAdd64 InterlockedExchangeAdd
#define InterlockedAdd64 InterlockedAdd
#define InterlockedAnd64 InterlockedAnd
#define InterlockedOr64 InterlockedOr
#define InterlockedXor64 InterlockedXor
#define InterlockedCompareExchange64 InterlockedCompareExchange
#define InterlockedIncrement16 InterlockedIncrement
#define InterlockedDecrement16 InterlockedDecrement
#define InterlockedCompareExchange16 InterlockedCompareExchange
#define InterlockedExchange8 InterlockedExchange
#define InterlockedExchangePointer(to, value) \
    __atomic_exchange_n((PVOID volatile *)(to), (PVOID)(value), OVERLAPPED_SEQ)
#define InterlockedCompareExchangePointer(to, value, expected) \
    __sync_val_compare_and_swap((PVOID volatile *)(to), (PVOID)(expected), (PVOID)(value))
#endif
#define InterlockedIncrementAcquire InterlockedIncrement
#define InterlockedIncrementRelease InterlockedIncrement
#define InterlockedIncrementNoFence InterlockedIncrement
#define InterlockedDecrementAcquire InterlockedDecrement
#define InterlockedDecrementRelease InterlockedDecrement
#define InterlockedCompareExchangeAcquire InterlockedCompareExchange
#define InterlockedCompareExchangeRelease InterlockedCompareExchange
#define InterlockedExchangeAcquire InterlockedExchange
#define InterlockedExchangeSubtract(to, value) InterlockedExchangeAdd((to), -(value))
#define _InterlockedIncrement InterlockedIncrement
#define _InterlockedDecrement InterlockedDecrement
#define _InterlockedExchange InterlockedExchange
#define _InterlockedExchangeAdd InterlockedExchangeAdd
#define _InterlockedCompareExchange InterlockedCompareExchange
#define _InterlockedOr InterlockedOr
#define _InterlockedAnd InterlockedAnd
#define _InterlockedIncrement64 InterlockedIncrement64
#define _InterlockedDecrement64 InterlockedDecrement64
#define _InterlockedExchangeAdd64 InterlockedExchangeAdd64
#define _InterlockedCompareExchange64 InterlockedCompareExchange64
#define _InterlockedExchangePointer InterlockedExchangePointer
#define _InterlockedCompareExchangePointer InterlockedCompareExchangePointer

OVERLAPPED_BEGIN
VOID InitializeSListHead(PSLIST_HEADER list);
PSLIST_ENTRY InterlockedPushEntrySList(PSLIST_HEADER list, PSLIST_ENTRY entry);
PSLIST_ENTRY InterlockedPopEntrySList(PSLIST_HEADER list);
PSLIST_ENTRY InterlockedFlushSList(PSLIST_HEADER list);
USHORT QueryDepthSList(PSLIST_HEADER list);
OVERLAPPED_END

#endif
