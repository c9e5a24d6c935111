//! What each format posts, field by field, as the receiver's documentation or source has it.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use mailferry::destination::webhook::{Format, Login, Oversize, Settings};
use mailferry::message::{IN_MEMORY, Verdict};
use regex::Regex;
use serde_json::Value;
use sha2::Sha256;

use crate::receiver::{Arrival, Receiver, status};
use crate::webhook::{DELIVERED, SECRET, build, deliver, outgoing, settings};

const MAIL: &[u8] = b"Return-Path: <ann@example.com>\r\nDelivered-To: desk+42@example.org\r\n\
    Received: from there by here; Tue, 24 Nov 2026 20:00:00 +0000\r\nFrom: Ann <ann@example.com>\r\n\
    To: Desk <desk@example.org>, other@example.org\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <1@example.com>\r\n\
    Date: Tue, 24 Nov 2026 20:59:00 +0100\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello\r\n--b\r\nContent-Type: application/pdf\r\n\
    Content-Disposition: attachment; filename=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n--b--\r\n";

fn format(name: &str) -> &'static Format {
    Format::all().find(|format| format.name == name).unwrap()
}

fn of(name: &str, url: &str) -> Settings {
    Settings { max_bytes: format(name).max_bytes, ..settings(url, format(name)) }
}

/// The one request in which `mail` was delivered.
async fn posted(settings: impl FnOnce(&str) -> Settings, recipient: Option<&str>, mail: &[u8]) -> Arrival {
    let receiver = Receiver::start().await;
    let webhook = build(settings(&receiver.url)).unwrap();
    let verdicts = webhook.deliver(recipient, &[outgoing(mail).await]).await;
    assert_eq!(verdicts, [DELIVERED]);
    let [arrival] = receiver.arrivals().try_into().unwrap();
    arrival
}

/// The fields of a form (RFC 7578), in their order.
fn form(arrival: &Arrival) -> Vec<(String, Vec<u8>)> {
    let boundary = arrival.header("content-type").strip_prefix("multipart/form-data; boundary=").unwrap();
    let (mut fields, body) = (Vec::new(), &arrival.body[..]);
    let between = format!("--{boundary}");
    let marks: Vec<usize> = memchr::memmem::find_iter(body, between.as_bytes()).collect();
    for pair in marks.windows(2) {
        let part = &body[pair[0] + between.len() + 2..pair[1] - 2];
        let end = memchr::memmem::find(part, b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&part[..end]).unwrap();
        let name =
            head.strip_prefix("Content-Disposition: form-data; name=\"").unwrap().trim_end_matches('"');
        fields.push((name.to_owned(), part[end + 4..].to_vec()));
    }
    assert_eq!(body[*marks.last().unwrap()..], *format!("{between}--\r\n").as_bytes());
    fields
}

fn field<'f>(form: &'f [(String, Vec<u8>)], name: &str) -> &'f [u8] {
    let [value] =
        form.iter().filter(|(known, _)| known == name).map(|(_, value)| &value[..]).collect::<Vec<_>>()[..]
    else {
        panic!("{name} in {form:?}")
    };
    value
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A message that is in a temporary file, and one that is not ASCII.
fn large(line: &[u8]) -> Vec<u8> {
    [
        b"From: a@example.com\r\nTo: b@example.org\r\nSubject: x\r\n\r\n".to_vec(),
        line.repeat(3 * IN_MEMORY / line.len()),
    ]
    .concat()
}

#[tokio::test]
async fn action_mailbox_gets_the_message_itself() {
    for mail in [MAIL.to_vec(), large(b"t\xc3\xa4xt\r\n")] {
        let arrival = posted(|url| of("actionmailbox", url), None, &mail).await;
        assert_eq!(arrival.header("content-type"), "message/rfc822");
        assert_eq!(arrival.header("authorization"), basic("actionmailbox", SECRET));
        assert_eq!(arrival.body, mail);
    }
}

#[tokio::test]
async fn gitlab_gets_a_token_of_this_moment() {
    let secret = STANDARD.encode("0123456789abcdef0123456789abcdef");
    let arrival =
        posted(|url| Settings { secrets: vec![secret.into()], ..of("gitlab", url) }, None, MAIL).await;
    assert_eq!((arrival.header("content-type"), &arrival.body[..]), ("text/plain", MAIL));
    let token = arrival.header("gitlab-mailroom-api-request");
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let key = Hmac::<Sha256>::new_from_slice(b"0123456789abcdef0123456789abcdef").unwrap();
    key.chain_update(signed).verify_slice(&URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let part =
        |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
    let (header, claims) = signed.split_once('.').unwrap();
    assert_eq!(part(header)["alg"], "HS256");
    let claims = part(claims);
    assert_eq!(claims["iss"], "gitlab-mailroom");
    let age = chrono::Utc::now().timestamp() - claims["iat"].as_i64().unwrap();
    assert!((0..60).contains(&age), "{claims}");
}

#[tokio::test]
async fn discourse_gets_base64() {
    for mail in [MAIL.to_vec(), large(b"t\xe4xt\r\n")] {
        let with_user = |url: &str| Settings { user: Some("mail".into()), ..of("discourse", url) };
        let arrival = posted(with_user, None, &mail).await;
        assert_eq!((arrival.header("api-key"), arrival.header("api-username")), (SECRET, "mail"));
        let form = form(&arrival);
        assert_eq!(form.len(), 1);
        assert_eq!(STANDARD.decode(field(&form, "email_encoded")).unwrap(), mail);
    }
    let arrival = posted(|url| of("discourse", url), None, MAIL).await;
    assert_eq!(arrival.header("api-username"), "system");
}

#[tokio::test]
async fn redmine_gets_its_options_along() {
    let fields =
        vec![("unknown_user".to_owned(), "accept".to_owned()), ("issue[project]".into(), "h\u{e4}lp".into())];
    let arrival = posted(|url| Settings { fields, ..of("redmine", url) }, None, MAIL).await;
    let form = form(&arrival);
    let names: Vec<&str> = form.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["key", "unknown_user", "issue[project]", "email"]);
    assert_eq!(field(&form, "key"), SECRET.as_bytes());
    assert_eq!(field(&form, "issue[project]"), "h\u{e4}lp".as_bytes());
    assert_eq!(field(&form, "email"), MAIL);
    assert!(!arrival.headers.contains_key("webhook-signature"), "the secret is another");
}

#[tokio::test]
async fn mailgun_signs_time_and_token_anew_and_keeps_the_token() {
    let receiver = Receiver::answering(|_, before| status(if before == 0 { 503 } else { 200 })).await;
    let webhook = build(of("mailgun-mime", &receiver.url)).unwrap();
    assert!(matches!(deliver(&webhook, MAIL).await, Verdict::Deferred { .. }));
    assert_eq!(deliver(&webhook, MAIL).await, DELIVERED);
    let forms: Vec<_> = receiver.arrivals().iter().map(form).collect();
    for form in &forms {
        let text = |name| std::str::from_utf8(field(form, name)).unwrap();
        assert_eq!((text("recipient"), text("sender")), ("desk+42@example.org", "ann@example.com"));
        assert_eq!((text("from"), text("subject")), ("Ann <ann@example.com>", "Gr\u{fc}\u{df}e"));
        assert_eq!((text("token").len(), field(form, "body-mime")), (50, MAIL));
        let age = chrono::Utc::now().timestamp() - text("timestamp").parse::<i64>().unwrap();
        assert!((0..60).contains(&age));
        let key = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        let signature =
            key.chain_update(text("timestamp")).chain_update(text("token")).finalize().into_bytes();
        assert_eq!(text("signature"), hex(&signature));
    }
    assert_eq!(field(&forms[0], "token"), field(&forms[1], "token"));
}

#[tokio::test]
async fn sendgrid_gets_message_and_envelope() {
    let arrival = posted(|url| of("sendgrid-raw", url), Some("help@example.net"), MAIL).await;
    assert_eq!(arrival.header("authorization"), basic("actionmailbox", SECRET));
    let form = form(&arrival);
    let envelope: Value = serde_json::from_slice(field(&form, "envelope")).unwrap();
    assert_eq!(envelope, serde_json::json!({ "to": ["help@example.net"], "from": "ann@example.com" }));
    assert_eq!(field(&form, "email"), MAIL);
}

/// A header that says nothing of the envelope.
#[tokio::test]
async fn whoever_needs_an_envelope_gets_one() {
    let mail = b"From: \"Ann\" <ann@example.com>\r\nTo: Desk <desk@example.org>\r\n\r\nx\r\n";
    let form = form(&posted(|url| of("mailgun-mime", url), None, mail).await);
    assert_eq!(
        (field(&form, "recipient"), field(&form, "sender")),
        (&b"desk@example.org"[..], &b"ann@example.com"[..])
    );
    let form = self::form(&posted(|url| of("mailgun-mime", url), None, b"\r\nno header\r\n").await);
    assert_eq!((field(&form, "recipient"), field(&form, "sender")), (&b""[..], &b""[..]));
}

#[tokio::test]
async fn postmark_gets_the_parts_and_the_whole() {
    let arrival = posted(|url| of("postmark", url), None, MAIL).await;
    assert_eq!(arrival.header("content-type"), "application/json");
    assert_eq!(arrival.header("authorization"), basic("actionmailbox", SECRET));
    let body: Value = serde_json::from_slice(&arrival.body).unwrap();
    assert_eq!(body["RawEmail"], std::str::from_utf8(MAIL).unwrap());
    assert_eq!((&body["From"], &body["FromName"]), (&"ann@example.com".into(), &"Ann".into()));
    assert_eq!(body["ToFull"][0]["Email"], "desk@example.org");
    assert_eq!(
        (&body["OriginalRecipient"], &body["MailboxHash"]),
        (&"desk+42@example.org".into(), &"42".into())
    );
    assert_eq!((&body["Subject"], &body["TextBody"]), (&"Gr\u{fc}\u{df}e".into(), &"Hello".into()));
    assert_eq!(body["MessageID"], arrival.header("webhook-id"));
    assert_eq!(
        body["Headers"][0],
        serde_json::json!({ "Name": "Return-Path", "Value": "<ann@example.com>" })
    );
    let attachment = serde_json::json!(
        { "Name": "a.pdf", "Content": "JVBERg==", "ContentType": "application/pdf", "ContentLength": 4 }
    );
    assert_eq!(body["Attachments"], serde_json::json!([attachment]));
    // A large one comes whole, in ASCII or not.
    for line in [&b"plain \"text\" \\ with\ttabs\r\n"[..], b"t\xc3\xa4xt\r\n"] {
        let mail = large(line);
        let arrival = posted(|url| of("postmark", url), None, &mail).await;
        let body: Value = serde_json::from_slice(&arrival.body).unwrap();
        let raw = body["RawEmail"].as_str().unwrap();
        assert!(raw.is_ascii());
        assert_eq!(raw.as_bytes() == mail, line.is_ascii());
    }
}

/// Only where there is need, and nothing else is touched: the file of this name beside it is what goes.
#[tokio::test]
async fn text_formats_carry_ascii() {
    let mail = b"From: a@example.com\r\nSubject: gr\xc3\xbc\xc3\x9fe\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nt\xe4xt, and more\r\n";
    let form = form(&posted(|url| of("redmine", url), None, mail).await);
    assert_eq!(
        String::from_utf8_lossy(field(&form, "email")),
        "From: a@example.com\r\nSubject: =?utf-8?B?Z3LDvMOfZQ==?=\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\nt=E4xt, and more\r\n"
    );
}

#[tokio::test]
async fn every_body_is_the_same_on_every_attempt() {
    let mail = large(b"t\xc3\xa4xt\r\n");
    for format in Format::all().filter(|format| format.name != "mailgun-mime") {
        let secret = if format.name == "gitlab" { STANDARD.encode(SECRET) } else { SECRET.to_owned() };
        let receiver = Receiver::answering(|_, before| status(if before == 0 { 503 } else { 200 })).await;
        let webhook =
            build(Settings { secrets: vec![secret.into()], ..of(format.name, &receiver.url) }).unwrap();
        deliver(&webhook, &mail).await;
        assert_eq!(deliver(&webhook, &mail).await, DELIVERED, "{}", format.name);
        let [first, second] = receiver.arrivals().try_into().unwrap();
        assert!(first.body == second.body, "{}", format.name);
        assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
        assert_eq!(first.header("content-type"), second.header("content-type"));
    }
}

#[tokio::test]
async fn an_endpoint_may_want_to_see_more() {
    let with = |url: &str| Settings {
        login: Login::Basic { user: "proxy".into(), password: "hunter2".into() },
        headers: vec![("X-API-Key".into(), "opensesame".into())],
        ..of("json", url)
    };
    let arrival = posted(with, None, MAIL).await;
    assert_eq!(arrival.header("authorization"), basic("proxy", "hunter2"));
    assert_eq!(arrival.header("x-api-key"), "opensesame");
    assert!(arrival.header("webhook-signature").starts_with("v1,"));
    let arrival =
        posted(|url| Settings { login: Login::Bearer("token".into()), ..of("raw", url) }, None, MAIL).await;
    assert_eq!(arrival.header("authorization"), "Bearer token");
    // None of it is quoted back.
    let quoting = Receiver::answering(|arrival, _| {
        let said = format!("{} {}", arrival.header("authorization"), arrival.header("x-api-key"));
        axum::http::Response::builder().status(403).body(said.into()).unwrap()
    })
    .await;
    let verdict = deliver(&build(with(&quoting.url)).unwrap(), MAIL).await;
    let Verdict::Paused { reason, .. } = verdict else { panic!("{verdict:?}") };
    for secret in ["hunter2", "opensesame", &basic("proxy", "hunter2")[6..]] {
        assert!(!reason.contains(secret), "{reason}");
    }
}

#[tokio::test]
async fn a_format_that_shows_one_secret_has_one() {
    for format in Format::all() {
        let settings =
            Settings { secrets: vec!["YQ==".into(), "Yg==".into()], ..of(format.name, "https://localhost/") };
        let several = matches!(format.name, "json" | "raw");
        assert_eq!(settings.check_secrets().is_ok(), several, "{}", format.name);
    }
}

/// Request Tracker's gateway answers 200 to all, and says in the text what it thinks.
#[tokio::test]
async fn a_success_may_have_to_say_so() {
    let ok = Regex::new("^ok").unwrap();
    for (text, delivered) in [("ok\nTicket: 1\n", true), ("not ok - no queue", false), ("", false)] {
        let receiver = Receiver::answering(move |_, _| axum::http::Response::new(text.into())).await;
        let expect = Some(ok.clone());
        let verdict = deliver(&build(Settings { expect, ..of("raw", &receiver.url) }).unwrap(), MAIL).await;
        assert_eq!(verdict == DELIVERED, delivered, "{verdict:?}");
    }
}

#[tokio::test]
async fn a_request_is_sent_on_within_its_origin_where_that_is_wanted() {
    let elsewhere = Receiver::start().await;
    let other = elsewhere.url.clone();
    for (code, location, follow, delivered) in [
        (308, "/r/inbound", true, true),
        (307, "/r/inbound", true, true),
        (308, "/r/inbound", false, false),
        (302, "/r/inbound", true, false),
        (308, other.as_str(), true, false),
        (308, "https://[", true, false),
    ] {
        let location = location.to_owned();
        let receiver = Receiver::answering(move |_, before| match before {
            0 => axum::http::Response::builder()
                .status(code)
                .header("location", &location)
                .body(axum::body::Body::empty())
                .unwrap(),
            _ => status(200),
        })
        .await;
        let webhook = build(Settings { follow_redirects: follow, ..of("json", &receiver.url) }).unwrap();
        let verdict = deliver(&webhook, &large(b"text\r\n")).await;
        assert_eq!(verdict == DELIVERED, delivered, "{code} {verdict:?}");
        if delivered {
            let [first, second] = receiver.arrivals().try_into().unwrap();
            assert!(first.body == second.body && first.header("webhook-id") == second.header("webhook-id"));
        }
    }
    assert_eq!(elsewhere.arrivals().len(), 0);
    // Round and round.
    let receiver = Receiver::answering(|_, _| {
        axum::http::Response::builder()
            .status(308)
            .header("location", "/")
            .body(axum::body::Body::empty())
            .unwrap()
    })
    .await;
    let webhook = build(Settings { follow_redirects: true, ..of("json", &receiver.url) }).unwrap();
    let verdict = deliver(&webhook, MAIL).await;
    let Verdict::Paused { reason, .. } = verdict else { panic!("{verdict:?}") };
    assert!(
        reason.contains("only 307 and 308 within the origin of `url` are followed, three times"),
        "{reason}"
    );
    assert_eq!(receiver.arrivals().len(), 4);
}

#[tokio::test]
async fn a_message_that_is_too_large_may_go_without_its_attachments() {
    let attachment = STANDARD.encode(vec![7; 40_000]);
    let mail = String::from_utf8(MAIL.to_vec()).unwrap().replace("JVBERg==", &attachment).into_bytes();
    let omitting =
        |url: &str| Settings { max_bytes: 10_000, oversize: Oversize::OmitAttachments, ..of("json", url) };
    let arrival = posted(omitting, None, &mail).await;
    assert!(arrival.body.len() < 10_000);
    let data: Value = serde_json::from_slice::<Value>(&arrival.body).unwrap()["data"].take();
    assert_eq!(
        (&data["text"], &data["raw"], &data["truncated"]),
        (&"Hello".into(), &Value::Null, &true.into())
    );
    assert_eq!(data["size"], mail.len());
    let [attachment] = &data["attachments"].as_array().unwrap()[..] else { panic!("{data}") };
    assert_eq!((&attachment["name"], &attachment["size"]), (&"a.pdf".into(), &40_000.into()));
    assert_eq!(attachment["content"], Value::Null);
    // What begins with more than is parsed still has its header.
    let huge = [mail, b"a line that is as long as lines are\r\n".repeat(300_000)].concat();
    let arrival = posted(omitting, None, &huge).await;
    let data: Value = serde_json::from_slice::<Value>(&arrival.body).unwrap()["data"].take();
    assert_eq!((&data["subject"], &data["text"]), (&"Gr\u{fc}\u{df}e".into(), &"Hello".into()));
}

/// Mail as no program should write it.
fn bad_mails() -> Vec<(&'static str, Vec<u8>)> {
    let nested = |depth: usize, head: &str| {
        let mut mail = b"From: a@example.com\r\n".to_vec();
        for n in 0..depth {
            mail.extend(head.replace('N', &n.to_string()).bytes());
        }
        [&mail[..], b"Content-Type: text/plain\r\n\r\nAt last.\r\n"].concat()
    };
    let in_parts = "Content-Type: multipart/mixed; boundary=bN\r\n\r\n--bN\r\n";
    let parts =
        b"--b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=x\r\n\r\nx\r\n"
            .repeat(10_000);
    vec![
        ("empty", Vec::new()),
        ("no header", b"\r\nHello.\r\n".to_vec()),
        ("no body", b"Subject: x".to_vec()),
        ("no From, no Message-ID", b"Subject: x\r\n\r\nHello.\r\n".to_vec()),
        ("a header that is none", b"This is no field\r\n: nor this\r\nSubject\r\n\r\nHello.\r\n".to_vec()),
        (
            "a multipart without an end, and without its boundary",
            b"Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\nHello.".to_vec(),
        ),
        (
            "a multipart that stops within a part",
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/ht".to_vec(),
        ),
        ("100 parts deep", nested(100, in_parts)),
        ("100 messages deep", nested(100, "Content-Type: message/rfc822\r\n\r\n")),
        (
            "10,000 parts",
            [b"Content-Type: multipart/mixed; boundary=b\r\n\r\n".as_slice(), &parts, b"--b--\r\n"].concat(),
        ),
        (
            "charsets that are none, and lie",
            b"Subject: =?no-such?Q?=FF?= =?utf-8?B?/w==?= =?utf-8?Q?\r\nContent-Type: text/plain; charset=\"no such\"\r\n\r\n\xff\xfe\r\n"
                .to_vec(),
        ),
        (
            "base64 and quoted-printable that are none",
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n!!\xff=\r\n\
              --b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=ZZ=\xe4=\r\n--b--\r\n"
                .to_vec(),
        ),
        ("NUL", b"Subject: a\0b\r\nX-\0: c\r\n\r\nd\0e\r\n".to_vec()),
        ("bare CR and LF", b"Subject: a\rb\nFrom: c\n\nd\r\re\n".to_vec()),
        (
            "a line of 30 MB in base64",
            [b"Content-Transfer-Encoding: base64\r\nSubject: x\r\n\r\n".as_slice(), &b"QUJD".repeat(7_500_000), b"\r\n"]
                .concat(),
        ),
        (
            "a line of 3 MB in 8 bits",
            [b"Subject: x\r\n\r\n".as_slice(), &"t\u{e4}t".repeat(1_000_000).into_bytes(), b"\r\n"].concat(),
        ),
    ]
}

/// What could be parsed of it is there, and in `json` all of it in `raw`; what follows it is delivered as well.
#[tokio::test]
async fn no_mail_is_too_bad_for_any_format() {
    let mails = bad_mails();
    for format in Format::all() {
        let receiver = Receiver::start().await;
        let secret = STANDARD.encode("0123456789abcdef0123456789abcdef");
        let settings =
            Settings { secrets: vec![secret.into()], max_bytes: 64 << 20, ..of(format.name, &receiver.url) };
        let webhook = build(settings).unwrap();
        for (what, mail) in &mails {
            let verdicts = webhook.deliver(None, &[outgoing(mail).await]).await;
            assert_eq!(verdicts, [DELIVERED], "{what} as {}", format.name);
        }
        let arrivals = receiver.arrivals();
        assert_eq!(arrivals.len(), mails.len());
        for ((what, mail), arrival) in mails.iter().zip(arrivals) {
            match format.name {
                "raw" | "actionmailbox" | "gitlab" => assert_eq!(arrival.body, *mail, "{what}"),
                "json" => {
                    let body: Value = serde_json::from_slice(&arrival.body).expect(what);
                    assert_eq!(
                        STANDARD.decode(body["data"]["raw"].as_str().unwrap()).unwrap(),
                        *mail,
                        "{what}"
                    );
                }
                "postmark" => drop(serde_json::from_slice::<Value>(&arrival.body).expect(what)),
                _ => assert!(!form(&arrival).is_empty(), "{what}"),
            }
        }
    }
}
