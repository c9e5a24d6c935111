//! Gmail by its API as people add and change it: at the terminal, and on the page.

use std::fs;

use super::api::Gmail;
use super::{ME, message};
use crate::dovecot::{Dovecot, PASSWORD};
use crate::ferry::Ferry;
use crate::identity_provider::IdentityProvider;
use crate::oauth::{Login, follow};
use crate::receiver::{Receiver, says};
use crate::terminal::{DOWN, Terminal};
use crate::web::browser::{House, PASSWORD as OF_PAGE};
use crate::web::chromium::Chromium;

/// A mailbox `old` with one message, an application of Google's, and neither an account nor a destination yet.
struct Scene {
    provider: IdentityProvider,
    gmail: Gmail,
    dovecot: Dovecot,
    ferry: Ferry,
}

impl Scene {
    async fn new() -> Scene {
        let provider = IdentityProvider::start(ME).await;
        let gmail = Gmail::start(&provider).await;
        let dovecot = Dovecot::start();
        dovecot.put("old", &[message(1, "")]);
        let ferry = Ferry::new(&format!("{}[web]\nlisten = \"127.0.0.1:0\"\n", provider.google("google")));
        fs::write(ferry.folder().join("password"), format!("{PASSWORD}\n")).unwrap();
        Scene { provider, gmail, dovecot, ferry }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.gmail.port)
    }

    /// `mailferry add`, of the account `old`, whose mail goes to Gmail.
    fn add(&self, more: &[&str]) -> std::process::Command {
        self.add_at(&self.url(), more)
    }

    /// The same, where the API is elsewhere.
    fn add_at(&self, url: &str, more: &[&str]) -> std::process::Command {
        let port = self.dovecot.pop3.to_string();
        let account = ["add", "old", "--host", "127.0.0.1", "--port", &port, "--tls", "none"];
        let rest = ["--password-file", "password", "--yes", "--to-kind", "gmail", "--to-url", url];
        self.ferry.command(&[&account[..], &rest, more].concat())
    }

    fn main_file(&self) -> String {
        main_file(&self.ferry)
    }
}

fn main_file(ferry: &Ferry) -> String {
    fs::read_to_string(ferry.folder().join("mailferry.toml")).unwrap()
}

/// Signs in in a browser on this machine. Returns the exit code, and all that was said.
async fn signed_in(command: std::process::Command) -> (i32, String) {
    let ended = tokio::task::spawn_blocking(move || {
        let mut login = Login::start(command);
        follow(&follow(&login.wait_for("/authorize?")));
        login.end()
    });
    ended.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn gmail_is_added_and_changed_by_options() {
    let scene = Scene::new().await;
    let words = ["--to-user", ME, "--to-never-mark-spam", "--labels", "Old"];
    let (code, said) = signed_in(scene.add(&words)).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("Added the destination gmail") && said.contains("nothing was imported"), "{said}");
    let text = scene.main_file();
    let table = format!(
        "[destination.gmail]\nkind = \"gmail\"\nuser = \"{ME}\"\nurl = \"{}\"\nnever_mark_spam = true\noauth = \"google\"\n",
        scene.url()
    );
    assert!(text.contains(&table), "{text}");
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    let stored = scene.gmail.message("message 1");
    assert!(stored.labels.contains("Old") && stored.query.never_mark_spam, "{stored:?}");
    assert!(stored.query.process_for_calendar);

    // What Gmail does with mail is changed without another sign-in.
    let words = ["edit-destination", "gmail", "--never-mark-spam=no", "--process-for-calendar=no"];
    scene.ferry.run(&words).await.expect_code(0);
    scene.dovecot.put("old", &[message(2, "")]);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    let query = scene.gmail.message("message 2").query;
    assert_eq!((query.never_mark_spam, query.process_for_calendar), (false, false));

    // Another mailbox is signed in to anew.
    let before = scene.main_file();
    let ran = scene.ferry.run(&["edit-destination", "gmail", "--host", "x"]).await.expect_code(64);
    assert!(
        ran.stderr.contains("--host, --port, --tls and --password-file are for an IMAP server"),
        "{ran:?}"
    );
    assert_eq!(scene.main_file(), before);
    // Whoever signs in has another mailbox.
    let edit = scene.ferry.command(&["edit-destination", "gmail", "--user", "you@gmail.com"]);
    let (code, said) = signed_in(edit).await;
    assert!(code == 75 && said.contains("another mailbox than that of who has signed in"), "{said}");
    let edit = scene.ferry.command(&["edit-destination", "gmail", "--user", "M.e@googlemail.com"]);
    let (code, said) = signed_in(edit).await;
    assert!(code == 0 && said.contains("Signed in as M.e@googlemail.com."), "{said}");
    scene.ferry.run(&["check"]).await.expect_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn gmail_that_lets_nobody_in_is_not_added() {
    let scene = Scene::new().await;
    let before = scene.main_file();
    for (status, told) in [
        (403, "check that the Gmail API is enabled in the project"),
        (401, "check that `user` is who has signed in"),
    ] {
        let api = Receiver::answering(move |_, _| says(status, "{}")).await;
        let (code, said) = signed_in(scene.add_at(&api.url, &["--to-user", ME])).await;
        assert!(code == 75 && said.contains(told), "{said}");
    }
    // Less than was asked for is no sign-in.
    scene.provider.grant_only("https://www.googleapis.com/auth/gmail.labels");
    let (code, said) = signed_in(scene.add(&["--to-user", ME])).await;
    assert!(
        code == 75 && said.contains("was not allowed: https://www.googleapis.com/auth/gmail.insert"),
        "{said}"
    );
    assert_eq!(scene.main_file(), before);
    assert!(!scene.ferry.folder().join("accounts.d").exists());

    // No application of Google's.
    let other = scene.provider.config_without_codes("other").replace("scopes", "provider = \"microsoft\"\n#");
    scene.ferry.configure(&other);
    let ran = crate::ferry::Ran::by(scene.add(&["--to-user", ME])).await.expect_code(64);
    assert!(ran.stderr.contains("deploy/oauth.md") && ran.stdout.contains("[oauth.google]\n"), "{ran:?}");
    let ran =
        crate::ferry::Ran::by(scene.add(&["--to-user", ME, "--to-oauth", "other"])).await.expect_code(64);
    assert!(ran.stderr.contains("[oauth.other] lets nobody into Gmail"), "{ran:?}");
    assert_eq!(scene.main_file(), other);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_is_led_through_gmail_at_a_terminal() {
    let scene = Scene::new().await;
    let mut terminal = Terminal::start(&scene.ferry.command(&[
        "add",
        "old",
        "--host",
        "127.0.0.1",
        "--port",
        &scene.dovecot.pop3.to_string(),
        "--tls",
        "none",
        "--password-file",
        "password",
        "--to-kind",
        "gmail",
        "--to-url",
        &scene.url(),
    ]));
    for question in ["User name", "POP3 server", "Encryption", "Port", "Leave a copy", "Import"] {
        terminal.at(question, "").await;
    }
    terminal.at("Gmail address", ME).await;
    for (question, answer) in [("Never send it to Spam", "n"), ("Add invitations to the calendar", "y")] {
        terminal.wait_for(question).await;
        terminal.press(answer).await;
    }
    let url = terminal.line_with("/authorize?").await;
    assert!(url.contains("gmail.insert") && url.contains("login_hint=me%40gmail.com"), "{url}");
    tokio::task::spawn_blocking(move || follow(&follow(&url))).await.unwrap();
    terminal.wait_for("me@gmail.com has 0 labels").await;
    terminal.wait_for("Skip the Inbox").await;
    terminal.press("n").await;
    terminal.at("Label incoming messages", "Old").await;
    for question in ["Mark as read?", "into the junk folder?"] {
        terminal.wait_for(question).await;
        terminal.press("n").await;
    }
    terminal.wait_for("Save the account").await;
    terminal.press("y").await;
    let (code, shown) = terminal.end().await;
    assert_eq!(code, 0, "{shown}");
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert!(scene.gmail.message("message 1").labels.contains("Old"));
    // Without options all of it is asked; what stays needs no sign-in.
    let mut terminal = Terminal::start(&scene.ferry.command(&["edit-destination", "gmail"]));
    terminal.at("Gmail address", "").await;
    for (question, answer) in [("Never send it to Spam", "y"), ("Add invitations to the calendar", "y")] {
        terminal.wait_for(question).await;
        terminal.press(answer).await;
    }
    let (code, shown) = terminal.end().await;
    assert!(code == 0 && shown.contains("Changed the destination gmail"), "{shown}");
    assert!(scene.main_file().contains("never_mark_spam = true\n"));
    // Another choice than the first, in the list of an account without any option.
    let deliver = scene.ferry.command(&["edit", "old"]);
    let mut terminal = Terminal::start(&deliver);
    terminal.at("User name", "").await;
    terminal.at("POP3 server", "").await;
    terminal.at("Encryption", "").await;
    terminal.at("Port", "").await;
    terminal.unseen_at("New password", "").await;
    terminal.at("Leave a copy", "").await;
    terminal.at("Import", "").await;
    terminal.at("Deliver to", &format!("{DOWN}{DOWN}")).await;
    terminal.at("A name for it", "other").await;
    terminal.wait_for("Gmail address").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_leads_into_gmail_on_a_telephone() {
    on_the_page(360).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_leads_into_gmail_at_a_desk() {
    on_the_page(1280).await;
}

async fn on_the_page(width: u32) {
    let scene = Scene::new().await;
    let url = scene.url();
    let Scene { provider: _provider, gmail, dovecot, ferry } = scene;
    let house = House::of(ferry).await;
    let window = Chromium::open(width).await;
    window.visit(&format!("http://{}", house.address)).await;
    window.fill("Password", OF_PAGE).await;
    window.fill("The same again", OF_PAGE).await;
    window.press(None, "Set the password").await;
    window.read("There is no account yet.").await;
    window.is_fit_for_all().await;
    window.press(None, "Add a mail account").await;
    window.fill("Mail address", "old").await;
    window.press(None, "Next").await;
    window.fill("Password", PASSWORD).await;
    window.fill("POP3 server", "127.0.0.1").await;
    window.choose("Encryption", "none, for a server on this machine only").await;
    window.fill("Port", &dovecot.pop3.to_string()).await;
    window.press(None, "Log in").await;
    window.press(None, "Into Gmail instead, with its spam check and calendar").await;

    window.read("Where the mail goes: Gmail").await;
    window.is_fit_for_all().await;
    let before = main_file(&house.ferry);
    window.fill("Address of the API", &url).await;
    window.press(None, "Log in and add it").await;
    window.read("Type the Gmail address.").await;
    window.is_fit_for_all().await;
    window.fill("Gmail address", ME).await;
    window.tick("Never send it to Spam").await;
    window.press(None, "Log in and add it").await;
    window.read("The address you landed at").await;
    window.is_fit_for_all().await;
    assert_eq!(main_file(&house.ferry), before, "nothing is there yet");
    window.press(None, "Go to the provider").await;
    window.read("mailferry can log in as me@gmail.com now.").await;
    window.press(None, "Go on").await;
    window.read("gmail was added to the destinations").await;
    window.is_fit_for_all().await;
    window.fill("Label incoming messages", "Old").await;
    window.press(None, "Add account").await;
    window.read("Delivered 1").await;
    let stored = gmail.message("message 1");
    assert!(stored.labels.contains("Old") && stored.query.never_mark_spam, "{stored:?}");

    // What Gmail does with mail is changed without another sign-in.
    window.press(Some("destination-gmail"), "Edit info").await;
    window.read("Edit the destination gmail").await;
    window.is_fit_for_all().await;
    window.tick("Never send it to Spam").await;
    window.tick("Add invitations to the calendar").await;
    window.press(None, "Log in and save").await;
    window.read("gmail (Gmail)").await;
    let text = main_file(&house.ferry);
    assert!(
        text.contains("never_mark_spam = false\n") && text.contains("process_for_calendar = false\n"),
        "{text}"
    );
    dovecot.put("old", &[message(2, "")]);
    window.press(None, "Check mail now").await;
    window.read("Delivered 2").await;
    let query = gmail.message("message 2").query;
    assert_eq!((query.never_mark_spam, query.process_for_calendar), (false, false));
    // And another one beside it, which is not signed in to after all.
    window.press(None, "Add Gmail").await;
    window.read("Add Gmail").await;
    window.is_fit_for_all().await;
    window.press(None, "Cancel").await;
    window.read("gmail (Gmail)").await;
    house.end().await;
    assert_eq!(gmail.complaints(), Vec::<String>::new());
}
