//! The man page, made from the same text as `--help`.

use std::io;

use clap::CommandFactory;

use crate::args::Cli;

/// The man page `overlapped(1)`, in roff.
///
/// # Errors
///
/// None in fact; writing to memory is fallible in form.
pub fn page() -> io::Result<Vec<u8>> {
    let mut command = Cli::command();
    // The subcommands' options are the program's, so the page does not list subcommands it does
    // not have.
    command = command.disable_help_subcommand(true);
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .source(concat!("overlapped ", env!("CARGO_PKG_VERSION")))
        .manual("User Commands")
        .render(&mut page)?;
    Ok(page)
}
