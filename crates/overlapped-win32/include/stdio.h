/* libc's header, and its printf family with Microsoft's format strings.

   libc's own is declared under other names, so that what the program calls printf can be ours without a
   macro: `std::printf` and members of that name stay what they are. */
#pragma GCC system_header
#ifndef OVERLAPPED_STDIO_H
#define printf overlapped_libc_printf
#define fprintf overlapped_libc_fprintf_
#define sprintf overlapped_libc_sprintf
#define snprintf overlapped_libc_snprintf
#define vprintf overlapped_libc_vprintf
#define vfprintf overlapped_libc_vfprintf_
#define vsprintf overlapped_libc_vsprintf
#define vsnprintf overlapped_libc_vsnprintf_
#include_next <stdio.h>
#undef printf
#undef fprintf
#undef sprintf
#undef snprintf
#undef vprintf
#undef vfprintf
#undef vsprintf
#undef vsnprintf
/* <stdio.h> in parts (`__need_FILE`, C11's wchar.h) comes here too. */
#ifdef stdin
#define OVERLAPPED_STDIO_H
#include <overlapped/format.h>

/* Under another symbol, since beneath them libc's is called. */
#ifdef __cplusplus
#define OVERLAPPED_PRINTF(name, parameters) \
    extern "C" inline int name parameters __asm__("overlapped_ms_" #name); \
    extern "C" inline int name parameters
#else
#define OVERLAPPED_PRINTF(name, parameters) \
    OVERLAPPED_INLINE int name parameters __asm__("overlapped_ms_" #name); \
    OVERLAPPED_INLINE int name parameters
#endif
OVERLAPPED_PRINTF(vfprintf, (FILE * file, const char *format, va_list arguments))
{
    return overlapped_vfprintf(file, format, arguments);
}
OVERLAPPED_PRINTF(vprintf, (const char *format, va_list arguments))
{
    return overlapped_vfprintf(stdout, format, arguments);
}
OVERLAPPED_PRINTF(vsnprintf, (char *to, size_t size, const char *format, va_list arguments))
{
    return overlapped_vformat(to, size, format, arguments);
}
OVERLAPPED_PRINTF(vsprintf, (char *to, const char *format, va_list arguments))
{
    return overlapped_vformat(to, (size_t)-1 >> 1, format, arguments);
}
#define OVERLAPPED_ARGUMENTS(call) \
    va_list arguments; \
    va_start(arguments, format); \
    int length = call; \
    va_end(arguments); \
    return length
OVERLAPPED_PRINTF(printf, (const char *format, ...))
{
    OVERLAPPED_ARGUMENTS(overlapped_vfprintf(stdout, format, arguments));
}
OVERLAPPED_PRINTF(fprintf, (FILE * file, const char *format, ...))
{
    OVERLAPPED_ARGUMENTS(overlapped_vfprintf(file, format, arguments));
}
OVERLAPPED_PRINTF(snprintf, (char *to, size_t size, const char *format, ...))
{
    OVERLAPPED_ARGUMENTS(overlapped_vformat(to, size, format, arguments));
}
OVERLAPPED_PRINTF(sprintf, (char *to, const char *format, ...))
{
    OVERLAPPED_ARGUMENTS(overlapped_vformat(to, (size_t)-1 >> 1, format, arguments));
}
#endif
#endif
