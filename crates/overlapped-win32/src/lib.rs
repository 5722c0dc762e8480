//! The Win32 calls of completion-port servers, for recompiling them on Linux.
//!
//! A program that was written for Windows includes the headers in `include/` and links this
//! library; it never sees a file descriptor. What it holds are handles, and what the handles name
//! are objects with Windows's rules:
//!
//! ```text
//! calls/     one exported function each: checks its arguments, finds the object, sets the last error
//! objects/   what handles name: ports, file objects (sockets and files), events, threads, ...
//! handle     the table between the two: stale and foreign handles are refused, never followed
//! names      what objects are called
//! dispatcher who waits for which object, decided under one lock
//! locks      critical sections, SRW locks, condition variables: futexes in the program's memory
//! thread     what each thread has: last error, APCs, the port that it is bound to
//! net        Winsock's numbers and structures, and Linux's for them
//! apc        calls that are queued to a thread and run in its alertable waits
//! leave      how a thread ends from any depth
//! helpers    the library's own threads
//! memory     heaps, and memory by the page
//! text       strings of either width
//! messages   what errors are called
//! error      the last error, and from statuses and errnos to the numbers that programs test
//! abi        types and structures in Windows's layout
//! ```
//!
//! The completion port itself, its queue and its engines are `overlapped-core`'s, the same that the
//! Rust face uses; this crate is another face of it.
//!
//! The names of exported functions are Windows's, because the linker should name what is missing.
//! Those that libc has too (`accept`, `send`, `select`, ...) are exported with the prefix
//! `overlapped_`, and the headers map them, so that the symbols of other libraries stay untouched.
#![cfg(target_os = "linux")]

pub mod abi;
mod apc;
pub mod calls;
mod dispatcher;
mod error;
mod handle;
mod helpers;
mod leave;
mod locks;
mod memory;
mod messages;
mod names;
pub mod net;
mod objects;
mod text;
mod thread;
mod time;
