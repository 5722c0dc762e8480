//! The compiler for programs that were written for Windows: GCC or Clang, told where the headers
//! and the library are, and what the sources expect of Microsoft's compiler.
//!
//! ```text
//! arguments  which of the command line is a source, which is Microsoft's, which is passed on
//! place      where the headers and the library are: beside this program, or in cargo's target
//! sources    what the sources show: includes, `void main`, words that need a header
//! overlay    a directory with names that includes have and no file, while the compiler runs
//! run        the compiler, and what its messages mean for who ports a program
//! interrupt  signals that end the compiler first, and then this program
//! install    the headers, the library and this program put where others find them
//! ```
//!
//! As `overlapped-c++` (a link to it) it is a C++ compiler; else the sources decide.

mod arguments;
mod install;
mod interrupt;
mod overlay;
mod place;
mod run;
mod sources;

use std::process::ExitCode;

use arguments::Arguments;
use place::Place;

const HELP: &str = "\
overlapped-cc: compiles C and C++ programs for Windows completion ports on Linux

  overlapped-cc [options] sources...     as gcc or g++, whose options it takes
  overlapped-c++ [options] sources...    always as g++
  overlapped-cc --install PREFIX         headers, library, pkg-config file and compiler into PREFIX

  --lp32      for programs that keep pointers in a DWORD: memory below 4 GiB, zeroed variables
  --static    link the library itself into the program
  --verbose   say which command is run

OVERLAPPED_CC and OVERLAPPED_CXX, or CC and CXX, name the compilers, which may have words behind
them (as CC='ccache gcc'); else it is the first that is there of gcc, cc and clang, or of g++, c++ and clang++.
";

fn main() -> ExitCode {
    let mut words = std::env::args();
    let name = words.next().unwrap_or_default();
    let words: Vec<String> = words.collect();
    let result = match words.first().map(String::as_str) {
        None | Some("--help") => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Some("--install") => install::install(&words[1..]),
        _ => compile(&name, words),
    };
    result.unwrap_or_else(|message| {
        eprintln!("overlapped-cc: {message}");
        ExitCode::FAILURE
    })
}

fn compile(name: &str, words: Vec<String>) -> Result<ExitCode, String> {
    let place = Place::find()?;
    let arguments = Arguments::parse(name.ends_with("++"), words);
    if let Some(option) = &arguments.of_cl {
        return Err(format!(
            "{option} is an option of Microsoft's compiler; here they are GCC's, as -O2, -std=c++17 and -Wall"
        ));
    }
    let seen = sources::look(&arguments, &place);
    for warning in &seen.unreadable {
        eprintln!("overlapped-cc: {warning}");
    }
    interrupt::wait_for_the_compiler();
    let overlay = overlay::Overlay::new(&seen.misspelled)?;
    let command = run::command(&arguments, &place, &seen, overlay.path())?;
    let result = run::run(command, &arguments);
    drop(overlay);
    interrupt::follow();
    result
}
