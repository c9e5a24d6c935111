//! What the options of `add` and `edit` answer beforehand of an account, and what options of a destination have in common
//! with them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::config::Config;
use crate::config::draft::{self, AccountDraft, POP3_PORTS, PeerDraft, Ports};
use crate::message::{DestinationName, Import, LeaveCopy, Route};
use crate::net::Tls;
use crate::setup::{self, RouteAnswers};

use super::{exit, plain};

/// Answers given beforehand; what is missing is asked for, if somebody is there.
#[derive(Args, Default)]
pub struct Answers {
    /// The POP3 server
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Its port [default: 995, or 110 with --tls starttls]
    #[arg(long)]
    port: Option<u16>,
    /// How the connection is encrypted
    #[arg(long, value_enum)]
    tls: Option<TlsWord>,
    /// Who logs in [default: the address]
    #[arg(long)]
    user: Option<String>,
    /// A file with the password, or - for standard input
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Sign in by OAuth, in the place of a password: by the application [oauth.NAME] of the config; for `add`
    #[arg(long, value_name = "NAME", conflicts_with = "password_file")]
    pub oauth: Option<String>,
    /// Leave a copy of retrieved messages on the server: yes, no, or for how long, such as 14d
    #[arg(long, value_name = "yes|no|TIME", value_parser = draft::parse_leave_copy)]
    pub leave_copy: Option<LeaveCopy>,
    /// What of the mail that is there already is wanted
    #[arg(long, value_enum)]
    pub import: Option<ImportWord>,
    /// The destination, by its name in the config
    #[arg(long, value_name = "DESTINATION", value_parser = super::destination_name)]
    pub to: Option<DestinationName>,
    /// The folder, for an IMAP destination
    #[arg(long, value_parser = draft::parse_folder)]
    pub folder: Option<String>,
    /// Archive incoming messages (Skip the Inbox): on Gmail they are in All Mail then, elsewhere in the folder for the
    /// archive
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes",
        value_parser = yes_or_no)]
    pub skip_inbox: Option<bool>,
    /// Label incoming messages, on Gmail: names, with commas between them
    #[arg(long, value_name = "NAMES", value_parser = draft::parse_labels)]
    pub labels: Option<Labels>,
    /// Deliver as read, to an IMAP destination or Gmail
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes",
        value_parser = yes_or_no)]
    pub mark_read: Option<bool>,
    /// Put what its provider marks as spam into the junk folder of an IMAP destination, or Gmail's spam
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes",
        value_parser = yes_or_no)]
    pub junk: Option<bool>,
    /// Ask nothing: take the defaults of what is not given
    #[arg(short, long)]
    pub yes: bool,
}

/// One answer, not many.
pub type Labels = Vec<String>;

#[derive(Clone, Copy, ValueEnum)]
pub enum TlsWord {
    Implicit,
    Starttls,
    None,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum ImportWord {
    All,
    New,
}

pub fn yes_or_no(text: &str) -> Result<bool, &'static str> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("answer yes or no"),
    }
}

impl From<TlsWord> for Tls {
    fn from(word: TlsWord) -> Tls {
        match word {
            TlsWord::Implicit => Tls::Implicit,
            TlsWord::Starttls => Tls::StartTls,
            TlsWord::None => Tls::None,
        }
    }
}

impl From<ImportWord> for Import {
    fn from(word: ImportWord) -> Import {
        match word {
            ImportWord::All => Import::All,
            ImportWord::New => Import::New,
        }
    }
}

impl Answers {
    /// Nothing is answered beforehand.
    pub fn is_none(&self) -> bool {
        let Answers { host, port, tls, user, password_file, oauth, leave_copy, import, .. } = self;
        let server = host.is_none() && port.is_none() && tls.is_none() && user.is_none();
        let terms = leave_copy.is_none() && import.is_none();
        server && password_file.is_none() && oauth.is_none() && terms && !self.says_where()
    }

    /// `account`, changed as far as there are answers.
    pub fn applied_to(&self, mut account: AccountDraft, config: &Config) -> anyhow::Result<AccountDraft> {
        account.peer = self.applied_to_peer(account.peer);
        account.leave_copy = self.leave_copy.unwrap_or(account.leave_copy);
        account.import = self.import.map_or(account.import, Import::from);
        if !self.says_where() {
            return Ok(account);
        }
        match &mut account.routes[..] {
            [route] => *route = self.route(config, route.to.clone(), Some(route))?,
            routes => {
                let text =
                    format!("{} has {} destinations; change them in its file", account.name, routes.len());
                return Err(plain(exit::USAGE, text));
            }
        }
        Ok(account)
    }

    /// Whether anything is answered of where the mail goes, and as what.
    fn says_where(&self) -> bool {
        let Answers { to, folder, skip_inbox, labels, mark_read, junk, .. } = self;
        to.is_some()
            || folder.is_some()
            || labels.is_some()
            || [skip_inbox, mark_read, junk].into_iter().any(Option::is_some)
    }

    /// The route to the destination that is answered, or else to `to`.
    pub fn route(
        &self,
        config: &Config,
        to: DestinationName,
        before: Option<&Route>,
    ) -> anyhow::Result<Route> {
        let to = self.to.clone().unwrap_or(to);
        self.must_fit(&to, word(config, &to))?;
        let answers = RouteAnswers {
            to: to.as_str(),
            folder: self.folder.as_deref(),
            skip_inbox: self.skip_inbox,
            labels: self.labels.clone(),
            mark_read: self.mark_read,
            junk: self.junk,
        };
        Ok(setup::route(config, answers, before)?)
    }

    /// Whether a destination of the kind with this word can do what is answered.
    pub fn must_fit(&self, to: &DestinationName, word: &str) -> anyhow::Result<()> {
        let is_for_mailboxes = self.folder.is_some()
            || self.labels.is_some()
            || [self.skip_inbox, self.mark_read, self.junk].contains(&Some(true));
        if is_for_mailboxes && word == "webhook" {
            let text = format!(
                "--folder, --skip-inbox, --labels, --mark-read and --junk are for mailboxes, and {to} is a webhook; leave \
                 them out"
            );
            return Err(plain(exit::USAGE, text));
        }
        if self.folder.is_some() && word == "gmail" {
            let text = format!("--folder is for IMAP, and {to} is Gmail, which has labels; take --labels");
            return Err(plain(exit::USAGE, text));
        }
        Ok(())
    }

    pub fn applied_to_peer(&self, peer: PeerDraft) -> PeerDraft {
        changed(peer, &POP3_PORTS, self.host.as_ref(), self.port, self.tls, self.user.as_ref())
    }

    /// This command line with the settings of `peer`, as a shell takes it.
    pub fn again_with(&self, peer: &PeerDraft) -> String {
        let given = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
        let options = [
            ("--host", Some(peer.host.clone())),
            ("--port", self.port.is_none().then(|| peer.port.to_string())),
            ("--tls", self.tls.is_none().then(|| draft::tls_word(peer.tls).to_owned())),
            ("--user", self.user.is_none().then(|| peer.user.clone())),
        ];
        let more =
            options.into_iter().filter_map(|(option, value)| Some([option.to_owned(), value?])).flatten();
        given.chain(more).map(|word| quoted(&word)).collect::<Vec<_>>().join(" ")
    }
}

/// A word as a shell takes it: a server may have named it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.,:/@=+".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

pub fn changed(
    mut peer: PeerDraft,
    ports: &Ports,
    host: Option<&String>,
    port: Option<u16>,
    tls: Option<TlsWord>,
    user: Option<&String>,
) -> PeerDraft {
    if let Some(tls) = tls.map(Tls::from).filter(|tls| *tls != peer.tls) {
        (peer.tls, peer.port) = (tls, ports.of(tls));
    }
    peer.port = port.unwrap_or(peer.port);
    peer.host = host.cloned().unwrap_or(peer.host);
    peer.user = user.cloned().unwrap_or(peer.user);
    peer
}

/// The kind of a destination, by its word in the config.
pub fn word(config: &Config, name: &DestinationName) -> &'static str {
    config.destinations.iter().find(|known| known.name == *name).map_or("", |known| known.word)
}
