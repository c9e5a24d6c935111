//! Who comes from another program gets nothing twice: the programs themselves write the files that are taken over.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::{TimeDelta, Utc};
use rustix::process::{Signal, getuid};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

use crate::dovecot::{Dovecot, NOBODY, PASSWORD, give_to_mail_user};
use crate::ferry::{Ferry, Ran, account, imap_destination, message, received};
use crate::peer::Peer;
use crate::pop3::logged_in;

/// UIDLs with a slash, which getmail does not write as it is.
const SLASH: &str = "pop3_uidl_format = %08Xu/%08Xv\n";

/// Another program, in a folder of its own, that leaves the mail of a user on the server.
struct Other {
    name: &'static str,
    command: String,
    /// The file in which it remembers what it has seen.
    state: PathBuf,
    _folder: TempDir,
}

impl Other {
    fn new(name: &'static str, server: &Dovecot, user: &str) -> Other {
        let folder = tempfile::tempdir().unwrap();
        let (at, port) = (folder.path().to_str().unwrap(), server.pop3);
        let (config, command, state) = match name {
            "fetchmail" => fetchmail(at, port, user),
            "getmail" => getmail(at, port, user),
            "mpop" => mpop(at, port, user),
            _ => fdm(at, port, user),
        };
        for (file, text, mode) in [("config", config.as_str(), 0o600), ("take", TAKE, 0o700)] {
            let file = folder.path().join(file);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            give_to_mail_user(&file);
        }
        give_to_mail_user(folder.path());
        Other { name, command, state: state.into(), _folder: folder }
    }

    /// Lets it fetch what is new to it. Not as root, whose mail some do not touch.
    fn run(&self) {
        let nobody = format!("setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups {}", self.command);
        let command = if getuid().is_root() { &nobody } else { &self.command };
        let mut words = command.split(' ');
        let mut command = Command::new(words.next().unwrap());
        let folder = self.state.parent().unwrap();
        let ran = command.args(words).env("HOME", folder).current_dir(folder).output().unwrap();
        assert!(ran.status.success(), "{} ended with {ran:?}", self.name);
    }

    /// `import-state` from its file into the account `old`.
    async fn import(&self, ferry: &Ferry, rest: &[&str]) -> Ran {
        import(ferry, self.name, &self.state, rest).await
    }
}

async fn import(ferry: &Ferry, program: &str, state: &Path, rest: &[&str]) -> Ran {
    let words = ["import-state", "--from", program, state.to_str().unwrap(), "old"];
    ferry.run(&[&words, rest].concat()).await
}

fn fetchmail(at: &str, port: u16, user: &str) -> (String, String, String) {
    let config = format!(
        "poll 127.0.0.1 service {port} protocol pop3 auth password uidl:\n\
         user \"{user}\" password \"{PASSWORD}\" is \"me\" here sslproto '' keep no rewrite bsmtp \"{at}/mail\"\n"
    );
    let command = format!("fetchmail --silent -f {at}/config -i {at}/seen --pidfile {at}/pid");
    (config, command, format!("{at}/seen"))
}

/// What getmail gives a message to: it takes it, and ends no sooner than getmail waits for that (asleep, with a handler for
/// SIGCHLD, which is signal 17), or getmail would miss it and wait for a minute.
const TAKE: &str = "#!/bin/sh
until status=$(cat /proc/$PPID/status) && caught=$(echo \"$status\" | sed -n 's/^SigCgt:.//p') &&
    [ $((0x$caught >> 16 & 1)) = 1 ] && echo \"$status\" | grep -q '^State:.S'
do :; done
";

fn getmail(at: &str, port: u16, user: &str) -> (String, String, String) {
    let config = format!(
        "[retriever]\ntype = SimplePOP3Retriever\nserver = 127.0.0.1\nport = {port}\nusername = {user}\n\
         password = {PASSWORD}\n[destination]\ntype = MDA_external\npath = {at}/take\n\
         [options]\nread_all = false\ndelete = false\nverbose = 0\n"
    );
    let command = format!("getmail --getmaildir {at} --rcfile {at}/config");
    (config, command, format!("{at}/oldmail-127.0.0.1-{port}-{user}"))
}

fn mpop(at: &str, port: u16, user: &str) -> (String, String, String) {
    let config = format!(
        "account a\nhost 127.0.0.1\nport {port}\nuser {user}\nauth user\npassword {PASSWORD}\ntls off\nkeep on\n\
         delivery mbox {at}/mail\nuidls_file {at}/seen\n"
    );
    (config, format!("mpop -q -C {at}/config a"), format!("{at}/seen"))
}

fn fdm(at: &str, port: u16, user: &str) -> (String, String, String) {
    let config = format!(
        "set lock-file \"{at}/lock\"\naction \"keep\" mbox \"{at}/mail\"\n\
         account \"a\" pop3 server \"127.0.0.1\" port {port} user \"{user}\" pass \"{PASSWORD}\" \
         new-only cache \"{at}/seen\" no-apop keep\nmatch all action \"keep\"\n"
    );
    (config, format!("fdm -q -f {at}/config fetch"), format!("{at}/seen"))
}

/// From the account `old`, with these keys, into the INBOX of `me`.
fn bridge(server: &Dovecot, keys: &str) -> String {
    imap_destination("home", server, "me")
        + &account("old", server, "old", &format!("{keys}\ndeliver = [{{ to = \"home\" }}]"))
}

/// Thirty messages that the other program fetches, then ten that it does not: only these are delivered.
async fn only_new_mail_comes_after(name: &'static str) {
    let server = Dovecot::start_with(SLASH);
    let messages: Vec<Vec<u8>> = (0..40).map(message).collect();
    server.put("old", &messages[..30]);
    let other = Other::new(name, &server, "old");
    other.run();
    server.put("old", &messages[30..]);
    let ferry = Ferry::new(&bridge(&server, ""));

    let dry = other.import(&ferry, &["--dry-run"]).await.expect_code(0);
    let expected =
        format!("old: would take over 30 messages that {name} had seen; 10 others in the mailbox are new\n");
    assert_eq!(dry.stdout, expected);
    assert_eq!(rows(&ferry).await, (0, 0));
    let ran = other.import(&ferry, &[]).await.expect_code(0);
    assert_eq!(ran.stdout, expected.replace("would take", "takes"));
    let again = other.import(&ferry, &[]).await.expect_code(0);
    assert_eq!(
        again.stdout,
        format!(
            "old: takes over 0 messages that {name} had seen; 10 others in the mailbox are new\n\
             30 in the ledger already stay as they are\n"
        )
    );
    assert_eq!(rows(&ferry).await, (30, 30));

    let ran = ferry.run(&["fetch"]).await.expect_code(0);
    assert!(ran.stdout.starts_with("old: 10 new, 10 delivered"), "{ran:?}");
    assert_eq!(
        server.list("me", "INBOX"),
        messages[30..],
        "what the other program had not seen, and no more"
    );
    let ran = ferry.run(&["fetch"]).await.expect_code(0);
    assert!(ran.stdout.starts_with("old: 0 new, 0 delivered"), "{ran:?}");
    assert_eq!(server.count("old", "INBOX"), 40);
}

#[tokio::test]
async fn only_new_mail_comes_after_fetchmail() {
    only_new_mail_comes_after("fetchmail").await;
}

#[tokio::test]
async fn only_new_mail_comes_after_getmail() {
    only_new_mail_comes_after("getmail").await;
}

#[tokio::test]
async fn only_new_mail_comes_after_mpop() {
    only_new_mail_comes_after("mpop").await;
}

#[tokio::test]
async fn only_new_mail_comes_after_fdm() {
    only_new_mail_comes_after("fdm").await;
}

/// Messages and deliveries in the ledger.
async fn rows(ferry: &Ferry) -> (i64, i64) {
    let options = SqliteConnectOptions::new().filename(ferry.ledger()).read_only(true);
    let mut ledger = SqliteConnection::connect_with(&options).await.unwrap();
    let sql =
        "SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM deliveries WHERE state = 'skipped')";
    let rows = sqlx::query_as(sql).fetch_one(&mut ledger).await.unwrap();
    ledger.close().await.unwrap();
    rows
}

#[tokio::test]
async fn who_polled_before_keeps_what_was_delivered() {
    let server = Dovecot::start();
    let messages: Vec<Vec<u8>> = (0..12).map(message).collect();
    server.put("old", &messages[..5]);
    let ferry = Ferry::new(&bridge(&server, ""));
    ferry.run(&["fetch"]).await.expect_code(0);
    server.put("old", &messages[5..10]);
    let other = Other::new("mpop", &server, "old");
    other.run();
    server.put("old", &messages[10..]);
    let ran = other.import(&ferry, &[]).await.expect_code(0);
    assert_eq!(
        ran.stdout,
        "old: takes over 5 messages that mpop had seen; 2 others in the mailbox are new\n\
         5 in the ledger already stay as they are\n"
    );
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(server.list("me", "INBOX"), [&messages[..5], &messages[10..]].concat());
}

#[tokio::test]
async fn mail_that_came_between_the_two_programs_is_new_whatever_import_says() {
    let server = Dovecot::start();
    let old = |from: usize, to: usize| -> Vec<Vec<u8>> {
        (from..to).map(|n| received(n, TimeDelta::days(30))).collect()
    };
    server.put("old", &old(0, 30));
    let other = Other::new("fdm", &server, "old");
    other.run();
    server.put("old", &old(30, 40));
    let ferry = Ferry::new(&bridge(&server, "import = \"new\""));
    other.import(&ferry, &[]).await.expect_code(0);
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(server.count("me", "INBOX"), 10);
}

/// Puts the times in a file of getmail's back by so many days, for every message whose number is `aged`.
fn age(state: &Path, days: i64, aged: impl Fn(usize) -> bool) {
    let text = fs::read_to_string(state).unwrap();
    let at = (Utc::now() - TimeDelta::days(days)).timestamp();
    let mut lines: Vec<&str> = text.lines().map(|line| line.split('\0').next().unwrap()).collect();
    // Dovecot's UIDLs begin with the UID.
    lines.sort_unstable();
    let now = Utc::now().timestamp();
    let line = |(n, uidl): (usize, &&str)| format!("{uidl}\0{}\n", if aged(n) { at } else { now });
    fs::write(state, lines.iter().enumerate().map(line).collect::<String>()).unwrap();
}

#[tokio::test]
async fn what_was_taken_over_stays_unless_it_is_said_to_be_delivered() {
    let server = Dovecot::start();
    let messages: Vec<Vec<u8>> = (0..30).map(|n| received(n, TimeDelta::days(30))).collect();
    server.put("old", &messages);
    let other = Other::new("getmail", &server, "old");
    other.run();
    age(&other.state, 20, |n| n < 12);
    let ferry = Ferry::new(&bridge(&server, "leave_copy = false"));
    let ran = other.import(&ferry, &[]).await.expect_code(0);
    assert!(ran.stdout.ends_with("stays in the mailbox; --delivered lets leave_copy delete it\n"), "{ran:?}");
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!((server.count("old", "INBOX"), server.count("me", "INBOX")), (30, 0));

    ferry.configure(&bridge(&server, "leave_copy = \"14d\""));
    for rest in [&["--delivered", "--dry-run"][..], &["--delivered"]] {
        let ran = other.import(&ferry, rest).await.expect_code(0);
        let verb = if rest.len() > 1 { "would count" } else { "count" };
        let expected = format!(
            "30 in the ledger already {verb} as delivered by getmail now\n\
             leave_copy lets them go when their time is over: 12 at the next poll\n"
        );
        assert!(ran.stdout.ends_with(&expected), "{ran:?}");
        assert_eq!(server.count("old", "INBOX"), 30);
    }
    let ran = ferry.run(&["fetch"]).await.expect_code(0);
    assert!(ran.stdout.contains("12 deleted"), "{ran:?}");
    assert_eq!(server.list("old", "INBOX"), messages[12..], "getmail had these for less than 14 days");
    assert_eq!(server.count("me", "INBOX"), 0);
}

#[tokio::test]
async fn of_what_mailferry_has_delivered_itself_nothing_is_said_to_stay() {
    let server = Dovecot::start();
    let messages: Vec<Vec<u8>> = (0..3).map(|n| received(n, TimeDelta::days(30))).collect();
    server.put("old", &messages);
    let other = Other::new("getmail", &server, "old");
    other.run();
    // So long ago that the mailbox cannot show that these are the same.
    age(&other.state, 60, |_| true);
    let ferry = Ferry::new(&bridge(&server, "leave_copy = \"14d\""));
    ferry.run(&["fetch"]).await.expect_code(0);
    let ran = other.import(&ferry, &["--delivered"]).await.expect_code(0);
    assert!(ran.stdout.contains("3 in the ledger already stay as they are\n"), "{ran:?}");
    assert!(!ran.stdout.contains("stay all the same"), "{ran:?}");
}

#[tokio::test]
async fn what_is_another_message_by_now_is_not_deleted() {
    let server = Dovecot::start();
    // The last came later than the other program says that it saw it.
    let mut messages: Vec<Vec<u8>> = (10..13).map(|n| received(n, TimeDelta::days(30))).collect();
    messages.push(received(13, TimeDelta::days(15)));
    server.put("old", &messages);
    let other = Other::new("getmail", &server, "old");
    other.run();
    age(&other.state, 20, |_| true);
    let ferry = Ferry::new(&bridge(&server, "leave_copy = \"14d\""));
    let ran = other.import(&ferry, &["--delivered"]).await.expect_code(0);
    let expected = "leave_copy lets them go when their time is over: 3 at the next poll\n\
                    1 stay all the same: the mailbox does not show that they are what getmail had seen\n";
    assert!(ran.stdout.ends_with(expected), "{ran:?}");
    // Under the UIDL of the second, and as long, there is another one now.
    let changed = received(99, TimeDelta::days(30));
    server.replace("old", &messages[1], &changed);
    let ran = ferry.run(&["fetch"]).await.expect_code(75);
    assert!(ran.stdout.contains("1 deferred, 2 deleted"), "it turned out to be new only then: {ran:?}");
    assert_eq!(server.list("old", "INBOX"), [changed.clone(), messages[3].clone()]);
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(server.list("me", "INBOX"), [changed], "it was never seen by anybody");
}

#[tokio::test]
async fn a_server_out_of_step_is_asked_again_one_by_one_and_no_header_means_no_deletion() {
    let listed = "S: +OK
        S: 1 u1
        S: 2 u2
        S: .
        C: LIST
        S: +OK
        S: 1 10
        S: 2 20
        S: .
        C: TOP 1 0";
    let at_once =
        format!("C: STAT\nC: UIDL\nS: +OK 2 30\n{listed}\nC: TOP 2 0\nS: Subject: out of step\nnext\n");
    let one_by_one = format!(
        "C: STAT\nS: +OK 2 30\nC: UIDL\n{listed}\nquiet\nS: +OK\nS: Subject: one\nS:\nS: .\n\
         C: TOP 2 0\nS: -ERR no header today\nC: QUIT\nS: +OK\n"
    );
    let peer =
        Peer::play(&(logged_in("TOP PIPELINING", &at_once) + &logged_in("TOP PIPELINING", &one_by_one)))
            .await;
    let server = Dovecot::start();
    let at_dovecot = format!("port = {}\ntls = \"none\"\nuser = \"old\"", server.pop3);
    let at_peer = format!("port = {}\ntls = \"none\"\nuser = \"ann\"", peer.port);
    let ferry = Ferry::new(&bridge(&server, "leave_copy = false").replace(&at_dovecot, &at_peer));
    let state = ferry.folder().join("seen");
    fs::write(&state, "u1\x001790000000\nu2\x001790000000\n").unwrap();
    let ran = import(&ferry, "getmail", &state, &["--delivered"]).await.expect_code(0);
    peer.finish().await;
    assert_eq!(
        ran.stdout,
        "old: takes over 2 messages that getmail had seen; 0 others in the mailbox are new\n\
         leave_copy lets them go when their time is over: 1 at the next poll\n\
         1 stay all the same: the mailbox does not show that they are what getmail had seen\n"
    );
}

#[tokio::test]
async fn of_a_file_for_many_the_account_takes_its_own() {
    let server = Dovecot::start();
    let (mut file, folder) = (Vec::new(), tempfile::tempdir().unwrap());
    for (user, count) in [("ann@example.com", 3), ("old", 2)] {
        server.put(user, &(0..count).map(message).collect::<Vec<_>>());
        let other = Other::new("fetchmail", &server, user);
        other.run();
        file.extend(fs::read(&other.state).unwrap());
    }
    let state = folder.path().join("fetchids");
    fs::write(&state, &file).unwrap();
    let ferry = Ferry::new(&bridge(&server, ""));
    let ran = import(&ferry, "fetchmail", &state, &[]).await.expect_code(0);
    assert!(
        ran.stdout.starts_with("old: takes over 2 messages that fetchmail had seen; 0 others"),
        "{ran:?}"
    );

    // Called by another name there.
    let renamed = String::from_utf8(file).unwrap().replace("old@127.0.0.1", "me@home");
    fs::write(&state, renamed + "\nnonsense\n").unwrap();
    let ran = import(&ferry, "fetchmail", &state, &[]).await.expect_code(64);
    assert_eq!(
        ran.stderr,
        format!(
            "mailferry: {} has nothing of user old at 127.0.0.1; say whose messages to take over:\n\
             mailferry:   --host 127.0.0.1 --user ann@example.com  (3 messages)\n\
             mailferry:   --host home --user me  (2 messages)\n",
            state.display()
        )
    );
    let ran = import(&ferry, "fetchmail", &state, &["--host", "home", "--user", "ME"]).await.expect_code(0);
    assert!(ran.stdout.contains("2 in the ledger already stay as they are"), "{ran:?}");
    assert!(
        ran.stdout
            .ends_with("1 line of the file made no sense and counted for nothing; the first is line 7\n")
    );
    let ran = import(&ferry, "fetchmail", &state, &["--host", "127.0.0.1", "--user", "nobody"])
        .await
        .expect_code(64);
    assert!(ran.stderr.contains("nothing of user nobody at 127.0.0.1"), "{ran:?}");
}

#[tokio::test]
async fn a_file_that_fits_nothing_says_so() {
    let server = Dovecot::start();
    server.put("old", &[message(1)]);
    let ferry = Ferry::new(&bridge(&server, ""));
    let state = ferry.folder().join("cache");
    fs::write(&state, "5 other\n").unwrap();
    let ran = import(&ferry, "fdm", &state, &[]).await.expect_code(0);
    assert_eq!(
        ran.stdout,
        "old: takes over 0 messages that fdm had seen; 1 other in the mailbox is new\n\
         nothing of the 1 message in the file is there: is it of another account?\n"
    );
}

#[tokio::test]
async fn what_is_wrong_is_said_in_one_sentence_and_an_exit_code() {
    let server = Dovecot::start();
    server.put("old", &[message(1)]);
    let config = bridge(&server, "");
    let ferry = Ferry::new(&config);
    let state = ferry.folder().join("seen");
    let other = |text: &str| fs::write(&state, text).unwrap();
    let refuses = async |code: i32, rest: &[&str], words: &str| {
        let ran = import(&ferry, "getmail", &state, rest).await.expect_code(code);
        assert!(ran.stderr.contains(words) && ran.stderr.lines().count() == 1, "{ran:?}");
    };
    refuses(64, &[], "cannot be read").await;
    other("");
    refuses(64, &[], "names no message, so there is nothing to take over").await;
    other("old@127.0.0.1 u1\n");
    refuses(64, &[], "line 1: not a UIDL, a NUL and a time in seconds, so getmail did not write it").await;
    other("u1\x001790000000\n");
    refuses(64, &["--user", "old"], "leave --host and --user out").await;
    refuses(64, &["--delivered"], "`old` has leave_copy = true, which deletes nothing").await;
    ferry.run(&["import-state", "--from", "getmail", "seen", "nobody"]).await.expect_code(64);
    ferry.run(&["import-state", "--from", "outlook", "seen", "old"]).await.expect_code(64);

    ferry.configure(
        &config.replace("user = \"old\"\npassword = \"secret\"", "user = \"old\"\npassword = \"wrong\""),
    );
    refuses(75, &[], "old: ").await;
    ferry.configure(
        &config.replace(
            "user = \"old\"\npassword = \"secret\"",
            "user = \"old\"\npassword = { env = \"GONE\" }",
        ),
    );
    refuses(78, &[], "GONE").await;
    ferry.configure(&format!("ledger = \"gone/mailferry.db\"\n{config}"));
    refuses(74, &[], "there is no folder for the ledger").await;
    ferry.configure(&config);
    let mut running = ferry.start(&["run"]);
    running.wait_for("started").await;
    refuses(75, &[], "is held by another mailferry; stop that one first").await;
    running.signal(Signal::TERM);
    running.end().await.expect_code(0);
}

/// Gmail's fetcher, say, has put an account's mail into the folder for years: with `import = "all"` it is not there twice.
#[tokio::test]
async fn what_another_program_has_put_into_the_folder_is_not_doubled_whichever_account_comes_first() {
    let server = Dovecot::start();
    let (of_a, of_b) = ([message(1), message(2)], [message(3), message(4), message(5)]);
    server.put("a", &of_a);
    server.put("b", &of_b);
    server.put("me", &[of_a[0].clone(), of_b[0].clone(), of_b[1].clone()]);
    let home = imap_destination("home", &server, "me");
    let accounts = ["a", "b"].map(|name| account(name, &server, name, "deliver = [{ to = \"home\" }]"));
    let ferry = Ferry::new(&(home.clone() + &accounts[0]));
    ferry.run(&["fetch"]).await.expect_code(0);
    ferry.configure(&(home + &accounts.concat()));
    ferry.run(&["fetch"]).await.expect_code(0);
    let mut stored = server.list("me", "INBOX");
    stored.sort();
    assert_eq!(stored, [&of_a[..], &of_b[..]].concat());
}
