/* Files by number, as Microsoft's C library has them. */
#ifndef _INC_IO
#define _INC_IO
#pragma GCC system_header
#include <overlapped/crt.h>
#include <fcntl.h>
#include <unistd.h>

#define _access access
#define _close close
#define _dup dup
#define _dup2 dup2
#define _isatty isatty
#define _lseek lseek
#define _lseeki64 lseek
#define _read read
#define _unlink unlink
#define _write write
#define _setmode(file, mode) 0
#define setmode(file, mode) 0
#define _O_BINARY 0
#define _O_TEXT 0

#endif
