//! Escaping for a terminal.
//!
//! A terminal obeys what it is sent: control characters move the cursor, change the title, answer
//! into the keyboard. Whoever can reach the server's port must not be able to do that. What passes
//! is printable UTF-8, newlines, tabs, and a carriage return directly before a newline; all else
//! is shown as `\xNN`, byte by byte: control characters of both sets (U+0080 to U+009F are control
//! characters too), what changes the direction of text or is invisible in it, and bytes that are
//! not UTF-8. A backslash passes as it is: this is for eyes, not for programs, which get the bytes
//! themselves when standard output is a pipe or a file.
//!
//! Input comes in arbitrary pieces, so the beginning of a sequence may have to wait for its end:
//! at most three bytes.

/// Escapes a stream of bytes.
#[derive(Debug, Default)]
pub struct Escaper {
    /// The beginning of a sequence: of a UTF-8 character, or a carriage return.
    waiting: [u8; 4],
    len: usize,
}

impl Escaper {
    /// Escapes more of the stream.
    pub fn push(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
        while self.len > 0 {
            let Some((&next, rest)) = input.split_first() else {
                return;
            };
            if self.complete(next, out) {
                input = rest;
            }
        }
        while !input.is_empty() {
            let plain = input
                .iter()
                .position(|byte| !matches!(byte, b' '..=b'~' | b'\n' | b'\t'))
                .unwrap_or(input.len());
            out.extend_from_slice(&input[..plain]);
            input = self.sequence(&input[plain..], out);
        }
    }

    /// The stream is over: what waits for its other half waits in vain.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        escape(&self.waiting[..self.len], out);
        self.len = 0;
    }

    /// Whether something waits for its other half.
    pub fn is_waiting(&self) -> bool {
        self.len > 0
    }

    /// Tries to complete what waits with one more byte; whether it was used.
    fn complete(&mut self, next: u8, out: &mut Vec<u8>) -> bool {
        if self.waiting[0] == b'\r' {
            if next == b'\n' {
                out.extend_from_slice(b"\r\n");
                self.len = 0;
                return true;
            }
            self.finish(out);
            return false;
        }
        self.waiting[self.len] = next;
        let candidate = &self.waiting[..self.len + 1];
        match std::str::from_utf8(candidate) {
            Ok(character) => {
                show(character, out);
                self.len = 0;
                true
            }
            Err(error) if error.error_len().is_none() => {
                self.len += 1;
                true
            }
            Err(_) => {
                self.finish(out);
                false
            }
        }
    }

    /// Takes the first sequence of `input`, which is not plain; returns what follows it.
    fn sequence<'a>(&mut self, input: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let Some(&first) = input.first() else {
            return input;
        };
        if first == b'\r' && input.get(1).is_none_or(|&next| next == b'\n') {
            if input.len() == 1 {
                self.wait_for_rest(input);
            } else {
                out.extend_from_slice(b"\r\n");
            }
            return &input[input.len().min(2)..];
        }
        // A character has at most four bytes.
        let window = &input[..input.len().min(4)];
        let (valid, error) = match std::str::from_utf8(window) {
            Ok(text) => (text, None),
            Err(error) => (
                std::str::from_utf8(&window[..error.valid_up_to()]).unwrap_or_default(),
                Some(error),
            ),
        };
        if let Some(character) = valid.chars().next() {
            let length = character.len_utf8();
            show(&valid[..length], out);
            return &input[length..];
        }
        match error.and_then(|error| error.error_len()) {
            Some(bad) => {
                escape(&input[..bad], out);
                &input[bad..]
            }
            // Unfinished, so the window is all that is left.
            None => {
                self.wait_for_rest(window);
                &input[window.len()..]
            }
        }
    }

    fn wait_for_rest(&mut self, beginning: &[u8]) {
        self.waiting[..beginning.len()].copy_from_slice(beginning);
        self.len = beginning.len();
    }
}

/// One character, if it is harmless.
fn show(character: &str, out: &mut Vec<u8>) {
    if character.chars().all(is_harmless) {
        out.extend_from_slice(character.as_bytes());
    } else {
        escape(character.as_bytes(), out);
    }
}

fn is_harmless(character: char) -> bool {
    match character {
        '\n' | '\t' => true,
        _ if character.is_control() => false,
        // Separators and marks of direction, joiners and fillers without a width, tags.
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => {
            false
        }
        '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' => false,
        '\u{e0000}'..='\u{e0fff}' => false,
        _ => true,
    }
}

fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        let digits = [
            DIGITS[usize::from(byte >> 4)],
            DIGITS[usize::from(byte & 15)],
        ];
        out.extend_from_slice(b"\\x");
        out.extend_from_slice(&digits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(pieces: &[&[u8]]) -> String {
        let (mut escaper, mut out) = (Escaper::default(), Vec::new());
        for piece in pieces {
            escaper.push(piece, &mut out);
        }
        escaper.finish(&mut out);
        String::from_utf8(out).expect("what is shown is always UTF-8")
    }

    #[test]
    fn printable_text_passes() {
        let text = "plain ASCII ~ \\ %n %s\n\ttab; Grüße, 日本語, \u{1f980}\r\n";
        assert_eq!(escaped(&[text.as_bytes()]), text);
    }

    #[test]
    fn control_characters_are_shown() {
        assert_eq!(escaped(&[b"\x1b[2J\x07\0\x7f"]), "\\x1b[2J\\x07\\x00\\x7f");
        assert_eq!(escaped(&["\u{9b}2J".as_bytes()]), "\\xc2\\x9b2J");
        assert_eq!(escaped(&[b"\x9b2J"]), "\\x9b2J");
        assert_eq!(escaped(&["a\u{202e}b".as_bytes()]), "a\\xe2\\x80\\xaeb");
        assert_eq!(escaped(&[b"over\rwritten\r"]), "over\\x0dwritten\\x0d");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_shown() {
        assert_eq!(escaped(&[b"\xff\xfe"]), "\\xff\\xfe");
        assert_eq!(escaped(&[b"\xc3("]), "\\xc3(");
        assert_eq!(escaped(&[b"\xe2\x82"]), "\\xe2\\x82");
        assert_eq!(
            escaped(&[b"\xed\xa0\x80"]),
            "\\xed\\xa0\\x80",
            "a surrogate"
        );
        assert_eq!(escaped(&[b"\xc0\x8a"]), "\\xc0\\x8a", "an overlong newline");
    }

    #[test]
    fn where_the_pieces_are_cut_makes_no_difference() {
        let stream: Vec<u8> = [
            "é日\u{1f980}\r\n\r\u{9b}\u{202e}".as_bytes(),
            b"\xe2\x82x\xf0\x9f\xa6\r\r\n\xf0\x9f\xa6\x80\xc3\xc3\xa9\xff\x1b[m\xe2",
        ]
        .concat();
        let whole = escaped(&[&stream]);
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
                assert_eq!(escaped(&pieces), whole, "cut at {first} and {second}");
            }
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(escaped(&bytes), whole);
    }

    #[test]
    fn nothing_a_terminal_would_obey_ever_passes() {
        // All pairs of bytes, followed by what could complete a longer sequence.
        for pair in 0..=u16::MAX {
            let [a, b] = pair.to_be_bytes();
            for tail in [&b""[..], b"\x80", b"\x9f\x9b", b"\n"] {
                let shown = escaped(&[&[a, b], tail]);
                let mut previous = ' ';
                for character in shown.chars() {
                    assert!(
                        !character.is_control()
                            || matches!(character, '\n' | '\t')
                            || character == '\r',
                        "{a:x} {b:x} gave {shown:?}"
                    );
                    assert!(
                        previous != '\r' || character == '\n',
                        "{a:x} {b:x}: {shown:?}"
                    );
                    previous = character;
                }
                assert_ne!(previous, '\r');
            }
        }
    }
}
