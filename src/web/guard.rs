//! Who may ask, and what no answer lacks. All of it comes before anything is looked up.
//!
//! A stranger's page can make a browser send us requests. It can do so under a name of its own that leads to our
//! address (DNS rebinding), or under ours (CSRF); the checks here end both before a session is asked for.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;

use super::Shared;
use super::answers::Refusal;
use super::server::Peer;
use crate::net::Acceptor;

/// How the page may be reached.
#[derive(Debug)]
pub struct Access {
    pub listen: SocketAddr,
    /// TLS for browsers.
    pub acceptor: Option<Acceptor>,
    /// Who encrypts for browsers on other machines, and says who they are.
    pub trusted_proxy: Vec<IpNet>,
    /// Names of this machine, in lower case, beside `localhost`.
    pub names: Vec<String>,
}

/// Who asks, as far as the guard knows.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The browser, also behind a proxy.
    pub address: IpAddr,
    /// The browser has come by way of TLS.
    pub is_encrypted: bool,
}

impl Access {
    /// Whether browsers on other machines are expected, so that being there proves nothing.
    pub fn is_beyond_this_machine(&self) -> bool {
        !self.listen.ip().is_loopback()
            || self.acceptor.is_some()
            || !self.trusted_proxy.is_empty()
            || !self.names.is_empty()
    }

    /// Whether a request is answered at all.
    ///
    /// # Errors
    /// Why not, for whoever sent it.
    fn check(&self, peer: IpAddr, request: &Request) -> Result<Client, (StatusCode, &'static str)> {
        if !self.admits(peer) {
            let text = "this page speaks only to its own machine and to what `web.trusted_proxy` names\n";
            return Err((StatusCode::FORBIDDEN, text));
        }
        let Some(host) = asked_host(request).filter(|host| self.is_ours(host)) else {
            let text = "ask for this page by an IP address, as localhost, or by a name in `web.names`\n";
            return Err((StatusCode::MISDIRECTED_REQUEST, text));
        };
        if !request.method().is_safe() && !self.is_from_us(request.headers(), host) {
            return Err((
                StatusCode::FORBIDDEN,
                "this request comes from another page, so it was not done\n",
            ));
        }
        Ok(self.client(peer, request.headers()))
    }

    /// Without TLS only this machine and the proxy are spoken to.
    pub fn admits(&self, peer: IpAddr) -> bool {
        self.acceptor.is_some() || peer.is_loopback() || self.trusts(peer)
    }

    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxy.iter().any(|network| network.contains(&peer))
    }

    /// An address cannot be somebody else's name, so any will do: behind a proxy or in a container we do not know ours.
    fn is_ours(&self, host: &str) -> bool {
        let name = without_port(host);
        let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
        name.eq_ignore_ascii_case("localhost")
            || address.parse::<IpAddr>().is_ok()
            || self.names.iter().any(|known| name.eq_ignore_ascii_case(known))
    }

    /// Whether a page of ours made the browser send this (https://web.dev/articles/fetch-metadata). Where neither header
    /// is there, it is no browser that a person signs in with.
    fn is_from_us(&self, headers: &HeaderMap, host: &str) -> bool {
        let sites: Vec<&HeaderValue> = headers.get_all("sec-fetch-site").iter().collect();
        let origins: Vec<&HeaderValue> = headers.get_all(header::ORIGIN).iter().collect();
        let is_own = |origin: &&HeaderValue| origin.to_str().is_ok_and(|origin| self.is_own(origin, host));
        (!sites.is_empty() || !origins.is_empty())
            && sites.iter().all(|site| *site == "same-origin" || *site == "none")
            && origins.iter().all(is_own)
    }

    /// A proxy may ask under another name than the browser: then the browser's must be one of `names`.
    fn is_own(&self, origin: &str, host: &str) -> bool {
        let (authority, port) = match (origin.strip_prefix("https://"), origin.strip_prefix("http://")) {
            (Some(authority), _) => (authority, ":443"),
            (None, Some(authority)) => (authority, ":80"),
            (None, None) => return false,
        };
        let bare = |authority: &str| authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase();
        let is_named = port == ":443" && self.names.contains(&bare(authority));
        is_named || bare(authority) == bare(host)
    }

    /// A proxy adds what it knows at the end.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        let last = |name: &str| {
            let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
            Some(value.rsplit(',').next()?.trim().to_owned())
        };
        let mut client = Client { address: peer, is_encrypted: self.acceptor.is_some() };
        if self.trusts(peer) {
            let address = last("x-forwarded-for").and_then(|address| address.parse::<IpAddr>().ok());
            client.address = address.map_or(peer, |address| address.to_canonical());
            client.is_encrypted |= last("x-forwarded-proto").is_some_and(|proto| proto == "https");
        }
        client
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// The one host that is asked for; `None` where there is none, or more than one.
fn asked_host(request: &Request) -> Option<&str> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return None };
    let host = host.to_str().ok()?;
    match request.uri().authority() {
        Some(authority) if authority.as_str() != host => None,
        _ => Some(host),
    }
}

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// With `no-referrer` browsers would send `Origin: null` with our own forms (Fetch, "append a request Origin header");
/// this one tells others as little.
const REFERRER: &str = "same-origin";

const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, REFERRER),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

pub async fn guard(
    State(page): Shared,
    Extension(Peer(peer)): Extension<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut response = match page.house.access().check(peer, &request) {
        Ok(client) => {
            request.extensions_mut().insert(client);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The longest form, in octets. A password may have 16 KiB, and each octet may be escaped.
const LONGEST: usize = 64 << 10;

const DEADLINE: Duration = Duration::from_secs(30);

/// Reads what is sent before anybody waits for it: it has an end, in length and in time.
pub async fn bound(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match tokio::time::timeout(DEADLINE, to_bytes(body, LONGEST)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(head, Body::from(bytes))).await,
        Ok(Err(_)) => Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "That is too long").into_response(),
        Err(_) => Refusal::new(StatusCode::REQUEST_TIMEOUT, "That took too long").into_response(),
    }
}

/// Does what a form asks for to its end, also where the browser hangs up meanwhile: else a file could be gone and its
/// account be polled on.
pub async fn to_the_end(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let done = tokio::spawn(next.run(request)).await;
    done.unwrap_or_else(|error| {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("This ended early ({error})")).into_response()
    })
}
