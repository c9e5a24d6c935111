//! How mailferry shows a server who it is: by a password, or by a token of OAuth 2 (RFC 6749).
//!
//! A [`Login`] is part of the settings of whoever logs in. Where it is by password, that is all there is to it. Where it is
//! by OAuth, a person has signed in once at an identity provider, and what came of that, a grant, rests in a
//! [`TokenStore`], encrypted. A [`Keeper`] takes it from there and has it renewed in good time. There is no way from the one
//! kind of login to the other.
//!
//! | file | holds |
//! |---|---|
//! | `sasl` | what is written at a login: PLAIN, XOAUTH2, OAUTHBEARER. No I/O |
//! | `client` | what is asked of an identity provider, and its answers |
//! | `signing_in` | the two ways in which a person signs in |
//! | `keeper` | one grant for each login, and a token that is good for now |
//! | `memory` | grants that rest nowhere |
//! | `orderly` | what is done to its end, come what may |
//! | `vault` | the key, and what is encrypted by it |

mod client;
mod keeper;
mod memory;
mod orderly;
pub mod sasl;
mod signing_in;
mod vault;

use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

pub use keeper::{Keeper, Stored, TokenStore};
pub use orderly::{renew_no_more, settled, to_its_end};
pub use signing_in::{Address, CHANGED, DeviceCode, DeviceState, landed};
pub use vault::{KEY_LENGTH, Key, new_key};

/// An application as an identity provider knows it, and what it is to be allowed: `[oauth.NAME]`, for one kind of server.
#[derive(Clone, Debug)]
pub struct Settings {
    pub client_id: String,
    pub client_secret: Option<SecretString>,
    /// Where a person consents (RFC 6749 section 3.1).
    pub authorize_url: String,
    /// RFC 6749 section 3.2.
    pub token_url: String,
    /// RFC 8628 section 3.1; `None` where there is no such way.
    pub device_url: Option<String>,
    pub scopes: Vec<String>,
    /// What the provider wants along with the request for consent.
    pub parameters: Vec<(String, String)>,
    /// A PEM file with the only certificate authorities to trust.
    pub ca_file: Option<PathBuf>,
}

impl Settings {
    /// The same for the same application with the same rights: a token for another one is of no use.
    fn fingerprint(&self, user: &str) -> [u8; 32] {
        let scopes = self.scopes.join(" ");
        let parts = [self.client_id.as_str(), &self.token_url, &scopes, user];
        Sha256::digest(parts.join("\n")).into()
    }
}

/// Whom a grant is for. The text is stored, and bound to what is encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Holder(String);

impl Holder {
    pub fn account(name: impl fmt::Display) -> Holder {
        Holder(format!("account/{name}"))
    }

    pub fn destination(name: impl fmt::Display) -> Holder {
        Holder(format!("destination/{name}"))
    }

    /// An account or a destination that is being added.
    pub fn newcomer(name: impl fmt::Display) -> Holder {
        Holder(format!("new/{name}"))
    }

    /// A destination that is being changed.
    pub fn changed_destination(name: impl fmt::Display) -> Holder {
        Holder(format!("changed/{name}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What a person types to sign in.
    pub fn command(&self) -> String {
        match self.0.split_once('/') {
            Some(("destination", name)) => format!("mailferry login --destination {name}"),
            Some(("new", _)) => "mailferry add".into(),
            Some(("changed", name)) => format!("mailferry edit-destination {name}"),
            Some((_, name)) => format!("mailferry login {name}"),
            None => "mailferry login".into(),
        }
    }
}

/// How somebody logs in.
#[derive(Clone, Debug)]
pub enum Login {
    Password(SecretString),
    OAuth(Box<SignIn>),
}

/// A login that somebody has to sign in for.
#[derive(Clone, Debug)]
pub struct SignIn {
    pub holder: Holder,
    pub user: String,
    pub settings: Settings,
    keeper: Option<Keeper>,
}

/// What a server is shown at a login.
#[derive(Clone, Debug)]
pub enum Proof {
    Password(SecretString),
    Token(SecretString),
}

impl Proof {
    pub fn secret(&self) -> &SecretString {
        match self {
            Proof::Password(secret) | Proof::Token(secret) => secret,
        }
    }
}

/// Why there is no token. Each text is a clause that can follow "host:port: ".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Only a person can help.
    #[error("{0}")]
    SignIn(String),
    /// The identity provider cannot be asked now, or makes no sense: try again.
    #[error("no new token: {0}; it is tried again")]
    Unavailable(String),
    /// A fault of this machine: the key, the ledger.
    #[error("{0}")]
    Local(String),
}

impl From<&str> for Login {
    fn from(password: &str) -> Login {
        Login::Password(password.into())
    }
}

impl From<SecretString> for Login {
    fn from(password: SecretString) -> Login {
        Login::Password(password)
    }
}

impl Login {
    /// By OAuth, as soon as somebody keeps its tokens ([`Login::keep_by`]).
    pub fn oauth(holder: Holder, user: &str, settings: Settings) -> Login {
        Login::OAuth(Box::new(SignIn { holder, user: user.to_owned(), settings, keeper: None }))
    }

    pub fn is_by_oauth(&self) -> bool {
        matches!(self, Login::OAuth(_))
    }

    /// Where the tokens are; a password needs no keeper.
    pub fn keep_by(&mut self, keeper: &Keeper) {
        match self {
            Login::OAuth(sign_in) => sign_in.keeper = Some(keeper.clone()),
            Login::Password(_) => {}
        }
    }

    /// What to show the server now.
    ///
    /// # Errors
    /// Any [`Error`]; with a password none.
    pub async fn proof(&self) -> Result<Proof, Error> {
        match self {
            Login::Password(password) => Ok(Proof::Password(password.clone())),
            Login::OAuth(sign_in) => sign_in.keeper()?.token(sign_in, None).await.map(Proof::Token),
        }
    }

    /// What to show the server that has refused `refused`: another token, once. A password is what it is: `None`.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn another(&self, refused: &Proof) -> Result<Option<Proof>, Error> {
        match (self, refused) {
            (Login::OAuth(sign_in), Proof::Token(token)) => {
                sign_in.keeper()?.token(sign_in, Some(token)).await.map(|token| Some(Proof::Token(token)))
            }
            _ => Ok(None),
        }
    }

    /// Whether both open the same door.
    pub fn is_like(&self, other: &Login) -> bool {
        match (self, other) {
            (Login::Password(one), Login::Password(other)) => one.expose_secret() == other.expose_secret(),
            (Login::OAuth(one), Login::OAuth(other)) => one.is_like(other),
            _ => false,
        }
    }
}

impl SignIn {
    fn keeper(&self) -> Result<&Keeper, Error> {
        self.keeper.as_ref().ok_or_else(|| self.wanted())
    }

    fn fingerprint(&self) -> [u8; 32] {
        self.settings.fingerprint(&self.user)
    }

    /// Nobody has signed in.
    fn wanted(&self) -> Error {
        Error::SignIn(format!(
            "nobody has signed in yet; run `{}`, or sign in on the page",
            self.holder.command()
        ))
    }

    /// Nobody is signed in any more, for a reason that is a clause.
    fn ended(&self, reason: &str) -> Error {
        Error::SignIn(format!("{reason}; sign in again: `{}`, or on the page", self.holder.command()))
    }

    /// Whether both are for the same holder, user, application and rights.
    pub fn is_like(&self, other: &SignIn) -> bool {
        self.holder == other.holder && self.fingerprint() == other.fingerprint()
    }

    /// Whether somebody has signed in for just this, and the sign-in has not ended.
    pub async fn is_done(&self) -> bool {
        match &self.keeper {
            Some(keeper) => keeper.is_signed_in(self).await,
            None => false,
        }
    }

    /// Whoever has signed in has to do so again. Where the store cannot be had, what is in it stays.
    pub async fn undo(&self) {
        if let Some(keeper) = &self.keeper {
            let _ = keeper.forget(&self.holder).await;
        }
    }

    /// What a server's refusal of a fresh token may mean, as a clause.
    pub fn refused(&self) -> String {
        format!(
            "check that `user` is who has signed in, and that the provider lets programs in; else sign in again: `{}`",
            self.holder.command()
        )
    }
}
