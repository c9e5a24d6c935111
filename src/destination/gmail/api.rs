//! Requests to the Gmail API, each with the token of who has signed in.

use std::io;
use std::time::Duration;

use chrono::Utc;
use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION,
};
use reqwest::header::{RANGE, RETRY_AFTER};
use reqwest::{Client, Method, Response, Url};
use secrecy::ExposeSecret;

use super::super::body::Body;
use super::super::{http, unreadable};
use super::answer::Answer;
use crate::auth::{self, Login, Proof};
use crate::message::Verdict;
use crate::net;
use crate::printable::{printable, without};

/// The API at one address, for one mailbox.
pub struct Api {
    pub client: Client,
    /// Ends with a slash.
    pub url: Url,
    /// The host of `url`, for texts.
    pub peer: String,
    pub login: Login,
    /// Whose mailbox it is, and not `me`, which is that of whoever has signed in: of a person with two accounts it may
    /// be the other one.
    pub user: String,
}

/// A request, but for its token: it is made again where that is refused.
pub struct Request {
    pub method: Method,
    pub url: Url,
    pub fields: Vec<(HeaderName, String)>,
    pub body: Body,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Fault {
    SignIn(auth::Error),
    /// Nothing was sent; a clause.
    NoConnection(String),
    /// Something may have arrived; a clause.
    Lost(String),
    /// The message could not be read back.
    Source(io::Error),
}

/// For TCP and TLS together.
pub const CONNECT: Duration = Duration::from_secs(10);

/// How long an answer may take, and what the length of the request takes on top.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest answer that is read, in octets: a list of the 10,000 labels that a mailbox may have.
const LONGEST_ANSWER: usize = 4 << 20;

impl Api {
    /// The address of a method, by its path in the discovery document.
    pub fn at(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.url.clone();
        let steps = path.split('/').map(|step| if step == "{userId}" { self.user.as_str() } else { step });
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(steps);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Whether an address that an answer names may be sent mail and a token.
    pub fn is_ours(&self, url: &Url) -> bool {
        is_of(&self.url, url)
    }

    /// Sends it, once more with another token where the first is refused.
    ///
    /// # Errors
    /// Any [`Fault`].
    pub async fn send(&self, request: &Request) -> Result<Answer, Fault> {
        let proof = self.login.proof().await.map_err(Fault::SignIn)?;
        let answer = self.send_with(request, &proof).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        match self.login.another(&proof).await.map_err(Fault::SignIn)? {
            Some(other) => self.send_with(request, &other).await,
            None => Ok(answer),
        }
    }

    async fn send_with(&self, request: &Request, proof: &Proof) -> Result<Answer, Fault> {
        let octets = request.body.octets();
        let timeout = PATIENCE + Duration::from_secs(octets / http::SLOWEST);
        let sent = self
            .client
            .request(request.method.clone(), request.url.clone())
            .timeout(timeout)
            .headers(fields(request, proof)?)
            .body(request.body.to_request());
        match sent.send().await {
            Ok(response) => answer(response, proof).await,
            Err(fault) => Err(self.fault(&fault, timeout)),
        }
    }

    fn fault(&self, fault: &reqwest::Error, timeout: Duration) -> Fault {
        if fault.is_connect() {
            let advice = "check that this machine reaches the internet";
            return Fault::NoConnection(http::no_connection(fault, &self.peer, CONNECT, advice));
        }
        Fault::Lost(if fault.is_timeout() {
            format!("no answer within {} s", timeout.as_secs())
        } else {
            let why = printable(net::innermost(fault).to_string());
            format!("the connection broke before the answer ({why})")
        })
    }

    /// What a fault means for all messages, or for the one that was on its way.
    pub fn verdict_of(&self, fault: Fault, next: &str) -> Verdict {
        let peer = &self.peer;
        match fault {
            Fault::SignIn(error) => Verdict::Unreachable { reason: error.to_string(), retry_after: None },
            Fault::NoConnection(why) => {
                Verdict::Unreachable { reason: format!("{peer}: {why}"), retry_after: None }
            }
            Fault::Lost(why) => Verdict::Deferred {
                reason: format!("{peer}: {why}; {next}"),
                retry_after: None,
                counts_for_destination: true,
            },
            Fault::Source(fault) => unreadable(&fault),
        }
    }

    /// What an answer means that is a refusal.
    pub fn refusal(&self, answer: &Answer) -> Verdict {
        answer.refusal(&self.peer, &self.login_advice(), Utc::now())
    }

    fn login_advice(&self) -> String {
        match &self.login {
            Login::OAuth(sign_in) => sign_in.refused(),
            Login::Password(_) => "sign in".into(),
        }
    }
}

/// Where Google has the Gmail API; and where it had it, and may begin an upload still.
const HOSTS: [&str; 2] = ["gmail.googleapis.com", "www.googleapis.com"];

/// Whether `url` is where the API at `api` is, or where Google has it besides.
fn is_of(api: &Url, url: &Url) -> bool {
    let is_google =
        |url: &Url| url.scheme() == "https" && url.host_str().is_some_and(|host| HOSTS.contains(&host));
    let is_same_port = url.port_or_known_default() == api.port_or_known_default();
    url.origin() == api.origin() || is_same_port && is_google(url) && is_google(api)
}

/// The header of a request.
///
/// # Errors
/// [`Fault::SignIn`]: a token that cannot stand in one.
fn fields(request: &Request, proof: &Proof) -> Result<HeaderMap, Fault> {
    let wrong = |_| Fault::SignIn(auth::Error::Unavailable("it holds what no header field can".into()));
    let bearer = format!("Bearer {}", proof.secret().expose_secret());
    let bearer = HeaderValue::from_bytes(bearer.as_bytes());
    let mut bearer = bearer.map_err(wrong)?;
    bearer.set_sensitive(true);
    let mut fields = HeaderMap::from_iter([(AUTHORIZATION, bearer)]);
    let length = (CONTENT_LENGTH, request.body.octets().to_string());
    for (name, value) in request.fields.iter().chain([&length]) {
        fields.insert(name, HeaderValue::try_from(value).map_err(wrong)?);
    }
    Ok(fields)
}

/// # Errors
/// [`Fault::Lost`], where a success breaks off: only its text says what it is.
async fn answer(response: Response, proof: &Proof) -> Result<Answer, Fault> {
    let field = |name: HeaderName| response.headers().get(name).map(|value| value.as_bytes().to_owned());
    let (status, retry_after) = (response.status().as_u16(), field(RETRY_AFTER));
    let (location, range) = (field(LOCATION), field(RANGE));
    let (body, is_all) = http::beginning(response, LONGEST_ANSWER).await;
    // Who refuses a request may repeat it.
    let text = without(&String::from_utf8_lossy(&body), proof.secret().expose_secret());
    let answer = Answer { status, retry_after, location, range, text };
    match is_all || !answer.is_success() {
        true => Ok(answer),
        false => Err(Fault::Lost("the answer broke off".into())),
    }
}

impl Request {
    pub fn get(url: Url) -> Request {
        Request { method: Method::GET, url, fields: Vec::new(), body: Body::default() }
    }

    pub fn post_json(url: Url, body: &serde_json::Value) -> Request {
        let fields = vec![(CONTENT_TYPE, "application/json; charset=UTF-8".to_owned())];
        Request { method: Method::POST, url, fields, body: Body::of(body.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_and_tokens_go_to_the_api_alone() {
        let is_of = |api: &str, url: &str| is_of(&Url::parse(api).unwrap(), &Url::parse(url).unwrap());
        let google = "https://gmail.googleapis.com/";
        assert!(is_of(google, "https://gmail.googleapis.com/upload/x?upload_id=1"));
        assert!(is_of(google, "https://www.googleapis.com/upload/x"));
        for other in [
            "http://gmail.googleapis.com/",
            "https://gmail.googleapis.com:8443/",
            "https://storage.googleapis.com/",
            "https://www.googleapis.com.example.com/",
            "https://example.com/",
        ] {
            assert!(!is_of(google, other), "{other}");
        }
        assert!(is_of("http://127.0.0.1:1080/a/", "http://127.0.0.1:1080/b"));
        assert!(!is_of("https://api.example.com/", "https://www.googleapis.com/upload/x"));
    }
}
