/* Microsoft's formats, and the functions that do not overrun. Each line is what it prints on Windows as well. */
#include <windows.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __MINGW32__
#include <sec_api/stdio_s.h>
#include <sec_api/string_s.h>
#endif

static void vprint(const char *format, ...)
{
    va_list arguments;
    char text[64];
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    va_start(arguments, format);
    vfprintf(stdout, format, arguments);
    va_end(arguments);
    fprintf(stdout, "%s", text);
}

int main(void)
{
    char text[16], word[8], letter;
    int number = 0;
    LONG negative = -5;
    DWORD large = 4000000000u;

    printf("%ld %lu %lx %5ld|%-6ld|\n", negative, large, large, negative, negative);
    printf("%I64d %I64u %I64x %Iu %I32d\n", (__int64)-6000000000LL, (unsigned __int64)1 << 63, (__int64)255, sizeof(text), 7);
    printf("%lld %hd %c %s%%\n", -1LL, (short)-3, 'x', "text");
    printf("%s %.3s %*d %-*d| %05.1f\n", "a", "abcdef", 4, 42, 4, 42, 3.14159);
    printf("%d\n", _snprintf(text, sizeof(text), "%s", "0123456789abcdef0123"));
    printf("%d %s\n", _snprintf(text, sizeof(text), "%ld", negative), text);
    printf("%d %s|\n", strcpy_s(word, sizeof(word), "fits") == 0, word);
    printf("%d\n", sscanf_s("12 words x", "%d %s %c", &number, word, (unsigned)sizeof(word), &letter, 1u));
    printf("%d %s %c\n", number, word, letter);
    printf("%d %s\n", sprintf_s(text, sizeof(text), "%lu", large), text);
    vprint("%ld %I64d\n", negative, (__int64)1 << 40);
    return 0;
}
