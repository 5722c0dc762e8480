//! Winsock's numbers and structures, and Linux's for them.

mod address;
pub(crate) mod control;
mod errno;
pub(crate) mod options;
pub mod types;

pub(crate) use address::{
    AF_INET, AF_INET6, Any, family_of_linux, family_to_linux, read, write, write_length,
};
pub(crate) use errno::{last, of_errno, of_status};
