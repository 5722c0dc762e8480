//! The names of objects, which are this process's own.
//!
//! Windows has one space of names for the whole session; here a name is good for finding an object
//! again within the program. The prefixes `Global\\` and `Local\\` mean the same space. A name ends
//! with the object's last handle.

use std::collections::HashMap;
use std::mem::discriminant;
use std::sync::{LazyLock, Mutex, PoisonError, Weak};

use crate::abi::HANDLE;
use crate::error::{self, Error};
use crate::handle::{self, Named};
use crate::objects::Object;

static NAMES: LazyLock<Mutex<HashMap<String, Weak<Named>>>> = LazyLock::new(Mutex::default);

/// A handle for a new object, or for the one that has the name already: then the last error says
/// so. It is cleared otherwise, because programs look at it after success.
pub(crate) fn create(name: Option<String>, object: impl Into<Object>) -> Result<HANDLE, Error> {
    let object = object.into();
    let Some(name) = name.map(plain).filter(|name| !name.is_empty()) else {
        let handle = handle::open(object)?;
        error::set_last(Error::SUCCESS);
        return Ok(handle);
    };
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(named) = names.get(&name).and_then(Weak::upgrade)
        && named.is_open()
    {
        if discriminant(named.object()) != discriminant(&object) {
            return Err(Error::INVALID_HANDLE);
        }
        if let Ok(handle) = handle::reopen(&named) {
            error::set_last(Error::ALREADY_EXISTS);
            return Ok(handle);
        }
    }
    // The dead ones go when a new one comes, so that closing a handle needs no look here.
    names.retain(|_, kept| kept.upgrade().is_some_and(|named| named.is_open()));
    let (handle, kept) = handle::open_kept(object)?;
    names.insert(name, kept);
    error::set_last(Error::SUCCESS);
    Ok(handle)
}

/// A handle for the object of this name, if it is one that is `wanted`.
pub(crate) fn open(
    name: Option<String>,
    wanted: impl FnOnce(&Object) -> bool,
) -> Result<HANDLE, Error> {
    let name = name.map(plain).ok_or(Error::INVALID_PARAMETER)?;
    let names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let named = names.get(&name).and_then(Weak::upgrade);
    let named = named.ok_or(Error::FILE_NOT_FOUND)?;
    if !wanted(named.object()) {
        return Err(Error::INVALID_HANDLE);
    }
    handle::reopen(&named).map_err(|_| Error::FILE_NOT_FOUND)
}

fn plain(name: String) -> String {
    for prefix in ["Global\\", "Local\\"] {
        if let Some(rest) = name.strip_prefix(prefix) {
            return rest.to_owned();
        }
    }
    name
}
