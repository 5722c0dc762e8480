/* Pipes. */
#ifndef _NAMEDPIPE_H_
#define _NAMEDPIPE_H_
#pragma GCC system_header
#include <minwinbase.h>

OVERLAPPED_BEGIN
BOOL CreatePipe(PHANDLE read, PHANDLE write, LPSECURITY_ATTRIBUTES attributes, DWORD size);
BOOL ConnectNamedPipe(HANDLE pipe, LPOVERLAPPED overlapped);
BOOL DisconnectNamedPipe(HANDLE pipe);
HANDLE CreateNamedPipeA(LPCSTR name, DWORD open_mode, DWORD pipe_mode, DWORD instances, DWORD out_size, DWORD in_size,
                        DWORD timeout, LPSECURITY_ATTRIBUTES attributes);
OVERLAPPED_END

#endif
