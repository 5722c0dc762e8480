//! Lines with a prefix.
//!
//! With `--prefix` the output is made of whole lines, each beginning with the peer's address, so a
//! reader can tell the connections apart. A line is kept back until it is complete; that has to
//! have a bound, or a client that never sends a newline would fill the memory. A line longer than
//! [`LONGEST`] is printed in parts, each a line with the prefix. The rest of a line that the
//! connection's end left incomplete is printed as a line, too.

/// How many bytes of an incomplete line are kept back.
pub const LONGEST: usize = 64 << 10;

/// Puts a stream of bytes into lines with a prefix.
#[derive(Debug)]
pub struct Lines {
    prefix: String,
    incomplete: Vec<u8>,
}

impl Lines {
    /// Lines that begin with `prefix`.
    pub fn new(prefix: String) -> Self {
        Lines {
            prefix,
            incomplete: Vec::new(),
        }
    }

    /// Takes more of the stream, and appends the lines that it completes to `out`.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        for part in input.split_inclusive(|&byte| byte == b'\n') {
            match part.strip_suffix(b"\n") {
                Some(end) => {
                    self.keep(end, out);
                    self.print(out);
                }
                None => self.keep(part, out),
            }
        }
    }

    /// The stream is over: an incomplete line is one.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.incomplete.is_empty() {
            self.print(out);
        }
    }

    /// Adds to the incomplete line, and prints what is too long to be kept.
    fn keep(&mut self, mut more: &[u8], out: &mut Vec<u8>) {
        while self.incomplete.len() + more.len() > LONGEST {
            let (fits, rest) = more.split_at(LONGEST - self.incomplete.len());
            self.incomplete.extend_from_slice(fits);
            more = rest;
            let cut = whole_characters(&self.incomplete);
            let mut tail = [0; 4];
            let tail = &mut tail[..self.incomplete.len() - cut];
            tail.copy_from_slice(&self.incomplete[cut..]);
            self.incomplete.truncate(cut);
            self.print(out);
            self.incomplete.extend_from_slice(tail);
        }
        self.incomplete.extend_from_slice(more);
    }

    fn print(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.prefix.as_bytes());
        out.append(&mut self.incomplete);
        out.push(b'\n');
    }
}

/// How much of the bytes ends with a whole UTF-8 character; all, if the end is not UTF-8 anyway.
fn whole_characters(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let start = bytes.len() - back;
        let length = match bytes[start] {
            0x80..=0xbf => continue,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xff => 4,
            _ => 1,
        };
        return if length > back { start } else { bytes.len() };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut lines, mut out) = (Lines::new("p: ".into()), Vec::new());
        for piece in pieces {
            lines.push(piece, &mut out);
        }
        lines.finish(&mut out);
        out
    }

    #[test]
    fn each_line_has_the_prefix_wherever_the_stream_is_cut() {
        let stream = b"one\n\ntwo\0%n\nthr\xffee";
        for cut in 0..=stream.len() {
            assert_eq!(
                lines(&[&stream[..cut], &stream[cut..]]),
                b"p: one\np: \np: two\0%n\np: thr\xffee\n"
            );
        }
    }

    #[test]
    fn a_line_is_kept_back_until_it_is_complete() {
        let (mut lines, mut out) = (Lines::new("p: ".into()), Vec::new());
        lines.push(b"no newline", &mut out);
        assert!(out.is_empty());
        lines.push(b" yet\nnext", &mut out);
        assert_eq!(out, b"p: no newline yet\n");
    }

    #[test]
    fn a_line_without_end_is_printed_in_parts() {
        let long = vec![b'x'; 2 * LONGEST + 10];
        let (mut lines, mut out) = (Lines::new("p: ".into()), Vec::new());
        for piece in long.chunks(777) {
            lines.push(piece, &mut out);
            assert!(lines.incomplete.len() <= LONGEST);
        }
        lines.finish(&mut out);
        let parts: Vec<&[u8]> = out.split_inclusive(|&byte| byte == b'\n').collect();
        let lengths: Vec<usize> = parts.iter().map(|part| part.len() - 4).collect();
        assert_eq!(lengths, [LONGEST, LONGEST, 10]);
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_whole() {
        let line = vec![b'x'; LONGEST];
        let expected = [b"p: ", &line[..], b"\n"].concat();
        assert_eq!(lines(&[&line, b"\n"]), expected);
    }

    #[test]
    fn parts_end_between_characters() {
        let long = format!("x{}", "é".repeat(LONGEST));
        let out = String::from_utf8(lines(&[long.as_bytes()])).expect("no character was cut");
        assert_eq!(out.matches('é').count(), LONGEST);
        assert_eq!(whole_characters(b"a\x80\x80\x80\x80"), 5);
        assert_eq!(whole_characters(b""), 0);
        assert_eq!(whole_characters("aé".as_bytes()), 3);
    }
}
