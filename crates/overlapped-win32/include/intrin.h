/* The compiler's built-in functions. */
#ifndef _INC_INTRIN
#define _INC_INTRIN
#pragma GCC system_header
#include <winnt.h>
#include <x86intrin.h>

#define _ReadWriteBarrier() __atomic_signal_fence(__ATOMIC_SEQ_CST)
#define _ReadBarrier() __atomic_signal_fence(__ATOMIC_ACQUIRE)
#define _WriteBarrier() __atomic_signal_fence(__ATOMIC_RELEASE)
#define _byteswap_ushort(n) __builtin_bswap16(n)
#define _byteswap_ulong(n) __builtin_bswap32(n)
#define _byteswap_uint64(n) __builtin_bswap64(n)
#define _ReturnAddress() __builtin_return_address(0)
OVERLAPPED_INLINE unsigned char _BitScanForward(unsigned int *index, unsigned int mask)
{
    if (mask)
        *index = (unsigned)__builtin_ctz(mask);
    return mask != 0;
}
OVERLAPPED_INLINE unsigned char _BitScanReverse(unsigned int *index, unsigned int mask)
{
    if (mask)
        *index = 31u - (unsigned)__builtin_clz(mask);
    return mask != 0;
}

#endif
