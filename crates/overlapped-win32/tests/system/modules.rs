use std::ffi::{CStr, c_char};
use std::ptr::{null, null_mut};

use overlapped_win32::abi::*;
use overlapped_win32::calls::handles::*;
use overlapped_win32::calls::modules::*;
use overlapped_win32::calls::system::*;

use crate::*;

#[test]
fn libraries_that_are_here_have_handles() {
    // SAFETY: the names end with zeros.
    unsafe {
        let ntdll = GetModuleHandleA(c"NTDLL.dll".as_ptr());
        assert!(!ntdll.is_null());
        assert_eq!(LoadLibraryA(c"C:\\Windows\\ntdll".as_ptr()), ntdll);
        assert_ne!(LoadLibraryA(c"ws2_32.dll".as_ptr()), ntdll);
        assert_eq!(FreeLibrary(ntdll), TRUE);
        assert!(!GetModuleHandleA(null()).is_null());
        assert!(LoadLibraryA(c"d3d9.dll".as_ptr()).is_null());
        assert_eq!(GetLastError(), 126);
        for name in [c"NtCreateFile", c"malloc", c""] {
            assert!(GetProcAddress(ntdll, name.as_ptr()).is_null(), "{name:?}");
            assert_eq!(GetLastError(), 127);
        }
        assert!(GetProcAddress(ntdll, 5 as *const c_char).is_null());
        assert!(GetProcAddress(77 as HMODULE, c"Sleep".as_ptr()).is_null());
        assert_eq!(GetLastError(), ERROR_INVALID_HANDLE);
    }
}

/// Through the shared library, as a program has it: this program exports nothing.
#[test]
fn a_function_that_is_exported_is_found_by_name() {
    let name = "liboverlapped_win32.so";
    let path = std::env::current_exe().unwrap().with_file_name(name);
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    type Find = unsafe extern "C" fn(HMODULE, *const c_char) -> *mut std::ffi::c_void;
    // SAFETY: the library is this crate's, and the types are those of the functions.
    unsafe {
        let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL);
        assert!(!library.is_null(), "{path:?}");
        let find: Find = std::mem::transmute(libc::dlsym(library, c"GetProcAddress".as_ptr()));
        let found = find(null_mut(), c"RtlNtStatusToDosError".as_ptr());
        assert_eq!(
            found,
            libc::dlsym(library, c"RtlNtStatusToDosError".as_ptr())
        );
        let convert: extern "C" fn(LONG) -> DWORD = std::mem::transmute(found);
        assert_eq!(convert(0xC000_0120_u32 as LONG), 995);
        assert!(find(null_mut(), c"malloc".as_ptr()).is_null());
    }
}

#[test]
fn names_and_variables_fit_or_say_how_long_they_are() {
    let mut buffer = [0 as c_char; 1024];
    // SAFETY: the sizes are those of the buffers.
    unsafe {
        let length = GetModuleFileNameA(null_mut(), buffer.as_mut_ptr(), 1024);
        let path = CStr::from_ptr(buffer.as_ptr()).to_str().unwrap();
        assert_eq!(path, std::env::current_exe().unwrap().to_str().unwrap());
        assert_eq!(length as usize, path.len());
        assert_eq!(GetModuleFileNameA(null_mut(), buffer.as_mut_ptr(), 4), 4);
        assert_eq!(GetLastError(), 122);
        assert_eq!(CStr::from_ptr(buffer.as_ptr()).count_bytes(), 3);
        let path = std::env::var("PATH").unwrap();
        let name = c"PATH".as_ptr();
        let needed = GetEnvironmentVariableA(name, null_mut(), 0);
        assert_eq!(needed as usize, path.len() + 1);
        let mut value = vec![0 as c_char; needed as usize];
        let length = GetEnvironmentVariableA(name, value.as_mut_ptr(), needed);
        assert_eq!(length as usize, path.len());
        assert_eq!(CStr::from_ptr(value.as_ptr()).to_str().unwrap(), path);
        let none = GetEnvironmentVariableA(c"OVERLAPPED_NONE".as_ptr(), null_mut(), 0);
        assert_eq!((none, GetLastError()), (0, 203));
        let mut size = 1;
        fails(GetComputerNameA(buffer.as_mut_ptr(), &mut size), 111);
        let needed = size;
        assert_eq!(GetComputerNameA(buffer.as_mut_ptr(), &mut size), TRUE);
        assert_eq!(size + 1, needed);
    }
}

#[test]
fn the_system_is_windows_10_on_this_machine() {
    // SAFETY: zeros are one of each, and the sizes are right.
    unsafe {
        let mut info: SYSTEM_INFO = std::mem::zeroed();
        GetSystemInfo(&mut info);
        let count = std::thread::available_parallelism().unwrap().get();
        assert_eq!(info.dwNumberOfProcessors as usize, count);
        assert_eq!(
            info.dwActiveProcessorMask.count_ones() as usize,
            count.min(64)
        );
        let mut version: OSVERSIONINFOEX<u8> = std::mem::zeroed();
        version.dwOSVersionInfoSize = 148;
        version.wProductType = 99;
        assert_eq!(GetVersionExA(&mut version), TRUE);
        assert_eq!((version.dwMajorVersion, version.wProductType), (10, 99));
        version.dwOSVersionInfoSize = 12;
        fails(GetVersionExA(&mut version), 122);
        let mut memory: MEMORYSTATUSEX = std::mem::zeroed();
        fails(GlobalMemoryStatusEx(&mut memory), ERROR_INVALID_PARAMETER);
        memory.dwLength = 64;
        assert_eq!(GlobalMemoryStatusEx(&mut memory), TRUE);
        assert!(memory.ullAvailPhys <= memory.ullTotalPhys && memory.dwMemoryLoad <= 100);
    }
    assert_eq!(GetVersion() & 0xFF, 10);
}

#[test]
fn statuses_are_errors() {
    for (status, error) in [
        (0_u32, 0),
        (0x103, 997),
        (0xC000_0120, 995),
        (0xC000_020D, 64),
        (0xC000_0241, 1236),
        (0xC000_00B5, 121),
        (0xC000_0011, 38),
        (0xDEAD_BEEF, 317),
    ] {
        assert_eq!(RtlNtStatusToDosError(status as LONG), error, "{status:x}");
    }
}
