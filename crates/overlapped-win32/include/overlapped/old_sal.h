/* The annotations of before 2008. libstdc++ has parameters of these names, so its headers that do are
   read first. */
#ifndef OVERLAPPED_OLD_SAL_H
#define OVERLAPPED_OLD_SAL_H
#pragma GCC system_header

#ifdef __cplusplus
#include <algorithm>
#include <fstream>
#include <functional>
#include <iomanip>
#include <iostream>
#include <iterator>
#include <list>
#include <locale>
#include <map>
#include <memory>
#include <numeric>
#include <queue>
#include <random>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>
#endif

#define __in
#define __in_opt
#define __in_z
#define __in_z_opt
#define __in_bcount(n)
#define __in_bcount_opt(n)
#define __in_ecount(n)
#define __in_ecount_opt(n)
#define __inout
#define __inout_opt
#define __inout_bcount(n)
#define __inout_bcount_opt(n)
#define __inout_ecount(n)
#define __inout_ecount_opt(n)
#define __out
#define __out_opt
#define __out_bcount(n)
#define __out_bcount_opt(n)
#define __out_bcount_part(n, m)
#define __out_bcount_part_opt(n, m)
#define __out_ecount(n)
#define __out_ecount_opt(n)
#define __out_ecount_z(n)
#define __out_ecount_part(n, m)
#define __out_ecount_part_opt(n, m)
#define __deref_in
#define __deref_inout
#define __deref_inout_opt
#define __deref_out
#define __deref_out_opt
#define __deref_opt_out
#define __nullterminated
#define __field_ecount(n)
#define __field_bcount(n)
#define __reserved
#define __checkReturn
#define __success(c)
#define __format_string

#endif
