//! django-anymail: an application that knows mail from Mailgun, Postmark or SendGrid.

use mailferry::destination::webhook::{Login, Settings};
use mailferry::message::Verdict;
use serde_json::Value;

use super::{Genuine, LETTER, named, picture_and_file, python};
use crate::webhook::{DELIVERED, SECRET, build, deliver};

/// Each format with its path below `/anymail/`.
const INBOUND: [(&str, &str); 3] = [
    ("mailgun-mime", "mailgun/inbound_mime/"),
    ("postmark", "postmark/inbound/"),
    ("sendgrid-raw", "sendgrid/inbound/"),
];

pub async fn start() -> Genuine {
    start_with(&[]).await
}

async fn start_with(environment: &[(&str, &str)]) -> Genuine {
    let mut command = python("tests/receivers/django_anymail.py");
    command.env("SIGNING_KEY", SECRET).envs(environment.iter().copied());
    Genuine::start(command).await
}

/// For the receiver's view of this format.
pub fn settings(receiver: &Genuine, format: &str) -> Settings {
    let (_, path) = INBOUND.into_iter().find(|(name, _)| *name == format).unwrap();
    named(format, &format!("{}anymail/{path}", receiver.url))
}

fn basic(password: &str) -> String {
    format!("actionmailbox:{password}")
}

#[tokio::test]
async fn anymail_reads_what_we_read() {
    let mut receiver = start().await;
    for (format, _) in INBOUND {
        let webhook = build(settings(&receiver, format)).unwrap();
        assert_eq!(deliver(&webhook, LETTER).await, DELIVERED, "{format}");
        let printed = receiver.printed().await;
        assert_eq!(
            (&printed["sender"], &printed["recipient"]),
            (&"ann@example.com".into(), &"desk+42@example.org".into()),
            "{format}"
        );
        assert_eq!(printed["from"], "ann@example.com", "{format}");
        assert_eq!(printed["subject"], "Gr\u{fc}\u{df}e", "{format}");
        assert_eq!(printed["text"].as_str().unwrap().trim_end(), "H\u{e4}llo", "{format}");
        assert_eq!(printed["html"].as_str().unwrap().trim_end(), "<p>H\u{e4}llo</p>", "{format}");
        let (picture, file) = picture_and_file();
        let read = |list: &Value| -> Vec<(Value, Value)> {
            list.as_array()
                .unwrap()
                .iter()
                .map(|part| (part["name"].clone(), part["sha256"].clone()))
                .collect()
        };
        assert_eq!(read(&printed["inlines"]), [("p.png".into(), picture.into())], "{format}");
        assert_eq!(read(&printed["attachments"]), [("\u{fc}.bin".into(), file.into())], "{format}");
    }
}

/// What Anymail calls the id of the event is the same again, where the service has one.
#[tokio::test]
async fn anymail_knows_a_message_again() {
    let mut receiver = start().await;
    for (format, _) in INBOUND {
        let webhook = build(settings(&receiver, format)).unwrap();
        let mut ids = Vec::new();
        for _ in 0..2 {
            assert_eq!(deliver(&webhook, LETTER).await, DELIVERED);
            ids.push(receiver.printed().await["event"].clone());
        }
        assert_eq!(ids[0], ids[1], "{format}");
        assert_eq!(ids[0].is_null(), format == "sendgrid-raw", "{format}");
    }
}

/// Its answer to any credential that is wrong is 400, as to a broken message: three of those in a row, and the endpoint
/// counts as faulty.
#[tokio::test]
async fn anymail_refuses_another_secret() {
    let wanted = basic(SECRET);
    let mut receiver = start_with(&[("BASIC", &wanted)]).await;
    for (format, _) in INBOUND {
        // Mailgun's signature is its credential; a password of the whole application comes on top.
        let password = if format == "mailgun-mime" { SECRET } else { "another" };
        let login = Login::Basic { user: "actionmailbox".into(), password: password.into() };
        let other = Settings { secrets: vec!["another".into()], login, ..settings(&receiver, format) };
        let verdict = deliver(&build(other).unwrap(), LETTER).await;
        let Verdict::Rejected { reason, park_after, counts_for_destination } = verdict else {
            panic!("{format}: {verdict:?}")
        };
        assert!(reason.contains("400") && park_after == 3 && counts_for_destination, "{format}: {reason}");
        let login = Login::Basic { user: "actionmailbox".into(), password: SECRET.into() };
        let right = Settings { login, ..settings(&receiver, format) };
        assert_eq!(deliver(&build(right).unwrap(), LETTER).await, DELIVERED, "{format}");
        receiver.printed().await;
    }
}

/// Django takes 2.5 MB where nobody has said more, and says 400.
#[tokio::test]
async fn anymail_takes_large_messages_where_django_does() {
    let large = [LETTER, &b"the line after the end, again and again\r\n".repeat(100_000)].concat();
    let mut receiver = start().await;
    let small = start_with(&[("LARGEST", "2621440")]).await;
    for (format, _) in INBOUND {
        assert_eq!(
            deliver(&build(settings(&receiver, format)).unwrap(), &large).await,
            DELIVERED,
            "{format}"
        );
        assert_eq!(receiver.printed().await["subject"], "Gr\u{fc}\u{df}e");
        let verdict = deliver(&build(settings(&small, format)).unwrap(), &large).await;
        // It hangs up on what it has not read, and with that its answer may be gone before anybody hears it.
        let is_told = match &verdict {
            Verdict::Rejected { reason, .. } => reason.contains("HTTP 400"),
            Verdict::Deferred { reason, .. } => reason.contains("may be too large for it"),
            _ => false,
        };
        assert!(is_told, "{format}: {verdict:?}");
    }
}

#[tokio::test]
async fn anymail_has_nothing_at_another_path() {
    let receiver = start().await;
    // Without the slash at its end.
    let url = format!("{}anymail/postmark/inbound", receiver.url);
    let verdict = deliver(&build(named("postmark", &url)).unwrap(), LETTER).await;
    assert!(matches!(verdict, Verdict::Paused { .. }), "{verdict:?}");
}
