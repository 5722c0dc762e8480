/* Microsoft's extensions of Winsock, by symbol and by GUID. */
#ifndef _MSWSOCK_
#define _MSWSOCK_
#pragma GCC system_header
#include <winsock2.h>

#define SO_CONNDATA 0x7000
#define SO_UPDATE_ACCEPT_CONTEXT 0x700b
#define SO_CONNECT_TIME 0x700c
#define SO_UPDATE_CONNECT_CONTEXT 0x7010
#define TF_DISCONNECT 0x01
#define TF_REUSE_SOCKET 0x02
#define TF_WRITE_BEHIND 0x04
#define TF_USE_DEFAULT_WORKER 0x00
#define TF_USE_SYSTEM_THREAD 0x10
#define TF_USE_KERNEL_APC 0x20
#define TP_ELEMENT_MEMORY 1
#define TP_ELEMENT_FILE 2
#define TP_ELEMENT_EOP 4
#define TP_DISCONNECT TF_DISCONNECT
#define TP_REUSE_SOCKET TF_REUSE_SOCKET
#define SIO_UDP_CONNRESET _WSAIOW(IOC_VENDOR, 12)

typedef struct _TRANSMIT_FILE_BUFFERS {
    LPVOID Head;
    DWORD HeadLength;
    LPVOID Tail;
    DWORD TailLength;
} TRANSMIT_FILE_BUFFERS, *PTRANSMIT_FILE_BUFFERS, *LPTRANSMIT_FILE_BUFFERS;
typedef struct _TRANSMIT_PACKETS_ELEMENT {
    ULONG dwElFlags;
    ULONG cLength;
    __extension__ union {
        __extension__ struct {
            LARGE_INTEGER nFileOffset;
            HANDLE hFile;
        };
        PVOID pBuffer;
    };
} TRANSMIT_PACKETS_ELEMENT, *PTRANSMIT_PACKETS_ELEMENT, *LPTRANSMIT_PACKETS_ELEMENT;

#define WSAID_ACCEPTEX {0xb5367df1, 0xcbac, 0x11cf, {0x95, 0xca, 0x00, 0x80, 0x5f, 0x48, 0xa1, 0x92}}
#define WSAID_GETACCEPTEXSOCKADDRS {0xb5367df2, 0xcbac, 0x11cf, {0x95, 0xca, 0x00, 0x80, 0x5f, 0x48, 0xa1, 0x92}}
#define WSAID_TRANSMITFILE {0xb5367df0, 0xcbac, 0x11cf, {0x95, 0xca, 0x00, 0x80, 0x5f, 0x48, 0xa1, 0x92}}
#define WSAID_TRANSMITPACKETS {0xd9689da0, 0x1f90, 0x11d3, {0x99, 0x71, 0x00, 0xc0, 0x4f, 0x68, 0xc8, 0x76}}
#define WSAID_CONNECTEX {0x25a207b9, 0xddf3, 0x4660, {0x8e, 0xe9, 0x76, 0xe5, 0x8c, 0x74, 0x06, 0x3e}}
#define WSAID_DISCONNECTEX {0x7fda2e11, 0x8630, 0x436f, {0xa0, 0x31, 0xf5, 0x36, 0xa6, 0xee, 0xc1, 0x57}}
#define WSAID_WSARECVMSG {0xf689d7c8, 0x6f1f, 0x436b, {0x8a, 0x53, 0xe5, 0x4f, 0xe3, 0x51, 0xc3, 0x22}}
#define WSAID_WSASENDMSG {0xa441e712, 0x754f, 0x43ca, {0x84, 0xa7, 0x0d, 0xee, 0x44, 0xcf, 0x60, 0x6d}}

typedef BOOL(WINAPI *LPFN_ACCEPTEX)(SOCKET listener, SOCKET accepting, PVOID buffer, DWORD length,
                                    DWORD local_length, DWORD remote_length, LPDWORD received,
                                    LPOVERLAPPED overlapped);
typedef VOID(WINAPI *LPFN_GETACCEPTEXSOCKADDRS)(PVOID buffer, DWORD length, DWORD local_length, DWORD remote_length,
                                                struct sockaddr **local, LPINT local_size, struct sockaddr **remote,
                                                LPINT remote_size);
typedef BOOL(WINAPI *LPFN_TRANSMITFILE)(SOCKET s, HANDLE file, DWORD length, DWORD per_send, LPOVERLAPPED overlapped,
                                        LPTRANSMIT_FILE_BUFFERS buffers, DWORD flags);
typedef BOOL(WINAPI *LPFN_TRANSMITPACKETS)(SOCKET s, LPTRANSMIT_PACKETS_ELEMENT packets, DWORD count, DWORD per_send,
                                           LPOVERLAPPED overlapped, DWORD flags);
typedef BOOL(WINAPI *LPFN_CONNECTEX)(SOCKET s, const struct sockaddr *name, int length, PVOID data,
                                     DWORD data_length, LPDWORD sent, LPOVERLAPPED overlapped);
typedef BOOL(WINAPI *LPFN_DISCONNECTEX)(SOCKET s, LPOVERLAPPED overlapped, DWORD flags, DWORD reserved);
typedef INT(WINAPI *LPFN_WSARECVMSG)(SOCKET s, LPWSAMSG message, LPDWORD received, LPWSAOVERLAPPED overlapped,
                                     LPWSAOVERLAPPED_COMPLETION_ROUTINE routine);
typedef INT(WINAPI *LPFN_WSASENDMSG)(SOCKET s, LPWSAMSG message, DWORD flags, LPDWORD sent,
                                     LPWSAOVERLAPPED overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine);

OVERLAPPED_BEGIN
BOOL AcceptEx(SOCKET listener, SOCKET accepting, PVOID buffer, DWORD length, DWORD local_length, DWORD remote_length,
              LPDWORD received, LPOVERLAPPED overlapped);
VOID GetAcceptExSockaddrs(PVOID buffer, DWORD length, DWORD local_length, DWORD remote_length,
                          struct sockaddr **local, LPINT local_size, struct sockaddr **remote, LPINT remote_size);
BOOL TransmitFile(SOCKET s, HANDLE file, DWORD length, DWORD per_send, LPOVERLAPPED overlapped,
                  LPTRANSMIT_FILE_BUFFERS buffers, DWORD flags);
OVERLAPPED_END

#endif
