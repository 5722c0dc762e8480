//! The headers say what Windows's say: sizes, offsets and values, each printed by one program that
//! is compiled with mingw's headers and with these. Every constant that the headers here define is
//! compared, and every structure of `layout/structures.txt`.
#![cfg(target_os = "linux")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use support::{HERE, can_compile, directory, mingw, succeed, text};

/// Words that are no numbers, or of which mingw's value is an accident.
const NOT_COMPARED: &[(&str, &str)] = &[
    ("WINVER", "what the program says"),
    ("NTDDI_VERSION", "what the program says"),
    ("FD_SETSIZE", "what the program says"),
];

#[test]
fn sizes_offsets_and_values_are_windowss() {
    let Some(mingw) = mingw() else { return };
    if !can_compile("layout.c", &[]) {
        return;
    }
    let here = directory("layout");
    let source = here.join("layout.c");
    fs::write(&source, program()).unwrap();
    let (there, ours) = (here.join("layout.exe"), here.join("layout"));
    mingw.compile(&source, &there, &[]);
    let include = Path::new(HERE).join("include");
    succeed(
        std::process::Command::new("gcc")
            .args(["-std=gnu11", "-w", "-I"])
            .arg(&include)
            .arg("-o")
            .arg(&ours)
            .arg(&source),
    );
    let there = lines(&text(&succeed(&mut mingw.run(&there)).stdout));
    let ours = lines(&text(
        &succeed(&mut std::process::Command::new(&ours)).stdout,
    ));
    let mut wrong = String::new();
    let (mut same, mut absent) = (0, BTreeSet::new());
    for (what, value) in &ours {
        match there.get(what) {
            Some(other) if other == value => same += 1,
            Some(other) if other == "absent" => {
                absent.insert(what);
            }
            other => writeln!(wrong, "{what}: {value}, there {other:?}").unwrap(),
        }
    }
    println!("{same} are the same; not in mingw's headers: {absent:?}");
    assert!(wrong.is_empty(), "{wrong}");
    assert!(same > 900, "only {same} were compared");
}

fn lines(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(what, value)| (what.to_string(), value.to_string()))
        .collect()
}

/// A program that prints all of it.
fn program() -> String {
    let mut program = String::from(
        "#include <winsock2.h>\n#include <ws2tcpip.h>\n#include <mswsock.h>\n#include <mstcpip.h>\n\
         #define WIN32_NO_STATUS\n#include <windows.h>\n#undef WIN32_NO_STATUS\n#include <winternl.h>\n\
         #include <ntstatus.h>\n#include <stdio.h>\n#include <stddef.h>\n\
         int main(void)\n{\n",
    );
    for line in include_str!("layout/structures.txt").lines() {
        let mut words = line.split_whitespace();
        let Some(name) = words.next().filter(|name| !name.starts_with('#')) else {
            continue;
        };
        let _ = writeln!(
            program,
            "printf(\"sizeof {name} %u\\n\", (unsigned)sizeof({name}));"
        );
        for field in words {
            let _ = writeln!(
                program,
                "printf(\"offset {name}.{field} %u\\n\", (unsigned)offsetof({name}, {field}));"
            );
        }
    }
    for name in constants() {
        let _ = writeln!(
            program,
            "#ifdef {name}\nprintf(\"value {name} %u\\n\", (unsigned)(ULONG_PTR)({name}));\n#else\n\
             printf(\"value {name} absent\\n\");\n#endif"
        );
    }
    program.push_str("return 0;\n}\n");
    program
}

/// The names of all numbers that the headers define.
fn constants() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let headers = [
        "consoleapi",
        "errhandlingapi",
        "fileapi",
        "handleapi",
        "memoryapi",
        "mstcpip",
        "mswsock",
        "ntstatus",
        "processthreadsapi",
        "stringapiset",
        "synchapi",
        "timeapi",
        "winbase",
        "windef",
        "winerror",
        "winnt",
        "winsock2",
        "winuser",
        "ws2def",
        "ws2ipdef",
        "ws2tcpip",
    ];
    for header in headers {
        let text = fs::read_to_string(Path::new(HERE).join(format!("include/{header}.h"))).unwrap();
        for line in text.lines() {
            let Some((name, value)) = line
                .strip_prefix("#define ")
                .and_then(|rest| rest.split_once(' '))
            else {
                continue;
            };
            let upper = name
                .chars()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
            // Numbers, and names and calls of numbers.
            let number = value.starts_with(|c: char| {
                c.is_ascii_digit() || c == '(' || c == '-' || c == '_' || c.is_ascii_uppercase()
            });
            let word = value.starts_with("__") || value.starts_with("OVERLAPPED_");
            let skipped = NOT_COMPARED.iter().any(|(skipped, _)| *skipped == name)
                || name.ends_with("_INIT")
                || name == "NULL"
                || name.starts_with("DECLSPEC")
                || name.starts_with("OVERLAPPED_");
            if upper && number && !word && !skipped {
                names.insert(name.to_string());
            }
        }
    }
    names
}
