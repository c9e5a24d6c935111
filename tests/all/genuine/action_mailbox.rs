//! Rails Action Mailbox: Chatwoot, and any Rails application. One that takes mail from one service takes it from no other.

use mailferry::destination::webhook::Settings;
use mailferry::message::{Receipt, Verdict};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{Genuine, LETTER, file, named, picture_and_file};
use crate::webhook::{SECRET, build, deliver};

/// Each format, with the name of its ingress, and its path.
const INGRESSES: [(&str, &str, &str); 4] = [
    ("actionmailbox", "relay", "relay/inbound_emails"),
    ("mailgun-mime", "mailgun", "mailgun/inbound_emails/mime"),
    ("postmark", "postmark", "postmark/inbound_emails"),
    ("sendgrid-raw", "sendgrid", "sendgrid/inbound_emails"),
];

pub const TAKEN: Verdict = Verdict::Delivered { receipt: Receipt::Http(204) };

/// An application with the ingress of this format.
pub async fn start(format: &str) -> Genuine {
    let (_, ingress, _) = INGRESSES.into_iter().find(|(name, ..)| *name == format).unwrap();
    let mut command = Command::new("ruby");
    command.arg(file("tests/receivers/action_mailbox.rb")).env("INGRESS", ingress);
    command.env("RAILS_INBOUND_EMAIL_PASSWORD", SECRET).env("MAILGUN_INGRESS_SIGNING_KEY", SECRET);
    Genuine::start(command).await
}

pub fn settings(receiver: &Genuine, format: &str) -> Settings {
    let (.., path) = INGRESSES.into_iter().find(|(name, ..)| *name == format).unwrap();
    named(format, &format!("{}rails/action_mailbox/{path}", receiver.url))
}

/// What the mailbox got by the last request.
pub async fn mails(receiver: &mut Genuine) -> Vec<Value> {
    receiver.printed().await["mails"].as_array().unwrap().clone()
}

async fn takes_what_we_post(format: &str) {
    let mut receiver = start(format).await;
    let webhook = build(settings(&receiver, format)).unwrap();
    assert_eq!(deliver(&webhook, LETTER).await, TAKEN);
    let [mail] = mails(&mut receiver).await.try_into().unwrap();
    assert_eq!(mail["from"], json!(["ann@example.com"]));
    assert_eq!(mail["subject"], "Gr\u{fc}\u{df}e");
    assert_eq!(mail["text"].as_str().unwrap().trim_end(), "H\u{e4}llo");
    let (picture, file) = picture_and_file();
    let attachments =
        json!([{ "name": "p.png", "sha256": picture }, { "name": "\u{fc}.bin", "sha256": file }]);
    assert_eq!(mail["attachments"], attachments);
    let recipients = mail["recipients"].as_array().unwrap();
    assert!(recipients.contains(&"desk@example.org".into()), "{mail}");
    // By the envelope, where the service has one that Rails 6.1 looks at.
    let knows = matches!(format, "mailgun-mime" | "sendgrid-raw");
    assert_eq!(recipients.contains(&"desk+42@example.org".into()), knows, "{mail}");
    takes_it_once(&mut receiver, format).await;
    refuses_others(&mut receiver, format).await;
}

/// It goes by Message-ID and the digest of the bytes, which are the same again.
async fn takes_it_once(receiver: &mut Genuine, format: &str) {
    let webhook = build(settings(receiver, format)).unwrap();
    assert_eq!(deliver(&webhook, LETTER).await, TAKEN);
    assert_eq!(mails(receiver).await, Vec::<Value>::new());
    let other = [LETTER, b"one more line\r\n"].concat();
    assert_eq!(deliver(&webhook, &other).await, TAKEN);
    assert_eq!(mails(receiver).await.len(), 1);
}

async fn refuses_others(receiver: &mut Genuine, format: &str) {
    let other = Settings { secrets: vec!["another".into()], ..settings(receiver, format) };
    let verdict = deliver(&build(other).unwrap(), LETTER).await;
    assert!(matches!(&verdict, Verdict::Paused { reason, .. } if reason.contains("401")), "{verdict:?}");
    assert_eq!(receiver.printed().await, json!({ "status": 401, "mails": [] }));
    // Where the application was set up for another service.
    let (elsewhere, ..) = INGRESSES.into_iter().find(|(name, ..)| *name != format).unwrap();
    let verdict = deliver(&build(settings(receiver, elsewhere)).unwrap(), LETTER).await;
    assert!(matches!(&verdict, Verdict::Paused { reason, .. } if reason.contains("404")), "{verdict:?}");
    assert_eq!(receiver.printed().await, json!({ "status": 404, "mails": [] }));
}

#[tokio::test]
async fn action_mailbox_takes_mail_from_the_relay() {
    takes_what_we_post("actionmailbox").await;
}

#[tokio::test]
async fn action_mailbox_takes_mail_from_mailgun() {
    takes_what_we_post("mailgun-mime").await;
}

#[tokio::test]
async fn action_mailbox_takes_mail_from_postmark() {
    takes_what_we_post("postmark").await;
}

#[tokio::test]
async fn action_mailbox_takes_mail_from_sendgrid() {
    takes_what_we_post("sendgrid-raw").await;
}
