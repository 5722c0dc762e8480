//! What the calls that are not I/O take.

use std::ffi::c_void;
use std::mem::{align_of, offset_of, size_of};

pub type WCHAR = u16;
pub type UINT = u32;
pub type LONG = i32;
pub type ULONGLONG = u64;
pub type SIZE_T = usize;
pub type HMODULE = *mut c_void;
pub type HGLOBAL = *mut c_void;
pub type PAPCFUNC = unsafe extern "C-unwind" fn(ULONG_PTR);
pub type LPTHREAD_START_ROUTINE = unsafe extern "C-unwind" fn(*mut c_void) -> DWORD;
pub type WAITORTIMERCALLBACK = unsafe extern "C-unwind" fn(*mut c_void, u8);
pub type PHANDLER_ROUTINE = unsafe extern "C-unwind" fn(DWORD) -> BOOL;

use super::{BOOL, DWORD, HANDLE, ULONG_PTR};

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FILETIME {
    pub dwLowDateTime: DWORD,
    pub dwHighDateTime: DWORD,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SYSTEMTIME {
    pub wYear: u16,
    pub wMonth: u16,
    pub wDayOfWeek: u16,
    pub wDay: u16,
    pub wHour: u16,
    pub wMinute: u16,
    pub wSecond: u16,
    pub wMilliseconds: u16,
}

#[repr(C)]
pub struct SYSTEM_INFO {
    pub wProcessorArchitecture: u16,
    pub wReserved: u16,
    pub dwPageSize: DWORD,
    pub lpMinimumApplicationAddress: *mut c_void,
    pub lpMaximumApplicationAddress: *mut c_void,
    pub dwActiveProcessorMask: ULONG_PTR,
    pub dwNumberOfProcessors: DWORD,
    pub dwProcessorType: DWORD,
    pub dwAllocationGranularity: DWORD,
    pub wProcessorLevel: u16,
    pub wProcessorRevision: u16,
}

/// With the fields of the `EX` form at the end.
#[repr(C)]
pub struct OSVERSIONINFOEX<C> {
    pub dwOSVersionInfoSize: DWORD,
    pub dwMajorVersion: DWORD,
    pub dwMinorVersion: DWORD,
    pub dwBuildNumber: DWORD,
    pub dwPlatformId: DWORD,
    pub szCSDVersion: [C; 128],
    pub wServicePackMajor: u16,
    pub wServicePackMinor: u16,
    pub wSuiteMask: u16,
    pub wProductType: u8,
    pub wReserved: u8,
}

#[repr(C)]
pub struct MEMORYSTATUSEX {
    pub dwLength: DWORD,
    pub dwMemoryLoad: DWORD,
    pub ullTotalPhys: u64,
    pub ullAvailPhys: u64,
    pub ullTotalPageFile: u64,
    pub ullAvailPageFile: u64,
    pub ullTotalVirtual: u64,
    pub ullAvailVirtual: u64,
    pub ullAvailExtendedVirtual: u64,
}

#[repr(C)]
pub struct CRITICAL_SECTION {
    pub DebugInfo: *mut c_void,
    pub LockCount: LONG,
    pub RecursionCount: LONG,
    pub OwningThread: HANDLE,
    pub LockSemaphore: HANDLE,
    pub SpinCount: ULONG_PTR,
}

#[repr(C)]
pub struct SRWLOCK {
    pub Ptr: *mut c_void,
}

#[repr(C)]
pub struct CONDITION_VARIABLE {
    pub Ptr: *mut c_void,
}

#[repr(C)]
pub struct INIT_ONCE {
    pub Ptr: *mut c_void,
}

/// Aligned to 16 bytes in the headers, but nothing here needs that.
#[repr(C)]
pub struct SLIST_ENTRY {
    pub Next: *mut SLIST_ENTRY,
}

#[repr(C, align(16))]
pub struct SLIST_HEADER {
    pub Alignment: u64,
    pub Region: u64,
}

const _: () = {
    assert!(size_of::<SYSTEMTIME>() == 16);
    assert!(size_of::<SYSTEM_INFO>() == 48);
    assert!(offset_of!(SYSTEM_INFO, dwNumberOfProcessors) == 32);
    assert!(size_of::<OSVERSIONINFOEX<u8>>() == 156);
    assert!(size_of::<OSVERSIONINFOEX<WCHAR>>() == 284);
    assert!(size_of::<MEMORYSTATUSEX>() == 64);
    assert!(size_of::<CRITICAL_SECTION>() == 40);
    assert!(offset_of!(CRITICAL_SECTION, OwningThread) == 16);
    assert!(size_of::<SRWLOCK>() == 8);
    assert!(size_of::<CONDITION_VARIABLE>() == 8);
    assert!(size_of::<INIT_ONCE>() == 8);
    assert!(size_of::<SLIST_HEADER>() == 16 && align_of::<SLIST_HEADER>() == 16);
};
