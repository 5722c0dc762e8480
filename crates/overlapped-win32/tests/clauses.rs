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
        "PK-10 (cancelled)",
        "what a cancel or close ends is written then, and not when the packet is taken: servers spin on \
         HasOverlappedIoCompleted after closesocket while nobody takes packets",
    ),
    (
        "CC-7 (own)",
        "what a port's own worker posts may stay for that worker, rather than wake another one; with \
         OVERLAPPED_WAKE=windows it goes to who waits",
    ),
    (
        "PO-14",
        "a port's handle cannot be waited for: where nobody is in GetQueuedCompletionStatus nobody learns \
         of finished I/O, so that a wait would take a thread of the library's in the engine; \
         GetQueuedCompletionStatus with a time-out of 0 looks",
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
    (
        "PO-11 (files)",
        "a routine is taken although there is a port",
    ),
    ("PO-13", "an association does not signal"),
    ("PK-9 (extensions)", "as AX-1: what is to fail is started"),
    (
        "PK-10",
        "the status block is written when the operation ends",
    ),
    ("PK-10 (cancelled)", "as PK-10"),
    ("2a (abandoned)", "as CX-9"),
    ("GX-4 (none)", "room for no packets is no error"),
    ("GX-4 (abandoned)", "as CX-9"),
    ("CC-1", "the concurrency value is not looked at"),
    ("CC-2", "waits are ended in another order"),
    ("CC-3", "as CC-1"),
    ("CC-4", "as CC-1"),
    ("CC-5", "as CC-1"),
    ("CC-6", "as CC-1"),
    ("CC-7", "as CC-1"),
    (
        "CC-7 (own)",
        "a packet is nobody's until somebody has woken up for it",
    ),
    ("CC-9", "as CC-1"),
    ("CC-9 (yield)", "as CC-1"),
    ("CC-10", "as CC-1"),
    ("CC-10 (exit)", "as CC-1"),
    ("CC-12", "as CC-1"),
    ("CC-13", "as CC-1"),
    ("SK-4", "what is skipped is skipped in DisconnectEx, too"),
    (
        "AP-1 (nesting)",
        "routines nest, as all calls to threads do",
    ),
    ("TP-1 (flags)", "flags are not looked at"),
    ("TP-1 (no routine)", "no routine is a routine"),
    ("IO-4 (no buffer)", "a receive without buffers is started"),
    (
        "IO-6 (several threads)",
        "in two of eight runs a send had a packet of 0 bytes, or none in time: not understood",
    ),
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

/// The clauses of chapter 1 ...
const CHAPTER_1: &[&str] = &[
    "PO-1", "PO-2", "PO-3", "PO-4", "PO-5", "PO-6", "PO-7", "PO-8", "PO-9", "PO-10", "PO-11",
    "PO-12", "PO-13", "PO-14", "PO-15", "PO-16",
];

/// ... of chapter 2, with the table of results ...
const CHAPTER_2: &[&str] = &[
    "PK-1", "PK-2", "PK-3", "PK-4", "PK-5", "PK-6", "PK-7", "PK-8", "PK-9", "PK-10", "PK-11",
    "GQ-1", "GQ-2", "GQ-3", "GQ-4", "2a", "GX-1", "GX-2", "GX-3", "GX-4", "GX-5", "GX-6", "GX-7",
    "PQ-1", "PQ-2", "PQ-3", "PQ-4",
];

/// ... of chapter 3 ...
const CHAPTER_3: &[&str] = &[
    "CC-1", "CC-2", "CC-3", "CC-4", "CC-5", "CC-6", "CC-7", "CC-8", "CC-9", "CC-10", "CC-11",
    "CC-12", "CC-13",
];

/// ... of chapter 4 ...
const CHAPTER_4: &[&str] = &[
    "SK-1", "SK-2", "SK-3", "SK-4", "SK-5", "EV-1", "GO-1", "GO-2", "GO-3", "AP-1", "AP-2", "TP-1",
    "TP-2", "JO-1", "WC-1", "WC-2", "RI-1", "RI-2",
];

/// ... of chapter 5 ...
const CHAPTER_5: &[&str] = &[
    "IO-1", "IO-2", "IO-3", "IO-4", "IO-5", "IO-6", "IO-7", "IO-8", "IO-9", "IO-10", "IO-11",
    "IO-12", "IO-13", "IO-14", "IO-15", "IO-16", "IO-17", "IO-18", "IO-19", "AX-1", "AX-2", "AX-3",
    "AX-4", "AX-5", "AX-6", "AX-7", "AX-8", "AX-9", "CE-1", "CE-2", "CE-3", "CE-4", "DX-1", "DX-2",
    "TF-1",
];

/// ... and of chapter 6, with the table of statuses.
const CHAPTER_6: &[&str] = &[
    "CX-1", "CX-2", "CX-3", "CX-4", "CX-5", "CX-6", "CX-7", "CX-8", "CX-9", "CX-10", "CX-11",
    "CX-12", "6a",
];

/// What no program checks, and why.
const OUTSIDE: &[(&str, &str)] = &[
    (
        "PO-7",
        "an association is replaced by a call of the NT level only, which is not there",
    ),
    (
        "PO-16",
        "takes another process; programs cannot start one here, and name none in DuplicateHandle",
    ),
    (
        "PQ-4",
        "calls of the NT level (NtSetIoCompletion, NtQueryIoCompletion), which are not there",
    ),
    ("JO-1", "job objects are not there"),
    ("WC-1", "wait completion packets are not there"),
    ("WC-2", "as WC-1"),
    ("RI-1", "registered I/O is not there"),
    ("RI-2", "as RI-1"),
    (
        "IO-19",
        "pipes are not there; those of the Rust face have tests of their own",
    ),
];

/// Runs a chapter's programs here, as often as there are ways to, and under Wine.
fn chapter(number: u32, clauses: &[&str]) {
    let name = format!("chapter{number}");
    let parts = PARTS.iter().filter(|part| part.starts_with(&name));
    let programs = std::iter::once(name.as_str()).chain(parts.copied());
    let outputs: Option<String> = programs.map(program).collect();
    if let Some(output) = outputs {
        complete(clauses, &output);
    }
}

/// What the program says here; `None` if nothing can be compiled.
fn program(name: &str) -> Option<String> {
    if !can_compile(&format!("{name}.c"), &[]) {
        return None;
    }
    let here = directory(name);
    let source = Path::new(HERE).join(format!("tests/clauses/{name}.c"));
    let program = here.join("program");
    compile(&source, &program, &["-Wall", "-Wno-unused"]);
    let output = succeed(&mut Command::new(&program)).stdout;
    check("here", &output, DEVIATES);
    if name == "chapter3" {
        let mut command = Command::new(&program);
        command.env("OVERLAPPED_WAKE", "windows");
        check("waking as Windows does", &succeed(&mut command).stdout, &[]);
    }
    if let Some(mingw) = mingw() {
        let program = here.join("program.exe");
        mingw.compile(&source, &program, &[]);
        check(
            "under Wine",
            &succeed(&mut mingw.run(&program)).stdout,
            WINE_DEVIATES,
        );
    }
    Some(text(&output).to_owned())
}

/// What is checked in a line.
fn check_of(line: &str) -> &str {
    line.split(": ").next().unwrap_or_default()
}

/// The clause that a check is about: it may name a part.
fn clause_of(check: &str) -> &str {
    check.split(" (").next().unwrap_or_default()
}

fn check(place: &str, output: &[u8], deviates: &[(&str, &str)]) {
    let output = text(output);
    println!("{place}:\n{output}");
    let wrong: Vec<_> = output
        .lines()
        .filter(|line| !line.ends_with(": ok"))
        .filter(|line| !deviates.iter().any(|(listed, _)| *listed == check_of(line)))
        .collect();
    assert!(output.contains(": ok"), "nothing was checked {place}");
    assert!(wrong.is_empty(), "{place}: {wrong:#?}");
}

/// No clause is forgotten: each is checked, or said to be outside; and what is said of one that is not
/// there is not left.
fn complete(clauses: &[&str], output: &str) {
    let checks: Vec<_> = output.lines().map(check_of).collect();
    let outside = |clause: &str| OUTSIDE.iter().any(|(listed, _)| *listed == clause);
    for clause in clauses {
        let checked = checks.iter().any(|check| clause_of(check) == *clause);
        assert!(
            checked != outside(clause),
            "{clause} has to be either checked or outside"
        );
    }
    for check in &checks {
        let clause = clause_of(check);
        assert!(clauses.contains(&clause), "{clause} is no clause of these");
    }
    for (listed, _) in DEVIATES.iter().chain(WINE_DEVIATES) {
        let of_these = clauses.contains(&clause_of(listed));
        assert!(
            !of_these || checks.contains(listed),
            "{listed} is not checked"
        );
    }
}

#[test]
fn chapter_1_the_port() {
    chapter(1, CHAPTER_1);
}

#[test]
fn chapter_2_packets() {
    chapter(2, CHAPTER_2);
}

#[test]
fn chapter_3_concurrency() {
    chapter(3, CHAPTER_3);
}

#[test]
fn chapter_4_results() {
    chapter(4, CHAPTER_4);
}

#[test]
fn chapter_5_operations() {
    chapter(5, CHAPTER_5);
}

#[test]
fn chapter_6_the_end() {
    chapter(6, CHAPTER_6);
}

#[test]
#[should_panic(expected = "PO-2 has to be either checked or outside")]
fn a_clause_that_is_forgotten_fails() {
    complete(&["PO-1", "PO-2", "PO-7"], "PO-1: ok\nPO-1 (more): ok\n");
}

#[test]
#[should_panic(expected = "PO-9 is no clause of these")]
fn a_clause_that_is_not_there_fails() {
    complete(&["PO-1", "PO-7"], "PO-1: ok\nPO-9: ok\n");
}
