/* Structured exceptions, as far as C++ exceptions can stand for them.

   `__leave` ends the guarded block; the block of `__finally` runs when the guarded one ends or is left,
   but not when it is returned from or an exception passes. `__except` sees what C++ throws; what the
   machine does (a wild pointer) ends the program as everywhere on Linux. In C there is no such thing. */
#ifndef OVERLAPPED_EXCPT_H
#define OVERLAPPED_EXCPT_H
#pragma GCC system_header

#define EXCEPTION_EXECUTE_HANDLER 1
#define EXCEPTION_CONTINUE_SEARCH 0
#define EXCEPTION_CONTINUE_EXECUTION (-1)

#ifdef __cplusplus
struct overlapped_leave_tag {};
#ifdef __cpp_exceptions
/* libstdc++ has a macro of this name and meaning. */
#undef __try
#define __try try
#define __except(filter) \
    catch (const overlapped_leave_tag &) \
    { \
    } \
    catch (...)
#define __finally \
    catch (const overlapped_leave_tag &) \
    { \
    }
#define __leave throw overlapped_leave_tag()
#endif
#endif

#define GetExceptionCode() 0u
#define GetExceptionInformation() ((void *)0)
#define AbnormalTermination() 0

#endif
