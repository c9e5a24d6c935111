//! For machines: `/healthz` says whether polls make progress, `/metrics` counts (Prometheus text format 0.0.4).

use std::fmt::{Display, Write};

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;

use super::answers::Refusal;
use super::guard::Client;
use super::live::Live;
use super::{Page, Shared};
use crate::ledger::{AccountStatus, Configured, Error, Polling, Status};
use crate::metrics::{BOUNDS, Metrics};

/// How much later than planned a poll may begin. A poll under way is on time: each of its steps has a limit of its own.
const LATE: TimeDelta = TimeDelta::minutes(15);

/// 200 as long as the ledger can be read and every account is polled when it is due.
pub async fn health(State(page): Shared) -> (StatusCode, String) {
    let (house, now) = (&page.house, Utc::now());
    let overdue = house.visitor.report().overdue(now - LATE).await;
    let sentence = match overdue {
        Ok(overdue) => late(&overdue, &house.configured.borrow(), &house.live.borrow(), now),
        Err(error) => Some(error.to_string()),
    };
    match sentence {
        None => (StatusCode::OK, "ok\n".into()),
        Some(sentence) => (StatusCode::SERVICE_UNAVAILABLE, sentence + "\n"),
    }
}

/// Names none: whoever can reach the page may ask.
fn late(
    overdue: &[(String, DateTime<Utc>)],
    configured: &Configured,
    live: &Live,
    now: DateTime<Utc>,
) -> Option<String> {
    let is_polled = |name: &str| {
        let mut accounts = configured.accounts.iter();
        accounts.any(|account| account.name.as_str() == name && account.polling == Polling::On)
    };
    let late: Vec<_> =
        overdue.iter().filter(|(name, _)| is_polled(name) && live.of(name).is_none()).collect();
    let minutes = (now - late.first()?.1).num_minutes();
    let accounts = if late.len() == 1 { "1 account".into() } else { format!("{} accounts", late.len()) };
    Some(format!(
        "{accounts} should have been polled up to {minutes} minutes ago, and nobody has begun to; look into the log"
    ))
}

/// All accounts and destinations that the config names, and no others, so that the labels are bounded. For who is signed
/// in, or signs in by the request itself (Basic, RFC 7617): the user's name does not matter.
pub async fn metrics(
    State(page): Shared,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    if page.session(&client, &headers).await?.is_none() && !knows_password(&page, &client, &headers).await? {
        let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"mailferry\"")];
        return Ok((StatusCode::UNAUTHORIZED, ask, "the password of the page is wanted\n").into_response());
    }
    let text = count(&page).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

async fn knows_password(page: &Page, client: &Client, headers: &HeaderMap) -> Result<bool, Refusal> {
    let Some(password) = password_in(headers) else { return Ok(false) };
    let Some(hash) = page.house.visitor.page_password().await? else { return Ok(false) };
    page.sessions.attempt(client.address)?;
    let knows = page.sessions.verify(password, hash).await;
    if knows {
        page.sessions.succeeded(client.address);
    }
    Ok(knows)
}

fn password_in(headers: &HeaderMap) -> Option<SecretString> {
    let (scheme, login) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let login = STANDARD.decode(login.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("Basic"))?;
    let login = String::from_utf8(login).ok()?;
    login.split_once(':').map(|(_, password)| SecretString::from(password))
}

async fn count(page: &Page) -> Result<String, Error> {
    let (house, report) = (&page.house, page.house.visitor.report());
    let status = report.status().await?.of(&house.configured.borrow());
    Ok(exposition(&status, &house.metrics, report.octets().await))
}

fn exposition(status: &Status, metrics: &Metrics, ledger: u64) -> String {
    let mut text = Exposition::default();
    text.family("mailferry_build_info", "gauge", "The version, always 1.");
    text.sample("mailferry_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.family("mailferry_start_time_seconds", "gauge", "When this process began, in Unix time.");
    text.sample("mailferry_start_time_seconds", &[], metrics.started.timestamp());
    counters(&mut text, status, metrics);
    durations(&mut text, metrics);
    gauges(&mut text, status);
    text.family("mailferry_ledger_size_bytes", "gauge", "The size of the ledger on disk.");
    text.sample("mailferry_ledger_size_bytes", &[], ledger);
    text.0
}

fn counters(text: &mut Exposition, status: &Status, metrics: &Metrics) {
    let accounts: Vec<_> =
        status.accounts.iter().map(|account| (account.name.as_str(), metrics.of(&account.name))).collect();
    let name = "mailferry_polls_total";
    text.family(name, "counter", "Polls that have ended, by outcome.");
    for (account, counts) in &accounts {
        for (outcome, count) in [("ok", counts.polls - counts.failed), ("failed", counts.failed)] {
            text.sample(name, &[("account", account), ("outcome", outcome)], count);
        }
    }
    let name = "mailferry_deliveries_total";
    text.family(name, "counter", "Attempts to deliver, by verdict; deferred ones are made again.");
    for (account, counts) in &accounts {
        let verdicts =
            [("delivered", counts.delivered), ("deferred", counts.put_off), ("parked", counts.parked)];
        for (verdict, count) in verdicts {
            text.sample(name, &[("account", account), ("verdict", verdict)], count);
        }
    }
    for (name, help) in [
        ("mailferry_new_messages_total", "Messages that were first listed."),
        ("mailferry_deleted_messages_total", "Messages that were deleted at their source."),
        ("mailferry_retrieved_bytes_total", "Octets of messages retrieved."),
    ] {
        text.family(name, "counter", help);
        for (account, counts) in &accounts {
            let count = match name {
                "mailferry_new_messages_total" => counts.new,
                "mailferry_deleted_messages_total" => counts.deleted,
                _ => counts.bytes,
            };
            text.sample(name, &[("account", account)], count);
        }
    }
}

fn durations(text: &mut Exposition, metrics: &Metrics) {
    let durations = metrics.durations();
    text.family("mailferry_poll_duration_seconds", "histogram", "How long polls took.");
    for (bound, count) in BOUNDS.iter().zip(durations.within) {
        text.sample("mailferry_poll_duration_seconds_bucket", &[("le", &bound.to_string())], count);
    }
    text.sample("mailferry_poll_duration_seconds_bucket", &[("le", "+Inf")], durations.count);
    text.sample("mailferry_poll_duration_seconds_sum", &[], durations.sum);
    text.sample("mailferry_poll_duration_seconds_count", &[], durations.count);
}

fn gauges(text: &mut Exposition, status: &Status) {
    type Gauge = fn(&AccountStatus) -> Option<i64>;
    let gauges: [(&str, &str, Gauge); 4] = [
        ("mailferry_pending_messages", "Deliveries that are still to be made.", |account| {
            i64::try_from(account.pending).ok()
        }),
        ("mailferry_parked_messages", "Deliveries that a person must decide about.", |account| {
            i64::try_from(account.parked).ok()
        }),
        ("mailferry_account_failing", "1 while polls of the account fail.", |account| {
            Some(account.is_failing().into())
        }),
        (
            "mailferry_last_success_timestamp_seconds",
            "When a poll last went well, in Unix time.",
            |account| account.last_success.map(|at| at.timestamp()),
        ),
    ];
    for (name, help, value) in gauges {
        text.family(name, "gauge", help);
        for account in &status.accounts {
            if let Some(value) = value(account) {
                text.sample(name, &[("account", &account.name)], value);
            }
        }
    }
    let name = "mailferry_destination_up";
    text.family(name, "gauge", "1 while the destination takes mail.");
    for destination in &status.destinations {
        let is_up = u8::from(destination.state == "ok");
        text.sample(name, &[("destination", &destination.name)], is_up);
    }
}

#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use secrecy::ExposeSecret;

    use crate::ledger::{ConfiguredAccount, DestinationStatus};
    use crate::message::AccountName;
    use crate::metrics::Counts;

    fn status(now: DateTime<Utc>) -> Status {
        let work = AccountStatus {
            name: "work".into(),
            last_success: Some(now),
            pending: 2,
            ..AccountStatus::default()
        };
        let home = DestinationStatus { name: "home".into(), state: "paused".into(), ..Default::default() };
        Status { accounts: vec![work], destinations: vec![home] }
    }

    #[test]
    fn an_account_that_nobody_polls_is_a_fault_unless_it_is_paused_or_being_polled() {
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let work = AccountName::new("work").unwrap();
        let configured = |polling| Configured {
            accounts: vec![ConfiguredAccount::new(work.clone(), polling)],
            ..Configured::default()
        };
        let overdue =
            [("gone".to_owned(), now - TimeDelta::hours(2)), ("work".to_owned(), now - TimeDelta::hours(1))];
        let mut live = Live::default();
        let sentence = late(&overdue, &configured(Polling::On), &live, now).unwrap();
        assert!(sentence.starts_with("1 account should have been polled up to 60 minutes ago"), "{sentence}");
        assert_eq!(late(&[], &configured(Polling::On), &live, now), None);
        assert_eq!(late(&overdue, &configured(Polling::Paused), &live, now), None);
        live.begin(&work);
        assert_eq!(late(&overdue, &configured(Polling::On), &live, now), None);
    }

    #[test]
    fn a_password_is_read_from_the_request() {
        let told = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            password_in(&headers).map(|password| password.expose_secret().to_owned())
        };
        assert_eq!(told("Basic YW55Ym9keTpvcGVuOnNlc2FtZQ=="), Some("open:sesame".into()));
        assert_eq!(told("basic Om9wZW4="), Some("open".into()));
        for other in ["Basic", "Basic ?", "Basic b3Blbg==", "Bearer Om9wZW4=", "Basic /w=="] {
            assert_eq!(told(other), None, "{other}");
        }
    }

    #[test]
    fn every_sample_has_its_family_before_it() {
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let metrics = Metrics::new(now);
        let poll = Counts { polls: 1, delivered: 3, bytes: 99, ..Counts::default() };
        metrics.end(&AccountName::new("work").unwrap(), &poll, Duration::from_secs(2));
        let text = exposition(&status(now), &metrics, 4096);
        for line in [
            "mailferry_polls_total{account=\"work\",outcome=\"ok\"} 1",
            "mailferry_deliveries_total{account=\"work\",verdict=\"delivered\"} 3",
            "mailferry_retrieved_bytes_total{account=\"work\"} 99",
            "mailferry_poll_duration_seconds_bucket{le=\"1\"} 0",
            "mailferry_poll_duration_seconds_bucket{le=\"5\"} 1",
            "mailferry_poll_duration_seconds_sum 2",
            "mailferry_pending_messages{account=\"work\"} 2",
            "mailferry_last_success_timestamp_seconds{account=\"work\"} 1790000000",
            "mailferry_destination_up{destination=\"home\"} 0",
            "mailferry_ledger_size_bytes 4096",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        let mut family = String::new();
        for line in text.lines() {
            match line.strip_prefix("# HELP ").or(line.strip_prefix("# TYPE ")) {
                Some(rest) => family = rest.split(' ').next().unwrap().to_owned(),
                None => assert!(line.starts_with(&family), "{line} after {family}"),
            }
        }
        assert_eq!(escape("a\\b\"c\nd"), "a\\\\b\\\"c\\nd");
    }
}
