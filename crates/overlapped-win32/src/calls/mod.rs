//! The exported functions, by subject.
//!
//! What a program has to see to when it calls one is in Microsoft's documentation of it. Null and
//! handles of the wrong kind are errors here, also where Windows would crash.
#![allow(clippy::missing_safety_doc)]

pub mod apc;
pub mod console;
pub mod control;
pub mod handles;
pub mod heap;
pub mod interlocked;
pub mod locks;
pub mod messages;
pub mod modules;
pub mod pages;
pub mod pool;
pub mod slist;
pub mod strings;
pub mod sync;
pub mod system;
pub mod threads;
pub mod time;
pub mod timers;
pub mod tls;
pub mod waits;
