//! The webhook destination against endpoints that take, refuse, hold, break off and never end.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailferry::destination::webhook::{Format, Login, Oversize, RECIPIENT_HEADERS, Settings, Webhook};
use mailferry::message::{
    AccountName, DestinationName, IN_MEMORY, Mark, Message, Outgoing, Receipt, Spool, Uidl, Verdict,
};
use mailferry::net::{Connectors, Pin};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::ca::Ca;
use crate::peer::Nobody;
use crate::receiver::{Arrival, Receiver, status};

pub const SECRET: &str = "a secret that is long enough";

/// As the config has them where it says no more.
pub fn settings(url: &str, format: &'static Format) -> Settings {
    Settings {
        url: url.to_owned(),
        format,
        secrets: vec![SECRET.into()],
        user: None,
        login: Login::None,
        headers: Vec::new(),
        fields: Vec::new(),
        recipient_headers: RECIPIENT_HEADERS.iter().copied().map(str::to_owned).collect(),
        max_bytes: 25 << 20,
        oversize: Oversize::Park,
        expect: None,
        follow_redirects: false,
        max_in_flight: 16,
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(30),
        ca_file: None,
        pin: None,
        allow_plaintext: false,
    }
}

pub fn build(settings: Settings) -> Result<Webhook, String> {
    Webhook::new(&DestinationName::new("app").unwrap(), settings, &mut Connectors::default())
}

fn webhook(url: &str, format: &'static Format) -> Webhook {
    build(settings(url, format)).unwrap()
}

async fn message(bytes: &[u8]) -> Message {
    let mut spool = Spool::new(&std::env::temp_dir());
    spool.write(bytes).await.unwrap();
    spool.finish().await.unwrap()
}

pub async fn outgoing(bytes: &[u8]) -> Outgoing {
    Outgoing {
        message: message(bytes).await,
        account: AccountName::new("work").unwrap(),
        uidl: Uidl::new(b"uidl\xff1"),
        mark: Mark::default(),
        attempts: 0,
    }
}

/// Delivers one message and says what became of it.
pub async fn deliver(webhook: &Webhook, bytes: &[u8]) -> Verdict {
    let [verdict] = webhook.deliver(None, &[outgoing(bytes).await]).await.try_into().unwrap();
    verdict
}

pub const DELIVERED: Verdict = Verdict::Delivered { receipt: Receipt::Http(200) };

/// The one payload that arrives when `bytes` are delivered as JSON; its `raw` is proven to be those bytes.
async fn payload(bytes: &[u8]) -> Value {
    let receiver = Receiver::start().await;
    assert_eq!(deliver(&webhook(&receiver.url, Format::JSON), bytes).await, DELIVERED);
    let [arrival] = receiver.arrivals().try_into().unwrap();
    let payload: Value = serde_json::from_slice(&arrival.body).unwrap();
    let data = &payload["data"];
    let raw = STANDARD.decode(data["raw"].as_str().unwrap()).unwrap();
    assert!(raw == bytes, "{} bytes arrived as {} other ones", bytes.len(), raw.len());
    assert_eq!(data["source"]["sha256"], hex(&Sha256::digest(bytes)));
    assert_eq!(data["id"], arrival.header("webhook-id"));
    assert_eq!(data["size"], bytes.len());
    payload
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// HMAC-SHA256 as RFC 2104 section 2 writes it, by other code than the one under test.
pub fn hmac(key: &[u8], text: &[u8]) -> String {
    assert!(key.len() <= 64);
    let pad = |with: u8| (0..64).map(move |at| key.get(at).copied().unwrap_or(0) ^ with).collect::<Vec<u8>>();
    let inner = Sha256::digest([pad(0x36).as_slice(), text].concat());
    STANDARD.encode(Sha256::digest([pad(0x5c).as_slice(), &inner].concat()))
}

fn signed_by(arrival: &Arrival, key: &[u8]) -> String {
    let (id, timestamp) = (arrival.header("webhook-id"), arrival.header("webhook-timestamp"));
    let text = [format!("{id}.{timestamp}.").as_bytes(), &arrival.body].concat();
    format!("v1,{}", hmac(key, &text))
}

#[tokio::test]
async fn json_says_what_the_message_says() {
    let mail = b"Return-Path: <bounce@example.net>\r\n\
        Delivered-To: support@example.org\r\n\
        Received: from a by b; Tue, 24 Nov 2026 21:00:00 +0100\r\n\
        From: =?utf-8?Q?J=C3=BCrgen?= <j@example.net>\r\n\
        To: Support <support@example.org>, second@example.org\r\n\
        Subject: Two\r\n words\r\n\
        Date: Tue, 24 Nov 2026 20:59:00 +0100\r\n\
        Message-ID: <1@example.net>\r\n\
        References: <0@example.net> <00@example.net>\r\n\
        MIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=m\r\n\r\n\
        --m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n\
        --a\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nGr\xfc\xdfe\r\n\
        --a\r\nContent-Type: text/html\r\n\r\n<p>Hello</p>\r\n--a--\r\n\
        --m\r\nContent-Type: text/csv; charset=iso-8859-1\r\n\
        Content-Disposition: attachment; filename=\"a.csv\"\r\n\r\nM\xfcnchen\r\n--m--\r\n";
    let payload = payload(mail).await;
    assert_eq!(payload["type"], "email.received");
    assert_eq!(payload["timestamp"], "2026-11-24T20:00:00Z");
    let data = &payload["data"];
    for (name, expected) in [
        ("account", json!("work")),
        (
            "envelope",
            json!({"from": "bounce@example.net", "to": ["support@example.org"], "derivedFrom": "Delivered-To"}),
        ),
        ("messageId", json!(["1@example.net"])),
        ("inReplyTo", json!([])),
        ("references", json!(["0@example.net", "00@example.net"])),
        ("from", json!([{"name": "J\u{fc}rgen", "email": "j@example.net"}])),
        (
            "to",
            json!([{"name": "Support", "email": "support@example.org"}, {"name": null, "email": "second@example.org"}]),
        ),
        ("cc", json!([])),
        ("bcc", json!([])),
        ("replyTo", json!([])),
        ("subject", json!("Two words")),
        ("sentAt", json!("2026-11-24T20:59:00+01:00")),
        ("receivedAt", json!("2026-11-24T20:00:00Z")),
        ("text", json!("Gr\u{fc}\u{df}e")),
        ("html", json!("<p>Hello</p>")),
        ("preview", json!("Gr\u{fc}\u{df}e")),
        ("hasAttachment", json!(true)),
    ] {
        assert_eq!(data[name], expected, "{name}");
    }
    assert_eq!(data["source"]["protocol"], "pop3");
    assert_eq!(data["source"]["uidl"], "uidl\\xFF1");
    assert_eq!(data["headers"][5], json!({"name": "Subject", "value": "Two words"}));
    // The attached file is the file that was attached, not a translation of it.
    let attachment = json!({
        "partId": "4", "name": "a.csv", "type": "text/csv", "size": 7, "cid": null,
        "disposition": "attachment", "content": STANDARD.encode(b"M\xfcnchen"),
    });
    assert_eq!(data["attachments"], json!([attachment]));
    assert!(data.get("truncated").is_none());
}

#[tokio::test]
async fn json_carries_mail_that_is_not_as_it_should_be() {
    let nested = b"Subject: out\n\n";
    for awkward in [
        &b""[..],
        b"\r\n",
        b"no header at all",
        b"Subject: no body",
        b": no name\r\nno colon\r\nSubject : space\r\n\r\nx",
        b"Subject: \xff\xfe 8-bit \x00 NUL\r\n\r\nb\xe4d \x00 bytes",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary",
        b"Content-Type: message/rfc822\r\n\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nx",
        b"Content-Transfer-Encoding: base64\r\n\r\n!!!!",
        b"From: <<>>,;:\r\nTo: group: a@b, c@d;\r\nDate: never\r\nReceived: ;;\r\n\r\n",
        nested,
    ] {
        let payload = payload(awkward).await;
        assert!(payload.get("timestamp").is_none(), "there is no date to tell: {payload}");
    }
    let payload = payload(b"Date: Tue, 24 Nov 2026 20:59:00 +0100\r\n\r\n").await;
    assert_eq!(payload["timestamp"], "2026-11-24T19:59:00Z");
}

/// Each would cost a parser far more memory or time than its length, or the process its stack.
#[tokio::test]
async fn a_message_built_to_hurt_a_parser_arrives_all_the_same() {
    let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(100_000);
    // Header names may be split, and the words may be in a digest.
    let split = "C onten t-Type: mesSage/ GLobal\n\n".repeat(100_000);
    let parts = format!("Content-Type: multipart/mixed; boundary=x\n\n{}", "--x\n".repeat(100_000));
    let fields = "a:\n".repeat(300_000);
    let parameters: String = (0..100_000).map(|at| format!(" a{at}*=b;\n")).collect();
    let parameters = format!("Content-Type: text/plain;\n{parameters}\n\n");
    for bomb in [&nested, &split, &parts, &fields, &parameters] {
        let started = Instant::now();
        let payload = payload(bomb.as_bytes()).await;
        assert_eq!(payload["data"]["truncated"], true);
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    }
    // A message in base64 within the message, and messages within that: it is an attachment, whole and unparsed.
    let payload_of_encoded = payload(in_base64(&nested).as_bytes()).await;
    assert_eq!(payload_of_encoded["data"]["attachments"][0]["content"], STANDARD.encode(&nested));
    // Where another part follows, the parser cannot tell where the first ends, and the payload says so.
    let (first, boundary) = (in_base64("Subject: x\n\ny\n"), "Content-Type: multipart/mixed; boundary=x");
    let two = format!("{boundary}\n\n--x\n{first}--x\nContent-Type: image/png\n\npng\n--x--\n");
    assert_eq!(payload(two.as_bytes()).await["data"]["truncated"], true);
    // What is still parsed does not go deeper than the stack.
    let payload = payload("Content-Type: message/rfc822\r\n\r\n".repeat(2000).as_bytes()).await;
    assert!(payload["data"].get("truncated").is_none());
}

fn in_base64(message: &str) -> String {
    let encoded = STANDARD.encode(message);
    let lines: Vec<&str> = encoded.as_bytes().chunks(76).map(|line| str::from_utf8(line).unwrap()).collect();
    let header = "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64";
    format!("{header}\n\n{}\n", lines.join("\n"))
}

#[tokio::test]
async fn json_decodes_transfer_encodings_and_character_sets() {
    let mail = b"Content-Type: multipart/mixed; boundary=m\r\n\r\n\
        --m\r\nContent-Type: text/plain; charset=windows-1252\r\n\
        Content-Transfer-Encoding: Quoted-Printable\r\n\r\n10 =80 =\r\nnet\r\n\
        --m\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n\
        PGI+R3LD\r\nvMOfZTwvYj4=\r\n\
        --m\r\nContent-Type: application/pdf; name*=utf-8''M%C3%BCll.pdf\r\n\
        Content-Transfer-Encoding: base64\r\nContent-Disposition: ATTACHMENT\r\n\r\nAAEC/w==\r\n\
        --m\r\nContent-Type: image/png\r\nContent-ID: <logo>\r\nContent-Disposition: inline\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nnot base64!\r\n\
        --m\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nbody\r\n--m--\r\n";
    let payload = payload(mail).await;
    let data = &payload["data"];
    assert_eq!(data["text"], "10 \u{20ac} net");
    assert_eq!(data["html"], "<b>Gr\u{fc}\u{df}e</b>");
    let attachments = data["attachments"].as_array().unwrap();
    let seen: Vec<_> = attachments
        .iter()
        .map(|attachment| {
            let content = STANDARD.decode(attachment["content"].as_str().unwrap()).unwrap();
            (attachment["type"].as_str().unwrap(), content, &attachment["name"], &attachment["cid"])
        })
        .collect();
    let (name, cid, null) = (json!("M\u{fc}ll.pdf"), json!("logo"), Value::Null);
    assert_eq!(
        seen,
        [
            ("application/pdf", vec![0, 1, 2, 255], &name, &null),
            ("image/png", b"not base64!".to_vec(), &null, &cid),
            ("message/rfc822", b"Subject: inner\r\n\r\nbody".to_vec(), &null, &null),
        ]
    );
    assert_eq!(attachments[0]["disposition"], "attachment");
    assert_eq!(data["hasAttachment"], true);
}

#[tokio::test]
async fn a_large_message_is_streamed_whole() {
    let mut mail = b"Subject: large\r\n\r\n".to_vec();
    // Every remainder of base64's groups of three, on both sides of the limits.
    for (octets, is_parsed) in
        [(IN_MEMORY + 1, true), (IN_MEMORY + 2, true), (IN_MEMORY + 3, true), (9 << 20, false)]
    {
        mail.resize(octets, b'x');
        let payload = payload(&mail).await;
        assert_eq!(payload["data"]["subject"], "large");
        assert_eq!(payload["data"]["text"].is_string(), is_parsed, "{octets}");
        assert_eq!(payload["data"].get("truncated").is_none(), is_parsed, "{octets}");
    }
}

#[tokio::test]
async fn raw_is_the_message_to_the_byte() {
    let receiver = Receiver::start().await;
    let webhook = webhook(&receiver.url, Format::RAW);
    let long: Vec<u8> = (0..=255u8).cycle().take(3 * IN_MEMORY + 1).collect();
    let mails = [&b""[..], b"Subject: bare\n\n.\n..\nNUL \0 8-bit \xff no final newline", &long];
    for mail in mails {
        assert_eq!(deliver(&webhook, mail).await, DELIVERED);
    }
    for (arrival, mail) in receiver.arrivals().iter().zip(mails) {
        assert!(arrival.body == mail, "{} bytes arrived otherwise", mail.len());
        assert_eq!(arrival.header("content-type"), "message/rfc822");
        assert_eq!(arrival.header("content-length"), mail.len().to_string());
        assert_eq!(arrival.header("transfer-encoding"), "");
        assert!(arrival.header("user-agent").starts_with("mailferry/"));
        assert_eq!(arrival.header("webhook-signature"), signed_by(arrival, SECRET.as_bytes()));
    }
}

#[tokio::test]
async fn every_secret_signs_while_one_replaces_another() {
    let receiver = Receiver::start().await;
    let key = b"\x00\x01\xff of 24 bytes or more..";
    let mut settings = settings(&receiver.url, Format::JSON);
    settings.secrets = vec![format!("whsec_{}", STANDARD.encode(key)).into(), SECRET.into()];
    let webhook = build(settings).unwrap();
    // Both the one in memory and the streamed one.
    assert_eq!(deliver(&webhook, b"Subject: x\r\n\r\n").await, DELIVERED);
    assert_eq!(deliver(&webhook, &vec![b'y'; 9 << 20]).await, DELIVERED);
    for arrival in receiver.arrivals() {
        let expected = [signed_by(&arrival, key), signed_by(&arrival, SECRET.as_bytes())].join(" ");
        assert_eq!(arrival.header("webhook-signature"), expected);
    }
}

#[tokio::test]
async fn a_retry_is_the_same_message_again() {
    let receiver = Receiver::start().await;
    let webhook = webhook(&receiver.url, Format::JSON);
    let mut first = outgoing(b"Subject: \r\nMessage-ID: <a@b>\r\n\r\nhello").await;
    let again = Outgoing { attempts: 4, ..first.clone() };
    let other_uidl = Outgoing { uidl: Uidl::new(b"2"), ..first.clone() };
    webhook.deliver(None, &[first.clone()]).await;
    webhook.deliver(None, &[again]).await;
    webhook.deliver(None, &[other_uidl]).await;
    first.account = AccountName::new("other").unwrap();
    webhook.deliver(None, &[first]).await;

    let arrivals = receiver.arrivals();
    let ids: Vec<&str> = arrivals.iter().map(|arrival| arrival.header("webhook-id")).collect();
    assert_eq!(ids[0], ids[1]);
    assert_eq!(arrivals[0].body, arrivals[1].body);
    assert!(ids[0] != ids[2] && ids[0] != ids[3] && ids[2] != ids[3], "{ids:?}");
    assert!(ids[0].starts_with("msg_") && !ids[0].contains('.'), "{ids:?}");
    assert_eq!(arrivals[0].header("idempotency-key"), format!("\"{}\"", ids[0]));
    assert_eq!(arrivals[0].header("x-mailferry-attempt"), "1");
    assert_eq!(arrivals[1].header("x-mailferry-attempt"), "5");
}

#[tokio::test]
async fn what_the_endpoint_says_is_obeyed() {
    let answers = [
        (202, "", "Delivered { receipt: Http(202) }"),
        (503, "120", "retry_after: Some(120s)"),
        (429, "Fri, 31 Dec 9999 23:59:59 GMT", "retry_after: Some(86400s)"),
        (401, "60", "Paused"),
        (410, "", "Disabled"),
        (413, "", "counts_for_destination: false"),
        (422, "", "counts_for_destination: true"),
    ];
    let receiver = Receiver::answering(move |_, before| {
        let (status, retry_after, _) = answers[before];
        let answer = Response::builder().status(status).header("retry-after", retry_after);
        answer.body(Body::from("said \x1b[31m so")).unwrap()
    })
    .await;
    let webhook = webhook(&receiver.url, Format::RAW);
    for (status, _, expected) in answers {
        let verdict = format!("{:?}", deliver(&webhook, b"x").await);
        assert!(verdict.contains(expected), "{status}: {verdict}");
        let quotes = verdict.contains("said \\\\x1B[31m so");
        assert!(quotes || status == 202, "{status}: {verdict}");
    }
}

/// What an endpoint said is kept as far as 1 KiB, legible, with what to do about it behind it, and without a secret.
#[tokio::test]
async fn an_answer_is_kept_for_whoever_has_to_mend_it() {
    let said = format!("{{\n  \"fehler\": \"ung\u{fc}ltig {}\",\n", "x".repeat(970));
    let said = format!("{said}\"key\": \"{SECRET}\"}}{}", "y".repeat(5000));
    let receiver = Receiver::answering(move |_, _| {
        Response::builder().status(422).body(Body::from(said.clone())).unwrap()
    })
    .await;
    let url = receiver.url.replace("http://", "http://me:p%40ssword@");
    let verdict = deliver(&webhook(&url, Format::RAW), b"x").await;
    let Verdict::Rejected { reason, .. } = verdict else { panic!("{verdict:?}") };
    assert!(reason.starts_with("HTTP 422 from 127.0.0.1: \"{ \"fehler\": \"ung\u{fc}ltig xxx"), "{reason}");
    assert!(
        reason.contains("\"key\": \"***\"}yyy")
            && reason.ends_with("y...\"; the endpoint refuses this message"),
        "{reason}"
    );
    assert_eq!(
        reason.chars().count(),
        "HTTP 422 from 127.0.0.1: \"...\"; the endpoint refuses this message".len() + 1024
    );
    // Neither as it is, nor as it was sent.
    let quoting = Receiver::answering(|arrival, _| {
        let said = format!("{} p@ssword {SECRET}", arrival.header("authorization"));
        Response::builder().status(500).body(Body::from(said)).unwrap()
    })
    .await;
    let url = quoting.url.replace("http://", "http://me:p%40ssword@");
    let verdict = deliver(&webhook(&url, Format::RAW), b"x").await;
    let Verdict::Deferred { reason, .. } = verdict else { panic!("{verdict:?}") };
    assert!(reason.contains("\"Basic *** *** ***\""), "{reason}");
}

#[tokio::test]
async fn an_endpoint_that_answers_later_to_all_is_not_asked_for_each_message() {
    let receiver = Receiver::answering(|_, _| status(503)).await;
    let webhook = build(Settings { max_in_flight: 2, ..settings(&receiver.url, Format::RAW) }).unwrap();
    let verdicts = webhook.deliver(None, &vec![outgoing(b"x").await; 20]).await;
    let told_later =
        |verdict: &&Verdict| matches!(verdict, Verdict::Deferred { counts_for_destination: true, .. });
    let Some(Verdict::Unreachable { reason, .. }) = verdicts.last() else { panic!("{verdicts:?}") };
    assert_eq!(reason, "HTTP 503 from 127.0.0.1; 3 requests in a row came to nothing");
    assert!(receiver.arrivals().len() <= 4, "{} were posted", receiver.arrivals().len());
    assert_eq!(verdicts.iter().filter(told_later).count(), receiver.arrivals().len());
}

/// The one that it took is delivered, and nothing more is posted.
#[tokio::test]
async fn an_endpoint_that_wants_no_more_gets_no_more() {
    let receiver = Receiver::answering(|_, _| {
        Response::builder().status(200).header("webhook-delivery", "disable").body(Body::empty()).unwrap()
    })
    .await;
    let webhook = build(Settings { max_in_flight: 1, ..settings(&receiver.url, Format::RAW) }).unwrap();
    let verdicts = webhook.deliver(None, &vec![outgoing(b"x").await; 3]).await;
    assert!(matches!(verdicts[0], Verdict::Last { receipt: Receipt::Http(200), .. }), "{verdicts:?}");
    assert!(verdicts[1..].iter().all(|verdict| matches!(verdict, Verdict::Disabled { .. })), "{verdicts:?}");
    assert_eq!(receiver.arrivals().len(), 1);
}

#[tokio::test]
async fn a_redirect_takes_no_mail_elsewhere() {
    let elsewhere = Receiver::start().await;
    let target = elsewhere.url.replace("http://", "http://user:hunter2@") + "?key=hunter2";
    for code in [301, 302, 303, 307, 308] {
        let target = target.clone();
        let receiver = Receiver::answering(move |_, _| {
            Response::builder().status(code).header("location", &target).body(Body::empty()).unwrap()
        })
        .await;
        let verdict = deliver(&webhook(&receiver.url, Format::RAW), b"x").await;
        let Verdict::Paused { reason, .. } = verdict else { panic!("{code}: {verdict:?}") };
        assert!(reason.contains(&elsewhere.url) && !reason.contains("hunter2"), "{reason}");
    }
    assert_eq!(elsewhere.arrivals().len(), 0);
}

#[tokio::test]
async fn an_endpoint_that_takes_nothing_is_not_asked_for_each_message() {
    let receiver = Receiver::answering(|_, _| status(401)).await;
    let mut settings = settings(&receiver.url, Format::RAW);
    settings.max_in_flight = 2;
    let webhook = build(settings).unwrap();
    let batch = vec![outgoing(b"x").await; 20];
    let verdicts = webhook.deliver(None, &batch).await;
    assert_eq!(verdicts.len(), 20);
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Paused { .. })), "{verdicts:?}");
    assert!(receiver.arrivals().len() <= 2, "{} were posted", receiver.arrivals().len());
}

#[tokio::test]
async fn one_bad_message_holds_up_no_other() {
    let receiver =
        Receiver::answering(|arrival, _| status(if arrival.body.starts_with(b"bad") { 422 } else { 200 }))
            .await;
    let webhook = webhook(&receiver.url, Format::RAW);
    let batch = [outgoing(b"a").await, outgoing(b"bad").await, outgoing(b"c").await];
    let verdicts = webhook.deliver(None, &batch).await;
    assert_eq!((&verdicts[0], &verdicts[2]), (&DELIVERED, &DELIVERED));
    assert!(matches!(verdicts[1], Verdict::Rejected { park_after: 3, .. }), "{verdicts:?}");
}

#[tokio::test]
async fn no_more_in_flight_than_allowed_and_connections_are_used_again() {
    let receiver = Receiver::holding().await;
    let mut settings = settings(&receiver.url, Format::JSON);
    settings.max_in_flight = 5;
    let webhook = build(settings).unwrap();
    let batch = vec![outgoing(b"Subject: x\r\n\r\n").await; 20];
    let release = async {
        receiver.wait_for(5).await;
        receiver.let_answer(40);
    };
    // Two callers share the bound.
    let (one, other, ()) =
        tokio::join!(webhook.deliver(None, &batch), webhook.deliver(None, &batch), release);
    assert!(one.iter().chain(&other).all(|verdict| *verdict == DELIVERED));
    assert_eq!(receiver.arrivals().len(), 40);
    assert_eq!(receiver.most_at_once(), 5);
    assert!(receiver.connections() <= 5, "{} connections", receiver.connections());
}

#[tokio::test]
async fn a_message_over_max_bytes_is_not_posted() {
    let receiver = Receiver::start().await;
    let mut settings = settings(&receiver.url, Format::RAW);
    settings.max_bytes = 10;
    let webhook = build(settings).unwrap();
    assert_eq!(deliver(&webhook, b"ten bytes.").await, DELIVERED);
    let verdict = deliver(&webhook, b"eleven byte").await;
    let Verdict::Rejected { reason, park_after: 1, counts_for_destination: false } = verdict else {
        panic!("{verdict:?}")
    };
    assert!(reason.contains("`max_bytes`"), "{reason}");
    assert_eq!(receiver.arrivals().len(), 1);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (url, expected) in [
        ("http://app.example.org/in", "unencrypted"),
        ("http://127.0.0.1.example.org/in", "unencrypted"),
        ("ftp://app.example.org/in", "https://"),
        ("app.example.org/in", "URL"),
        ("", "URL"),
    ] {
        let fault = build(settings(url, Format::JSON)).unwrap_err();
        assert!(fault.contains(expected), "{url}: {fault}");
    }
    let url = "https://app.example.org/in";
    for secrets in [vec![], vec![""], vec!["whsec_"], vec!["whsec_???"], vec!["good", ""]] {
        let secrets: Vec<_> = secrets.into_iter().map(Into::into).collect();
        let fault = build(Settings { secrets, ..settings(url, Format::JSON) }).unwrap_err();
        assert!(fault.contains("`secret`") && !fault.contains("???"), "{fault}");
    }
    for url in ["http://localhost/in", "http://[::1]:8080/in", "https://app.example.org"] {
        build(settings(url, Format::JSON)).unwrap();
    }
    build(Settings { allow_plaintext: true, ..settings("http://app.lan/in", Format::JSON) }).unwrap();
}

/// An endpoint that reads a whole small request, sends `answer` and closes.
async fn scripted(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"end of mail") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            stream.write_all(answer).await.unwrap();
        }
    });
    url
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_delivery() {
    for cut in [
        &b""[..],
        b"HTTP/1.1 20",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"\r\n\r\nnonsense",
        b"220 mail ESMTP\r\n",
    ] {
        let url = scripted(cut).await;
        let verdict = deliver(&webhook(&url, Format::RAW), b"end of mail").await;
        assert!(matches!(verdict, Verdict::Deferred { .. }), "{:?}: {verdict:?}", cut.escape_ascii());
    }
    // The status is the answer: what breaks off behind it is only its text.
    let url = scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthanks").await;
    assert_eq!(deliver(&webhook(&url, Format::RAW), b"end of mail").await, DELIVERED);
    let url = scripted(b"HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\nthe disk").await;
    let verdict = deliver(&webhook(&url, Format::RAW), b"end of mail").await;
    let Verdict::Deferred { reason, .. } = verdict else { panic!("{verdict:?}") };
    assert!(reason.contains("the disk"), "{reason}");
}

/// An endpoint that answers 413 to the header of one request, as servers do.
async fn refusing(lingers: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1000];
        assert_ne!(stream.read(&mut request).await.unwrap(), 0);
        stream.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        // RFC 9112 section 9.6: closing at once may destroy the answer on its way.
        while lingers && stream.read(&mut request).await.is_ok_and(|read| read > 0) {}
    });
    url
}

#[tokio::test]
async fn a_refusal_is_heard_while_the_message_is_still_going_out() {
    let large = vec![b'x'; 20 << 20];
    let verdict = deliver(&webhook(&refusing(true).await, Format::RAW), &large).await;
    let Verdict::Rejected { reason, .. } = verdict else { panic!("{verdict:?}") };
    assert!(reason.starts_with("HTTP 413"), "{reason}");

    let verdict = deliver(&webhook(&refusing(false).await, Format::RAW), &large).await;
    let (Verdict::Rejected { reason, .. } | Verdict::Deferred { reason, .. }) = verdict else {
        panic!("{verdict:?}")
    };
    assert!(reason.starts_with("HTTP 413") || reason.contains("20971520 bytes may be too large"), "{reason}");
}

/// An endpoint that sends `beginning` and then `more` for ever, but reads the request first if it is told to.
async fn endless(beginning: &'static [u8], more: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert_ne!(stream.read(&mut request).await.unwrap(), 0);
        stream.write_all(beginning).await.unwrap();
        // Ends when the client has had enough.
        while stream.write_all(more).await.is_ok() {}
    });
    url
}

#[tokio::test]
async fn an_answer_without_end_is_cut_short() {
    for (beginning, more, expected) in [
        (&b"HTTP/1.1 500 Oh\r\n\r\n"[..], &b"more and more "[..], "HTTP 500"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"more and more ", "Delivered"),
        (b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n", "Deferred"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"more and more ", "Deferred"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "Deferred"),
    ] {
        let url = endless(beginning, more).await;
        let timeout = Duration::from_secs(2);
        let webhook = build(Settings { timeout, ..settings(&url, Format::RAW) }).unwrap();
        let started = Instant::now();
        let verdict = format!("{:?}", deliver(&webhook, b"x").await);
        assert!(verdict.contains(expected), "{verdict}");
        assert!(verdict.len() < 2000, "{verdict}");
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn an_endpoint_that_never_answers_is_given_up() {
    let receiver = Receiver::holding().await;
    let timeout = Duration::from_millis(300);
    let webhook = build(Settings { timeout, ..settings(&receiver.url, Format::RAW) }).unwrap();
    let verdict = deliver(&webhook, b"x").await;
    let Verdict::Deferred { reason, .. } = verdict else { panic!("{verdict:?}") };
    assert!(reason.contains("no answer"), "{reason}");
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_rests() {
    let nobody = Nobody::new();
    let webhook = webhook(&format!("http://user:hunter2@127.0.0.1:{}/", nobody.port), Format::RAW);
    let verdict = deliver(&webhook, b"x").await;
    let Verdict::Unreachable { reason, .. } = verdict else { panic!("{verdict:?}") };
    assert!(reason.contains("refused") && reason.starts_with("127.0.0.1: "), "{reason}");
    let probe = webhook.probe().await.unwrap_err();
    for text in [reason, probe, format!("{webhook:?}")] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn a_password_in_the_url_is_sent_as_basic_authentication() {
    let receiver = Receiver::start().await;
    let url = receiver.url.replace("http://", "http://me:p%40ss@");
    assert_eq!(deliver(&webhook(&url, Format::RAW), b"x").await, DELIVERED);
    let basic = format!("Basic {}", STANDARD.encode("me:p@ss"));
    assert_eq!(receiver.arrivals()[0].header("authorization"), basic);
}

#[tokio::test]
async fn mail_goes_only_to_a_certificate_that_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new(folder.path());
    let files = ca.issue(&["localhost"]);
    let receiver = Receiver::with_tls(&files).await;
    let trusting =
        |ca_file, pin| build(Settings { ca_file, pin, ..settings(&receiver.url, Format::JSON) }).unwrap();

    let strange = trusting(None, None);
    let verdict = deliver(&strange, b"x").await;
    let Verdict::Unreachable { reason, .. } = verdict else { panic!("{verdict:?}") };
    assert!(reason.contains("unknown issuer"), "{reason}");
    assert!(strange.probe().await.unwrap_err().contains("unknown issuer"));

    let other_pin = trusting(None, Some(Pin([7; 32])));
    let verdict = deliver(&other_pin, b"x").await;
    let Verdict::Unreachable { reason, .. } = verdict else { panic!("{verdict:?}") };
    assert!(reason.contains("`pin`"), "{reason}");

    let numeric = receiver.url.replace("localhost", "127.0.0.1");
    let other_name = Settings { ca_file: Some(ca.file()), ..settings(&numeric, Format::JSON) };
    let verdict = deliver(&build(other_name).unwrap(), b"x").await;
    let Verdict::Unreachable { reason, .. } = verdict else { panic!("{verdict:?}") };
    assert!(reason.contains("not for `127.0.0.1`") && reason.contains("`url`"), "{reason}");
    assert_eq!(receiver.arrivals().len(), 0);

    let trusted = trusting(Some(ca.file()), None);
    let seen = trusted.probe().await.unwrap();
    assert!(seen.contains("mailferry test CA") && seen.contains("nothing was posted"), "{seen}");
    assert_eq!(receiver.arrivals().len(), 0);
    assert_eq!(deliver(&trusted, b"x").await, DELIVERED);
}

#[tokio::test]
async fn a_mark_is_of_the_bytes() {
    let webhook = webhook("https://app.example.org/", Format::JSON);
    let (one, other) =
        (message(b"Message-ID: <a@b>\r\n\r\n").await, message(&vec![b'x'; 2 * IN_MEMORY]).await);
    let marks = webhook.prepare(&[&one, &other]).await.unwrap();
    let hash: [u8; 32] = Sha256::digest(b"Message-ID: <a@b>\r\n\r\n").into();
    let message_id = Some("<a@b>".to_owned());
    assert_eq!(marks[0], Mark { octets: 21, hash, message_id, ..Mark::default() });
    assert_eq!((marks[1].octets, marks[1].message_id.clone()), (2 * IN_MEMORY as u64, None));
}
