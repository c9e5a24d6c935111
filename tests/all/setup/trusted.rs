//! Over TLS, whoever adds an account is shown who vouches for its servers, and none that nobody vouches for gets a password.

use std::fs;

use crate::dovecot::{Dovecot, PASSWORD};
use crate::ferry::{Ferry, message};
use crate::terminal::{DOWN, Terminal};
use crate::web::browser::House;

const VOUCHES: &str = "certificate by mailferry test CA until ";

fn ferry(server: &Dovecot) -> Ferry {
    let ferry = Ferry::new("[web]\nlisten = \"127.0.0.1:0\"\n");
    fs::write(ferry.folder().join("password"), format!("{PASSWORD}\n")).unwrap();
    ferry.trusting(&server.ca_file)
}

#[tokio::test]
async fn a_terminal_shows_who_vouches_on_both_sides() {
    let server = Dovecot::start();
    server.put("you", &[message(1)]);
    let ferry = ferry(&server);
    let port = server.pop3s.to_string();
    let words = ["add", "you", "--host", "localhost", "--port", &port, "--password-file", "password"];
    let mut terminal = Terminal::start(&ferry.command(&words));
    terminal.at("User name", "").await;
    terminal.at("POP3 server", "").await;
    terminal.at("Encryption", "").await;
    terminal.at("Port", "").await;
    terminal.wait_for("Logged in: 1 message, ").await;
    terminal.wait_for(VOUCHES).await;
    terminal.at("Leave a copy", "").await;
    terminal.wait_for("import-state").await;
    terminal.at("Import", "").await;
    terminal.at("Deliver to", "").await;
    terminal.at("A name for it", "").await;
    terminal.at("User name there", "me").await;
    terminal.unseen_at("Password there", PASSWORD).await;
    terminal.at("IMAP server", "localhost").await;
    // The certificate is looked at before the password goes out there, too.
    terminal.at("Encryption", DOWN).await;
    terminal.at("Port", &format!("{}{}", "\x7f".repeat(3), server.imap)).await;
    terminal.wait_for("Logged in: ").await;
    terminal.wait_for(VOUCHES).await;
    drop(terminal);
}

#[tokio::test]
async fn the_page_shows_who_vouches_and_mail_comes() {
    let server = Dovecot::start();
    server.put("you", &[message(1)]);
    let house = House::of(ferry(&server)).await;
    let mut browser = house.first_browser().await;
    let draft = browser.post("/add", &[("address", "you@example.com")]).await;
    let draft = draft.goes_to().strip_suffix("/login").unwrap().to_owned();
    let (pop3s, imap) = (server.pop3s.to_string(), server.imap.to_string());
    let login = |name, user, port, tls| {
        [
            ("name", name),
            ("user", user),
            ("password", PASSWORD),
            ("host", "localhost"),
            ("tls", tls),
            ("port", port),
        ]
    };
    let html =
        browser.submit(&format!("{draft}/login"), &login("you", "you", &pop3s, "implicit")).await.html();
    assert!(html.text.contains(&format!("Trusted: {VOUCHES}")), "{}", html.text);
    assert!(!html.text.contains("NOT ENCRYPTED"), "{}", html.text);
    let html = browser.submit(&format!("{draft}/home"), &login("home", "me", &imap, "starttls")).await.html();
    assert!(html.text.contains("home was added to the destinations"), "{}", html.text);
    let terms =
        [("leave_copy", "yes"), ("days", "14"), ("import", "all"), ("to", "home"), ("folder", "INBOX")];
    browser.submit(&format!("{draft}/mail"), &terms).await;
    browser.look_for("/", "Delivered1").await;
    house.end().await;
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_gets_no_password() {
    let (server, stranger) = (Dovecot::start(), Dovecot::start());
    server.put("you", &[message(1)]);
    let ferry = ferry(&stranger);
    let port = server.pop3s.to_string();
    let words =
        ["add", "you", "--host", "localhost", "--port", &port, "--password-file", "password", "--yes"];
    let ran = ferry.run(&words).await.expect_code(75);
    assert!(ran.stderr.contains("ca_file"), "{ran:?}");
    let house = House::of(ferry).await;
    let mut browser = house.first_browser().await;
    let draft = browser.post("/add", &[("address", "you@example.com")]).await.goes_to().to_owned();
    let form = [("name", "you"), ("user", "you"), ("password", PASSWORD), ("host", "localhost")];
    let seen = browser.post(&draft, &[&form[..], &[("tls", "implicit"), ("port", &port)]].concat()).await;
    let html = seen.html();
    assert!(seen.status == 422 && html.text.contains("this page cannot"), "{}", html.text);
    house.end().await;
    assert!(!server.log().contains("user=<you>"), "{}", server.log());
}
