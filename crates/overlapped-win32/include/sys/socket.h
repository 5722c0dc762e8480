/* The system's sockets, in source files that have nothing of Winsock. */
#pragma GCC system_header
#ifdef _WINSOCKAPI_
#error "<sys/socket.h> in a source file with Winsock: their structures and constants have the same names. Leave it out; <winsock2.h> and <ws2tcpip.h> declare what a Windows program uses."
#else
#include <overlapped/libc_sockets.h>
#include_next <sys/socket.h>
#endif
