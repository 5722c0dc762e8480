//! The compiler's command, and its messages.
//!
//! What it and the linker say is passed on as it is, but for names that the library does not have:
//! of each there is one line. Behind the rest stands, where it is known, what to change in the
//! source.

use std::collections::BTreeSet;
use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::arguments::Arguments;
use crate::interrupt;
use crate::place::Place;
use crate::sources::Seen;

/// What the headers need whatever the program is; pkg-config says it too.
pub const ALWAYS: &[&str] = &[
    // They use more of libc than C itself has.
    "-D_DEFAULT_SOURCE=1",
    "-D_WIN32=1",
    "-D_WIN64=1",
    "-DWIN32=1",
    "-pthread",
    // Microsoft's formats are translated where they are used.
    "-Wno-format",
    "-Wno-unknown-pragmas",
    "-include",
    "overlapped/crt.h",
];

pub fn command(
    arguments: &Arguments,
    place: &Place,
    seen: &Seen,
    overlay: Option<&Path>,
) -> Result<Command, String> {
    let compiler = compiler(arguments.cxx)?;
    let clang = compiler.iter().any(|word| is_clang(word));
    let mut command = Command::new(&compiler[0]);
    command.args(&compiler[1..]).args(ALWAYS);
    if arguments.lp32 {
        lp32(&mut command, arguments.cxx, clang);
    }
    if seen.old_sal {
        command.args(["-include", "overlapped/old_sal.h"]);
    }
    if let Some(with_arguments) = seen.void_main {
        command.arg(format!(
            "-DOVERLAPPED_MAIN_ARGUMENTS={}",
            i32::from(with_arguments)
        ));
        command.args(["-include", "overlapped/void_main.h"]);
    }
    command.args(&arguments.passed);
    if let Some(overlay) = overlay {
        command.arg("-I").arg(overlay);
    }
    for include in place.includes() {
        command.arg("-I").arg(include);
    }
    if !arguments.only_compile {
        link(&mut command, arguments, place)?;
    }
    Ok(command)
}

/// A pointer that is put into a DWORD and taken out again has to fit, and what is beside the DWORD
/// has to be zero: all memory is below 4 GiB, and variables begin as zero.
fn lp32(command: &mut Command, cxx: bool, clang: bool) {
    command.args(["-DOVERLAPPED_LP32=1", "-include", "overlapped/lp32.h"]);
    command.args(["-fno-pie", "-no-pie", "-ftrivial-auto-var-init=zero"]);
    command.arg("-Wno-int-to-pointer-cast");
    if !cxx {
        command.arg("-Wno-pointer-to-int-cast");
    }
    if clang {
        command.arg("-fms-extensions");
        command.arg("-enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang");
    } else if cxx {
        command.arg("-fpermissive");
    }
}

fn link(command: &mut Command, arguments: &Arguments, place: &Place) -> Result<(), String> {
    if arguments.static_library {
        command.arg(place.library.join("liboverlapped_win32.a"));
        command.args(["-lm", "-ldl"]);
        return Ok(());
    }
    command.arg("-L").arg(&place.library);
    command.arg("-loverlapped_win32");
    command.arg(format!("-Wl,-rpath,{}", place.library.display()));
    // Cargo gives the library no version in its name, and the program asks for it with one.
    let (plain, versioned) = (
        place.library.join("liboverlapped_win32.so"),
        place.library.join(crate::install::SONAME),
    );
    if plain.exists() && !versioned.exists() {
        crate::install::link("liboverlapped_win32.so", &versioned)?;
    }
    Ok(())
}

/// The compiler that is named, with the words behind it, or else the first of the usual ones that is
/// there.
fn compiler(cxx: bool) -> Result<Vec<String>, String> {
    let (own, usual, known) = match cxx {
        true => ("OVERLAPPED_CXX", "CXX", ["g++", "c++", "clang++"]),
        false => ("OVERLAPPED_CC", "CC", ["gcc", "cc", "clang"]),
    };
    // `make CC=overlapped-cc` sets CC for this program too.
    let said = |name| {
        env::var(name)
            .ok()
            .filter(|value| !value.trim().is_empty() && !value.contains("overlapped-c"))
    };
    if let Some(said) = said(own).or_else(|| said(usual)) {
        return Ok(match Path::new(&said).is_file() {
            true => vec![said],
            false => said.split_whitespace().map(String::from).collect(),
        });
    }
    match known.into_iter().find(|name| found(name).is_some()) {
        Some(there) => Ok(vec![there.to_string()]),
        None => Err(format!(
            "there is no compiler (looked for {}): install one, or name one in {own}",
            known.join(", ")
        )),
    }
}

/// Where a program is that is called by its name.
fn found(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let files = env::split_paths(&path).map(|directory| directory.join(name));
    files.into_iter().find(|file| file.is_file())
}

/// Whether it takes Clang's options: `cc` may be a link to either.
fn is_clang(compiler: &str) -> bool {
    let is_it = |path: &Path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().contains("clang"))
    };
    is_it(Path::new(compiler))
        || found(compiler)
            .and_then(|file| file.canonicalize().ok())
            .is_some_and(|file| is_it(&file))
}

pub fn run(mut command: Command, arguments: &Arguments) -> Result<ExitCode, String> {
    if arguments.verbose {
        eprintln!("{command:?}");
    }
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    interrupt::pass_on_to(&child);
    let mut messages = Messages {
        lp32: arguments.lp32,
        ..Messages::default()
    };
    let stderr = child.stderr.take().expect("it is piped");
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        messages.line(&String::from_utf8_lossy(&line));
    }
    let status = child
        .wait()
        .map_err(|error| format!("{program}: {error}"))?;
    messages.end();
    Ok(match status.code() {
        Some(code) => ExitCode::from(code as u8),
        None => ExitCode::FAILURE,
    })
}

#[derive(Default)]
struct Messages {
    lp32: bool,
    undefined: BTreeSet<String>,
    advice: BTreeSet<&'static str>,
    /// A line that belongs to the next, if that is about an undefined name.
    held: Option<String>,
}

impl Messages {
    fn line(&mut self, line: &str) {
        if let Some(name) = undefined(line) {
            self.held = None;
            match is_of_cxx(name) {
                true => self.advice.insert(LINK_AS_CXX),
                false => self.undefined.insert(name.to_string()),
            };
            return;
        }
        if let Some(held) = self.held.take() {
            eprintln!("{held}");
        }
        // The linker's "in function ..." before it.
        if line.contains(": in function `") {
            self.held = Some(line.to_string());
            return;
        }
        if let Some(advice) = advice(line, self.lp32) {
            self.advice.insert(advice);
        }
        eprintln!("{line}");
    }

    fn end(mut self) {
        if let Some(held) = self.held.take() {
            eprintln!("{held}");
        }
        if self.undefined.remove("main") {
            self.advice.insert(NO_MAIN);
        }
        for name in &self.undefined {
            eprintln!(
                "overlapped-cc: `{name}` is not in overlapped-win32, and nothing else was linked that has it"
            );
        }
        for advice in &self.advice {
            eprintln!("overlapped-cc: {advice}");
        }
    }
}

/// The name in the linker's message that there is none.
fn undefined(line: &str) -> Option<&str> {
    let (_, rest) = line
        .split_once("undefined reference to `")
        .or_else(|| line.split_once("undefined symbol: "))?;
    rest.split('\'').next()
}

/// Objects do not show which language they were.
const LINK_AS_CXX: &str = "these objects are C++: link them with overlapped-c++";

/// The linker looks for one name only.
const NO_MAIN: &str =
    "there is no main: wmain, WinMain and wWinMain are not called here, main and _tmain are";

/// Whether a name is the standard library's of C++, which GCC links for C++ only.
fn is_of_cxx(name: &str) -> bool {
    [
        "std::",
        "__cxa_",
        "__gxx_personality",
        "operator new",
        "operator delete",
        "vtable for __cxxabiv1",
    ]
    .iter()
    .any(|beginning| name.starts_with(beginning))
}

/// What to change, for messages that are about what there is not.
fn advice(line: &str, lp32: bool) -> Option<&'static str> {
    let missing = line.contains("No such file or directory") || line.contains("file not found");
    let header =
        |names: &[&str]| missing && names.iter().any(|name| line.to_lowercase().contains(name));
    // Its name is in that of some that are MFC's.
    if header(&["stdafx.h", "pch.h"]) {
        return Some(
            "the precompiled header's file is missing: add it, or an empty file of its name",
        );
    }
    if header(&["afx", "atlbase", "atlstr", "cstringt"]) {
        return Some(
            "MFC and ATL are not supported: use std::string, std::vector and std::list in their place",
        );
    }
    if header(&["winreg.h", "winsvc.h"]) {
        return Some(
            "the registry and services are not supported: read settings from a file, run as a daemon",
        );
    }
    if header(&["psapi.h", "dbghelp.h", "tlhelp32.h", "iphlpapi.h", "pdh.h"]) {
        return Some(
            "there is no such header here: leave out what inspects processes and machines, or put it in #ifdef",
        );
    }
    if line.contains("__asm") || line.contains("'_asm'") {
        return Some("inline assembly of Microsoft's is not supported: use <intrin.h>, or C");
    }
    if line.contains("__except")
        || line.contains("__finally")
        || (line.contains("__try") && line.contains("undeclared"))
    {
        return Some(
            "structured exceptions are there in C++ only: compile the file as C++ (-x c++)",
        );
    }
    if undeclared(line).is_some_and(is_like_windows) {
        return Some(
            "a name of Windows that is not declared is not in overlapped-win32, or its header is not included",
        );
    }
    if line.contains("wchar_t") && (line.contains("char16_t") || line.contains("WCHAR")) {
        return Some(
            "text of WCHARs is written u\"...\" here, or TEXT(\"...\") with UNICODE: a wchar_t has 32 bits",
        );
    }
    if !lp32
        && (line.contains("loses precision") || line.contains("cast from pointer to smaller type"))
    {
        return Some(
            "a pointer does not fit into a DWORD: cast it to ULONG_PTR, or compile with --lp32",
        );
    }
    None
}

/// The name in the compiler's message that nothing declares it.
fn undeclared(line: &str) -> Option<&str> {
    let known = [
        "was not declared in this scope",
        "undeclared (first use",
        "use of undeclared identifier",
        "implicit declaration of function",
        "call to undeclared function",
        "does not name a type",
        "unknown type name",
    ];
    known.iter().find(|text| line.contains(**text))?;
    let after = line
        .split("error: ")
        .nth(1)
        .or_else(|| line.split("warning: ").nth(1))?;
    after.split(['\'', '\u{2018}', '\u{2019}']).nth(1)
}

/// `RegCloseKey`, `KEY_READ` and `HKEY`.
fn is_like_windows(name: &str) -> bool {
    let rest = name.get(1..).unwrap_or_default();
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && rest.contains(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linkers_message_is_a_name() {
        assert_eq!(
            undefined("x.c:(.text+0x5): undefined reference to `RegOpenKeyExA'"),
            Some("RegOpenKeyExA")
        );
        assert_eq!(undefined("x.c: error: nothing"), None);
    }

    #[test]
    fn what_only_cxx_links_is_known() {
        assert!(is_of_cxx("std::ios_base::Init::Init()"));
        assert!(is_of_cxx("operator new(unsigned long)"));
        assert!(!is_of_cxx("RegOpenKeyExA"));
        assert!(!is_of_cxx("Session::std::length"));
    }

    #[test]
    fn a_precompiled_header_is_not_taken_for_mfc() {
        for name in ["stdafx.h", "StdAfx.h"] {
            let line = format!("x.cpp:1:10: fatal error: {name}: No such file or directory");
            assert!(advice(&line, false).is_some_and(|advice| advice.contains("precompiled")));
        }
    }

    #[test]
    fn undeclared_names_of_windows_are_told_from_others() {
        for (line, is_so) in [
            (
                "x.cpp:3:5: error: 'RegCloseKey' was not declared in this scope",
                true,
            ),
            (
                "x.c:3:5: error: \u{2018}KEY_READ\u{2019} undeclared (first use in this function)",
                true,
            ),
            ("x.c:3:5: error: use of undeclared identifier 'HKEY'", true),
            (
                "x.cpp:3:5: error: 'session' was not declared in this scope",
                false,
            ),
            (
                "x.cpp:3:5: error: 'Session' was not declared in this scope",
                false,
            ),
        ] {
            assert_eq!(
                undeclared(line).is_some_and(is_like_windows),
                is_so,
                "{line}"
            );
        }
    }

    #[test]
    fn what_is_not_there_has_a_line_of_advice() {
        assert!(
            advice(
                "x.cpp:1:10: fatal error: afxwin.h: No such file or directory",
                false
            )
            .is_some()
        );
        assert!(
            advice(
                "x.cpp:1:10: fatal error: mine.h: No such file or directory",
                false
            )
            .is_none()
        );
    }
}
