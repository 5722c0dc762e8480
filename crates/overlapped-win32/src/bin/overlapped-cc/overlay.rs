//! A directory with the names that includes have and no file has.
//!
//! Each is a file that includes the one that is meant, by its whole path: so what that includes is
//! looked for beside it, and `#pragma once` counts one file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// There while the compiler runs, unless there is nothing to put into it.
pub struct Overlay(Option<PathBuf>);

impl Overlay {
    pub fn new(misspelled: &BTreeMap<String, PathBuf>) -> Result<Self, String> {
        if misspelled.is_empty() {
            return Ok(Overlay(None));
        }
        let path = std::env::temp_dir().join(format!("overlapped-cc-{}", std::process::id()));
        let overlay = Overlay(Some(path.clone()));
        for (name, file) in misspelled {
            // Names with `..` would leave the directory.
            if name.split(['/', '\\']).any(|part| part == "..") && !name.contains('\\') {
                continue;
            }
            let stub = path.join(name);
            fs::create_dir_all(stub.parent().unwrap_or(&path))
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
        if let Some(path) = &self.0 {
            let _ = fs::remove_dir_all(path);
        }
    }
}
