//! Services and protocols by their names or numbers: what libc finds, in Winsock's structures.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::null_mut;
use std::sync::{Mutex, PoisonError};

use crate::error::{self, Error};
use crate::net::types::{protoent, servent};

/// libc's answers are the process's; they are copied under this.
static ASKING: Mutex<()> = Mutex::new(());

/// An answer, and what it points to. Good until the thread's next question of the kind.
struct Answer<T> {
    entry: T,
    _texts: Vec<CString>,
    _aliases: Vec<*mut c_char>,
}

thread_local! {
    static SERVICE: Cell<Option<Box<Answer<servent>>>> = const { Cell::new(None) };
    static PROTOCOL: Cell<Option<Box<Answer<protoent>>>> = const { Cell::new(None) };
}

/// Copies of texts, and of the list of some.
struct Copied {
    texts: Vec<CString>,
    aliases: Vec<*mut c_char>,
}

impl Copied {
    /// # Safety
    ///
    /// The list is NULL or ends with a NULL; what is in it ends with a zero.
    unsafe fn aliases(mut list: *mut *mut c_char) -> Copied {
        let mut copied = Copied {
            texts: Vec::new(),
            aliases: Vec::new(),
        };
        // SAFETY: by the caller's word.
        unsafe {
            while !list.is_null() && !(*list).is_null() {
                let alias = copied.text(*list);
                copied.aliases.push(alias);
                list = list.add(1);
            }
        }
        copied.aliases.push(null_mut());
        copied
    }

    /// # Safety
    ///
    /// `text` ends with a zero.
    unsafe fn text(&mut self, text: *const c_char) -> *mut c_char {
        // SAFETY: by the caller's word.
        let text = unsafe { CStr::from_ptr(text) }.to_owned();
        let start = text.as_ptr().cast_mut();
        self.texts.push(text);
        start
    }

    fn into_answer<T>(mut self, make: impl FnOnce(*mut *mut c_char) -> T) -> Box<Answer<T>> {
        Box::new(Answer {
            entry: make(self.aliases.as_mut_ptr()),
            _texts: self.texts,
            _aliases: self.aliases,
        })
    }
}

fn service(ask: impl FnOnce() -> *mut libc::servent) -> *mut servent {
    let asking = ASKING.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: libc's answer is NULL, or valid until the next question.
    let Some(found) = (unsafe { ask().as_ref() }) else {
        return error::or(Err(Error::WSANO_DATA), null_mut());
    };
    // SAFETY: libc's texts end with a zero, its list with a NULL.
    let mut answer = unsafe {
        let mut copied = Copied::aliases(found.s_aliases);
        let (name, protocol) = (copied.text(found.s_name), copied.text(found.s_proto));
        copied.into_answer(|aliases| servent {
            s_name: name,
            s_aliases: aliases,
            s_proto: protocol,
            s_port: found.s_port as i16,
        })
    };
    drop(asking);
    let entry = &raw mut answer.entry;
    SERVICE.set(Some(answer));
    entry
}

/// The port of a service.
///
/// # Safety
///
/// The texts are NULL or end with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn overlapped_getservbyname(
    name: *const c_char,
    protocol: *const c_char,
) -> *mut servent {
    if name.is_null() {
        return error::or(Err(Error::WSAEFAULT), null_mut());
    }
    // SAFETY: by the caller's word.
    service(|| unsafe { libc::getservbyname(name, protocol) })
}

/// The service of a port, which is in network byte order.
///
/// # Safety
///
/// `protocol` is NULL or ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn overlapped_getservbyport(
    port: c_int,
    protocol: *const c_char,
) -> *mut servent {
    // SAFETY: by the caller's word.
    service(|| unsafe { libc::getservbyport(port, protocol) })
}

/// The number of a protocol.
///
/// # Safety
///
/// `name` is NULL or ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn overlapped_getprotobyname(name: *const c_char) -> *mut protoent {
    if name.is_null() {
        return error::or(Err(Error::WSAEFAULT), null_mut());
    }
    let asking = ASKING.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: by the caller's word; libc's answer is NULL, or valid until the next question.
    let Some(found) = (unsafe { libc::getprotobyname(name).as_ref() }) else {
        return error::or(Err(Error::WSANO_DATA), null_mut());
    };
    // SAFETY: libc's texts end with a zero, its list with a NULL.
    let mut answer = unsafe {
        let mut copied = Copied::aliases(found.p_aliases);
        let name = copied.text(found.p_name);
        copied.into_answer(|aliases| protoent {
            p_name: name,
            p_aliases: aliases,
            p_proto: found.p_proto as i16,
        })
    };
    drop(asking);
    let entry = &raw mut answer.entry;
    PROTOCOL.set(Some(answer));
    entry
}
