//! Who is let in, and who is not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mailferry::net::Connectors;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, StatusCode};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::browser::{Browser, House, PASSWORD, encoded};
use super::looking::with_own_file;
use crate::ca::Ca;
use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, Running, account, imap_destination};

const PAGES: [&str; 10] = [
    "/",
    "/live",
    "/add",
    "/parked",
    "/accounts/old/history",
    "/accounts/old/edit",
    "/accounts/old/delete",
    "/destinations/add",
    "/destinations/home/edit",
    "/parked/1/message.eml",
];

#[tokio::test]
async fn nothing_is_shown_before_somebody_has_signed_in() {
    let house = House::start("").await;
    let mut stranger = house.browser();
    for path in PAGES {
        assert_eq!(stranger.get(path).await.goes_to(), "/sign-in", "{path}");
    }
    assert_eq!(stranger.get("/sign-in").await.goes_to(), "/first-use");
    let html = stranger.get("/first-use").await.html();
    assert!(html.with("id", "code").is_none(), "on this machine no code is needed: {html:?}");
    let first = [("password", "short", "short"), ("again", PASSWORD, "correct horsf")];
    for (field, password, again) in first {
        let seen = stranger.post("/first-use", &[("password", password), ("again", again)]).await;
        assert_eq!((seen.status.as_u16(), stranger.cookie.as_ref()), (422, None));
        assert_eq!(seen.html().attribute(field, "aria-invalid"), Some("true"), "{seen:?}");
        assert!(!seen.body.contains(PASSWORD), "{seen:?}");
    }
    let mut owner = house.first_browser().await;
    for path in ["/", "/live", "/add", "/parked"] {
        assert_eq!(owner.get(path).await.status, 200, "{path}");
    }
    assert_eq!(stranger.get("/first-use").await.goes_to(), "/sign-in");
    let again = [("password", "another one"), ("again", "another one")];
    assert_eq!(stranger.post("/first-use", &again).await.goes_to(), "/sign-in");
    assert_eq!(stranger.post("/sign-in", &[("password", "another one")]).await.status, 422);
    assert_eq!(stranger.post("/sign-in", &[("password", PASSWORD)]).await.goes_to(), "/");
    assert_eq!(stranger.get("/").await.status, 200);

    // Each signs out alone.
    let old = stranger.cookie.clone();
    assert_eq!(stranger.post("/sign-out", &[]).await.goes_to(), "/sign-in");
    stranger.cookie = old;
    assert_eq!(stranger.get("/").await.goes_to(), "/sign-in", "the old cookie is worth nothing");
    assert_eq!(owner.get("/").await.status, 200);

    // A session outlives the daemon, but not a new password.
    let ferry = house.end().await;
    let house = House::of(ferry).await;
    owner.origin = format!("http://{}", house.address);
    assert_eq!(owner.get("/").await.status, 200);
    fs::write(house.ferry.folder().join("new"), "tr0ub4dor & 3\n").unwrap();
    house.ferry.run(&["web-password", "--password-file", "new"]).await.expect_code(0);
    assert_eq!(owner.get("/").await.goes_to(), "/sign-in");
    assert_eq!(owner.post("/sign-in", &[("password", "tr0ub4dor & 3")]).await.goes_to(), "/");
    let stored = fs::read(house.ferry.ledger()).unwrap();
    let cookie = owner.cookie.clone().unwrap();
    for secret in ["tr0ub4dor", cookie.split_once('=').unwrap().1] {
        assert!(!stored.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()), "{secret}");
    }
    house.end().await;
}

#[tokio::test]
async fn a_password_can_be_set_before_the_first_start() {
    let ferry = Ferry::new("[web]\nlisten = \"127.0.0.1:0\"\n");
    fs::write(ferry.folder().join("password"), format!("{PASSWORD}\n")).unwrap();
    fs::write(ferry.folder().join("short"), "seven..\n").unwrap();
    ferry.run(&["web-password", "--password-file", "short"]).await.expect_code(64);
    ferry.run(&["web-password"]).await.expect_code(64);
    ferry.run(&["web-password", "--password-file", "password"]).await.expect_code(0);
    let house = House::of(ferry).await;
    let mut browser = house.browser();
    assert_eq!(browser.get("/").await.goes_to(), "/sign-in");
    assert_eq!(browser.post("/sign-in", &[("password", PASSWORD)]).await.goes_to(), "/");
    house.end().await;
}

#[tokio::test]
async fn passwords_cannot_be_tried_out() {
    let house = House::start("").await;
    house.first_browser().await;
    let mut stranger = house.browser();
    for _ in 0..5 {
        assert_eq!(stranger.post("/sign-in", &[("password", "guess")]).await.status, 422);
    }
    for password in ["guess", PASSWORD] {
        let seen = stranger.post("/sign-in", &[("password", password)]).await;
        assert_eq!(seen.status, 429, "{seen:?}");
        let seconds: u64 = seen.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
    }
    house.end().await;
}

/// What stands in a request that a stranger's page, or a stranger, makes.
struct Forged {
    headers: &'static [(&'static str, &'static str)],
    status: u16,
}

const fn forged(headers: &'static [(&'static str, &'static str)], status: u16) -> Forged {
    Forged { headers, status }
}

/// `HERE` becomes the page's own host and port. Without a host of its own a request asks for `HERE`.
const FORGED: [Forged; 32] = [
    // Hosts: a stranger's name that leads to our address.
    forged(&[("host", "evil.example"), ("origin", "http://evil.example")], 421),
    forged(&[("host", "evil.example:8025"), ("origin", "http://evil.example:8025")], 421),
    forged(&[("host", ""), ("origin", "http://HERE")], 421),
    forged(&[("host", "localhost.evil.example"), ("origin", "http://HERE")], 421),
    forged(&[("host", "127.0.0.1.evil.example"), ("origin", "http://HERE")], 421),
    forged(&[("host", "HERE"), ("host", "evil.example"), ("origin", "http://HERE")], 421),
    forged(&[("host", "HERE"), ("host", "HERE"), ("origin", "http://HERE")], 421),
    forged(&[("host", "127.0.0.1:x"), ("origin", "http://HERE")], 421),
    forged(&[("host", "user@127.0.0.1"), ("origin", "http://HERE")], 421),
    forged(&[("host", "mail.lan"), ("origin", "http://mail.lan")], 421),
    // Origins: a stranger's page that sends a form to us.
    forged(&[], 403),
    forged(&[("origin", "null")], 403),
    forged(&[("origin", "http://evil.example")], 403),
    forged(&[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")], 403),
    forged(&[("origin", "http://HERE.evil.example")], 403),
    forged(&[("origin", "http://HERE@evil.example")], 403),
    forged(&[("origin", "http://localhost:1")], 403),
    forged(&[("origin", "http://127.0.0.1")], 403),
    forged(&[("origin", "ftp://HERE")], 403),
    forged(&[("origin", "HERE")], 403),
    forged(&[("origin", "http://HERE"), ("origin", "http://evil.example")], 403),
    forged(&[("referer", "http://HERE/")], 403),
    // What browsers themselves say of where a request is from.
    forged(&[("sec-fetch-site", "cross-site")], 403),
    forged(&[("sec-fetch-site", "same-site")], 403),
    forged(&[("sec-fetch-site", "")], 403),
    forged(&[("sec-fetch-site", "Same-Origin")], 403),
    forged(&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], 403),
    forged(&[("sec-fetch-site", "same-origin"), ("origin", "null")], 403),
    forged(&[("sec-fetch-site", "cross-site"), ("origin", "http://HERE")], 403),
    // And what is ours, so that the others are refused for what they say.
    forged(&[("sec-fetch-site", "same-origin")], 303),
    forged(&[("origin", "http://HERE")], 303),
    forged(&[("sec-fetch-site", "none"), ("origin", "http://HERE")], 303),
];

#[tokio::test]
async fn forged_requests_do_nothing() {
    let server = Dovecot::start();
    let to_home = "every = \"1h\"\ndeliver = [{ to = \"home\" }]";
    let config = imap_destination("home", &server, "me") + &account("old", &server, "old", to_home);
    let house = House::of(with_own_file(&config, "mine", &account("mine", &server, "mine", to_home))).await;
    let owner = house.first_browser().await;
    let cookie = owner.cookie.clone().unwrap();
    let files = config_files(house.ferry.folder());
    let mut wanted = 0;
    for (n, Forged { headers, status }) in FORGED.iter().enumerate() {
        let mut lines = vec![format!("cookie: {cookie}")];
        if headers.iter().all(|(name, _)| *name != "host") {
            lines.push(format!("host: {}", house.address));
        }
        lines.extend(
            headers.iter().map(|(name, value)| format!("{name}: {}", value.replace("HERE", &house.address))),
        );
        let answer = speak(&house, "POST /accounts/old/check HTTP/1.1", &lines, "").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{n}: {headers:?}: {answer}");
        wanted += i64::from(*status == 303);
        if *status != 303 {
            for path in [
                "/accounts/mine/pause",
                "/accounts/mine/delete",
                "/destinations/home/retry",
                "/destinations/home/edit",
            ] {
                speak(&house, &format!("POST {path} HTTP/1.1"), &lines, "").await;
            }
        }
        assert_eq!(requests(&house).await, wanted, "{n}: {headers:?}");
        assert_eq!(config_files(house.ferry.folder()), files, "{n}: {headers:?}");
        if *status == 421 {
            // Nothing at all is answered under another name.
            for path in ["/", "/healthz", "/style.css"] {
                let answer = speak(&house, &format!("GET {path} HTTP/1.1"), &lines, "").await;
                assert!(
                    answer.starts_with("HTTP/1.1 421 ") || answer.starts_with("HTTP/1.1 400 "),
                    "{n}: {answer}"
                );
            }
        }
    }
    // The form of a request decides as well.
    let ours = [
        format!("cookie: {cookie}"),
        format!("host: {}", house.address),
        format!("origin: http://{}", house.address),
    ];
    let here = &house.address;
    let cases = [
        ("GET /accounts/old/check HTTP/1.1".to_owned(), 405),
        ("HEAD /accounts/old/check HTTP/1.1".to_owned(), 405),
        ("PUT /accounts/old/check HTTP/1.1".to_owned(), 405),
        ("DELETE /accounts/old HTTP/1.1".to_owned(), 404),
        ("OPTIONS /accounts/old/check HTTP/1.1".to_owned(), 405),
        (format!("POST http://{here}/accounts/old/check HTTP/1.1"), 303),
        ("POST http://evil.example/accounts/old/check HTTP/1.1".to_owned(), 421),
        ("POST /accounts/nobody/pause HTTP/1.1".to_owned(), 404),
        ("POST /accounts/old/pause HTTP/1.1".to_owned(), 409),
        ("POST /accounts/..%2f..%2fold/pause HTTP/1.1".to_owned(), 404),
    ];
    for (line, status) in cases {
        let answer = speak(&house, &line, &ours, "").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer}");
        assert!(!answer.to_lowercase().contains("access-control-"), "no other page may read: {answer}");
    }
    for kind in ["text/plain", "application/json", "multipart/form-data; boundary=x"] {
        let lines: Vec<String> = ours.iter().cloned().chain([format!("content-type: {kind}")]).collect();
        let answer = speak(&house, "POST /add HTTP/1.1", &lines, "address=me%40example.com").await;
        assert!(answer.starts_with("HTTP/1.1 415 "), "{kind}: {answer}");
    }
    let long: Vec<String> =
        ours.iter().cloned().chain(["content-type: application/x-www-form-urlencoded".into()]).collect();
    let answer = speak(&house, "POST /add HTTP/1.1", &long, &"a".repeat(65 << 10)).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    // Somebody else's cookie opens nothing.
    for cookie in ["mailferry=", "mailferry=AAAA", "__Host-mailferry=x", "mailferry"] {
        let lines = [format!("cookie: {cookie}"), ours[1].clone(), ours[2].clone()];
        let answer = speak(&house, "GET / HTTP/1.1", &lines, "").await;
        assert!(answer.contains("location: /sign-in"), "{cookie}: {answer}");
    }
    house.end().await;
}

/// What has been asked of the holder of the ledger.
async fn requests(house: &House) -> i64 {
    let mut ledger = SqliteConnectOptions::new().filename(house.ferry.ledger()).connect().await.unwrap();
    let count = sqlx::query_scalar("SELECT count(*) FROM requests").fetch_one(&mut ledger).await.unwrap();
    ledger.close().await.unwrap();
    count
}

/// The main file, and those of the accounts, with what they hold.
fn config_files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let own = fs::read_dir(folder.join("accounts.d")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = own.chain([folder.join("mailferry.toml")]).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Sends a request as it stands, and reads the answer up to the end of its head.
async fn speak(house: &House, line: &str, headers: &[String], body: &str) -> String {
    let mut stream = TcpStream::connect(&house.address).await.unwrap();
    let request = format!(
        "{line}\r\n{}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        headers.join("\r\n"),
        body.len()
    );
    // It may have answered before it has read all.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn every_answer_says_what_a_browser_may_do_with_it() {
    let house = House::start("").await;
    let mut browser = house.first_browser().await;
    let cookie = browser.cookie.clone().unwrap();
    for path in ["/", "/sign-in", "/style.css", "/page.js", "/healthz", "/nowhere", "/accounts/nobody/edit"] {
        let seen = browser.get(path).await;
        let header = |name: &str| seen.headers[name].to_str().unwrap();
        let policy = header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.split("; ").any(|known| known == part), "{path}: {policy}");
        }
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin", "{path}");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin", "{path}");
        assert_eq!(header("referrer-policy"), "same-origin", "{path}");
    }
    let seen = browser.post("/sign-in", &[("password", PASSWORD)]).await;
    let set = seen.headers["set-cookie"].to_str().unwrap();
    assert!(
        set.contains("; HttpOnly") && set.contains("; SameSite=Strict") && set.contains("Max-Age=2592000"),
        "{set}"
    );
    assert!(!set.contains("Secure"), "without TLS it would not come back: {set}");
    assert_ne!(browser.cookie.unwrap(), cookie, "each session has its own");
    let mut stranger = house.browser();
    assert_eq!(stranger.get("/healthz").await.body, "ok\n");
    // No page has a script or a style within it: the policy would not let them be.
    let html = stranger.get("/sign-in").await.html();
    for element in &html.elements {
        assert!(element.get("style").is_none() && element.tag != "style", "{element:?}");
        assert!(element.tag != "script" || element.get("src").is_some(), "{element:?}");
        assert!(element.attributes.iter().all(|(name, _)| !name.starts_with("on")), "{element:?}");
    }
    house.end().await;
}

#[tokio::test]
async fn other_machines_are_served_only_where_nobody_can_listen() {
    let cases = [
        ("listen = \"0.0.0.0:0\"", "web.listen: would show the page to other machines unencrypted"),
        ("listen = \"[::]:0\"", "set certificate and key, or trusted_proxy"),
        ("listen = \"0.0.0.0:0\"\ncertificate = \"a\"", "web.certificate: is of no use without its key"),
        ("key = \"a\"", "web.key: is of no use without its certificate"),
        ("certificate = \"a\"\nkey = \"b\"", "does not exist"),
        ("trusted_proxy = \"nginx\"", "\"nginx\" is no address or network"),
        ("names = [\"a b\"]", "\"a b\" is not a host"),
    ];
    for (web, said) in cases {
        let ferry = Ferry::new(&format!("[web]\n{web}\n"));
        let ran = ferry.run(&["run"]).await.expect_code(78);
        assert!(ran.stderr.contains(said), "{web}: {ran:?}");
    }
}

#[tokio::test]
async fn tls_needs_a_code_for_the_first_password() {
    let ferry = Ferry::new(
        "[web]\nlisten = \"127.0.0.1:0\"\ncertificate = \"localhost.pem\"\nkey = \"localhost.key\"\n\
         names = [\"localhost\", \"mail.lan\"]\n",
    );
    let ca = Ca::new(ferry.folder());
    let (_, key) = ca.issue(&["localhost", "127.0.0.1"]);
    let ran = ferry.run(&["run"]).await.expect_code(78);
    assert!(ran.stderr.contains("is open to other users"), "{ran:?}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let mut daemon = ferry.start(&["run"]);
    let up = daemon.wait_for("the page is up").await;
    let port = up.split("address=127.0.0.1:").nth(1).unwrap().split_whitespace().next().unwrap();
    let told = daemon.wait_for("the page has no password yet").await;
    let code = told.split("code=").nth(1).unwrap().split_whitespace().next().unwrap().trim_matches('"');

    let trust = Connectors::default().https(Some(&ca.file()), None).unwrap();
    let client = Client::builder().no_proxy().redirect(Policy::none()).tls_backend_preconfigured(trust);
    let mut browser = Browser::at(&format!("https://127.0.0.1:{port}"), client.build().unwrap());
    let html = browser.get("/first-use").await.html();
    assert!(html.with("id", "code").is_some(), "{html:?}");
    for wrong in ["", "AAAA-BBBB-CCCC"] {
        let seen =
            browser.post("/first-use", &[("code", wrong), ("password", PASSWORD), ("again", PASSWORD)]).await;
        assert_eq!(seen.status, 422);
        assert!(seen.html().text.contains("This is not the code."), "{seen:?}");
    }
    let typed = code.to_lowercase().replace('-', " ");
    let seen =
        browser.post("/first-use", &[("code", &typed), ("password", PASSWORD), ("again", PASSWORD)]).await;
    assert_eq!(seen.goes_to(), "/");
    let set = seen.headers["set-cookie"].to_str().unwrap();
    assert!(set.starts_with("__Host-mailferry=") && set.contains("; Secure"), "{set}");
    assert_eq!(browser.get("/").await.status, 200);
    // A name that is configured is a host like others.
    let named = browser.request(Method::GET, "/healthz").header("host", "mail.lan");
    assert_eq!(browser.send(named).await.status, 200);
    // Who begins TLS and says nothing holds up nobody.
    let _silent = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
    assert_eq!(browser.get("/healthz").await.body, "ok\n");
    is_renewed(&ferry, &mut daemon, port).await;
    daemon.signal(rustix::process::Signal::TERM);
    let ended = tokio::time::timeout(Duration::from_secs(60), daemon.end()).await;
    assert_eq!(ended.unwrap().code, 0);
}

/// A renewed certificate is taken up with the config, and one that cannot be used is not.
async fn is_renewed(ferry: &Ferry, daemon: &mut Running, port: &str) {
    let ca = Ca::new(ferry.folder());
    let (certificate, key) = ca.issue(&["localhost", "127.0.0.1"]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let ran = ferry.run(&["check", "--offline"]).await.expect_code(0);
    assert!(ran.stdout.contains("page: certificate by "), "{ran:?}");
    daemon.signal(rustix::process::Signal::HUP);
    daemon.wait_for("reloaded").await;
    let asks = async || {
        // A connection of its own, which trusts the new one alone.
        let trust = Connectors::default().https(Some(&ca.file()), None).unwrap();
        let client = Client::builder().no_proxy().tls_backend_preconfigured(trust).build().unwrap();
        Browser::at(&format!("https://127.0.0.1:{port}"), client).get("/healthz").await.body
    };
    assert_eq!(asks().await, "ok\n");
    fs::write(&certificate, "no certificate").unwrap();
    daemon.signal(rustix::process::Signal::HUP);
    daemon.wait_for("the page goes on with what it has").await;
    assert_eq!(asks().await, "ok\n");
    let ran = ferry.run(&["check", "--offline"]).await.expect_code(78);
    assert!(ran.stdout.contains("web.certificate: "), "{ran:?}");
}

#[tokio::test]
async fn behind_a_proxy_the_browser_counts_and_not_the_proxy() {
    let web = "listen = \"0.0.0.0:0\"\ntrusted_proxy = [\"127.0.0.0/8\", \"::1\"]\nnames = [\"mail.lan\"]\n";
    let ferry = Ferry::new(&format!("[web]\n{web}"));
    fs::write(ferry.folder().join("password"), PASSWORD).unwrap();
    ferry.run(&["web-password", "--password-file", "password"]).await.expect_code(0);
    let house = House::of(ferry).await;
    let address = house.address.replace("0.0.0.0", "127.0.0.1");
    let mut browser = Browser::at(&format!("http://{address}"), super::browser::client());
    let sign_in = |browser: &Browser, from: &str, password: &str| {
        let request =
            browser.request(Method::POST, "/sign-in").header("x-forwarded-for", format!("10.9.9.9, {from}"));
        let request = request.header("x-forwarded-proto", "https").header("origin", "https://mail.lan");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.body(encoded(&[("password", password)]))
    };
    for _ in 0..5 {
        assert_eq!(
            browser.send(sign_in(&browser, "192.0.2.1", "guess")).await.status,
            StatusCode::UNPROCESSABLE_ENTITY
        );
    }
    assert_eq!(browser.send(sign_in(&browser, "192.0.2.1", PASSWORD)).await.status, 429);
    let seen = browser.send(sign_in(&browser, "192.0.2.2", PASSWORD)).await;
    assert_eq!(seen.goes_to(), "/");
    assert!(seen.headers["set-cookie"].to_str().unwrap().contains("; Secure"), "{seen:?}");
    house.end().await;
}

#[tokio::test]
async fn a_monitor_counts_by_the_password_and_asks_for_the_health_without() {
    let server = Dovecot::start();
    let to_home = "every = \"1h\"\ndeliver = [{ to = \"home\" }]";
    let config = imap_destination("home", &server, "me") + &account("old", &server, "old", to_home);
    let house = House::start(&config).await;
    house.ferry.run(&["fetch"]).await.expect_code(0);
    let mut browser = house.first_browser().await;
    let mut monitor = house.browser();
    let refused = monitor.get("/metrics").await;
    assert_eq!((refused.status.as_u16(), refused.body.contains("mailferry_")), (401, false));
    assert_eq!(refused.headers["www-authenticate"], "Basic realm=\"mailferry\"");
    let wrong = monitor.request(Method::GET, "/metrics").basic_auth("prometheus", Some("another one"));
    assert_eq!(monitor.send(wrong).await.status.as_u16(), 401);
    // More often than a stranger may try.
    for _ in 0..10 {
        let right = monitor.request(Method::GET, "/metrics").basic_auth("prometheus", Some(PASSWORD));
        let counts = monitor.send(right).await;
        assert_eq!(counts.status.as_u16(), 200, "{}", counts.body);
        assert!(counts.headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
        assert!(
            counts.body.contains("mailferry_polls_total{account=\"old\",outcome=\"ok\"} "),
            "{}",
            counts.body
        );
    }
    assert!(
        browser.get("/metrics").await.body.contains("mailferry_build_info{"),
        "who is signed in may look"
    );
    let health = monitor.get("/healthz").await;
    assert_eq!((health.status.as_u16(), health.body.as_str()), (200, "ok\n"));

    let mut ledger = SqliteConnectOptions::new().filename(house.ferry.ledger()).connect().await.unwrap();
    // Whoever plans the polls has planned otherwise, and does not look.
    let sql = "UPDATE accounts SET next_poll_at = unixepoch() - 3600";
    sqlx::query(sql).execute(&mut ledger).await.unwrap();
    ledger.close().await.unwrap();
    let health = monitor.get("/healthz").await;
    assert_eq!(health.status.as_u16(), 503, "{health:?}");
    let mut ledger = SqliteConnectOptions::new().filename(house.ferry.ledger()).connect().await.unwrap();
    let sql = "UPDATE accounts SET failing_since = 1, error_class = 'account', error_text = 'gone'";
    sqlx::query(sql).execute(&mut ledger).await.unwrap();
    ledger.close().await.unwrap();
    let health = monitor.get("/healthz").await;
    assert_eq!(health.status.as_u16(), 503, "one that fails is polled as well: {health:?}");
    assert!(health.body.starts_with("1 account should have been polled up to 60 minutes ago"), "{health:?}");
    assert!(!health.body.contains("old"), "no stranger learns a name: {health:?}");
    house.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(monitor.get("/healthz").await.body, "ok\n");
    house.end().await;
}

/// A peer that has sent far more requests than it reads answers of.
async fn deaf(from: &str, house: &House) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(house.address.parse().unwrap()).await.unwrap();
    let request = format!("GET /style.css HTTP/1.1\r\nhost: {}\r\n\r\n", house.address).repeat(1000);
    // As much as there is room for: nobody waits until it is read.
    let _ = stream.try_write(request.as_bytes());
    stream
}

#[tokio::test]
async fn who_reads_nothing_keeps_nobody_out_and_nothing_up() {
    let house = House::start("").await;
    let mut deaf_ones = Vec::new();
    for from in ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"] {
        for _ in 0..64 {
            deaf_ones.push(deaf(from, &house).await);
        }
    }
    // All places are taken, until it is seen that these take no answer.
    let mut browser = house.browser();
    assert_eq!(browser.get("/healthz").await.body, "ok\n");
    for from in ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"] {
        for _ in 0..64 {
            deaf_ones.push(deaf(from, &house).await);
        }
    }
    let ended = tokio::time::timeout(Duration::from_secs(60), house.end()).await;
    assert!(ended.is_ok(), "it does not stop");
}

#[tokio::test]
async fn one_address_has_its_share_and_no_more() {
    let house = House::start("").await;
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(TcpStream::connect(&house.address).await.unwrap());
    }
    let mut one_more = TcpStream::connect(&house.address).await.unwrap();
    // Those that are let in have 15 s for their first request.
    let end = tokio::time::timeout(Duration::from_secs(10), one_more.read_u8()).await;
    assert!(end.expect("it is let in").is_err());
    let other = TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = other.connect(house.address.parse().unwrap()).await.unwrap();
    let request = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", house.address);
    other.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");
    // A place that is given back is there for another.
    silent.pop();
    let again = async {
        loop {
            if let Ok(seen) =
                super::browser::client().get(format!("http://{}/healthz", house.address)).send().await
            {
                break seen;
            }
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(10), again).await.unwrap().status(), 200);
    house.end().await;
}

#[tokio::test]
async fn the_head_of_a_request_has_an_end() {
    let house = House::start("").await;
    for (length, status) in [(16 << 10, "200"), (100 << 10, "431")] {
        let lines = [format!("host: {}", house.address), format!("cookie: a={}", "x".repeat(length))];
        let answer = speak(&house, "GET /healthz HTTP/1.1", &lines, "").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{length}: {answer}");
    }
    house.end().await;
}
