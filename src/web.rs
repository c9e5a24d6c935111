//! A page that shows how the accounts are doing, and what watches over the daemon asks for. It only reads.

mod monitor;

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, Local, Utc};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ledger::{AccountStatus, Configured, Report, Status};
use crate::metrics::Metrics;

/// Binds to `address`.
///
/// # Errors
/// Where the address is taken or not this machine's, as a sentence that says so.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| format!("the page cannot listen on {address} ({error}); change `web.listen`"))
}

/// Answers until `stop` is cancelled. What `configured` names is shown, and nothing else.
pub async fn serve(
    listener: TcpListener,
    report: Report,
    configured: watch::Receiver<Configured>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let app = Router::new()
        .route("/", get(page))
        .route("/style.css", get(style))
        .route("/healthz", get(monitor::health))
        .route("/metrics", get(monitor::metrics))
        .layer(middleware::from_fn(guard))
        .with_state(Sources { report, configured, metrics });
    let served = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = served.await {
        tracing::warn!(%error, "the page has ended");
    }
}

/// What the page is made of.
#[derive(Clone)]
struct Sources {
    report: Report,
    configured: watch::Receiver<Configured>,
    metrics: Arc<Metrics>,
}

/// A stranger's page can make a browser ask us under a name of its own (DNS rebinding), so no name but this
/// machine's is answered.
async fn guard(request: Request, next: Next) -> Response {
    if !is_ours(request.headers()) {
        let text = "ask for this page by an IP address or as localhost\n";
        return (StatusCode::MISDIRECTED_REQUEST, text).into_response();
    }
    let mut response = next.run(request).await;
    let policy =
        "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response.headers_mut().insert(name, header::HeaderValue::from_static(value));
    }
    response
}

fn is_ours(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name == "localhost" || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css")], include_str!("web/style.css"))
}

async fn page(State(sources): State<Sources>) -> Response {
    match sources.report.status().await {
        Ok(status) => Html(render(&status.of(&sources.configured.borrow()))).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

fn render(status: &Status) -> String {
    let mut html = String::from(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>mailferry</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\"><meta http-equiv=\"refresh\" content=\"15\">\n\
         <link rel=\"stylesheet\" href=\"/style.css\"></head>\n<body><h1>mailferry</h1>\n",
    );
    // The state comes first, so that a narrow window shows it.
    html += "<table class=\"accounts\"><caption>Accounts</caption>\n<tr><th>Account<th>State<th>Last checked\
             <th>Next check<th>Delivered<th>Pending<th>Parked</tr>\n";
    for account in &status.accounts {
        row(&mut html, &account_cells(account), account.error.is_some());
    }
    html += "</table>\n<table><caption>Destinations</caption>\n<tr><th>Destination<th>Kind<th>State</tr>\n";
    for destination in &status.destinations {
        let state = match &destination.error {
            Some(error) => format!("{}: {error}", destination.state),
            None => destination.state.clone(),
        };
        let cells = [destination.name.clone(), destination.kind.clone(), state];
        row(&mut html, &cells, destination.state != "ok");
    }
    html += "</table>\n</body></html>\n";
    html
}

fn account_cells(account: &AccountStatus) -> [String; 7] {
    let state = match (&account.error, account.failing_since) {
        _ if account.paused => "paused in the config".into(),
        (Some(error), _) if !account.is_failing() => error.text.clone(),
        (Some(error), Some(since)) => format!("failing since {}: {}", local(since), error.text),
        (Some(error), None) => format!("failing: {}", error.text),
        (None, _) => "ok".into(),
    };
    [
        account.name.clone(),
        state,
        account.last_checked.map_or("never".into(), local),
        account.next_check.map(local).unwrap_or_default(),
        account.delivered.to_string(),
        account.pending.to_string(),
        account.parked.to_string(),
    ]
}

fn row(html: &mut String, cells: &[String], failing: bool) {
    html.push_str(if failing { "<tr class=\"failing\">" } else { "<tr>" });
    for cell in cells {
        // Writing to a String cannot fail.
        let _ = write!(html, "<td>{}", escape(cell));
    }
    html.push_str("</tr>\n");
}

/// Server texts end up here: nothing of them may become markup.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

fn local(time: DateTime<Utc>) -> String {
    time.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_addresses_and_localhost_only() {
        let asked = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, header::HeaderValue::from_static(host));
            is_ours(&headers)
        };
        for ours in ["localhost", "localhost:8025", "127.0.0.1:8025", "[::1]:8025", "192.168.1.2"] {
            assert!(asked(ours), "{ours}");
        }
        for strange in
            ["", "evil.example", "evil.example:8025", "localhost.evil.example", "127.0.0.1.evil.example"]
        {
            assert!(!asked(strange), "{strange}");
        }
        assert!(!is_ours(&HeaderMap::new()));
    }

    #[test]
    fn what_a_server_says_stays_text() {
        let error =
            crate::ledger::Failure { class: "account".into(), text: "<script>alert('1')</script>".into() };
        let account = AccountStatus { name: "work".into(), error: Some(error), ..AccountStatus::default() };
        let html = render(&Status { accounts: vec![account], ..Status::default() });
        assert!(!html.contains("<script"), "{html}");
        assert!(
            html.contains("<td>work<td>failing: "),
            "the state stands where a narrow window shows it: {html}"
        );
        assert!(html.contains("&lt;script&gt;alert(&#39;1&#39;)"), "{html}");
    }
}
