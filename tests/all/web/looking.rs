//! What the page shows of accounts at work, and what its buttons do.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use mailferry::providers::PRESETS;
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::browser::House;
use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, account, imap_destination, message, webhook_destination};
use crate::receiver::{Receiver, status};

const TO_HOME: &str = "every = \"1h\"\ndeliver = [{ to = \"home\" }]";

#[tokio::test]
async fn an_account_is_shown_checked_paused_resumed_and_deleted() {
    let server = Dovecot::start();
    server.put("old", &[message(1)]);
    let home = imap_destination("home", &server, "me");
    let ferry = with_own_file(&home, "old", &account("old", &server, "old", TO_HOME));
    let file = ferry.folder().join("accounts.d/old.toml");
    let house = House::of(ferry).await;
    let mut browser = house.first_browser().await;
    let html = browser.look_for("/", "Last checked: ").await;
    assert!(html.text.contains("1 account. All is well."), "{}", html.text);
    let html = browser.look_for("/", "Delivered1").await;
    assert!(html.text.contains("old at 127.0.0.1"), "{}", html.text);
    let time = html.elements.iter().find(|element| element.tag == "time").unwrap();
    assert!(time.get("datetime").unwrap().ends_with('Z') && time.get("title").is_some(), "{time:?}");

    server.put("old", &[message(2)]);
    browser.submit("/accounts/old/check", &[]).await;
    browser.look_for("/live", "Delivered2").await;
    assert_eq!(server.count("me", "INBOX"), 2);

    let seen = browser.post("/accounts/old/pause?find=old&show=attention&page=20", &[]).await;
    assert_eq!(seen.goes_to(), "/?find=old&show=attention&page=20", "where it was pressed");
    let html = browser.get("/").await.html();
    assert!(html.text.contains("paused") && !html.text.contains("Check mail now"), "{}", html.text);
    assert!(fs::read_to_string(&file).unwrap().contains("paused = true"));
    let html = browser.submit("/accounts/old/resume", &[]).await.html();
    assert!(html.text.contains("Pause") && !html.text.contains("Resume"), "{}", html.text);

    let history = browser.get("/accounts/old/history").await.html();
    assert!(
        history.text.contains("Messages a day") && history.text.contains("2 messages in all"),
        "{}",
        history.text
    );
    assert!(history.with("role", "img").is_some_and(|image| image.get("aria-describedby").is_some()));
    assert_eq!(browser.get("/accounts/nobody/history").await.status, 404);

    let html = browser.get("/accounts/old/delete").await.html();
    assert!(html.text.contains("Delete old?"), "{}", html.text);
    let html = browser.submit("/accounts/old/delete", &[("forget", "yes")]).await.html();
    assert!(html.text.contains("There is no account yet."), "{}", html.text);
    assert!(!file.exists());
    let parked = house.ferry.json(&["history", "--json"]).await;
    assert_eq!(parked["polls"].as_array().unwrap().len(), 0, "it is forgotten: {parked}");
    house.end().await;
}

#[tokio::test]
async fn what_is_written_by_hand_is_changed_by_hand() {
    let server = Dovecot::start();
    let config = imap_destination("home", &server, "me") + &account("old", &server, "old", TO_HOME);
    let house = House::start(&config).await;
    let mut browser = house.first_browser().await;
    let html = browser.look_for("/", "Last checked: ").await;
    assert!(html.text.contains("Written by hand in the config"), "{}", html.text);
    assert!(!html.text.contains("Edit info") && !html.text.contains("Delete"), "{}", html.text);
    for path in ["/accounts/old/edit", "/accounts/old/delete"] {
        let seen = browser.get(path).await;
        assert_eq!(seen.status, 409, "{seen:?}");
        assert!(seen.body.contains("was written by hand"), "{seen:?}");
    }
    for path in ["pause", "resume", "delete"] {
        let seen = browser.post(&format!("/accounts/old/{path}"), &[]).await;
        assert_eq!(seen.status, 409, "{seen:?}");
    }
    house.end().await;
}

#[tokio::test]
async fn a_failure_is_said_in_plain_words() {
    let server = Dovecot::start();
    let wrong = account("old", &server, "old", TO_HOME).replace("\"secret\"", "\"wrong\"");
    let broken = account("lost", &server, "lost", TO_HOME).replace("\"secret\"", "{ file = \"none\" }");
    let house = House::start(&(imap_destination("home", &server, "me") + &wrong + &broken)).await;
    let mut browser = house.first_browser().await;
    let html = browser.look_for("/", "failing old at 127.0.0.1").await;
    assert!(html.text.contains("2 accounts. 2 need your attention."), "{}", html.text);
    let said = [
        "Mail from this account has not been retrieved yet.",
        "Its server refused the password.",
        "Check the user name, and type the password again",
        "the login was refused",
        "none does not exist",
    ];
    assert!(said.iter().all(|said| html.text.contains(said)), "{}", html.text);
    assert_eq!(html.with("id", "account-old").unwrap().get("class"), Some("card failing"));
    let html = browser.get("/?find=LOS").await.html();
    assert!(html.with("id", "account-lost").is_some() && html.with("id", "account-old").is_none());
    house.end().await;
}

#[tokio::test]
async fn a_poll_is_followed_while_it_goes_on() {
    let server = Dovecot::start();
    let messages: Vec<Vec<u8>> = (0..200).map(message).collect();
    server.put("old", &messages);
    let receiver = Receiver::holding().await;
    let to_app = account("old", &server, "old", "every = \"1h\"\ndeliver = [{ to = \"app\" }]");
    let house = House::start(&(webhook_destination("app", &receiver.url, "raw") + &to_app)).await;
    let mut browser = house.first_browser().await;
    let html = browser.look_for("/live", "Checking mail").await;
    assert_eq!(html.attribute("live", "data-busy"), Some("true"));
    // The verdicts on the first batch of 64 are committed while the second one is sent.
    receiver.let_answer(128);
    let html = browser.look_for("/live", "Checking mail: 64 of 200 deliveries").await;
    let bar = html.elements.iter().find(|element| element.tag == "progress").unwrap();
    assert_eq!((bar.get("value"), bar.get("max")), (Some("64"), Some("200")));
    receiver.let_answer(1000);
    let html = browser.look_for("/live", "ok old at 127.0.0.1").await;
    assert!(html.text.contains("Delivered200"), "{}", html.text);
    assert_eq!(html.attribute("live", "data-busy"), Some("false"));
    house.end().await;
}

#[tokio::test]
async fn a_parked_message_is_looked_at_tried_again_or_given_up() {
    let server = Dovecot::start();
    server.put("old", &[message(1), message(2), message(3)]);
    let receiver = Receiver::answering(|arrival, _| {
        let is_bad = |bad: &[u8]| arrival.body.windows(9).any(|part| part == bad);
        status(if is_bad(b"message 2") || is_bad(b"message 3") { 422 } else { 200 })
    });
    let receiver = receiver.await;
    let to_app = account("old", &server, "old", "every = \"1h\"\ndeliver = [{ to = \"app\" }]");
    let app = webhook_destination("app", &receiver.url, "raw");
    let silent = format!("{app}{to_app}[web]\nlisten = \"127.0.0.1:0\"\n");
    let ferry = Ferry::new(&format!("{silent}subjects = true\n"));
    for code in [75, 75, 0] {
        ferry.run(&["fetch"]).await.expect_code(code);
    }
    let mut house = House::of(ferry).await;
    let mut browser = house.first_browser().await;
    let html = browser.get("/").await.html();
    assert!(html.with("href", "/parked?account=old").is_some(), "{}", html.text);
    assert!(html.text.contains("One needs your attention."), "{}", html.text);
    assert_eq!(html.with("id", "account-old").unwrap().get("class"), Some("card waiting"), "{}", html.text);
    let html = browser.get("/parked?account=old").await.html();
    assert!(html.text.contains("HTTP 422") && html.text.contains("after 3 attempts"), "{}", html.text);
    assert!(html.text.contains("message 2") && html.text.contains("message 3"), "{}", html.text);
    house.ferry.configure(&silent);
    house.daemon.signal(Signal::HUP);
    house.daemon.wait_for("reloaded").await;
    let html = browser.get("/parked?account=old").await.html();
    assert!(html.text.contains("HTTP 422") && !html.text.contains("message 2"), "{}", html.text);
    let ids = house.ferry.json(&["parked", "--json"]).await;
    let id = |n: usize| ids["parked"][n]["id"].to_string();

    let seen = browser.get(&format!("/parked/{}/message.eml", id(0))).await;
    assert_eq!(seen.headers["content-type"], "application/octet-stream");
    let named = seen.headers["content-disposition"].to_str().unwrap();
    assert_eq!(named, format!("attachment; filename=\"message-{}.eml\"", id(0)));
    assert_eq!(seen.body.as_bytes(), message(2));

    let give_up = format!("/parked/{}/give-up", id(0));
    let html = browser.submit(&give_up, &[("destination", "app")]).await.html();
    assert!(!html.text.contains(&format!("Message {} of old", id(0))), "{}", html.text);
    assert_eq!(browser.post(&give_up, &[("destination", "app")]).await.status, 404, "once is enough");
    assert_eq!(receiver.arrivals().len(), 7);
    let retry = format!("/parked/{}/retry", id(1));
    let html = browser.submit(&retry, &[("destination", "app")]).await.html();
    assert!(html.text.contains("Nothing is parked."), "{}", html.text);
    house.daemon.wait_for("verdict=\"deferred\"").await;
    assert_eq!(browser.post("/parked/4711/retry", &[("destination", "app")]).await.status, 404);
    assert_eq!(browser.get("/parked/4711/message.eml").await.status, 404);
    house.end().await;
}

/// A ferry with an account that has a file of its own.
pub fn with_own_file(config: &str, name: &str, account: &str) -> Ferry {
    let ferry =
        Ferry::new(&format!("accounts_dir = \"accounts.d\"\n{config}[web]\nlisten = \"127.0.0.1:0\"\n"));
    let file = ferry.folder().join(format!("accounts.d/{name}.toml"));
    fs::create_dir(file.parent().unwrap()).unwrap();
    // It has the keys alone.
    fs::write(&file, account.split_once('\n').unwrap().1).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    ferry
}

#[tokio::test]
async fn what_is_begun_is_done_to_its_end_also_for_who_hangs_up() {
    let server = Dovecot::start();
    let home = imap_destination("home", &server, "me");
    let house = House::of(with_own_file(&home, "old", &account("old", &server, "old", TO_HOME))).await;
    let mut browser = house.first_browser().await;
    browser.look_for("/", "Last checked: ").await;
    let mut stream = TcpStream::connect(&house.address).await.unwrap();
    let request = format!(
        "POST /accounts/old/delete HTTP/1.1\r\nhost: {0}\r\norigin: http://{0}\r\ncookie: {1}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: 10\r\n\r\nforget=yes",
        house.address,
        browser.cookie.clone().unwrap()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let file = house.ferry.folder().join("accounts.d/old.toml");
    let forgotten = async {
        while file.exists() {
            tokio::task::yield_now().await;
        }
        drop(stream);
        while !house.ferry.json(&["history", "--json"]).await["polls"].as_array().unwrap().is_empty() {}
    };
    let forgotten = tokio::time::timeout(Duration::from_secs(20), forgotten).await;
    assert!(forgotten.is_ok(), "it is deleted, and not forgotten");
    house.end().await;
}

#[tokio::test]
async fn a_server_that_is_slow_to_let_in_holds_up_no_other_change() {
    let server = Dovecot::start();
    let home = imap_destination("home", &server, "me");
    let house = House::of(with_own_file(&home, "old", &account("old", &server, "old", TO_HOME))).await;
    let mut browser = house.first_browser().await;
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = slow.local_addr().unwrap().port().to_string();
    let mut other = house.browser();
    other.cookie = browser.cookie.clone();
    let editing = tokio::spawn(async move {
        let form = [
            ("name", "old"),
            ("user", "old"),
            ("password", "another"),
            ("host", "127.0.0.1"),
            ("tls", "none"),
            ("port", &port),
            ("leave_copy", "yes"),
            ("to", "home"),
            ("folder", "INBOX"),
        ];
        other.edit("/accounts/old/edit", &form).await
    });
    let (stream, _) = slow.accept().await.unwrap();
    let paused = tokio::time::timeout(Duration::from_secs(10), browser.submit("/accounts/old/pause", &[]));
    let html = paused.await.expect("it waits for the slow server").html();
    assert!(html.text.contains("Resume"), "{}", html.text);
    drop(stream);
    let seen = editing.await.unwrap();
    assert!(seen.status == 422 && seen.html().text.contains("That did not work."), "{seen:?}");
    house.end().await;
}

/// What is known of providers, on the page and at the terminal, and what of it was tried.
#[tokio::test]
async fn providers_are_shown_with_how_to_sign_in_and_what_was_tried() {
    let house = House::start("").await;
    let mut browser = house.first_browser().await;
    let all = browser.get("/providers").await.html().text;
    let sections: Vec<&str> = all.split("Sign in").collect();
    assert_eq!(sections.len(), PRESETS.len() + 1, "one for each provider");
    for (section, provider) in sections.iter().zip(PRESETS) {
        assert!(section.contains(provider.name), "{}: {section}", provider.name);
    }
    for (section, provider) in sections[1..].iter().zip(PRESETS) {
        let is_said = |text: &str| section.contains(text);
        assert!(is_said(provider.sign_in()), "{}: {section}", provider.name);
        assert!(
            provider.trials().iter().all(|(how, trials)| is_said(how) && is_said(trials[0].way)),
            "{section}"
        );
    }
    let one = browser.get("/providers?find=me@hotmail.com").await.html().text;
    assert!(
        one.contains("Outlook.com and Hotmail") && one.contains("OAuth") && !one.contains("Yahoo"),
        "{one}"
    );
    let none = browser.get("/providers?find=%3Cb%3E").await.html().text;
    assert!(none.contains("No provider is known by that."), "{none}");

    let ran = house.ferry.run(&["providers"]).await.expect_code(0);
    let rows: Vec<&str> = ran.stdout.lines().skip(1).take(PRESETS.len()).collect();
    for (row, provider) in rows.iter().zip(PRESETS) {
        let marks = [provider.name, provider.sign_in(), provider.how_tried(), provider.checked];
        assert!(marks.iter().all(|mark| !mark.is_empty() && row.contains(mark)), "{}: {row}", provider.name);
    }
    let all_json = house.ferry.json(&["providers", "--json"]).await;
    let blank = |row: &&Value| row["sign_in"] == "" || row["tried"].as_array().is_none_or(Vec::is_empty);
    assert_eq!(all_json["providers"].as_array().unwrap().iter().find(blank), None);
    let ran = house.ferry.run(&["providers", "yandex"]).await.expect_code(0);
    assert!(
        ran.stdout.contains("app password") && ran.stdout.contains("deletions that are taken"),
        "{ran:?}"
    );
    let json = house.ferry.json(&["providers", "gmail.com", "--json"]).await;
    assert_eq!(json["providers"][0]["sign_in"], "app password or OAuth");
    let by = &json["providers"][0]["tried"][0]["by"];
    assert!(
        by[0] == "quirks/Q38-retrieved-is-hidden" && all.contains("quirks/Q38-retrieved-is-hidden"),
        "{by}"
    );
    for shown in [&all, &house.ferry.run(&["providers"]).await.stdout] {
        assert!(shown.contains("None of this was tried with a real account."), "{shown}");
    }
    house.ferry.run(&["providers", "nobody.example"]).await.expect_code(64);
}
