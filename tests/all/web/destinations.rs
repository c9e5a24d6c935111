//! A destination is changed on the page, and one is added there.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use super::browser::{Browser, House};
use super::html::Html;
use crate::dovecot::{Dovecot, FICKLE, PASSWORD};
use crate::ferry::{Ferry, account, imap_destination, message, webhook_destination};

/// A server of the test, as a form says it.
fn form<'a>(port: &'a str, user: &'a str, password: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("host", "127.0.0.1"), ("tls", "none"), ("port", port), ("user", user), ("password", password)]
}

fn complaint(html: &Html, field: &str) -> String {
    assert_eq!(html.attribute(field, "aria-invalid"), Some("true"), "{field}: {}", html.text);
    html.text_from(&format!("{field}-about")).lines().find(|line| !line.is_empty()).unwrap().to_owned()
}

/// A house whose destination `home` is [`FICKLE`]'s, with the password in a file; and one account.
async fn house(server: &Dovecot) -> House {
    let home = imap_destination("home", server, FICKLE)
        .replace(&format!("\"{PASSWORD}\""), "{ file = \"secrets/home\" } # in a file");
    let hand = imap_destination("hand", server, "me");
    let hook = webhook_destination("hook", "http://127.0.0.1:9/", "raw");
    let to_home = account("old", server, "old", "every = \"1h\"\ndeliver = [{ to = \"home\" }]");
    let ferry = Ferry::new(&format!("# Mine.\n{home}{hand}{hook}{to_home}[web]\nlisten = \"127.0.0.1:0\"\n"));
    fs::create_dir(ferry.folder().join("secrets")).unwrap();
    let secret = ferry.folder().join("secrets/home");
    fs::write(&secret, "the first\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    House::of(ferry).await
}

#[tokio::test]
async fn a_destination_whose_password_changed_is_mended_on_the_page() {
    let server = Dovecot::start();
    server.change_password("the first");
    server.put("old", &[message(1)]);
    let house = house(&server).await;
    let mut browser = house.first_browser().await;
    browser.look_for("/", "Delivered1").await;
    server.change_password("the second one");
    server.put("old", &[message(2)]);
    let edit = "/destinations/home/edit";
    let port = server.imap.to_string();
    let html = browser.get("/").await.html();
    assert!(html.with("href", edit).is_some(), "{}", html.text);
    let html = browser.edit(edit, &form(&port, FICKLE, "not this one")).await.html();
    assert!(html.text.contains("That did not work. 127.0.0.1: the login was refused"), "{}", html.text);
    assert_eq!(html.attribute("password", "value"), None);
    assert_eq!(fs::read_to_string(house.ferry.folder().join("secrets/home")).unwrap(), "the first\n");
    assert_eq!(browser.edit(edit, &form(&port, FICKLE, "the second one")).await.goes_to(), "/");

    browser.submit("/accounts/old/check", &[]).await;
    browser.look_for("/", "Delivered2").await;
    assert_eq!(server.count(FICKLE, "INBOX"), 2);
    let text = fs::read_to_string(house.ferry.folder().join("mailferry.toml")).unwrap();
    assert!(text.starts_with("# Mine.\n") && text.contains("# in a file"), "comments stay: {text}");
    assert!(text.contains("password = { file = \"secrets/home-2\" }"), "{text}");
    let secrets = fs::read_dir(house.ferry.folder().join("secrets")).unwrap();
    let secrets: Vec<_> = secrets.map(|file| file.unwrap().path()).collect();
    assert_eq!(secrets.len(), 1, "that of the old password is gone: {secrets:?}");
    assert_eq!(fs::read_to_string(&secrets[0]).unwrap(), "the second one\n");
    assert_eq!(fs::metadata(&secrets[0]).unwrap().permissions().mode() & 0o777, 0o600);
    house.end().await;
}

/// What waited for it goes on without another word.
#[tokio::test]
async fn mail_that_waited_for_a_destination_goes_on_once_that_is_mended() {
    let server = Dovecot::start();
    server.change_password("the second one");
    server.put("old", &[message(1)]);
    let house = house(&server).await;
    let mut browser = house.first_browser().await;
    browser.look_for("/", &format!("the login of {FICKLE} was refused")).await;
    let port = server.imap.to_string();
    assert_eq!(
        browser.edit("/destinations/home/edit", &form(&port, FICKLE, "the second one")).await.goes_to(),
        "/"
    );
    browser.look_for("/", "Delivered1").await;
    house.end().await;
}

#[tokio::test]
async fn a_password_of_a_destination_goes_to_no_other_server() {
    let server = Dovecot::start();
    server.change_password("the first");
    let house = house(&server).await;
    let mut browser = house.first_browser().await;
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let there = other.local_addr().unwrap().port().to_string();
    let before = fs::read_to_string(house.ferry.folder().join("mailferry.toml")).unwrap();
    let edit = "/destinations/home/edit";
    for (port, user) in [(there.as_str(), FICKLE), (&server.imap.to_string(), "they")] {
        let html = browser.edit(edit, &form(port, user, "")).await.html();
        assert!(complaint(&html, "password").starts_with("Type the password again"), "{}", html.text);
    }
    assert!(other.accept().is_err(), "nobody came");
    // Nothing is changed by nothing.
    let here = server.imap.to_string();
    assert_eq!(browser.edit(edit, &form(&here, FICKLE, "")).await.goes_to(), "/");
    assert_eq!(fs::read_to_string(house.ferry.folder().join("mailferry.toml")).unwrap(), before);

    // Another user of the same server.
    let opened = browser.get(edit).await.html();
    assert_eq!(browser.edit(edit, &form(&here, "they", PASSWORD)).await.goes_to(), "/");
    let seen = opened.with("name", "seen").unwrap().get("value").unwrap();
    let late = [&form(&here, FICKLE, "the first")[..], &[("seen", seen)]].concat();
    let html = browser.post(edit, &late).await.html();
    assert!(html.text.contains("was changed while this form was open"), "{}", html.text);
    assert_eq!(html.attribute("user", "value"), Some("they"));
    house.end().await;
}

#[tokio::test]
async fn what_is_written_by_hand_is_no_form() {
    let server = Dovecot::start();
    let house = house(&server).await;
    let mut browser = house.first_browser().await;
    let html = browser.get("/").await.html();
    for (name, status) in [("hand", 409), ("hook", 409), ("nowhere", 404)] {
        let edit = format!("/destinations/{name}/edit");
        assert!(html.with("href", &edit).is_none(), "{}", html.text);
        let port = server.imap.to_string();
        for seen in [browser.get(&edit).await, browser.post(&edit, &form(&port, "me", PASSWORD)).await] {
            assert_eq!(seen.status, status, "{seen:?}");
        }
    }
    house.end().await;
}

#[tokio::test]
async fn a_server_is_added_that_an_account_then_goes_to() {
    let server = Dovecot::start();
    server.put("you", &[message(1)]);
    let config = format!("{}[web]\nlisten = \"127.0.0.1:0\"\n", imap_destination("home", &server, "me"));
    let ferry = Ferry::new(&config);
    fs::write(ferry.folder().join("password"), PASSWORD).unwrap();
    let port = server.pop3.to_string();
    let add = ["add", "you", "--host", "127.0.0.1", "--port", &port, "--tls", "none", "--yes"];
    ferry.run(&[&add[..], &["--password-file", "password"]].concat()).await.expect_code(0);
    let house = House::of(ferry).await;
    let mut browser = house.first_browser().await;
    browser.look_for("/", "Delivered1").await;
    let html = browser.get("/").await.html();
    assert!(html.with("href", "/destinations/add").is_some(), "{}", html.text);
    let new = "/destinations/add";
    assert_eq!(browser.get(new).await.html().attribute("name", "value"), Some(""));
    let imap = server.imap.to_string();
    let with = |name: &'static str, password: &'static str| {
        [&form(&imap, "they", password)[..], &[("name", name)]].concat()
    };
    let html = browser.post(new, &with("home", PASSWORD)).await.html();
    assert!(complaint(&html, "name").contains("There is a destination home already"), "{}", html.text);
    let html = browser.post(new, &with("away", "wrong")).await.html();
    assert!(html.text.contains("the login was refused"), "{}", html.text);
    assert_eq!(browser.post(new, &with("away", PASSWORD)).await.goes_to(), "/");
    to_another(&mut browser, &port).await;
    server.put("you", &[message(2)]);
    browser.submit("/accounts/you/check", &[]).await;
    browser.look_for("/", "Delivered2").await;
    assert_eq!((server.count("me", "INBOX"), server.count("they", "INBOX")), (1, 1));
    house.end().await;
}

async fn to_another(browser: &mut Browser, port: &str) {
    let edit = "/accounts/you/edit";
    let html = browser.get(edit).await.html();
    assert!(html.text.contains("away (imap)"), "{}", html.text);
    let terms =
        [("name", "you"), ("leave_copy", "yes"), ("import", "new"), ("to", "away"), ("folder", "INBOX")];
    let seen = browser.edit(edit, &[&form(port, "you", "")[..], &terms].concat()).await;
    assert_eq!(seen.goes_to(), "/");
    let html = browser.get(edit).await.html();
    let chosen: Vec<_> = html
        .elements
        .iter()
        .filter(|element| element.tag == "option" && element.get("selected").is_some())
        .filter_map(|element| element.get("value"))
        .collect();
    assert!(chosen.contains(&"new") && chosen.contains(&"away"), "{chosen:?}");
}
