//! A directory with the names that includes have and no file has.
//!
//! Each is a file that includes the one that is meant, by its whole path: so what that includes is
//! looked for beside it, and `#pragma once` counts one file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// How far up a name may go with `..` and still be within.
const DEEP: &str = "up/up/up/up";

/// There while the compiler runs, unless there is nothing to put into it.
pub struct Overlay(Option<PathBuf>);

impl Overlay {
    pub fn new(misspelled: &BTreeMap<String, PathBuf>) -> Result<Self, String> {
        if misspelled.is_empty() {
            return Ok(Overlay(None));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let name = format!(
            "overlapped-cc-{}-{:x}",
            std::process::id(),
            now.unwrap_or_default().as_nanos()
        );
        let root = std::env::temp_dir().join(name);
        // Not one that somebody else has made.
        fs::create_dir(&root).map_err(|error| format!("{}: {error}", root.display()))?;
        let overlay = Overlay(Some(root.join(DEEP)));
        for (name, file) in misspelled {
            let up = name.split('/').filter(|part| *part == "..").count();
            if up > DEEP.split('/').count() {
                continue;
            }
            let stub = root.join(DEEP).join(name);
            fs::create_dir_all(root.join(DEEP))
                .and_then(|()| fs::create_dir_all(stub.parent().unwrap_or(&root)))
                .and_then(|()| fs::write(&stub, format!("#include \"{}\"\n", file.display())))
                .map_err(|error| format!("{}: {error}", stub.display()))?;
        }
        Ok(overlay)
    }

    pub fn path(&self) -> Option<&Path> {
        self.0.as_deref()
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        let depth = DEEP.split('/').count();
        if let Some(root) = self.path().and_then(|path| path.ancestors().nth(depth)) {
            let _ = fs::remove_dir_all(root);
        }
    }
}
