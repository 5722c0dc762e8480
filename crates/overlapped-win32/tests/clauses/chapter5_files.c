/* Chapter 5: overlapped operations on regular files.

   Not expressible here:
   IO-19   there are no pipes; the Rust face has them */
#include "associated.h"

static void io_18(void)
{
    OVERLAPPED ol = {0};
    HANDLE port = Port(0), file;
    DWORD bytes;
    PACKET packet;
    BOOL ok;
    file = CreateFileA("io_18.tmp", GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS,
                       FILE_FLAG_OVERLAPPED | FILE_FLAG_DELETE_ON_CLOSE, NULL);
    CHECK(file != INVALID_HANDLE_VALUE, "error %lu", GetLastError());
    CHECK(CreateIoCompletionPort(file, port, 3, 0) == port);
    ol.Offset = 4;
    CHECK(WriteFile(file, "abcdef", 6, NULL, &ol) || GetLastError() == ERROR_IO_PENDING);
    packet = Get(port, SOON);
    CHECK(packet.ok && packet.key == 3 && packet.bytes == 6);
    /* Before the end, */
    memset(&ol, 0, sizeof(ol));
    ol.Offset = 5;
    CHECK(ReadFile(file, Buffer, 3, NULL, &ol) || GetLastError() == ERROR_IO_PENDING);
    packet = Get(port, SOON);
    CHECK(packet.ok && packet.bytes == 3 && memcmp(Buffer, "bcd", 3) == 0);
    /* across it, */
    memset(&ol, 0, sizeof(ol));
    ol.Offset = 8;
    CHECK(ReadFile(file, Buffer, 8, NULL, &ol) || GetLastError() == ERROR_IO_PENDING);
    packet = Get(port, SOON);
    CHECK(packet.ok && packet.bytes == 2 && memcmp(Buffer, "ef", 2) == 0);
    /* at it, and behind it. */
    for (bytes = 10; bytes <= 20; bytes += 10) {
        memset(&ol, 0, sizeof(ol));
        ol.Offset = bytes;
        ok = ReadFile(file, Buffer, 8, NULL, &ol);
        if (!ok && GetLastError() == ERROR_IO_PENDING) {
            packet = Get(port, SOON);
            CHECK(!packet.ok && packet.error == ERROR_HANDLE_EOF && packet.bytes == 0, "error %lu", packet.error);
        } else {
            CHECK(!ok && GetLastError() == ERROR_HANDLE_EOF, "error %lu", GetLastError());
        }
    }
    CHECK(SetFilePointer(file, 0, NULL, FILE_CURRENT) == 0);
    CHECK(IsEmpty(port));
    CloseHandle(file);
    CloseHandle(port);
}

int main(void)
{
    Start();
    RUN("IO-18", io_18);
    return 0;
}
