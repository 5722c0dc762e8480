/* Names and addresses as text. */
#ifndef _WS2TCPIP_H_
#define _WS2TCPIP_H_
#pragma GCC system_header
#include <winsock2.h>
#include <ws2ipdef.h>

typedef int socklen_t;

#define EAI_AGAIN WSATRY_AGAIN
#define EAI_BADFLAGS WSAEINVAL
#define EAI_FAIL WSANO_RECOVERY
#define EAI_FAMILY WSAEAFNOSUPPORT
#define EAI_MEMORY WSA_NOT_ENOUGH_MEMORY
#define EAI_NONAME WSAHOST_NOT_FOUND
#define EAI_SERVICE WSATYPE_NOT_FOUND
#define EAI_SOCKTYPE WSAESOCKTNOSUPPORT
#define GAI_STRERROR_BUFFER_SIZE 1024

OVERLAPPED_BEGIN
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
    OVERLAPPED_LIBC_NAME(getaddrinfo);
void freeaddrinfo(struct addrinfo *info) OVERLAPPED_LIBC_NAME(freeaddrinfo);
int getnameinfo(const struct sockaddr *address, socklen_t length, char *node, DWORD node_length, char *service,
                DWORD service_length, int flags) OVERLAPPED_LIBC_NAME(getnameinfo);
const char *inet_ntop(int family, const void *address, char *text, size_t length) OVERLAPPED_LIBC_NAME(inet_ntop);
int inet_pton(int family, const char *text, void *address) OVERLAPPED_LIBC_NAME(inet_pton);
LPCWSTR InetNtopW(INT family, const VOID *address, LPWSTR text, size_t length);
INT InetPtonW(INT family, LPCWSTR text, PVOID address);
INT GetAddrInfoW(PCWSTR node, PCWSTR service, const ADDRINFOW *hints, PADDRINFOW *result);
VOID FreeAddrInfoW(PADDRINFOW info);
INT GetNameInfoW(const SOCKADDR *address, socklen_t length, PWCHAR node, DWORD node_length, PWCHAR service,
                 DWORD service_length, INT flags);
OVERLAPPED_END
#define InetNtopA inet_ntop
#define InetPtonA inet_pton
#ifdef UNICODE
#define InetNtop InetNtopW
#define InetPton InetPtonW
#else
#define InetNtop InetNtopA
#define InetPton InetPtonA
#endif

OVERLAPPED_INLINE char *gai_strerrorA(int error)
{
    static __thread char text[GAI_STRERROR_BUFFER_SIZE + 1];
    FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, (DWORD)error, 0, text,
                   GAI_STRERROR_BUFFER_SIZE, NULL);
    return text;
}
#define gai_strerror gai_strerrorA

#define IN6ADDR_ANY_INIT {{{0}}}
#define IN6ADDR_LOOPBACK_INIT {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}}
static const struct in6_addr in6addr_any __attribute__((unused)) = IN6ADDR_ANY_INIT;
static const struct in6_addr in6addr_loopback __attribute__((unused)) = IN6ADDR_LOOPBACK_INIT;

#endif
