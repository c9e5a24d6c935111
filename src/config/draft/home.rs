//! A destination, in the main file.

use toml_edit::{Item, Table};

use super::{LoginKey, PeerDraft, parse, set};
use crate::config::Kind;
use crate::config::oauth::Service;
use crate::destination::gmail;
use crate::message::DestinationName;

/// A destination, but for what opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HomeDraft {
    pub name: DestinationName,
    pub place: Place,
}

/// Where mail goes that setup can see to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Imap(PeerDraft),
    Gmail(GmailDraft),
}

/// A mailbox of Gmail, by its API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GmailDraft {
    pub user: String,
    /// Where the API is.
    pub url: String,
    pub never_mark_spam: bool,
    pub process_for_calendar: bool,
}

impl HomeDraft {
    /// A destination as the config has it; `None` for a webhook.
    pub fn of(name: &DestinationName, kind: &Kind) -> Option<HomeDraft> {
        let place = match kind {
            Kind::Imap(settings) => {
                let (net, user) = (&settings.peer, settings.user.clone());
                Place::Imap(PeerDraft { host: net.host.clone(), port: net.port, tls: net.tls, user })
            }
            Kind::Gmail(settings) => Place::Gmail(GmailDraft {
                user: settings.user.clone(),
                url: settings.url.clone(),
                never_mark_spam: settings.never_mark_spam,
                process_for_calendar: settings.process_for_calendar,
            }),
            Kind::Webhook(_) => return None,
        };
        Some(HomeDraft { name: name.clone(), place })
    }

    /// `text`, a main file, with this destination at its end.
    ///
    /// # Errors
    /// Where `text` is not TOML, or has a destination of that name.
    pub fn add_to(&self, text: &str, login: Option<LoginKey<'_>>) -> Result<String, String> {
        let mut document = parse(text)?;
        let destinations = document.entry("destination").or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        });
        let destinations = destinations.as_table_mut().ok_or("`destination` is not a table")?;
        if destinations.contains_key(self.name.as_str()) {
            return Err(format!("there is a destination {} already; choose another name", self.name));
        }
        let mut table = Table::new();
        set(&mut table, "kind", self.place.word().into());
        self.place.write(&mut table, None);
        if let Some(login) = login {
            login.write(&mut table);
        }
        destinations.insert(self.name.as_str(), Item::Table(table));
        Ok(document.to_string())
    }

    /// `text`, a main file in which this destination is `before`, changed to mean this. What is the same keeps its wording,
    /// comments stay; without `login` what opens it stays.
    ///
    /// # Errors
    /// Where `text` is not TOML, or this destination no table of its own.
    pub fn rewrite(
        &self,
        text: &str,
        before: &HomeDraft,
        login: Option<LoginKey<'_>>,
    ) -> Result<String, String> {
        let mut document = parse(text)?;
        let table = document.get_mut("destination").and_then(|all| all.get_mut(self.name.as_str()));
        let table = table.and_then(Item::as_table_mut);
        let table = table.ok_or_else(|| {
            format!("has no table [destination.{}] that could be changed; change it there by hand", self.name)
        })?;
        self.place.write(table, Some(&before.place));
        if let Some(login) = login {
            login.write(table);
        }
        Ok(document.to_string())
    }
}

impl Place {
    /// What somebody signs in for.
    pub fn service(&self) -> Service {
        match self {
            Place::Imap(_) => Service::Imap,
            Place::Gmail(_) => Service::Gmail,
        }
    }

    pub fn user(&self) -> &str {
        match self {
            Place::Imap(peer) => &peer.user,
            Place::Gmail(gmail) => &gmail.user,
        }
    }

    pub fn user_mut(&mut self) -> &mut String {
        match self {
            Place::Imap(peer) => &mut peer.user,
            Place::Gmail(gmail) => &mut gmail.user,
        }
    }

    /// What is logged in to, as people call it.
    pub fn host(&self) -> &str {
        match self {
            Place::Imap(peer) => &peer.host,
            Place::Gmail(_) => "Gmail",
        }
    }

    /// Whether what opens `other` may be shown here: it is the same user of the same server.
    pub fn opens_as(&self, other: &Place) -> bool {
        match (self, other) {
            (Place::Imap(one), Place::Imap(other)) => one == other,
            (Place::Gmail(one), Place::Gmail(other)) => (&one.user, &one.url) == (&other.user, &other.url),
            (Place::Imap(_), Place::Gmail(_)) | (Place::Gmail(_), Place::Imap(_)) => false,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Place::Imap(_) => "imap",
            Place::Gmail(_) => "gmail",
        }
    }

    fn write(&self, table: &mut Table, before: Option<&Place>) {
        match (self, before) {
            (Place::Imap(peer), Some(Place::Imap(before))) => peer.write(table, Some(before)),
            (Place::Imap(peer), _) => peer.write(table, None),
            (Place::Gmail(gmail), Some(Place::Gmail(before))) => gmail.write(table, before),
            (Place::Gmail(gmail), _) => {
                set(table, "user", gmail.user.as_str().into());
                gmail.write(table, &GmailDraft::of(&gmail.user));
            }
        }
    }
}

impl GmailDraft {
    /// With all defaults.
    pub fn of(user: &str) -> GmailDraft {
        GmailDraft {
            user: user.to_owned(),
            url: gmail::URL.to_owned(),
            never_mark_spam: false,
            process_for_calendar: true,
        }
    }

    fn write(&self, table: &mut Table, before: &GmailDraft) {
        if self.user != before.user {
            set(table, "user", self.user.as_str().into());
        }
        if self.url != before.url {
            set(table, "url", self.url.as_str().into());
        }
        if self.never_mark_spam != before.never_mark_spam {
            set(table, "never_mark_spam", self.never_mark_spam.into());
        }
        if self.process_for_calendar != before.process_for_calendar {
            set(table, "process_for_calendar", self.process_for_calendar.into());
        }
    }
}

/// As [`super::password_file`], but of the destination of this name in `text`, a main file.
pub fn home_password_file(text: &str, name: &DestinationName) -> Option<String> {
    let document = parse(text).ok()?;
    let home = document.get("destination")?.get(name.as_str())?;
    Some(home.get("password")?.get("file")?.as_str()?.to_owned())
}
