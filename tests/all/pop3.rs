//! The POP3 client against scripted peers, and against Dovecot.

use mailferry::message::Quirks;
use mailferry::net::{self, Connectors, Tls};
use mailferry::pop3::{Error, Session, Settings};

use crate::peer::Peer;

mod hostile;
mod opening;
mod real;
mod session;

/// Settings for a peer on this machine.
fn settings(port: u16, tls: Tls) -> Settings {
    let peer = net::Settings {
        host: "localhost".into(),
        port,
        tls,
        ca_file: None,
        server_name: None,
        pin: None,
        allow_plaintext: false,
    };
    Settings::new(peer, "ann", "secret".into())
}

async fn open_with(settings: &Settings, quirks: Quirks) -> Result<Session, Error> {
    let connector = Connectors::default().connector(&settings.peer)?;
    Session::open(&connector, settings, quirks).await
}

async fn open(settings: &Settings) -> Result<Session, Error> {
    open_with(settings, Quirks::default()).await
}

/// A dialog as far as the login, at a server with these capabilities, and then `rest`.
pub fn logged_in(capabilities: &str, rest: &str) -> String {
    let announced: String = capabilities.split_whitespace().map(|name| format!("S: {name}\n")).collect();
    format!(
        "S: +OK ready
         C: CAPA
         S: +OK
         {announced}
         S: .
         C: USER ann
         S: +OK
         C: PASS secret
         S: +OK
         {rest}"
    )
}

/// A peer and a session with it, logged in; `rest` is the dialog from then on.
async fn session(capabilities: &str, rest: &str) -> (Peer, Session) {
    let peer = Peer::play(&logged_in(capabilities, rest)).await;
    let session = open(&settings(peer.port, Tls::None)).await.unwrap();
    (peer, session)
}
