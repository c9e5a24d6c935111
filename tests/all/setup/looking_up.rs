//! What is offered for an address whose provider nobody knows by heart, on an internet where nobody can be trusted.

use std::fs;

use mailferry::providers::{PRESETS, User};
use mailferry::setup::{Suggestion, suggest, suggest_home};

use crate::dovecot::{Dovecot, PASSWORD};
use crate::ferry::{Ferry, Ran, imap_destination};
use crate::identity_provider::IdentityProvider;
use crate::internet::{Internet, Page, Trouble};
use crate::terminal::{DOWN, Terminal};
use crate::web::browser::House;

const FRED: &str = "fred@example.org";
const DATABASE: &str = "https://database.example/example.org";
const AUTOCONFIG: &str = "https://autoconfig.example.org/mail/config-v1.1.xml";

/// A file that names one server, with TLS from the first byte.
fn file(kind: &str, host: &str, port: u16, user: &str) -> Page {
    let text = format!(
        "<clientConfig version=\"1.1\"><emailProvider id=\"x\"><incomingServer type=\"{kind}\">\
         <hostname>{host}</hostname><port>{port}</port><socketType>SSL</socketType><username>{user}</username>\
         </incomingServer></emailProvider></clientConfig>"
    );
    Page::File("text/xml", text.into_bytes())
}

/// `mailferry add` in a script.
async fn add(internet: &Internet) -> Ran {
    let ferry = Ferry::new(&internet.config());
    fs::write(ferry.folder().join("password"), format!("{PASSWORD}\n")).unwrap();
    let ran = ferry.run(&["add", FRED, "--yes", "--password-file", "password"]).await.expect_code(64);
    assert!(
        !(ran.stdout.clone() + &ran.stderr).contains('\x1b'),
        "nothing that a terminal would obey: {ran:?}"
    );
    ran
}

async fn offered(internet: &Internet) -> Suggestion {
    suggest(FRED, Some(&internet.network())).await.unwrap()
}

fn told(suggestion: &Suggestion) -> String {
    suggestion.told.iter().map(|told| format!("{}\n", told.text)).collect()
}

#[tokio::test]
async fn a_script_is_told_the_whole_command_for_a_server_that_it_must_say_yes_to() {
    let internet = Internet::new().await;
    internet.srv("_pop3._tcp.example.org", "0 0 1110 pop.hoster.example");
    internet.srv("_imaps._tcp.example.org", "0 0 993 imap.elsewhere.example");
    let ran = add(&internet).await;
    assert!(
        ran.stderr.contains(
            "your password would go to hoster.example: is that where you have this mailbox? If it is, run: "
        ),
        "the owner of the IMAP server gets none: {ran:?}"
    );
    let command = " add fred@example.org --yes --password-file password --host pop.hoster.example --port 1110 \
                   --tls starttls --user fred@example.org\n";
    assert!(ran.stderr.ends_with(command), "{ran:?}");
}

#[tokio::test]
async fn what_a_stranger_names_cannot_run_in_a_shell() {
    let internet = Internet::new().await;
    internet.publish(DATABASE, file("pop3", "pop.example.org", 995, "$(touch x)'; %EMAILLOCALPART%"));
    let ran = add(&internet).await;
    assert!(ran.stderr.ends_with(" --user '$(touch x)'\\''; fred'\n"), "{ran:?}");
}

#[tokio::test]
async fn the_first_that_names_a_server_is_taken() {
    let internet = Internet::new().await;
    internet.publish(DATABASE, file("imap", "imap.example.org", 993, "%EMAILADDRESS%"));
    internet.srv("_pop3s._tcp.example.org", "0 0 995 pop.example.org");
    let ran = add(&internet).await;
    assert!(
        ran.stdout.contains("These are the settings as the DNS of example.org names these servers."),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("--host pop.example.org"), "{ran:?}");
    let home = suggest_home(FRED, Some(&internet.network())).await.unwrap();
    assert_eq!(home.peer.host, "imap.example.org");
}

#[tokio::test]
async fn where_nobody_knows_it_is_said_who_was_asked() {
    let internet = Internet::new().await;
    internet.trouble("example.org", Trouble::Garbage);
    internet.publish(DATABASE, Page::File("text/html", b"\x1b]0;you are mine\x07".to_vec()));
    let ran = add(&internet).await;
    for words in ["No POP3 server was found", "the mail of example.org ", "/example.org is not XML"] {
        assert!(ran.stdout.contains(words), "{words}: {ran:?}");
    }
    assert!(ran.stderr.contains("POP3 server: --yes asks nothing; answer with --host"), "{ran:?}");

    let internet = Internet::new().await;
    let ferry = Ferry::new(&internet.config().replace("[lookup]\n", "[lookup]\nenabled = false\n"));
    let ran = ferry.run(&["add", FRED, "--yes", "--password-file", "mailferry.toml"]).await.expect_code(64);
    assert!(!ran.stdout.contains("No POP3 server"), "{ran:?}");
    assert_eq!(internet.heard(), "", "nobody is asked");
}

#[tokio::test]
async fn only_a_known_domain_is_refused_for_its_provider() {
    // Mail may only pass through there.
    let internet = Internet::new().await;
    internet.mx("example.org", 1, "example-org.mail.protection.outlook.com");
    let ran = add(&internet).await;
    assert!(ran.stdout.contains("OAuth 2 alone"), "{ran:?}");
    assert!(ran.stdout.contains("This is said because the mail of example.org goes to"), "{ran:?}");
    assert!(ran.stderr.contains("what you sign in for would go to office365.com"), "{ran:?}");

    internet.srv("_pop3s._tcp.example.org", "0 0 995 pop.example.org");
    let suggestion = offered(&internet).await;
    assert_eq!(suggestion.peer.host, "pop.example.org");
    assert!(told(&suggestion).contains("OAuth 2 alone"), "{suggestion:?}");

    let known = suggest("fred@hotmail.com", None).await.unwrap();
    assert!(known.only_oauth.unwrap().contains("OAuth 2 alone"));
    assert_eq!(known.peer.host, "outlook.office365.com");
    let home = suggest_home("fred@hotmail.com", None).await.unwrap();
    assert!(home.only_oauth.unwrap().contains("OAuth 2 alone"));
    assert!(suggest_home("fred@icloud.com", None).await.is_ok(), "it has IMAP");
}

#[tokio::test]
async fn a_server_that_takes_no_password_is_asked_for_none_however_often_its_form_comes_back() {
    let internet = Internet::new().await;
    let Page::File(kind, text) = file("imap", "imap.example.org", 993, FRED) else { panic!("it is a file") };
    let text = String::from_utf8(text).unwrap();
    let text = text.replace("</username>", "</username><authentication>OAuth2</authentication>");
    internet.publish(DATABASE, Page::File(kind, text.into_bytes()));
    let provider = IdentityProvider::start(FRED).await;
    let house = House::start(&(internet.config() + &provider.config("test"))).await;
    let mut browser = house.first_browser().await;
    let mut form =
        vec![("name", "home".to_owned()), ("user", FRED.to_owned()), ("tls", "implicit".to_owned())];
    let hosts = [("", false), ("imap.example.org", false), ("imap.elsewhere.example", true)];
    for (host, has_password) in hosts {
        // What is no port brings the form back.
        let typed = [("host", host), ("port", "x"), ("oauth", "")];
        let known = form.iter().map(|(name, value)| (*name, value.as_str()));
        let seen = browser.post("/destinations/add", &known.chain(typed).collect::<Vec<_>>()).await;
        let html = seen.html();
        assert_eq!(html.with("name", "password").is_some(), has_password, "{host}: {}", html.text);
        let hidden = |name| html.with("name", name).and_then(|field| field.get("value")).unwrap().to_owned();
        form.truncate(3);
        form.extend(["only_oauth_at", "only_oauth"].map(|name| (name, hidden(name))));
    }
    house.end().await;
}

/// Nobody is asked for what is known: the servers of each provider are offered for all its domains, and what cannot be
/// polled is said to be so.
#[tokio::test]
async fn what_is_known_of_each_provider_is_offered() {
    for provider in PRESETS {
        for domain in provider.domains {
            let address = format!("fred@{domain}");
            let user = match provider.user {
                User::Address => &address,
                User::LocalPart => "fred",
            };
            match (suggest(&address, None).await, provider.pop3.first(), provider.no_pop3) {
                (Ok(Suggestion { peer, .. }), Some(server), None) => {
                    let known = (server.host, server.port, server.tls, user);
                    assert_eq!((&*peer.host, peer.port, peer.tls, &*peer.user), known, "{address}");
                }
                (Err(reason), None, Some(why)) => assert_eq!(reason, why, "{address}"),
                (other, ..) => panic!("{address}: {other:?}"),
            }
        }
    }
    let ferry = Ferry::new("");
    for (address, said) in [("you@hey.com", "HEY has neither POP3 nor IMAP"), ("you@icloud.com", "no POP3")] {
        let ran = ferry.run(&["add", address, "--yes"]).await.expect_code(64);
        assert!(ran.stderr.contains(said), "{ran:?}");
    }
}

#[tokio::test]
async fn a_file_without_encryption_is_asked_about() {
    let internet = Internet::new().await;
    let plain = AUTOCONFIG.replace("https", "http");
    internet.publish(&plain, file("pop3", "pop.evil.example", 995, "%EMAILADDRESS%"));
    let suggestion = offered(&internet).await;
    assert!(suggestion.question.unwrap().contains("would go to evil.example:"));
    internet.publish(&plain, file("imap", "imap.evil.example", 993, "%EMAILADDRESS%"));
    let home = suggest_home(FRED, Some(&internet.network())).await.unwrap();
    assert!(home.question.unwrap().contains("would go to evil.example:"));
}

#[tokio::test]
async fn the_steps_of_a_provider_have_their_links_apart() {
    let suggestion = suggest("fred@gmail.com", None).await.unwrap();
    let links: Vec<&str> = suggestion.told.iter().filter_map(|told| told.link).collect();
    assert_eq!(
        links,
        ["https://mail.google.com/mail/u/0/#settings/fwdandpop", "https://myaccount.google.com/apppasswords"]
    );
    assert!(!told(&suggestion).contains("https://"), "{suggestion:?}");
    let home = suggest_home("fred@gmail.com", None).await.unwrap();
    assert!(!told(&home).contains("Switch POP on"), "{home:?}");
}

#[tokio::test]
async fn a_destination_that_a_stranger_names_is_asked_about_at_the_terminal() {
    let server = Dovecot::start();
    let internet = Internet::new().await;
    internet.srv("_imaps._tcp.example.org", "0 0 993 imap.hoster.example");
    let ferry = Ferry::new(&internet.config());
    fs::write(ferry.folder().join("password"), format!("{PASSWORD}\n")).unwrap();
    let port = server.pop3.to_string();
    let pop3 = ["--host", "127.0.0.1", "--port", &port, "--tls", "none", "--user", "you"];
    let rest = ["--password-file", "password", "--leave-copy", "yes", "--import", "all"];
    let words: Vec<&str> = ["add", "you@example.com"].into_iter().chain(pop3).chain(rest).collect();
    let mut terminal = Terminal::start(&ferry.command(&words));
    for question in ["User name", "POP3 server"] {
        terminal.at(question, "").await;
    }
    terminal.at("Encryption", "").await;
    terminal.at("Port", "").await;
    terminal.at("Deliver to", "").await;
    terminal.at("A name for it", "").await;
    terminal.at("User name there", FRED).await;
    terminal.wait_for("These are the settings as the DNS of example.org").await;
    terminal.wait_for("your password would go to hoster.example").await;
    terminal.press("n").await;
    terminal.unseen_at("Password there", PASSWORD).await;
    // Who says no fills in the server.
    terminal.at("IMAP server", "127.0.0.1").await;
    terminal.at("Encryption", &format!("{DOWN}{DOWN}")).await;
    terminal.at("Port", &format!("{}{}", "\x7f".repeat(5), server.imap)).await;
    terminal.wait_for("Logged in: ").await;
    terminal.at("Folder", "a//b").await;
    terminal.wait_for("has an empty level").await;
    terminal.at("Folder", "").await;
    terminal.wait_for("Skip the Inbox").await;
    terminal.press("n").await;
    terminal.wait_for("Mark as read?").await;
    terminal.press("n").await;
    terminal.wait_for("into the junk folder?").await;
    terminal.press("n").await;
    terminal.at("Save the account", "n").await;
    let (code, shown) = terminal.end().await;
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("The account was not saved; the destination home stays."), "{shown}");
}

#[tokio::test]
async fn the_page_offers_the_same() {
    let server = Dovecot::start();
    let internet = Internet::new().await;
    internet.srv("_pop3s._tcp.example.org", "0 0 995 pop.hoster.example");
    let house = House::start(&(internet.config() + &imap_destination("home", &server, "me"))).await;
    let mut browser = house.first_browser().await;
    let html = browser.submit("/add", &[("address", FRED)]).await.html();
    assert!(html.text.contains("Your password would go to hoster.example: is that"), "{}", html.text);
    assert_eq!(html.attribute("host", "value"), Some("pop.hoster.example"));

    // Hostile answers are text.
    internet.publish(
        "https://database.example/other.example",
        file("pop3", "pop.evil.example", 995, "&lt;script&gt;alert(1)&lt;/script&gt;"),
    );
    let seen = browser.submit("/add", &[("address", "fred@other.example")]).await;
    assert!(!seen.body.contains("<script>alert"), "{seen:?}");
    assert!(seen.html().text.contains("Your password would go to evil.example"), "{seen:?}");

    let html = browser.submit("/add", &[("address", "fred@gmail.com")]).await.html();
    assert!(html.with("href", "https://myaccount.google.com/apppasswords").is_some(), "{html:?}");
    house.end().await;
}

#[tokio::test]
async fn the_page_finds_the_imap_server_of_a_user_that_is_an_address() {
    let internet = Internet::new().await;
    internet.srv("_imaps._tcp.example.org", "0 0 993 imap.hoster.example");
    let house = House::start(&internet.config()).await;
    let mut browser = house.first_browser().await;
    let form = |user| {
        let fixed =
            [("name", "away"), ("password", PASSWORD), ("host", ""), ("tls", "implicit"), ("port", "")];
        [&fixed[..], &[("user", user)]].concat()
    };
    let add = "/destinations/add";
    let seen = browser.post(add, &form("fred@gmail.com")).await;
    assert!(!seen.body.contains(PASSWORD), "{seen:?}");
    let html = seen.html();
    assert_eq!(html.attribute("host", "value"), Some("imap.gmail.com"), "{}", html.text);
    assert!(html.with("href", "https://myaccount.google.com/apppasswords").is_some(), "{html:?}");
    assert_eq!(html.attribute("name", "value"), Some("away"));
    // What was typed before there was a server has gone to none.
    assert!(html.text_from("password-about").contains("Type the password for this server."), "{}", html.text);
    let html = browser.post(add, &form(FRED)).await.html();
    assert!(html.text.contains("Your password would go to hoster.example: is that"), "{}", html.text);
    assert_eq!(html.attribute("host", "value"), Some("imap.hoster.example"));
    let html = browser.post(add, &form("fred@unknown.example")).await.html();
    assert!(html.text.contains("No IMAP server was found"), "{}", html.text);
    assert_eq!(html.attribute("host", "aria-invalid"), Some("true"));
    let html = browser.post(add, &form("fred")).await.html();
    assert!(html.text_from("host-about").contains("Type the name of the server."), "{}", html.text);
    house.end().await;
}
