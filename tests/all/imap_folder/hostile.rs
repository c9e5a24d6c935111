//! Servers that lie, bomb or eavesdrop: no password for them, no panic, no memory.

use mailferry::message::{Mark, Verdict};
use mailferry::net::{self, Tls};

use super::scripted::{folders_at, logged_in, prepared};
use super::{deliver, folders_of, messages, outgoing, route};
use crate::ca::Ca;
use crate::peer::Peer;

/// What the probe says of a peer that plays this, and what the peer got to hear.
async fn probe(dialog: &str) -> (Result<String, String>, String) {
    let peer = Peer::play(dialog).await;
    let told = folders_at(&peer).probe([]).await;
    (told, peer.finish().await)
}

#[tokio::test]
async fn who_is_logged_in_already_is_somebody_else() {
    let (told, heard) = probe("S: * PREAUTH [CAPABILITY IMAP4rev1] hello").await;
    assert!(told.unwrap_err().contains("PREAUTH"));
    assert_eq!(heard, "");

    let peer = Peer::play("S: * PREAUTH hello").await;
    let told = folders_of("ann", peer.port, Tls::StartTls, None).probe([]).await;
    assert!(told.unwrap_err().contains("PREAUTH"));
    assert_eq!(
        peer.finish().await,
        "",
        "not even STARTTLS: it would be refused, and the user none the wiser"
    );
}

#[tokio::test]
async fn no_tls_no_password() {
    let peer = Peer::play(
        "S: * OK ready
         C: M0 STARTTLS
         S: M0 BAD what is that?",
    )
    .await;
    let told = folders_of("ann", peer.port, Tls::StartTls, None).probe([]).await;
    assert!(told.unwrap_err().contains("STARTTLS was refused"));
    peer.finish().await;
}

#[tokio::test]
async fn nothing_said_before_tls_counts_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new(folder.path());
    let identity = ca.issue(&["localhost"]);
    let injected = "S: * OK ready
         C: M0 STARTTLS
         S~ M0 OK go ahead\\r\\n* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] injected\\r\\nM1 OK in\\r\\n
         tls refused";
    let peer = Peer::play_tls(injected, &identity).await;
    let told = folders_of("ann", peer.port, Tls::StartTls, Some(ca.file())).probe([]).await;
    assert!(told.is_err());
    let heard = peer.finish().await;
    assert!(!heard.contains("AUTHENTICATE"), "{heard}");

    // The same without the injection works, and the capabilities are asked for again.
    let honest = "S: * OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] ready
         C: M0 STARTTLS
         S: M0 OK go ahead
         tls
         C: M1 CAPABILITY
         S: * CAPABILITY IMAP4rev1 AUTH=PLAIN
         S: M1 OK done
         C: M2 AUTHENTICATE PLAIN
         S: +
         C: AGFubgBzZWNyZXQ=
         S: M2 OK [CAPABILITY IMAP4rev1] welcome
         C: M3 LOGOUT
         S: * BYE bye
         S: M3 OK done";
    let peer = Peer::play_tls(honest, &identity).await;
    folders_of("ann", peer.port, Tls::StartTls, Some(ca.file())).probe([]).await.unwrap();
    peer.finish().await;
}

#[tokio::test]
async fn plaintext_beyond_this_machine_gets_no_password() {
    let peer = Peer::play("").await;
    // Resolves to loopback, but not by a name that says so.
    let settings = net::Settings {
        host: "127.1".into(),
        port: peer.port,
        tls: Tls::None,
        ca_file: None,
        server_name: None,
        pin: None,
        allow_plaintext: false,
    };
    let told = super::folders_at(settings, "ann", "secret").probe([]).await;
    assert!(told.unwrap_err().contains("unencrypted"));
    assert_eq!(peer.finish().await, "");
}

#[tokio::test]
async fn login_is_for_servers_without_plain_and_not_for_those_that_forbid_it() {
    let (told, _) = probe(
        "S: * OK [CAPABILITY IMAP4rev1] ready
         C: M1 LOGIN \"ann\" \"secret\"
         S: M1 OK in
         C: M2 CAPABILITY
         S: * CAPABILITY IMAP4rev1 LITERAL+
         S: M2 OK done
         C: M3 LOGOUT
         S: * BYE bye
         close",
    )
    .await;
    assert!(told.unwrap().contains("LITERAL+"));
    let (told, heard) = probe("S: * OK [CAPABILITY IMAP4rev1 LOGINDISABLED] ready").await;
    assert!(told.unwrap_err().contains("no login"));
    assert_eq!(heard, "");
}

#[tokio::test]
async fn a_password_of_two_lines_is_no_command() {
    for capabilities in ["IMAP4rev1", "IMAP4rev1 AUTH=PLAIN"] {
        let peer = Peer::play(&format!("S: * OK [CAPABILITY {capabilities}] ready")).await;
        let password = "secret\r\nM2 DELETE Archive";
        let told = super::folders_with(password, "ann", peer.port, Tls::None, None).probe([]).await;
        assert!(told.unwrap_err().contains("line break"));
        assert_eq!(peer.finish().await, "");
    }
}

#[tokio::test]
async fn bombs_end_the_session_and_nothing_else() {
    let nesting = format!("S~ * 1 FETCH (BODYSTRUCTURE {}", "(".repeat(200_000));
    let hidden = format!("S: * OK {{900000}}\n{nesting}");
    let bombs = [
        "S: * 1 FETCH (BODY[] {536870000}",
        "S: * 1 FETCH (BODY[] {99999999999999999999}",
        "flood x",
        "S: * OK [ALERT]\u{e9}\nS: * BYE next\nclose",
        "S: * NAMESPACE NIL NIL NIL",
        "S: M77 OK for what nobody asked",
        "S~ \\x00\\xFF\\r\\n",
        &nesting,
        &hidden,
    ];
    for bomb in bombs {
        let peer = Peer::play(&prepared("LITERAL+", &format!("C* \n{bomb}\nstall"))).await;
        let imap = folders_at(&peer);
        let batch = messages(&["Date: Tue, 6 Jan 2015 10:00:00 +0000\r\n\r\n"]).await;
        let verdicts = deliver(&imap, &route("INBOX"), &batch).await;
        assert!(matches!(verdicts[0], Verdict::Unknown { .. }), "{bomb:.40}: {verdicts:?}");
        peer.finish().await;
    }
}

#[tokio::test]
async fn an_ok_for_what_was_not_sent_delivers_nothing() {
    let peer = Peer::play(&logged_in("", "C* \nS: M2 OK already done\nstall")).await;
    let imap = folders_at(&peer);
    let batch = messages(&["Date: Tue, 6 Jan 2015 10:00:00 +0000\r\n\r\n"]).await;
    let mark = Mark { folder: "INBOX".into(), ..Mark::default() };
    let verdicts = imap.deliver(&route("INBOX"), &[outgoing(&batch[0], mark)]).await;
    assert!(matches!(verdicts[0], Verdict::Unreachable { .. }), "{verdicts:?}");
    peer.finish().await;
}

#[tokio::test]
async fn a_refusal_in_any_bytes_is_a_refusal() {
    for text in ["]\\xE9\\xFF", "[X\\xE9] \\x1B[31m", "{5}", ""] {
        let dialog = prepared("LITERAL+", &format!("C* \nC*\nC*\nC*\nS~ M3 NO {text}\\r\\n"));
        let peer = Peer::play(&dialog).await;
        let imap = folders_at(&peer);
        let batch = messages(&["Date: Tue, 6 Jan 2015 10:00:00 +0000\r\n\r\n"]).await;
        let verdicts = deliver(&imap, &route("INBOX"), &batch).await;
        let Verdict::Deferred { reason, .. } = &verdicts[0] else { panic!("{text}: {verdicts:?}") };
        assert!(reason.chars().all(|c| matches!(c, ' '..='~')), "{reason:?}");
        drop(imap);
        peer.finish().await;
    }
}
