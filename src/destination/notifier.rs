//! An HTTP address that is told something, or only called: no mail goes there. Redirects are not followed, and proxies
//! of the environment not honoured.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder, Url};
use secrecy::SecretString;

use super::body::Body;
use super::http::client;
use super::webhook::signature::Keys;
use crate::net::{self, Connectors};
use crate::printable::printable;

/// Where notices are posted.
#[derive(Clone)]
pub struct Settings {
    /// May hold a user and a password, or a token in its path.
    pub url: String,
    pub format: Format,
    /// Signs each post as Standard Webhooks 1.0.0 asks.
    pub secret: Option<SecretString>,
}

/// What is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `application/json`.
    Json,
    /// `text/plain`, as ntfy and its kind take it.
    Text,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the URL: it may hold a token.
        f.debug_struct("Settings").field("format", &self.format).finish_non_exhaustive()
    }
}

impl Settings {
    /// Makes sure that posts can be signed.
    ///
    /// # Errors
    /// A sentence that does not show the secret.
    pub fn check_secret(&self) -> Result<(), String> {
        self.secret.clone().map_or(Ok(()), |secret| Keys::new(&[secret]).map(drop))
    }
}

/// How long the other side may take, all in all.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long until there is a connection: less, so that who is not there has certainly not been told.
const CONNECT: Duration = Duration::from_secs(5);

/// Why there is no sign that something has arrived, as a clause. Holds no part of the address but the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// It has not.
    Certainly(String),
    /// It may have all the same.
    Perhaps(String),
}

impl Unsent {
    pub fn into_reason(self) -> String {
        match self {
            Unsent::Certainly(reason) | Unsent::Perhaps(reason) => reason,
        }
    }
}

/// An address, ready to be called.
pub struct Notifier {
    url: Url,
    peer: String,
    keys: Option<Keys>,
    client: Client,
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Notifier {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// One sentence on what is wrong with the address or the secret.
    pub fn new(
        url: &str,
        secret: Option<SecretString>,
        connectors: &mut Connectors,
    ) -> Result<Notifier, String> {
        let url = Url::parse(url).map_err(|e| format!("it is not a URL ({e})"))?;
        let peer = url.host_str().ok_or("the URL names no host")?.to_owned();
        let keys = secret.map(|secret| Keys::new(&[secret])).transpose()?;
        let tls = if url.scheme() == "https" { connectors.https(None, None) } else { Connectors::http() };
        let tls = tls.map_err(|e| e.to_string())?;
        Ok(Notifier { url, peer, keys, client: client(tls, CONNECT)? })
    }

    /// Posts a text under an id that is the same when it is posted again.
    ///
    /// # Errors
    /// Why it may not have arrived.
    pub async fn post(
        &self,
        format: Format,
        id: &str,
        text: String,
        now: DateTime<Utc>,
    ) -> Result<(), Unsent> {
        let content_type = match format {
            Format::Json => "application/json",
            Format::Text => "text/plain; charset=utf-8",
        };
        let body = Body::of(text);
        let mut request = self.client.post(self.url.clone()).header(CONTENT_TYPE, content_type);
        if let Some(keys) = &self.keys {
            let signature = keys.sign(id, now.timestamp(), &body).await;
            let signature = signature.map_err(|e| Unsent::Certainly(format!("no signature ({e})")))?;
            request = request
                .header("webhook-id", id)
                .header("webhook-timestamp", now.timestamp())
                .header("webhook-signature", signature);
        }
        self.answered(request.body(body.to_request())).await
    }

    /// Calls it (GET).
    ///
    /// # Errors
    /// As [`Notifier::post`].
    pub async fn call(&self) -> Result<(), String> {
        self.answered(self.client.get(self.url.clone())).await.map_err(Unsent::into_reason)
    }

    async fn answered(&self, request: RequestBuilder) -> Result<(), Unsent> {
        let peer = &self.peer;
        let fault = match request.timeout(PATIENCE).send().await {
            Ok(response) if response.status().is_success() => return Ok(()),
            Ok(response) => {
                let code = response.status().as_u16();
                let more =
                    if response.status().is_redirection() { ": redirects are not followed" } else { "" };
                return Err(Unsent::Certainly(format!("HTTP {code} from {peer}{more}")));
            }
            Err(fault) => fault,
        };
        let reason = match net::tls_fault(&fault, peer, "use a name it bears") {
            _ if fault.is_timeout() && fault.is_connect() => {
                format!("{peer}: no connection within {} s", CONNECT.as_secs())
            }
            _ if fault.is_timeout() => format!("{peer}: no answer within {} s", PATIENCE.as_secs()),
            Some(tls) => format!("{peer}: {tls}"),
            None => format!("{peer}: {}", printable(net::innermost(&fault).to_string())),
        };
        Err(if fault.is_connect() { Unsent::Certainly(reason) } else { Unsent::Perhaps(reason) })
    }
}
