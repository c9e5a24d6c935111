//! What strangers say is shown, and never becomes markup.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::browser::House;
use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, account, imap_destination, webhook_destination};
use crate::internet::{Internet, Page};
use crate::receiver::{Receiver, says};

/// Each would be an element, an attribute or a script somewhere, if it were not text.
const HOSTILE: [&str; 44] = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<a href=\"javascript:alert(1)\">here</a>",
    "<b>bold</b>",
    "<!-- comment",
    "--><b>",
    "<![CDATA[<b>]]>",
    "<!DOCTYPE html>",
    "<?xml version=\"1.0\"?>",
    "</p></article></main><h1>you have won</h1>",
    "<base href=\"http://evil.example/\">",
    "<meta http-equiv=\"refresh\" content=\"0;url=http://evil.example/\">",
    "<link rel=stylesheet href=http://evil.example/>",
    "<style>*{display:none}</style>",
    "<form action=http://evil.example/><input name=password>",
    "<template><b></template>",
    "<math><mtext></mtext></math>",
    "<noscript><b>",
    "<textarea>",
    "<title>",
    "\" onmouseover=\"alert(1)",
    "' onmouseover='alert(1)",
    "\"><script>alert(1)</script>",
    "'><script>alert(1)</script>",
    "\" autofocus onfocus=alert(1) x=\"",
    "` onmouseover=alert(1)",
    "x\" style=\"position:fixed",
    "{{ 7 * 7 }}",
    "{% include \"x\" %}",
    "${7*7}",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;",
    "&#x3c;b&#x3e;",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "<\u{0}script>alert(1)</script>",
    "<scr\u{200b}ipt>alert(1)</scr\u{200b}ipt>",
    "\u{202e}<b>txet desrever",
    "\u{1b}[31m<b>red",
    "<\u{ff53}cript>\u{ff1c}script\u{ff1e}",
];

/// Pages, and how often each of them shows what strangers have said: the errors of an account and of a destination; that of
/// a poll; reason, subject and UIDL of what is parked, and the UIDL of what is unrouted.
const PAGES: [(&str, usize); 6] = [
    ("/", 2),
    ("/live", 2),
    ("/?find=a&show=attention", 1),
    ("/accounts/old/history", 1),
    ("/parked", 4),
    ("/parked?account=old", 4),
];

#[tokio::test]
async fn nothing_that_a_stranger_says_becomes_markup() {
    let server = Dovecot::start();
    let to_home = "every = \"1h\"\ndeliver = [{ to = \"home\" }]";
    let config = imap_destination("home", &server, "me") + &account("old", &server, "old", to_home);
    let ferry = Ferry::new(&(config + "[web]\nlisten = \"127.0.0.1:0\"\nsubjects = true\n"));
    // It is known to the ledger then, and due again only when the test is over.
    ferry.run(&["fetch"]).await.expect_code(0);
    let house = House::of(ferry).await;
    let mut browser = house.first_browser().await;
    let mut ledger = Planted::open(&house.ferry).await;
    ledger.plant("nothing to see here").await;
    let mut plain = Vec::new();
    for (path, _) in PAGES {
        plain.push(browser.get(path).await.html().shape());
    }
    for hostile in HOSTILE {
        ledger.plant(hostile).await;
        for ((path, times), plain) in PAGES.iter().zip(&plain) {
            let seen = browser.get(path).await;
            assert_eq!(seen.status, 200, "{path}: {seen:?}");
            let html = seen.html();
            assert_eq!(html.shape(), *plain, "{hostile:?} changes {path}:\n{}", seen.body);
            // It is there, as text: this test cannot pass because nothing was shown.
            if is_shown_as_it_is(hostile) {
                let seen = html.text.matches(hostile).count();
                // Of a UIDL all but ASCII is escaped.
                let times = if hostile.is_ascii() { *times } else { 2.min(*times) };
                assert!(seen >= times, "{hostile:?} is {seen} times on {path}:\n{}", html.text);
            }
            let is_unseen = |c: char| c.is_control() && c != '\n' || "\u{200b}\u{202e}".contains(c);
            assert!(!seen.body.contains(is_unseen), "{hostile:?} on {path}");
        }
    }
    ledger.end().await;
    house.end().await;
}

/// What nobody could see stands there as an escape.
fn is_shown_as_it_is(hostile: &str) -> bool {
    !hostile.contains(['\u{0}', '\u{200b}', '\u{202e}', '\u{1b}'])
}

/// The ledger of a ferry, with what strangers have said.
struct Planted(SqliteConnection);

impl Planted {
    async fn open(ferry: &Ferry) -> Planted {
        let mut planted =
            Planted(SqliteConnectOptions::new().filename(ferry.ledger()).connect().await.unwrap());
        let rows = "
            INSERT INTO messages (account, uidl, first_uidl, epoch, first_listing, size)
                SELECT id, X'00', X'00', 1, 1, 100 FROM accounts;
            INSERT INTO messages (account, uidl, first_uidl, epoch, first_listing, size, unrouted_at)
                SELECT id, X'01', X'01', 1, 1, 100, 1 FROM accounts;
            INSERT INTO deliveries (account, message, destination, state, since)
                SELECT m.account, m.id, d.id, 'parked', 1 FROM messages m, destinations d WHERE unrouted_at IS NULL;
            INSERT INTO polls (account, started, ended, new, delivered, deleted, bytes)
                SELECT id, 1, 2, 3, 4, 5, 6 FROM accounts";
        sqlx::raw_sql(rows).execute(&mut planted.0).await.unwrap();
        planted
    }

    /// Puts `text` wherever a server's or a message's words end up.
    async fn plant(&mut self, text: &str) {
        for sql in [
            "UPDATE accounts SET error_class = 'account', error_text = $1, failing_since = 1",
            "UPDATE destinations SET state = 'failing', error = $1",
            "UPDATE deliveries SET reason = $1, subject = $1",
            "UPDATE polls SET error = $1",
            "UPDATE messages SET uidl = CAST($1 AS BLOB), first_uidl = CAST($1 AS BLOB)",
        ] {
            sqlx::query(sql).bind(text).execute(&mut self.0).await.unwrap();
        }
    }

    async fn end(self) {
        sqlx::Connection::close(self.0).await.unwrap();
    }
}

#[tokio::test]
async fn nothing_that_is_typed_becomes_markup() {
    let house = House::start("").await;
    let mut browser = house.first_browser().await;
    let draft = browser.post("/add", &[("address", "you@example.com")]).await.goes_to().to_owned();
    let mut plain = Vec::new();
    for hostile in ["plain words"].into_iter().chain(HOSTILE) {
        let form = ["name", "user", "password", "host", "tls", "port"].map(|name| (name, hostile));
        let mut shapes = Vec::new();
        for seen in [
            browser.post(&draft, &form).await,
            browser
                .get(&format!("/?find={}", super::browser::encoded(&[("", hostile)]).trim_start_matches('=')))
                .await,
        ] {
            assert!([200, 422].contains(&seen.status.as_u16()), "{seen:?}");
            // A field may have one complaint more or less than with other words.
            let mut shape = seen.html().shape();
            shape.retain(|element| !element.starts_with("p "));
            shapes.push(shape.iter().map(|element| element.replace(" aria-invalid", "")).collect::<Vec<_>>());
        }
        let seen = browser
            .get(&format!("/accounts/{}/history", hostile.replace(['/', '?', '#', '\\'], "%2F")))
            .await;
        assert!([400, 404].contains(&seen.status.as_u16()), "{hostile:?}: {seen:?}");
        if seen.status == 404 {
            shapes.push(seen.html().shape());
        }
        if plain.is_empty() {
            plain = shapes;
        } else {
            assert!(
                shapes.iter().zip(&plain).all(|(shape, plain)| shape == plain),
                "{hostile:?}: {shapes:#?}"
            );
        }
    }
    house.end().await;
}

/// A POP3 server that lets nobody in, and says this. Returns its port.
async fn refusing(text: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let text = text.to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let _ = refuse(client, &text).await;
        }
    });
    port
}

async fn refuse(client: TcpStream, text: &str) -> io::Result<()> {
    let mut client = BufReader::new(client);
    let mut said = String::new();
    client.write_all(b"+OK hello\r\n").await?;
    while client.read_line(&mut said).await? > 0 {
        let words: Vec<&str> = said.split_whitespace().collect();
        let answer = match words[..] {
            ["CAPA"] => "+OK\r\nUSER\r\nUIDL\r\n.\r\n".to_owned(),
            ["PASS", ..] => format!("-ERR {text}\r\n"),
            _ => "+OK\r\n".to_owned(),
        };
        client.write_all(answer.as_bytes()).await?;
        said.clear();
    }
    Ok(())
}

/// As [`refusing`], by IMAP.
async fn refusing_imap(text: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let text = text.to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let _ = refuse_imap(client, &text).await;
        }
    });
    port
}

async fn refuse_imap(client: TcpStream, text: &str) -> io::Result<()> {
    let mut client = BufReader::new(client);
    let mut said = String::new();
    client.write_all(b"* OK hello\r\n").await?;
    while client.read_line(&mut said).await? > 0 {
        let words: Vec<&str> = said.split_whitespace().collect();
        let answer = match words[..] {
            [tag, "CAPABILITY"] => format!("* CAPABILITY IMAP4rev1\r\n{tag} OK done\r\n"),
            [tag, "LOGIN", ..] => format!("{tag} NO {text}\r\n"),
            [tag, ..] => format!("{tag} OK done\r\n"),
            [] => String::new(),
        };
        client.write_all(answer.as_bytes()).await?;
        said.clear();
    }
    Ok(())
}

#[tokio::test]
async fn nothing_that_a_server_answers_becomes_markup() {
    let house = House::start("").await;
    let mut browser = house.first_browser().await;
    let draft = browser.post("/add", &[("address", "you@example.com")]).await.goes_to().to_owned();
    let mut plain: Option<Vec<Vec<String>>> = None;
    for hostile in ["plain words"].into_iter().chain(HOSTILE) {
        // By IMAP, text has no control characters (RFC 3501 section 9).
        let is_text = !hostile.contains(char::is_control);
        let pop3 = refusing(hostile).await.to_string();
        let imap = refusing_imap(if is_text { hostile } else { "plain words" }).await.to_string();
        let form = |port| {
            [
                ("name", "n"),
                ("user", "u"),
                ("password", "p"),
                ("host", "127.0.0.1"),
                ("tls", "none"),
                ("port", port),
            ]
        };
        let mut shapes = Vec::new();
        for (path, port) in [(draft.as_str(), pop3.as_str()), ("/destinations/add", imap.as_str())] {
            let seen = browser.post(path, &form(port)).await;
            assert_eq!(seen.status, 422, "{seen:?}");
            let html = seen.html();
            assert!(html.text.contains("the login was refused"), "{hostile:?}: {}", html.text);
            // What POP3 servers say is in ASCII.
            if is_shown_as_it_is(hostile) && hostile.is_ascii() {
                assert!(html.text.contains(hostile), "{hostile:?} is not on {path}: {}", html.text);
            }
            shapes.push(html.shape());
        }
        assert_eq!(shapes, *plain.get_or_insert_with(|| shapes.clone()), "{hostile:?}");
    }
    house.end().await;
}

/// Mail with such subjects, refused by a receiver that says the same.
#[tokio::test]
async fn nothing_that_comes_by_mail_becomes_markup() {
    let server = Dovecot::start();
    let mail = |(n, text): (usize, &str)| {
        let subject = STANDARD.encode(text);
        format!(
            "Subject: =?utf-8?B?{subject}?=\r\nMessage-ID: <{n}@example.com>\r\nX-Nth: {n}\r\n\r\nNumber {n}.\r\n"
        )
    };
    server.put("old", &HOSTILE.into_iter().enumerate().map(mail).collect::<Vec<_>>());
    let receiver = Receiver::answering(|arrival, _| {
        let body = String::from_utf8_lossy(&arrival.body);
        let nth = body.lines().find_map(|line| line.strip_prefix("X-Nth: ")).unwrap();
        // Of a message this says something; of the endpoint it says nothing.
        says(413, HOSTILE[nth.trim().parse::<usize>().unwrap()])
    });
    let receiver = receiver.await;
    let app = webhook_destination("app", &receiver.url, "raw");
    let to_app = account("old", &server, "old", "every = \"1h\"\ndeliver = [{ to = \"app\" }]");
    let ferry = Ferry::new(&format!("{app}{to_app}[web]\nlisten = \"127.0.0.1:0\"\nsubjects = true\n"));
    for code in [75, 75, 0] {
        ferry.run(&["fetch"]).await.expect_code(code);
    }
    let house = House::of(ferry).await;
    let mut browser = house.first_browser().await;
    let html = browser.get("/parked").await.html();
    let articles = html.elements.iter().filter(|element| element.tag == "article").count();
    assert_eq!(articles, HOSTILE.len(), "{}", html.text);
    let strange = ["script", "img", "iframe", "b", "base", "style", "input", "textarea", "template", "math"];
    for element in html.elements.iter().skip_while(|element| element.tag != "body") {
        let is_ours = element.tag == "input" && element.get("name") == Some("destination");
        assert!(!strange.contains(&element.tag.as_str()) || is_ours, "{element:?}");
        assert!(element.attributes.iter().all(|(name, _)| !name.starts_with("on")), "{element:?}");
    }
    for hostile in HOSTILE.into_iter().filter(|text| is_shown_as_it_is(text)) {
        // What a webhook answers is shown in ASCII.
        let times = if hostile.is_ascii() { 2 } else { 1 };
        assert!(html.text.matches(hostile).count() >= times, "{hostile:?} is not there: {}", html.text);
    }
    house.end().await;
}

/// What a stranger's autoconfig names is a suggestion, in a field.
#[tokio::test]
async fn nothing_that_is_found_becomes_markup() {
    let internet = Internet::new().await;
    let house = House::start(&internet.config()).await;
    let mut browser = house.first_browser().await;
    let mut plain: Option<Vec<String>> = None;
    let sayable = HOSTILE.into_iter().filter(|text| !text.contains(char::is_control));
    for (n, hostile) in ["plain"].into_iter().chain(sayable).enumerate() {
        let escaped = hostile.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let text = format!(
            "<clientConfig version=\"1.1\"><emailProvider id=\"x\"><displayName>{escaped}</displayName>\
             <incomingServer type=\"pop3\"><hostname>pop.evil.example</hostname><port>995</port>\
             <socketType>SSL</socketType><username>{escaped}</username></incomingServer>\
             <documentation url=\"{}\"><descr>{escaped}</descr></documentation></emailProvider></clientConfig>",
            escaped.replace('"', "&quot;")
        );
        let url = format!("https://database.example/d{n}.example");
        internet.publish(&url, Page::File("text/xml", text.into_bytes()));
        let html = browser.submit("/add", &[("address", &format!("fred@d{n}.example"))]).await.html();
        assert!(html.text.contains("Your password would go to evil.example"), "{hostile:?}: {}", html.text);
        assert_eq!(html.shape(), *plain.get_or_insert_with(|| html.shape()), "{hostile:?}");
        assert_eq!(html.attribute("user", "value"), Some(hostile), "{}", html.text);
    }
    house.end().await;
}

/// What a file can say: a text without control characters, and folders with a name on each level.
fn configured() -> impl Iterator<Item = (&'static str, &'static str)> {
    let sayable = HOSTILE.into_iter().filter(|text| !text.contains(char::is_control));
    sayable.map(|text| (text, if text.split('/').any(str::is_empty) { "INBOX" } else { text }))
}

#[tokio::test]
async fn nothing_that_a_file_says_becomes_markup() {
    let ferry = Ferry::new(
        "accounts_dir = \"accounts.d\"\n[destination.home]\nkind = \"imap\"\nhost = \"127.0.0.1\"\nuser = \"me\"\n\
         password = \"x\"\n[web]\nlisten = \"127.0.0.1:0\"\n",
    );
    fs::create_dir(ferry.folder().join("accounts.d")).unwrap();
    let write = |name: &str, user: &str, folder: &str| {
        let [user, folder] = [user, folder].map(|text| serde_json::to_string(text).unwrap());
        let text = format!(
            "host = \"127.0.0.1\"\nuser = {user}\npassword = \"x\"\npaused = true\n\
             deliver = [{{ to = \"home\", folder = {folder} }}]\n"
        );
        let file = ferry.folder().join(format!("accounts.d/{name}.toml"));
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    };
    write("plain", "plain words", "plain words");
    for (n, (user, folder)) in configured().enumerate() {
        write(&format!("h{n:02}"), user, folder);
    }
    let house = House::of(ferry).await;
    let mut browser = house.first_browser().await;
    let card = browser.get("/?find=plain").await.html();
    let form = browser.get("/accounts/plain/edit").await.html();
    let (card, form) = (card.shape(), form.shape());
    for (n, (user, folder)) in configured().enumerate() {
        let html = browser.get(&format!("/?find=h{n:02}")).await.html();
        let one = html.text_from(&format!("account-h{n:02}"));
        let shown = |text: &str| !text.contains(['\u{200b}', '\u{202e}']);
        assert!(one.contains(user) || !shown(user), "{user:?} is not shown: {one}");
        assert_eq!(html.shape(), card, "{user:?}");
        let html = browser.get(&format!("/accounts/h{n:02}/edit")).await.html();
        assert_eq!(html.shape(), form, "{user:?}");
        let values = (html.attribute("user", "value"), html.attribute("folder", "value"));
        assert_eq!(values, (Some(user), Some(folder)));
    }
    house.end().await;
}
