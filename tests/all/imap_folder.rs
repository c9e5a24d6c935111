//! The IMAP folder as a destination: on a real Dovecot, and against scripted peers.

use std::path::PathBuf;

use mailferry::destination::imap_folder::{ImapFolder, Settings};
use mailferry::message::{
    AccountName, DestinationName, Mark, Message, Outgoing, Route, Sought, Spool, Uidl, Verdict,
};
use mailferry::net::{self, Connectors, Tls};

use crate::dovecot::PASSWORD;

mod hostile;
mod past;
mod real;
mod scripted;

/// A destination on this machine.
fn folders_of(user: &str, port: u16, tls: Tls, ca_file: Option<PathBuf>) -> ImapFolder {
    folders_with(PASSWORD, user, port, tls, ca_file)
}

fn folders_with(password: &str, user: &str, port: u16, tls: Tls, ca_file: Option<PathBuf>) -> ImapFolder {
    let peer = net::Settings {
        host: "localhost".into(),
        port,
        tls,
        ca_file,
        server_name: None,
        pin: None,
        allow_plaintext: false,
    };
    folders_at(peer, user, password)
}

fn folders_at(peer: net::Settings, user: &str, password: &str) -> ImapFolder {
    let connector = Connectors::default().connector(&peer).unwrap();
    ImapFolder::new(
        Settings { peer, user: user.into(), login: password.into(), daily_budget: None },
        connector,
    )
}

fn route(folder: &str) -> Route {
    Route { folder: folder.into(), ..Route::to(DestinationName::new("home").unwrap()) }
}

async fn message(bytes: impl AsRef<[u8]>) -> Message {
    let mut spool = Spool::new(&std::env::temp_dir());
    spool.write(bytes.as_ref()).await.unwrap();
    spool.finish().await.unwrap()
}

async fn messages(all: &[impl AsRef<[u8]>]) -> Vec<Message> {
    let mut messages = Vec::new();
    for bytes in all {
        messages.push(message(bytes).await);
    }
    messages
}

fn outgoing(message: &Message, mark: Mark) -> Outgoing {
    let account = AccountName::new("work").unwrap();
    Outgoing { message: message.clone(), account, uidl: Uidl::new(b"1"), mark, attempts: 0 }
}

async fn marks(imap: &ImapFolder, route: &Route, messages: &[Message]) -> Vec<Mark> {
    imap.prepare(route, &messages.iter().collect::<Vec<_>>()).await.unwrap()
}

/// Where no other message is equal to any of these.
fn sought(marks: &[Mark]) -> Vec<Sought> {
    marks.iter().map(|mark| Sought { mark: mark.clone(), twins: Vec::new() }).collect()
}

/// Prepares and delivers, as a poll does.
async fn deliver(imap: &ImapFolder, route: &Route, messages: &[Message]) -> Vec<Verdict> {
    let marks = marks(imap, route, messages).await;
    let outgoing: Vec<Outgoing> =
        messages.iter().zip(marks).map(|(message, mark)| outgoing(message, mark)).collect();
    let verdicts = imap.deliver(route, &outgoing).await;
    assert_eq!(verdicts.len(), messages.len());
    verdicts
}

fn all_delivered(verdicts: &[Verdict]) -> bool {
    verdicts.iter().all(|verdict| matches!(verdict, Verdict::Delivered { .. }))
}
