//! The files that setup writes: nobody else's are touched, and whoever runs mailferry can read them.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::Path;

use mailferry::auth::Login;
use mailferry::config::load;
use mailferry::message::{AccountName, DestinationName, Import, LeaveCopy, Route};
use mailferry::net::Tls;
use mailferry::setup::{self, AccountDraft, HomeDraft, PeerDraft, Place};
use rustix::process::getuid;
use secrecy::ExposeSecret;

use super::{add, house};
use crate::dovecot::{Dovecot, NOBODY, PASSWORD};
use crate::ferry::{Ferry, account, imap_destination, webhook_destination};
use crate::servers::imap::Imap;

fn read(ferry: &Ferry, file: &str) -> String {
    fs::read_to_string(ferry.folder().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn home(name: &str) -> HomeDraft {
    let peer =
        PeerDraft { host: "imap.example.org".into(), port: 993, tls: Tls::Implicit, user: "me".into() };
    HomeDraft { name: DestinationName::new(name).unwrap(), place: Place::Imap(peer) }
}

fn draft(name: &str, host: &str) -> AccountDraft {
    let to = DestinationName::new("home").unwrap();
    AccountDraft {
        name: AccountName::new(name).unwrap(),
        peer: PeerDraft { host: host.into(), port: 995, tls: Tls::Implicit, user: name.into() },
        leave_copy: LeaveCopy::Forever,
        import: Import::All,
        routes: vec![Route::to(to)],
        paused: false,
    }
}

#[tokio::test]
async fn a_password_that_is_there_stays() {
    let server = Dovecot::start();
    let ferry = Ferry::new(
        &account("work", &server, "you", "deliver = []")
            .replace(
                &format!("password = \"{PASSWORD}\"\ndeliver = []"),
                "password = { file = \"secrets/work\" }\ndeliver = [{ to = \"home\" }]",
            )
            .replace("[account.work]", &format!("{}[account.work]", imap_destination("home", &server, "me"))),
    );
    fs::create_dir(ferry.folder().join("secrets")).unwrap();
    let mine = ferry.folder().join("secrets/work");
    fs::write(&mine, "of POP3\n").unwrap();
    fs::set_permissions(&mine, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let main = ferry.folder().join("mailferry.toml");
    setup::add_home(&main, home("work"), "of IMAP".into()).await.unwrap();
    assert_eq!(read(&ferry, "secrets/work"), "of POP3\n");
    assert_eq!(read(&ferry, "secrets/work-2"), "of IMAP\n");
    let config = load(&main).await.unwrap();
    let Login::Password(password) = &config.accounts[0].pop3.login else { panic!() };
    assert_eq!(password.expose_secret(), "of POP3");
    // Nor is one taken that somebody else names and that is not there yet.
    let text = read(&ferry, "mailferry.toml")
        + "\n[alerts]\nurl = \"https://x.example\"\nsecret = { file = \"secrets/late\" }\n";
    ferry.configure(&text);
    setup::add_home(&main, home("late"), "of IMAP".into()).await.unwrap();
    assert!(!ferry.folder().join("secrets/late").exists() && ferry.folder().join("secrets/late-2").exists());
}

#[tokio::test]
async fn a_password_that_no_file_can_hold_is_not_saved() {
    let server = Dovecot::start();
    let ferry = house(&server);
    let main = ferry.folder().join("mailferry.toml");
    let before = read(&ferry, "mailferry.toml");
    for password in ["a\u{1}b", "a\nb", "a\n", "a\r", ""] {
        let error = setup::add(&main, draft("you", "pop.example.com"), password.into()).await.unwrap_err();
        assert!(error.to_string().contains(": password: "), "{password:?}: {error}");
        let error = setup::add_home(&main, home("away"), password.into()).await.unwrap_err();
        assert!(error.to_string().contains(": password: "), "{password:?}: {error}");
    }
    assert_eq!(read(&ferry, "mailferry.toml"), before);
    assert!(!ferry.folder().join("accounts.d").exists() && !ferry.folder().join("secrets").exists());
}

#[tokio::test]
async fn a_renamed_account_keeps_its_password() {
    let server = Dovecot::start();
    let ferry = house(&server);
    add(&ferry, &server, "work", &[]).await.expect_code(0);
    ferry.run(&["fetch"]).await.expect_code(0);
    ferry.run(&["rename", "work", "job"]).await.expect_code(0);
    let at = |name: &str| ferry.folder().join("accounts.d").join(name);
    fs::rename(at("work.toml"), at("job.toml")).unwrap();
    fs::write(ferry.folder().join("password"), "secret\n").unwrap();
    add(&ferry, &server, "work", &["--user", "other"]).await.expect_code(0);
    let text = read(&ferry, "accounts.d/work.toml");
    assert!(text.contains("password = { file = \"accounts.d/work-2.password\" }"), "{text}");
    ferry.run(&["delete", "work", "--yes"]).await.expect_code(0);
    assert!(at("work.password").exists() && !at("work-2.password").exists());
    ferry.run(&["fetch", "job"]).await.expect_code(0);
}

#[tokio::test]
async fn a_new_password_is_tried_and_goes_to_no_other_server() {
    let server = Dovecot::start();
    let ferry = house(&server);
    add(&ferry, &server, "you", &[]).await.expect_code(0);
    let text = read(&ferry, "accounts.d/you.toml");
    for (words, code, said) in [
        (
            &["--user", "they"][..],
            64,
            "Password for the new server or user: there is no terminal to ask at; answer with --password-file",
        ),
        (&["--user", "they", "--yes"], 64, "--yes asks nothing; answer with --password-file"),
        (&["--password-file", "wrong"], 75, "the login was refused"),
    ] {
        fs::write(ferry.folder().join("wrong"), "wrong\n").unwrap();
        let ran = ferry.run(&[&["edit", "you"], words].concat()).await.expect_code(code);
        assert!(ran.stderr.contains(said), "{ran:?}");
        assert_eq!(read(&ferry, "accounts.d/you.toml"), text);
        assert_eq!(fs::read_dir(ferry.folder().join("accounts.d")).unwrap().count(), 2);
    }
    // An account whose password is lost is mended with a new one.
    fs::remove_file(ferry.folder().join("accounts.d/you.password")).unwrap();
    ferry.run(&["edit", "you", "--user", "they", "--password-file", "password"]).await.expect_code(0);
    ferry.run(&["fetch", "you"]).await.expect_code(0);
    // And the file of the old one goes with it.
    ferry.run(&["edit", "you", "--password-file", "password"]).await.expect_code(0);
    assert_eq!(fs::read_dir(ferry.folder().join("accounts.d")).unwrap().count(), 2);
    ferry.run(&["fetch", "you"]).await.expect_code(0);
}

#[tokio::test]
async fn a_broken_file_can_be_deleted() {
    let server = Dovecot::start();
    let ferry = house(&server);
    for (name, mending) in
        [("torn", "host = "), ("odd", "nonsense = 1\npassword = { file = \"accounts.d/odd.password\" }\n")]
    {
        add(&ferry, &server, name, &[]).await.expect_code(0);
        let file = ferry.folder().join(format!("accounts.d/{name}.toml"));
        fs::write(&file, mending).unwrap();
        let ran = ferry.run(&["edit", name, "--leave-copy", "no"]).await.expect_code(64);
        assert!(ran.stderr.contains("cannot be used as it is"), "{ran:?}");
        ferry.run(&["delete", name, "--yes"]).await.expect_code(0);
        assert!(!file.exists());
    }
    assert!(!ferry.folder().join("accounts.d/odd.password").exists());
    let ran = ferry.run(&["delete", "torn", "--yes"]).await.expect_code(64);
    assert!(ran.stderr.contains("there is no account torn"), "{ran:?}");
    // One that is there twice loses the file that does not count.
    add(&ferry, &server, "you", &[]).await.expect_code(0);
    let by_hand = account("you", &server, "you", "deliver = [{ to = \"home\" }]");
    ferry.configure(&(read(&ferry, "mailferry.toml") + &by_hand));
    let ran = ferry.run(&["delete", "you", "--yes", "--forget"]).await.expect_code(0);
    assert!(ran.stdout.contains("The account you of mailferry.toml stays"), "{ran:?}");
    ferry.run(&["delete", "you", "--yes"]).await.expect_code(64);
}

#[tokio::test]
async fn a_route_leads_to_a_webhook_and_back() {
    let server = Dovecot::start();
    let ferry = house(&server);
    let hook = webhook_destination("app", "http://127.0.0.1:9/", "raw");
    ferry.configure(&(read(&ferry, "mailferry.toml") + &hook));
    add(&ferry, &server, "you", &["--to", "home", "--folder", "Work", "--mark-read", "--junk"])
        .await
        .expect_code(0);
    assert!(read(&ferry, "accounts.d/you.toml").contains("mark_read = true, junk = true"));
    ferry.run(&["edit", "you", "--mark-read=no"]).await.expect_code(0);
    let text = read(&ferry, "accounts.d/you.toml");
    assert!(text.contains("junk = true") && !text.contains("mark_read"), "{text}");
    ferry.run(&["edit", "you", "--junk=no"]).await.expect_code(0);
    assert!(!read(&ferry, "accounts.d/you.toml").contains("junk"));
    let ran = ferry.run(&["edit", "you", "--labels", "One"]).await.expect_code(75);
    assert!(ran.stderr.contains("the server knows no labels"), "{ran:?}");
    let gmail = Imap::start().await;
    gmail.mail().be_gmail();
    let at_gmail = imap_destination("gmail", &server, "me")
        .replace(&format!("port = {}", server.imap), &format!("port = {}", gmail.port));
    ferry.configure(&(read(&ferry, "mailferry.toml") + &at_gmail));
    let labels = [
        "edit",
        "you",
        "--to",
        "gmail",
        "--skip-inbox",
        "--folder",
        "INBOX",
        "--labels",
        "One, Two/Three,One",
    ];
    ferry.run(&labels).await.expect_code(0);
    let text = read(&ferry, "accounts.d/you.toml");
    assert!(text.contains("skip_inbox = true, labels = [\"One\", \"Two/Three\"]"), "{text}");
    let ran = ferry.run(&["edit", "you", "--folder", "Old", "--skip-inbox"]).await.expect_code(64);
    assert!(ran.stderr.contains("mail with a folder of its own skips the inbox"), "{ran:?}");
    ferry.run(&["edit", "you", "--labels", "", "--skip-inbox=no"]).await.expect_code(0);
    assert!(read(&ferry, "accounts.d/you.toml").contains("deliver = [{ to = \"gmail\" }]"));
    ferry.run(&["edit", "you", "--to", "app"]).await.expect_code(0);
    assert!(read(&ferry, "accounts.d/you.toml").contains("deliver = [{ to = \"app\" }]"));
    let ran = ferry.run(&["edit", "you", "--folder", "Work"]).await.expect_code(64);
    assert!(ran.stderr.contains("app is a webhook"), "{ran:?}");
    ferry.run(&["edit", "you", "--to", "home", "--folder", "Work"]).await.expect_code(0);
    assert!(read(&ferry, "accounts.d/you.toml").contains("deliver = [{ to = \"home\", folder = \"Work\" }]"));
}

#[tokio::test]
async fn the_rules_of_a_route_outlive_an_edit() {
    let server = Dovecot::start();
    let ferry = house(&server);
    let main = ferry.folder().join("mailferry.toml");
    let when = "{ all = [{ header = \"To\", matches = \"a.b\" }, { not = { any = [{ larger = 10 }, { attachment = true }, \
                { header = \"X-A\" }, { header = \"Cc\", equals = \"b\" }, { smaller = 9, header = \"d\", contains = \"c\" }] } }] }";
    let text = format!(
        "host = \"127.0.0.1\"\nuser = \"me\"\npassword = \"x\"\ndeliver = [{{ to = \"home\", when = {when} }}]\n"
    );
    ferry.configure(&format!("accounts_dir = \"accounts.d\"\n{}", read(&ferry, "mailferry.toml")));
    fs::create_dir(ferry.folder().join("accounts.d")).unwrap();
    let file = ferry.folder().join("accounts.d/ruled.toml");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let account = async || {
        let config = load(&main).await.unwrap();
        config.accounts.into_iter().find(|account| account.name.as_str() == "ruled").unwrap()
    };
    let before = account().await;
    let draft = AccountDraft::of(&before);
    let route = Route { folder: "Elsewhere".into(), ..draft.routes[0].clone() };
    assert!(route.when.is_some());
    let changed = AccountDraft { routes: vec![route.clone()], ..draft.clone() };
    fs::write(&file, changed.rewrite(&fs::read_to_string(&file).unwrap(), &draft).unwrap()).unwrap();
    assert_eq!(account().await.poll.routes, [route]);
}

#[tokio::test]
async fn what_a_provider_is_known_for_is_told() {
    let server = Dovecot::start();
    let ferry = house(&server);
    let main = ferry.folder().join("mailferry.toml");
    let gmail = AccountDraft {
        leave_copy: LeaveCopy::For(std::time::Duration::from_secs(14 * 24 * 3600)),
        ..draft("you", "pop.gmail.com")
    };
    let saved = setup::add(&main, gmail, "x".into()).await.unwrap();
    let [warning] = &saved.warnings[..] else { panic!("{saved:?}") };
    assert!(warning.contains("leave_copy: Gmail shows a message to POP3 until it is retrieved"), "{warning}");
    let ran = ferry.run(&["edit", "you", "--leave-copy", "15d"]).await.expect_code(0);
    assert!(ran.stdout.contains("warning: ") && ran.stdout.contains("Gmail shows a message"), "{ran:?}");
}

#[tokio::test]
async fn the_config_is_read_again_before_an_account_is_saved() {
    let server = Dovecot::start();
    let ferry = house(&server);
    let main = ferry.folder().join("mailferry.toml");
    setup::add(&main, draft("one", "pop.example.com"), "x".into()).await.unwrap();
    setup::add(&main, draft("two", "pop.example.com"), "x".into()).await.unwrap();
    let same = AccountDraft { name: AccountName::new("three").unwrap(), ..draft("two", "POP.example.com") };
    let error = setup::add(&main, same, "x".into()).await.unwrap_err();
    assert!(error.to_string().contains("the account two polls this mailbox already"), "{error}");
    let elsewhere = |port, user: &str, host: &str| {
        let peer = PeerDraft { port, user: user.into(), ..draft("two", host).peer };
        AccountDraft { peer, ..draft("three", host) }
    };
    // What a broken file polls once it is mended counts as well.
    fs::remove_file(ferry.folder().join("accounts.d/two.password")).unwrap();
    for (port, user) in [(110, "two"), (995, "Two")] {
        let error =
            setup::add(&main, elsewhere(port, user, "pop.example.com"), "x".into()).await.unwrap_err();
        assert!(error.to_string().contains("the account two polls this mailbox already"), "{error}");
    }
    // On this machine another server may be behind another port.
    setup::add(&main, elsewhere(1110, "two", "127.0.0.1"), "x".into()).await.unwrap();
    let four =
        AccountDraft { name: AccountName::new("four").unwrap(), ..elsewhere(1111, "two", "127.0.0.1") };
    setup::add(&main, four, "x".into()).await.unwrap();
}

#[tokio::test]
async fn no_link_is_followed_but_that_of_the_main_file() {
    let server = Dovecot::start();
    let ferry = house(&server);
    let (main, elsewhere) = (ferry.folder().join("mailferry.toml"), ferry.folder().join("elsewhere"));
    fs::rename(&main, &elsewhere).unwrap();
    symlink(&elsewhere, &main).unwrap();
    let bait = ferry.folder().join("bait");
    fs::write(&bait, "mine\n").unwrap();
    fs::create_dir(ferry.folder().join("accounts.d")).unwrap();
    symlink(&bait, ferry.folder().join("accounts.d/you.password")).unwrap();
    setup::add(&main, draft("you", "pop.example.com"), "x".into()).await.unwrap();
    assert!(fs::symlink_metadata(&main).unwrap().is_symlink());
    assert!(fs::read_to_string(&elsewhere).unwrap().contains("accounts_dir"));
    assert_eq!(fs::read_to_string(&bait).unwrap(), "mine\n");
    assert_eq!(read(&ferry, "accounts.d/you-2.password"), "x\n");
}

/// As with the shipped unit: root sets up what another user runs.
#[tokio::test]
async fn root_writes_nothing_that_the_owner_of_the_ledger_could_not_read() {
    if !getuid().is_root() {
        eprintln!("skipped: only root can write what others cannot read");
        return;
    }
    let server = Dovecot::start();
    let ferry = house(&server);
    ferry.run(&["fetch"]).await;
    chown(ferry.ledger(), Some(NOBODY), Some(NOBODY)).unwrap();
    let before = read(&ferry, "mailferry.toml");
    let ran = add(&ferry, &server, "you", &[]).await.expect_code(78);
    let said = format!("would be root's, and mailferry runs as user {NOBODY}, who owns the ledger");
    assert!(ran.stderr.contains(&said), "{ran:?}");
    assert_eq!(read(&ferry, "mailferry.toml"), before);
    assert!(!ferry.folder().join("accounts.d").exists());

    let accounts = ferry.folder().join("accounts");
    fs::create_dir(&accounts).unwrap();
    chown(&accounts, Some(NOBODY), Some(NOBODY)).unwrap();
    ferry.configure(&format!("accounts_dir = \"accounts\"\n{before}"));
    add(&ferry, &server, "you", &[]).await.expect_code(0);
    let owner = |path: &Path| path.metadata().unwrap().uid();
    for file in ["you.toml", "you.password"] {
        assert_eq!(owner(&accounts.join(file)), NOBODY, "{file}");
    }
}
