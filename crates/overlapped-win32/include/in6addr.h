/* An IPv6 address. */
#ifndef _IN6ADDR_H_
#define _IN6ADDR_H_
#pragma GCC system_header
#include <windef.h>

typedef struct in6_addr {
    union {
        UCHAR Byte[16];
        USHORT Word[8];
    } u;
} IN6_ADDR, *PIN6_ADDR, *LPIN6_ADDR;
#define s6_addr u.Byte
#define s6_words u.Word
#define s6_bytes u.Byte

#endif
