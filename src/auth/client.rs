//! What is asked of an identity provider (RFC 6749, RFC 7636, RFC 8628), and what its answers say. It is a stranger like any
//! other: HTTPS, no redirects, an end to its patience and to the length of its answers, and nothing of it is shown raw.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::Value;

use super::Settings;
use crate::net::{self, Connectors};
use crate::printable::printable;

/// How long an answer may take, all in all.
const PATIENCE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);

/// The longest answer that is read, in octets. A token may have 16 KiB.
const LONGEST_ANSWER: usize = 64 << 10;

/// The longest token.
const LONGEST_TOKEN: usize = 16 << 10;

/// How long a token lives whose life the provider does not tell: RFC 6749 section 5.1 only recommends that it does.
const USUAL_LIFE: Duration = Duration::from_secs(3600);

/// Asks one identity provider on behalf of one application.
pub struct Client<'a> {
    settings: &'a Settings,
    http: reqwest::Client,
}

/// Tokens, just given out.
#[derive(Debug)]
pub struct Granted {
    pub access: SecretString,
    /// How long that is good for.
    pub life: Duration,
    /// `None`: the one there was stays good.
    pub refresh: Option<SecretString>,
    /// How long that is good for, where the provider says so.
    pub refresh_life: Option<Duration>,
    /// What was asked for and not granted.
    pub withheld: Vec<String>,
}

/// Why there are none. Each text is a clause.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// The grant is gone (`invalid_grant`): only a person can help.
    Ended(String),
    /// Asking again just so will not help: the application, or what it asks for, is refused.
    Refused(String),
    /// Not yet (RFC 8628 section 3.5).
    Pending,
    /// Not yet, and ask less often.
    SlowDown,
    /// Now and again, this will pass.
    Passing(String),
    /// Refused (HTTP 4xx) without a word that is known: by the provider, or by what stands in its place. Nobody knows
    /// whether it passes.
    Mute(String),
    /// A success that makes no sense. What was asked with is used up, perhaps: nothing is asked with it again at once.
    Odd {
        reason: String,
        /// The refresh token that it holds all the same: the one before may be dead.
        refresh: Option<SecretString>,
    },
}

impl Refusal {
    pub fn reason(self) -> String {
        match self {
            Refusal::Ended(reason)
            | Refusal::Refused(reason)
            | Refusal::Passing(reason)
            | Refusal::Mute(reason)
            | Refusal::Odd { reason, .. } => reason,
            Refusal::Pending => "nobody has consented yet".into(),
            Refusal::SlowDown => "the provider wants to be asked less often".into(),
        }
    }
}

impl<'a> Client<'a> {
    /// # Errors
    /// A clause, where TLS cannot be set up.
    pub fn new(settings: &'a Settings) -> Result<Client<'a>, String> {
        let tls =
            Connectors::default().https(settings.ca_file.as_deref(), None).map_err(|e| e.to_string())?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("mailferry/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(0)
            .referer(false)
            .no_proxy()
            .build()
            .map_err(|e| format!("HTTP cannot be set up ({e})"))?;
        Ok(Client { settings, http })
    }

    /// A new access token (RFC 6749 section 6).
    pub async fn refresh(&self, refresh: &SecretString) -> Result<Granted, Refusal> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.expose_secret())];
        self.tokens(&form).await
    }

    /// What a code is exchanged for (RFC 6749 section 4.1.3, RFC 7636 section 4.5).
    pub async fn exchange(
        &self,
        code: &str,
        redirect: &str,
        verifier: &SecretString,
    ) -> Result<Granted, Refusal> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect),
            ("code_verifier", verifier.expose_secret()),
        ];
        self.tokens(&form).await
    }

    /// Whether somebody has consented by now to what a device code stands for (RFC 8628 section 3.4).
    pub async fn ask_for_device(&self, device_code: &SecretString) -> Result<Granted, Refusal> {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", device_code.expose_secret()),
        ];
        self.tokens(&form).await
    }

    /// A code for a person to type in elsewhere (RFC 8628 section 3.1).
    pub async fn device_code(&self) -> Result<DeviceAnswer, Refusal> {
        let Some(url) = &self.settings.device_url else {
            return Err(Refusal::Refused("this provider has no sign-in by code".into()));
        };
        let scopes = self.settings.scopes.join(" ");
        let body = self.post(url, &[("scope", &scopes)]).await?;
        parsed::<DeviceAnswer>(&body)
    }

    async fn tokens(&self, form: &[(&str, &str)]) -> Result<Granted, Refusal> {
        let body = self.post(&self.settings.token_url, form).await?;
        let answer = parsed(&body).and_then(|answer| granted(answer, &self.settings.scopes));
        answer.map_err(|refusal| match refusal {
            Refusal::Odd { reason, .. } => Refusal::Odd { reason, refresh: refresh_in(&body) },
            other => other,
        })
    }

    /// The body of an answer that is not a refusal.
    async fn post(&self, url: &str, form: &[(&str, &str)]) -> Result<Vec<u8>, Refusal> {
        let mut whole = vec![("client_id", self.settings.client_id.as_str())];
        if let Some(secret) = &self.settings.client_secret {
            whole.push(("client_secret", secret.expose_secret()));
        }
        whole.extend_from_slice(form);
        let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        let passing = |what: String| Refusal::Passing(format!("{host}: {what}"));
        let request = self.http.post(url).header("accept", "application/json").form(&whole);
        let mut response = request.send().await.map_err(|e| passing(why(&e, &host)))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| passing(why(&e, &host)))? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(passing(format!("an answer of more than {} KiB", LONGEST_ANSWER >> 10)));
            }
            body.extend_from_slice(&chunk);
        }
        let hush = |text: &str| {
            hushed(text, whole.iter().filter(|(key, _)| is_secret(key)).map(|(_, value)| *value))
        };
        if status.is_success() { Ok(body) } else { Err(refusal(status, &body, &host, hush)) }
    }
}

/// What of a request nobody but the provider may read. What is not secret is in everybody's address bar.
fn is_secret(key: &str) -> bool {
    ["client_secret", "refresh_token", "code", "code_verifier", "device_code"].contains(&key)
}

/// A text of the provider's less the secrets that it repeats, as they were or as a form has them.
fn hushed<'s>(text: &str, secrets: impl Iterator<Item = &'s str>) -> String {
    let encoded = |secret| {
        Some(Url::parse_with_params("http://x/", [("", secret)]).ok()?.query()?.get(1..)?.to_owned())
    };
    let forms = secrets.flat_map(|secret| [Some(secret.to_owned()), encoded(secret)]).flatten();
    let mut forms: Vec<String> = forms.filter(|form| !form.is_empty()).collect();
    // One may be a part of another.
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    forms.iter().fold(text.to_owned(), |text, form| text.replace(form, "***"))
}

/// The answer to a request for a device code.
#[derive(Debug, Deserialize)]
pub struct DeviceAnswer {
    pub device_code: SecretString,
    pub user_code: String,
    #[serde(alias = "verification_url")]
    pub verification_uri: String,
    #[serde(deserialize_with = "seconds", default)]
    pub expires_in: Option<u64>,
    #[serde(deserialize_with = "seconds", default)]
    pub interval: Option<u64>,
}

/// RFC 6749 section 5.1.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: SecretString,
    token_type: String,
    #[serde(deserialize_with = "seconds", default)]
    expires_in: Option<u64>,
    refresh_token: Option<SecretString>,
    /// Microsoft's and Google's.
    #[serde(deserialize_with = "seconds", default, alias = "refresh_expires_in")]
    refresh_token_expires_in: Option<u64>,
    scope: Option<String>,
}

/// RFC 6749 section 5.2.
#[derive(Default, Deserialize)]
struct ErrorAnswer {
    error: String,
    error_description: Option<String>,
}

/// A number, which some write as a text, or with a fraction. What is no time says nothing: no token is dropped for that.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let number = match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    Ok(number.and_then(|number| Duration::try_from_secs_f64(number).ok()).map(|time| time.as_secs()))
}

fn parsed<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Refusal> {
    // Not the fault itself: it may quote a token.
    serde_json::from_slice(body).map_err(|e| odd(&format!("line {}, column {}", e.line(), e.column())))
}

fn odd(what: &str) -> Refusal {
    Refusal::Odd { reason: format!("the answer of the provider makes no sense ({what})"), refresh: None }
}

/// The refresh token of an answer, whatever else is in it.
fn refresh_in(body: &[u8]) -> Option<SecretString> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let refresh = answer.get("refresh_token")?.as_str().filter(|token| is_token(token))?;
    Some(refresh.into())
}

/// RFC 6749 appendix A.12: a token is of printable ASCII; what is not would end the command that carries it.
fn is_token(token: &str) -> bool {
    !token.is_empty() && token.len() <= LONGEST_TOKEN && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A year: what a provider says beyond that is no time that anything here would live to see.
const LONGEST_LIFE: u64 = 366 * 24 * 3600;

fn granted(answer: TokenAnswer, asked: &[String]) -> Result<Granted, Refusal> {
    if !answer.token_type.eq_ignore_ascii_case("bearer") {
        return Err(odd("its token is not of the type Bearer"));
    }
    let tokens = [Some(&answer.access_token), answer.refresh_token.as_ref()];
    if !tokens.into_iter().flatten().all(|token| is_token(token.expose_secret())) {
        return Err(odd("a token is empty, too long, or of characters that no token has"));
    }
    let withheld = answer.scope.map(|scope| withheld(asked, &scope)).unwrap_or_default();
    let life = |seconds: u64| Duration::from_secs(seconds.min(LONGEST_LIFE));
    Ok(Granted {
        access: answer.access_token,
        life: answer.expires_in.map_or(USUAL_LIFE, life),
        refresh: answer.refresh_token,
        refresh_life: answer.refresh_token_expires_in.filter(|seconds| *seconds > 0).map(life),
        withheld,
    })
}

/// Scopes that are about the answer, and that no provider lists among what was granted.
const NOT_LISTED: [&str; 4] = ["offline_access", "openid", "profile", "email"];

fn withheld(asked: &[String], scope: &str) -> Vec<String> {
    let granted = |asked: &&String| scope.split(' ').any(|granted| granted.eq_ignore_ascii_case(asked));
    asked.iter().filter(|asked| !NOT_LISTED.contains(&asked.as_str()) && !granted(asked)).cloned().collect()
}

/// What a status other than 2xx means.
fn refusal(status: StatusCode, body: &[u8], host: &str, hush: impl Fn(&str) -> String) -> Refusal {
    let code = status.as_u16();
    if status.is_redirection() {
        return Refusal::Refused(format!("{host} answers HTTP {code}: redirects are not followed"));
    }
    let said = format!("{host} answers HTTP {code}");
    // RFC 9110 sections 15.5.9 and 15.6, RFC 8470 section 5.2, RFC 6585 section 4.
    if matches!(code, 408 | 425 | 429) || status.is_server_error() {
        return Refusal::Passing(said);
    }
    let answer: Option<ErrorAnswer> = serde_json::from_slice(body).ok();
    let Some(answer) = answer else { return Refusal::Mute(said) };
    let described = match &answer.error_description {
        Some(text) => format!("{}: {}", printable(hush(&answer.error)), printable(hush(text))),
        None => printable(hush(&answer.error)),
    };
    match answer.error.as_str() {
        "authorization_pending" => Refusal::Pending,
        "slow_down" => Refusal::SlowDown,
        "invalid_grant"
        | "interaction_required"
        | "consent_required"
        | "access_denied"
        | "expired_token"
        | "authorization_declined"
        | "bad_verification_code" => {
            Refusal::Ended(format!("{host} says that the sign-in has ended ({described})"))
        }
        "temporarily_unavailable" | "server_error" => Refusal::Passing(format!("{host}: {described}")),
        _ => Refusal::Refused(format!(
            "{host} refuses the application ({described}); check `client_id` and `client_secret`"
        )),
    }
}

fn why(error: &reqwest::Error, host: &str) -> String {
    match net::tls_fault(error, host, "check its address") {
        _ if error.is_timeout() => format!("no answer within {} s", PATIENCE.as_secs()),
        Some(tls) => tls.to_string(),
        None => printable(net::innermost(error).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_repeats_what_it_was_sent_is_not_quoted_so_far() {
        let secrets = ["hunter2", "0a", "1//0a+b/c="];
        let told = hushed("no: 1//0a+b/c= 1%2F%2F0a%2Bb%2Fc%3D client_secret=hunter2", secrets.into_iter());
        assert_eq!(told, "no: *** *** client_secret=***");
    }
}
