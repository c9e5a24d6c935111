//! The two ways in which a person signs in: at an address that leads back here, or with a code that is typed in elsewhere.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::client::{Client, Granted, Refusal};
use super::keeper::Keeper;
use super::orderly::to_its_end;
use super::vault::random;
use super::{Error, SignIn};
use crate::printable::printable;

/// A request for consent, under way (RFC 6749 section 4.1, with PKCE of RFC 7636).
#[derive(Clone, Debug)]
pub struct Address {
    /// What to open in a browser.
    pub url: String,
    redirect: String,
    state: String,
    verifier: SecretString,
}

/// A code to type in, under way (RFC 8628).
#[derive(Clone, Debug)]
pub struct DeviceCode {
    /// What to type in, and where. Printable.
    pub user_code: String,
    pub url: String,
    /// How long it is good for.
    pub life: Duration,
    /// How long to wait before it is asked for again.
    pub interval: Duration,
    device_code: SecretString,
    /// How often in a row the provider has refused to say, and why nobody knows.
    mute: u32,
}

/// Whether somebody has typed it in.
#[derive(Debug)]
pub enum DeviceState {
    Waiting,
    SignedIn,
}

/// Why what a provider has granted is not kept, a clause.
pub const CHANGED: &str = "what was signed in for has been changed meanwhile; sign in anew";

/// RFC 8628 section 3.2, where the provider does not say.
const INTERVAL: Duration = Duration::from_secs(5);
/// Nobody waits longer between two questions, whatever the provider says.
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);
/// What a `slow_down` adds (RFC 8628 section 3.5).
const SLOWER: Duration = Duration::from_secs(5);
/// The longest life of a code: nobody sits there for longer.
const LONGEST_LIFE: Duration = Duration::from_secs(30 * 60);
/// Microsoft says so where it says nothing.
const USUAL_LIFE: Duration = Duration::from_secs(15 * 60);

/// So many refusals without a reason, one after the other, will go on: `token_url` leads somewhere else, perhaps.
const MUTE: u32 = 3;

impl Address {
    /// # Errors
    /// A clause: the address cannot be made.
    pub fn new(sign_in: &SignIn, redirect: &str) -> Result<Address, String> {
        let (state, verifier) = (word()?, SecretString::from(word()?));
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose_secret()));
        let settings = &sign_in.settings;
        let mut url =
            Url::parse(&settings.authorize_url).map_err(|e| format!("`authorize_url` is no URL ({e})"))?;
        let scopes = settings.scopes.join(" ");
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &settings.client_id)
            .append_pair("redirect_uri", redirect)
            .append_pair("scope", &scopes)
            .append_pair("state", &state)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .append_pair("login_hint", &sign_in.user)
            .extend_pairs(&settings.parameters);
        Ok(Address { url: url.into(), redirect: redirect.to_owned(), state, verifier })
    }

    /// Goes on with what a person has landed at: the whole address, or what follows its `?`. Once for each code:
    /// providers take its second use for a theft, and withdraw what they gave for the first (RFC 6749 section 4.1.2).
    /// What is granted is kept if it `is_wanted` still: it must not take the place of a later sign-in, for somebody
    /// else perhaps.
    ///
    /// # Errors
    /// What is wrong, as a sentence's clause.
    pub async fn landed(
        &self,
        sign_in: &SignIn,
        address: &str,
        is_wanted: impl Future<Output = bool> + Send + 'static,
    ) -> Result<(), Error> {
        let code = landed(address, &self.state).map_err(Error::SignIn)?;
        let (sign_in, redirect, verifier) = (sign_in.clone(), self.redirect.clone(), self.verifier.clone());
        let exchange = async move {
            let keeper = sign_in.keeper()?;
            let client = Client::new(&sign_in.settings).map_err(Error::Local)?;
            let granted = client.exchange(code.expose_secret(), &redirect, &verifier).await;
            keep(&sign_in, keeper, granted, is_wanted).await
        };
        to_its_end(exchange).await.unwrap_or_else(|e| Err(Error::Local(e.to_string())))
    }

    /// Whether there is a code in what a person has landed at.
    ///
    /// # Errors
    /// Why not, as a sentence's clause.
    pub fn check(&self, address: &str) -> Result<(), String> {
        landed(address, &self.state).map(drop)
    }

    /// Whether an address is an answer to this request, and not to another one.
    pub fn is_answered_by(&self, query: &str) -> bool {
        parameters(query).iter().any(|(name, value)| name == "state" && *value == self.state)
    }
}

/// The code in the address that a person has landed at.
///
/// # Errors
/// A clause: what the provider said instead, or that this is no such address.
pub fn landed(address: &str, state: &str) -> Result<SecretString, String> {
    let parameters = parameters(address);
    let value = |wanted: &str| Some(parameters.iter().find(|(name, _)| name == wanted)?.1.clone());
    if value("state").is_none_or(|found| found != state) {
        return Err("this is not the address that this sign-in leads to; take the last one, whole".into());
    }
    if let Some(error) = value("error") {
        let described =
            value("error_description").map(|text| format!(": {}", printable(text))).unwrap_or_default();
        return Err(format!("the provider did not let you in ({}{described})", printable(error)));
    }
    value("code")
        .map(SecretString::from)
        .ok_or_else(|| "there is no code in this address; take it whole".into())
}

fn parameters(address: &str) -> Vec<(String, String)> {
    let query = address.trim().rsplit_once('?').map_or(address.trim(), |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    let Ok(mut url) = Url::parse("http://localhost/") else { return Vec::new() };
    url.set_query(Some(query));
    url.query_pairs().into_owned().collect()
}

impl DeviceCode {
    /// # Errors
    /// Why there is none.
    pub async fn ask(sign_in: &SignIn) -> Result<DeviceCode, Error> {
        let client = Client::new(&sign_in.settings).map_err(Error::Local)?;
        let answer = client.device_code().await.map_err(of_refusal)?;
        let seconds = |given: Option<u64>, usual: Duration| given.map_or(usual, Duration::from_secs);
        Ok(DeviceCode {
            user_code: printable(answer.user_code),
            url: printable(answer.verification_uri),
            life: seconds(answer.expires_in, USUAL_LIFE).min(LONGEST_LIFE),
            interval: seconds(answer.interval, INTERVAL).clamp(Duration::from_secs(1), LONGEST_INTERVAL),
            device_code: answer.device_code,
            mute: 0,
        })
    }

    /// Asks whether somebody has typed it in; not more often than [`DeviceCode::interval`]. A provider that cannot be asked
    /// now is asked the next time. What is granted is kept if it `is_wanted` still, as in [`Address::landed`].
    ///
    /// # Errors
    /// It is of no use any more.
    pub async fn state(
        &mut self,
        sign_in: &SignIn,
        is_wanted: impl Future<Output = bool> + Send + 'static,
    ) -> Result<DeviceState, Error> {
        let asking = to_its_end(is_typed_in(sign_in.clone(), self.device_code.clone(), is_wanted));
        let typed = asking.await.unwrap_or_else(|e| Err(Error::Local(e.to_string())))?;
        self.mute = if matches!(typed, Typed::Mute(_)) { self.mute + 1 } else { 0 };
        match typed {
            Typed::Yes => return Ok(DeviceState::SignedIn),
            Typed::Mute(reason) if self.mute >= MUTE => {
                return Err(Error::SignIn(format!(
                    "{reason}, and not why, {MUTE} times in a row; check the provider's `token_url`, and sign in once more"
                )));
            }
            Typed::NotYet | Typed::Mute(_) => {}
            Typed::AskLess => self.interval = (self.interval + SLOWER).min(LONGEST_INTERVAL),
        }
        Ok(DeviceState::Waiting)
    }
}

enum Typed {
    Yes,
    NotYet,
    AskLess,
    /// Refused, and nobody knows why: a clause.
    Mute(String),
}

/// What comes of a code that was typed in is kept.
async fn is_typed_in(
    sign_in: SignIn,
    device_code: SecretString,
    is_wanted: impl Future<Output = bool>,
) -> Result<Typed, Error> {
    let keeper = sign_in.keeper()?;
    let client = Client::new(&sign_in.settings).map_err(Error::Local)?;
    match client.ask_for_device(&device_code).await {
        Err(Refusal::Pending | Refusal::Passing(_)) => Ok(Typed::NotYet),
        Err(Refusal::SlowDown) => Ok(Typed::AskLess),
        Err(Refusal::Mute(reason)) => Ok(Typed::Mute(reason)),
        granted => keep(&sign_in, keeper, granted, is_wanted).await.map(|()| Typed::Yes),
    }
}

async fn keep(
    sign_in: &SignIn,
    keeper: &Keeper,
    granted: Result<Granted, Refusal>,
    is_wanted: impl Future<Output = bool>,
) -> Result<(), Error> {
    let granted = checked(granted)?;
    if is_wanted.await { keeper.keep(sign_in, granted).await } else { Err(Error::SignIn(CHANGED.into())) }
}

/// A grant that is good for what it was asked for.
fn checked(granted: Result<Granted, Refusal>) -> Result<Granted, Error> {
    let granted = granted.map_err(of_refusal)?;
    if !granted.withheld.is_empty() {
        let withheld = granted.withheld.join(", ");
        return Err(Error::SignIn(format!(
            "it was not allowed: {}; sign in again and allow all",
            printable(withheld)
        )));
    }
    if granted.refresh.is_none() {
        let reason =
            "the provider let you in, but for an hour only: it gave no refresh token; check the `scopes`";
        return Err(Error::SignIn(reason.into()));
    }
    Ok(granted)
}

/// Nobody tries it again but the person.
fn of_refusal(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Passing(reason) | Refusal::Mute(reason) | Refusal::Odd { reason, .. } => {
            Error::SignIn(format!("{reason}; sign in once more, now or later"))
        }
        other => Error::SignIn(other.reason()),
    }
}

/// A word that nobody can guess: 256 bits.
fn word() -> Result<String, String> {
    Ok(BASE64_URL_SAFE_NO_PAD.encode(random::<32>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_in_what_people_paste() {
        let code = |address: &str| landed(address, "s1").map(|code| code.expose_secret().to_owned());
        for address in [
            "http://127.0.0.1:8025/signed-in?state=s1&code=4%2Fabc&scope=x",
            "  https://example.org/?code=4/abc&state=s1#_=_\n",
            "code=4/abc&state=s1",
        ] {
            assert_eq!(code(address).as_deref(), Ok("4/abc"), "{address}");
        }
        assert!(code("http://localhost/?code=x&state=other").unwrap_err().contains("not the address"));
        assert!(code("http://localhost/?state=s1").unwrap_err().contains("no code"));
        let refused = code("http://localhost/?error=access_denied&error_description=%1b[31mno&state=s1");
        assert_eq!(refused.unwrap_err(), "the provider did not let you in (access_denied: \\x1B[31mno)");
    }
}
