use std::ffi::{CStr, c_char};
use std::ptr::{null, null_mut};

use overlapped_win32::abi::*;
use overlapped_win32::calls::handles::*;
use overlapped_win32::calls::heap::*;
use overlapped_win32::calls::messages::*;
use overlapped_win32::calls::strings::*;

use crate::*;

const CP_ACP: UINT = 0;
const CP_UTF8: UINT = 65001;
const ERROR_INSUFFICIENT_BUFFER: DWORD = 122;

#[test]
fn text_of_either_width() {
    let text = "Grüße, 🌍";
    let wide: Vec<u16> = text.encode_utf16().collect();
    let mut buffer = [0_u16; 32];
    let mut bytes = [0_u8; 32];
    let length = text.len() as i32;
    // SAFETY: the lengths are those of the texts and buffers.
    unsafe {
        let narrow = text.as_ptr().cast();
        let to_wide = |size| {
            MultiByteToWideChar(CP_UTF8, 0, narrow, length, buffer.as_ptr().cast_mut(), size)
        };
        assert_eq!(to_wide(0), wide.len() as i32);
        assert_eq!((to_wide(3), GetLastError()), (0, ERROR_INSUFFICIENT_BUFFER));
        assert_eq!(
            MultiByteToWideChar(CP_ACP, 0, narrow, length, buffer.as_mut_ptr(), 32),
            wide.len() as i32
        );
        assert_eq!(buffer[..wide.len()], wide[..]);
        let back = WideCharToMultiByte(
            CP_UTF8,
            0,
            wide.as_ptr(),
            wide.len() as i32,
            bytes.as_mut_ptr().cast(),
            32,
            null(),
            null_mut(),
        );
        assert_eq!(&bytes[..back as usize], text.as_bytes());
        // With a zero at the end it counts.
        let counted = MultiByteToWideChar(CP_ACP, 0, c"ab".as_ptr(), -1, null_mut(), 0);
        assert_eq!(counted, 3);
        let invalid = c"a\xff".as_ptr();
        assert_eq!(
            MultiByteToWideChar(CP_UTF8, 8, invalid, -1, null_mut(), 0),
            0
        );
        assert_eq!(GetLastError(), 1113);
        assert_eq!(MultiByteToWideChar(949, 0, invalid, -1, null_mut(), 0), 0);
        assert_eq!(GetLastError(), ERROR_INVALID_PARAMETER);
        assert_eq!(MultiByteToWideChar(CP_ACP, 0, null(), 5, null_mut(), 0), 0);
        assert_eq!(GetLastError(), ERROR_INVALID_PARAMETER);
    }
}

#[test]
fn strings_of_kernel32() {
    let mut buffer = [0 as c_char; 16];
    let to = buffer.as_mut_ptr();
    // SAFETY: the buffer is long enough for what is written.
    unsafe {
        assert_eq!(lstrlenA(c"abc".as_ptr()), 3);
        assert_eq!(lstrlenA(null()), 0);
        assert_eq!(lstrcpyA(to, c"abc".as_ptr()), to);
        assert_eq!(lstrcatA(to, c"DEF".as_ptr()), to);
        assert_eq!(CStr::from_ptr(to), c"abcDEF");
        assert_eq!(lstrcmpiA(to, c"ABCdef".as_ptr()), 0);
        assert_eq!(lstrcmpA(to, c"abd".as_ptr()), -1);
        CharUpperA(to);
        assert_eq!(CStr::from_ptr(to), c"ABCDEF");
        lstrcpynA(to, c"longer".as_ptr(), 4);
        assert_eq!(CStr::from_ptr(to), c"lon");
        assert!(lstrcpyA(null_mut(), c"a".as_ptr()).is_null());
        assert_eq!(CharLowerA(0x41 as *mut c_char) as usize, 0x61);
    }
}

#[test]
fn the_text_of_an_error() {
    const ALLOCATE: DWORD = 0x100;
    const SYSTEM: DWORD = 0x1000 | 0x200;
    let mut buffer = [0 as c_char; 200];
    let mut allocated = null_mut::<c_char>();
    // SAFETY: the buffers are as long as it is said.
    unsafe {
        let format = |flags, error, to: *mut c_char, size| {
            FormatMessageA(flags, null(), error, 0x400, to, size, null_mut())
        };
        let length = format(SYSTEM, 10054, buffer.as_mut_ptr(), 200);
        let text = CStr::from_ptr(buffer.as_ptr()).to_str().unwrap();
        assert_eq!(text, "The connection was reset by the peer.\r\n");
        assert_eq!(length as usize, text.len());
        format(SYSTEM | 0xFF, 10054, buffer.as_mut_ptr(), 200);
        let text = CStr::from_ptr(buffer.as_ptr()).to_str().unwrap();
        assert_eq!(text, "The connection was reset by the peer. ");
        let to = (&raw mut allocated).cast();
        assert_eq!(format(SYSTEM | ALLOCATE, 6, to, 0), 24);
        assert_eq!(CStr::from_ptr(allocated), c"The handle is invalid.\r\n");
        assert!(LocalFree(allocated.cast()).is_null());
        assert_eq!(format(SYSTEM, 10054, buffer.as_mut_ptr(), 5), 0);
        assert_eq!(GetLastError(), ERROR_INSUFFICIENT_BUFFER);
        assert_eq!(format(SYSTEM, 77777, buffer.as_mut_ptr(), 200), 0);
        assert_eq!(GetLastError(), 317);
        let mut wide = [0_u16; 100];
        let length = FormatMessageW(SYSTEM, null(), 5, 0, wide.as_mut_ptr(), 100, null_mut());
        assert_eq!(
            String::from_utf16(&wide[..length as usize]).unwrap(),
            "Access is denied.\r\n"
        );
    }
}
