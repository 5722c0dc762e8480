//! Running a thread's routine so that it can be left from any depth.
//!
//! `ExitThread` and `_endthreadex` end a thread without unwinding its stack: no destructor runs and
//! no `catch (...)` sees it, as on Windows. `pthread_exit` would unwind, which ends the process in
//! a `noexcept` function, or where a `catch (...)` does not pass it on. So [`enter`] keeps the
//! registers that a call preserves at the bottom of the stack, and [`leave`] puts them back: what
//! `setjmp` and `longjmp` do, which cannot be called from Rust.

use std::arch::naked_asm;
use std::ffi::c_void;

/// A thread's routine.
pub(crate) type Routine = unsafe extern "C-unwind" fn(*mut c_void) -> u32;

/// Calls `routine`, and returns what it returns or what [`leave`] was given. `*bottom` is what
/// `leave` needs; it is good until this returns.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn enter(
    bottom: *mut *mut c_void,
    routine: Routine,
    parameter: *mut c_void,
) -> u32 {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        // Room for the floating-point modes; and a call wants the stack aligned.
        "sub rsp, 8",
        "stmxcsr [rsp]",
        "fnstcw [rsp + 4]",
        "mov [rdi], rsp",
        "mov rdi, rdx",
        "call rsi",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// Returns from the [`enter`] on this thread.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn leave(bottom: *mut c_void, code: u32) -> ! {
    naked_asm!(
        "mov rsp, rdi",
        "mov eax, esi",
        "ldmxcsr [rsp]",
        "fldcw [rsp + 4]",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// Calls `routine`, and returns what it returns or what [`leave`] was given. `*bottom` is what
/// `leave` needs; it is good until this returns.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn enter(
    bottom: *mut *mut c_void,
    routine: Routine,
    parameter: *mut c_void,
) -> u32 {
    naked_asm!(
        "stp x29, x30, [sp, #-160]!",
        "stp x19, x20, [sp, #16]",
        "stp x21, x22, [sp, #32]",
        "stp x23, x24, [sp, #48]",
        "stp x25, x26, [sp, #64]",
        "stp x27, x28, [sp, #80]",
        "stp d8, d9, [sp, #96]",
        "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]",
        "stp d14, d15, [sp, #144]",
        "mov x9, sp",
        "str x9, [x0]",
        "mov x0, x2",
        "blr x1",
        "ldp x19, x20, [sp, #16]",
        "ldp x21, x22, [sp, #32]",
        "ldp x23, x24, [sp, #48]",
        "ldp x25, x26, [sp, #64]",
        "ldp x27, x28, [sp, #80]",
        "ldp d8, d9, [sp, #96]",
        "ldp d10, d11, [sp, #112]",
        "ldp d12, d13, [sp, #128]",
        "ldp d14, d15, [sp, #144]",
        "ldp x29, x30, [sp], #160",
        "ret",
    )
}

/// Returns from the [`enter`] on this thread.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn leave(bottom: *mut c_void, code: u32) -> ! {
    naked_asm!(
        "mov sp, x0",
        "mov w0, w1",
        "ldp x19, x20, [sp, #16]",
        "ldp x21, x22, [sp, #32]",
        "ldp x23, x24, [sp, #48]",
        "ldp x25, x26, [sp, #64]",
        "ldp x27, x28, [sp, #80]",
        "ldp d8, d9, [sp, #96]",
        "ldp d10, d11, [sp, #112]",
        "ldp d12, d13, [sp, #128]",
        "ldp d14, d15, [sp, #144]",
        "ldp x29, x30, [sp], #160",
        "ret",
    )
}
