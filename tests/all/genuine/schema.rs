//! What is posted in the format `json`, against its JSON Schema, by Python's `jsonschema`.

use std::fs;
use std::process::Stdio;

use bytes::Bytes;
use mailferry::destination::webhook::{Format, Oversize, Settings};
use tokio::io::AsyncWriteExt;

use super::{LETTER, python};
use crate::corpus::{corpus, on_the_wire};
use crate::receiver::Receiver;
use crate::webhook::{DELIVERED, build, outgoing, settings};

/// The bodies that are posted.
async fn posted(mails: &[Vec<u8>], change: impl FnOnce(&mut Settings)) -> Vec<Bytes> {
    let receiver = Receiver::start().await;
    let mut settings = settings(&receiver.url, Format::JSON);
    change(&mut settings);
    let webhook = build(settings).unwrap();
    for some in mails.chunks(100) {
        let mut batch = Vec::new();
        for mail in some {
            batch.push(outgoing(mail).await);
        }
        assert!(webhook.deliver(None, &batch).await.iter().all(|verdict| *verdict == DELIVERED));
    }
    receiver.arrivals().into_iter().map(|arrival| arrival.body).collect()
}

/// What the validator prints.
async fn validated(bodies: Vec<Bytes>) -> String {
    let schema = tempfile::NamedTempFile::new().unwrap();
    let mut print = std::process::Command::new(env!("CARGO_BIN_EXE_mailferry"));
    fs::write(schema.path(), print.args(["schema", "webhook"]).output().unwrap().stdout).unwrap();
    let mut command = python("tests/python/validate.py");
    command.arg(schema.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut process = command.spawn().unwrap();
    let mut input = process.stdin.take().unwrap();
    let writing = async move {
        for body in bodies {
            // The payload of one message is one line.
            input.write_all(&body).await.unwrap();
            input.write_all(b"\n").await.unwrap();
        }
    };
    let ((), output) = tokio::join!(writing, process.wait_with_output());
    let output = output.unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn real_mail_is_posted_by_the_schema() {
    let mails: Vec<Vec<u8>> = corpus().iter().map(|mail| on_the_wire(mail)).collect();
    assert_eq!(validated(posted(&mails, |_| ()).await).await, "6046 valid\n");
}

#[tokio::test]
async fn unusual_mail_is_posted_by_the_schema() {
    let huge = [LETTER, &b"a line that is as long as lines are\r\n".repeat((9 << 20) / 37)].concat();
    let mails = [
        LETTER.to_vec(),
        Vec::new(),
        b"\r\nno header at all\r\n".to_vec(),
        b"not even an empty line".to_vec(),
        b"Date: nonsense\r\nReceived: by x; nonsense\r\nFrom: <@>, \"\xff\"\r\nSubject:\r\n\r\n\xff\x00\r\n"
            .to_vec(),
        huge.clone(),
    ];
    let mut bodies = posted(&mails, |_| ()).await;
    bodies.extend(
        posted(&[LETTER.to_vec(), huge], |settings| {
            settings.max_bytes = 1000;
            settings.oversize = Oversize::OmitAttachments;
        })
        .await,
    );
    assert_eq!(validated(bodies).await, "8 valid\n");
}

/// That it can find fault at all.
#[tokio::test]
async fn another_payload_is_refused_by_the_schema() {
    let [body] = posted(&[LETTER.to_vec()], |_| ()).await.try_into().unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let changes = [("\"size\":", "\"sizes\":"), ("T20:00:00Z", "T25:00:00Z"), ("\"to\":[", "\"to\":[7,")];
    let bodies = changes.map(|(key, change)| {
        assert!(body.contains(key), "{key}");
        body.replace(key, change).into()
    });
    let printed = validated(bodies.to_vec()).await;
    for nth in 1..=3 {
        assert!(printed.contains(&format!("{nth}: $.")), "{printed}");
    }
    assert!(printed.ends_with("\n0 valid\n"), "{printed}");
}
