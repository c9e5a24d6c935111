//! Word for word: how a token is shown to servers that have ways of their own.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mailferry::auth::{Login, Proof};
use mailferry::destination::imap_folder;
use mailferry::message::Quirks;
use mailferry::net::{self, Connectors, Tls};
use mailferry::pop3::{self, Session};
use mailferry::setup;
use secrecy::ExposeSecret;

use super::{ME, Scene};
use crate::peer::Peer;

/// Somebody who has signed in, and the token that a server is shown first.
struct SignedIn {
    scene: Scene,
    login: Login,
    token: String,
}

impl SignedIn {
    /// With tokens of so many octets.
    async fn new(length: usize) -> SignedIn {
        let scene = Scene::new().await;
        scene.sign_in(&["work"]).await;
        let config = setup::load(&scene.ferry.folder().join("mailferry.toml")).await.unwrap();
        let login = config.accounts[0].pop3.login.clone();
        // Dovecot takes no line of more than 8 KiB, and has seen a shorter one.
        scene.provider.tokens(Duration::from_secs(3600), length);
        let first = login.proof().await.unwrap();
        let Ok(Some(Proof::Token(token))) = login.another(&first).await else { panic!() };
        let token = token.expose_secret().to_owned();
        SignedIn { scene, login, token }
    }

    async fn pop3(&self, dialog: &str) -> (Result<(), pop3::Error>, String) {
        let peer = Peer::play(dialog).await;
        let settings = pop3::Settings::new(at(peer.port), ME, self.login.clone());
        let connector = Connectors::default().connector(&settings.peer).unwrap();
        let outcome = Session::open(&connector, &settings, Quirks::default()).await.map(drop);
        (outcome, peer.finish().await)
    }

    async fn imap(&self, dialog: &str) -> (Result<String, imap_folder::Fault>, String) {
        let peer = Peer::play(dialog).await;
        let settings = imap_folder::Settings {
            peer: at(peer.port),
            user: ME.into(),
            login: self.login.clone(),
            daily_budget: None,
        };
        let connector = Connectors::default().connector(&settings.peer).unwrap();
        let outcome = imap_folder::ImapFolder::new(settings, connector).log_in().await;
        (outcome, peer.finish().await)
    }

    /// The next token that the provider gives out.
    fn next(&self) -> String {
        let number: usize = self.token.split('-').nth(1).unwrap().parse().unwrap();
        self.token.replacen(&number.to_string(), &(number + 1).to_string(), 1)
    }
}

fn at(port: u16) -> net::Settings {
    net::Settings {
        host: "127.0.0.1".into(),
        port,
        tls: Tls::None,
        ca_file: None,
        server_name: None,
        pin: None,
        allow_plaintext: false,
    }
}

fn xoauth2(token: &str) -> String {
    xoauth2_of(ME, token)
}

fn xoauth2_of(user: &str, token: &str) -> String {
    BASE64_STANDARD.encode(format!("user={user}\x01auth=Bearer {token}\x01\x01"))
}

fn bearer(token: &str) -> String {
    BASE64_STANDARD.encode(format!("n,a={ME},\x01auth=Bearer {token}\x01\x01"))
}

/// `{"status":"401","schemes":"bearer","scope":"x"}`
const CHALLENGE: &str = "eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiYmVhcmVyIiwic2NvcGUiOiJ4In0=";

#[tokio::test(flavor = "multi_thread")]
async fn pop3_shows_a_token_in_a_line_of_its_own() {
    let signed_in = SignedIn::new(3000).await;
    let xoauth2 = xoauth2(&signed_in.token);
    let dialog = format!(
        "S: +OK\nC: CAPA\nS: +OK\nS: SASL PLAIN XOAUTH2\nS: .\nC: AUTH XOAUTH2\nS: +\nC: {xoauth2}\nS: +OK"
    );
    signed_in.pop3(&dialog).await.0.unwrap();
    let bearer = bearer(&signed_in.token);
    let dialog = format!(
        "S: +OK\nC: CAPA\nS: +OK\nS: SASL OAUTHBEARER\nS: .\nC: AUTH OAUTHBEARER\nS: + \nC: {bearer}\nS: +OK"
    );
    signed_in.pop3(&dialog).await.0.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pop3_shows_a_short_token_at_once_to_who_does_not_ask_for_it() {
    let signed_in = SignedIn::new(40).await;
    let xoauth2 = xoauth2(&signed_in.token);
    let begin = "S: +OK\nC: CAPA\nS: +OK\nS: SASL XOAUTH2\nS: .\nC: AUTH XOAUTH2\n";
    let dialog = format!("{begin}S: -ERR an initial response is missing\nC: AUTH XOAUTH2 {xoauth2}\nS: +OK");
    signed_in.pop3(&dialog).await.0.unwrap();

    // RFC 5034 section 4: not beyond 255 octets. The provider is asked for another token, once, and that is that.
    let signed_in = SignedIn::new(300).await;
    let refused = format!("{begin}S: -ERR an initial response is missing\n");
    let (outcome, _) = signed_in.pop3(&format!("{refused}next\n{refused}")).await;
    assert!(matches!(outcome, Err(pop3::Error::Token { .. })), "{outcome:?}");
    // Who wants time gets it.
    let (outcome, _) = signed_in.pop3(&format!("{begin}S: -ERR [SYS/TEMP] come back later\n")).await;
    assert!(matches!(outcome, Err(pop3::Error::TempUnavailable { .. })), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_that_refuses_is_answered_by_nothing_and_another_token_is_tried() {
    for (mechanism, closing) in [("XOAUTH2", ""), ("OAUTHBEARER", "AQ==")] {
        let signed_in = SignedIn::new(40).await;
        let response = if mechanism == "XOAUTH2" { xoauth2 } else { bearer };
        let (first, second) = (response(&signed_in.token), response(&signed_in.next()));
        let begin =
            format!("S: +OK\nC: CAPA\nS: +OK\nS: SASL {mechanism}\nS: .\nC: AUTH {mechanism}\nS: +\n");
        let refused = format!("S: + {CHALLENGE}\nC: {closing}\nS: -ERR [AUTH] no\n");
        let dialog = format!("{begin}C: {first}\n{refused}next\n{begin}C: {second}\nS: +OK");
        signed_in.pop3(&dialog).await.0.unwrap();

        // Twice is enough, and says why.
        let dialog = format!("{begin}C: {second}\n{refused}next\n{begin}C*\n{refused}");
        let (outcome, said) = signed_in.pop3(&dialog).await;
        let Err(error) = outcome else { panic!("{said}") };
        assert_eq!(error.class(), pop3::Class::Login);
        let text = error.to_string();
        assert!(text.contains("no (status 401)") && text.contains("`mailferry login work`"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_too_long_for_exchange_is_said_to_be() {
    let signed_in = SignedIn::new(5000).await;
    let refused = "S: +OK\nC: CAPA\nS: +OK\nS: SASL XOAUTH2\nS: .\nC: AUTH XOAUTH2\nS: +\nC*\n\
                   S: -ERR Protocol error. Connection is closed. 10\n";
    let (outcome, said) = signed_in.pop3(&format!("{refused}next\n{refused}")).await;
    let Err(error) = outcome else { panic!("{said}") };
    let text = error.to_string();
    assert!(text.contains("Protocol error") && text.contains("has 5000 octets"), "{text}");
}

/// Gmail's `recent:` stands before the user in the token's line too; whether Google wants it there nobody could try.
#[tokio::test(flavor = "multi_thread")]
async fn who_sees_what_is_recent_is_named_so_beside_the_token() {
    let signed_in = SignedIn::new(40).await;
    let response = xoauth2_of(&format!("recent:{ME}"), &signed_in.token);
    let dialog = format!(
        "S: +OK\nC: CAPA\nS: +OK\nS: SASL XOAUTH2\nS: .\nC: AUTH XOAUTH2\nS: +\nC: {response}\nS: +OK"
    );
    let peer = Peer::play(&dialog).await;
    let settings = pop3::Settings::new(at(peer.port), ME, signed_in.login.clone()).recent();
    let connector = Connectors::default().connector(&settings.peer).unwrap();
    let session = Session::open(&connector, &settings, Quirks::default()).await;
    assert!(session.is_ok(), "{:?}: {}", session.err(), peer.finish().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_goes_to_no_server_that_wants_a_password() {
    let signed_in = SignedIn::new(40).await;
    let (outcome, said) = signed_in.pop3("S: +OK\nC: CAPA\nS: +OK\nS: SASL PLAIN LOGIN\nS: USER\nS: .").await;
    assert!(matches!(outcome, Err(pop3::Error::Insecure(_))), "{outcome:?}");
    assert!(!said.contains("AUTH") && !said.contains("USER"), "{said}");
    let (outcome, said) = signed_in.imap("S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hello").await;
    assert!(matches!(outcome, Err(imap_folder::Fault::NoOAuth)), "{outcome:?}");
    assert!(!said.contains("AUTHENTICATE") && !said.contains("LOGIN"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn imap_sends_a_token_along_where_the_server_knows_that() {
    let signed_in = SignedIn::new(40).await;
    let (first, second) = (xoauth2(&signed_in.token), xoauth2(&signed_in.next()));
    let dialog = format!(
        "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] hello\nC: M1 AUTHENTICATE XOAUTH2 {first}\n\
         S: + {CHALLENGE}\nC: \nS: M1 NO refused\nnext\n\
         S: * OK [CAPABILITY IMAP4rev1 AUTH=XOAUTH2] hello\nC: M1 AUTHENTICATE XOAUTH2\nS: + \nC: {second}\n\
         S: M1 OK [CAPABILITY IMAP4rev1] in\nC: M2 LOGOUT\nS: * BYE\nS: M2 OK\n"
    );
    let (outcome, said) = signed_in.imap(&dialog).await;
    assert!(outcome.is_ok(), "{outcome:?}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_16_kib_is_shown_whole() {
    let signed_in = SignedIn::new(16 << 10).await;
    let xoauth2 = xoauth2(&signed_in.token);
    let dialog = format!(
        "S: +OK\nC: CAPA\nS: +OK\nS: SASL XOAUTH2\nS: .\nC: AUTH XOAUTH2\nS: +\nC: {xoauth2}\nS: +OK"
    );
    signed_in.pop3(&dialog).await.0.unwrap();
    let dialog = format!(
        "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] hello\nC: M1 AUTHENTICATE XOAUTH2\nS: + \nC: {xoauth2}\n\
         S: M1 OK [CAPABILITY IMAP4rev1] in\nC: M2 LOGOUT\nS: * BYE\nS: M2 OK\n"
    );
    assert!(signed_in.imap(&dialog).await.0.is_ok());
    // No provider's token is longer; who sends one is not believed.
    signed_in.scene.provider.tokens(Duration::from_secs(3600), (16 << 10) + 1);
    let refused = signed_in.login.another(&Proof::Token(signed_in.token.as_str().into())).await.unwrap_err();
    assert!(refused.to_string().contains("a token is empty, too long"), "{refused}");
}
