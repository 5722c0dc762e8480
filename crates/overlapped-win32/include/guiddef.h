/* GUIDs. */
#ifndef GUID_DEFINED
#define GUID_DEFINED
#pragma GCC system_header
#include <overlapped/platform.h>
#include <string.h>

typedef struct _GUID {
    unsigned int Data1;
    unsigned short Data2;
    unsigned short Data3;
    unsigned char Data4[8];
} GUID, IID, CLSID, UUID;
typedef GUID *LPGUID;
typedef const GUID *LPCGUID;
#ifdef __cplusplus
#define REFGUID const GUID &
#define REFIID const IID &
OVERLAPPED_INLINE bool IsEqualGUID(REFGUID a, REFGUID b) { return !memcmp(&a, &b, sizeof a); }
OVERLAPPED_INLINE bool operator==(REFGUID a, REFGUID b) { return IsEqualGUID(a, b); }
OVERLAPPED_INLINE bool operator!=(REFGUID a, REFGUID b) { return !IsEqualGUID(a, b); }
#else
#define REFGUID const GUID *
#define REFIID const IID *
#define IsEqualGUID(a, b) (!memcmp((a), (b), sizeof(GUID)))
#endif
#define InlineIsEqualGUID(a, b) IsEqualGUID(a, b)
#define DEFINE_GUID(name, l, w1, w2, b1, b2, b3, b4, b5, b6, b7, b8) \
    OVERLAPPED_CONST_GUID name = {l, w1, w2, {b1, b2, b3, b4, b5, b6, b7, b8}}
#ifdef __cplusplus
#define OVERLAPPED_CONST_GUID extern "C" const __attribute__((weak)) GUID
#else
#define OVERLAPPED_CONST_GUID const __attribute__((weak)) GUID
#endif

#endif
