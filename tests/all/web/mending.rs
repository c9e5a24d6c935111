//! What has gone wrong is said on the page, with what to do about it; and that can be done there.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::browser::House;
use super::looking::with_own_file;
use crate::dovecot::{Dovecot, PASSWORD};
use crate::ferry::{Ferry, account, imap_destination, message, webhook_destination};
use crate::receiver::{Receiver, status};

const TO_HOME: &str = "every = \"1h\"\ndeliver = [{ to = \"home\" }]";

/// Changes the ledger behind the daemon's back.
async fn plant(ferry: &Ferry, sql: &'static str) {
    let mut ledger = SqliteConnectOptions::new().filename(ferry.ledger()).connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut ledger).await.unwrap();
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn an_account_whose_password_is_lost_gets_a_new_one_on_the_page() {
    let server = Dovecot::start();
    let lost = |name: &str| {
        account(name, &server, "old", TO_HOME).replace(&format!("\"{PASSWORD}\""), "{ file = \"none\" }")
    };
    let config = imap_destination("home", &server, "me") + &lost("hand");
    let ferry = with_own_file(&config, "lost", &lost("lost"));
    fs::write(ferry.folder().join("accounts.d/odd.toml"), "host = 5\n").unwrap();
    let house = House::of(ferry).await;
    let mut browser = house.first_browser().await;
    let html = browser.get("/").await.html();
    let has = |path: &str| html.with("href", path).is_some();
    assert!(has("/accounts/lost/edit") && has("/accounts/lost/delete"), "{}", html.text);
    assert!(!has("/accounts/odd/edit") && has("/accounts/odd/delete"), "{}", html.text);
    assert!(!has("/accounts/hand/edit") && !has("/accounts/hand/delete"), "{}", html.text);
    assert!(html.text_from("account-hand").contains("Written by hand in the config"), "{}", html.text);
    assert!(html.text.contains("failing old at 127.0.0.1"), "{}", html.text);

    let port = server.pop3.to_string();
    let form = [
        ("name", "lost"),
        ("user", "old"),
        ("password", PASSWORD),
        ("host", "127.0.0.1"),
        ("tls", "none"),
        ("port", &port),
        ("leave_copy", "yes"),
        ("to", "home"),
        ("folder", "INBOX"),
    ];
    assert_eq!(browser.edit("/accounts/lost/edit", &form).await.goes_to(), "/");
    browser.look_for("/?find=lost", "ok old at 127.0.0.1").await;
    house.end().await;
}

#[tokio::test]
async fn a_destination_that_takes_nothing_is_counted_and_tried_again() {
    let server = Dovecot::start();
    server.put("old", &[message(1)]);
    let answer = Arc::new(AtomicU16::new(410));
    let receiver = {
        let answer = Arc::clone(&answer);
        Receiver::answering(move |_, _| status(answer.load(Ordering::SeqCst))).await
    };
    let home =
        imap_destination("home", &server, "me").replace(&format!("\"{PASSWORD}\""), "{ file = \"none\" }");
    let to_app = account("old", &server, "old", "every = \"1h\"\ndeliver = [{ to = \"app\" }]");
    let config = webhook_destination("app", &receiver.url, "raw") + &home + &to_app;
    let house = House::start(&config).await;
    let mut browser = house.first_browser().await;
    browser.look_for("/", "takes no mail until").await;
    let html = browser.look_for("/", "waiting old at 127.0.0.1").await;
    let summary = "1 account. One needs your attention, and 2 destinations.";
    assert!(html.text.contains(summary), "{}", html.text);
    assert!(html.text.contains("cannot be used as the config has it"), "{}", html.text);
    assert!(html.with("action", "/destinations/app/retry").is_some(), "{}", html.text);
    assert!(html.with("action", "/destinations/home/retry").is_none(), "no try mends a config");
    // Mail that waits is not all there is to see.
    plant(&house.ferry, "DELETE FROM deliveries").await;
    let html = browser.get("/").await.html();
    assert!(html.text.contains("1 account. 2 destinations need your attention."), "{}", html.text);

    answer.store(200, Ordering::SeqCst);
    assert_eq!(browser.post("/destinations/nowhere/retry", &[]).await.status, 404);
    let seen = browser.post("/destinations/app/retry?find=ol&page=7", &[]).await;
    assert_eq!(seen.goes_to(), "/?find=ol&page=7");
    let html = browser.look_for("/", "takes mail").await;
    assert!(html.text.contains("One destination needs your attention."), "{}", html.text);
    server.put("old", &[message(2)]);
    browser.submit("/accounts/old/check", &[]).await;
    browser.look_for("/", "Delivered1").await;
    house.end().await;
}

#[tokio::test]
async fn one_delivery_of_a_message_is_tried_again_and_given_up_by_itself() {
    let server = Dovecot::start();
    server.put("old", &[message(1)]);
    let (one, other) =
        (Receiver::answering(|_, _| status(422)).await, Receiver::answering(|_, _| status(422)).await);
    let to_both = "every = \"1h\"\ndeliver = [{ to = \"one\" }, { to = \"other\" }]";
    let ferry = Ferry::new(&format!(
        "{}{}{}[web]\nlisten = \"127.0.0.1:0\"\n",
        webhook_destination("one", &one.url, "raw"),
        webhook_destination("other", &other.url, "raw"),
        account("old", &server, "old", to_both)
    ));
    for code in [75, 75, 0] {
        ferry.run(&["fetch"]).await.expect_code(code);
    }
    let house = House::of(ferry).await;
    let mut browser = house.first_browser().await;
    let parked = house.ferry.json(&["parked", "--json"]).await;
    let id = parked["parked"][0]["id"].to_string();
    let to = |name: &'static str| [("destination", name)];
    let retry = format!("/parked/{id}/retry?account=old");
    let seen = browser.post(&retry, &to("one")).await;
    assert_eq!(seen.goes_to(), "/parked?account=old");
    one.wait_for_arrivals(4).await;
    let html = browser.get("/parked").await.html();
    assert!(html.text.contains("to other") && !html.text.contains("to one"), "{}", html.text);
    assert_eq!(other.arrivals().len(), 3, "it was not asked for");

    let question = format!("/parked/{id}/give-up?destination=other&account=old");
    assert!(html.with("href", &question.replace("&account=old", "")).is_some(), "{html:?}");
    let html = browser.get(&question).await.html();
    assert!(
        html.text.contains("old to other?") && html.text.contains("cannot be taken back"),
        "{}",
        html.text
    );
    let form = html.with("action", &format!("/parked/{id}/give-up?account=old"));
    assert!(form.is_some() && html.with("href", "/parked?account=old").is_some(), "{html:?}");
    assert_eq!(browser.get("/parked/4711/give-up?destination=other").await.status, 404);
    let html = browser.submit(&format!("/parked/{id}/give-up"), &to("other")).await.html();
    assert!(html.text.contains("Nothing is parked."), "{}", html.text);
    house.end().await;
}

#[tokio::test]
async fn what_is_parked_has_more_than_one_page() {
    let server = Dovecot::start();
    let config = imap_destination("home", &server, "me") + &account("old", &server, "old", TO_HOME);
    let house = House::start(&config).await;
    let mut browser = house.first_browser().await;
    browser.look_for("/", "Last checked: ").await;
    let rows = "
        WITH RECURSIVE up (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 120)
            INSERT INTO messages (account, uidl, first_uidl, epoch, first_listing, size)
            SELECT a.id, CAST(n AS BLOB), CAST(n AS BLOB), 1, 1, 100 FROM accounts a, up;
        INSERT INTO deliveries (account, message, destination, state, since)
            SELECT m.account, m.id, d.id, 'parked', m.id FROM messages m, destinations d";
    plant(&house.ferry, rows).await;
    let mut seen = 0;
    let mut path = Some("/parked?account=old".to_owned());
    let mut pages = 0;
    while let Some(here) = path {
        let html = browser.get(&here).await.html();
        pages += 1;
        seen += html.elements.iter().filter(|element| element.tag == "article").count();
        let next = format!("/parked?account=old&page={}", pages + 1);
        path = html.with("href", &next).map(|_| next);
    }
    assert_eq!((pages, seen), (3, 120));
    house.end().await;
}

#[tokio::test]
async fn what_crosses_the_network_unencrypted_is_said() {
    let far = "host = \"mail.example.invalid\"\ntls = \"none\"\nallow_plaintext = true\nuser = \"me\"\npassword = \"x\"\n";
    let config = format!(
        "[destination.home]\nkind = \"imap\"\n{far}\n[account.old]\n{far}paused = true\n\
         deliver = [{{ to = \"home\" }}]\n"
    );
    let house = House::start(&config).await;
    let html = house.first_browser().await.get("/").await.html();
    assert!(html.text.contains("Its password and its mail cross the network unencrypted."), "{}", html.text);
    assert!(html.text.contains("Mail crosses the network to it unencrypted."), "{}", html.text);
    house.end().await;
    let server = Dovecot::start();
    let config = imap_destination("home", &server, "me") + &account("old", &server, "old", TO_HOME);
    let house = House::start(&config).await;
    let html = house.first_browser().await.get("/").await.html();
    assert!(!html.text.contains("unencrypted"), "this machine is no network: {}", html.text);
    house.end().await;
}

#[tokio::test]
async fn mail_that_waits_says_until_when_in_words() {
    let server = Dovecot::start();
    server.put("old", &[message(1)]);
    let receiver = Receiver::answering(|_, _| status(422)).await;
    let to_app = account("old", &server, "old", "every = \"1h\"\ndeliver = [{ to = \"app\" }]");
    let house = House::start(&(webhook_destination("app", &receiver.url, "raw") + &to_app)).await;
    let mut browser = house.first_browser().await;
    let html = browser.look_for("/", "1 waiting: app: ").await;
    assert!(html.text.contains(". Next try: ") && !html.text.contains("next try 20"), "{}", html.text);
    let status = house.ferry.json(&["status", "--json"]).await;
    let text = status["accounts"][0]["error"]["text"].as_str().unwrap();
    assert!(text.contains("; next try 20") && text.ends_with('Z'), "scripts read it as before: {text}");
    house.end().await;
}

#[tokio::test]
async fn a_first_import_that_breaks_off_says_since_when() {
    let server = Dovecot::start();
    server.put("old", &[message(1)]);
    let config = imap_destination("home", &server, "me") + &account("old", &server, "old", TO_HOME);
    let house = House::start(&config).await;
    let mut browser = house.first_browser().await;
    browser.look_for("/", "Delivered1").await;
    // And the poll has ended: it would write over what is planted.
    browser.look_for("/", "ok old at 127.0.0.1").await;
    let broken_off = "
        UPDATE accounts SET error_class = 'account', error_text = 'gone', failing_since = unixepoch() - 86400 * 9,
            last_success_at = NULL";
    plant(&house.ferry, broken_off).await;
    let html = browser.get("/").await.html();
    assert!(html.text.contains("Mail from this account has not been retrieved since "), "{}", html.text);
    house.end().await;
}

#[tokio::test]
async fn the_history_counts_each_message_once_and_ends_where_it_ends() {
    let server = Dovecot::start();
    server.put("old", &[message(1)]);
    let config = imap_destination("one", &server, "one") + &imap_destination("other", &server, "other");
    let to_both = "every = \"1h\"\ndeliver = [{ to = \"one\" }, { to = \"other\" }]";
    let house = House::start(&(config + &account("old", &server, "old", to_both))).await;
    let mut browser = house.first_browser().await;
    browser.look_for("/", "Delivered2").await;
    browser.look_for("/", "ok old at 127.0.0.1").await;
    let html = browser.get("/accounts/old/history").await.html();
    assert!(html.text.contains("1 message in all"), "{}", html.text);
    assert!(html.text.contains(" seconds"), "how long it took is said: {}", html.text);
    let region = html.with("role", "region").unwrap();
    assert!(region.get("tabindex") == Some("0") && region.get("aria-label").is_some(), "{region:?}");
    let polls = "
        DELETE FROM polls;
        WITH RECURSIVE up (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 50)
            INSERT INTO polls (account, started, ended, new, delivered, deleted, bytes, took)
            SELECT a.id, unixepoch() - n, unixepoch() - n, 0, 0, 0, 0, n * 10 FROM accounts a, up";
    plant(&house.ferry, polls).await;
    let html = browser.get("/accounts/old/history").await.html();
    assert!(!html.text.contains("Older"), "there is none: {}", html.text);
    let charts = html.elements.iter().filter(|element| element.tag == "rect");
    let heights: Vec<u64> = charts.map(|column| column.get("height").unwrap().parse().unwrap()).collect();
    assert_eq!((heights.len(), heights[30], heights[79]), (80, 2, 100), "{heights:?}");
    plant(
        &house.ferry,
        "INSERT INTO polls SELECT NULL, account, 1, 2, 0, 0, 0, 0, NULL, NULL FROM polls LIMIT 1",
    )
    .await;
    let html = browser.get("/accounts/old/history").await.html();
    assert!(html.text.contains("Older"), "{}", html.text);
    house.end().await;
}

#[tokio::test]
async fn what_is_wrong_in_a_form_is_announced() {
    let house = House::start("").await;
    let mut browser = house.first_browser().await;
    let html = browser.get("/add").await.html();
    assert!(html.elements.iter().all(|element| element.get("autofocus").is_none()));
    assert!(html.text.trim_start().starts_with("Add a mail account - mailferry"), "{}", html.text);
    let html = browser.post("/add", &[("address", "")]).await.html();
    assert!(html.text.trim_start().starts_with("Error: Add a mail account - mailferry"), "{}", html.text);
    assert!(html.attribute("address", "autofocus").is_some(), "{html:?}");
    let mut stranger = house.browser();
    let html = stranger.post("/sign-in", &[("password", "guess")]).await.html();
    assert!(html.text.trim_start().starts_with("Error: Sign in"), "{}", html.text);
    house.end().await;
}
