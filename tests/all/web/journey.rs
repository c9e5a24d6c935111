//! What a person does on the page, in a real browser on a telephone and on a desk: from the first use to the last.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::browser::{House, PASSWORD};
use super::chromium::Chromium;
use crate::dovecot::{self, Dovecot, FICKLE};
use crate::ferry::{Ferry, account, imap_destination, message, webhook_destination};
use crate::receiver::{Receiver, status};

const TELEPHONE: u32 = 360;
const DESK: u32 = 1280;

#[tokio::test]
async fn an_account_is_added_watched_mended_and_deleted_on_a_telephone() {
    from_first_to_last(TELEPHONE).await;
}

#[tokio::test]
async fn an_account_is_added_watched_mended_and_deleted_at_a_desk() {
    from_first_to_last(DESK).await;
}

#[tokio::test]
async fn parked_messages_are_seen_to_on_a_telephone() {
    see_to_what_is_parked(TELEPHONE).await;
}

#[tokio::test]
async fn parked_messages_are_seen_to_at_a_desk() {
    see_to_what_is_parked(DESK).await;
}

/// A window on the page of a house, which its person has just entered for the first time.
async fn enter(house: &House, width: u32) -> Chromium {
    let window = Chromium::open(width).await;
    window.visit(&format!("http://{}", house.address)).await;
    window.is_fit_for_all().await;
    window.fill("Password", PASSWORD).await;
    window.fill("The same again", PASSWORD).await;
    window.press(None, "Set the password").await;
    window.read("Accounts").await;
    window
}

/// Adds [`FICKLE`]'s account, and a destination with it.
async fn add(window: &Chromium, server: &Dovecot) {
    window.press(Some("main"), "Add a mail account").await;
    window.is_fit_for_all().await;
    window.fill("Mail address", FICKLE).await;
    window.press(None, "Next").await;

    window.read("Log in to the account").await;
    window.is_fit_for_all().await;
    window.fill("POP3 server", "127.0.0.1").await;
    window.choose("Encryption", "none").await;
    window.fill("Port", &server.pop3.to_string()).await;
    window.fill("Password", "not this one").await;
    window.press(None, "Log in").await;
    window.read("the login was refused").await;
    window.is_fit_for_all().await;
    window.fill("Password", "the first").await;
    window.press(None, "Log in").await;

    // There is no destination yet.
    window.read("Where the mail goes").await;
    window.is_fit_for_all().await;
    window.fill("IMAP server", "127.0.0.1").await;
    window.choose("Encryption", "none").await;
    window.fill("Port", &server.imap.to_string()).await;
    window.fill("User name", "me").await;
    window.fill("Password", dovecot::PASSWORD).await;
    window.press(None, "Log in and add it").await;

    window.read("all mail: 2 messages").await;
    window.is_fit_for_all().await;
    window.choose("Leave a copy of retrieved messages on the server", "For some days").await;
    window.fill("For how many days", "7").await;
    window.read("home (imap)").await;
    window.fill("Folder", "Old mail").await;
    window.tick("Mark as read").await;
    window.press(None, "Add account").await;
}

async fn from_first_to_last(width: u32) {
    let server = Dovecot::start();
    server.change_password("the first");
    server.put(FICKLE, &[message(1), message(2)]);
    // A first config, as the README has it.
    let house = House::start("").await;
    let window = enter(&house, width).await;
    window.read("There is no account yet.").await;
    add(&window, &server).await;

    // From here on nobody loads the page again: its script keeps it true.
    window.read("All is well.").await;
    window.read("Delivered 2").await;
    window.is_fit_for_all().await;
    assert_eq!(server.count("me", "Old mail"), 2);
    server.put(FICKLE, &[message(3)]);
    window.press(None, "Check mail now").await;
    window.read("Delivered 3").await;
    assert_eq!(server.count("me", "Old mail"), 3);

    window.press(None, "View history").await;
    window.read("3 messages in all").await;
    window.is_fit_for_all().await;

    server.change_password("the second one");
    window.press(None, "Accounts").await;
    window.press(None, "Check mail now").await;
    window.read("the login was refused").await;
    window.is_fit_for_all().await;
    window.press(None, "View history").await;
    window.read("the login was refused").await;
    window.is_fit_for_all().await;
    window.press(None, "Accounts").await;
    window.press(None, "Edit info").await;
    window.read("Leave it empty to keep the one that is known").await;
    window.is_fit_for_all().await;
    window.fill("Password", "the second one").await;
    window.press(None, "Save changes").await;
    // Nobody has to ask for a check with the new one.
    window.read("All is well.").await;
    for path in ["destinations/home/edit", "destinations/add"] {
        window.visit(&format!("http://{}/{path}", house.address)).await;
        window.is_fit_for_all().await;
    }
    window.press(None, "Cancel").await;

    window.press(None, "Pause").await;
    window.read("paused").await;
    window.is_fit_for_all().await;
    window.press(None, "Resume").await;
    window.press(None, "Delete").await;
    window.read(&format!("Delete {FICKLE}?")).await;
    window.is_fit_for_all().await;
    window.press(Some("main"), "Delete").await;
    window.read("There is no account yet.").await;
    assert_eq!(server.count(FICKLE, "INBOX"), 3, "its mail stays where it is");
    window.press(None, "Sign out").await;
    window.fill("Password", "not this one").await;
    window.press(None, "Sign in").await;
    window.read("This is not the password.").await;
    window.is_fit_for_all().await;
    house.end().await;
}

async fn see_to_what_is_parked(width: u32) {
    let server = Dovecot::start();
    server.put("old", &[message(1), message(2)]);
    let receiver = Receiver::answering(|_, nth| status(if nth < 6 { 422 } else { 200 })).await;
    let to_app = account("old", &server, "old", "every = \"1h\"\ndeliver = [{ to = \"app\" }]");
    let app = webhook_destination("app", &receiver.url, "raw");
    let ferry = Ferry::new(&format!("{app}{to_app}[web]\nlisten = \"127.0.0.1:0\"\n"));
    for code in [75, 75, 0] {
        ferry.run(&["fetch"]).await.expect_code(code);
    }
    let house = House::of(ferry).await;
    let window = enter(&house, width).await;
    window.press(None, "Parked").await;
    window.read("HTTP 422").await;
    window.is_fit_for_all().await;
    window.press(Some("main"), "Give up").await;
    window.read("this cannot be taken back").await;
    window.is_fit_for_all().await;
    window.press(Some("main"), "Give up").await;
    window.read("Messages that were given up").await;
    window.press(Some("main"), "Try again").await;
    window.read("Nothing is parked.").await;
    window.press(None, "Accounts").await;
    window.read("Delivered 1").await;
    house.end().await;
}

/// The pictures of the README: `MAILFERRY_PICTURES=$PWD/deploy tests/run portraits` takes them anew.
#[tokio::test]
async fn portraits() {
    let server = Dovecot::start();
    server.change_password("changed since");
    server.put("ann@old.example", &(0..42).map(message).collect::<Vec<_>>());
    server.put("shop@ann.example", &(50..57).map(message).collect::<Vec<_>>());
    let home = imap_destination("home", &server, "me");
    let ferry =
        Ferry::new(&format!("accounts_dir = \"accounts.d\"\n{home}[web]\nlisten = \"127.0.0.1:0\"\n"));
    let folder = ferry.folder().join("accounts.d");
    fs::create_dir(&folder).unwrap();
    for (name, user, rest) in [
        ("ann@old.example", "ann@old.example", "every = \"5m\""),
        ("choir", FICKLE, "every = \"10m\""),
        ("shop", "shop@ann.example", "every = \"1m\"\nleave_copy = \"14d\""),
    ] {
        let keys = account(name, &server, user, &format!("{rest}\ndeliver = [{{ to = \"home\" }}]"));
        let file = folder.join(format!("{name}.toml"));
        // A file of its own has the keys alone.
        fs::write(&file, keys.split_once('\n').unwrap().1).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    }
    let place = env::var_os("MAILFERRY_PICTURES").map_or_else(|| ferry.folder().to_owned(), PathBuf::from);
    let house = House::of(ferry).await;
    let desk = enter(&house, DESK).await;
    for words in ["Delivered 42", "Delivered 7", "the login was refused"] {
        desk.read(words).await;
    }
    desk.picture(&place.join("page.png")).await;
    desk.press(None, "Add a mail account").await;
    desk.fill("Mail address", "ann@yahoo.com").await;
    desk.press(None, "Next").await;
    desk.read("app password").await;
    desk.picture(&place.join("page-add.png")).await;
    house.end().await;
}
