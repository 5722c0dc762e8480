//! What is on the command line.

use std::path::{Path, PathBuf};

use crate::sources;

/// Libraries of Windows: what they have is in the one library here, or nowhere.
const WINDOWS_LIBRARIES: &[&str] = &[
    "advapi32", "comctl32", "comdlg32", "crypt32", "dbghelp", "gdi32", "iphlpapi", "kernel32",
    "libcmt", "msvcrt", "mswsock", "ntdll", "ole32", "oleaut32", "psapi", "rpcrt4", "shell32",
    "shlwapi", "user32", "userenv", "uuid", "winmm", "winspool", "ws2_32", "wsock32",
];

/// Options whose value is the next word.
const WITH_VALUE: &[&str] = &[
    "-o",
    "-I",
    "-D",
    "-U",
    "-L",
    "-l",
    "-x",
    "-include",
    "-imacros",
    "-isystem",
    "-iquote",
    "-idirafter",
    "-MF",
    "-MT",
    "-MQ",
    "-Xlinker",
    "-Xassembler",
    "-Xpreprocessor",
    "-T",
    "-u",
    "-z",
    "-aux-info",
    "--param",
    "-arch",
];

pub struct Arguments {
    pub cxx: bool,
    pub lp32: bool,
    pub static_library: bool,
    pub verbose: bool,
    /// Nothing is linked.
    pub only_compile: bool,
    /// An option of Microsoft's compiler.
    pub of_cl: Option<String>,
    /// With the option that says which language, where the compiler does not know the extension.
    pub passed: Vec<String>,
    pub sources: Vec<PathBuf>,
    /// Where the program's own headers are looked for.
    pub directories: Vec<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    C,
    Cxx,
}

impl Arguments {
    pub fn parse(cxx: bool, words: Vec<String>) -> Self {
        let mut arguments = Arguments {
            cxx,
            lp32: false,
            static_library: false,
            verbose: false,
            only_compile: false,
            of_cl: None,
            passed: Vec::new(),
            sources: Vec::new(),
            directories: Vec::new(),
        };
        let mut said: Option<String> = None;
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--lp32" => arguments.lp32 = true,
                "--static" => arguments.static_library = true,
                "--verbose" => arguments.verbose = true,
                "-mconsole" | "-mwindows" | "-mthreads" | "-municode" => {}
                "-c" | "-S" | "-E" | "-fsyntax-only" | "-M" | "-MM" => {
                    arguments.only_compile = true;
                    arguments.passed.push(word);
                }
                option if WITH_VALUE.contains(&option) => {
                    let Some(value) = words.next() else {
                        arguments.passed.push(word);
                        break;
                    };
                    match option {
                        "-l" if is_of_windows(&value) => continue,
                        "-x" => {
                            arguments.cxx |= value.starts_with("c++");
                            said = (value != "none").then(|| value.clone());
                        }
                        "-I" | "-iquote" => arguments.directories.push(PathBuf::from(&value)),
                        _ => {}
                    }
                    arguments.passed.extend([word, value]);
                }
                option if option.starts_with("-l") && is_of_windows(&option[2..]) => {}
                option if option.starts_with("-I") => {
                    arguments.directories.push(PathBuf::from(&option[2..]));
                    arguments.passed.push(word);
                }
                option if option.starts_with('-') && option.len() > 1 => {
                    arguments.passed.push(word)
                }
                library if library.to_lowercase().ends_with(".lib") => {}
                option if is_of_cl(option) => arguments.of_cl = Some(word),
                _ => arguments.source(word, said.as_deref()),
            }
        }
        arguments
    }

    /// A word that is no option: a source, or something for the linker.
    fn source(&mut self, word: String, said: Option<&str>) {
        let word = match sources::meant(&word) {
            Some(path) if !Path::new(&word).exists() => path.to_string_lossy().into_owned(),
            _ => word,
        };
        let path = PathBuf::from(&word);
        let extension = path
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or_default();
        let language = match extension {
            _ if said.is_some() => None,
            "C" => Some(Language::Cxx),
            other => match other.to_lowercase().as_str() {
                "c" => Some(Language::C),
                "cpp" | "cc" | "cxx" | "c++" | "cp" => Some(Language::Cxx),
                _ => {
                    self.passed.push(word);
                    return;
                }
            },
        };
        self.cxx |= language == Some(Language::Cxx);
        self.sources.push(path);
        match language {
            None => self.passed.push(word),
            Some(language) => {
                let language = if language == Language::C { "c" } else { "c++" };
                self.passed
                    .extend(["-x", language, &word, "-x", "none"].map(String::from));
            }
        }
    }
}

/// `/O2` and `/std:c++17`, which no file is called.
fn is_of_cl(word: &str) -> bool {
    let name = word.strip_prefix('/').filter(|name| !name.contains('/'));
    name.is_some_and(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()))
        && !Path::new(word).exists()
}

fn is_of_windows(library: &str) -> bool {
    let name = Path::new(library)
        .file_stem()
        .and_then(|name| name.to_str())
        .unwrap_or(library);
    WINDOWS_LIBRARIES.contains(&name.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_microsofts_compiler_are_told_from_files() {
        assert!(is_of_cl("/O2") && is_of_cl("/EHsc") && is_of_cl("/std:c++17"));
        assert!(!is_of_cl("/tmp") && !is_of_cl("/tmp/x.o") && !is_of_cl("x/y.c") && !is_of_cl("/"));
    }
}
