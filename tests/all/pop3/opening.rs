//! From the connection to the login: what is asked, and above all what is not said.

use std::time::Duration;

use mailferry::net::{self, Pin, Tls};
use mailferry::pop3::{Class, Error, Expire, Settings};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{open, settings};
use crate::ca::Ca;
use crate::peer::Peer;

/// Opens a session with a plaintext peer that plays `dialog`; returns what came of it and what the peer heard.
async fn opened(dialog: &str) -> (Result<(), Error>, String) {
    opened_as(dialog, |_| {}).await
}

async fn opened_as(dialog: &str, change: impl FnOnce(&mut Settings)) -> (Result<(), Error>, String) {
    let peer = Peer::play(dialog).await;
    let mut settings = settings(peer.port, Tls::None);
    change(&mut settings);
    let outcome = open(&settings).await.map(drop);
    (outcome, peer.finish().await)
}

fn assert_no_secret(said: &str) {
    // "secret", as it is and as base64 has it behind a user name of three letters.
    for secret in ["secret", "c2VjcmV0", "USER", "PASS", "AUTH"] {
        assert!(!said.contains(secret), "the peer heard:\n{said}");
    }
}

#[tokio::test]
async fn logs_in_with_auth_plain_in_one_line_where_announced() {
    let dialog = "
        S: +OK POP3 server ready <1896.697170952@example.com>
        C: CAPA
        S: +ok Capabilities follow
        S: sasl CRAM-MD5 Plain
        S: USER
        S: .
        C: AUTH PLAIN AGFubgBzZWNyZXQ=
        S: +OK";
    opened(dialog).await.0.unwrap();
}

#[tokio::test]
async fn repeats_the_initial_response_to_a_server_that_overlooked_it_but_only_once() {
    let asked = |times: usize| {
        let asks = "S: +\nC: AGFubgBzZWNyZXQ=\n".repeat(times);
        format!("S: +OK\nC: CAPA\nS: +OK\nS: SASL PLAIN\nS: .\nC: AUTH PLAIN AGFubgBzZWNyZXQ=\n{asks}")
    };
    opened(&(asked(1) + "S: +OK")).await.0.unwrap();
    let (outcome, _) = opened(&(asked(1) + "S: +")).await;
    assert!(matches!(outcome, Err(Error::OutOfStep { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_wrong_port_is_called_one() {
    let (outcome, _) = opened("S: * OK [CAPABILITY IMAP4rev1] ready").await;
    let told = outcome.unwrap_err().to_string();
    assert_eq!(
        told,
        "`* OK [CAPABILITY IMAP4rev1] ready` is not how a POP3 server greets; is this the POP3 port?"
    );
    // A server that waits for TLS says nothing.
    let soon = Duration::from_millis(50);
    let (outcome, said) = opened_as("stall", |settings| settings.deadlines.greeting = soon).await;
    let told = outcome.unwrap_err().to_string();
    assert_eq!(told, "no greeting within 0 s; check that `port` and `tls` fit together");
    assert_no_secret(&said);
}

#[tokio::test]
async fn a_long_password_waits_for_its_own_line() {
    let dialog = "
        S: +OK
        C: CAPA
        S: +OK
        S: SASL PLAIN
        S: .
        C: AUTH PLAIN
        quiet
        S: + 
        C: AGFubgB4eHh4*
        S: +OK";
    opened_as(dialog, |settings| settings.login = "x".repeat(300).as_str().into()).await.0.unwrap();
}

#[tokio::test]
async fn a_server_without_capa_is_a_server_all_the_same() {
    let login = "C: USER ann\nS: +OK\nC: PASS secret\nS: +OK\n";
    opened(&format!("S: +OK\nC: CAPA\nS: -ERR what?\n{login}")).await.0.unwrap();
    // One that hangs up on it is met without, in the end.
    for breaks_off in ["", "S~ +OK\\r\\nTOP\n"] {
        let hangs_up = format!("S: +OK\nC: CAPA\n{breaks_off}close\nnext\n");
        opened(&format!("{hangs_up}{hangs_up}S: +OK\n{login}")).await.0.unwrap();
        // One answer may just have been lost.
        let announces =
            "S: +OK\nC: CAPA\nS: +OK\nS: SASL PLAIN\nS: .\nC: AUTH PLAIN AGFubgBzZWNyZXQ=\nS: +OK";
        opened(&format!("{hangs_up}{announces}")).await.0.unwrap();
    }
}

#[tokio::test]
async fn what_depends_on_the_user_is_asked_again_after_the_login() {
    for (answer, expire, delay) in
        [("S: +OK\nS: EXPIRE 30\nS: LOGIN-DELAY 60\nS: .", 30, 60), ("S: -ERR not now", 0, 900)]
    {
        let dialog = format!(
            "S: +OK
             C: CAPA
             S: +OK
             S: EXPIRE 0 USER
             S: LOGIN-DELAY 900 USER
             S: .
             C: USER ann
             S: +OK
             C: PASS secret
             S: +OK
             C: CAPA
             {answer}"
        );
        let peer = Peer::play(&dialog).await;
        let session = open(&settings(peer.port, Tls::None)).await.unwrap();
        let capabilities = session.capabilities();
        assert_eq!(capabilities.expire, Some(Expire::Days(expire)));
        assert_eq!(capabilities.login_delay, Some(Duration::from_secs(delay)));
        drop(session);
        peer.finish().await;
    }
}

#[tokio::test]
async fn a_refused_login_says_what_kind_of_refusal_it_is() {
    for (reply, class) in [
        ("-ERR [AUTH] Authentication failed.", Class::Login),
        ("-ERR Invalid login", Class::Login),
        ("-ERR [in-use] Mailbox is open elsewhere", Class::Busy),
        ("-ERR [LOGIN-DELAY] minimum time between mail checks violation", Class::Busy),
        ("-ERR [SYS/TEMP] Temporary authentication failure.", Class::Busy),
        ("-ERR Exceeded the login limit for a 15 minute period. Reduce the frequency", Class::Busy),
        ("-ERR [SYS/PERM] Account is closed", Class::Server),
    ] {
        for user_refused in [false, true] {
            let pass = if user_refused { "" } else { "S: +OK\nC: PASS secret" };
            let dialog = format!("S: +OK\nC: CAPA\nS: -ERR\nC: USER ann\n{pass}\nS: {reply}");
            let error = opened(&dialog).await.0.unwrap_err();
            assert_eq!(error.class(), class, "{reply}: {error}");
        }
    }
}

#[tokio::test]
async fn a_mechanism_with_an_odd_name_is_made_printable() {
    let (outcome, said) = opened("S: +OK\nC: CAPA\nS: +OK\nS~ SASL X\\x1b[2J\\r\\n.\\r\\n").await;
    let told = outcome.unwrap_err().to_string();
    assert!(told.contains("only X\\x1B[2J"), "{told}");
    assert_no_secret(&said);
}

#[tokio::test]
async fn a_refused_connection_is_no_wrong_password() {
    for (greeting, class) in [
        ("-ERR too many connections", Class::Busy),
        ("-ERR [SYS/TEMP] come back", Class::Busy),
        ("-ERR [IN-USE] you again", Class::Busy),
        ("-ERR [SYS/PERM] POP3 is switched off", Class::Server),
    ] {
        let (outcome, said) = opened(&format!("S: {greeting}")).await;
        assert_eq!(outcome.unwrap_err().class(), class, "{greeting}");
        assert_eq!(said, "");
    }
    let (outcome, said) = opened("S: 220 mail.example.org ESMTP").await;
    assert!(matches!(outcome, Err(Error::NotPop3 { .. })), "{outcome:?}");
    assert_eq!(said, "");
}

#[tokio::test]
async fn no_password_for_a_server_with_weak_mechanisms_only() {
    // With bait for APOP in the greeting.
    let dialog = "
        S: +OK <1896.697170952@example.com>
        C: CAPA
        S: +OK
        S: SASL CRAM-MD5 NTLM
        S: .";
    let (outcome, said) = opened(dialog).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::Insecure(_)) && error.to_string().contains("CRAM-MD5, NTLM"), "{error}");
    assert_no_secret(&said);
    assert!(!said.contains("APOP"));
}

#[tokio::test]
async fn no_password_in_the_clear_beyond_this_machine() {
    let dialog = "S: +OK\nC: CAPA\nS: +OK\nS: USER\nS: SASL PLAIN\nS: .";
    // Resolves to this machine, but not by its name: to the client it is any host.
    let elsewhere = |settings: &mut Settings| settings.peer.host = "127.1".into();
    let (outcome, said) = opened_as(dialog, elsewhere).await;
    assert!(matches!(outcome, Err(Error::Insecure(_))), "{outcome:?}");
    assert_no_secret(&said);
    // Unless the user wants it so.
    let dialog = format!("{dialog}\nC: AUTH PLAIN AGFubgBzZWNyZXQ=\nS: +OK");
    let allowed = |settings: &mut Settings| {
        elsewhere(settings);
        settings.peer.allow_plaintext = true;
    };
    opened_as(&dialog, allowed).await.0.unwrap();
}

#[tokio::test]
async fn a_line_break_in_a_password_is_no_second_command() {
    let dialog = "S: +OK\nC: CAPA\nS: -ERR\n";
    for value in ["a\r\nDELE 1", "a\nb", "a\0b"] {
        let (outcome, said) = opened_as(dialog, |settings| settings.login = value.into()).await;
        assert!(matches!(outcome, Err(Error::Unsendable { field: "password" })), "{outcome:?}");
        let (other, said_too) = opened_as(dialog, |settings| settings.user = value.into()).await;
        assert!(matches!(other, Err(Error::Unsendable { field: "user" })), "{other:?}");
        assert_eq!((said.as_str(), said_too.as_str()), ("CAPA\r\n", "CAPA\r\n"));
    }
}

#[test]
fn settings_do_not_show_their_password() {
    let shown = format!("{:?}", settings(995, Tls::Implicit));
    assert!(!shown.contains("secret\""), "{shown}");
}

const AFTER_TLS: &str = "
    C: CAPA
    S: +OK
    S: SASL PLAIN
    S: .
    C: AUTH PLAIN AGFubgBzZWNyZXQ=
    S: +OK
    C: QUIT
    S: +OK";

struct Authority {
    folder: TempDir,
    ca: Ca,
}

fn authority() -> Authority {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new(folder.path());
    Authority { folder, ca }
}

#[tokio::test]
async fn implicit_tls_with_a_ca_file() {
    let Authority { ca, folder: _folder } = authority();
    let peer = Peer::play_tls(&format!("tls\nS: +OK hello\n{AFTER_TLS}"), &ca.issue(&["localhost"])).await;
    let mut settings = settings(peer.port, Tls::Implicit);
    settings.peer.ca_file = Some(ca.file());
    let session = open(&settings).await.unwrap();
    let certificate = session.certificate().unwrap();
    assert_eq!(certificate.issuer, "mailferry test CA");
    session.quit().await.unwrap();
    peer.finish().await;
}

#[tokio::test]
async fn implicit_tls_with_a_pin() {
    let Authority { ca, folder: _folder } = authority();
    let identity = ca.issue_expired(&["elsewhere.example"]);
    let peer = Peer::play_tls(&format!("tls\nS: +OK hello\n{AFTER_TLS}"), &identity).await;
    let mut settings = settings(peer.port, Tls::Implicit);
    let pem = x509_parser::pem::parse_x509_pem(&std::fs::read(&identity.0).unwrap()).unwrap().1;
    settings.peer.pin = Some(Pin(Sha256::digest(&pem.contents).into()));
    open(&settings).await.unwrap().quit().await.unwrap();
    peer.finish().await;
}

#[tokio::test]
async fn no_password_for_a_certificate_that_is_not_to_be_trusted() {
    let Authority { ca, folder: _folder } = authority();
    let other = authority();
    let good = ca.issue(&["localhost"]);
    let cases = [
        ("wrong host", ca.issue(&["elsewhere.example"]), ca.file(), None, "is not for `localhost`"),
        ("expired", ca.issue_expired(&["localhost"]), ca.file(), None, "has expired"),
        ("unknown issuer", good.clone(), other.ca.file(), None, "unknown issuer"),
        ("another pin", good, ca.file(), Some(Pin([7; 32])), "is not the one in `pin`"),
    ];
    for (case, identity, ca_file, pin, words) in cases {
        for (tls, before) in [(Tls::Implicit, ""), (Tls::StartTls, "S: +OK\nC: STLS\nS: +OK\n")] {
            let peer = Peer::play_tls(&format!("{before}tls refused"), &identity).await;
            let mut settings = settings(peer.port, tls);
            settings.peer.ca_file = Some(ca_file.clone());
            settings.peer.pin = pin;
            let error = open(&settings).await.unwrap_err();
            assert!(matches!(error, Error::Net(net::Error::Certificate { .. })), "{case}: {error}");
            assert!(error.to_string().contains(words), "{case}: {error}");
            assert_eq!(error.class(), Class::Trust);
            assert_no_secret(&peer.finish().await);
        }
    }
    assert!(other.folder.path().exists());
}

async fn upgraded(dialog: &str) -> (Result<(), Error>, String) {
    let Authority { ca, folder: _folder } = authority();
    let peer = Peer::play_tls(dialog, &ca.issue(&["localhost"])).await;
    let mut settings = settings(peer.port, Tls::StartTls);
    settings.peer.ca_file = Some(ca.file());
    let outcome = async { open(&settings).await?.quit().await }.await;
    (outcome, peer.finish().await)
}

#[tokio::test]
async fn stls_asks_for_capabilities_inside_tls_only() {
    upgraded(&format!("S: +OK hello\nC: STLS\nquiet\nS: +OK begin\ntls\n{AFTER_TLS}")).await.0.unwrap();
}

#[tokio::test]
async fn no_password_without_the_tls_that_was_asked_for() {
    for refusal in ["-ERR unknown command", "-ERR [SYS/TEMP] not now"] {
        let (outcome, said) = upgraded(&format!("S: +OK hello\nC: STLS\nS: {refusal}")).await;
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::NoTls(_)), "{error}");
        assert_eq!(said, "STLS\r\n");
    }
}

#[tokio::test]
async fn nothing_sent_in_the_clear_is_believed_inside_tls() {
    for injected in ["+OK\\r\\n", "+", "+OK\\r\\nSASL PLAIN\\r\\n.\\r\\n+OK\\r\\n", "\\x16\\x03\\x01"] {
        let (outcome, said) = upgraded(&format!("S: +OK\nC: STLS\nS~ +OK\\r\\n{injected}")).await;
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::NoTls(_)), "{injected}: {error}");
        assert_eq!(error.class(), Class::Trust);
        assert_no_secret(&said);
    }
    // In a packet of its own it may come in later, in the middle of the handshake, and breaks that.
    let (outcome, said) = upgraded("S: +OK\nC: STLS\nS: +OK\nS: +OK injected\ntls refused").await;
    assert_eq!(outcome.unwrap_err().class(), Class::Trust);
    assert_no_secret(&said);
}
