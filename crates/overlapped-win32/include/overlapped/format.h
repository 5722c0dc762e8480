/* Microsoft's format strings.

   In them `%ld` is 32 bits wide and `%I64d` 64, and a program prints a DWORD with `%lu`. So formats are
   put into libc's words before libc sees them. <stdio.h> includes this. */
#ifndef OVERLAPPED_FORMAT_H
#define OVERLAPPED_FORMAT_H
#pragma GCC system_header
#include <overlapped/platform.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Writes `from` to `to` in libc's words; it does not grow: `I64` is `ll` there. */
OVERLAPPED_INLINE void overlapped_format(const char *from, char *to)
{
    while (*from) {
        if (*from != '%') {
            *to++ = *from++;
            continue;
        }
        *to++ = *from++;
        while (*from && strchr("-+ #0123456789.*'", *from))
            *to++ = *from++;
        if (!strncmp(from, "I64", 3)) {
            from += 3;
            *to++ = 'l';
            *to++ = 'l';
        } else if (!strncmp(from, "I32", 3)) {
            from += 3;
        } else if (*from == 'I') {
            from++;
            *to++ = 'z';
        } else if (*from == 'l' && from[1] != 'l' && from[1] && strchr("diuxXo", from[1])) {
            from++;
        } else if (*from == 'h' && (from[1] == 's' || from[1] == 'c')) {
            from++;
        }
        /* A second `l`, `j`, `z`, `t` and the conversion itself are libc's too. */
        while (*from && strchr("hljztL", *from))
            *to++ = *from++;
        if (*from)
            *to++ = *from++;
    }
    *to = 0;
}

/* Room for a format in libc's words: on the stack if it is short. */
#define OVERLAPPED_WITH_FORMAT(format, translated, result, call) \
    do { \
        size_t overlapped_room = strlen(format) + 1; \
        char overlapped_short[512]; \
        char *translated = overlapped_room <= sizeof overlapped_short ? overlapped_short \
                                                                      : (char *)malloc(overlapped_room); \
        if (!translated) \
            return -1; \
        overlapped_format((format), translated); \
        result = (call); \
        if (translated != overlapped_short) \
            free(translated); \
    } while (0)

OVERLAPPED_BEGIN
int overlapped_libc_vsnprintf(char *to, size_t size, const char *format, va_list arguments) __asm__("vsnprintf");
int overlapped_libc_vfprintf(FILE *file, const char *format, va_list arguments) __asm__("vfprintf");
OVERLAPPED_END

/* As vsnprintf does: the length that it has or would have, and always an end. */
OVERLAPPED_INLINE int overlapped_vformat(char *to, size_t size, const char *format, va_list arguments)
{
    int length;
    OVERLAPPED_WITH_FORMAT(format, translated, length,
                           overlapped_libc_vsnprintf(to, size, translated, arguments));
    return length;
}
OVERLAPPED_INLINE int overlapped_vfprintf(FILE *file, const char *format, va_list arguments)
{
    int length;
    OVERLAPPED_WITH_FORMAT(format, translated, length, overlapped_libc_vfprintf(file, translated, arguments));
    return length;
}

#endif
