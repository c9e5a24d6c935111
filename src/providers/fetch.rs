//! HTTP as a look-up needs it: one small file from a host that nobody vouches for.

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, StatusCode, Url};

use super::address::host_name;
use super::dns::{Dns, Lost};
use super::network::Network;
use crate::net::{self, Connectors};
use crate::printable::printable;

/// The largest file that is read, in octets; real ones have a few thousand.
const LARGEST: usize = 64 << 10;

/// The most redirects that are followed.
const MOST_REDIRECTS: usize = 3;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

pub struct Fetcher {
    client: Client,
}

impl Fetcher {
    /// # Errors
    /// One sentence on why there is no HTTP.
    pub fn new(network: &Network, dns: Dns) -> Result<Fetcher, String> {
        let tls = Connectors::default().https(network.ca_file.as_deref(), None).map_err(|e| e.to_string())?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("mailferry/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(dns))
            .connect_timeout(CONNECT_TIMEOUT.min(network.patience / 3))
            .redirect(Policy::custom(follow_or_refuse))
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(0)
            .referer(false)
            .no_proxy()
            .build()
            .map_err(|e| format!("HTTP cannot be set up ({e})"))?;
        Ok(Fetcher { client })
    }

    /// # Errors
    /// A clause that can follow the URL.
    pub async fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        let mut response = self.client.get(url).send().await.map_err(|e| why(&e))?;
        if response.status() != StatusCode::OK {
            return Err(format!("answers with the status {}", response.status().as_u16()));
        }
        let mut file = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| why(&e))? {
            if file.len() + chunk.len() > LARGEST {
                return Err(format!("sends more than {} KiB", LARGEST >> 10));
            }
            file.extend_from_slice(&chunk);
        }
        Ok(file)
    }
}

/// Only from HTTPS to HTTPS, and only to where an address could have led by itself: a host by its name, on its usual port.
fn follow_or_refuse(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let is_https = |url: &Url| url.scheme() == "https";
    let next = attempt.url();
    if attempt.previous().len() > MOST_REDIRECTS {
        attempt.error(format!("redirects more than {MOST_REDIRECTS} times"))
    } else if !is_https(next) || !attempt.previous().iter().all(is_https) {
        attempt.error("redirects without HTTPS")
    } else if next.port().is_some() || next.domain().and_then(host_name).is_none() {
        attempt.error("redirects to what is no web server on the internet")
    } else {
        attempt.follow()
    }
}

/// What is wrong with the host's TLS is for its owner to know.
fn why(error: &reqwest::Error) -> String {
    let innermost = net::innermost(error);
    if let Some(lost) = innermost.downcast_ref::<Lost>() {
        return format!("leads nowhere: {}", printable(lost.to_string()));
    }
    if error.is_redirect() {
        return innermost.to_string();
    }
    match net::tls_fault(error, "", "") {
        Some(net::Error::Certificate { .. }) => "has no certificate that can be trusted".into(),
        Some(_) => "does not speak TLS as it should".into(),
        None if error.is_timeout() => "cannot be reached in time".into(),
        None => format!("cannot be read ({})", printable(innermost.to_string())),
    }
}
