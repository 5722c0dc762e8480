/* Text that does not overrun. */
#ifndef _STRSAFE_H_INCLUDED_
#define _STRSAFE_H_INCLUDED_
#pragma GCC system_header
#include <winerror.h>
#include <stdio.h>
#include <string.h>

#define STRSAFE_MAX_CCH 2147483647
#define STRSAFE_E_INSUFFICIENT_BUFFER ((HRESULT)0x8007007a)
#define STRSAFE_E_INVALID_PARAMETER ((HRESULT)0x80070057)
#define STRSAFE_E_END_OF_FILE ((HRESULT)0x80070026)

/* What does not fit is cut, and said. A size in bytes is a size in characters here: text is ANSI. */
OVERLAPPED_INLINE HRESULT overlapped_string_copy(LPSTR to, size_t size, LPCSTR from, size_t most)
{
    if (!size || size > STRSAFE_MAX_CCH)
        return STRSAFE_E_INVALID_PARAMETER;
    size_t length = 0;
    /* Not strnlen, of which GCC believes that it reads as much as it may. */
    while (length < most && length < size && from[length])
        length++;
    size_t fits = length < size ? length : size - 1;
    memcpy(to, from, fits);
    to[fits] = 0;
    return length < size ? S_OK : STRSAFE_E_INSUFFICIENT_BUFFER;
}
OVERLAPPED_INLINE HRESULT StringCchCopyA(LPSTR to, size_t size, LPCSTR from)
{
    return overlapped_string_copy(to, size, from, STRSAFE_MAX_CCH);
}
OVERLAPPED_INLINE HRESULT StringCchCopyNA(LPSTR to, size_t size, LPCSTR from, size_t most)
{
    return overlapped_string_copy(to, size, from, most);
}
OVERLAPPED_INLINE HRESULT StringCchCatNA(LPSTR to, size_t size, LPCSTR from, size_t most)
{
    size_t have = strnlen(to, size);
    return have == size ? STRSAFE_E_INVALID_PARAMETER : overlapped_string_copy(to + have, size - have, from, most);
}
OVERLAPPED_INLINE HRESULT StringCchCatA(LPSTR to, size_t size, LPCSTR from)
{
    return StringCchCatNA(to, size, from, STRSAFE_MAX_CCH);
}
OVERLAPPED_INLINE HRESULT StringCchLengthA(LPCSTR text, size_t size, size_t *length)
{
    size_t have = text ? strnlen(text, size) : size;
    if (length)
        *length = have == size ? 0 : have;
    return have == size ? STRSAFE_E_INVALID_PARAMETER : S_OK;
}
OVERLAPPED_INLINE HRESULT StringCchVPrintfA(LPSTR to, size_t size, LPCSTR format, va_list arguments)
{
    if (!size || size > STRSAFE_MAX_CCH)
        return STRSAFE_E_INVALID_PARAMETER;
    int length = overlapped_vformat(to, size, format, arguments);
    return length >= 0 && (size_t)length < size ? S_OK : STRSAFE_E_INSUFFICIENT_BUFFER;
}
OVERLAPPED_INLINE HRESULT StringCchPrintfA(LPSTR to, size_t size, LPCSTR format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    HRESULT result = StringCchVPrintfA(to, size, format, arguments);
    va_end(arguments);
    return result;
}
#define StringCbCopyA StringCchCopyA
#define StringCbCopyNA StringCchCopyNA
#define StringCbCatA StringCchCatA
#define StringCbCatNA StringCchCatNA
#define StringCbLengthA StringCchLengthA
#define StringCbVPrintfA StringCchVPrintfA
#define StringCbPrintfA StringCchPrintfA
#define StringCchCopy StringCchCopyA
#define StringCbCopy StringCbCopyA
#define StringCchCopyN StringCchCopyNA
#define StringCbCopyN StringCbCopyNA
#define StringCchCat StringCchCatA
#define StringCbCat StringCbCatA
#define StringCchCatN StringCchCatNA
#define StringCbCatN StringCbCatNA
#define StringCchLength StringCchLengthA
#define StringCbLength StringCbLengthA
#define StringCchVPrintf StringCchVPrintfA
#define StringCbVPrintf StringCbVPrintfA
#define StringCchPrintf StringCchPrintfA
#define StringCbPrintf StringCbPrintfA

#endif
