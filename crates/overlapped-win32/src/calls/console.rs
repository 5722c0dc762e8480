//! The console, which is a terminal or wherever the standard descriptors go.

use std::ffi::{c_char, c_int, c_void};
use std::ptr::null_mut;
use std::sync::{Arc, OnceLock};

use crate::abi::{BOOL, DWORD, FALSE, HANDLE, INVALID_HANDLE_VALUE, TRUE, UINT, WCHAR};
use crate::error::{self, Error};
use crate::objects::{Console, Object};
use crate::{handle, text};

const CP_UTF8: UINT = 65001;
const IDOK: c_int = 1;

/// Processed, by lines, with echo: and what that is here.
const INPUT_MODES: [(DWORD, libc::tcflag_t); 3] =
    [(1, libc::ISIG), (2, libc::ICANON), (4, libc::ECHO)];
/// Processed, wrapped, and with escape sequences.
const OUTPUT_MODE: DWORD = 7;

/// One of the standard handles: always the same.
#[unsafe(no_mangle)]
pub extern "C" fn GetStdHandle(which: DWORD) -> HANDLE {
    static HANDLES: [OnceLock<Result<usize, Error>>; 3] = [const { OnceLock::new() }; 3];
    // -10 is input, -11 output, -12 for errors.
    let fd = match (which as i32).wrapping_add(10).wrapping_neg() {
        fd @ 0..=2 => fd,
        _ => {
            error::set_last(Error::INVALID_HANDLE);
            return INVALID_HANDLE_VALUE;
        }
    };
    let result =
        HANDLES[fd as usize].get_or_init(|| handle::open(Console::new(fd)).map(|it| it as usize));
    error::or(result.map(|handle| handle as HANDLE), INVALID_HANDLE_VALUE)
}

fn find(console: HANDLE) -> Result<Arc<Console>, Error> {
    match handle::find(console)? {
        Object::Console(console) => Ok(console),
        _ => Err(Error::INVALID_HANDLE),
    }
}

/// Writes text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WriteConsoleA(
    console: HANDLE,
    text: *const c_void,
    length: DWORD,
    written: *mut DWORD,
    _reserved: *mut c_void,
) -> BOOL {
    // SAFETY: the program's text.
    let bytes = unsafe { slice(text.cast::<u8>(), length) };
    let result = find(console).and_then(|console| console.write(bytes));
    // SAFETY: where the program wants it.
    unsafe { text::give(written, if result.is_ok() { length } else { 0 }) };
    error::or(result.map(|()| TRUE), FALSE)
}

/// Writes text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WriteConsoleW(
    console: HANDLE,
    text: *const c_void,
    length: DWORD,
    written: *mut DWORD,
    _reserved: *mut c_void,
) -> BOOL {
    // SAFETY: the program's text.
    let text = String::from_utf16_lossy(unsafe { slice(text.cast::<u16>(), length) });
    let result = find(console).and_then(|console| console.write(text.as_bytes()));
    // SAFETY: where the program wants it.
    unsafe { text::give(written, if result.is_ok() { length } else { 0 }) };
    error::or(result.map(|()| TRUE), FALSE)
}

/// # Safety
/// So many are there, if it is not null.
unsafe fn slice<'a, T>(from: *const T, length: DWORD) -> &'a [T] {
    match from.is_null() {
        true => &[],
        // SAFETY: the caller's promise.
        false => unsafe { std::slice::from_raw_parts(from, length as usize) },
    }
}

/// Reads text: a line of a terminal, or what there is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ReadConsoleA(
    console: HANDLE,
    buffer: *mut c_void,
    size: DWORD,
    read: *mut DWORD,
    _control: *mut c_void,
) -> BOOL {
    if buffer.is_null() {
        error::set_last(Error::INVALID_PARAMETER);
        return FALSE;
    }
    // SAFETY: the program's buffer.
    let buffer = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), size as usize) };
    let result = find(console).and_then(|console| console.read(buffer));
    // SAFETY: where the program wants it.
    unsafe { text::give(read, *result.as_ref().unwrap_or(&0) as DWORD) };
    error::or(result.map(|_| TRUE), FALSE)
}

/// A terminal's modes. Of anything else there are none, by which programs know it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetConsoleMode(console: HANDLE, mode: *mut DWORD) -> BOOL {
    let result = find(console).and_then(|console| {
        let modes = console.terminal().ok_or(Error::INVALID_HANDLE)?;
        if !console.is_input() {
            return Ok(OUTPUT_MODE);
        }
        Ok(INPUT_MODES
            .iter()
            .filter(|(_, here)| modes.c_lflag & here != 0)
            .fold(0, |mode, (flag, _)| mode | flag))
    });
    let result = result.map(|value| {
        // SAFETY: where the program wants it.
        unsafe { text::give(mode, value) };
        TRUE
    });
    error::or(result, FALSE)
}

/// Changes a terminal's modes for input; those for output are as they are.
#[unsafe(no_mangle)]
pub extern "C" fn SetConsoleMode(console: HANDLE, mode: DWORD) -> BOOL {
    let result = find(console).and_then(|console| {
        let mut modes = console.terminal().ok_or(Error::INVALID_HANDLE)?;
        if console.is_input() {
            for (flag, here) in INPUT_MODES {
                match mode & flag != 0 {
                    true => modes.c_lflag |= here,
                    false => modes.c_lflag &= !here,
                }
            }
            console.set_terminal(&modes);
        }
        Ok(TRUE)
    });
    error::or(result, FALSE)
}

/// The colours of what is written from now on; of a terminal, others have none.
#[unsafe(no_mangle)]
pub extern "C" fn SetConsoleTextAttribute(console: HANDLE, attributes: u16) -> BOOL {
    const PLAIN: u16 = 7;
    // Windows counts blue, green, red; terminals count red, green, blue.
    let colour = |bits: u16| (bits & 1) << 2 | bits & 2 | (bits & 4) >> 2;
    let base = |bits: u16, usual| if bits & 8 != 0 { usual + 60 } else { usual };
    let (text, ground) = (attributes, attributes >> 4);
    let sequence = match attributes {
        PLAIN => "\x1b[0m".to_owned(),
        _ if ground & 15 == 0 => format!("\x1b[0;{}m", base(text, 30) + colour(text)),
        _ => format!(
            "\x1b[{};{}m",
            base(text, 30) + colour(text),
            base(ground, 40) + colour(ground)
        ),
    };
    let result = find(console).and_then(|console| match console.terminal() {
        Some(_) => console.write(sequence.as_bytes()),
        None => Ok(()),
    });
    error::or(result.map(|()| TRUE), FALSE)
}

fn set_title(title: Option<String>) -> BOOL {
    let out = Console::new(libc::STDOUT_FILENO);
    if let Some(title) = title
        && out.terminal().is_some()
    {
        let title: String = title.chars().filter(|c| !c.is_control()).collect();
        let _ = out.write(format!("\x1b]0;{title}\x07").as_bytes());
    }
    TRUE
}

/// The terminal's title.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SetConsoleTitleA(title: *const c_char) -> BOOL {
    // SAFETY: a string of the program's.
    set_title(unsafe { text::ansi(title) })
}

/// The terminal's title.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SetConsoleTitleW(title: *const WCHAR) -> BOOL {
    // SAFETY: a string of the program's.
    set_title(unsafe { text::wide(title) })
}

/// Accepted: text is UTF-8.
#[unsafe(no_mangle)]
pub extern "C" fn SetConsoleOutputCP(_page: UINT) -> BOOL {
    TRUE
}

/// Accepted: text is UTF-8.
#[unsafe(no_mangle)]
pub extern "C" fn SetConsoleCP(_page: UINT) -> BOOL {
    TRUE
}

/// UTF-8.
#[unsafe(no_mangle)]
pub extern "C" fn GetConsoleOutputCP() -> UINT {
    CP_UTF8
}

/// UTF-8.
#[unsafe(no_mangle)]
pub extern "C" fn GetConsoleCP() -> UINT {
    CP_UTF8
}

/// UTF-8.
#[unsafe(no_mangle)]
pub extern "C" fn GetACP() -> UINT {
    CP_UTF8
}

/// UTF-8.
#[unsafe(no_mangle)]
pub extern "C" fn GetOEMCP() -> UINT {
    CP_UTF8
}

/// Accepted: there is what there is.
#[unsafe(no_mangle)]
pub extern "C" fn AllocConsole() -> BOOL {
    TRUE
}

/// Accepted.
#[unsafe(no_mangle)]
pub extern "C" fn FreeConsole() -> BOOL {
    TRUE
}

/// There is none.
#[unsafe(no_mangle)]
pub extern "C" fn GetConsoleWindow() -> *mut c_void {
    null_mut()
}

/// Runs `f` while a terminal gives single keys, without echo.
fn with_keys<R>(echo: bool, f: impl FnOnce(&Console) -> R) -> R {
    let input = Console::new(libc::STDIN_FILENO);
    let before = input.terminal();
    if let Some(mut modes) = before {
        modes.c_lflag &= !libc::ICANON;
        if !echo {
            modes.c_lflag &= !libc::ECHO;
        }
        modes.c_cc[libc::VMIN] = 1;
        modes.c_cc[libc::VTIME] = 0;
        input.set_terminal(&modes);
    }
    let result = f(&input);
    before.map(|modes| input.set_terminal(&modes));
    result
}

/// Whether a key was pressed.
#[unsafe(no_mangle)]
pub extern "C" fn _kbhit() -> c_int {
    with_keys(false, |input| input.has_input().into())
}

/// A key, or -1 at the end of the input.
#[unsafe(no_mangle)]
pub extern "C" fn _getch() -> c_int {
    key(false)
}

/// A key, which is shown.
#[unsafe(no_mangle)]
pub extern "C" fn _getche() -> c_int {
    key(true)
}

fn key(echo: bool) -> c_int {
    with_keys(echo, |input| {
        let mut key = [0];
        match input.read(&mut key) {
            // Enter is a carriage return there.
            Ok(1) if key[0] == b'\n' => b'\r'.into(),
            Ok(1) => key[0].into(),
            _ => -1,
        }
    })
}

/// Shows a character.
#[unsafe(no_mangle)]
pub extern "C" fn _putch(character: c_int) -> c_int {
    match Console::new(libc::STDOUT_FILENO).write(&[character as u8]) {
        Ok(()) => character,
        Err(_) => -1,
    }
}

/// No key is down.
#[unsafe(no_mangle)]
pub extern "C" fn GetAsyncKeyState(_key: c_int) -> i16 {
    0
}

/// No key is down.
#[unsafe(no_mangle)]
pub extern "C" fn GetKeyState(_key: c_int) -> i16 {
    0
}

fn debug(text: Option<String>) {
    static ASKED: OnceLock<bool> = OnceLock::new();
    if *ASKED.get_or_init(|| std::env::var_os("OVERLAPPED_DEBUG_OUTPUT").is_some()) {
        eprint!("{}", text.unwrap_or_default());
    }
}

/// Text for a debugger: to standard error if the environment has `OVERLAPPED_DEBUG_OUTPUT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OutputDebugStringA(text: *const c_char) {
    // SAFETY: a string of the program's.
    debug(unsafe { text::ansi(text) });
}

/// Text for a debugger: to standard error if the environment has `OVERLAPPED_DEBUG_OUTPUT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OutputDebugStringW(text: *const WCHAR) {
    // SAFETY: a string of the program's.
    debug(unsafe { text::wide(text) });
}

fn message_box(text: Option<String>, title: Option<String>) -> c_int {
    let title = title.unwrap_or_else(|| "Error".to_owned());
    eprintln!("{title}: {}", text.unwrap_or_default());
    IDOK
}

/// Text for the user, to standard error. The answer is OK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn MessageBoxA(
    _window: *mut c_void,
    text: *const c_char,
    title: *const c_char,
    _kind: UINT,
) -> c_int {
    // SAFETY: strings of the program's.
    unsafe { message_box(text::ansi(text), text::ansi(title)) }
}

/// Text for the user, to standard error. The answer is OK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn MessageBoxW(
    _window: *mut c_void,
    text: *const WCHAR,
    title: *const WCHAR,
    _kind: UINT,
) -> c_int {
    // SAFETY: strings of the program's.
    unsafe { message_box(text::wide(text), text::wide(title)) }
}
