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

/// ... and of chapter 3.
const CHAPTER_3: &[&str] = &[
    "CC-1", "CC-2", "CC-3", "CC-4", "CC-5", "CC-6", "CC-7", "CC-8", "CC-9", "CC-10", "CC-11",
    "CC-12", "CC-13",
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
];

/// Runs a chapter's program here, as often as there are ways to, and under Wine.
fn chapter(number: u32, clauses: &[&str]) {
    let name = format!("chapter{number}");
    if !can_compile(&format!("{name}.c"), &[]) {
        return;
    }
    let here = directory(&name);
    let source = Path::new(HERE).join(format!("tests/clauses/{name}.c"));
    let program = here.join("program");
    compile(&source, &program, &["-Wall", "-Wno-unused"]);
    let output = succeed(&mut Command::new(&program)).stdout;
    check("here", &output, DEVIATES);
    complete(clauses, &text(&output));
    if number == 3 {
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
    if clauses.is_empty() {
        return;
    }
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
    chapter(4, &[]);
}

#[test]
fn chapter_5_operations() {
    chapter(5, &[]);
}

#[test]
fn chapter_6_the_end() {
    chapter(6, &[]);
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
