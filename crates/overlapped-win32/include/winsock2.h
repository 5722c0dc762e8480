/* Winsock.

   Names that libc has too are ours by an assembler label, and what libc's headers say about them is kept
   out by headers of the same names beside this one (<sys/select.h>, <unistd.h>, ...). Winsock and the
   system's sockets cannot be in one source file: their structures and constants have the same names. */
#ifndef _WINSOCK2API_
#define _WINSOCK2API_
#pragma GCC system_header

#ifdef OVERLAPPED_LIBC_SOCKETS
#error "Winsock after <sys/socket.h>, <netinet/in.h>, <arpa/inet.h> or <netdb.h>: a source file can have one of them. Leave out the system's header; Winsock's has the same names."
#endif
#define _WINSOCKAPI_
#include <sys/select.h>
#include <sys/time.h>
#include <unistd.h>
#include <windef.h>
#include <minwinbase.h>
#include <handleapi.h>
#include <synchapi.h>
#include <winbase.h>
#include <ws2def.h>
#include <in6addr.h>

#define WINSOCK_VERSION MAKEWORD(2, 2)
#define WSADESCRIPTION_LEN 256
#define WSASYS_STATUS_LEN 128
#define INVALID_SOCKET ((SOCKET)~0)
#define SOCKET_ERROR (-1)
#define SOMAXCONN 0x7fffffff
#define SOMAXCONN_HINT(n) (-(n))
#define MSG_OOB 0x1
#define MSG_PEEK 0x2
#define MSG_DONTROUTE 0x4
#define MSG_WAITALL 0x8
#define MSG_PUSH_IMMEDIATE 0x20
#define MSG_PARTIAL 0x8000
#define MSG_INTERRUPT 0x10
#define SD_RECEIVE 0x00
#define SD_SEND 0x01
#define SD_BOTH 0x02
#define SO_GROUP_ID 0x2001
#define SO_GROUP_PRIORITY 0x2002
#define SO_MAX_MSG_SIZE 0x2003
#define SO_PROTOCOL_INFOA 0x2004
#define SO_PROTOCOL_INFO SO_PROTOCOL_INFOA
#define SO_CONDITIONAL_ACCEPT 0x3002
#define FROM_PROTOCOL_INFO (-1)
#define WSA_FLAG_OVERLAPPED 0x01
#define WSA_FLAG_NO_HANDLE_INHERIT 0x80
#define WSA_FLAG_REGISTERED_IO 0x100
#define WSA_INFINITE INFINITE
#define WSA_INVALID_HANDLE ERROR_INVALID_HANDLE
#define WSA_INVALID_PARAMETER ERROR_INVALID_PARAMETER
#define WSA_NOT_ENOUGH_MEMORY ERROR_NOT_ENOUGH_MEMORY
#define WSA_IO_PENDING ERROR_IO_PENDING
#define WSA_IO_INCOMPLETE ERROR_IO_INCOMPLETE
#define WSA_OPERATION_ABORTED ERROR_OPERATION_ABORTED
#define WSA_INVALID_EVENT ((WSAEVENT)0)
#define WSA_MAXIMUM_WAIT_EVENTS MAXIMUM_WAIT_OBJECTS
#define WSA_WAIT_FAILED WAIT_FAILED
#define WSA_WAIT_EVENT_0 WAIT_OBJECT_0
#define WSA_WAIT_IO_COMPLETION WAIT_IO_COMPLETION
#define WSA_WAIT_TIMEOUT WAIT_TIMEOUT
#define CF_ACCEPT 0
#define CF_REJECT 1
#define CF_DEFER 2
#define SG_UNCONSTRAINED_GROUP 1
#define FD_MAX_EVENTS 10
#define FD_READ 0x01
#define FD_WRITE 0x02
#define FD_OOB 0x04
#define FD_ACCEPT 0x08
#define FD_CONNECT 0x10
#define FD_CLOSE 0x20
#define FD_QOS 0x40
#define FD_ALL_EVENTS 0x3ff
#define FD_READ_BIT 0
#define FD_WRITE_BIT 1
#define FD_OOB_BIT 2
#define FD_ACCEPT_BIT 3
#define FD_CONNECT_BIT 4
#define FD_CLOSE_BIT 5
#define FIONREAD _WSAIOR_4('f', 127)
#define FIONBIO _WSAIOW_4('f', 126)
#define FIOASYNC _WSAIOW_4('f', 125)
#define SIOCATMARK _WSAIOR_4('s', 7)
#define _WSAIOR_4(x, y) ((int)(IOC_OUT | 4u << 16 | (x) << 8 | (y)))
#define _WSAIOW_4(x, y) ((int)(IOC_IN | 4u << 16 | (x) << 8 | (y)))
#define h_addr h_addr_list[0]
#define HOST_NOT_FOUND WSAHOST_NOT_FOUND
#define TRY_AGAIN WSATRY_AGAIN
#define NO_RECOVERY WSANO_RECOVERY
#define NO_DATA WSANO_DATA

typedef UINT_PTR SOCKET;
typedef HANDLE WSAEVENT, *LPWSAEVENT;
typedef OVERLAPPED WSAOVERLAPPED;
typedef LPOVERLAPPED LPWSAOVERLAPPED;
typedef UINT GROUP;
typedef unsigned int u_long;
#ifndef __USE_MISC
typedef unsigned char u_char;
typedef unsigned short u_short;
typedef unsigned int u_int;
#endif
typedef unsigned long long u_int64;

/* Windows's: a `long` has 32 bits. */
struct timeval {
    int tv_sec;
    int tv_usec;
};
typedef struct timeval TIMEVAL, *PTIMEVAL, *LPTIMEVAL;
#define timerisset(t) ((t)->tv_sec || (t)->tv_usec)
#define timercmp(a, b, op) ((a)->tv_sec op (b)->tv_sec || ((a)->tv_sec == (b)->tv_sec && (a)->tv_usec op (b)->tv_usec))
#define timerclear(t) ((t)->tv_sec = (t)->tv_usec = 0)

#ifndef FD_SETSIZE
#define FD_SETSIZE 64
#endif
typedef struct fd_set {
    u_int fd_count;
    SOCKET fd_array[FD_SETSIZE];
} fd_set, FD_SET, *PFD_SET, *LPFD_SET;
OVERLAPPED_INLINE int overlapped_fd_isset(SOCKET s, const fd_set *set)
{
    for (u_int i = 0; i < set->fd_count; i++)
        if (set->fd_array[i] == s)
            return 1;
    return 0;
}
OVERLAPPED_INLINE void overlapped_fd_set(SOCKET s, fd_set *set)
{
    if (!overlapped_fd_isset(s, set) && set->fd_count < FD_SETSIZE)
        set->fd_array[set->fd_count++] = s;
}
OVERLAPPED_INLINE void overlapped_fd_clr(SOCKET s, fd_set *set)
{
    for (u_int i = 0; i < set->fd_count; i++)
        if (set->fd_array[i] == s) {
            for (set->fd_count--; i < set->fd_count; i++)
                set->fd_array[i] = set->fd_array[i + 1];
            return;
        }
}
#define FD_ZERO(set) ((void)((set)->fd_count = 0))
#define FD_SET(s, set) overlapped_fd_set((SOCKET)(s), (set))
#define FD_CLR(s, set) overlapped_fd_clr((SOCKET)(s), (set))
#define FD_ISSET(s, set) overlapped_fd_isset((SOCKET)(s), (set))
#define __WSAFDIsSet overlapped_fd_isset

typedef struct WSAData {
    WORD wVersion;
    WORD wHighVersion;
    unsigned short iMaxSockets;
    unsigned short iMaxUdpDg;
    char *lpVendorInfo;
    char szDescription[WSADESCRIPTION_LEN + 1];
    char szSystemStatus[WSASYS_STATUS_LEN + 1];
} WSADATA, *LPWSADATA;
typedef struct hostent {
    char *h_name;
    char **h_aliases;
    short h_addrtype;
    short h_length;
    char **h_addr_list;
} HOSTENT, *PHOSTENT, *LPHOSTENT;
typedef struct servent {
    char *s_name;
    char **s_aliases;
    char *s_proto;
    short s_port;
} SERVENT, *PSERVENT, *LPSERVENT;
typedef struct protoent {
    char *p_name;
    char **p_aliases;
    short p_proto;
} PROTOENT, *PPROTOENT, *LPPROTOENT;
typedef struct linger {
    u_short l_onoff;
    u_short l_linger;
} LINGER, *PLINGER, *LPLINGER;
typedef struct _WSANETWORKEVENTS {
    int lNetworkEvents;
    int iErrorCode[FD_MAX_EVENTS];
} WSANETWORKEVENTS, *LPWSANETWORKEVENTS;
#define MAX_PROTOCOL_CHAIN 7
#define WSAPROTOCOL_LEN 255
typedef struct _WSAPROTOCOLCHAIN {
    int ChainLen;
    DWORD ChainEntries[MAX_PROTOCOL_CHAIN];
} WSAPROTOCOLCHAIN, *LPWSAPROTOCOLCHAIN;
typedef struct _WSAPROTOCOL_INFOA {
    DWORD dwServiceFlags1;
    DWORD dwServiceFlags2;
    DWORD dwServiceFlags3;
    DWORD dwServiceFlags4;
    DWORD dwProviderFlags;
    GUID ProviderId;
    DWORD dwCatalogEntryId;
    WSAPROTOCOLCHAIN ProtocolChain;
    int iVersion;
    int iAddressFamily;
    int iMaxSockAddr;
    int iMinSockAddr;
    int iSocketType;
    int iProtocol;
    int iProtocolMaxOffset;
    int iNetworkByteOrder;
    int iSecurityScheme;
    DWORD dwMessageSize;
    DWORD dwProviderReserved;
    CHAR szProtocol[WSAPROTOCOL_LEN + 1];
} WSAPROTOCOL_INFOA, *LPWSAPROTOCOL_INFOA;
typedef WSAPROTOCOL_INFOA WSAPROTOCOL_INFO;
typedef LPWSAPROTOCOL_INFOA LPWSAPROTOCOL_INFO;
typedef struct _WSAPROTOCOL_INFOW *LPWSAPROTOCOL_INFOW;
typedef struct _QualityOfService *LPQOS;

typedef int(CALLBACK *LPCONDITIONPROC)(LPWSABUF caller, LPWSABUF caller_data, LPQOS qos, LPQOS group_qos,
                                       LPWSABUF callee, LPWSABUF callee_data, GROUP *group, DWORD_PTR data);
typedef void(CALLBACK *LPWSAOVERLAPPED_COMPLETION_ROUTINE)(DWORD error, DWORD bytes, LPWSAOVERLAPPED overlapped,
                                                           DWORD flags);

OVERLAPPED_BEGIN
/* Also libc's. */
SOCKET socket(int family, int type, int protocol) OVERLAPPED_LIBC_NAME(socket);
int bind(SOCKET s, const struct sockaddr *name, int length) OVERLAPPED_LIBC_NAME(bind);
int listen(SOCKET s, int backlog) OVERLAPPED_LIBC_NAME(listen);
SOCKET accept(SOCKET s, struct sockaddr *name, int *length) OVERLAPPED_LIBC_NAME(accept);
int connect(SOCKET s, const struct sockaddr *name, int length) OVERLAPPED_LIBC_NAME(connect);
int send(SOCKET s, const char *buffer, int length, int flags) OVERLAPPED_LIBC_NAME(send);
int sendto(SOCKET s, const char *buffer, int length, int flags, const struct sockaddr *to, int to_length)
    OVERLAPPED_LIBC_NAME(sendto);
int recv(SOCKET s, char *buffer, int length, int flags) OVERLAPPED_LIBC_NAME(recv);
int recvfrom(SOCKET s, char *buffer, int length, int flags, struct sockaddr *from, int *from_length)
    OVERLAPPED_LIBC_NAME(recvfrom);
int shutdown(SOCKET s, int how) OVERLAPPED_LIBC_NAME(shutdown);
int getsockname(SOCKET s, struct sockaddr *name, int *length) OVERLAPPED_LIBC_NAME(getsockname);
int getpeername(SOCKET s, struct sockaddr *name, int *length) OVERLAPPED_LIBC_NAME(getpeername);
int getsockopt(SOCKET s, int level, int option, char *value, int *length) OVERLAPPED_LIBC_NAME(getsockopt);
int setsockopt(SOCKET s, int level, int option, const char *value, int length) OVERLAPPED_LIBC_NAME(setsockopt);
int select(int ignored, fd_set *read, fd_set *write, fd_set *except, const struct timeval *timeout)
    OVERLAPPED_LIBC_NAME(select);
int gethostname(char *name, int length) OVERLAPPED_LIBC_NAME(gethostname);
struct hostent *gethostbyname(const char *name) OVERLAPPED_LIBC_NAME(gethostbyname);
struct hostent *gethostbyaddr(const char *address, int length, int type) OVERLAPPED_LIBC_NAME(gethostbyaddr);
struct servent *getservbyname(const char *name, const char *protocol) OVERLAPPED_LIBC_NAME(getservbyname);
struct servent *getservbyport(int port, const char *protocol) OVERLAPPED_LIBC_NAME(getservbyport);
struct protoent *getprotobyname(const char *name) OVERLAPPED_LIBC_NAME(getprotobyname);
ULONG inet_addr(const char *text) OVERLAPPED_LIBC_NAME(inet_addr);
char *inet_ntoa(struct in_addr address) OVERLAPPED_LIBC_NAME(inet_ntoa);

/* Winsock's own. */
int WSAStartup(WORD version, LPWSADATA data);
int WSACleanup(void);
int WSAGetLastError(void);
void WSASetLastError(int error);
int closesocket(SOCKET s);
int ioctlsocket(SOCKET s, int command, u_long *argument);
SOCKET WSASocketA(int family, int type, int protocol, LPWSAPROTOCOL_INFOA information, GROUP group, DWORD flags);
SOCKET WSASocketW(int family, int type, int protocol, LPWSAPROTOCOL_INFOW information, GROUP group, DWORD flags);
SOCKET WSAAccept(SOCKET s, struct sockaddr *name, LPINT length, LPCONDITIONPROC condition, DWORD_PTR data);
int WSAConnect(SOCKET s, const struct sockaddr *name, int length, LPWSABUF caller, LPWSABUF callee, LPQOS qos,
               LPQOS group_qos);
int WSASend(SOCKET s, LPWSABUF buffers, DWORD count, LPDWORD sent, DWORD flags, LPWSAOVERLAPPED overlapped,
            LPWSAOVERLAPPED_COMPLETION_ROUTINE routine);
int WSASendTo(SOCKET s, LPWSABUF buffers, DWORD count, LPDWORD sent, DWORD flags, const struct sockaddr *to,
              int to_length, LPWSAOVERLAPPED overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine);
int WSASendMsg(SOCKET s, LPWSAMSG message, DWORD flags, LPDWORD sent, LPWSAOVERLAPPED overlapped,
               LPWSAOVERLAPPED_COMPLETION_ROUTINE routine);
int WSASendDisconnect(SOCKET s, LPWSABUF data);
int WSARecv(SOCKET s, LPWSABUF buffers, DWORD count, LPDWORD received, LPDWORD flags, LPWSAOVERLAPPED overlapped,
            LPWSAOVERLAPPED_COMPLETION_ROUTINE routine);
int WSARecvFrom(SOCKET s, LPWSABUF buffers, DWORD count, LPDWORD received, LPDWORD flags, struct sockaddr *from,
                LPINT from_length, LPWSAOVERLAPPED overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine);
int WSARecvDisconnect(SOCKET s, LPWSABUF data);
BOOL WSAGetOverlappedResult(SOCKET s, LPWSAOVERLAPPED overlapped, LPDWORD bytes, BOOL wait, LPDWORD flags);
int WSAIoctl(SOCKET s, DWORD code, LPVOID in, DWORD in_length, LPVOID out, DWORD out_length, LPDWORD returned,
             LPWSAOVERLAPPED overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine);
int WSADuplicateSocketA(SOCKET s, DWORD process, LPWSAPROTOCOL_INFOA information);
int WSAEnumProtocolsA(LPINT protocols, LPWSAPROTOCOL_INFOA information, LPDWORD length);
WSAEVENT WSACreateEvent(void);
BOOL WSACloseEvent(WSAEVENT event);
BOOL WSASetEvent(WSAEVENT event);
BOOL WSAResetEvent(WSAEVENT event);
DWORD WSAWaitForMultipleEvents(DWORD count, const WSAEVENT *events, BOOL all, DWORD timeout, BOOL alertable);
int WSAEventSelect(SOCKET s, WSAEVENT event, int events);
int WSAEnumNetworkEvents(SOCKET s, WSAEVENT event, LPWSANETWORKEVENTS events);
int WSAAddressToStringA(LPSOCKADDR address, DWORD length, LPWSAPROTOCOL_INFOA information, LPSTR text,
                        LPDWORD text_length);
int WSAStringToAddressA(LPSTR text, INT family, LPWSAPROTOCOL_INFOA information, LPSOCKADDR address, LPINT length);
int WSAHtonl(SOCKET s, u_long from, u_long *to);
int WSAHtons(SOCKET s, u_short from, u_short *to);
int WSANtohl(SOCKET s, u_long from, u_long *to);
int WSANtohs(SOCKET s, u_short from, u_short *to);
OVERLAPPED_END

/* With names of their own in C++, so that the program does not define what other libraries call. */
#ifdef __cplusplus
extern "C" {
inline u_long htonl(u_long n) OVERLAPPED_LIBC_NAME(htonl);
inline u_long ntohl(u_long n) OVERLAPPED_LIBC_NAME(ntohl);
inline u_short htons(u_short n) OVERLAPPED_LIBC_NAME(htons);
inline u_short ntohs(u_short n) OVERLAPPED_LIBC_NAME(ntohs);
inline u_long htonl(u_long n) { return __builtin_bswap32(n); }
inline u_long ntohl(u_long n) { return __builtin_bswap32(n); }
inline u_short htons(u_short n) { return __builtin_bswap16(n); }
inline u_short ntohs(u_short n) { return __builtin_bswap16(n); }
}
#else
OVERLAPPED_INLINE u_long htonl(u_long n) { return __builtin_bswap32(n); }
OVERLAPPED_INLINE u_long ntohl(u_long n) { return __builtin_bswap32(n); }
OVERLAPPED_INLINE u_short htons(u_short n) { return __builtin_bswap16(n); }
OVERLAPPED_INLINE u_short ntohs(u_short n) { return __builtin_bswap16(n); }
#endif

#ifdef UNICODE
#define WSASocket WSASocketW
#else
#define WSASocket WSASocketA
#endif
#define WSADuplicateSocket WSADuplicateSocketA
#define WSAEnumProtocols WSAEnumProtocolsA
#define WSAAddressToString WSAAddressToStringA
#define WSAStringToAddress WSAStringToAddressA

#ifdef __cplusplus
/* `unsigned long` is a DWORD on Windows, and twice as wide here. */
template <class Mode> int ioctlsocket(SOCKET s, int command, Mode *argument)
{
    u_long narrow = (u_long)*argument;
    int result = ioctlsocket(s, command, &narrow);
    *argument = (Mode)narrow;
    return result;
}
template <class Bytes>
int WSASend(SOCKET s, LPWSABUF buffers, DWORD count, Bytes *sent, DWORD flags, LPWSAOVERLAPPED overlapped,
            LPWSAOVERLAPPED_COMPLETION_ROUTINE routine)
{
    DWORD moved = (DWORD)*sent;
    int result = WSASend(s, buffers, count, &moved, flags, overlapped, routine);
    *sent = (Bytes)moved;
    return result;
}
template <class Bytes, class Flags>
int WSARecv(SOCKET s, LPWSABUF buffers, DWORD count, Bytes *received, Flags *flags, LPWSAOVERLAPPED overlapped,
            LPWSAOVERLAPPED_COMPLETION_ROUTINE routine)
{
    DWORD moved = (DWORD)*received, narrow = (DWORD)*flags;
    int result = WSARecv(s, buffers, count, &moved, &narrow, overlapped, routine);
    *received = (Bytes)moved;
    *flags = (Flags)narrow;
    return result;
}
#endif

#endif
