// The tutorial's server that this project began with, as printed: only what the web page lost is back (the names of
// two headers, two asterisks, quotes and ampersands; the stray lines of question marks are gone). Its bugs
// are its own. It needs --lp32: a pointer is its completion key by way of a DWORD.
#include "initsock.h"
#include <stdio.h>

// Initialize the Winsock library
CInitSock theSock;

#define BUFFER_SIZE 1024

typedef struct _PER_HANDLE_DATA // per-handle data
{
SOCKET s; // corresponding socket handle
sockaddr_in addr; // client address
} PER_HANDLE_DATA, *PPER_HANDLE_DATA;


typedef struct _PER_IO_DATA // per-I/O data
{
OVERLAPPED ol; // overlapping structure
char buf[BUFFER_SIZE]; // data buffer
int nOperationType; // operation type
#define OP_READ 1
#define OP_WRITE 2
#define OP_ACCEPT 3
} PER_IO_DATA, *PPER_IO_DATA;


DWORD WINAPI ServerThread(LPVOID lpParam)
{
// Get the completion port object handle
HANDLE hCompletion = (HANDLE) lpParam;

DWORD dwTrans;
PPER_HANDLE_DATA pPerHandle;
PPER_IO_DATA pPerIO;
while(TRUE)
{
// Wait for I/O to complete on all sockets associated to this completion port
BOOL bOK = ::GetQueuedCompletionStatus(hCompletion,
&dwTrans, (LPDWORD) &pPerHandle, (LPOVERLAPPED
*) &pPerIO, WSA_INFINITE);
if(!bOK) // an error occurred on this socket
{
::closesocket(pPerHandle->s);
::GlobalFree(pPerHandle);
::GlobalFree(pPerIO);
continue;
}

if(dwTrans == 0 && // The socket is closed by the other party
  (pPerIO->nOperationType == OP_READ || pPerIO->nOperationType == OP_WRITE))
  
{
  ::closesocket(pPerHandle->s);
  ::GlobalFree(pPerHandle);
  ::GlobalFree(pPerIO);
  continue;
}


switch(pPerIO->nOperationType) // Check what I/O request is completed through the nOperationType field in the per-I/O data
{
case OP_READ: // Complete a receive request
{
pPerIO->buf[dwTrans] = '\0';
printf(pPerIO -> buf);

 // Continue to deliver and receive I/O requests
    WSABUF buf;
    buf.buf = pPerIO->buf;
    buf.len = BUFFER_SIZE;
    pPerIO->nOperationType = OP_READ;


DWORD nFlags = 0;
::WSARecv(pPerHandle->s, &buf, 1, &dwTrans, &nFlags, &pPerIO->ol, NULL);
}
break;
case OP_WRITE: // These types of I/O requests are not delivered in this example
case OP_ACCEPT:
break;
}
}
return 0;
}


void main()
{
int nPort = 4567;
// Create a completion port object, create a worker thread to process events in the completion port object
HANDLE hCompletion = ::CreateIoCompletionPort(INVALID_HANDLE_VALUE, 0, 0, 0);
::CreateThread(NULL, 0, ServerThread, (LPVOID)hCompletion, 0, 0);

// Create a listening socket, bind it to a local address, and start listening
SOCKET sListen = ::socket(AF_INET, SOCK_STREAM, 0);
SOCKADDR_IN si;
si.sin_family = AF_INET;
si.sin_port = ::ntohs(nPort);
si.sin_addr.S_un.S_addr = INADDR_ANY;
::bind(sListen, (sockaddr*) &si, sizeof(si));
::listen(sListen, 5);

// loop through incoming connections
while(TRUE)
{
// Wait for pending connection requests to be accepted
SOCKADDR_IN saRemote;
int nRemoteLen = sizeof(saRemote);
SOCKET sNew = ::accept(sListen, (sockaddr*) &saRemote, &nRemoteLen);

// After accepting a new connection, create a per-handle data for it and associate them with the completion port object.
PPER_HANDLE_DATA pPerHandle =
(PPER_HANDLE_DATA)::GlobalAlloc(GPTR, sizeof(PER_HANDLE_DATA));
pPerHandle->s = sNew;
memcpy( &pPerHandle->addr, &saRemote, nRemoteLen);
::CreateIoCompletionPort((HANDLE)pPerHandle->s, hCompletion, (DWORD)pPerHandle, 0);

// Post a receive request
PPER_IO_DATA pPerIO = (PPER_IO_DATA)::GlobalAlloc(GPTR, sizeof(PER_IO_DATA));
pPerIO->nOperationType = OP_READ;
WSABUF buf;
buf.buf = pPerIO->buf;
buf.len = BUFFER_SIZE;
DWORD dwRecv;
DWORD dwFlags = 0;
::WSARecv(pPerHandle->s, &buf, 1, &dwRecv, &dwFlags, &pPerIO->ol, NULL);

}
}
