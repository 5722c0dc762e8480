//! The compiler wrapper: what it takes that GCC does not, and what it says of what is not
//! supported.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use support::{
    HERE, WATCHDOG, WRAPPER, can_compile, compile, directory, has, skipped, succeed, text,
};

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
}

#[test]
fn a_compiler_that_is_told_by_pkg_config_needs_no_wrapper() {
    if !can_compile("x.c", &[]) {
        return;
    }
    if !has("pkg-config") {
        return skipped("no pkg-config");
    }
    let prefix = directory("described");
    succeed(Command::new(WRAPPER).arg("--install").arg(&prefix));
    let prefix = fs::canonicalize(prefix).unwrap();
    let source = prefix.join("x.c");
    // Microsoft's format and a name of Microsoft's C library are there too.
    fs::write(
        &source,
        "#include <Windows.h>\n#include <stdio.h>\n\
         int __cdecl main(void) { char room[9]; SetLastError(5); sprintf_s(room, 9, \"%I64d\", 1LL << 32 >> 30);\n\
         printf(\"%lu %s\\n\", GetLastError(), room); return 0; }\n",
    )
    .unwrap();
    let told = succeed(
        Command::new("pkg-config")
            .args(["--cflags", "--libs", "overlapped-win32"])
            .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")),
    );
    let program = prefix.join("x");
    let compiler = std::env::var("CC").unwrap_or("gcc".to_string());
    succeed(
        Command::new(compiler)
            .arg("-o")
            .arg(&program)
            .arg(&source)
            .args(text(&told.stdout).split_whitespace()),
    );
    let output = succeed(Command::new(&program).env("LD_LIBRARY_PATH", prefix.join("lib")));
    assert_eq!(text(&output.stdout), "5 4\n");
}

/// Makes a program of a shell script.
fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The wrapper, with no compiler named.
fn wrapper() -> Command {
    let mut command = Command::new(WRAPPER);
    for name in ["OVERLAPPED_CC", "OVERLAPPED_CXX", "CC", "CXX"] {
        command.env_remove(name);
    }
    command
}

#[test]
fn without_gcc_the_next_compiler_is_run() {
    let here = directory("compilers");
    for (source, usual) in [
        ("x.c", ["gcc", "cc", "clang"]),
        ("x.cpp", ["g++", "c++", "clang++"]),
    ] {
        let run = || {
            wrapper()
                .args(["-c", source])
                .env("PATH", &here)
                .output()
                .unwrap()
        };
        assert!(said(&run()).contains(usual[0]), "{}", said(&run()));
        for name in usual.iter().rev() {
            script(&here.join(name), &format!("echo {name}"));
            assert_eq!(text(&run().stdout), format!("{name}\n"));
        }
        for name in usual {
            fs::remove_file(here.join(name)).unwrap();
        }
        // A name that tells nothing is that of what it is a link to.
        let (clang, link) = (here.join(usual[2]), here.join(usual[1]));
        script(&here.join("clang-0"), "echo \"$@\"");
        std::os::unix::fs::symlink("clang-0", &link).unwrap();
        let options = text(
            &wrapper()
                .args(["--lp32", "-c", source])
                .env("PATH", &here)
                .output()
                .unwrap()
                .stdout,
        );
        assert!(options.contains("-fms-extensions"), "{options}");
        assert!(!clang.exists());
        fs::remove_file(link).unwrap();
    }
}

#[test]
fn a_compiler_may_have_words_behind_its_name() {
    let here = directory("compiler-with-words");
    script(&here.join("gcc"), "echo \"$1 $2\"");
    let mut command = wrapper();
    command.args(["-c", "x.c"]);
    command.env("OVERLAPPED_CC", format!("{}/gcc -m64  -v", here.display()));
    assert_eq!(text(&succeed(&mut command).stdout), "-m64 -v\n");
}

#[test]
fn sources_of_any_case_with_backslashes_and_options_of_cl() {
    if !can_compile("main.c", &[]) {
        return;
    }
    let here = directory("wrapper-sources");
    fs::create_dir_all(here.join("Net")).unwrap();
    fs::write(
        here.join("Net/Session.c"),
        "int session(void) { return 0; }\n",
    )
    .unwrap();
    fs::write(
        here.join("main.c"),
        "int session(void);\nint main(void) { return session(); }\n",
    )
    .unwrap();
    let compile = |options: &[&str]| {
        let mut command = Command::new(WRAPPER);
        command.current_dir(&here).args(options);
        command.args(["-o", "program", "main.c", "net\\session.C"]);
        command
    };
    succeed(&mut compile(&["-O2"]));
    succeed(&mut Command::new(here.join("program")));
    let output = compile(&["/O2"]).output().unwrap();
    assert!(!output.status.success());
    assert_eq!(
        said(&output),
        "overlapped-cc: /O2 is an option of Microsoft's compiler; here they are GCC's, as -O2, -std=c++17 and -Wall\n"
    );
}

#[test]
fn a_signal_ends_the_compiler_and_leaves_nothing_behind() {
    let here = directory("signals");
    let (temporary, started) = (here.join("tmp"), here.join("started"));
    script(
        &here.join("sleeps"),
        &format!(
            "echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000",
            started.display()
        ),
    );
    let source = here.join("x.c");
    fs::write(&source, "#include <WINDOWS.h>\n#include \"mIne.h\"\n").unwrap();
    fs::write(here.join("mine.h"), "\n").unwrap();
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let _ = fs::remove_file(&started);
        fs::create_dir_all(&temporary).unwrap();
        let mut child = Command::new(WRAPPER)
            .arg("-c")
            .arg(&source)
            .env("OVERLAPPED_CC", here.join("sleeps"))
            .env("TMPDIR", &temporary)
            .spawn()
            .unwrap();
        let until = Instant::now() + WATCHDOG;
        while !started.exists() {
            assert!(Instant::now() < until, "the compiler does not begin");
            sleep(Duration::from_millis(5));
        }
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 1);
        // SAFETY: it is not waited for yet.
        unsafe { libc::kill(child.id() as i32, signal) };
        assert_eq!(child.wait().unwrap().signal(), Some(signal));
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
        let compiler = fs::read_to_string(&started).unwrap();
        assert!(!Path::new("/proc").join(compiler.trim()).exists());
    }
}

#[test]
fn cmake_builds_with_it() {
    if !can_compile("main.cpp", &[]) || !can_compile("part.c", &[]) {
        return;
    }
    if !has("cmake") {
        return skipped("no cmake");
    }
    let here = directory("cmake");
    // As in the guide.
    let guide = fs::read_to_string(Path::new(HERE).join("../../docs/win32.md")).unwrap();
    let list = guide
        .split("```cmake\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    fs::write(
        here.join("CMakeLists.txt"),
        list.expect("it has an example"),
    )
    .unwrap();
    fs::write(
        here.join("main.cpp"),
        "#include <iostream>\n#include <WINDOWS.H>\nextern \"C\" DWORD part(void);\nint main() { std::cout << part() << '\\n'; }\n",
    )
    .unwrap();
    fs::write(
        here.join("part.c"),
        "#include <Windows.h>\nDWORD part(void) { SetLastError(5); return GetLastError(); }\n",
    )
    .unwrap();
    let cxx = here.join("overlapped-c++");
    std::os::unix::fs::symlink(WRAPPER, &cxx).unwrap();
    let build = here.join("build");
    succeed(
        Command::new("cmake")
            .arg("-S")
            .arg(&here)
            .arg("-B")
            .arg(&build)
            .arg(format!("-DCMAKE_C_COMPILER={WRAPPER}"))
            .arg(format!("-DCMAKE_CXX_COMPILER={}", cxx.display())),
    );
    succeed(Command::new("cmake").arg("--build").arg(&build));
    let output = succeed(&mut Command::new(build.join("server")));
    assert_eq!(text(&output.stdout), "5\n");
}
