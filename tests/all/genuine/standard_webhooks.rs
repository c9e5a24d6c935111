//! The libraries of Standard Webhooks, in the receivers that deploy/webhooks has for its readers, and Svix.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailferry::destination::webhook::{Format, Settings};
use mailferry::message::{Receipt, Verdict};
use serde_json::json;
use tokio::process::Command;

use super::{Genuine, file, python};
use crate::receiver::{Arrival, Receiver};
use crate::web::browser::client;
use crate::webhook::{build, deliver, hmac, settings};

const KEY: &[u8] = b"the key of this very receiver";
const OTHER: &[u8] = b"another key, as long as it is";

const MAIL: &[u8] =
    "From: Ann <ann@example.com>\r\nTo: desk@example.org\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n\
    MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nH\u{e4}llo\r\n\
    --b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n--b--\r\n"
        .as_bytes();

fn secret(key: &[u8]) -> String {
    format!("whsec_{}", STANDARD.encode(key))
}

fn signing(url: &str, format: &'static Format, keys: &[&[u8]]) -> Settings {
    let secrets = keys.iter().map(|key| secret(key).into()).collect();
    Settings { secrets, ..settings(url, format) }
}

/// What becomes of `mail`, signed by these keys.
async fn post(receiver: &Genuine, format: &'static Format, keys: &[&[u8]], mail: &[u8]) -> Verdict {
    deliver(&build(signing(&receiver.url, format, keys)).unwrap(), mail).await
}

const TAKEN: Verdict = Verdict::Delivered { receipt: Receipt::Http(204) };

/// A receiver that knows [`KEY`].
async fn start(mut command: Command) -> Genuine {
    command.env("WEBHOOK_SECRET", secret(KEY));
    Genuine::start(command).await
}

/// What each of them has to do.
async fn verifies(mut receiver: Genuine) {
    takes_what_we_sign(&mut receiver).await;
    takes_either_secret(&mut receiver).await;
    refuses_what_others_sign(&receiver).await;
    refuses_what_is_old_or_changed(&receiver).await;
}

async fn takes_what_we_sign(receiver: &mut Genuine) {
    assert_eq!(post(receiver, Format::JSON, &[KEY], MAIL).await, TAKEN);
    let printed = receiver.printed().await;
    assert!(printed["id"].as_str().unwrap().starts_with("msg_"), "{printed}");
    assert_eq!((&printed["subject"], &printed["text"]), (&"Gr\u{fc}\u{df}e".into(), &"H\u{e4}llo".into()));
    assert_eq!(printed["attachments"], json!(["a.pdf"]));
    // Raw, the same message would have the id that it knows.
    let other = [MAIL, b"the end\r\n"].concat();
    assert_eq!(post(receiver, Format::RAW, &[KEY], &other).await, TAKEN);
    assert_eq!(receiver.printed().await["octets"], other.len());
    // The largest of all, several times the limit of many a framework.
    let large = [MAIL, &b"a line that is as long as lines are\r\n".repeat(650_000)].concat();
    assert_eq!(post(receiver, Format::JSON, &[KEY], &large).await, TAKEN);
    assert_eq!(receiver.printed().await["subject"], "Gr\u{fc}\u{df}e");
}

/// While one secret replaces another, mailferry signs by both.
async fn takes_either_secret(receiver: &mut Genuine) {
    for (nth, keys) in [[KEY, OTHER], [OTHER, KEY]].iter().enumerate() {
        let mail = [format!("X-Nth: {nth}\r\n").as_bytes(), MAIL].concat();
        assert_eq!(post(receiver, Format::JSON, keys, &mail).await, TAKEN);
        assert_eq!(receiver.printed().await["attachments"], json!(["a.pdf"]));
    }
}

async fn refuses_what_others_sign(receiver: &Genuine) {
    for format in [Format::JSON, Format::RAW] {
        let verdict = post(receiver, format, &[OTHER], MAIL).await;
        assert!(matches!(verdict, Verdict::Paused { .. }), "{verdict:?}");
    }
    // Signed well, but the libraries verify UTF-8 only: the one format that is for those who do without them.
    let verdict = post(receiver, Format::RAW, &[KEY], b"From: a@example.com\r\n\r\nt\xe4xt\r\n").await;
    assert!(matches!(verdict, Verdict::Rejected { .. }), "{verdict:?}");
}

/// A request that somebody has kept.
async fn refuses_what_is_old_or_changed(receiver: &Genuine) {
    let ours = Receiver::start().await;
    let webhook = build(signing(&ours.url, Format::JSON, &[KEY])).unwrap();
    deliver(&webhook, MAIL).await;
    let [arrival] = ours.arrivals().try_into().unwrap();
    let now = chrono::Utc::now().timestamp();
    assert_eq!(again(receiver, &arrival, now, &arrival.body).await, 204);
    for timestamp in [now - 330, now + 330] {
        assert_eq!(again(receiver, &arrival, timestamp, &arrival.body).await, 401);
    }
    let changed = [&arrival.body[..], b" "].concat();
    assert_eq!(again(receiver, &arrival, now, &changed).await, 401);
}

/// The answer to this request with another time and another body, of which the time alone is signed.
async fn again(receiver: &Genuine, arrival: &Arrival, timestamp: i64, body: &[u8]) -> u16 {
    let id = arrival.header("webhook-id");
    let signed = [format!("{id}.{timestamp}.").as_bytes(), &arrival.body].concat();
    let answer = client()
        .post(&receiver.url)
        .header("content-type", arrival.header("content-type"))
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", format!("v1,{}", hmac(KEY, &signed)))
        .body(body.to_vec());
    answer.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn python_verifies() {
    verifies(start(python("deploy/webhooks/receiver.py")).await).await;
}

#[tokio::test]
async fn svix_verifies() {
    verifies(start(python("tests/receivers/with_svix.py")).await).await;
}

/// Node looks for packages beside the program and above.
#[tokio::test]
async fn node_verifies() {
    let folder = tempfile::Builder::new().tempdir_in(file("target/tools/node")).unwrap();
    let program = folder.path().join("receiver.mjs");
    fs::copy(file("deploy/webhooks/receiver.mjs"), &program).unwrap();
    let mut command = Command::new("node");
    command.arg(program);
    verifies(start(command).await).await;
}

#[tokio::test]
async fn rust_verifies() {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().with_file_name("examples").join("receiver");
    verifies(start(Command::new(program)).await).await;
}
