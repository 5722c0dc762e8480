//! The exported functions, by subject.

mod handles;
mod sync;
