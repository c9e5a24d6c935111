//! Logging in without moving mail.

use std::fmt;
use std::path::Path;

use indicatif::{HumanBytes, HumanCount};
use tracing::warn;

use super::sign_ins;
use super::words::LoginFault;
use crate::auth::Login;
use crate::config;
use crate::config::draft::{GmailDraft, PeerDraft, Place};
use crate::destination::gmail::{self, Gmail};
use crate::destination::imap_folder::{self, ImapFolder};
use crate::destination::webhook::Webhook;
use crate::destination::{Destination, Kind};
use crate::message::{Quirks, Route};
use crate::net::{self, Certificate, Connector, Connectors};
use crate::pop3::{self, Session};

/// What a source showed when it was logged in to.
#[derive(Clone, Debug)]
pub struct Mailbox {
    pub messages: u32,
    pub octets: u64,
    /// `None` without TLS.
    pub certificate: Option<Certificate>,
}

impl Mailbox {
    /// How much there is.
    pub fn amount(&self) -> String {
        let noun = if self.messages == 1 { "message" } else { "messages" };
        format!("{} {noun}, {}", HumanCount(self.messages.into()), HumanBytes(self.octets))
    }

    /// Who vouches for the server, and until when; or that nobody does.
    pub fn trust(&self) -> String {
        self.certificate.as_ref().map_or_else(|| "NOT ENCRYPTED".into(), Certificate::to_string)
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.amount(), self.trust())
    }
}

/// Logs in to a mailbox and looks how much there is.
///
/// # Errors
/// What a poll would fail with.
pub async fn log_in(source: &pop3::Settings, connector: &Connector) -> Result<Mailbox, pop3::Error> {
    let mut session = Session::open(connector, source, Quirks::default()).await?;
    let stat = session.stat().await?;
    let certificate = session.certificate();
    // All that is wanted is known: an answer to QUIT is of no interest.
    let _ = session.quit().await;
    Ok(Mailbox { messages: stat.count, octets: stat.octets, certificate })
}

/// Logs in to the mailbox of an account that is being set up or changed.
///
/// # Errors
/// What is wrong, as a clause that can follow the host's name.
pub async fn log_in_account(peer: net::Settings, user: &str, login: Login) -> Result<Mailbox, LoginFault> {
    let source = pop3::Settings::new(peer, user, login);
    let connector = Connectors::default().connector(&source.peer).map_err(pop3::Error::from)?;
    Ok(log_in(&source, &connector).await?)
}

/// Logs in where mail is to go, and says what a person may want to know of it.
///
/// # Errors
/// What is wrong, as a clause that can follow the host's name.
pub async fn log_in_home(place: &Place, login: Login) -> Result<String, LoginFault> {
    log_in_changed_home(place, login, None).await
}

/// As [`log_in_home`], trusting whom a destination that is `known` trusts.
///
/// # Errors
/// As there.
pub(super) async fn log_in_changed_home(
    place: &Place,
    login: Login,
    known: Option<&config::Kind>,
) -> Result<String, LoginFault> {
    match place {
        Place::Imap(draft) => {
            let trust = match known {
                Some(config::Kind::Imap(settings)) => settings.peer.clone(),
                _ => draft.net(),
            };
            let PeerDraft { host, port, tls, user } = draft.clone();
            let peer = net::Settings { host, port, tls, ..trust };
            let settings = imap_folder::Settings { peer, user, login, daily_budget: None };
            let connector =
                Connectors::default().connector(&settings.peer).map_err(imap_folder::Fault::from)?;
            Ok(ImapFolder::new(settings, connector).log_in().await?)
        }
        Place::Gmail(draft) => {
            let ca_file = match known {
                Some(config::Kind::Gmail(settings)) => settings.ca_file.clone(),
                _ => None,
            };
            let GmailDraft { user, url, never_mark_spam, process_for_calendar } = draft.clone();
            let settings =
                gmail::Settings { user, login, url, never_mark_spam, process_for_calendar, ca_file };
            let gmail = Gmail::new(settings, &mut Connectors::default());
            Ok(gmail.map_err(gmail::Refused::from)?.log_in().await?)
        }
    }
}

/// Why a destination of the config was not logged in to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// Its secret cannot be had here; who runs mailferry may have it.
    NoSecret(String),
    Refused(String),
}

/// Logs in to the destination of a route, one of the config at `main`, and says what a person may want to know of it.
///
/// # Errors
/// What is wrong, in a sentence; also where it cannot do what the route wants.
pub async fn log_in_destination(main: &Path, route: &Route) -> Result<String, Unusable> {
    let name = &route.to;
    let config = sign_ins::load_with_secret_of_destination(main, name).await;
    let config = config.map_err(|e| Unusable::NoSecret(e.to_string()))?;
    let found = config.destinations.into_iter().find(|destination| destination.name == *name);
    let Some(destination) = found else {
        return Err(Unusable::NoSecret(format!("there is no destination {name}")));
    };
    if let Err(reason) = &destination.kind {
        return Err(Unusable::NoSecret(reason.clone()));
    }
    let destination = build_destination(destination, &mut Connectors::default());
    destination.probe([route]).await.map_err(Unusable::Refused)
}

/// Makes a destination of its config; one that cannot be made says so whenever it is asked for something.
pub fn build_destination(destination: config::Destination, connectors: &mut Connectors) -> Destination {
    let name = destination.name;
    let kind = match destination.kind {
        Ok(config::Kind::Imap(settings)) => match connectors.connector(&settings.peer) {
            Ok(connector) => Kind::ImapFolder(ImapFolder::new(settings, connector)),
            Err(error) => Kind::Unusable(error.to_string()),
        },
        Ok(config::Kind::Webhook(settings)) => match Webhook::new(&name, settings, connectors) {
            Ok(webhook) => Kind::Webhook(webhook),
            Err(reason) => Kind::Unusable(reason),
        },
        Ok(config::Kind::Gmail(settings)) => match Gmail::new(settings, connectors) {
            Ok(gmail) => Kind::Gmail(gmail),
            Err(reason) => Kind::Unusable(reason),
        },
        Err(reason) => Kind::Unusable(reason),
    };
    if let Kind::Unusable(reason) = &kind {
        warn!(destination = %name, "{reason}");
    }
    Destination::new(name, kind)
}
