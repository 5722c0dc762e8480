/* libc's header, with its timeval under another name, as <sys/time.h> has it. */
#pragma GCC system_header
#pragma push_macro("timeval")
#undef timeval
#define timeval overlapped_libc_timeval
#include_next <bits/types/struct_timeval.h>
#undef timeval
#pragma pop_macro("timeval")
