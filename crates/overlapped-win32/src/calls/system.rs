//! What the machine and the system are.

use std::ffi::{c_char, c_void};
use std::mem::MaybeUninit;

use crate::abi::{
    BOOL, DWORD, FALSE, LONG, MEMORYSTATUSEX, OSVERSIONINFOEX, SYSTEM_INFO, TRUE, UINT, ULONG_PTR,
    WCHAR,
};
use crate::error::{self, Error};
use crate::memory::pages;
use crate::text;

/// What programs are told that they run on: Windows 10, version 1809, a workstation.
const VERSION: (DWORD, DWORD, DWORD) = (10, 0, 17763);
const VER_PLATFORM_WIN32_NT: DWORD = 2;
const VER_NT_WORKSTATION: u8 = 1;

const PROCESSOR_ARCHITECTURE_AMD64: u16 = 9;
const PROCESSOR_ARCHITECTURE_ARM64: u16 = 12;
const PROCESSOR_AMD_X8664: DWORD = 8664;

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Processors and pages. The processors are those that this process may use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetSystemInfo(info: *mut SYSTEM_INFO) {
    let count = processors();
    let (architecture, kind) = match cfg!(target_arch = "aarch64") {
        true => (PROCESSOR_ARCHITECTURE_ARM64, 0),
        false => (PROCESSOR_ARCHITECTURE_AMD64, PROCESSOR_AMD_X8664),
    };
    let value = SYSTEM_INFO {
        wProcessorArchitecture: architecture,
        wReserved: 0,
        dwPageSize: pages::page_size() as DWORD,
        lpMinimumApplicationAddress: 0x1_0000 as *mut c_void,
        lpMaximumApplicationAddress: 0x7FFF_FFFE_FFFF_usize as *mut c_void,
        dwActiveProcessorMask: ULONG_PTR::MAX >> (64 - count.clamp(1, 64)),
        dwNumberOfProcessors: count as DWORD,
        dwProcessorType: kind,
        dwAllocationGranularity: pages::GRANULARITY as DWORD,
        wProcessorLevel: 6,
        wProcessorRevision: 0,
    };
    // SAFETY: where the program wants it.
    unsafe { text::give(info, value) };
}

/// As `GetSystemInfo`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetNativeSystemInfo(info: *mut SYSTEM_INFO) {
    // SAFETY: the same call.
    unsafe { GetSystemInfo(info) };
}

/// # Safety
/// It is as large as its first field says, if that is one of the two sizes.
unsafe fn get_version<C: Copy + From<u8>>(info: *mut OSVERSIONINFOEX<C>) -> BOOL {
    let whole = size_of::<OSVERSIONINFOEX<C>>();
    let short = std::mem::offset_of!(OSVERSIONINFOEX<C>, wServicePackMajor);
    // SAFETY: the size is its first field; the rest is written if it is there.
    unsafe {
        let size = (*info).dwOSVersionInfoSize as usize;
        if size != whole && size != short {
            error::set_last(Error::INSUFFICIENT_BUFFER);
            return FALSE;
        }
        (*info).dwMajorVersion = VERSION.0;
        (*info).dwMinorVersion = VERSION.1;
        (*info).dwBuildNumber = VERSION.2;
        (*info).dwPlatformId = VER_PLATFORM_WIN32_NT;
        (*info).szCSDVersion[0] = C::from(0);
        if size == whole {
            (*info).wServicePackMajor = 0;
            (*info).wServicePackMinor = 0;
            (*info).wSuiteMask = 0;
            (*info).wProductType = VER_NT_WORKSTATION;
            (*info).wReserved = 0;
        }
    }
    TRUE
}

/// The version: Windows 10.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetVersionExA(info: *mut OSVERSIONINFOEX<u8>) -> BOOL {
    // SAFETY: the program's structure.
    unsafe { get_version(info) }
}

/// The version: Windows 10.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetVersionExW(info: *mut OSVERSIONINFOEX<WCHAR>) -> BOOL {
    // SAFETY: the program's structure.
    unsafe { get_version(info) }
}

/// The version, in a word.
#[unsafe(no_mangle)]
pub extern "C" fn GetVersion() -> DWORD {
    VERSION.2 << 16 | VERSION.1 << 8 | VERSION.0
}

/// # Safety
/// The buffer has `*size` characters.
unsafe fn computer_name<C: Copy + From<u8>>(
    buffer: *mut C,
    size: *mut DWORD,
    encode: impl FnOnce(&str) -> Vec<C>,
) -> Result<BOOL, Error> {
    let mut name = [0_u8; 256];
    // SAFETY: the name ends within the array, whose last byte stays zero.
    unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    let name = encode(&String::from_utf8_lossy(name));
    if size.is_null() {
        return Err(Error::INVALID_PARAMETER);
    }
    // SAFETY: the caller's promise.
    unsafe {
        match text::put(&name, buffer, *size as usize) {
            true => {
                *size = name.len() as DWORD;
                Ok(TRUE)
            }
            false => {
                *size = name.len() as DWORD + 1;
                Err(Error::BUFFER_OVERFLOW)
            }
        }
    }
}

/// The host's name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetComputerNameA(buffer: *mut c_char, size: *mut DWORD) -> BOOL {
    // SAFETY: the program's buffer.
    let result =
        unsafe { computer_name(buffer.cast::<u8>(), size, |name| name.as_bytes().to_vec()) };
    error::or(result, FALSE)
}

/// The host's name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetComputerNameW(buffer: *mut WCHAR, size: *mut DWORD) -> BOOL {
    // SAFETY: the program's buffer.
    let result = unsafe { computer_name(buffer, size, |name| name.encode_utf16().collect()) };
    error::or(result, FALSE)
}

/// How much memory there is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GlobalMemoryStatusEx(status: *mut MEMORYSTATUSEX) -> BOOL {
    let size = match status.is_null() {
        true => 0,
        // SAFETY: its first field.
        false => unsafe { (*status).dwLength as usize },
    };
    let mut info = MaybeUninit::<libc::sysinfo>::zeroed();
    // SAFETY: it is written, and zeros are one as well.
    let info = unsafe {
        libc::sysinfo(info.as_mut_ptr());
        info.assume_init()
    };
    if size != size_of::<MEMORYSTATUSEX>() {
        error::set_last(Error::INVALID_PARAMETER);
        return FALSE;
    }
    let unit = u64::from(info.mem_unit);
    let total = info.totalram * unit;
    let free = (info.freeram + info.bufferram) * unit;
    let address_space = 0x7FFF_FFFE_0000;
    let value = MEMORYSTATUSEX {
        dwLength: size as DWORD,
        dwMemoryLoad: ((total - free) * 100 / total.max(1)) as DWORD,
        ullTotalPhys: total,
        ullAvailPhys: free,
        ullTotalPageFile: total + info.totalswap * unit,
        ullAvailPageFile: free + info.freeswap * unit,
        ullTotalVirtual: address_space,
        ullAvailVirtual: address_space,
        ullAvailExtendedVirtual: 0,
    };
    // SAFETY: as above.
    unsafe { text::give(status, value) };
    TRUE
}

/// What a status is as an error; `ERROR_MR_MID_NOT_FOUND` if nobody knows.
#[unsafe(no_mangle)]
pub extern "C" fn RtlNtStatusToDosError(status: LONG) -> DWORD {
    match status as u32 {
        0x0000_0000 => 0,
        0x0000_0080 => 735,
        0x0000_0102 => 258,
        0x0000_0103 => 997,
        0x8000_0005 => 234,
        0xC000_0001 => 31,
        0xC000_0002 | 0xC000_0010 => 1,
        0xC000_0004 => 24,
        0xC000_0005 => 998,
        0xC000_0008 | 0xC000_0024 => 6,
        0xC000_000D | 0xC000_00EF..=0xC000_00FA => 87,
        0xC000_000F | 0xC000_0034 => 2,
        0xC000_0011 => 38,
        0xC000_0017 => 8,
        0xC000_0022 => 5,
        0xC000_0023 => 122,
        0xC000_0033 => 123,
        0xC000_0035 => 183,
        0xC000_0043 => 32,
        0xC000_0046 => 288,
        0xC000_0047 => 298,
        0xC000_0054 | 0xC000_0055 => 33,
        0xC000_007F => 112,
        0xC000_009A => 1450,
        0xC000_00AD => 230,
        0xC000_00B0 => 233,
        0xC000_00B1 => 232,
        0xC000_00B5 => 121,
        0xC000_00BB => 50,
        0xC000_00C9 | 0xC000_013B | 0xC000_013C | 0xC000_020C | 0xC000_020D => 64,
        0xC000_00CA => 65,
        0xC000_0120 => 995,
        0xC000_0140 => 59,
        0xC000_014B => 109,
        0xC000_0184 => 22,
        0xC000_0206 => 1784,
        0xC000_0207 => 1214,
        0xC000_020A => 52,
        0xC000_0225 => 1168,
        0xC000_0236 => 1225,
        0xC000_0237 => 1226,
        0xC000_0238 => 1227,
        0xC000_0239 => 1228,
        0xC000_023A => 1229,
        0xC000_023B => 1230,
        0xC000_023C => 1231,
        0xC000_023D => 1232,
        0xC000_023E => 1233,
        0xC000_023F => 1234,
        0xC000_0240 => 1235,
        0xC000_0241 => 1236,
        _ => Error::MR_MID_NOT_FOUND.0,
    }
}

/// Accepted.
#[unsafe(no_mangle)]
pub extern "C" fn SetErrorMode(_mode: UINT) -> UINT {
    0
}

/// Nobody does.
#[unsafe(no_mangle)]
pub extern "C" fn IsDebuggerPresent() -> BOOL {
    FALSE
}
