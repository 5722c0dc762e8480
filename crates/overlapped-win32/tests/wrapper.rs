//! The compiler wrapper: what it takes that GCC does not, and what it says of what is not
//! supported.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use support::{WRAPPER, can_compile, compile, directory, succeed, text};

fn said(output: &Output) -> String {
    text(&output.stderr)
}

fn refused(directory: &Path, name: &str, source: &str) -> String {
    let file = directory.join(name);
    fs::write(&file, source).unwrap();
    let output = Command::new(WRAPPER)
        .arg("-o")
        .arg(directory.join("program"))
        .arg(&file)
        .output()
        .unwrap();
    assert!(!output.status.success(), "it compiled");
    said(&output)
}

#[test]
fn names_of_any_case_with_backslashes_void_main_and_cpp() {
    if !can_compile("main.cpp", &[]) {
        return;
    }
    let here = directory("wrapper");
    fs::create_dir_all(here.join("Net/Inner")).unwrap();
    fs::write(
        here.join("Net/Inner/Deep.H"),
        "#pragma once\n#include \"BESIDE.h\"\n#include \"../Inner/beside.h\"\n",
    )
    .unwrap();
    fs::write(
        here.join("Net/Inner/Beside.h"),
        "#pragma once\n#define BESIDE 7\n",
    )
    .unwrap();
    fs::write(
        here.join("Main.Cpp"),
        "#include <wINDOWS.h>\n#include \"net\\inner\\deep.h\"\n#include \"Net/Inner/deep.h\"\n\
         #pragma comment(lib, \"ws2_32.lib\")\n\
         static int old(__in int n, __out_opt int *) { return n; }\n\
         void __cdecl main(int argc, char *argv[])\n\
         {\n    SetLastError(BESIDE);\n    printf(\"%lu %d %s\\n\", GetLastError(), old(argc, 0), argv[1]);\n}\n",
    )
    .unwrap();
    let program = here.join("program");
    compile(
        &here.join("Main.Cpp"),
        &program,
        &["-lws2_32", "-lmswsock", "kernel32.lib"],
    );
    let output = succeed(Command::new(&program).arg("word"));
    assert_eq!(text(&output.stdout), "7 2 word\n");
}

#[test]
fn a_void_main_without_arguments_in_c() {
    if !can_compile("v.c", &[]) {
        return;
    }
    let here = directory("void");
    fs::write(
        here.join("v.c"),
        "#include <windows.h>\nvoid main()\n{\n    puts(\"ran\");\n}\n",
    )
    .unwrap();
    let program = here.join("program");
    compile(&here.join("v.c"), &program, &[]);
    assert_eq!(text(&succeed(&mut Command::new(&program)).stdout), "ran\n");
}

#[test]
fn what_is_not_supported_is_said_in_a_line() {
    if !can_compile("unknown.c", &[]) || !can_compile("key.cpp", &[]) {
        return;
    }
    let here = directory("refused");
    let unknown = refused(
        &here,
        "unknown.c",
        "#include <windows.h>\nLONG RegOpenKeyExA(int, int);\nint main(void) { RegOpenKeyExA(0, 0); return RegOpenKeyExA(1, 1); }\n",
    );
    assert_eq!(unknown.matches("RegOpenKeyExA").count(), 1, "{unknown}");
    assert!(
        unknown.contains("overlapped-cc: `RegOpenKeyExA` is not in overlapped-win32"),
        "{unknown}"
    );
    let mfc = refused(&here, "mfc.cpp", "#include <AfxWin.h>\nint main() {}\n");
    assert!(
        mfc.contains("overlapped-cc: MFC and ATL are not supported"),
        "{mfc}"
    );
    let seh = refused(
        &here,
        "seh.c",
        "#include <windows.h>\nint main(void) { __try { } __finally { } return 0; }\n",
    );
    assert!(
        seh.contains("structured exceptions are there in C++ only"),
        "{seh}"
    );
    let key = refused(
        &here,
        "key.cpp",
        "#include <windows.h>\nint main() { void *key; DWORD n; LPOVERLAPPED o;\n\
         return GetQueuedCompletionStatus(0, &n, (LPDWORD)&key, &o, 0); }\n",
    );
    assert!(
        key.contains("take it into a ULONG_PTR, or compile with --lp32"),
        "{key}"
    );
}

#[test]
fn objects_of_cxx_are_to_be_linked_as_such() {
    let here = directory("objects");
    let (source, object) = (here.join("x.cpp"), here.join("x.o"));
    fs::write(
        &source,
        "#include <iostream>\n#include <windows.h>\nint main() { std::cout << GetLastError(); }\n",
    )
    .unwrap();
    compile(&source, &object, &["-c"]);
    let output = Command::new(WRAPPER)
        .arg("-o")
        .arg(here.join("program"))
        .arg(&object)
        .output()
        .unwrap();
    assert!(!output.status.success(), "it was linked");
    let said = said(&output);
    assert!(said.contains("link them with overlapped-c++"), "{said}");
    assert!(!said.contains("is not in overlapped-win32"), "{said}");
}

#[test]
fn installed_it_is_found_by_what_is_installed() {
    if !can_compile("x.cpp", &[]) {
        return;
    }
    let prefix = directory("prefix");
    succeed(Command::new(WRAPPER).arg("--install").arg(&prefix));
    let source = prefix.join("x.cpp");
    fs::write(
        &source,
        "#include <iostream>\n#include <Windows.h>\nint main() { SetLastError(5); std::cout << GetLastError() << '\\n'; }\n",
    )
    .unwrap();
    for (options, shared) in [(&[][..], true), (&["--static"][..], false)] {
        let program = prefix.join("x");
        succeed(
            Command::new(prefix.join("bin/overlapped-c++"))
                .args(options)
                .arg("-o")
                .arg(&program)
                .arg(&source),
        );
        assert_eq!(text(&succeed(&mut Command::new(&program)).stdout), "5\n");
        let bytes = fs::read(&program).unwrap();
        let name = b"liboverlapped_win32.so.0\0";
        assert_eq!(
            bytes.windows(name.len()).any(|window| window == name),
            shared
        );
    }
    let description = fs::read_to_string(prefix.join("lib/pkgconfig/overlapped-win32.pc")).unwrap();
    assert!(description.contains(&format!(
        "prefix={}",
        fs::canonicalize(&prefix).unwrap().display()
    )));
}
