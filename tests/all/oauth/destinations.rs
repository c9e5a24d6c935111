//! Destinations that are signed in to by OAuth, as people add and change them: at the terminal, and on the page.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::adding::{Mailbox, kept, signed_in, visit};
use super::{ME, Scene, follow};
use crate::dovecot::{Dovecot, PASSWORD};
use crate::ferry::{Ferry, message};
use crate::identity_provider::IdentityProvider;
use crate::terminal::{DOWN, Terminal};
use crate::web::browser::House;
use crate::web::chromium::Chromium;

/// A mailbox `old` with one message, and neither an account nor a destination yet.
async fn house(oauth: impl Fn(&IdentityProvider, &str) -> String) -> Scene {
    let provider = IdentityProvider::start(ME).await;
    let folder = TempDir::new().unwrap();
    let dovecot = Dovecot::start_with(&provider.dovecot(folder.path()));
    dovecot.put("old", &[message(1)]);
    let ferry =
        Ferry::new(&format!("# Mine.\n{}[web]\nlisten = \"127.0.0.1:0\"\n", oauth(&provider, "test")));
    fs::write(ferry.folder().join("password"), format!("{PASSWORD}\n")).unwrap();
    Scene { provider, dovecot, ferry, _folder: folder }
}

/// `mailferry add`, of the account `old`, with a new destination.
fn add(scene: &Scene, more: &[&str]) -> Command {
    let (port, there) = (scene.dovecot.pop3.to_string(), scene.dovecot.imap.to_string());
    let account = ["add", "old", "--host", "127.0.0.1", "--port", &port, "--tls", "none"];
    let home = ["--to-host", "127.0.0.1", "--to-port", &there, "--to-tls", "none"];
    scene.ferry.command(&[&account[..], &["--password-file", "password", "--yes"], &home, more].concat())
}

fn main_file(ferry: &Ferry) -> String {
    fs::read_to_string(ferry.folder().join("mailferry.toml")).unwrap()
}

/// Neither the config nor the ledger knows of anything new.
async fn nothing_is_saved(scene: &Scene, before: &str) {
    assert_eq!(main_file(&scene.ferry), before);
    assert_eq!(kept(&scene.ferry).await, 0);
    for folder in ["accounts.d", "secrets"] {
        assert!(!scene.ferry.folder().join(folder).exists(), "{folder}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_added_with_a_destination_that_is_opened_by_a_code() {
    let scene = house(IdentityProvider::config).await;
    let (code, said) =
        signed_in(&scene, add(&scene, &["--to", "mine", "--to-user", ME, "--to-oauth", "test"])).await;
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("Signed in as me@example.org.") && said.contains("Added the destination mine"),
        "{said}"
    );
    let text = main_file(&scene.ferry);
    assert!(text.contains("# Mine.\n") && text.contains("oauth = \"test\"\n"), "{text}");
    assert!(!text.contains("password") && !scene.ferry.folder().join("secrets").exists(), "{text}");
    super::no_token_rests_in_the_clear(&scene);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.dovecot.count(ME, "INBOX"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_gives_up_or_is_not_let_in_leaves_nothing_behind() {
    let scene = house(IdentityProvider::config).await;
    let before = main_file(&scene.ferry);
    // Somebody else has signed in than who is to log in.
    let (code, said) =
        signed_in(&scene, add(&scene, &["--to-user", "you@example.org", "--to-oauth", "test"])).await;
    assert_eq!(code, 75, "{said}");
    assert!(said.contains("the sign-in was refused") && said.contains("`mailferry add`"), "{said}");
    nothing_is_saved(&scene, &before).await;
    let ran =
        crate::ferry::Ran::by(add(&scene, &["--to-user", ME, "--to-oauth", "tset"])).await.expect_code(64);
    assert!(ran.stderr.contains("there is no [oauth.tset] in the config; it has: test"), "{ran:?}");
    nothing_is_saved(&scene, &before).await;

    // What the config would refuse is said before anybody signs in.
    let elsewhere = ["--to-host", "mail.example.com", "--to-user", ME, "--to-oauth", "test"];
    let words =
        ["add", "old", "--password-file", "password", "--yes", "--host", "127.0.0.1", "--tls", "none"];
    let port = scene.dovecot.pop3.to_string();
    let words = [&words[..], &["--port", &port, "--to-tls", "none"], &elsewhere].concat();
    let ran = scene.ferry.run(&words).await.expect_code(78);
    assert!(ran.stderr.contains("unencrypted") && !ran.stdout.contains("WXYZ-1234"), "{ran:?}");
    nothing_is_saved(&scene, &before).await;

    let mut terminal = Terminal::start(&add(&scene, &["--to-user", ME, "--to-oauth", "test"]));
    terminal.wait_for("WXYZ-1234").await;
    terminal.press("\x03").await;
    let (code, shown) = terminal.end().await;
    assert_ne!(code, 0, "{shown}");
    scene.provider.type_codes_in();
    nothing_is_saved(&scene, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_is_led_through_a_new_destination_at_a_terminal() {
    let scene = house(IdentityProvider::config_without_codes).await;
    let port = scene.dovecot.pop3.to_string();
    let command =
        scene.ferry.command(&["add", "old", "--host", "127.0.0.1", "--port", &port, "--tls", "none"]);
    let mut terminal = Terminal::start(&command);
    // A password is the first choice.
    terminal.at("How to sign in", "").await;
    terminal.at("User name", "").await;
    terminal.unseen_at("Password", PASSWORD).await;
    for question in ["POP3 server", "Encryption", "Port"] {
        terminal.at(question, "").await;
    }
    terminal.at("Leave a copy", "").await;
    terminal.at("Import", "").await;
    // There is no application of Google's: that is said, and the same is asked again.
    terminal.at("Deliver to", DOWN).await;
    terminal.wait_for("deploy/oauth.md says how").await;
    terminal.wait_for("[oauth.google]").await;
    terminal.at("Deliver to", "").await;
    terminal.at("A name for it", "").await;
    terminal.at("User name there", ME).await;
    terminal.at("How to sign in", DOWN).await;
    terminal.at("IMAP server", "127.0.0.1").await;
    terminal.at("Encryption", &format!("{DOWN}{DOWN}")).await;
    terminal.at("Port", &format!("{}{}", "\x7f".repeat(5), scene.dovecot.imap)).await;
    let url = terminal.line_with("/authorize?").await;
    tokio::task::spawn_blocking(move || follow(&follow(&url))).await.unwrap();
    terminal.wait_for("Logged in: ").await;
    terminal.at("Folder", "Mine").await;
    for question in ["Mark as read?", "into the junk folder?", "Save the account"] {
        terminal.wait_for(question).await;
        terminal.press(if question == "Save the account" { "y" } else { "n" }).await;
    }
    let (code, shown) = terminal.end().await;
    assert_eq!(code, 0, "{shown}");
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.dovecot.count(ME, "Mine"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_goes_from_a_password_to_a_sign_in_to_another_user_and_back() {
    let scene = house(IdentityProvider::config).await;
    let ran =
        crate::ferry::Ran::by(add(&scene, &["--to-user", "they", "--to-password-file", "password"])).await;
    ran.expect_code(0);
    assert!(scene.ferry.folder().join("secrets/home").exists());
    let edit = |more: &[&str]| scene.ferry.command(&[&["edit-destination", "home"], more].concat());
    let (code, said) = signed_in(&scene, edit(&["--user", ME, "--oauth", "test"])).await;
    assert_eq!(code, 0, "{said}");
    let text = main_file(&scene.ferry);
    assert!(text.contains("oauth = \"test\"\n") && !text.contains("password"), "{text}");
    assert!(!scene.ferry.folder().join("secrets/home").exists(), "that of the old password is gone");
    assert_eq!(kept(&scene.ferry).await, 1);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.dovecot.count(ME, "INBOX"), 1);

    let ran = scene.ferry.run(&["edit-destination", "home", "--oauth", "test"]).await.expect_code(0);
    assert!(ran.stdout.contains("Nothing was changed."), "{ran:?}");
    let ran = scene.ferry.run(&["edit-destination", "home"]).await.expect_code(64);
    assert!(ran.stderr.contains("nothing was said to be changed"), "{ran:?}");
    // Another user signs in anew; who is not let in changes nothing.
    let (code, said) = signed_in(&scene, edit(&["--user", "you@example.org"])).await;
    assert!(code == 75 && said.contains("`mailferry edit-destination home`"), "{said}");
    assert_eq!((main_file(&scene.ferry), kept(&scene.ferry).await), (text, 1));
    scene.provider.belongs_to("you@example.org");
    let (code, said) = signed_in(&scene, edit(&["--user", "you@example.org"])).await;
    assert_eq!(code, 0, "{said}");
    scene.dovecot.put("old", &[message(2)]);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!((scene.dovecot.count(ME, "INBOX"), scene.dovecot.count("you@example.org", "INBOX")), (1, 1));

    // With a password its tokens go, but not where the config cannot be written.
    let back = ["edit-destination", "home", "--user", "they", "--password-file", "password"];
    let text = main_file(&scene.ferry);
    // Of what is written, the config alone keeps the mode of a file before it.
    let full = ["strace", "-Dfq", "-o/dev/null", "-etrace=fchmod", "-einject=fchmod:error=ENOSPC"];
    let ran = scene.ferry.run_under(&full.map(str::to_owned), &back).await.unwrap().expect_code(78);
    assert!(ran.stderr.contains("mailferry.toml cannot be written"), "{ran:?}");
    assert_eq!((main_file(&scene.ferry), kept(&scene.ferry).await), (text, 1));
    scene.ferry.run(&back).await.expect_code(0);
    assert_eq!(kept(&scene.ferry).await, 0);
    let text = main_file(&scene.ferry);
    assert!(text.contains("password = { file = \"secrets/home\" }") && !text.contains("oauth = "), "{text}");
    scene.dovecot.put("old", &[message(3)]);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.dovecot.count("they", "INBOX"), 1);
}

#[tokio::test]
async fn options_that_fit_no_new_destination_are_refused() {
    let ferry = Ferry::new(
        "[destination.home]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:9/\"\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n",
    );
    let cases: [(&[&str], &str); 5] = [
        (&["--to-user", "x"], "there is a destination home already; give the new one another name by --to"),
        (&["--to-kind", "gmail", "--to-host", "x"], "are for an IMAP server, and this is Gmail"),
        (
            &["--to", "new", "--to-never-mark-spam"],
            "are for Gmail by Google's API, and this is an IMAP server",
        ),
        (&["--to-kind", "gmail", "--folder", "Old"], "gmail is Gmail, which has labels; take --labels"),
        (&["--to", "new", "--to-kind", "pop3"], "imap, gmail"),
    ];
    for (more, said) in cases {
        let words = [&["add", "you@example.org", "--host", "127.0.0.1", "--yes"], more].concat();
        let ran = ferry.run(&words).await.expect_code(64);
        assert!(ran.stderr.contains(said), "{more:?}: {ran:?}");
    }
}

#[tokio::test]
async fn the_page_says_what_to_write_where_there_is_no_application() {
    let house = House::start("").await;
    let mut browser = house.first_browser().await;
    let typed = [("name", "home"), ("user", "you@outlook.com"), ("password", "")];
    let seen = browser.post("/destinations/add", &typed).await;
    assert_eq!(seen.status, 422);
    let html = seen.html();
    assert!(
        html.text.contains("deploy/oauth.md") && html.text.contains("[oauth.microsoft]"),
        "{}",
        html.text
    );
    let seen = browser.get("/destinations/add?kind=gmail").await;
    let html = seen.html();
    assert!(html.text.contains("deploy/oauth.md") && html.text.contains("[oauth.google]"), "{}", html.text);
    let typed = [("name", "gmail"), ("user", "you@gmail.com")];
    let seen = browser.post("/destinations/add?kind=gmail", &typed).await;
    assert_eq!(seen.status, 422);
    assert!(!main_file(&house.ferry).contains("destination"));
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_is_typed_in_after_somebody_went_back_adds_nothing() {
    let Scene { provider, dovecot, ferry, _folder } = house(IdentityProvider::config).await;
    let house = House::of(ferry).await;
    let mut browser = house.first_browser().await;
    let port = dovecot.imap.to_string();
    let server =
        [("host", "127.0.0.1"), ("tls", "none"), ("port", port.as_str()), ("user", ME), ("oauth", "test")];
    for name in ["home", "other"] {
        let typed = [&server[..], &[("name", name), ("password", "")]].concat();
        let html = browser.submit("/destinations/add", &typed).await.html();
        assert!(html.text.contains("WXYZ-1234"), "{}", html.text);
        if name == "home" {
            let back = html.elements.iter().filter_map(|it| it.get("href")).find(|to| to.contains("draft="));
            let back = back.unwrap().to_owned();
            let html = browser.get(&back).await.html();
            assert_eq!(html.attribute("user", "value"), Some(ME), "what was answered is there");
        }
        // Both codes were asked for at the same intervals, this one for longer.
        provider.type_codes_in();
    }
    browser.look_for("/", "other (IMAP)").await;
    let text = main_file(&house.ferry);
    assert!(text.contains("[destination.other]") && !text.contains("[destination.home]"), "{text}");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_back_to_what_was_changed_meanwhile_sees_what_it_is() {
    let scene = house(IdentityProvider::config).await;
    let added = add(&scene, &["--to-user", "they", "--to-password-file", "password"]);
    crate::ferry::Ran::by(added).await.expect_code(0);
    let Scene { provider: _provider, dovecot, ferry, _folder } = scene;
    let house = House::of(ferry).await;
    let mut browser = house.first_browser().await;
    let port = dovecot.imap.to_string();
    let typed = [
        ("host", "127.0.0.1"),
        ("tls", "none"),
        ("port", port.as_str()),
        ("user", ME),
        ("oauth", "test"),
        ("password", ""),
    ];
    let seen = browser.edit("/destinations/home/edit", &typed).await;
    let html = browser.get(seen.goes_to()).await.html();
    let back = html.elements.iter().filter_map(|it| it.get("href")).find(|to| to.contains("draft="));
    let back = back.unwrap().to_owned();
    let html = browser.get(&back).await.html();
    assert_eq!(html.attribute("user", "value"), Some(ME), "what was answered is there");
    let changed = main_file(&house.ferry).replace("user = \"they\"", "user = \"you\"");
    house.ferry.configure(&changed);
    let html = browser.get(&back).await.html();
    assert!(html.text.contains("was changed while this form was open"), "{}", html.text);
    assert_eq!(html.attribute("user", "value"), Some("you"));
    house.end().await;
}

/// A server that is down is no reason to sign in once more.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_after_a_sign_in_is_tried_again_without_another() {
    let Scene { provider, dovecot, ferry, _folder } = house(IdentityProvider::config).await;
    let house = House::of(ferry).await;
    let mut browser = house.first_browser().await;
    let down = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let there = down.local_addr().unwrap();
    drop(down);
    let port = there.port().to_string();
    let typed = [
        ("name", "home"),
        ("host", "127.0.0.1"),
        ("tls", "none"),
        ("port", port.as_str()),
        ("user", ME),
        ("oauth", "test"),
        ("password", ""),
    ];
    let seen = browser.post("/destinations/add", &typed).await;
    let sign_in = seen.goes_to();
    let html = browser.get(sign_in).await.html();
    assert!(html.text.contains("WXYZ-1234"), "{}", html.text);
    provider.type_codes_in();
    browser.look_for(sign_in, "no connection").await;
    let again = format!("{sign_in}?anew=yes");
    let html = browser.get(&again).await.html();
    assert!(html.text.contains("no connection") && html.text.contains("Try again"), "{}", html.text);

    let up = tokio::net::TcpListener::bind(there).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = up.accept().await {
            let mut far = tokio::net::TcpStream::connect(("127.0.0.1", dovecot.imap)).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        }
    });
    assert_eq!(browser.get(&again).await.goes_to(), "/");
    assert!(main_file(&house.ferry).contains("[destination.home]"));
    assert_eq!(kept(&house.ferry).await, 1);
    house.end().await;
}

/// Fills in the form of an IMAP server by OAuth, and sends it.
async fn log_in(window: &Chromium, scene: &Mailbox, user: &str) {
    window.read("A name for it").await;
    window.fill("User name", user).await;
    window.choose("How to sign in", "By OAuth: test").await;
    window.fill("IMAP server", "127.0.0.1").await;
    window.choose("Encryption", "none, for a server on this machine only").await;
    window.fill("Port", &scene.dovecot.imap.to_string()).await;
    window.is_fit_for_all().await;
    window.press(None, "Log in and add it").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_leads_from_an_account_through_a_sign_in_to_where_its_mail_goes() {
    let scene = house(IdentityProvider::config).await;
    let (window, house, scene) = visit(scene, 360).await;
    window.press(None, "Add a mail account").await;
    window.fill("Mail address", "old").await;
    window.press(None, "Next").await;
    window.fill("Password", PASSWORD).await;
    window.fill("POP3 server", "127.0.0.1").await;
    window.choose("Encryption", "none, for a server on this machine only").await;
    window.fill("Port", &scene.dovecot.pop3.to_string()).await;
    window.press(None, "Log in").await;
    window.read("Where the mail goes: an IMAP server").await;
    // The other way is one press away, and says what it lacks.
    window.press(None, "Into Gmail instead, with its spam check and calendar").await;
    window.read("[oauth.google]").await;
    window.is_fit_for_all().await;
    window.press(None, "To an IMAP server instead").await;

    log_in(&window, &scene, ME).await;
    window.read("WXYZ-1234").await;
    window.is_fit_for_all().await;
    // Whoever goes back finds what was answered; a code that is typed in after that adds nothing.
    let before = main_file(&house.ferry);
    window.press(None, "Back").await;
    window.read("A name for it").await;
    scene.provider.type_codes_in();
    assert_eq!((main_file(&house.ferry), kept(&house.ferry).await), (before, 0));
    window.press(None, "Log in and add it").await;
    window.read("WXYZ-1234").await;
    scene.provider.type_codes_in();
    window.read("home was added to the destinations").await;
    window.is_fit_for_all().await;
    window.press(None, "Add account").await;
    window.read("Delivered 1").await;
    assert_eq!((scene.dovecot.count(ME, "INBOX"), kept(&house.ferry).await), (1, 1));
    let text = main_file(&house.ferry);
    assert!(text.contains("oauth = \"test\"\n"), "{text}");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_adds_and_changes_a_destination_by_itself() {
    let scene = house(IdentityProvider::config_without_codes).await;
    let (window, house, scene) = visit(scene, 1280).await;
    let before = main_file(&house.ferry);
    scene.provider.belongs_to("somebody@example.org");
    window.press(None, "Add an IMAP server").await;
    log_in(&window, &scene, ME).await;
    window.press(None, "Go to the provider").await;
    window.read("Signed in").await;
    window.press(None, "Go on").await;
    window.read("127.0.0.1: the sign-in was refused").await;
    window.is_fit_for_all().await;
    assert_eq!((main_file(&house.ferry), kept(&house.ferry).await), (before, 0));
    scene.provider.belongs_to(ME);
    window.press(None, "Try again").await;
    window.press(None, "Go to the provider").await;
    window.read("Signed in").await;
    window.press(None, "Go on").await;
    window.read("home (IMAP)").await;
    assert_eq!(kept(&house.ferry).await, 1);

    // Another user of it signs in anew.
    window.press(None, "Edit info").await;
    window.read("Edit the destination home").await;
    window.is_fit_for_all().await;
    window.fill("User name", "you@example.org").await;
    scene.provider.belongs_to("you@example.org");
    window.press(None, "Log in and save").await;
    window.press(None, "Go to the provider").await;
    window.read("Signed in").await;
    window.press(None, "Go on").await;
    window.read("home (IMAP)").await;
    let text = main_file(&house.ferry);
    assert!(text.contains("user = \"you@example.org\"\n") && text.starts_with("# Mine.\n"), "{text}");
    assert_eq!(kept(&house.ferry).await, 1);

    // By a password from now on: its tokens go.
    window.press(None, "Edit info").await;
    window.choose("How to sign in", "With a password").await;
    window.fill("User name", "they").await;
    window.press(None, "Log in and save").await;
    window.read("Type the password").await;
    window.fill("Password", PASSWORD).await;
    window.press(None, "Log in and save").await;
    window.read("home (IMAP)").await;
    assert_eq!(kept(&house.ferry).await, 0);
    let text = main_file(&house.ferry);
    assert!(text.contains("password = { file = \"secrets/home\" }") && !text.contains("oauth = "), "{text}");
    house.end().await;
}
