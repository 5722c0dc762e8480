/* Copies a file by overlapped reads and writes, four pieces at a time, each read's end starting the write and
   each write's end the next read. */
#include <windows.h>
#include <stdio.h>

#define PIECE 65536
#define PIECES 4

typedef struct _PART {
    OVERLAPPED ol;
    BOOL writing;
    char data[PIECE];
} PART;

static PART Parts[PIECES];
static LARGE_INTEGER Size, Next, Done;

static int Fail(const char *what)
{
    char text[256];
    DWORD error = GetLastError();
    FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, error, 0, text, sizeof(text), NULL);
    printf("%s: error %lu\n", what, error);
    return 1;
}

static BOOL Read(HANDLE from, PART *part)
{
    ZeroMemory(&part->ol, sizeof(part->ol));
    part->ol.Offset = Next.LowPart;
    part->ol.OffsetHigh = (DWORD)Next.HighPart;
    part->writing = FALSE;
    Next.QuadPart += PIECE;
    return ReadFile(from, part->data, PIECE, NULL, &part->ol) || GetLastError() == ERROR_IO_PENDING;
}

int main(int argc, char **argv)
{
    HANDLE from, to, port;
    int i, underway = 0;

    if (argc < 3) {
        printf("usage: copy from to\n");
        return 2;
    }
    from = CreateFile(argv[1], GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL);
    if (from == INVALID_HANDLE_VALUE)
        return Fail("cannot open");
    to = CreateFile(argv[2], GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, FILE_FLAG_OVERLAPPED | FILE_ATTRIBUTE_NORMAL, NULL);
    if (to == INVALID_HANDLE_VALUE)
        return Fail("cannot create");
    if (!GetFileSizeEx(from, &Size))
        return Fail("size");
    port = CreateIoCompletionPort(from, NULL, 1, 1);
    if (port == NULL || CreateIoCompletionPort(to, port, 2, 0) != port)
        return Fail("port");

    for (i = 0; i < PIECES && Next.QuadPart < Size.QuadPart; i++) {
        if (!Read(from, &Parts[i]))
            return Fail("read");
        underway++;
    }
    while (underway > 0) {
        DWORD bytes;
        ULONG_PTR key;
        LPOVERLAPPED ol;
        PART *part;
        if (!GetQueuedCompletionStatus(port, &bytes, &key, &ol, INFINITE))
            return Fail(key == 1 ? "read" : "write");
        part = CONTAINING_RECORD(ol, PART, ol);
        if (key == 1) {
            part->writing = TRUE;
            if (!WriteFile(to, part->data, bytes, NULL, &part->ol) && GetLastError() != ERROR_IO_PENDING)
                return Fail("write");
        } else {
            Done.QuadPart += bytes;
            underway--;
            if (Next.QuadPart < Size.QuadPart) {
                if (!Read(from, part))
                    return Fail("read");
                underway++;
            }
        }
    }
    CloseHandle(from);
    CloseHandle(to);
    CloseHandle(port);
    printf("copied %I64d of %I64d bytes\n", Done.QuadPart, Size.QuadPart);
    return Done.QuadPart == Size.QuadPart ? 0 : 1;
}
