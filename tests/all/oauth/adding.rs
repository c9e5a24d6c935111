//! Accounts that sign in by OAuth, as people add and change them: at the terminal, and on the page.

use std::fs;
use std::process::Command;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;

use super::{Login, ME, follow, no_token_rests_in_the_clear};
use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, imap_destination, message};
use crate::identity_provider::IdentityProvider;
use crate::internet::Internet;
use crate::terminal::Terminal;
use crate::web::browser::{self, House};
use crate::web::chromium::Chromium;

/// A mailbox with one message, a destination for it, and no account yet.
async fn house(oauth: impl Fn(&IdentityProvider, &str) -> String) -> super::Scene {
    let provider = IdentityProvider::start(ME).await;
    let folder = TempDir::new().unwrap();
    let dovecot = Dovecot::start_with(&provider.dovecot(folder.path()));
    dovecot.put(ME, &[message(1)]);
    let home = imap_destination("home", &dovecot, "home@example.org");
    let ferry = Ferry::new(&format!("{}{home}[web]\nlisten = \"127.0.0.1:0\"\n", oauth(&provider, "test")));
    super::Scene { provider, dovecot, ferry, _folder: folder }
}

fn add(scene: &super::Scene, user: &str, more: &[&str]) -> Command {
    let port = scene.dovecot.pop3.to_string();
    let server = ["add", user, "--host", "127.0.0.1", "--port", &port, "--tls", "none"];
    scene.ferry.command(&[&server, more].concat())
}

/// Signs in by the code, as soon as it is shown. Returns the exit code, and all that was said.
pub async fn signed_in(scene: &super::Scene, command: Command) -> (i32, String) {
    let provider = scene.provider.clone();
    let ended = tokio::task::spawn_blocking(move || {
        let mut login = Login::start(command);
        login.wait_for("WXYZ-1234");
        provider.type_codes_in();
        login.end()
    });
    ended.await.unwrap()
}

/// How many sign-ins the ledger keeps; none where there is no ledger.
pub async fn kept(ferry: &Ferry) -> i64 {
    if !ferry.ledger().exists() {
        return 0;
    }
    let options = SqliteConnectOptions::new().filename(ferry.ledger()).read_only(true);
    let mut ledger = options.connect().await.unwrap();
    let count = sqlx::query_scalar("SELECT count(*) FROM tokens").fetch_one(&mut ledger).await.unwrap();
    ledger.close().await.unwrap();
    count
}

fn file_of(ferry: &Ferry, name: &str) -> String {
    fs::read_to_string(ferry.folder().join("accounts.d").join(format!("{name}.toml"))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_added_by_a_code_and_changed_without_a_password() {
    let scene = house(IdentityProvider::config).await;
    let (code, said) = signed_in(&scene, add(&scene, ME, &["--oauth", "test", "--yes"])).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("Signed in as me@example.org.") && said.contains("Logged in: 1 message"), "{said}");
    let text = file_of(&scene.ferry, ME);
    assert!(text.contains("oauth = \"test\"\n") && !text.contains("password"), "{text}");
    no_token_rests_in_the_clear(&scene);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.dovecot.count("home@example.org", "INBOX"), 1);

    scene.ferry.run(&["edit", ME, "--leave-copy", "14d", "--yes"]).await.expect_code(0);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    fs::write(scene.ferry.folder().join("password"), "a password\n").unwrap();
    let ran = scene.ferry.run(&["edit", ME, "--password-file", "password"]).await.expect_code(64);
    assert!(ran.stderr.contains("signs in by OAuth and has no password"), "{ran:?}");

    // What was signed in for goes to no other server, and to no other user.
    assert_eq!(kept(&scene.ferry).await, 1);
    let ran = scene.ferry.run(&["edit", ME, "--user", "you@example.org", "--yes"]).await.expect_code(0);
    assert!(ran.stdout.contains("sign in again by `mailferry login me@example.org`"), "{ran:?}");
    assert_eq!(kept(&scene.ferry).await, 0);
    let ran = scene.ferry.run(&["fetch"]).await.expect_code(75);
    assert!(ran.stdout.contains("nobody has signed in yet"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_led_through_at_a_terminal_comes_back_from_the_browser_to_the_questions() {
    let scene = house(IdentityProvider::config_without_codes).await;
    let mut terminal = Terminal::start(&add(&scene, ME, &[]));
    // A password would do as well, for all that is known of this server.
    terminal.wait_for("How to sign in").await;
    terminal.answer(crate::terminal::DOWN).await;
    let server = ["User name", "POP3 server", "Encryption"];
    let typed = |port: &str| format!("{}{port}", "\x7f".repeat(5));
    // Where nobody listens, they need not sign in once more to try again; for another server they do.
    for question in server {
        terminal.at(question, "").await;
    }
    terminal.at("Port", &typed("1")).await;
    let url = terminal.line_with("/authorize?").await;
    tokio::task::spawn_blocking(move || follow(&follow(&url))).await.unwrap();
    terminal.wait_for("That did not work").await;
    for question in server.into_iter().chain(["Port"]) {
        terminal.at(question, "").await;
    }
    terminal.wait_for("That did not work").await;
    for question in server {
        terminal.at(question, "").await;
    }
    terminal.at("Port", &typed(&scene.dovecot.pop3.to_string())).await;
    let url = terminal.line_with("/authorize?").await;
    let landed = tokio::task::spawn_blocking(move || follow(&url)).await.unwrap();
    terminal.at("press Enter:", "not an address").await;
    terminal.wait_for("That is not it").await;
    tokio::task::spawn_blocking(move || follow(&landed)).await.unwrap();
    terminal.wait_for("Logged in: 1 message").await;
    terminal.at("Leave a copy", "").await;
    terminal.at("Import", "").await;
    terminal.at("Deliver to", "").await;
    terminal.at("Folder", "Mine").await;
    for question in ["Mark as read?", "into the junk folder?"] {
        terminal.wait_for(question).await;
        terminal.press("n").await;
    }
    // Nothing is left of a sign-in for what was not wanted after all.
    terminal.wait_for("Save the account").await;
    terminal.press("n").await;
    let (code, shown) = terminal.end().await;
    assert!(code == 0 && shown.contains("Nothing was saved."), "{shown}");
    assert!(!scene.ferry.folder().join("accounts.d").exists());
    assert_eq!(kept(&scene.ferry).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_the_server_does_not_take_adds_nothing() {
    let scene = house(IdentityProvider::config).await;
    let (code, said) = signed_in(&scene, add(&scene, "you@example.org", &["--oauth", "test", "--yes"])).await;
    assert_eq!(code, 75, "{said}");
    assert!(said.contains("the sign-in was refused") && said.contains("`mailferry add`"), "{said}");
    assert!(!scene.ferry.folder().join("accounts.d").exists());
    assert_eq!(kept(&scene.ferry).await, 0);
    let ran = scene.ferry.run(&["add", ME, "--host", "127.0.0.1", "--oauth", "tset", "--yes"]).await;
    let ran = ran.expect_code(64);
    assert!(ran.stderr.contains("there is no [oauth.tset] in the config; it has: test"), "{ran:?}");
}

#[tokio::test]
async fn whoever_has_no_application_is_told_what_to_write() {
    let ferry = Ferry::new("");
    for words in [
        vec!["add", "you@hotmail.com", "--yes"],
        vec!["add", "x", "--host", "outlook.office365.com", "--yes"],
    ] {
        let ran = ferry.run(&words).await.expect_code(64);
        assert!(ran.stderr.contains("deploy/oauth.md"), "{ran:?}");
        assert!(ran.stdout.contains("[oauth.microsoft]\nclient_id = \"...\"\n"), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_which_a_stranger_says_that_it_takes_tokens_alone_is_asked_about() {
    let internet = Internet::new().await;
    internet.mx("example.org", 1, "example-org.mail.protection.outlook.com");
    let provider = IdentityProvider::start(ME).await;
    let ferry = Ferry::new(&(internet.config() + &provider.config("test")));
    let ran = ferry.run(&["add", ME, "--yes"]).await.expect_code(64);
    assert!(ran.stdout.contains("OAuth 2 alone"), "{ran:?}");
    assert!(ran.stderr.contains("what you sign in for would go to office365.com"), "{ran:?}");
    assert!(ran.stderr.contains("--host outlook.office365.com"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_leads_through_a_sign_in_by_code() {
    let scene = house(IdentityProvider::config).await;
    let (window, house, scene) = visit(scene, 360).await;
    begin(&window, &scene).await;
    window.read("WXYZ-1234").await;
    window.is_fit_for_all().await;
    // Nothing is there yet.
    assert_eq!(kept(&house.ferry).await, 0);
    scene.provider.type_codes_in();
    window.read("What is to become of its mail").await;
    window.read("1 message").await;
    window.is_fit_for_all().await;
    window.press(None, "Add account").await;
    window.read("Delivered 1").await;
    assert_eq!(scene.dovecot.count("home@example.org", "INBOX"), 1);
    assert_eq!(kept(&house.ferry).await, 1);
    let text = file_of(&house.ferry, ME);
    assert!(text.contains("oauth = \"test\"\n") && !text.contains("password"), "{text}");

    // It has no password that could be changed; another server has somebody sign in anew.
    window.press(None, "Edit info").await;
    window.read("Save changes").await;
    window.is_fit_for_all().await;
    assert!(!window.text().await.contains("Password"));
    window.fill("User name", "you@example.org").await;
    window.press(None, "Save changes").await;
    window.read("WXYZ-1234").await;
    assert_eq!(kept(&house.ferry).await, 0);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_what_the_server_has_against_a_sign_in_and_takes_another() {
    let scene = house(IdentityProvider::config_without_codes).await;
    let (window, house, scene) = visit(scene, 1280).await;
    scene.provider.belongs_to("somebody@example.org");
    begin(&window, &scene).await;
    window.press(None, "Go to the provider").await;
    window.read("Signed in").await;
    window.press(None, "Go on").await;
    window.read("127.0.0.1: the sign-in was refused").await;
    window.is_fit_for_all().await;
    scene.provider.belongs_to(ME);
    window.press(None, "Try again").await;
    window.press(None, "Go to the provider").await;
    window.read("Signed in").await;
    window.press(None, "Go on").await;
    window.read("What is to become of its mail").await;
    window.press(None, "Add account").await;
    window.read("Delivered 1").await;
    house.end().await;
}

#[tokio::test]
async fn the_page_says_what_to_write_where_there_is_no_application() {
    let house = House::start("").await;
    let mut browser = house.first_browser().await;
    let seen = browser.post("/add", &[("address", "you@outlook.com")]).await;
    assert_eq!(seen.status, 422);
    let html = seen.html();
    assert!(
        html.text.contains("deploy/oauth.md") && html.text.contains("[oauth.microsoft]"),
        "{}",
        html.text
    );
    house.end().await;
}

/// A window on the page, signed in to it.
pub async fn visit(scene: super::Scene, width: u32) -> (Chromium, House, Mailbox) {
    let super::Scene { provider, dovecot, ferry, _folder } = scene;
    let house = House::of(ferry).await;
    let window = Chromium::open(width).await;
    window.visit(&format!("http://{}", house.address)).await;
    window.fill("Password", browser::PASSWORD).await;
    window.fill("The same again", browser::PASSWORD).await;
    window.press(None, "Set the password").await;
    window.read("There is no account yet.").await;
    (window, house, Mailbox { provider, dovecot, _folder })
}

/// What is left of a scene where a house has its config.
pub struct Mailbox {
    pub provider: IdentityProvider,
    pub dovecot: Dovecot,
    _folder: TempDir,
}

/// Up to the provider.
async fn begin(window: &Chromium, scene: &Mailbox) {
    window.press(None, "Add a mail account").await;
    window.fill("Mail address", ME).await;
    window.press(None, "Next").await;
    window.choose("How to sign in", "By OAuth: test").await;
    window.fill("POP3 server", "127.0.0.1").await;
    window.choose("Encryption", "none, for a server on this machine only").await;
    window.fill("Port", &scene.dovecot.pop3.to_string()).await;
    window.is_fit_for_all().await;
    window.press(None, "Log in").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sign_in_of_an_account_that_is_not_in_order_goes_with_it() {
    let scene = house(IdentityProvider::config).await;
    let (code, said) = signed_in(&scene, add(&scene, ME, &["--oauth", "test", "--yes"])).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(kept(&scene.ferry).await, 1);
    let file = scene.ferry.folder().join("mailferry.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("[oauth.test]", "[oauth.other]")).unwrap();
    scene.ferry.run(&["delete", ME, "--yes"]).await.expect_code(0);
    assert_eq!(kept(&scene.ferry).await, 0);
}
