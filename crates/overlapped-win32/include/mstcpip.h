/* Settings of TCP beyond the usual. */
#ifndef _MSTCPIP_
#define _MSTCPIP_
#pragma GCC system_header
#include <winsock2.h>

struct tcp_keepalive {
    ULONG onoff;
    ULONG keepalivetime;
    ULONG keepaliveinterval;
};
#define SIO_RCVALL _WSAIOW(IOC_VENDOR, 1)
#define SIO_KEEPALIVE_VALS _WSAIOW(IOC_VENDOR, 4)
#define SIO_LOOPBACK_FAST_PATH _WSAIOW(IOC_VENDOR, 16)

#endif
