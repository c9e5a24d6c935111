//! Adding an account on the page, from the first visit to the first delivered message; and changing one.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use super::browser::{Browser, House, Seen};
use super::html::Html;
use crate::dovecot::{Dovecot, PASSWORD};
use crate::ferry::{Ferry, account, imap_destination, message};
use crate::servers::imap::Imap;

/// What is typed of a server of the test.
struct Typed {
    port: String,
}

impl Typed {
    fn form<'a>(&'a self, name: &'a str, user: &'a str, password: &'a str) -> Vec<(&'a str, &'a str)> {
        vec![
            ("name", name),
            ("user", user),
            ("password", password),
            ("host", "127.0.0.1"),
            ("tls", "none"),
            ("port", &self.port),
        ]
    }
}

/// Goes through the first step. Returns the path of the draft.
async fn begin(browser: &mut Browser, address: &str) -> String {
    let seen = browser.post("/add", &[("address", address)]).await;
    seen.goes_to().strip_suffix("/login").unwrap().to_owned()
}

/// The complaint that stands at a field.
fn complaint(seen: &Seen, field: &str) -> String {
    assert_eq!(seen.status, 422, "{seen:?}");
    let html = seen.html();
    assert_eq!(html.attribute(field, "aria-invalid"), Some("true"), "{field}: {}", html.text);
    html.text_from(&format!("{field}-about")).lines().find(|line| !line.is_empty()).unwrap().to_owned()
}

fn value<'h>(html: &'h Html, field: &str) -> &'h str {
    html.attribute(field, "value").unwrap_or_else(|| panic!("{field} has no value: {html:?}"))
}

/// Every field has a label, and a password never a value.
fn is_usable(html: &Html) {
    for element in &html.elements {
        let is_field = ["input", "select"].contains(&element.tag.as_str());
        if is_field && !["hidden", "checkbox"].contains(&element.get("type").unwrap_or_default()) {
            let id = element.get("id").unwrap();
            assert!(html.with("for", id).is_some_and(|label| label.tag == "label"), "{element:?}");
        }
        if element.get("type") == Some("password") {
            assert_eq!(element.get("value"), None, "{element:?}");
        }
        if let Some(id) = element.get("aria-describedby").or(element.get("aria-labelledby")) {
            assert!(html.with("id", id).is_some(), "{element:?}");
        }
    }
}

#[tokio::test]
async fn a_newcomer_gets_from_the_first_visit_to_the_first_message() {
    let server = Dovecot::start();
    server.put("you@example.com", &[message(1), message(2)]);
    // A first config, as `mailferry add` writes it.
    let ferry = Ferry::new("accounts_dir = \"accounts.d\"\n[web]\nlisten = \"127.0.0.1:0\"\n");
    fs::create_dir(ferry.folder().join("accounts.d")).unwrap();
    let house = House::of(ferry).await;
    let mut browser = house.first_browser().await;
    let html = browser.get("/").await.html();
    assert!(html.text.contains("There is no account yet.") && html.with("href", "/add").is_some());
    is_usable(&browser.get("/add").await.html());
    let seen = browser.post("/add", &[("address", " ")]).await;
    assert_eq!(complaint(&seen, "address"), "Type the mail address.");

    let draft = begin(&mut browser, "you@example.com").await;
    let html = browser.get(&format!("{draft}/login")).await.html();
    is_usable(&html);
    assert_eq!((value(&html, "name"), value(&html, "user")), ("you@example.com", "you@example.com"));
    // The usual one follows what is chosen; and the browser is to fill in no password of its own.
    assert_eq!(value(&html, "port"), "");
    assert_eq!(html.attribute("password", "autocomplete"), Some("new-password"));
    assert_eq!(browser.get(&format!("{draft}/mail")).await.goes_to(), format!("{draft}/login"));

    let pop3 = Typed { port: server.pop3.to_string() };
    let login = format!("{draft}/login");
    let seen = browser.post(&login, &pop3.form("you@example.com", "you@example.com", "wrong")).await;
    assert_eq!(seen.status, 422);
    assert!(seen.html().text.contains("the login was refused"), "{seen:?}");
    assert_eq!(value(&seen.html(), "port"), pop3.port, "what was typed is kept");
    assert!(!seen.body.contains("wrong"), "but not the password: {seen:?}");
    assert!(!seen.body.contains("Leave it empty to keep"), "the one that is known was refused: {seen:?}");
    let seen = browser.post(&login, &pop3.form("you@example.com", "you@example.com", "")).await;
    assert_eq!(complaint(&seen, "password"), "Type the password.");
    let html =
        browser.submit(&login, &pop3.form("you@example.com", "you@example.com", PASSWORD)).await.html();
    is_usable(&html);
    assert!(html.text.contains("2 messages, ") && html.text.contains("NOT ENCRYPTED"), "{}", html.text);

    // There is no destination yet, so one is added.
    let mail =
        [("leave_copy", "days"), ("days", "7"), ("import", "all"), ("to", "+"), ("folder", "Mine/Old")];
    let seen = browser.post(&format!("{draft}/mail"), &mail).await;
    assert_eq!(seen.goes_to(), format!("{draft}/home"));
    let html = browser.get(&format!("{draft}/home")).await.html();
    is_usable(&html);
    assert_eq!((value(&html, "name"), value(&html, "port")), ("home", ""));
    let imap = Typed { port: server.imap.to_string() };
    let home = format!("{draft}/home");
    let seen = browser.post(&home, &imap.form("home", "me", "wrong")).await;
    assert!(seen.status == 422 && seen.html().text.contains("That did not work. 127.0.0.1:"), "{seen:?}");
    let html = browser.submit(&home, &imap.form("home", "me", PASSWORD)).await.html();
    assert!(html.text.contains("home (imap)"), "{}", html.text);
    assert!(html.text.contains("all mail: 2 messages, "), "{}", html.text);
    assert_eq!((value(&html, "days"), value(&html, "folder")), ("7", "Mine/Old"), "the answers are kept");

    let mail = format!("{draft}/mail");
    let with = |days: &'static str, folder: &'static str, to: &'static str| {
        [
            ("leave_copy", "days"),
            ("days", days),
            ("import", "all"),
            ("to", to),
            ("folder", folder),
            ("mark_read", "yes"),
            ("junk", "yes"),
        ]
    };
    let seen = browser.post(&mail, &with("many", "Mine", "home")).await;
    assert_eq!(complaint(&seen, "days"), "Type a number of days.");
    let seen = browser.post(&mail, &with("99999", "Mine", "home")).await;
    assert_eq!(complaint(&seen, "days"), "Type at most 36600, or choose Yes above.");
    for none in ["0", "00"] {
        let seen = browser.post(&mail, &with(none, "Mine", "home")).await;
        assert!(complaint(&seen, "days").starts_with("Type at least 1"), "{seen:?}");
    }
    let seen = browser.post(&mail, &with("7", "a//b", "home")).await;
    assert!(complaint(&seen, "folder").contains("has an empty level"), "{seen:?}");
    assert_eq!(value(&seen.html(), "folder"), "a//b");
    let seen = browser.post(&mail, &with("7", "Mine", "nowhere")).await;
    assert_eq!(complaint(&seen, "to"), "Choose where its mail goes.");
    let html = browser.submit(&mail, &with("7", "Mine/Old", "home")).await.html();
    assert!(html.with("id", "account-you@example.com").is_some(), "{}", html.text);

    // The daemon has taken it up, and mail comes.
    browser.look_for("/", "Delivered2").await;
    let stored = server.stored("me", "Mine/Old");
    assert_eq!(stored.len(), 2);
    assert!(stored.iter().all(|stored| stored.flags.contains('S')), "{stored:?}");
    let folder = house.ferry.folder().to_owned();
    let text = fs::read_to_string(folder.join("accounts.d/you@example.com.toml")).unwrap();
    assert!(
        text.contains("leave_copy = \"7d\"") && text.contains("junk = true") && !text.contains(PASSWORD),
        "{text}"
    );
    for file in ["accounts.d/you@example.com.password", "secrets/home"] {
        assert_eq!(fs::metadata(folder.join(file)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // The draft has ended, and with it the password. Whoever goes back to it finds what came of it.
    assert_eq!(browser.get(&mail).await.goes_to(), "/");
    house.end().await;
}

/// As Gmail's own "Check mail from other accounts" asked.
#[tokio::test]
async fn incoming_mail_is_labelled_and_archived_in_gmail_as_its_form_had_it() {
    let (server, gmail) = (Dovecot::start(), Imap::start().await);
    gmail.mail().be_gmail();
    server.put("you", &[message(1), message(2)]);
    let at_gmail = imap_destination("gmail", &server, "me")
        .replace(&format!("port = {}", server.imap), &format!("port = {}", gmail.port));
    let config = format!(
        "accounts_dir = \"accounts.d\"\n[web]\nlisten = \"127.0.0.1:0\"\n{at_gmail}{}",
        imap_destination("home", &server, "me")
    );
    let ferry = Ferry::new(&config);
    fs::create_dir(ferry.folder().join("accounts.d")).unwrap();
    let house = House::of(ferry).await;
    let mut browser = house.first_browser().await;
    let draft = begin(&mut browser, "you@example.com").await;
    let pop3 = Typed { port: server.pop3.to_string() };
    let html = browser.submit(&format!("{draft}/login"), &pop3.form("you", "you", PASSWORD)).await.html();
    is_usable(&html);
    for words in ["Label incoming messages", "Archive incoming messages (Skip the Inbox)"] {
        assert!(html.text.contains(words), "{}", html.text);
    }
    let mail = format!("{draft}/mail");
    let with = |to: &'static str, folder: &'static str, labels: &'static str| {
        let form = [("leave_copy", "yes"), ("import", "all"), ("to", to), ("folder", folder)];
        form.into_iter().chain([("skip_inbox", "yes"), ("labels", labels)]).collect::<Vec<_>>()
    };
    let seen = browser.post(&mail, &with("gmail", "Old", "")).await;
    assert!(complaint(&seen, "skip_inbox").contains("untick this, or let the folder be INBOX"), "{seen:?}");
    let seen = browser.post(&mail, &with("gmail", "INBOX", "One, [Gmail]/Spam")).await;
    assert!(complaint(&seen, "labels").contains("is a label of Gmail's own"), "{seen:?}");
    assert_eq!(value(&seen.html(), "labels"), "One, [Gmail]/Spam");
    let seen = browser.post(&mail, &with("home", "INBOX", "One")).await;
    assert!(complaint(&seen, "to").contains("the server knows no labels"), "{seen:?}");
    browser.submit(&mail, &with("gmail", "INBOX", "One, you@example.com")).await;
    browser.look_for("/", "Delivered2").await;
    {
        let mut mail = gmail.mail();
        assert_eq!(mail.folder("[Gmail]/Alle Nachrichten").messages.len(), 2);
        assert_eq!(mail.labels.values().flatten().collect::<Vec<_>>(), ["One", "you@example.com"].repeat(2));
    }

    let html = browser.get("/accounts/you/edit").await.html();
    is_usable(&html);
    assert_eq!((value(&html, "folder"), value(&html, "labels")), ("INBOX", "One, you@example.com"));
    assert!(html.with("id", "skip_inbox").unwrap().get("checked").is_some(), "{}", html.text);
    let form =
        [("user", "you"), ("host", "127.0.0.1"), ("tls", "none"), ("port", &pop3.port), ("password", "")];
    let form = form.into_iter().chain([("name", "you"), ("leave_copy", "yes"), ("import", "all")]);
    let form = form.chain([("to", "gmail"), ("folder", "INBOX"), ("labels", "")]);
    browser.edit("/accounts/you/edit", &form.collect::<Vec<_>>()).await.goes_to();
    let text = fs::read_to_string(house.ferry.folder().join("accounts.d/you.toml")).unwrap();
    assert!(text.contains("deliver = [{ to = \"gmail\" }]"), "{text}");
    house.end().await;
}

#[tokio::test]
async fn a_password_goes_to_no_server_but_the_one_it_was_typed_for() {
    let server = Dovecot::start();
    let taken = account("taken", &server, "old", "every = \"1h\"\ndeliver = [{ to = \"home\" }]");
    let config = imap_destination("home", &server, "me") + &taken;
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let there = Typed { port: other.local_addr().unwrap().port().to_string() };
    let here = Typed { port: server.pop3.to_string() };
    let house = House::start(&config).await;
    let mut browser = house.first_browser().await;
    let draft = begin(&mut browser, "you@example.com").await;
    let (login, mail) = (format!("{draft}/login"), format!("{draft}/mail"));
    assert_eq!(browser.post(&login, &here.form("you", "you", PASSWORD)).await.goes_to(), mail);

    // What is known stays here.
    let seen = browser.post(&login, &there.form("you", "you", "")).await;
    assert!(complaint(&seen, "password").starts_with("Type the password again"), "{seen:?}");
    let seen = browser.post(&login, &here.form("you", "they", "")).await;
    assert!(complaint(&seen, "password").starts_with("Type the password again"), "{seen:?}");
    assert_eq!(other.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    // And what is typed for there is not taken for here.
    let seen = browser.post(&login, &there.form("taken", "you", "for the other")).await;
    assert!(complaint(&seen, "name").contains("There is an account taken already"), "{seen:?}");
    let terms =
        [("leave_copy", "yes"), ("days", "14"), ("import", "all"), ("to", "home"), ("folder", "INBOX")];
    assert_eq!(browser.post(&mail, &terms).await.goes_to(), "/");
    let read = |file: &str| fs::read_to_string(house.ferry.folder().join("accounts.d").join(file)).unwrap();
    assert!(read("you.toml").contains(&format!("port = {}", server.pop3)), "{}", read("you.toml"));
    assert_eq!(read("you.password"), format!("{PASSWORD}\n"));
    house.end().await;
}

#[tokio::test]
async fn a_button_that_is_pressed_twice_does_its_work_once() {
    let server = Dovecot::start();
    let house = House::start("").await;
    let mut browser = house.first_browser().await;
    let mut again = house.browser();
    again.cookie = browser.cookie.clone();
    let draft = begin(&mut browser, "you@example.com").await;
    let (login, mail) = (format!("{draft}/login"), format!("{draft}/mail"));
    let home = format!("{draft}/home");
    let pop3 = Typed { port: server.pop3.to_string() };
    assert_eq!(browser.post(&login, &pop3.form("you", "you", PASSWORD)).await.goes_to(), home);
    let imap = Typed { port: server.imap.to_string() };
    let form = imap.form("home", "me", PASSWORD);
    let (one, other) = tokio::join!(browser.post(&home, &form), again.post(&home, &form));
    assert_eq!((one.goes_to(), other.goes_to()), (mail.as_str(), mail.as_str()));

    // What was answered stays when somebody goes back for something else.
    let terms = [("leave_copy", "days"), ("days", "9"), ("import", "new"), ("to", "home"), ("folder", "Old")];
    let back = [&terms[..], &[("back", "yes")]].concat();
    assert_eq!(browser.post(&mail, &back).await.goes_to(), login);
    let html = browser.submit(&login, &pop3.form("you", "you", "")).await.html();
    assert_eq!((value(&html, "days"), value(&html, "folder")), ("9", "Old"));
    let (one, other) = tokio::join!(browser.post(&mail, &terms), again.post(&mail, &terms));
    assert_eq!((one.goes_to(), other.goes_to()), ("/", "/"));
    house.end().await;
}

#[tokio::test]
async fn a_password_that_was_refused_is_not_kept() {
    let house = House::start("").await;
    let mut browser = house.first_browser().await;
    let draft = begin(&mut browser, "you@example.com").await;
    let login = format!("{draft}/login");
    let nobody = Typed { port: "1".into() };
    for password in ["a\u{1}b", "a\r\nQUIT"] {
        let seen = browser.post(&login, &nobody.form("you", "you", password)).await;
        assert!(complaint(&seen, "password").contains("holds a control character"), "{seen:?}");
        let seen = browser.post(&login, &nobody.form("you", "you", "")).await;
        assert_eq!(complaint(&seen, "password"), "Type the password.");
    }
    house.end().await;
}

#[tokio::test]
async fn a_draft_belongs_to_who_began_it() {
    let house = House::start("").await;
    let mut owner = house.first_browser().await;
    let draft = begin(&mut owner, "you@example.com").await;
    let mut other = house.browser();
    other.post("/sign-in", &[("password", super::browser::PASSWORD)]).await;
    for step in ["login", "mail", "home"] {
        assert_eq!(other.get(&format!("{draft}/{step}")).await.goes_to(), "/add?lost=yes", "{step}");
    }
    assert_eq!(owner.get(&format!("{draft}/login")).await.status, 200);
    owner.post("/sign-out", &[]).await;
    owner.post("/sign-in", &[("password", super::browser::PASSWORD)]).await;
    let seen = owner.get(&format!("{draft}/login")).await;
    assert_eq!(seen.goes_to(), "/add?lost=yes", "signing out forgets it");
    let html = owner.get("/add?lost=yes").await.html();
    assert!(html.text.contains("What you had answered is no longer there"), "{}", html.text);
    house.end().await;
}

#[tokio::test]
async fn what_is_wrong_is_said_at_its_field_before_anybody_logs_in() {
    let house = House::start("").await;
    let mut browser = house.first_browser().await;
    let draft = begin(&mut browser, "you@example.com").await;
    let login = format!("{draft}/login");
    let good = [
        ("name", "you"),
        ("user", "you"),
        ("password", "x"),
        ("host", "127.0.0.1"),
        ("tls", "none"),
        ("port", "1"),
    ];
    let cases = [
        // Later on there is one that is kept.
        ("password", "", "Type the password."),
        ("name", "", "A name has 1 to 64 letters"),
        ("name", "../you", "A name has 1 to 64 letters"),
        ("user", "", "Type the user name."),
        ("user", "a\nb", "holds a control character"),
        ("password", "a\r\nQUIT", "holds a control character"),
        ("host", "", "Type the name of the server."),
        ("host", "a b", "This is no host: type the name"),
        ("host", "pop.example.com:995", "type pop.example.com here, and 995 at Port"),
        ("host", "<script>alert(1)</script>", "This is no host"),
        ("port", "0", "A port is a number from 1 to 65535."),
        ("port", "65536", "A port is a number from 1 to 65535."),
        ("port", "pop3", "A port is a number from 1 to 65535."),
    ];
    for (field, wrong, said) in cases {
        let form = good.map(|(name, value)| (name, if name == field { wrong } else { value }));
        let seen = browser.post(&login, &form).await;
        assert!(complaint(&seen, field).contains(said), "{field} {wrong:?}: {seen:?}");
    }
    // No encryption is for this machine alone.
    let form = good.map(|(name, value)| (name, if name == "host" { "pop.example.com" } else { value }));
    let seen = browser.post(&login, &form).await;
    assert!(complaint(&seen, "tls").contains("unencrypted; choose TLS or STARTTLS"), "{seen:?}");
    // What this page has labels for is called by them.
    let seen = browser.post(&login, &good).await;
    let html = seen.html();
    assert!(seen.status == 422 && html.text.contains("check POP3 server and Port"), "{}", html.text);
    assert!(house.ferry.json(&["status", "--json"]).await["accounts"].as_array().unwrap().is_empty());
    house.end().await;
}

#[tokio::test]
async fn an_account_is_changed_and_its_password_stays_where_it_is() {
    let server = Dovecot::start();
    let ferry =
        Ferry::new(&format!("{}[web]\nlisten = \"127.0.0.1:0\"\n", imap_destination("home", &server, "me")));
    fs::write(ferry.folder().join("password"), PASSWORD).unwrap();
    let port = server.pop3.to_string();
    let add = [
        "add",
        "you",
        "--host",
        "127.0.0.1",
        "--port",
        &port,
        "--tls",
        "none",
        "--yes",
        "--password-file",
        "password",
    ];
    ferry.run(&add).await.expect_code(0);
    let file = ferry.folder().join("accounts.d/you.toml");
    let house = House::of(ferry).await;
    let mut browser = house.first_browser().await;
    let html = browser.get("/accounts/you/edit").await.html();
    is_usable(&html);
    assert_eq!(
        (value(&html, "user"), value(&html, "folder"), value(&html, "port")),
        ("you", "INBOX", port.as_str())
    );
    let pop3 = Typed { port };
    let form = |user: &'static str, password: &'static str, folder: &'static str| {
        let mut form: Vec<(&str, &str)> = pop3.form("you", user, password);
        form.extend([("leave_copy", "no"), ("days", "14"), ("to", "home"), ("folder", folder)]);
        form
    };
    let edit = "/accounts/you/edit";
    let opened = browser.get(edit).await.html();
    assert_eq!(browser.edit(edit, &form("you", "", "Work")).await.goes_to(), "/");
    // A form that was open before that says what is no longer true.
    let seen = opened.with("name", "seen").unwrap().get("value").unwrap();
    let seen = browser.post(edit, &[&form("you", "", "INBOX")[..], &[("seen", seen)]].concat()).await;
    assert!(
        seen.status == 422 && seen.html().text.contains("was changed while this form was open"),
        "{seen:?}"
    );
    assert_eq!(value(&seen.html(), "folder"), "Work");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("leave_copy = false") && text.contains("folder = \"Work\""), "{text}");

    // What this form has no word for is said as it is.
    let by_hand = text.replace("leave_copy = false", "leave_copy = \"36h\"");
    fs::write(&file, &by_hand).unwrap();
    let html = browser.get(edit).await.html();
    assert!(html.text.contains("For 36 hours, as its file says"), "{}", html.text);
    assert_eq!(value(&html, "days"), "14");
    fs::write(&file, &text).unwrap();

    // What is known goes to nobody else.
    let seen = browser.edit(edit, &form("they", "", "Work")).await;
    assert!(complaint(&seen, "password").starts_with("Type the password again"), "{seen:?}");
    let seen = browser.edit(edit, &form("they", "wrong", "Work")).await;
    assert!(seen.status == 422 && seen.html().text.contains("the login was refused"), "{seen:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), text, "nothing is saved");
    assert_eq!(browser.edit(edit, &form("they", PASSWORD, "Work")).await.goes_to(), "/");
    assert!(fs::read_to_string(&file).unwrap().contains("user = \"they\""));
    server.put("they", &[message(1)]);
    browser.submit("/accounts/you/check", &[]).await;
    browser.look_for("/", "Delivered1").await;
    // It is deleted behind that, before the poll ends.
    browser.look_for("/", "ok they at 127.0.0.1").await;
    assert_eq!((server.count("me", "Work"), server.count("they", "INBOX")), (1, 0));
    house.end().await;
}
