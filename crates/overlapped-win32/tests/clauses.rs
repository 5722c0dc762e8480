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
        "GO-3 (duplicate)",
        "what DuplicateHandle makes of a socket is a socket here in every call",
    ),
    (
        "AP-1 (nesting)",
        "the routines of a socket nest if one of them waits alertably itself, as other calls that are \
         queued to a thread do",
    ),
    (
        "IO-7 (nobody takes packets)",
        "what a send had no room for at first is sent by whoever takes packets, so that copying is done \
         by the workers; with an event, or without a port, nobody has to",
    ),
    (
        "IO-7 (non-blocking)",
        "a send on a non-blocking socket takes what Linux's socket has room for: taking the rest would be \
         a buffer of our own without a limit",
    ),
    (
        "IO-15",
        "Linux goes on telling the end of the stream, which came before the reset; a send tells of it",
    ),
    (
        "AX-6 (accept)",
        "a connection is taken when a worker takes the packet, so an accept that does not wait for that \
         may get it",
    ),
    (
        "CX-11 (goes on)",
        "what is under way when its port is closed ends as cancelled: nobody is left who would transfer",
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
    ("SK-4", "what is skipped is skipped in DisconnectEx, too"),
    (
        "AP-1 (nesting)",
        "routines nest, as all calls to threads do",
    ),
    ("TP-1 (flags)", "flags are not looked at"),
    ("TP-1 (no routine)", "no routine is a routine"),
    ("IO-4 (no buffer)", "a receive without buffers is started"),
    (
        "IO-7 (non-blocking)",
        "a send takes what there is room for, as Linux has it",
    ),
    ("IO-8", "MSG_WAITALL does not wait for all"),
    ("IO-8 (cancelled)", "as IO-8"),
    ("IO-8 (reset)", "as IO-8"),
    (
        "IO-12 (send)",
        "a send without a connection is called a reset",
    ),
    (
        "IO-12 (datagrams)",
        "a receive without an address is started",
    ),
    (
        "IO-13",
        "datagrams that come back are told to connected sockets only, as Linux has it",
    ),
    ("IO-13 (later)", "as IO-13"),
    (
        "IO-14",
        "after a reset there is the end of the stream, as Linux has it",
    ),
    (
        "IO-15",
        "the end of the stream goes on being told, as Linux has it",
    ),
    ("AX-1", "as AX-1 (no listener)"),
    (
        "AX-1 (no listener)",
        "sockets are not looked at before an AcceptEx is started",
    ),
    ("AX-1 (no buffer)", "another error"),
    ("AX-1 (bound)", "as AX-1 (no listener)"),
    ("AX-1 (datagrams)", "as AX-1 (no listener)"),
    ("AX-3", "little room for an address is enough"),
    ("AX-7 (validates)", "a context is not looked at"),
    ("CE-1 (datagrams)", "a datagram socket can ConnectEx"),
    ("CE-3", "what was refused cannot try again"),
    ("CE-4 (validates)", "as AX-7 (validates)"),
    ("DX-1 (arguments)", "they are not looked at"),
    ("DX-2 (accept)", "a socket is not used again"),
    ("DX-2 (connect)", "as DX-2 (accept)"),
    ("TF-1 (refused)", "as DX-1 (arguments)"),
    ("TF-1 (too long)", "as DX-1 (arguments)"),
    ("CX-2", "cancelling all of nothing succeeds"),
    (
        "CX-6",
        "what a close ends has a status of Wine's own, at times",
    ),
    ("CX-6 (datagrams)", "as CX-6"),
    ("CX-9", "closing a port does not end its waits"),
    ("CX-9 (duplicate)", "as CX-9"),
    ("CX-10", "the concurrency value is not looked at"),
];

/// Programs beside those that have a chapter's name alone.
const PARTS: &[&str] = &[
    "chapter4_calls",
    "chapter5_datagrams",
    "chapter5_files",
    "chapter5_accept",
    "chapter5_connect",
];

fn chapter(number: u32) {
    let name = format!("chapter{number}");
    program(&name);
    for part in PARTS.iter().filter(|part| part.starts_with(&name)) {
        program(part);
    }
}

fn program(name: &str) {
    if !can_compile(&format!("{name}.c"), &[]) {
        return;
    }
    let here = directory(name);
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
