//! The whole way by the keyboard alone, in a real browser: in an order that makes sense, with the focus to be seen.

use super::browser::{House, PASSWORD};
use super::chromium::{Chromium, ENTER, TAB};
use crate::dovecot::{self, Dovecot};
use crate::ferry::message;

const SPACE: &str = " ";

#[tokio::test]
async fn an_account_is_added_and_seen_to_without_a_mouse() {
    let server = Dovecot::start();
    server.put("you@example.com", &[message(1)]);
    let house = House::start("").await;
    let window = Chromium::open(1280).await;
    window.visit(&format!("http://{}", house.address)).await;
    window.tab_to("Password").await;
    window.keys(PASSWORD).await;
    window.tab_to("The same again").await;
    window.keys(PASSWORD).await;
    window.keys(ENTER).await;
    window.read("There is no account yet.").await;
    add(&window, &server).await;
    window.read("Delivered 1").await;
    window.read("All is well.").await;

    let mut order = Vec::new();
    loop {
        window.keys(TAB).await;
        match window.focused().await {
            name if name.is_empty() || order.first() == Some(&name) => break,
            name => order.push(name),
        }
    }
    let expected = [
        "Skip to the content",
        "Accounts",
        "Parked",
        "Add a mail account",
        "Sign out",
        "View history",
        "Check mail now",
        "Pause",
        "Edit info",
        "Delete",
        "Edit info",
        "Add an IMAP server",
        "Add Gmail",
    ];
    assert_eq!(order, expected);

    // What is pressed keeps the focus while the page renews itself.
    server.put("you@example.com", &[message(2)]);
    window.tab_to("Check mail now").await;
    window.keys(ENTER).await;
    window.read("Delivered 2").await;
    window.tab_to("Pause").await;
    window.keys(SPACE).await;
    window.read("paused").await;
    // The way past what is on every page.
    window.tab_to("Skip to the content").await;
    window.keys(ENTER).await;
    window.keys(TAB).await;
    assert_eq!(window.focused().await, "View history");
    house.end().await;
}

/// Fills in all three steps, and the one between.
async fn add(window: &Chromium, server: &Dovecot) {
    window.tab_to("Add a mail account").await;
    window.keys(ENTER).await;
    window.read("Step 1 of 3").await;
    window.tab_to("Mail address").await;
    window.keys("you@example.com").await;
    window.keys(ENTER).await;
    window.read("Step 2 of 3").await;
    log_in(window, "POP3 server", server.pop3, None).await;
    window.read("Before step 3").await;
    log_in(window, "IMAP server", server.imap, Some("me")).await;
    window.read("Step 3 of 3").await;
    window.tab_to("Folder").await;
    window.keys("Old").await;
    window.tab_to("Mark as read").await;
    window.keys(SPACE).await;
    window.tab_to("Add account").await;
    window.keys(ENTER).await;
}

async fn log_in(window: &Chromium, label: &str, port: u16, user: Option<&str>) {
    if let Some(user) = user {
        window.tab_to("User name").await;
        window.keys(user).await;
    }
    window.tab_to("Password").await;
    window.keys(dovecot::PASSWORD).await;
    window.tab_to(label).await;
    window.keys("127.0.0.1").await;
    window.tab_to("Encryption").await;
    // The choice that begins with it.
    window.keys("n").await;
    window.tab_to("Port").await;
    window.keys(&port.to_string()).await;
    // The first button of the form is meant.
    window.keys(ENTER).await;
}
