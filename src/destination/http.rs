//! What all who speak HTTP share: a client that goes where it is told and nowhere else, and an end to what is read of an
//! answer.

use std::any::Any;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use reqwest::{Client, Response, Url, redirect};

use crate::net;
use crate::printable::printable;

/// The throughput that a request may fall to before it is given up, in octets per second.
pub const SLOWEST: u64 = 256 << 10;

/// How much of an answer is quoted, in characters.
pub const QUOTED: usize = 1 << 10;

/// How long the rest of an answer is waited for, once its status is known, and what its length takes on top.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest that a Retry-After is obeyed.
pub const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// Follows no redirect, repeats nothing by itself, and honours no proxy of the environment.
///
/// # Errors
/// One sentence.
pub fn client(tls: impl Any, connect_timeout: Duration) -> Result<Client, String> {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("mailferry/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect_timeout)
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .build()
        .map_err(|e| format!("HTTP cannot be set up ({e})"))
}

/// Whom to trust on the way to a `url`.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    pub ca_file: Option<PathBuf>,
    pub pin: Option<net::Pin>,
    pub allow_plaintext: bool,
}

/// How to reach the host of `url`.
///
/// # Errors
/// One sentence on what is wrong with it.
pub fn peer(url: &Url, trust: Trust) -> Result<net::Settings, String> {
    let Trust { ca_file, pin, allow_plaintext } = trust;
    let tls = match url.scheme() {
        "https" => net::Tls::Implicit,
        "http" => net::Tls::None,
        _ => return Err("`url` must begin with https://".into()),
    };
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err("`url` names no host".into());
    };
    if tls == net::Tls::None && !net::is_loopback(host) && !allow_plaintext {
        return Err(format!(
            "`url` would send mail to {host} unencrypted; use https://, or say `allow_plaintext = true`"
        ));
    }
    let host = host.trim_matches(['[', ']']).to_owned();
    Ok(net::Settings { host, port, tls, ca_file, server_name: None, pin, allow_plaintext })
}

/// Why there was no connection to `peer`, as a clause.
pub fn no_connection(fault: &reqwest::Error, peer: &str, connect_timeout: Duration, advice: &str) -> String {
    match net::tls_fault(fault, peer, "use a name it bears in `url`") {
        Some(tls) => tls.to_string(),
        None if fault.is_timeout() => format!("no connection within {} s", connect_timeout.as_secs()),
        None => format!("no connection ({}); {advice}", printable(net::innermost(fault).to_string())),
    }
}

/// The first octets of an answer, so that the connection can be used again, and whether they are all; an answer that breaks
/// off or does not end costs nothing but the connection.
pub async fn beginning(mut response: Response, longest: usize) -> (Vec<u8>, bool) {
    let mut text = Vec::new();
    let reading = async {
        while text.len() < longest {
            match response.chunk().await {
                Ok(Some(chunk)) => text.extend_from_slice(&chunk[..chunk.len().min(longest - text.len())]),
                end => return end.is_ok(),
            }
        }
        false
    };
    let patience = PATIENCE + Duration::from_secs(longest as u64 / SLOWEST);
    let is_all = tokio::time::timeout(patience, reading).await.unwrap_or(false);
    (text, is_all)
}

/// What a Retry-After asks for (RFC 9110 section 10.2.3), at most [`LONGEST_WAIT`]; `None` where it is neither a
/// number of seconds nor a date.
pub fn wait(value: &[u8], now: DateTime<Utc>) -> Option<Duration> {
    let value = std::str::from_utf8(value).ok()?.trim();
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let asked = if is_number {
        // A number too large to read is surely too large to obey.
        value.parse().map_or(LONGEST_WAIT, Duration::from_secs)
    } else {
        (http_date(value)? - now).to_std().unwrap_or_default()
    };
    Some(asked.min(LONGEST_WAIT))
}

/// The three forms of RFC 9110 section 5.6.7.
fn http_date(value: &str) -> Option<DateTime<Utc>> {
    ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(value, form).ok())
        .map(|date| date.and_utc())
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::stream;

    use super::*;

    /// A piece a second, of 300 KiB.
    #[tokio::test(start_paused = true)]
    async fn a_long_answer_has_the_time_that_it_takes() {
        let answer = |pieces: usize| {
            let slow = stream::unfold(pieces, |left| async move {
                let left = left.checked_sub(1)?;
                tokio::time::sleep(Duration::from_secs(1)).await;
                Some((Ok::<_, io::Error>(vec![b'x'; 300 << 10]), left))
            });
            Response::from(axum::http::Response::new(reqwest::Body::wrap_stream(slow)))
        };
        let (text, is_all) = beginning(answer(10), 4 << 20).await;
        assert_eq!((text.len(), is_all), ((10 * 300) << 10, true));
        let (text, is_all) = beginning(answer(10), 64 << 10).await;
        assert_eq!((text.len(), is_all), (64 << 10, false), "no more than is wanted");
    }

    #[test]
    fn retry_after_in_all_its_forms() {
        let now = DateTime::parse_from_rfc3339("2026-11-24T20:00:00Z").unwrap().to_utc();
        let wait = |value: &str| wait(value.as_bytes(), now).map(|wait| wait.as_secs());
        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait(" 0 "), Some(0));
        assert_eq!(wait("Tue, 24 Nov 2026 20:02:00 GMT"), Some(120));
        assert_eq!(wait("Tuesday, 24-Nov-26 20:02:00 GMT"), Some(120));
        assert_eq!(wait("Tue Nov 24 20:02:00 2026"), Some(120));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(0));
        assert_eq!(wait("Fri, 31 Dec 9999 23:59:59 GMT"), Some(86_400));
        assert_eq!(wait("99999999999999999999999999"), Some(86_400));
        for nonsense in ["", "-5", "+5", "soon", "1.5", "\u{0}"] {
            assert_eq!(wait(nonsense), None, "{nonsense:?}");
        }
    }
}
