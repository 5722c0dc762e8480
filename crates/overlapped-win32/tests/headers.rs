//! The headers compile in C11, C++17 and C++20, by GCC and Clang, with the standard headers before
//! and after them, and text is formatted as Microsoft's library does.
#![cfg(target_os = "linux")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{HERE, WRAPPER, can_compile, compile, directory, has, mingw, skipped, succeed, text};

fn source(name: &str) -> PathBuf {
    Path::new(HERE).join("tests/headers").join(name)
}

#[test]
fn names_are_windowss_whatever_is_included_before_or_after() {
    for (compilers, standards, language) in [
        (["gcc", "clang"], ["c11", "gnu17"], "c"),
        (["g++", "clang++"], ["c++17", "gnu++20"], "c++"),
    ] {
        for compiler in compilers {
            if !has(compiler) {
                skipped(&format!("the headers by {compiler}: it is not here"));
                continue;
            }
            for standard in standards {
                for lean in [false, true] {
                    for first in [false, true] {
                        let mut command = Command::new(WRAPPER);
                        command.env(
                            if language == "c" {
                                "OVERLAPPED_CC"
                            } else {
                                "OVERLAPPED_CXX"
                            },
                            compiler,
                        );
                        command.args([
                            "-fsyntax-only",
                            "-Wall",
                            "-Werror",
                            "-Wno-unused",
                            "-x",
                            language,
                        ]);
                        command
                            .arg(format!("-std={standard}"))
                            .arg(source("names.c"));
                        command.args(lean.then_some("-DWIN32_LEAN_AND_MEAN"));
                        command.args(first.then_some("-DSTANDARD_FIRST"));
                        succeed(&mut command);
                    }
                }
            }
        }
    }
}

#[test]
fn winsock_and_the_systems_sockets_are_not_mixed_in_silence() {
    if !can_compile("mixed.c", &[]) {
        return;
    }
    let here = directory("mixed");
    let mixed = here.join("mixed.c");
    std::fs::write(&mixed, "#include <winsock2.h>\n#include <sys/socket.h>\n").unwrap();
    let output = Command::new(WRAPPER)
        .arg("-fsyntax-only")
        .arg(&mixed)
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("<sys/socket.h> in a source file with Winsock"));
    // Alone, they are the system's.
    let alone = here.join("alone.c");
    std::fs::write(
        &alone,
        "#include <sys/socket.h>\n#include <netinet/in.h>\n#include <netdb.h>\n#include <sys/select.h>\n\
         int f(void) { fd_set s; struct timeval t = {0, 0}; FD_ZERO(&s); socklen_t n = sizeof(struct sockaddr_in6);\n\
         return select(0, &s, 0, 0, &t) + (int)n + AF_INET6; }\n\
         _Static_assert(AF_INET6 == 10 && sizeof(struct timeval) == 16, \"the system's\");\n",
    )
    .unwrap();
    succeed(
        Command::new(WRAPPER)
            .args(["-Werror", "-fsyntax-only"])
            .arg(&alone),
    );
}

#[test]
fn text_is_formatted_as_microsoft_does() {
    if !can_compile("format.c", &[]) {
        return;
    }
    let here = directory("format");
    let program = here.join("program");
    compile(&source("format.c"), &program, &[]);
    let ours = text(&succeed(&mut Command::new(&program)).stdout);
    if has("clang") {
        let program = here.join("by-clang");
        let mut command = Command::new(WRAPPER);
        command
            .env("OVERLAPPED_CC", "clang")
            .arg("-o")
            .arg(&program);
        succeed(command.arg(source("format.c")));
        let theirs = text(&succeed(&mut Command::new(&program)).stdout);
        assert_eq!(ours, theirs, "by GCC, and by Clang");
    }
    assert!(
        ours.starts_with("-5 4000000000 ee6b2800    -5|-5    |\n"),
        "{ours}"
    );
    if let Some(mingw) = mingw() {
        let program = here.join("program.exe");
        mingw.compile(
            &source("format.c"),
            &program,
            &["-D__USE_MINGW_ANSI_STDIO=0"],
        );
        assert_eq!(
            ours,
            text(&succeed(&mut mingw.run(&program)).stdout),
            "here, and under Wine"
        );
    }
}
