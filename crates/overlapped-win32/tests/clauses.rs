//! The clauses of chapters 1 to 6 as C programs over the C interface: here, and under Wine.
//!
//! Each program prints a line for each clause. All hold here, but what `DEVIATES` lists; under Wine
//! those that `WINE_DEVIATES` lists may fail.
#![cfg(target_os = "linux")]

mod support;

use std::path::Path;
use std::process::Command;

use support::{HERE, can_compile, compile, directory, mingw, succeed, text};

/// What is otherwise here, and why.
const DEVIATES: &[(&str, &str)] = &[
    (
        "PO-14",
        "a port's handle cannot be waited for: its queue would have to tell of each packet, on the way \
         that has to be short; GetQueuedCompletionStatus with a time-out of 0 looks",
    ),
    (
        "IO-8",
        "an overlapped receive with MSG_WAITALL is refused with WSAEOPNOTSUPP, rather than ended by a \
         part: start another receive for the rest",
    ),
];

/// What Wine 8 does otherwise than Windows, by its own tests' word or the manuals'.
const WINE_DEVIATES: &[(&str, &str)] = &[
    (
        "GX-6",
        "a thread's first wait on a port takes a packet before an APC",
    ),
    ("CC-2", "waits are ended in another order"),
    ("CC-6", "the concurrency value is not looked at"),
    ("IO-4", "a receive without buffers is started"),
    ("IO-8", "MSG_WAITALL does not wait for all"),
    ("IO-12", "a send without a connection is called a reset"),
    (
        "IO-14",
        "after a reset there is the end of the stream, as Linux has it",
    ),
    ("AX-1", "a socket that does not listen can accept"),
    ("CX-2", "cancelling all of nothing succeeds"),
    (
        "CX-6",
        "what a close ends has a status of Wine's own, at times",
    ),
    ("CX-6 (datagrams)", "as CX-6"),
    ("CX-7", "as CX-6"),
    ("CX-9", "closing a port does not end its waits"),
];

fn chapter(number: u32) {
    let name = format!("chapter{number}");
    if !can_compile(&format!("{name}.c"), &[]) {
        return;
    }
    let here = directory(&name);
    let source = Path::new(HERE).join(format!("tests/clauses/{name}.c"));
    let program = here.join("program");
    compile(&source, &program, &["-Wall", "-Wno-unused"]);
    check(
        "here",
        &succeed(&mut Command::new(&program)).stdout,
        DEVIATES,
    );
    if let Some(mingw) = mingw() {
        let program = here.join("program.exe");
        mingw.compile(&source, &program, &[]);
        check(
            "under Wine",
            &succeed(&mut mingw.run(&program)).stdout,
            WINE_DEVIATES,
        );
    }
}

fn check(place: &str, output: &[u8], deviates: &[(&str, &str)]) {
    let output = text(output);
    println!("{place}:\n{output}");
    let wrong: Vec<_> = output
        .lines()
        .filter(|line| !line.ends_with(": ok"))
        .filter(|line| {
            let clause = line.split(": ").next().unwrap_or_default();
            !deviates.iter().any(|(listed, _)| *listed == clause)
        })
        .collect();
    assert!(output.contains(": ok"), "nothing was checked {place}");
    assert!(wrong.is_empty(), "{place}: {wrong:#?}");
}

#[test]
fn chapter_1_the_port() {
    chapter(1);
}

#[test]
fn chapter_2_packets() {
    chapter(2);
}

#[test]
fn chapter_3_concurrency() {
    chapter(3);
}

#[test]
fn chapter_4_results() {
    chapter(4);
}

#[test]
fn chapter_5_operations() {
    chapter(5);
}

#[test]
fn chapter_6_the_end() {
    chapter(6);
}
