// The header that the tutorial includes: Winsock begins and ends with an object.
#include <winsock2.h>
#include <stdlib.h>
#pragma comment(lib, "WS2_32")

class CInitSock
{
public:
    CInitSock(BYTE minorVer = 2, BYTE majorVer = 2)
    {
        WSADATA wsaData;
        if (::WSAStartup(MAKEWORD(minorVer, majorVer), &wsaData) != 0)
            exit(0);
    }
    ~CInitSock() { ::WSACleanup(); }
};
