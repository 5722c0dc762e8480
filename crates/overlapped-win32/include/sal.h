/* The words of the source annotation language: for the reader, and for Microsoft's analyser.

   The old ones (`__in`, `__out`) are names of parameters in libstdc++; they are in
   <overlapped/old_sal.h>, which the compiler wrapper includes into programs that use them. */
#ifndef OVERLAPPED_SAL_H
#define OVERLAPPED_SAL_H
#pragma GCC system_header

#define _In_
#define _In_z_
#define _In_opt_
#define _In_opt_z_
#define _In_reads_(n)
#define _In_reads_opt_(n)
#define _In_reads_bytes_(n)
#define _In_reads_bytes_opt_(n)
#define _In_reads_z_(n)
#define _In_range_(a, b)
#define _Inout_
#define _Inout_z_
#define _Inout_opt_
#define _Inout_updates_(n)
#define _Inout_updates_opt_(n)
#define _Inout_updates_z_(n)
#define _Inout_updates_bytes_(n)
#define _Inout_updates_bytes_opt_(n)
#define _Out_
#define _Out_opt_
#define _Out_writes_(n)
#define _Out_writes_opt_(n)
#define _Out_writes_z_(n)
#define _Out_writes_bytes_(n)
#define _Out_writes_bytes_opt_(n)
#define _Out_writes_to_(n, m)
#define _Out_writes_to_opt_(n, m)
#define _Out_writes_bytes_to_(n, m)
#define _Out_writes_bytes_to_opt_(n, m)
#define _Outptr_
#define _Outptr_opt_
#define _Outptr_result_maybenull_
#define _Outptr_result_nullonfailure_
#define _Outref_
#define _COM_Outptr_
#define _Ret_
#define _Ret_z_
#define _Ret_maybenull_
#define _Ret_notnull_
#define _Ret_opt_
#define _Reserved_
#define _Pre_
#define _Post_
#define _Pre_valid_
#define _Post_valid_
#define _Post_invalid_
#define _Pre_satisfies_(c)
#define _Post_satisfies_(c)
#define _Deref_out_
#define _Deref_out_opt_
#define _Deref_pre_z_
#define _Frees_ptr_
#define _Frees_ptr_opt_
#define _Null_terminated_
#define _NullNull_terminated_
#define _Field_size_(n)
#define _Field_size_bytes_(n)
#define _Field_range_(a, b)
#define _Struct_size_bytes_(n)
#define _Printf_format_string_
#define _Scanf_format_string_
#define _Check_return_
#define _Must_inspect_result_
#define _Success_(c)
#define _On_failure_(a)
#define _Always_(a)
#define _When_(c, a)
#define _At_(e, a)
#define _Use_decl_annotations_
#define _Function_class_(n)
#define _Interlocked_operand_
#define _Maybenull_
#define _Notnull_
#define _Notvalid_
#define _Points_to_data_
#define _Acquires_lock_(l)
#define _Releases_lock_(l)
#define _Requires_lock_held_(l)
#define _Requires_lock_not_held_(l)
#define _Acquires_exclusive_lock_(l)
#define _Releases_exclusive_lock_(l)
#define _Acquires_shared_lock_(l)
#define _Releases_shared_lock_(l)
#define _Guarded_by_(l)
#define _Has_lock_kind_(k)
#define _Analysis_assume_(c)
#define __analysis_assume(c) ((void)0)
#define _Analysis_noreturn_
#define _Benign_race_begin_
#define _Benign_race_end_
#define _IRQL_requires_max_(n)
#define __callback

#endif
