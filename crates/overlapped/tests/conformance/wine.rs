//! Where Wine, on which the Windows engine is tested, differs from Windows.
//!
//! The one list of what is not tested there. Nothing is skipped on Windows itself.

/// The tests, by name, and what Wine does instead.
const DIFFERS: &[(&str, &str)] = &[
    // It takes the concurrency value and never looks at it.
    ("cc_4_a_thread_counts_however_its_call_returned", NO_LIMIT),
    (
        "cc_5_a_thread_that_loops_takes_packet_after_packet",
        NO_LIMIT,
    ),
    (
        "cc_6_at_the_limit_a_poll_times_out_although_packets_are_queued",
        NO_LIMIT,
    ),
    (
        "cc_7_an_insert_below_the_limit_goes_straight_to_a_waiter",
        NO_LIMIT,
    ),
    (
        "cc_8_cc_9_a_blocking_worker_is_replaced_and_counts_again",
        NO_LIMIT,
    ),
    ("cc_10_leaving_for_another_port_releases_a_waiter", NO_LIMIT),
    ("tm_9_at_the_limit_a_timer_waits_for_a_worker", NO_LIMIT),
    // Wine 10 does.
    (
        "cc_2_waiting_threads_are_released_last_in_first_out",
        NO_LIFO,
    ),
    ("a_computing_worker_strands_nobody", NO_LIFO),
    (
        "ce_3_a_refused_socket_may_try_again",
        "the next attempt after a refusal fails with WSAECONNABORTED, as Linux has it",
    ),
    (
        "cx_5_what_waits_behind_a_cancelled_send_goes_on",
        "a send of nothing waits for room in the socket, as Linux has it",
    ),
    (
        "cx_5_a_cancelled_transmit_says_how_much_went_out",
        "CancelIoEx does not always find a transmit that is under way (one run in three)",
    ),
    (
        "a_file_without_the_page_cache",
        "a place that is not aligned does not matter",
    ),
    (
        "io_13_what_finds_nobody_fails_a_receive_and_no_send",
        "a socket that is not connected is not told, and a connected one's sends fail",
    ),
    (
        "io_13_can_be_switched_off",
        "SIO_UDP_CONNRESET has no effect on a connected socket",
    ),
    (
        "vectored_operations_may_have_more_pieces_than_a_system_call",
        "more than 1024 pieces fail with WSAEMSGSIZE, as Linux has it",
    ),
];

const NO_LIMIT: &str = "the concurrency value is ignored";
const NO_LIFO: &str = "waiting threads are released first in first out";

/// Whether the system under this test is one on which it can succeed.
pub fn obeys(test: &str) -> bool {
    let Some((_, reason)) = DIFFERS.iter().find(|(name, _)| *name == test) else {
        return true;
    };
    let skipped = is_wine();
    if skipped {
        println!("not under Wine: {test}: {reason}");
    }
    !skipped
}

#[cfg(not(windows))]
fn is_wine() -> bool {
    false
}

/// Wine's system library says so.
#[cfg(windows)]
fn is_wine() -> bool {
    use std::ffi::{c_char, c_void};
    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn GetModuleHandleA(name: *const c_char) -> *mut c_void;
        fn GetProcAddress(module: *mut c_void, name: *const c_char) -> *mut c_void;
    }
    // SAFETY: both names are C strings, and the library is in every process.
    unsafe {
        let ntdll = GetModuleHandleA(c"ntdll.dll".as_ptr());
        !GetProcAddress(ntdll, c"wine_get_version".as_ptr()).is_null()
    }
}
