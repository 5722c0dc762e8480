//! Queueing calls to threads.

use crate::abi::{DWORD, HANDLE, PAPCFUNC, ULONG_PTR};
use crate::apc::Apc;
use crate::error::{self, Error};
use crate::handle;

/// Queues a call to a thread, which runs it in its next alertable wait.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn QueueUserAPC(
    routine: Option<PAPCFUNC>,
    thread: HANDLE,
    parameter: ULONG_PTR,
) -> DWORD {
    let result = handle::find(thread).and_then(|object| {
        let routine = routine.ok_or(Error::INVALID_PARAMETER)?;
        match object.thread()?.apcs().queue(Apc::User(routine, parameter)) {
            true => Ok(1),
            // As Windows says of a thread that has ended.
            false => Err(Error::GEN_FAILURE),
        }
    });
    error::or(result, 0)
}
