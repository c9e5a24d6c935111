//! From an address to its servers, on an internet where nobody can be trusted.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mailferry::message::Quirks;
use mailferry::net::Tls;
use mailferry::providers::{Address, Found, PRESETS, Provider, Source, Trial, find};

use crate::internet::{Internet, Page, Trouble};

const AUTOCONFIG: &str = "https://autoconfig.example.org/mail/config-v1.1.xml";
const WELL_KNOWN: &str = "https://example.org/.well-known/autoconfig/mail/config-v1.1.xml";
const DATABASE: &str = "https://database.example/example.org";
const PLAIN: &str = "http://autoconfig.example.org/mail/config-v1.1.xml";

fn fred() -> Address {
    Address::parse("fred@example.org").unwrap()
}

/// A file that names `servers`, each `pop3 HOST` or `imap HOST`.
fn xml(servers: &[&str]) -> Vec<u8> {
    let servers: String = servers
        .iter()
        .map(|server| {
            let (kind, host) = server.split_once(' ').unwrap();
            let port = if kind == "pop3" { 995 } else { 993 };
            format!(
                "<incomingServer type=\"{kind}\"><hostname>{host}</hostname><port>{port}</port>\
                 <socketType>SSL</socketType><username>%EMAILADDRESS%</username></incomingServer>"
            )
        })
        .collect();
    format!("<clientConfig version=\"1.1\"><emailProvider id=\"x\">{servers}</emailProvider></clientConfig>")
        .into_bytes()
}

fn file(servers: &[&str]) -> Page {
    Page::File("text/xml", xml(servers))
}

/// The first host of each candidate, with its source.
fn hosts(found: &Found) -> Vec<(Source, &str)> {
    let mut hosts = Vec::new();
    for candidate in &found.candidates {
        let server = candidate.pop3.first().or(candidate.imap.first()).unwrap();
        hosts.push((candidate.source, server.host.as_str()));
    }
    hosts
}

/// What is asked before a password goes to the first POP3 server of the first candidate.
fn question(found: &Found) -> Option<String> {
    let first = &found.candidates[0];
    first.question(&first.pop3[0])
}

/// Whether a miss says all of `words`, and nothing that a terminal would obey.
fn expect_miss(found: &Found, words: &[&str]) {
    let says = |miss: &String| words.iter().all(|word| miss.contains(word));
    assert!(found.misses.iter().any(says), "{words:?} in {:#?}", found.misses);
    for miss in &found.misses {
        assert!(miss.is_ascii() && !miss.contains(|c: char| c.is_ascii_control()), "{miss}");
    }
}

#[tokio::test]
async fn a_known_provider_needs_nobody_else() {
    let internet = Internet::new().await;
    let found = find(&Address::parse("me@Web.de").unwrap(), &internet.network()).await;
    let [candidate] = &found.candidates[..] else { panic!("{found:?}") };
    assert_eq!(candidate.source, Source::Preset);
    assert_eq!(candidate.question(&candidate.pop3[0]), None);
    assert_eq!(candidate.provider.unwrap().id, "web-de");
    let servers: Vec<_> = candidate
        .pop3
        .iter()
        .map(|server| (server.host.as_str(), server.port, server.tls, server.user.as_str()))
        .collect();
    assert_eq!(
        servers,
        [("pop3.web.de", 995, Tls::Implicit, "me"), ("pop3.web.de", 110, Tls::StartTls, "me")]
    );
    assert_eq!((found.misses.len(), internet.heard().as_str()), (0, ""), "nobody was asked");

    let found = find(&Address::parse("me@hotmail.com").unwrap(), &internet.network()).await;
    assert!(found.candidates[0].pop3[0].oauth_only);
    let found = find(&Address::parse("me@icloud.com").unwrap(), &internet.network()).await;
    assert!(found.candidates[0].pop3.is_empty() && found.candidates[0].provider.unwrap().no_pop3.is_some());
}

#[tokio::test]
async fn a_domain_publishes_its_servers() {
    let internet = Internet::new().await;
    internet.publish(AUTOCONFIG, file(&["imap imap.hoster.example", "pop3 pop.mail.example.co.uk"]));
    let found = find(&fred(), &internet.network()).await;
    let [candidate] = &found.candidates[..] else { panic!("{found:?}") };
    assert_eq!((candidate.source, candidate.provider.is_none()), (Source::Domain, true));
    assert_eq!(candidate.origin, "example.org publishes these servers");
    let server = &candidate.pop3[0];
    assert_eq!((server.host.as_str(), server.user.as_str()), ("pop.mail.example.co.uk", "fred@example.org"));
    assert_eq!(
        question(&found).as_deref(),
        Some("your password would go to example.co.uk: is that where you have this mailbox?"),
        "and of the IMAP server nothing is said"
    );
    assert!(!internet.heard().contains("fred"), "nobody is told the address: {}", internet.heard());
}

#[tokio::test]
async fn the_better_source_comes_first_and_the_unprotected_one_is_not_asked() {
    let internet = Internet::new().await;
    for (url, host) in [
        (AUTOCONFIG, "pop.one.example"),
        (WELL_KNOWN, "pop.two.example"),
        (DATABASE, "pop.three.example"),
        ("https://autoconfig.europe.hoster.example/mail/config-v1.1.xml", "pop.four.example"),
        ("https://autoconfig.hoster.example/mail/config-v1.1.xml", "pop.five.example"),
        ("https://database.example/europe.hoster.example", "pop.six.example"),
        ("https://database.example/hoster.example", "pop.seven.example"),
        (PLAIN, "pop.never.example"),
    ] {
        internet.publish(url, file(&[&format!("pop3 {host}")]));
    }
    internet.mx("example.org", 20, "mx.backup.example");
    internet.mx("example.org", 10, "mx.europe.hoster.example");
    internet.srv("_pop3s._tcp.example.org", "0 1 995 pop.eight.example");
    let found = find(&fred(), &internet.network()).await;
    let expected = [
        (Source::Domain, "pop.one.example"),
        (Source::Domain, "pop.two.example"),
        (Source::Database, "pop.three.example"),
        (Source::Mx, "pop.four.example"),
        (Source::Mx, "pop.five.example"),
        (Source::Mx, "pop.six.example"),
        (Source::Mx, "pop.seven.example"),
        (Source::Srv, "pop.eight.example"),
    ];
    assert_eq!(hosts(&found), expected);
    assert!(expected.is_sorted_by_key(|(source, _)| *source));
    assert!(found.candidates.iter().all(|candidate| candidate.question(&candidate.pop3[0]).is_some()));
    assert!(!internet.urls().contains(&PLAIN.to_owned()), "{:?}", internet.urls());
    assert!(!internet.heard().contains("fred"), "{}", internet.heard());
}

#[tokio::test]
async fn what_two_sources_say_is_shown_once() {
    let internet = Internet::new().await;
    internet.publish(AUTOCONFIG, file(&["pop3 pop.example.org"]));
    internet.publish(DATABASE, file(&["pop3 pop.example.org"]));
    assert_eq!(hosts(&find(&fred(), &internet.network()).await), [(Source::Domain, "pop.example.org")]);
}

#[tokio::test]
async fn a_known_provider_is_recognised_behind_another_domain() {
    let internet = Internet::new().await;
    internet.mx("example.org", 1, "ASPMX.L.Google.com");
    let found = find(&fred(), &internet.network()).await;
    let candidate = &found.candidates[0];
    assert_eq!((candidate.source, candidate.provider.unwrap().id), (Source::Mx, "google-workspace"));
    assert_eq!(
        candidate.origin,
        "the mail of example.org goes to aspmx.l.google.com, which belongs to Google Workspace"
    );
    assert!(question(&found).unwrap().contains("gmail.com"), "the DNS may be forged");

    // Its hosts tell too.
    let internet = Internet::new().await;
    internet.publish(AUTOCONFIG, file(&["pop3 pop3.web.de"]));
    let found = find(&fred(), &internet.network()).await;
    assert_eq!(found.candidates[0].provider.unwrap().id, "web-de");
    assert!(question(&found).is_some());

    // But a known name does not vouch for a stranger.
    let internet = Internet::new().await;
    internet.publish(AUTOCONFIG, file(&["imap imap.gmail.com", "pop3 pop.evil.example"]));
    internet.publish(WELL_KNOWN, file(&["imap imap.gmail.com", "pop3 pop3.web.de"]));
    internet.publish(DATABASE, file(&["pop3 outlook.office365.com"]));
    let found = find(&fred(), &internet.network()).await;
    let [stranger, mixture, microsoft] = &found.candidates[..] else { panic!("{found:?}") };
    assert!(stranger.provider.is_none() && mixture.provider.is_none());
    assert!(microsoft.pop3[0].oauth_only, "whatever the file says");
}

#[tokio::test]
async fn the_mx_that_cannot_be_used_is_said_to_be_none() {
    for (host, words) in [
        (".", "is taken by nobody"),
        ("localhost", "a host without a proper name"),
        ("127.0.0.1", "a host without a proper name"),
        ("\\x1b[31m.example.net", "a host without a proper name"),
    ] {
        let internet = Internet::new().await;
        internet.mx("example.org", 0, host);
        let found = find(&fred(), &internet.network()).await;
        assert!(found.candidates.is_empty());
        expect_miss(&found, &["the mail of example.org", words]);
    }
    let internet = Internet::new().await;
    expect_miss(&find(&fred(), &internet.network()).await, &["the mail of example.org has no host"]);
}

#[tokio::test]
async fn the_dns_names_servers() {
    let internet = Internet::new().await;
    internet.srv("_pop3s._tcp.example.org", "20 0 995 late.example.org");
    internet.srv("_pop3s._tcp.example.org", "10 1 9995 light.example.org");
    internet.srv("_pop3s._tcp.example.org", "10 9 995 heavy.evil.example");
    internet.srv("_pop3s._tcp.example.org", "0 0 0 no-port.example.org");
    internet.srv("_pop3s._tcp.example.org", "0 0 995 127.0.0.1");
    internet.srv("_pop3._tcp.example.org", "0 0 110 plain.example.org");
    internet.srv("_imaps._tcp.example.org", "0 0 993 .");
    let found = find(&fred(), &internet.network()).await;
    let [candidate] = &found.candidates[..] else { panic!("{found:?}") };
    assert_eq!(candidate.source, Source::Srv);
    let servers: Vec<_> =
        candidate.pop3.iter().map(|server| (server.host.as_str(), server.port, server.tls)).collect();
    assert_eq!(
        servers,
        [
            ("heavy.evil.example", 995, Tls::Implicit),
            ("light.example.org", 9995, Tls::Implicit),
            ("late.example.org", 995, Tls::Implicit),
            ("plain.example.org", 110, Tls::StartTls),
        ]
    );
    assert!(candidate.imap.is_empty());
    assert!(question(&found).unwrap().contains("would go to evil.example:"), "{candidate:?}");

    // "." means that there is no such service.
    let internet = Internet::new().await;
    for service in ["_pop3s", "_pop3", "_imaps", "_imap"] {
        internet.srv(&format!("{service}._tcp.example.org"), "0 0 0 .");
    }
    let found = find(&fred(), &internet.network()).await;
    assert!(found.candidates.is_empty());
    expect_miss(&found, &["_pop3s is not offered, says the DNS"]);
}

#[tokio::test]
async fn the_unprotected_file_is_the_last_resort() {
    let internet = Internet::new().await;
    internet.publish(PLAIN, file(&["pop3 pop.example.org"]));
    internet.publish(AUTOCONFIG, file(&["imap imap.example.org"]));
    let found = find(&fred(), &internet.network()).await;
    assert_eq!(
        hosts(&found),
        [(Source::Domain, "imap.example.org"), (Source::PlainHttp, "pop.example.org")],
        "IMAP alone is no answer to the question for POP3"
    );
    assert!(found.candidates[1].origin.contains("without encryption: anybody on the way"));
    assert_eq!(internet.urls().last().map(String::as_str), Some(PLAIN));
}

#[tokio::test]
async fn a_domain_in_other_letters_is_asked_in_those_of_the_dns() {
    let internet = Internet::new().await;
    let url = "https://autoconfig.xn--bcher-kva.example/mail/config-v1.1.xml";
    internet.publish(url, file(&["pop3 pop.xn--bcher-kva.example"]));
    let found = find(&Address::parse("fred@b\u{fc}cher.example").unwrap(), &internet.network()).await;
    assert_eq!(hosts(&found), [(Source::Domain, "pop.xn--bcher-kva.example")]);
    assert_eq!(found.candidates[0].pop3[0].user, "fred@b\u{fc}cher.example");
    assert!(
        question(&found).unwrap().contains("xn--bcher-kva.example"),
        "no letters that only look like others"
    );
}

#[tokio::test]
async fn a_redirect_may_lead_from_https_to_https() {
    let internet = Internet::new().await;
    internet.redirect(AUTOCONFIG, "https://a.other.example/1");
    internet.redirect("https://a.other.example/1", "https://b.other.example/2");
    internet.redirect("https://b.other.example/2", "https://c.other.example/3");
    internet.publish("https://c.other.example/3", file(&["pop3 pop.example.org"]));
    assert_eq!(hosts(&find(&fred(), &internet.network()).await), [(Source::Domain, "pop.example.org")]);

    internet.redirect("https://c.other.example/3", "https://d.other.example/4");
    internet.publish("https://d.other.example/4", file(&["pop3 pop.example.org"]));
    let found = find(&fred(), &internet.network()).await;
    assert!(found.candidates.is_empty());
    expect_miss(&found, &[AUTOCONFIG, "redirects more than 3 times"]);
}

#[tokio::test]
async fn a_redirect_may_lead_nowhere_else() {
    for (to, words) in [
        ("http://a.other.example/", "redirects without HTTPS"),
        ("ftp://a.other.example/", "redirects without HTTPS"),
        ("file:///etc/passwd", "answers with the status 302"),
        ("https://127.0.0.1/", "no web server on the internet"),
        ("https://127.1/", "no web server on the internet"),
        ("https://0x7f000001/", "no web server on the internet"),
        ("https://[::1]/", "no web server on the internet"),
        ("https://169.254.169.254/latest/meta-data/", "no web server on the internet"),
        ("https://localhost/", "no web server on the internet"),
        ("https://router/", "no web server on the internet"),
        ("https://a.other.example:22/", "no web server on the internet"),
        ("https://inside.other.example/", "leads nowhere: inside.other.example is on a private network"),
        ("https://nowhere.other.example/", "leads nowhere: nowhere.other.example is not in the DNS"),
    ] {
        let internet = Internet::new().await;
        internet.redirect(AUTOCONFIG, to);
        internet.publish("https://a.other.example/", file(&["pop3 pop.evil.example"]));
        internet.address("inside.other.example", "10.1.2.3");
        let found = find(&fred(), &internet.network()).await;
        assert!(found.candidates.is_empty(), "{to}");
        expect_miss(&found, &[AUTOCONFIG, words]);
        assert!(internet.urls().iter().all(|url| !url.contains("other.example")), "{:?}", internet.urls());
    }
    // Not even from HTTP to HTTPS: who can answer the first can name the second.
    let internet = Internet::new().await;
    internet.redirect(PLAIN, "https://a.other.example/");
    internet.publish("https://a.other.example/", file(&["pop3 pop.evil.example"]));
    let found = find(&fred(), &internet.network()).await;
    assert!(found.candidates.is_empty());
    expect_miss(&found, &[PLAIN, "redirects without HTTPS"]);
}

#[tokio::test]
async fn no_host_on_a_private_network_is_connected_to() {
    for address in [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "fe80::1",
        "fd00::1",
    ] {
        let internet = Internet::new().await;
        internet.address("autoconfig.example.org", address);
        let found = find(&fred(), &internet.network()).await;
        expect_miss(&found, &[AUTOCONFIG, "is on a private network, where nothing is looked up"]);
        expect_miss(&found, &[PLAIN, "is on a private network, where nothing is looked up"]);
    }
    // Who has servers of their own may say so; here nothing listens at that port.
    let internet = Internet::new().await;
    internet.address("autoconfig.example.org", "127.0.0.1");
    let mut network = internet.network();
    network.allow_private = true;
    let found = find(&fred(), &network).await;
    assert!(!found.misses.iter().any(|miss| miss.contains("private")), "{:?}", found.misses);
}

#[tokio::test]
async fn no_answer_does_harm() {
    let good = || String::from_utf8(xml(&["pop3 pop.example.org"])).unwrap();
    let raw = |text: &str| Page::Raw(text.as_bytes().to_vec());
    let deep = "<a>".repeat(20_000).into_bytes();
    let bomb = format!("<!DOCTYPE x [<!ENTITY a \"{}\">]>{}", "ha".repeat(999), good());
    let latin = [&b"<clientConfig>\xfc"[..], &xml(&["pop3 pop.example.org"])].concat();
    let large = [xml(&["pop3 pop.example.org"]), vec![b' '; 10 << 20]].concat();
    let gzip = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\u{1f}xy";
    for (page, words) in [
        (Page::File("text/xml", large), "sends more than 64 KiB"),
        (Page::Endless("HTTP/1.1 200 OK\r\n\r\n", &[b' '; 4096]), "sends more than 64 KiB"),
        (
            Page::Endless("HTTP/1.1 200 OK\r\n", b"X-Padding: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"),
            "cannot be read",
        ),
        (Page::Endless("HTTP/1.1 200 ", b"OK"), "cannot be read"),
        (Page::File("text/xml", bomb.into_bytes()), "has a DOCTYPE"),
        (Page::File("text/xml", deep), "is not XML"),
        (Page::File("text/xml", latin), "is not UTF-8 text"),
        (Page::File("text/xml", Vec::new()), "is not XML"),
        (
            Page::File("text/html", b"<html><body>Page not found</body></html>".to_vec()),
            "is not a description",
        ),
        (Page::File("text/plain", b"\x1b]0;you are mine\x07".to_vec()), "is not XML"),
        (file(&["pop3 localhost"]), "names no server that can be used"),
        (raw("HTTP/1.1 500 Oh\x1b[31m no\r\nContent-Length: 0\r\n\r\n"), "cannot be read"),
        (raw("HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n"), "answers with the status 503"),
        (raw("HTTP/1.1 204 No Content\r\n\r\n"), "answers with the status 204"),
        (raw("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"), "answers with the status 302"),
        (raw("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n<clientConfig>"), "cannot be read"),
        (raw(gzip), "is not XML"),
        (raw("\x16\x03\x01"), "cannot be read"),
        (raw(""), "cannot be read"),
    ] {
        let internet = Internet::new().await;
        internet.publish(AUTOCONFIG, page);
        let found = find(&fred(), &internet.network()).await;
        assert!(found.candidates.is_empty(), "{words}: {found:?}");
        expect_miss(&found, &[AUTOCONFIG, words]);
    }
    // The type of a file is often wrong, and the file is what counts.
    let internet = Internet::new().await;
    internet.publish(AUTOCONFIG, Page::File("application/octet-stream", good().into_bytes()));
    assert_eq!(hosts(&find(&fred(), &internet.network()).await), [(Source::Domain, "pop.example.org")]);
}

#[tokio::test]
async fn nobody_is_waited_for_for_long() {
    let slow = [
        Page::Silent,
        Page::Drip("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n<clientConfig>"),
        Page::Drip("HTTP/1.1 200 OK\r\nX-Slow:"),
    ];
    for page in slow {
        let internet = Internet::new().await;
        internet.publish(AUTOCONFIG, page.clone());
        internet.publish(PLAIN, page);
        let mut network = internet.network();
        network.patience = Duration::from_millis(600);
        let found = find(&fred(), &network).await;
        expect_miss(&found, &[AUTOCONFIG, "does not answer in time"]);
        expect_miss(&found, &[PLAIN, "does not answer in time"]);
    }
}

#[tokio::test]
async fn a_web_server_without_a_proper_certificate_is_not_believed() {
    let internet = Internet::new().await;
    internet.publish(
        "https://autoconfig.elsewhere.example/mail/config-v1.1.xml",
        file(&["pop3 pop.evil.example"]),
    );
    let found = find(&Address::parse("fred@elsewhere.example").unwrap(), &internet.network()).await;
    assert!(found.candidates.is_empty());
    expect_miss(&found, &["https://autoconfig.elsewhere.example/", "has no certificate that can be trusted"]);

    internet.publish(AUTOCONFIG, file(&["pop3 pop.evil.example"]));
    let mut network = internet.network();
    network.ca_file = Some("/nonexistent/ca.pem".into());
    let found = find(&fred(), &network).await;
    assert!(found.candidates.is_empty());
    expect_miss(&found, &["/nonexistent/ca.pem"]);
}

#[tokio::test]
async fn trouble_in_the_dns_ends_a_look_up_and_nothing_more() {
    for (trouble, words) in [
        (Trouble::Silent, "answer"),
        (Trouble::ServFail, "the DNS fails"),
        (Trouble::Garbage, "the mail of example.org"),
        (Trouble::Overcounted, "the mail of example.org"),
        (Trouble::Truncated, "the mail of example.org"),
    ] {
        let internet = Internet::new().await;
        internet.mx("example.org", 1, "mx.hoster.example");
        internet.trouble("example.org", trouble);
        internet.publish(DATABASE, file(&["imap imap.example.org"]));
        let mut network = internet.network();
        network.patience = Duration::from_secs(2);
        let found = find(&fred(), &network).await;
        assert_eq!(hosts(&found), [(Source::Database, "imap.example.org")], "{words}: {found:#?}");
        expect_miss(&found, &["the mail of example.org", words]);
    }
}

#[tokio::test]
async fn the_database_is_asked_only_where_there_is_one() {
    let internet = Internet::new().await;
    internet.publish(DATABASE, file(&["pop3 pop.example.org"]));
    internet.mx("example.org", 1, "mx.hoster.example");
    let mut network = internet.network();
    network.database = None;
    let found = find(&fred(), &network).await;
    assert!(found.candidates.is_empty());
    assert!(!internet.urls().iter().any(|url| url.contains("database")), "{:?}", internet.urls());
}

/// Whatever a provider is said to have been tried by is there and runs.
#[test]
fn what_is_said_to_be_tried_is() {
    let (all, ignored) = (tests(&["--list"]), tests(&["--list", "--ignored"]));
    let dialogs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogs");
    let players = ["faults::quirks::dialogs", "faults::hostile::dialogs"];
    assert!(players.iter().all(|player| all.contains(*player)), "somebody plays the folder of dialogs");
    let mut missing: Vec<&str> = Vec::new();
    let is_missing = |name: &&&str| match name.contains('/') {
        true => !dialogs.join(format!("{name}.dialog")).is_file(),
        false => !all.contains(**name) || ignored.contains(**name),
    };
    for provider in PRESETS {
        assert!(!provider.trials().is_empty(), "nothing is said to be tried of {}", provider.id);
        for Trial { way, by } in provider.trials().into_iter().flat_map(|(_, trials)| trials) {
            assert!(!way.ends_with('.') && !by.is_empty(), "{way}");
            missing.extend(by.iter().filter(is_missing).copied());
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    // What differs from other servers is played.
    let is_special = |provider: &&Provider| {
        provider.quirks != Quirks::default() || provider.ignores_deletion || provider.identity.is_some()
    };
    for provider in PRESETS.iter().filter(is_special) {
        assert!(!provider.tried.is_empty(), "{} has ways that nothing plays", provider.id);
    }
}

/// The tests of this program, as it lists them itself.
fn tests(arguments: &[&str]) -> BTreeSet<String> {
    let program = std::env::current_exe().unwrap();
    let listed = Command::new(program).args(arguments).args(["--format", "terse"]).output().unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}
