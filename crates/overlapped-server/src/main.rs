//! The command `overlapped`.

#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use overlapped_server::args::{Cli, Command, one_line};
use overlapped_server::{manual, serve};

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        // Help and version, which were asked for.
        Err(error) if !error.use_stderr() => return exit_code(error.print()),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "overlapped: {}", one_line(&error));
            return ExitCode::from(2);
        }
    };
    match cli.command {
        None => serve::serve(&cli.serve),
        Some(Command::Serve(args)) => serve::serve(&args),
        #[cfg(unix)]
        Some(Command::Top(args)) => overlapped_server::top::top(&args),
        Some(Command::Man) => {
            exit_code(manual::page().and_then(|page| std::io::stdout().write_all(&page)))
        }
    }
}

fn exit_code(printed: std::io::Result<()>) -> ExitCode {
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
