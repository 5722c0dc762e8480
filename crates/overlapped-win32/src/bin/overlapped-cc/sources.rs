//! What the sources show before they are compiled.
//!
//! Headers are looked for as Windows does: without regard to case, and with either slash. The
//! compiler finds most; the others are reported, with the file that is meant, for the overlay.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::arguments::Arguments;
use crate::place::Place;

#[derive(Default)]
pub struct Seen {
    /// Names as included that are no file's, and the file that is meant.
    pub misspelled: BTreeMap<String, PathBuf>,
    /// Whether the `void main` has arguments, if there is one.
    pub void_main: Option<bool>,
    /// A word of the old annotation language is used.
    pub old_sal: bool,
    /// Files that no compiler here reads.
    pub unreadable: Vec<String>,
}

pub fn look(arguments: &Arguments, place: &Place) -> Seen {
    let mut seen = Seen::default();
    let mut known = HashSet::new();
    let mut ahead = arguments.sources.clone();
    while let Some(file) = ahead.pop() {
        if !known.insert(file.clone()) {
            continue;
        }
        let Ok(bytes) = fs::read(&file) else { continue };
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            seen.unreadable.push(format!(
                "{}: is UTF-16, which the compiler does not read; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)",
                file.display()
            ));
            continue;
        }
        // Bytes of other encodings are in comments and texts, where nothing is looked for.
        let text = without_comments(&String::from_utf8_lossy(&bytes));
        seen.old_sal |= has_old_sal(&text);
        if let Some(with_arguments) = void_main(&text) {
            seen.void_main = Some(with_arguments);
        }
        for (name, quoted) in includes(&text) {
            let here = file.parent().unwrap_or(Path::new("")).to_path_buf();
            let own = quoted.then_some(here);
            let places = own.into_iter().chain(arguments.directories.iter().cloned());
            match find(&name, places) {
                Some((path, true)) => ahead.push(path),
                Some((path, false)) => {
                    let whole = fs::canonicalize(&path).unwrap_or(path.clone());
                    seen.misspelled.entry(name).or_insert(whole);
                    ahead.push(path);
                }
                None => {
                    if let Some((path, false)) = find(&name, place.includes()) {
                        seen.misspelled.entry(name).or_insert(path);
                    }
                }
            }
        }
    }
    seen
}

/// A file by a name of any case, and whether the name is the file's own.
fn find(name: &str, places: impl IntoIterator<Item = PathBuf>) -> Option<(PathBuf, bool)> {
    let mut other = None;
    for place in places {
        let exact = place.join(name);
        if exact.is_file() {
            return Some((exact, true));
        }
        if other.is_none() {
            other = folded(&place, name);
        }
    }
    other.map(|path| (path, false))
}

/// The file that a name on the command line means, with any case and either slash.
pub fn meant(name: &str) -> Option<PathBuf> {
    let place = if name.starts_with('/') { "/" } else { "" };
    folded(Path::new(place), name)
}

fn folded(place: &Path, name: &str) -> Option<PathBuf> {
    let mut path = match place.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => place.to_path_buf(),
    };
    for part in name.split(['/', '\\']).filter(|part| !part.is_empty()) {
        if part == "." || part == ".." || path.join(part).exists() {
            path.push(part);
            continue;
        }
        let entry = fs::read_dir(&path)
            .ok()?
            .filter_map(Result::ok)
            .find(|entry| {
                entry
                    .file_name()
                    .to_str()
                    .is_some_and(|name| name.eq_ignore_ascii_case(part))
            })?;
        path = entry.path();
    }
    path.is_file().then_some(path)
}

/// The names in `#include`, and whether they stand in quotes.
fn includes(text: &str) -> Vec<(String, bool)> {
    let name = |line: &str| {
        let rest = line
            .trim_start()
            .strip_prefix('#')?
            .trim_start()
            .strip_prefix("include")?
            .trim_start();
        let (end, quoted) = match rest.chars().next()? {
            '"' => ('"', true),
            '<' => ('>', false),
            _ => return None,
        };
        let name = rest[1..].split(end).next()?;
        Some((name.to_string(), quoted))
    };
    text.lines().filter_map(name).collect()
}

/// Whether a `main` that returns nothing is defined, and whether it has arguments.
fn void_main(text: &str) -> Option<bool> {
    let words = words(text);
    for (at, window) in words.windows(2).enumerate() {
        if window[0] != "void" {
            continue;
        }
        let mut next = at + 1;
        while words
            .get(next)
            .is_some_and(|word| matches!(*word, "__cdecl" | "_cdecl" | "__stdcall" | "WINAPIV"))
        {
            next += 1;
        }
        if matches!(words.get(next), Some(&("main" | "_tmain")))
            && words.get(next + 1) == Some(&"(")
        {
            return Some(!matches!(words.get(next + 2), Some(&(")" | "void"))));
        }
    }
    None
}

fn has_old_sal(text: &str) -> bool {
    words(text).windows(2).any(|pair| {
        matches!(
            pair[0],
            "__in" | "__out" | "__inout" | "__in_opt" | "__out_opt" | "__inout_opt" | "__deref_out"
        ) || (pair[1] == "("
            && matches!(
                pair[0],
                "__in_bcount" | "__in_ecount" | "__out_bcount" | "__out_ecount"
            ))
    })
}

/// Names and numbers, and each other character.
fn words(text: &str) -> Vec<&str> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match part(first) {
            true => rest.find(|c| !part(c)).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        words.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    words
}

/// Spaces in their place; lines stay lines, and texts keep what looks like comments.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match (c, characters.peek()) {
            ('/', Some('/')) => {
                for c in characters.by_ref() {
                    if c == '\n' {
                        out.push('\n');
                        break;
                    }
                }
            }
            ('/', Some('*')) => {
                characters.next();
                let mut last = ' ';
                for c in characters.by_ref() {
                    if c == '\n' {
                        out.push('\n');
                    }
                    if last == '*' && c == '/' {
                        break;
                    }
                    last = c;
                }
                out.push(' ');
            }
            ('"', _) => {
                out.push(c);
                while let Some(c) = characters.next() {
                    out.push(c);
                    match c {
                        // In the name of an include it is a slash; elsewhere what follows is no
                        // end.
                        '\\' if characters.peek() == Some(&'"') => out.extend(characters.next()),
                        '"' | '\n' => break,
                        _ => {}
                    }
                }
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_are_read_in_both_forms_and_not_in_comments() {
        let text = without_comments(
            "#include <A.h>\n // #include <no.h>\n/* \n#include <no.h> */ # include \"b\\c.h\" // x\n",
        );
        assert_eq!(
            includes(&text),
            [("A.h".to_string(), false), ("b\\c.h".to_string(), true)]
        );
    }

    #[test]
    fn a_void_main_is_seen_with_and_without_arguments() {
        assert_eq!(void_main("void main()"), Some(false));
        assert_eq!(void_main("void __cdecl main (void)\n{"), Some(false));
        assert_eq!(void_main("void\nmain(int argc, char **argv)"), Some(true));
        assert_eq!(void_main("int main() { void *mainly; }"), None);
    }

    #[test]
    fn old_annotations_are_words_and_not_parts() {
        assert!(has_old_sal("int f(__in int a);"));
        assert!(!has_old_sal("int f(_In_ int a, int __inside);"));
    }
}
