//! Where the headers and the library are.

use std::path::{Path, PathBuf};

const LIBRARY: &str = "liboverlapped_win32.so";

pub struct Place {
    pub include: PathBuf,
    pub library: PathBuf,
}

impl Place {
    /// Installed, this program is in `bin`; built, it is in cargo's target directory.
    pub fn find() -> Result<Self, String> {
        let program = std::env::current_exe()
            .and_then(std::fs::canonicalize)
            .map_err(|error| format!("cannot tell where this program is: {error}"))?;
        let beside = program.parent().unwrap_or(Path::new("."));
        let prefix = beside.join("..");
        let installed = Place {
            include: prefix.join("include/overlapped-win32"),
            library: prefix.join("lib"),
        };
        let built = Place {
            include: Path::new(env!("CARGO_MANIFEST_DIR")).join("include"),
            library: newer(beside.to_path_buf(), beside.join("deps")),
        };
        [installed, built]
            .into_iter()
            .find(|place| place.include.join("windows.h").is_file())
            .ok_or_else(|| {
                format!(
                    "the headers are neither in {} nor in the sources that this was built from",
                    prefix.display()
                )
            })
    }

    /// Both directories with headers, in the order in which they are searched.
    pub fn includes(&self) -> [PathBuf; 2] {
        [self.include.clone(), self.include.join("spellings")]
    }
}

/// Where the library was built last: `cargo build` puts it beside this program, `cargo test` leaves
/// it among what it built.
fn newer(one: PathBuf, other: PathBuf) -> PathBuf {
    let built = |place: &PathBuf| {
        place
            .join(LIBRARY)
            .metadata()
            .and_then(|file| file.modified())
            .ok()
    };
    if built(&other) > built(&one) {
        other
    } else {
        one
    }
}
