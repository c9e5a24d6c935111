//! `edit-destination`.

use std::fs;
use std::path::Path;

use crate::dovecot::{Dovecot, FICKLE, PASSWORD};
use crate::ferry::{Ferry, account, imap_destination, message, webhook_destination};
use crate::terminal::Terminal;
use mailferry::config::load;
use mailferry::message::DestinationName;
use mailferry::net::Tls;
use mailferry::setup::{self, HomeDraft, PeerDraft, Place};
use rustix::process::Signal;

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
