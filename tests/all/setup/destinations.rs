//! `edit-destination`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::dovecot::{Dovecot, FICKLE, PASSWORD};
use crate::ferry::{Ferry, account, imap_destination, message, webhook_destination};
use crate::terminal::Terminal;
use mailferry::config::load;
use mailferry::message::DestinationName;
use mailferry::net::Tls;
use mailferry::setup::{self, HomeDraft, PeerDraft, Place};
use rustix::process::Signal;
use tokio::net::{TcpListener, TcpStream};

/// A ferry whose destination `home` setup has written.
async fn house(server: &Dovecot) -> Ferry {
    let ferry = Ferry::new("# Mine.\n");
    let peer = PeerDraft { host: "127.0.0.1".into(), port: server.imap, tls: Tls::None, user: FICKLE.into() };
    let home = HomeDraft { name: DestinationName::new("home").unwrap(), place: Place::Imap(peer) };
    setup::add_home(&ferry.folder().join("mailferry.toml"), home, "the first".into()).await.unwrap();
    let to_home = account("old", server, "old", "every = \"1h\"\ndeliver = [{ to = \"home\" }]");
    ferry.configure(&(read(&ferry, "mailferry.toml") + "\n" + &to_home));
    fs::write(ferry.folder().join("new"), "the second one\n").unwrap();
    ferry
}

fn read(ferry: &Ferry, file: impl AsRef<Path>) -> String {
    fs::read_to_string(ferry.folder().join(file)).unwrap()
}

#[tokio::test]
async fn a_destination_gets_a_new_password_and_what_waited_goes_on() {
    let server = Dovecot::start();
    server.change_password("the second one");
    server.put("old", &[message(1)]);
    let ferry = house(&server).await;
    let mut daemon = ferry.start(&["run"]);
    daemon.wait_for("this destination has changed its state").await;
    let ran = ferry.run(&["edit-destination", "home", "--password-file", "new"]).await.expect_code(0);
    assert!(ran.stdout.contains("Changed the destination home in "), "{ran:?}");
    daemon.wait_for("delivered=1").await;
    daemon.signal(Signal::TERM);
    daemon.end().await.expect_code(0);
    let text = read(&ferry, "mailferry.toml");
    assert!(text.contains("# Mine.\n") && text.contains("{ file = \"secrets/home-2\" }"), "{text}");
    assert_eq!(read(&ferry, "secrets/home-2"), "the second one\n");
    assert!(!ferry.folder().join("secrets/home").exists());
    assert_eq!(server.count(FICKLE, "INBOX"), 1);
}

#[tokio::test]
async fn a_destination_that_lets_nobody_in_stays_as_it_was() {
    let server = Dovecot::start();
    server.change_password("the first");
    let ferry = house(&server).await;
    let hook = webhook_destination("hook", "http://127.0.0.1:9/", "raw");
    let hand = imap_destination("hand", &server, "me");
    ferry.configure(&format!("{}\n{hook}{hand}", read(&ferry, "mailferry.toml")));
    let before = read(&ferry, "mailferry.toml");
    let cases: [(&[&str], i32, &str); 6] = [
        (&["home", "--password-file", "new"], 75, "the login was refused"),
        (&["home", "--user", "they"], 64, "answer with --password-file"),
        (&["home", "--port", "1", "--password-file", "new"], 75, "no connection"),
        (&["hook", "--password-file", "new"], 64, "is in no file of its own"),
        (&["hand", "--password-file", "new"], 64, "is in no file of its own"),
        (&["nowhere", "--password-file", "new"], 64, "there is no destination nowhere"),
    ];
    for (words, code, said) in cases {
        let ran = ferry.run(&[&["edit-destination"], words].concat()).await.expect_code(code);
        assert!(ran.stderr.contains(said), "{words:?}: {ran:?}");
        assert_eq!(read(&ferry, "mailferry.toml"), before);
        assert_eq!(fs::read_dir(ferry.folder().join("secrets")).unwrap().count(), 1);
    }
    // Another user of it, with the password typed.
    let mut terminal = Terminal::start(&ferry.command(&["edit-destination", "home", "--user", "they"]));
    terminal.unseen_at("Password there", PASSWORD).await;
    let (code, shown) = terminal.end().await;
    assert!(code == 0 && !shown.contains(PASSWORD), "{shown}");
    let config = load(&ferry.folder().join("mailferry.toml")).await.unwrap();
    let own = setup::own_home(&config, "home").unwrap();
    assert_eq!(own.home.place.user(), "they");
}

/// A port that leads to another one, for a single connection, once `first` is done.
async fn detour(to: u16, first: impl FnOnce() + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        first();
        let mut far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    });
    port.to_string()
}

/// Changes the first host of a file by hand. Returns what is to be written, and what does that.
fn by_hand(file: &Path) -> (String, impl FnOnce() + Send + 'static + use<>) {
    let text = fs::read_to_string(file).unwrap().replacen("\"127.0.0.1\"", "\"localhost\"", 1);
    let (file, changed) = (file.to_owned(), text.clone());
    (text, move || fs::write(file, changed).unwrap())
}

#[tokio::test]
async fn what_somebody_changes_by_hand_meanwhile_is_not_mixed_with_a_change() {
    let server = Dovecot::start();
    server.change_password("the second one");
    let ferry = house(&server).await;
    let main = ferry.folder().join("mailferry.toml");
    let before = read(&ferry, "mailferry.toml");
    // While it is tried.
    let (changed, change) = by_hand(&main);
    let port = detour(server.imap, change).await;
    let words = ["edit-destination", "home", "--port", &port, "--password-file", "new"];
    let ran = ferry.run(&words).await.expect_code(75);
    assert!(ran.stderr.contains("the destination home was changed meanwhile"), "{ran:?}");
    assert_eq!(read(&ferry, "mailferry.toml"), changed);
    // While somebody is asked.
    let mut terminal = Terminal::start(&ferry.command(&["edit-destination", "home", "--user", "they"]));
    terminal.wait_for("Password").await;
    fs::write(&main, &before).unwrap();
    terminal.unseen_at(" there", PASSWORD).await;
    let (code, shown) = terminal.end().await;
    assert!(code == 75 && shown.contains("was changed meanwhile"), "{shown}");
    assert_eq!(read(&ferry, "mailferry.toml"), before);
    assert_eq!(read(&ferry, "secrets/home"), "the first\n");
    assert_eq!(fs::read_dir(ferry.folder().join("secrets")).unwrap().count(), 1);

    // The same of an account.
    ferry.configure(&format!("accounts_dir = \"accounts.d\"\n{before}"));
    let folder = ferry.folder().join("accounts.d");
    fs::create_dir(&folder).unwrap();
    let (file, secret) = (folder.join("me.toml"), folder.join("me.password"));
    let text = format!(
        "host = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nuser = \"{FICKLE}\"\n\
         password = {{ file = \"accounts.d/me.password\" }}\ndeliver = [{{ to = \"home\" }}]\n",
        server.pop3
    );
    fs::write(&file, text).unwrap();
    fs::write(&secret, "the first\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let (changed, change) = by_hand(&file);
    let port = detour(server.pop3, change).await;
    let words = ["edit", "me", "--port", &port, "--password-file", "new", "--yes"];
    let ran = ferry.run(&words).await.expect_code(75);
    assert!(ran.stderr.contains("the account me was changed meanwhile"), "{ran:?}");
    assert_eq!(read(&ferry, "accounts.d/me.toml"), changed);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
}
