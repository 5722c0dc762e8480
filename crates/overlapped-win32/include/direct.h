/* Directories, as Microsoft's C library has them. */
#ifndef _INC_DIRECT
#define _INC_DIRECT
#pragma GCC system_header
#include <overlapped/crt.h>
#include <sys/stat.h>
#include <unistd.h>

#define _chdir chdir
#define _getcwd getcwd
#define _rmdir rmdir
#define _mkdir(name) mkdir((name), 0777)

#endif
