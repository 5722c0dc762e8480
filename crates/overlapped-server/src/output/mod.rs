//! The way from received bytes to standard output.
//!
//! ```text
//! a worker:   receive -> [escape] -> [lines] -> Output::print
//! the writer:                                   write -> Server::written -> receive
//! ```
//!
//! Without options the bytes of the operation's own buffer are written and nothing is copied. On a
//! terminal they are escaped first ([`escape`]), and with `--prefix` put into lines ([`lines`]);
//! both happen in the worker, so in parallel, into a buffer that belongs to the connection.
//!
//! What is handed to the output is a [`Piece`]: the connection's one operation itself. Until it has
//! been written, the connection has no operation with the port, so nothing is received for it. That
//! is all there is to back-pressure; the queue before the output can never be longer than there
//! are connections.

pub mod escape;
pub mod lines;
pub mod writer;

use crate::connection::{Connection, Key, ServerOperation, ServerSocket, Serving, Work};
use escape::Escaper;
use lines::Lines;

/// Where printed bytes go.
pub trait Output: Send + Sync {
    /// Takes a piece whose [`bytes`](Piece::bytes) are to be written, in the order of the calls and
    /// without others' in between.
    ///
    /// Returns the piece if that is done; or keeps it, and whoever completes it calls
    /// [`Server::written`](crate::server::Server::written).
    fn print(&self, piece: Piece) -> Option<Piece>;
}

/// A connection's operation on its way round, with its socket.
#[derive(Debug)]
pub struct Piece {
    pub(crate) socket: ServerSocket,
    pub(crate) operation: ServerOperation,
}

impl Piece {
    /// The bytes to be written.
    pub fn bytes(&self) -> &[u8] {
        match self.serving().and_then(|serving| serving.text.as_deref()) {
            Some(text) => &text.rendered,
            None => self.operation.bytes(),
        }
    }

    pub(crate) fn connection(&self) -> Option<&Connection> {
        match self.socket.key() {
            Key::Connection(connection) => Some(connection),
            Key::Listener => None,
        }
    }

    pub(crate) fn serving(&self) -> Option<&Serving> {
        match self.operation.user() {
            Work::Serve(serving) => Some(serving),
            Work::Accept { .. } => None,
        }
    }

    pub(crate) fn serving_mut(&mut self) -> Option<&mut Serving> {
        match self.operation.user_mut() {
            Work::Serve(serving) => Some(serving),
            Work::Accept { .. } => None,
        }
    }

    /// Readies the next bytes to be written. `false`: there are none, all that was received is
    /// printed, but for the beginning of a line or character whose end has not come yet.
    pub(crate) fn render(&mut self) -> bool {
        let received = self.operation.bytes().len();
        let Some(serving) = self.serving_mut() else {
            return false;
        };
        let from = serving.consumed;
        // Taken out for a moment because the bytes are in the same operation.
        let Some(mut text) = serving.text.take() else {
            serving.consumed = received;
            return from < received;
        };
        let at_end = serving.ended.is_some();
        let consumed = text.render(self.operation.bytes(), from, at_end);
        let any = !text.rendered.is_empty();
        if let Some(serving) = self.serving_mut() {
            serving.consumed = consumed;
            serving.text = Some(text);
        }
        any
    }
}

/// How a connection's bytes become text.
#[derive(Debug)]
pub struct Text {
    escaper: Option<Escaper>,
    lines: Option<Lines>,
    escaped: Vec<u8>,
    rendered: Vec<u8>,
    finished: bool,
}

/// No further input is rendered beyond this.
const ENOUGH: usize = 64 << 10;

/// Input is rendered in steps of this size, so that output that is much longer than its input
/// (empty lines, each with a prefix) does not overshoot by much.
const STEP: usize = 1 << 10;

impl Text {
    /// Text that is escaped for a terminal, or put into lines with this prefix, or both.
    pub fn new(escape: bool, prefix: Option<String>) -> Self {
        Text {
            escaper: escape.then(Escaper::default),
            lines: prefix.map(Lines::new),
            escaped: Vec::new(),
            rendered: Vec::new(),
            finished: false,
        }
    }

    /// Renders input from `from` on, and the rest of what waits if this is the end. Returns how far
    /// it came.
    fn render(&mut self, input: &[u8], from: usize, at_end: bool) -> usize {
        self.rendered.clear();
        let mut consumed = from;
        for step in input[from..].chunks(STEP) {
            if self.rendered.len() >= ENOUGH {
                return consumed;
            }
            consumed += step.len();
            self.push(step);
        }
        if at_end && !self.finished {
            self.finished = true;
            self.finish();
        }
        consumed
    }

    fn push(&mut self, bytes: &[u8]) {
        let Text {
            escaper,
            lines,
            escaped,
            rendered,
            ..
        } = self;
        match (escaper, lines) {
            (Some(escaper), Some(lines)) => {
                escaped.clear();
                escaper.push(bytes, escaped);
                lines.push(escaped, rendered);
            }
            (Some(escaper), None) => escaper.push(bytes, rendered),
            (None, Some(lines)) => lines.push(bytes, rendered),
            (None, None) => rendered.extend_from_slice(bytes),
        }
    }

    fn finish(&mut self) {
        self.escaped.clear();
        if let Some(escaper) = &mut self.escaper {
            escaper.finish(&mut self.escaped);
        }
        match &mut self.lines {
            Some(lines) => {
                lines.push(&self.escaped, &mut self.rendered);
                lines.finish(&mut self.rendered);
            }
            None => self.rendered.extend_from_slice(&self.escaped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &mut Text, input: &[u8], at_end: bool) -> (Vec<u8>, usize) {
        let (mut out, mut from, mut longest) = (Vec::new(), 0, 0);
        loop {
            from = text.render(input, from, at_end);
            if text.rendered.is_empty() {
                return (out, longest);
            }
            longest = longest.max(text.rendered.len());
            out.extend_from_slice(&text.rendered);
        }
    }

    #[test]
    fn what_many_short_lines_become_is_rendered_in_bounded_parts() {
        let mut text = Text::new(false, Some("[2001:db8::1]:12345: ".into()));
        let (out, longest) = all(&mut text, &[b'\n'; 65536], false);
        assert_eq!(out, b"[2001:db8::1]:12345: \n".repeat(65536));
        assert!(longest < 2 * ENOUGH, "{longest}");
    }

    #[test]
    fn a_terminal_gets_lines_that_are_escaped_and_have_a_prefix() {
        let mut text = Text::new(true, Some("p: ".into()));
        assert_eq!(all(&mut text, b"a\x1bb\nc\xc3", false).0, b"p: a\\x1bb\n");
        assert_eq!(
            all(&mut text, b"\xa9%n\0\n\xe2", false).0,
            "p: cé%n\\x00\n".as_bytes()
        );
        assert_eq!(all(&mut text, b"", true).0, b"p: \\xe2\n");
        assert_eq!(all(&mut text, b"", true).0, b"", "the end comes once");
    }
}
