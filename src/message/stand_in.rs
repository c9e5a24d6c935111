//! What a server hands out in the place of a message that it cannot convert.

use super::header::field;

/// Exchange's, for either protocol; then comes the number of the message.
const SUBJECTS: [&str; 2] = [
    "Retrieval using the POP3 protocol failed for the following message",
    "Retrieval using the IMAP4 protocol failed for the following message",
];

/// Whether this is the header of such a notice. Anybody can write one, and then a message of theirs stays where it is.
pub fn is_stand_in(header: &[u8]) -> bool {
    let Some(subject) = field(header, "Subject") else { return false };
    SUBJECTS.iter().any(|known| {
        subject.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::is_stand_in;

    #[test]
    fn a_notice_is_known_by_its_subject() {
        let is = |subject: &str| is_stand_in(format!("Subject: {subject}\r\n\r\n").as_bytes());
        assert!(is("Retrieval using the POP3 protocol failed for the following message: 2469"));
        assert!(is("retrieval using the IMAP4 protocol failed for the following\r\n message: 2469"));
        assert!(!is("Re: Retrieval using the POP3 protocol failed for the following message: 2469"));
        assert!(!is("Retrieval") && !is_stand_in(b"From: a\r\n\r\n"));
    }
}
