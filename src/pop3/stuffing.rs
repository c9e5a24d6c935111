//! Where a multi-line response ends, and the dots that its sender stuffed (RFC 1939 section 3). No I/O.

use memchr::memmem::Finder;

/// Finds the end of one message in a stream, and takes the stuffed dots away.
///
/// A line ends with CRLF, and CRLF "." CRLF is the only end of a message. A lone LF or CR is text: to take
/// LF "." LF for the end as well would let the writer of a message end it where he likes. Only to a server that
/// has not sent a single CRLF so far does LF end a line.
pub struct Unstuffer {
    at: At,
    bare_lf: bool,
    stuffed: Finder<'static>,
}

/// Where in a line the stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start(After),
    /// A dot at the start of a line, held back.
    Dot(After),
    /// That dot and a CR, both held back.
    DotCr(After),
    Text,
    /// In the text, after a CR.
    Cr,
}

/// What came before the start of a line. The start of the message counts as CRLF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    CrLf,
    Lf,
}

impl Unstuffer {
    /// `bare_lf`: the server has ended every line so far with LF alone.
    pub fn new(bare_lf: bool) -> Unstuffer {
        Unstuffer { at: At::Start(After::CrLf), bare_lf, stuffed: Finder::new(b"\n.") }
    }

    /// Appends to `text` what `input` holds of the message, and returns how many bytes of `input` follow its
    /// end, `None` where the end is still to come.
    pub fn feed(&mut self, input: &[u8], text: &mut Vec<u8>) -> Option<usize> {
        let mut rest = input;
        while !rest.is_empty() {
            if !self.bare_lf && matches!(self.at, At::Text | At::Cr) {
                rest = self.skip_text(rest, text);
                continue;
            }
            let byte = rest[0];
            rest = &rest[1..];
            if self.step(byte, text) {
                return Some(rest.len());
            }
        }
        None
    }

    /// Whether the stream still has no CRLF in it.
    pub fn bare_lf(&self) -> bool {
        self.bare_lf
    }

    /// Takes text up to the next line that begins with a dot, or all of it, at the speed of memchr.
    fn skip_text<'a>(&mut self, input: &'a [u8], text: &mut Vec<u8>) -> &'a [u8] {
        let is_crlf = |lf: usize| {
            input[lf] == b'\n' && if lf == 0 { self.at == At::Cr } else { input[lf - 1] == b'\r' }
        };
        let taken = match self.stuffed.find_iter(input).find(|&lf| is_crlf(lf)) {
            Some(lf) => lf + 1,
            None => input.len(),
        };
        self.at = match input[taken - 1] {
            b'\r' => At::Cr,
            _ if is_crlf(taken - 1) => At::Start(After::CrLf),
            _ => At::Text,
        };
        text.extend_from_slice(&input[..taken]);
        &input[taken..]
    }

    /// Takes one byte; whether it is the last of the message's end.
    fn step(&mut self, byte: u8, text: &mut Vec<u8>) -> bool {
        match (self.at, byte) {
            (At::Start(after), b'.') => {
                self.at = At::Dot(after);
                return false;
            }
            (At::Dot(after), b'\r') => {
                self.at = At::DotCr(after);
                return false;
            }
            (At::Dot(_), b'\n') if self.bare_lf => return true,
            (At::DotCr(After::CrLf), b'\n') => {
                self.bare_lf = false;
                return true;
            }
            // The dot was a stuffed one, and the CR behind it is text.
            (At::DotCr(_), _) => {
                text.push(b'\r');
                self.at = At::Cr;
            }
            _ => {}
        }
        text.push(byte);
        self.at = match (self.at, byte) {
            (_, b'\r') => At::Cr,
            (At::Cr, b'\n') => {
                self.bare_lf = false;
                At::Start(After::CrLf)
            }
            (_, b'\n') if self.bare_lf => At::Start(After::Lf),
            _ => At::Text,
        };
        false
    }
}

#[cfg(test)]
mod tests;
