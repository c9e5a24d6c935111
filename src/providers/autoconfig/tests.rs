use proptest::prelude::*;

use super::*;

fn fred() -> Address {
    Address::parse("Fred@example.org").unwrap()
}

/// A file with `servers` in its provider.
fn file(servers: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<clientConfig version=\"1.1\">\n<emailProvider id=\"example.org\">\n\
         <domain>example.org</domain>\n{servers}\n</emailProvider>\n</clientConfig>\n"
    )
}

fn server(kind: &str, inside: &str) -> String {
    format!("<incomingServer type=\"{kind}\">{inside}</incomingServer>")
}

/// A POP3 server like any other, but with `inside` before what is usual.
fn pop3(inside: &str) -> String {
    server(
        "pop3",
        &format!("{inside}<hostname>pop.example.org</hostname><port>995</port><socketType>SSL</socketType>"),
    )
}

fn of(xml: &str) -> Result<Servers, String> {
    read(xml.as_bytes(), &fred())
}

fn one(xml: &str) -> Server {
    let servers = of(&file(xml)).unwrap();
    assert_eq!((servers.pop3.len(), servers.imap.len()), (1, 0), "{xml}");
    servers.pop3[0].clone()
}

const NONE: &str = "names no server that can be used";

#[test]
fn a_file_as_providers_write_it() {
    let servers = of(&file(
        "<displayName>Example &amp; Sons</displayName>
         <incomingServer type=\"imap\">
           <hostname>imap.example.org</hostname> <port>143</port> <socketType>STARTTLS</socketType>
           <username>%EMAILADDRESS%</username> <authentication>password-cleartext</authentication>
         </incomingServer>
         <incomingServer type=\"pop3\">
           <hostname>Pop.Example.ORG.</hostname> <port>110</port> <socketType>STARTTLS</socketType>
           <username>%EMAILLOCALPART%.%EMAILDOMAIN%</username> <authentication>password-encrypted</authentication>
         </incomingServer>
         <incomingServer type=\"pop3\">
           <hostname>pop.example.org</hostname> <port>995</port> <socketType>SSL</socketType>
           <username>%EMAILADDRESS%</username>
           <authentication>OAuth2</authentication> <authentication>password-cleartext</authentication>
           <pop3><leaveMessagesOnServer>true</leaveMessagesOnServer><checkInterval minutes=\"15\"/></pop3>
         </incomingServer>
         <incomingServer type=\"jmap\"><url>https://example.org/jmap</url></incomingServer>
         <outgoingServer type=\"smtp\"><hostname>smtp.example.org</hostname><port>465</port></outgoingServer>",
    ))
    .unwrap();
    let server = |host: &str, port, tls, user: &str| Server {
        host: host.into(),
        port,
        tls,
        user: user.into(),
        oauth_only: false,
    };
    let expected = Servers {
        pop3: vec![
            server("pop.example.org", 995, Tls::Implicit, "Fred@example.org"),
            server("pop.example.org", 110, Tls::StartTls, "Fred.example.org"),
        ],
        imap: vec![server("imap.example.org", 143, Tls::StartTls, "Fred@example.org")],
    };
    assert_eq!(servers, expected);
}

#[test]
fn a_server_that_sends_the_password_in_the_clear_is_no_server() {
    for socket_type in ["plain", "none", "SSl?", "", "TLS\u{1b}[31m"] {
        let server = server(
            "pop3",
            &format!(
                "<hostname>pop.example.org</hostname><port>110</port><socketType>{}</socketType>",
                socket_type.replace('\u{1b}', "&#x9b;")
            ),
        );
        assert_eq!(of(&file(&server)).unwrap_err(), NONE, "{socket_type}");
    }
}

#[test]
fn hosts_that_are_no_names_on_the_internet_are_refused() {
    for host in [
        "localhost",
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "::1",
        "[::1]",
        "pop",
        "pop.example.org:995",
        "pop.example.org&#10;QUIT",
        "pop.example.org&#x9b;31m",
        "pop.exa mple.org",
        "user@pop.example.org",
        "",
        "http://pop.example.org/",
        "%EMAILLOCALPART%",
    ] {
        let server = server(
            "pop3",
            &format!("<hostname>{host}</hostname><port>995</port><socketType>SSL</socketType>"),
        );
        assert_eq!(of(&file(&server)).unwrap_err(), NONE, "{host}");
    }
    let host = "<hostname>mail.%EMAILDOMAIN%</hostname><port>995</port><socketType>SSL</socketType>";
    assert_eq!(one(&server("pop3", host)).host, "mail.example.org");
}

#[test]
fn ports_that_are_none_are_refused() {
    for port in ["0", "99999", "-1", "995x", "", "9 95", "0x3e3"] {
        let server = server(
            "pop3",
            &format!("<hostname>pop.example.org</hostname><port>{port}</port><socketType>SSL</socketType>"),
        );
        assert_eq!(of(&file(&server)).unwrap_err(), NONE, "{port}");
    }
}

#[test]
fn a_user_can_be_sent_in_a_command() {
    assert_eq!(one(&pop3("")).user, "Fred@example.org", "the address, where nothing is said");
    assert_eq!(one(&pop3("<username>fixed</username>")).user, "fixed");
    let long = "x".repeat(321);
    for user in ["a&#10;DELE 1", "a&#13;b", "%EMAILADDRESS", "%EMAILNAME%", &long] {
        assert_eq!(of(&file(&pop3(&format!("<username>{user}</username>")))).unwrap_err(), NONE, "{user}");
    }
}

#[test]
fn what_no_password_opens_is_known_as_such() {
    let with = |ways: &[&str]| -> String {
        ways.iter().map(|way| format!("<authentication>{way}</authentication>")).collect()
    };
    assert!(!one(&pop3("")).oauth_only);
    assert!(!one(&pop3(&with(&["OAuth2", "password-cleartext"]))).oauth_only);
    assert!(!one(&pop3(&with(&["SCRAM-SHA-256-PLUS", "PLAIN"]))).oauth_only);
    assert!(one(&pop3(&with(&["OAuth2"]))).oauth_only);
    assert!(one(&pop3(&with(&["GSSAPI", "OAuth2"]))).oauth_only);
    assert_eq!(of(&file(&pop3(&with(&["GSSAPI", "client-IP-address"])))).unwrap_err(), NONE);
}

#[test]
fn many_servers_become_few() {
    let servers: String = (1..=60_u16)
        .map(|n| {
            server(
                "pop3",
                &format!("<hostname>p{n}.example.org</hostname><port>995</port><socketType>SSL</socketType>"),
            )
        })
        .collect();
    let hosts: Vec<String> =
        of(&file(&servers)).unwrap().pop3.into_iter().map(|server| server.host).collect();
    assert_eq!(hosts.len(), 8);
    assert_eq!(hosts[0], "p1.example.org", "the first ones");
    assert_eq!(of(&file(&(pop3("") + &pop3("")))).unwrap().pop3.len(), 1, "and none twice");
}

#[test]
fn a_file_that_names_imap_alone_is_a_file() {
    let imap = "<hostname>imap.example.org</hostname><port>993</port><socketType>SSL</socketType>";
    let servers = of(&file(&server("imap", imap))).unwrap();
    assert_eq!((servers.pop3.len(), servers.imap.len()), (0, 1));
}

#[test]
fn nothing_is_expanded_or_fetched() {
    let laughs = "<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;\">]>";
    let outside = "<!DOCTYPE x SYSTEM \"file:///etc/passwd\">";
    for doctype in [laughs, outside, "<!doctype html>", "<!DOCTYPE clientConfig []>"] {
        let xml = file(&pop3("")).replace("<clientConfig", &format!("{doctype}<clientConfig"));
        assert_eq!(of(&xml).unwrap_err(), "has a DOCTYPE, which is not looked into");
    }
    let unknown = of(&file(&pop3("<username>&xxe;</username>"))).unwrap_err();
    assert!(unknown.starts_with("is not XML ("), "{unknown}");
}

#[test]
fn what_is_no_such_file_is_refused_with_a_printable_reason() {
    let deep = "<a>".repeat(20_000);
    let balanced = format!("{}{}", "<a>".repeat(9000), "</a>".repeat(9000));
    let wide = file(&"<x/>".repeat(9000));
    for (bad, reason) in [
        ("", "is not XML"),
        ("404 page not found", "is not XML"),
        ("<html><body>Welcome</body></html>", "is not a description of mail servers"),
        ("<Autodiscover/>", "is not a description of mail servers"),
        ("<clientConfig/>", NONE),
        ("<clientConfig><incomingServer type=\"pop3\"/></clientConfig>", NONE),
        ("<clientConfig><emailProvider>", "is not XML"),
        ("<clientConfig><\u{9b}31m></clientConfig>", "is not XML"),
        ("<clientConfig a='1' a='2'/>", "is not XML"),
        (&deep, "is not XML"),
        (&balanced, "is not XML"),
        (&wide, "is not XML"),
    ] {
        let fault = of(bad).unwrap_err();
        assert!(fault.starts_with(reason), "{fault}");
        assert!(fault.is_ascii() && !fault.contains(char::is_control), "{fault}");
    }
    let latin = file(&pop3("<username>J\u{fc}rgen</username>")).replace('\u{fc}', "\u{fffd}").into_bytes();
    let latin: Vec<u8> = latin.into_iter().filter(|byte| *byte != 0xbf).collect();
    assert_eq!(read(&latin, &fred()).unwrap_err(), "is not UTF-8 text");
}

#[test]
fn a_byte_order_mark_does_not_matter() {
    assert_eq!(of(&format!("\u{feff}{}", file(&pop3("")))).unwrap().pop3.len(), 1);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = read(&bytes, &fred());
    }

    #[test]
    fn whatever_is_taken_can_be_used(
        kind in "pop3|imap", host in "(pop\\.example\\.org|.{0,40})", port in "(995|.{0,6})", tls in "SSL|STARTTLS|plain|.{0,8}", user in "[^<&]{0,40}",
    ) {
        let inside = format!(
            "<hostname>{host}</hostname><port>{port}</port><socketType>{tls}</socketType><username>{user}</username>"
        );
        if let Ok(servers) = of(&file(&server(&kind, &inside))) {
            for server in servers.pop3.iter().chain(&servers.imap) {
                prop_assert_eq!(host_name(&server.host), Some(server.host.clone()));
                prop_assert!(server.port != 0 && server.tls != Tls::None);
                prop_assert!(!server.user.is_empty() && !server.user.contains(char::is_control));
            }
        }
    }
}
