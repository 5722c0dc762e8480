/* What Microsoft's C library has beside C's: the `_s` functions, the names with an underscore. The wrapper
   includes it into every program, since there it comes with <stdio.h>, <string.h> and <stdlib.h>.

   The `_s` functions refuse what does not fit: they leave the destination empty and return ERANGE or
   EINVAL. There is no invalid-parameter handler that ends the program. */
#ifndef OVERLAPPED_CRT_H
#define OVERLAPPED_CRT_H
#pragma GCC system_header
#include <overlapped/platform.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

typedef int errno_t;
typedef size_t rsize_t;
#define _TRUNCATE ((size_t)-1)
#ifndef _MAX_PATH
#define _MAX_PATH 260
#define _MAX_DRIVE 3
#define _MAX_DIR 256
#define _MAX_FNAME 256
#define _MAX_EXT 256
#endif
#ifndef _countof
#define _countof(array) (sizeof(array) / sizeof((array)[0]))
#endif
#define _stricmp strcasecmp
#define _strcmpi strcasecmp
#define _strnicmp strncasecmp
#ifndef __cplusplus
#define stricmp strcasecmp
#define strcmpi strcasecmp
#define strnicmp strncasecmp
#else
OVERLAPPED_INLINE int stricmp(const char *a, const char *b) { return strcasecmp(a, b); }
OVERLAPPED_INLINE int strnicmp(const char *a, const char *b, size_t n) { return strncasecmp(a, b, n); }
#endif
#define _strdup strdup
#define _fileno fileno
#define _popen popen
#define _pclose pclose
#define _atoi64 atoll
#define _strtoi64 strtoll
#define _strtoui64 strtoull
#define _vsnprintf overlapped_vsnprintf_unended
#define _snprintf overlapped_snprintf_unended
#define strtok_s strtok_r
#define _fsopen(name, mode, share) fopen((name), (mode))
#define _set_invalid_parameter_handler(handler) ((void *)0)
#define _CRT_UNUSED(x) ((void)(x))
#define _CRTIMP

OVERLAPPED_BEGIN
void *_aligned_malloc(size_t length, size_t alignment);
void *_aligned_realloc(void *memory, size_t length, size_t alignment);
void _aligned_free(void *memory);
OVERLAPPED_END

OVERLAPPED_INLINE char *_strlwr(char *text)
{
    for (char *c = text; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c += 'a' - 'A';
    return text;
}
OVERLAPPED_INLINE char *_strupr(char *text)
{
    for (char *c = text; *c; c++)
        if (*c >= 'a' && *c <= 'z')
            *c -= 'a' - 'A';
    return text;
}
OVERLAPPED_INLINE char *_ultoa(unsigned int value, char *to, int base)
{
    char digits[33], *at = digits + 32;
    *at = 0;
    do
        *--at = "0123456789abcdefghijklmnopqrstuvwxyz"[value % (unsigned)base];
    while (value /= (unsigned)base);
    return strcpy(to, at);
}
OVERLAPPED_INLINE char *_itoa(int value, char *to, int base)
{
    if (base == 10 && value < 0) {
        *to = '-';
        _ultoa(-(unsigned)value, to + 1, base);
    } else {
        _ultoa((unsigned)value, to, base);
    }
    return to;
}
#define _ltoa _itoa
#define itoa _itoa
#define ltoa _itoa
#define ultoa _ultoa

/* Without an end if the text fills `to`, and -1 if it is longer. */
OVERLAPPED_INLINE int overlapped_vsnprintf_unended(char *to, size_t size, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int length = overlapped_vformat(NULL, 0, format, again);
    va_end(again);
    if (length < 0)
        return -1;
    if ((size_t)length < size)
        return overlapped_vformat(to, size, format, arguments);
    char *whole = (char *)malloc((size_t)length + 1);
    if (!whole)
        return -1;
    overlapped_vformat(whole, (size_t)length + 1, format, arguments);
    memcpy(to, whole, size);
    free(whole);
    return (size_t)length == size ? length : -1;
}
OVERLAPPED_INLINE int overlapped_snprintf_unended(char *to, size_t size, const char *format, ...)
{
    OVERLAPPED_ARGUMENTS(overlapped_vsnprintf_unended(to, size, format, arguments));
}
OVERLAPPED_INLINE int _vscprintf(const char *format, va_list arguments)
{
    return overlapped_vformat(NULL, 0, format, arguments);
}
OVERLAPPED_INLINE int _scprintf(const char *format, ...)
{
    OVERLAPPED_ARGUMENTS(overlapped_vformat(NULL, 0, format, arguments));
}

/* Copying. */
OVERLAPPED_INLINE errno_t memcpy_s(void *to, rsize_t size, const void *from, rsize_t length)
{
    if (!length)
        return 0;
    if (!to)
        return EINVAL;
    if (!from || length > size) {
        memset(to, 0, size);
        return from ? ERANGE : EINVAL;
    }
    memcpy(to, from, length);
    return 0;
}
OVERLAPPED_INLINE errno_t memmove_s(void *to, rsize_t size, const void *from, rsize_t length)
{
    if (!length)
        return 0;
    if (!to || !from)
        return EINVAL;
    if (length > size)
        return ERANGE;
    memmove(to, from, length);
    return 0;
}
OVERLAPPED_INLINE errno_t strncpy_s(char *to, rsize_t size, const char *from, rsize_t most)
{
    if (!to || !size)
        return EINVAL;
    if (!from) {
        *to = 0;
        return EINVAL;
    }
    rsize_t length = strnlen(from, most == _TRUNCATE ? size : most);
    if (length >= size) {
        if (most == _TRUNCATE) {
            memcpy(to, from, size - 1);
            to[size - 1] = 0;
            return 80; /* STRUNCATE */
        }
        *to = 0;
        return ERANGE;
    }
    memcpy(to, from, length);
    to[length] = 0;
    return 0;
}
OVERLAPPED_INLINE errno_t strcpy_s(char *to, rsize_t size, const char *from)
{
    return strncpy_s(to, size, from, from ? strlen(from) : 0);
}
OVERLAPPED_INLINE errno_t strncat_s(char *to, rsize_t size, const char *from, rsize_t most)
{
    rsize_t have = to ? strnlen(to, size) : 0;
    if (!to || have == size)
        return EINVAL;
    errno_t error = strncpy_s(to + have, size - have, from, most);
    if (error == ERANGE || error == EINVAL)
        *to = 0;
    return error;
}
OVERLAPPED_INLINE errno_t strcat_s(char *to, rsize_t size, const char *from)
{
    return strncat_s(to, size, from, from ? strlen(from) : 0);
}
OVERLAPPED_INLINE size_t strnlen_s(const char *text, size_t most) { return text ? strnlen(text, most) : 0; }
OVERLAPPED_INLINE errno_t _itoa_s(int value, char *to, size_t size, int base)
{
    char text[34];
    _itoa(value, text, base);
    return strcpy_s(to, size, text);
}

/* Formatting. */
OVERLAPPED_INLINE int vsprintf_s(char *to, size_t size, const char *format, va_list arguments)
{
    int length = overlapped_vformat(to, size, format, arguments);
    if (length >= 0 && (size_t)length < size)
        return length;
    if (to && size)
        *to = 0;
    errno = ERANGE;
    return -1;
}
OVERLAPPED_INLINE int sprintf_s(char *to, size_t size, const char *format, ...)
{
    OVERLAPPED_ARGUMENTS(vsprintf_s(to, size, format, arguments));
}
OVERLAPPED_INLINE int _vsnprintf_s(char *to, size_t size, size_t most, const char *format, va_list arguments)
{
    size_t room = most == _TRUNCATE || most >= size ? size : most + 1;
    int length = overlapped_vformat(to, room, format, arguments);
    if (length >= 0 && (size_t)length < room)
        return length;
    if (room == size && most != _TRUNCATE && size)
        *to = 0;
    return -1;
}
OVERLAPPED_INLINE int _snprintf_s(char *to, size_t size, size_t most, const char *format, ...)
{
    OVERLAPPED_ARGUMENTS(_vsnprintf_s(to, size, most, format, arguments));
}
OVERLAPPED_INLINE int vprintf_s(const char *format, va_list arguments)
{
    return overlapped_vfprintf(stdout, format, arguments);
}
OVERLAPPED_INLINE int printf_s(const char *format, ...)
{
    OVERLAPPED_ARGUMENTS(overlapped_vfprintf(stdout, format, arguments));
}
OVERLAPPED_INLINE int vfprintf_s(FILE *file, const char *format, va_list arguments)
{
    return overlapped_vfprintf(file, format, arguments);
}
OVERLAPPED_INLINE int fprintf_s(FILE *file, const char *format, ...)
{
    OVERLAPPED_ARGUMENTS(overlapped_vfprintf(file, format, arguments));
}

/* Reading: behind the address of text stands how much there is room for, so the addresses are collected
   and the widths are written into the format. */
OVERLAPPED_INLINE int overlapped_vscanf_s(FILE *file, const char *text, const char *format, va_list arguments)
{
    char widths[1024], *to = widths, *end = widths + sizeof widths - 16;
    void *at[16] = {0};
    unsigned count = 0;
    for (; *format && to < end; format++) {
        *to++ = *format;
        if (*format != '%')
            continue;
        char *begin = to;
        format++;
        int skipped = *format == '*';
        if (skipped)
            *to++ = *format++;
        unsigned width = 0;
        for (; *format >= '0' && *format <= '9'; format++)
            width = width * 10 + (unsigned)(*format - '0');
        if (!strncmp(format, "I64", 3)) {
            format += 3;
            *to++ = 'l';
            *to++ = 'l';
        } else if (*format == 'l' && strchr("diuxXo", format[1])) {
            format++;
        }
        const char *conversion = format;
        while (*conversion && strchr("hlLjzt", *conversion))
            conversion++;
        if (*conversion && *conversion != '%' && !skipped) {
            if (count == 16)
                return -1;
            at[count++] = va_arg(arguments, void *);
            if (strchr("sc[", *conversion)) {
                unsigned room = va_arg(arguments, unsigned);
                unsigned most = *conversion == 'c' ? room : room ? room - 1 : 0;
                if (!most || (*conversion == 'c' && width > room))
                    return -1;
                if (!width && *conversion == 'c')
                    width = 1;
                if (!width || width > most)
                    width = most;
            }
        }
        if (width) {
            char digits[12];
            int length = 0;
            for (; width; width /= 10)
                digits[length++] = (char)('0' + width % 10);
            size_t kept = (size_t)(to - begin);
            char modifiers[4];
            memcpy(modifiers, begin, kept < 4 ? kept : 3);
            to = begin + skipped;
            while (length)
                *to++ = digits[--length];
            for (size_t i = (size_t)skipped; i < kept && i < 4; i++)
                *to++ = modifiers[i];
        }
        while (format < conversion)
            *to++ = *format++;
        *to++ = *format;
        if (*format == '[') {
            format++;
            if (*format == '^')
                *to++ = *format++;
            if (*format == ']')
                *to++ = *format++;
            for (; *format && *format != ']' && to < end; format++)
                *to++ = *format;
            *to++ = *format;
        }
        if (!*format)
            break;
    }
    *to = 0;
#define OVERLAPPED_AT \
    at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7], at[8], at[9], at[10], at[11], at[12], at[13], at[14], at[15]
    return file ? fscanf(file, widths, OVERLAPPED_AT) : sscanf(text, widths, OVERLAPPED_AT);
#undef OVERLAPPED_AT
}
OVERLAPPED_INLINE int scanf_s(const char *format, ...)
{
    OVERLAPPED_ARGUMENTS(overlapped_vscanf_s(stdin, NULL, format, arguments));
}
OVERLAPPED_INLINE int fscanf_s(FILE *file, const char *format, ...)
{
    OVERLAPPED_ARGUMENTS(overlapped_vscanf_s(file, NULL, format, arguments));
}
OVERLAPPED_INLINE int sscanf_s(const char *text, const char *format, ...)
{
    OVERLAPPED_ARGUMENTS(overlapped_vscanf_s(NULL, text, format, arguments));
}
OVERLAPPED_INLINE char *gets_s(char *to, rsize_t size)
{
    if (!fgets(to, (int)size, stdin))
        return NULL;
    to[strcspn(to, "\n")] = 0;
    return to;
}

/* Files and time. */
OVERLAPPED_INLINE errno_t fopen_s(FILE **file, const char *name, const char *mode)
{
    *file = fopen(name, mode);
    return *file ? 0 : errno;
}
OVERLAPPED_INLINE errno_t freopen_s(FILE **file, const char *name, const char *mode, FILE *old)
{
    *file = freopen(name, mode, old);
    return *file ? 0 : errno;
}
OVERLAPPED_INLINE errno_t localtime_s(struct tm *to, const time_t *from)
{
    return localtime_r(from, to) ? 0 : EINVAL;
}
OVERLAPPED_INLINE errno_t gmtime_s(struct tm *to, const time_t *from) { return gmtime_r(from, to) ? 0 : EINVAL; }
OVERLAPPED_INLINE errno_t ctime_s(char *to, size_t size, const time_t *from)
{
    char text[26];
    return ctime_r(from, text) ? strcpy_s(to, size, text) : EINVAL;
}
OVERLAPPED_INLINE errno_t asctime_s(char *to, size_t size, const struct tm *from)
{
    char text[26];
    return asctime_r(from, text) ? strcpy_s(to, size, text) : EINVAL;
}
OVERLAPPED_INLINE errno_t strerror_s(char *to, size_t size, int error)
{
    return strcpy_s(to, size, strerror(error));
}

#ifdef __cplusplus
/* In C++ the size of an array is known. */
template <size_t N> errno_t strcpy_s(char (&to)[N], const char *from) { return strcpy_s(to, N, from); }
template <size_t N> errno_t strcat_s(char (&to)[N], const char *from) { return strcat_s(to, N, from); }
template <size_t N> errno_t strncpy_s(char (&to)[N], const char *from, rsize_t most)
{
    return strncpy_s(to, N, from, most);
}
template <size_t N> errno_t strncat_s(char (&to)[N], const char *from, rsize_t most)
{
    return strncat_s(to, N, from, most);
}
template <size_t N> errno_t _itoa_s(int value, char (&to)[N], int base) { return _itoa_s(value, to, N, base); }
template <size_t N, class... Arguments> int sprintf_s(char (&to)[N], const char *format, Arguments... arguments)
{
    return (sprintf_s)((char *)to, N, format, arguments...);
}
template <size_t N> int vsprintf_s(char (&to)[N], const char *format, va_list arguments)
{
    return vsprintf_s((char *)to, N, format, arguments);
}
template <size_t N, class... Arguments>
int _snprintf_s(char (&to)[N], size_t most, const char *format, Arguments... arguments)
{
    return (_snprintf_s)((char *)to, N, most, format, arguments...);
}
template <size_t N> errno_t ctime_s(char (&to)[N], const time_t *from) { return ctime_s(to, N, from); }
template <size_t N> errno_t strerror_s(char (&to)[N], int error) { return strerror_s(to, N, error); }
#endif

#endif
