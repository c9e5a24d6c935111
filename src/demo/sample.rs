//! Sample messages: every kind of mail that a careless bridge would harm, the same each time.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Duration, Utc};

/// How many messages the mailbox holds at first.
pub const AT_FIRST: u32 = 200;

/// The number of the one message that is too large to be held in memory by anybody.
const LARGE: u32 = 120;

/// What that message's attachment takes in the mail: 30 MB.
const LARGE_OCTETS: usize = 30_000_000;

/// One message, made when it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    number: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    LongLines,
    DotLines,
    EightBit,
    BareLf,
    NoSubject,
    Html,
    Attachments,
    Nested,
    NoFinalNewline,
    NoBody,
    Large,
}

/// One after another, so that the first screen shows them all.
const KINDS: [Kind; 11] = [
    Kind::Plain,
    Kind::Attachments,
    Kind::DotLines,
    Kind::Html,
    Kind::EightBit,
    Kind::LongLines,
    Kind::NoSubject,
    Kind::Nested,
    Kind::BareLf,
    Kind::NoFinalNewline,
    Kind::NoBody,
];

const SENDERS: [(&str, &str); 8] = [
    ("Ada Lovelace", "ada"),
    ("=?utf-8?Q?J=C3=BCrgen_M=C3=BCller?=", "juergen"),
    ("\"Smith, Jo\"", "jo.smith"),
    ("Z\u{f6}e \u{17b}ukowska", "zoe"),
    ("=?iso-8859-1?B?Um9z6Q==?=", "rose"),
    ("=?utf-8?B?zpXOu86tzr3OtyDOoM6xz4DOsQ==?=", "eleni"),
    ("Harbour Office", "office"),
    ("", "no-reply"),
];

const SUBJECTS: [&str; 10] = [
    "The boat leaves at seven",
    "=?utf-8?Q?Gr=C3=BC=C3=9Fe_aus_M=C3=BCnchen?=",
    "Re: Re: Minutes of Tuesday",
    "Invoice 4711",
    "Photos from the lighthouse",
    "Fwd: \u{43f}\u{440}\u{438}\u{432}\u{435}\u{442} from the north",
    "=?iso-8859-1?Q?Caf=E9_on_Friday=3F?=",
    "A subject that is longer than any terminal is wide, folded\r\n over two lines, as the standard asks for it",
    "[list] Patch 3 of 7",
    "Tide table",
];

const WORDS: [&str; 24] = [
    "the", "boat", "harbour", "keeper", "letter", "before", "winter", "light", "north", "carried", "slowly",
    "between", "islands", "with", "seven", "parcels", "and", "one", "dog", "nobody", "had", "seen", "since",
    "March",
];

impl Sample {
    pub fn new(number: u32) -> Sample {
        Sample { number }
    }

    /// Its unique id in the mailbox.
    pub fn uidl(self) -> String {
        format!("demo-{:06}", self.number)
    }

    /// The message as the mailbox serves it, in pieces that end where lines end.
    pub fn pieces(self) -> impl Iterator<Item = Vec<u8>> + Send {
        let mut random = fastrand::Rng::with_seed(u64::from(self.number));
        let first = [self.header(&mut random), self.body(&mut random)].concat();
        let (blocks, last) = match self.kind() {
            Kind::Large => (LARGE_OCTETS / (BLOCK_LINES * 78), b"--large--\r\n".to_vec()),
            _ => (0, Vec::new()),
        };
        let blocks = (0..blocks).map(move |_| base64_lines(&mut random, BLOCK_LINES));
        let pieces = std::iter::once(first).chain(blocks).chain(std::iter::once(last));
        pieces.filter(|piece| !piece.is_empty())
    }

    fn kind(self) -> Kind {
        match self.number {
            LARGE => Kind::Large,
            number => KINDS[number as usize % KINDS.len()],
        }
    }

    fn header(self, random: &mut fastrand::Rng) -> Vec<u8> {
        let number = self.number;
        let (name, user) = SENDERS[random.usize(..SENDERS.len())];
        let subject = match self.kind() {
            Kind::NoSubject => "",
            Kind::Large => "The whole harbour in one picture",
            _ => SUBJECTS[random.usize(..SUBJECTS.len())],
        };
        let first: DateTime<Utc> = DateTime::from_timestamp(1_761_984_000, 0).unwrap_or_default();
        let date = (first + Duration::minutes(37 * i64::from(number))).to_rfc2822();
        let header = format!(
            "Return-Path: <{user}@example.net>\r\nDelivered-To: demo@example.org\r\n\
             Received: from mail.example.net by mail.example.org;\r\n\t{date}\r\n\
             From: {name} <{user}@example.net>\r\nTo: demo@example.org\r\nSubject: {subject}\r\n\
             Date: {date}\r\nMessage-ID: <{number}@example.net>\r\nMIME-Version: 1.0\r\n"
        );
        header.into_bytes()
    }

    fn body(self, random: &mut fastrand::Rng) -> Vec<u8> {
        match self.kind() {
            Kind::Plain => plain(&prose(random, 12, "\r\n")),
            Kind::LongLines => plain(&format!("{}\r\nshort\r\n", "one line without end ".repeat(400))),
            Kind::DotLines => plain("A line with a dot:\r\n.\r\n..\r\n.hidden\r\n...\r\n.\r\n"),
            Kind::EightBit => {
                // Latin-1, and the octets that no character set has.
                let text = b"Content-Type: text/plain; charset=iso-8859-1\r\n\
                    Content-Transfer-Encoding: 8bit\r\n\r\nGr\xfc\xdfe, \x80\x9f\xff\xfe \x01\x7f caf\xe9\r\n";
                text.to_vec()
            }
            // A program on Unix wrote it, and a careless server passed it on.
            Kind::BareLf => plain(&prose(random, 6, "\n")),
            Kind::NoSubject => plain("Did you get this?\r\n"),
            Kind::Html => html(random),
            Kind::Attachments => attachments(random),
            Kind::Nested => nested(self.number),
            // POP3 ends the last line all the same (RFC 1939 section 3): an empty line is what is not there.
            Kind::NoFinalNewline => plain("The last line is the only one.\r\n"),
            Kind::NoBody => b"\r\n".to_vec(),
            Kind::Large => {
                let part = "Content-Type: image/tiff; name=harbour.tiff\r\n\
                    Content-Disposition: attachment; filename=harbour.tiff\r\n\
                    Content-Transfer-Encoding: base64\r\n\r\n";
                format!("Content-Type: multipart/mixed; boundary=large\r\n\r\n--large\r\n{part}").into_bytes()
            }
        }
    }
}

/// How many lines of base64 are made at once.
const BLOCK_LINES: usize = 1000;

fn plain(text: &str) -> Vec<u8> {
    format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{text}").into_bytes()
}

fn prose(random: &mut fastrand::Rng, lines: usize, line_end: &str) -> String {
    let mut line = || {
        let words: Vec<&str> = (0..9).map(|_| WORDS[random.usize(..WORDS.len())]).collect();
        words.join(" ") + line_end
    };
    // The server ends the last line properly.
    (1..lines).map(|_| line()).collect::<String>() + "- A.\r\n"
}

fn html(random: &mut fastrand::Rng) -> Vec<u8> {
    let text = prose(random, 4, "\r\n");
    format!(
        "Content-Type: multipart/alternative; boundary=alt\r\n\r\n\
         --alt\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\
         --alt\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p><b>{text}</b></p>\r\n--alt--\r\n"
    )
    .into_bytes()
}

fn attachments(random: &mut fastrand::Rng) -> Vec<u8> {
    let text = prose(random, 3, "\r\n");
    let mut body = format!(
        "Content-Type: multipart/mixed; boundary=mix\r\n\r\n\
         --mix\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}"
    )
    .into_bytes();
    for (number, name) in ["table.pdf", "=?utf-8?Q?M=C3=B6we?=.jpg"].iter().enumerate() {
        let part = format!(
            "--mix\r\nContent-Type: application/octet-stream\r\n\
             Content-Disposition: attachment; filename=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        );
        body.extend_from_slice(part.as_bytes());
        let lines = random.usize(100..1500) * (number + 1);
        body.extend_from_slice(&base64_lines(random, lines));
    }
    body.extend_from_slice(b"--mix--\r\n");
    body
}

fn nested(number: u32) -> Vec<u8> {
    format!(
        "Content-Type: multipart/mixed; boundary=out\r\n\r\n\
         --out\r\nContent-Type: message/rfc822\r\n\r\n\
         Subject: forwarded {number}\r\nContent-Type: multipart/mixed; boundary=out-in\r\n\r\n\
         --out-in\r\n\r\nFrom the inner message.\r\n--out-in--\r\n--out--\r\n"
    )
    .into_bytes()
}

fn base64_lines(random: &mut fastrand::Rng, lines: usize) -> Vec<u8> {
    let mut text = String::with_capacity(lines * 78);
    let mut octets = [0; 57];
    for _ in 0..lines {
        random.fill(&mut octets);
        STANDARD.encode_string(octets, &mut text);
        text.push_str("\r\n");
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_the_same_each_time_and_made_of_whole_lines() {
        for number in 0..AT_FIRST {
            let sample = Sample::new(number);
            assert!(sample.pieces().all(|piece| piece.ends_with(b"\r\n")), "{number}");
            assert!(sample.pieces().eq(sample.pieces()), "{number}");
        }
    }

    #[test]
    fn one_sample_is_of_30_mb_and_no_piece_of_it_is_large() {
        let octets: usize = Sample::new(LARGE).pieces().map(|piece| piece.len()).sum();
        assert!((29_000_000..31_000_000).contains(&octets), "{octets}");
        assert!(Sample::new(LARGE).pieces().all(|piece| piece.len() < 100_000));
    }
}
