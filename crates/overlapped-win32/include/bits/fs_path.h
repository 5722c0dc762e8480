/* libstdc++'s paths as it was built here: with _WIN32 it would take them for text of 16-bit units. */
#pragma GCC system_header
#pragma push_macro("_WIN32")
#undef _WIN32
#include_next <bits/fs_path.h>
#pragma pop_macro("_WIN32")
