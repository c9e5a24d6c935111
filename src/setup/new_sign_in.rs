//! Signing in for an account or a destination that is not there yet, or is to be another one.
//!
//! Until that is saved, what the sign-in has brought is in the memory of this process alone: whoever gives up before that
//! leaves nothing behind, neither an account that cannot log in nor tokens that are nobody's. Then the config comes first,
//! and the tokens come into the ledger after it: whatever ends the process between the two, there is an account, or a
//! destination, that says that nobody has signed in yet, and what to do about it.

use std::path::Path;

use chrono::Utc;
use secrecy::{ExposeSecret, SecretString};

use super::sign_ins::{Whom, prepare_key, take_over};
use super::{Error, Suggestion};
use crate::auth::{Holder, Keeper, Login, SignIn};
use crate::config::draft::{HomeDraft, PeerDraft, Place};
use crate::config::{self, Config, OAuth, Service};
use crate::message::AccountName;
use crate::providers::{self, IDENTITIES};

/// What opens a mailbox that is being added or changed.
#[derive(Clone, Debug)]
pub enum NewLogin {
    Password(SecretString),
    SignIn(Box<NewSignIn>),
}

impl NewLogin {
    /// As a session takes it.
    pub fn login(&self) -> Login {
        match self {
            NewLogin::Password(password) => password.clone().into(),
            NewLogin::SignIn(new) => Login::OAuth(Box::new(new.sign_in.clone())),
        }
    }

    /// Whether it is this very login: another sign-in for the same user is another one.
    pub fn is(&self, other: &NewLogin) -> bool {
        match (self, other) {
            (NewLogin::Password(one), NewLogin::Password(other)) => {
                one.expose_secret() == other.expose_secret()
            }
            (NewLogin::SignIn(one), NewLogin::SignIn(other)) => one.keeper.is(&other.keeper),
            _ => false,
        }
    }
}

impl From<SecretString> for NewLogin {
    fn from(password: SecretString) -> NewLogin {
        NewLogin::Password(password)
    }
}

impl From<NewSignIn> for NewLogin {
    fn from(new: NewSignIn) -> NewLogin {
        NewLogin::SignIn(Box::new(new))
    }
}

impl From<&str> for NewLogin {
    fn from(password: &str) -> NewLogin {
        NewLogin::Password(password.into())
    }
}

/// What a sign-in opens: it is shown to no other server, and for no other user.
#[derive(Clone, Debug)]
pub enum Door {
    Source(PeerDraft),
    Home(Place),
}

impl Door {
    fn user(&self) -> &str {
        match self {
            Door::Source(peer) => &peer.user,
            Door::Home(place) => place.user(),
        }
    }

    fn is(&self, other: &Door) -> bool {
        match (self, other) {
            (Door::Source(one), Door::Source(other)) => one == other,
            (Door::Home(one), Door::Home(other)) => one.opens_as(other),
            (Door::Source(_), Door::Home(_)) | (Door::Home(_), Door::Source(_)) => false,
        }
    }
}

/// A sign-in by an application of the config. Clones share what comes of it.
#[derive(Clone, Debug)]
pub struct NewSignIn {
    /// NAME of `[oauth.NAME]`.
    pub oauth: String,
    pub sign_in: SignIn,
    door: Door,
    keeper: Keeper,
}

impl NewSignIn {
    /// For an account that is to be called `name`, by the application `oauth` of the config at `main`.
    ///
    /// # Errors
    /// [`Error::NoApplication`]; [`Error::Config`] and [`Error::Unusable`] where the config has to be mended first.
    pub async fn for_account(
        main: &Path,
        oauth: &str,
        name: &AccountName,
        peer: &PeerDraft,
    ) -> Result<NewSignIn, Error> {
        let config = Whom::Account(name.clone()).load(main).await?;
        let door = Door::Source(peer.clone());
        NewSignIn::new(&config, oauth, Service::Pop3, Holder::newcomer(name), door).await
    }

    /// For a destination as it is to be, be it there already or not, by the application `oauth` of the config at `main`.
    ///
    /// # Errors
    /// As [`NewSignIn::for_account`]; and [`Error::NotOfGoogle`].
    pub async fn for_home(main: &Path, oauth: &str, home: &HomeDraft) -> Result<NewSignIn, Error> {
        let config = Whom::Destination(home.name.clone()).load(main).await?;
        let holder = match config.destinations.iter().any(|known| known.name == home.name) {
            true => Holder::changed_destination(&home.name),
            false => Holder::newcomer(&home.name),
        };
        NewSignIn::new(&config, oauth, home.place.service(), holder, Door::Home(home.place.clone())).await
    }

    /// `config` need not have what is signed in for, but has the key of the tokens.
    async fn new(
        config: &Config,
        oauth: &str,
        service: Service,
        holder: Holder,
        door: Door,
    ) -> Result<NewSignIn, Error> {
        let application = application(config, oauth)?;
        if !application.has_scopes(service) {
            return Err(Error::NotOfGoogle(oauth.to_owned()));
        }
        prepare_key(config).await.map_err(Error::Unusable)?;
        let keeper = Keeper::in_memory(Utc::now).map_err(Error::Unusable)?;
        let mut login = config::new_login(application, service, holder, door.user()).await?;
        login.keep_by(&keeper);
        match login {
            Login::OAuth(sign_in) => {
                Ok(NewSignIn { oauth: oauth.to_owned(), sign_in: *sign_in, door, keeper })
            }
            Login::Password(_) => Err(Error::NoSignIn),
        }
    }

    /// The one that is `known`, where somebody has signed in by it for this very door, by this application; else the
    /// `new` one.
    ///
    /// # Errors
    /// Those of `new`.
    pub async fn or_new(
        known: Option<NewSignIn>,
        oauth: &str,
        door: &Door,
        new: impl Future<Output = Result<NewSignIn, Error>>,
    ) -> Result<NewSignIn, Error> {
        match known.filter(|known| known.oauth == oauth && known.door.is(door)) {
            Some(known) if known.is_done().await => Ok(known),
            Some(_) | None => new.await,
        }
    }

    /// Whether somebody has signed in, and the sign-in has not ended.
    pub async fn is_done(&self) -> bool {
        self.sign_in.is_done().await
    }

    /// Whoever has signed in has to do so again: no server takes it.
    pub async fn undo(&self) {
        self.sign_in.undo().await;
    }

    /// For what is in the config by now.
    pub(super) async fn keep(&self, main: &Path, whom: &Whom) -> Result<(), String> {
        take_over(main, &self.keeper, &self.sign_in.holder, whom).await
    }
}

fn application<'c>(config: &'c Config, name: &str) -> Result<&'c OAuth, Error> {
    let known = || config.oauth.iter().map(|oauth| oauth.name.clone()).collect();
    config
        .oauth
        .iter()
        .find(|oauth| oauth.name == name)
        .ok_or_else(|| Error::NoApplication { name: name.to_owned(), known: known() })
}

/// How one can log in at the server of a suggestion, the likeliest first: `None` is by a password, else it is NAME of
/// `[oauth.NAME]`. Any application may be the right one: only a person knows whose a server is.
///
/// # Errors
/// There is no way, as the config has no application.
pub fn ways_in(config: &Config, suggestion: &Suggestion) -> Result<Vec<Option<String>>, NoWay> {
    let known = providers::for_host(&suggestion.peer.host);
    let identity = known.and_then(|provider| provider.identity);
    let mut applications: Vec<&OAuth> = config.oauth.iter().collect();
    applications.sort_by_key(|oauth| identity.is_none() || oauth.identity() != identity);
    let password = suggestion.only_oauth.is_none().then_some(None);
    let by_oauth = applications.into_iter().map(|oauth| Some(oauth.name.clone()));
    let ways: Vec<Option<String>> = password.into_iter().chain(by_oauth).collect();
    match (&suggestion.only_oauth, ways.is_empty()) {
        (Some(reason), true) => Err(NoWay::new(reason, identity)),
        _ => Ok(ways),
    }
}

/// As [`ways_in`], for where mail is to go. `only_oauth` is what a [`Suggestion`] has said of it. Into Gmail, by its
/// API, lead only Google's own applications.
///
/// # Errors
/// As there.
pub fn ways_to(
    config: &Config,
    place: &Place,
    only_oauth: Option<String>,
) -> Result<Vec<Option<String>>, NoWay> {
    let peer = match place {
        Place::Imap(peer) => peer.clone(),
        Place::Gmail(_) => {
            let of_google = config.oauth.iter().filter(|oauth| oauth.identity() == Some(GOOGLE));
            let ways: Vec<Option<String>> = of_google.map(|oauth| Some(oauth.name.clone())).collect();
            return if ways.is_empty() { Err(NoWay::new("", Some(GOOGLE))) } else { Ok(ways) };
        }
    };
    let known = suggestion_for(peer);
    ways_in(config, &Suggestion { only_oauth: only_oauth.or(known.only_oauth), ..known })
}

const GOOGLE: &str = "google";

/// What is offered where the server is known, and nothing else was asked.
pub fn suggestion_for(peer: PeerDraft) -> Suggestion {
    let only_oauth = providers::for_host(&peer.host).and_then(providers::Provider::only_oauth);
    let told = only_oauth.map(|reason| reason.to_owned().into());
    Suggestion {
        peer,
        told: told.into_iter().collect(),
        question: None,
        only_oauth: only_oauth.map(str::to_owned),
    }
}

/// Why nobody can sign in: what the config lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct NoWay {
    pub text: String,
    /// What to write into the config.
    pub block: String,
}

impl NoWay {
    /// `reason` is a sentence, or empty.
    fn new(reason: &str, identity: Option<&str>) -> NoWay {
        let identity = IDENTITIES.iter().find(|known| Some(known.id) == identity);
        let whose = identity.map(|known| format!(" with {}", known.name)).unwrap_or_default();
        let text = format!(
            "{reason} To sign in, mailferry needs an application that you register{whose}: deploy/oauth.md says how; write it \
             into the config as it is shown here, and begin again."
        );
        let text = text.trim_start().to_owned();
        let mut block = match identity {
            Some(known) => format!("[oauth.{}]\nclient_id = \"...\"\n", known.id),
            None => "[oauth.NAME]\nclient_id = \"...\"\nauthorize_url = \"https://...\"\ntoken_url = \"https://...\"\n\
                     scopes = [\"...\"]\n"
                .to_owned(),
        };
        if let Some(known) = identity.filter(|known| known.wants_secret) {
            block.push_str(&format!("client_secret = {{ file = \"secrets/{}\" }}\n", known.id));
        }
        NoWay { text, block }
    }
}
