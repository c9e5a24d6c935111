//! Secrets stay where they belong: not in a log at its loudest, nor in any output, the page, the ledger, a command line,
//! or what is left of a process that died.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustix::process::{Signal, getuid};
use tokio::io::AsyncReadExt;

use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, Ran, Running, message};
use crate::oracle::expect_no_secret;
use crate::peer::Peer;
use crate::receiver::{Receiver, status};
use crate::web::browser::{Browser, client};

/// All different, so that a leak says whose it is.
const POP3: &str = "marker-pop3-Kae4uu";
const IMAP: &str = "marker-imap-oW3eeg";
const WRONG: &str = "marker-wrong-Ee9boh";
const HOOK: &str = "marker-hook-aiPh7u";
const BASIC: &str = "marker-basic-Thai2k";
const TOKEN: &str = "marker-token-ie1Ahx";
const PAGE: &str = "marker-page-ooG4ia";
const SECRETS: [&str; 6] = [POP3, IMAP, WRONG, HOOK, BASIC, TOKEN];

/// As loud as it goes, with what is usually kept quiet.
const LOUD: &str = "trace,async_imap::imap_stream=trace,hyper=trace,reqwest=trace,rustls=trace,sqlx=trace";

/// Secrets of every kind: in a file, from the environment, from a command, in the config, in a URL.
fn ferry(server: &Dovecot, receiver: &Receiver, page: u16) -> Ferry {
    let url = receiver.url.replace("http://", &format!("http://me:{BASIC}@")) + &format!("?token={TOKEN}");
    let (imap, pop3) = (server.imap, server.pop3);
    let ferry = Ferry::new(&format!(
        "[web]\nlisten = \"127.0.0.1:{page}\"\n\
         [destination.home]\nkind = \"imap\"\nhost = \"127.0.0.1\"\nport = {imap}\ntls = \"none\"\nuser = \"me\"\n\
         password = {{ command = [\"cat\", \"secret.imap\"] }}\n\
         [destination.shut]\nkind = \"imap\"\nhost = \"127.0.0.1\"\nport = {imap}\ntls = \"none\"\nuser = \"me\"\n\
         password = \"{WRONG}\"\n\
         [destination.app]\nkind = \"webhook\"\nurl = \"{url}\"\nsecret = {{ env = \"APP_SECRET\" }}\n\
         [account.old]\nhost = \"127.0.0.1\"\nport = {pop3}\ntls = \"none\"\nuser = \"old\"\n\
         password = {{ file = \"secret.pop3\" }}\n\
         deliver = [{{ to = \"home\" }}, {{ to = \"shut\" }}, {{ to = \"app\" }}]\n\
         [account.bad]\nhost = \"127.0.0.1\"\nport = {pop3}\ntls = \"none\"\nuser = \"old\"\npassword = \"{WRONG}\"\n\
         deliver = [{{ to = \"home\" }}]\n"
    ));
    for (name, secret) in [("secret.pop3", POP3), ("secret.imap", IMAP)] {
        let file = ferry.folder().join(name);
        fs::write(&file, secret).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    }
    ferry
}

fn loud(ferry: &Ferry, arguments: &[&str]) -> Command {
    let mut command = ferry.command(arguments);
    command.env("RUST_LOG", LOUD);
    command.env("APP_SECRET", format!("whsec_{}", BASE64_STANDARD.encode(HOOK)));
    command
}

/// What mailferry wrote: not the config, and not the files where the user keeps secrets.
fn written(ferry: &Ferry) -> Vec<PathBuf> {
    let files = fs::read_dir(ferry.folder()).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.file_name().unwrap().to_str().unwrap().starts_with("mailferry.db")).collect()
}

#[tokio::test]
async fn no_secret_shows_however_loud_the_log_is() {
    let passwords =
        [POP3, IMAP].map(|secret| format!("passdb {{\n driver = static\n args = password={secret}\n}}\n"));
    let server = Dovecot::start_with(&passwords.concat());
    server.put("old", &[message(1), message(2)]);
    // An endpoint that fails, and says more than it should.
    let receiver = Receiver::answering(|_, nth| status(if nth == 0 { 503 } else { 200 })).await;
    let page = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ferry = ferry(&server, &receiver, page);
    let mut said = String::new();
    for arguments in [
        ["fetch"].as_slice(),
        &["-vvvv", "--log-json", "fetch"],
        &["check"],
        &["check", "--offline"],
        &["status"],
        &["status", "--json"],
        &["history", "--json"],
        &["parked", "--json"],
    ] {
        let Ran { stdout, stderr, .. } = Ran::by(loud(&ferry, arguments)).await;
        said += &(stdout + &stderr);
    }
    assert!(said.contains("2 delivered") && said.contains("login was refused"), "{said}");
    assert!(said.contains("TRACE"), "the log was to be loud");
    let mut daemon = Running::start(loud(&ferry, &["run"]));
    daemon.wait_for("started").await;
    let proc = PathBuf::from(format!("/proc/{}", daemon.pid()));
    let (shown, cookie) = page_shows(page).await;
    said += &shown;
    let command_line = fs::read_to_string(proc.join("cmdline")).unwrap();
    // What stands in the environment the user has put there.
    let environment = fs::read(proc.join("environ")).unwrap();
    daemon.signal(Signal::TERM);
    said += &daemon.end().await.stderr;
    expect_no_secret(&[PAGE, &cookie], said.as_bytes(), &written(&ferry)).unwrap();
    expect_no_secret(&SECRETS, (said + &command_line).as_bytes(), &written(&ferry)).unwrap();
    expect_no_secret(&[POP3, IMAP, WRONG, BASIC, TOKEN], &environment, &[]).unwrap();
}

/// All that a person sees who sets a password, signs in, and tries to add and to change an account. Returns the cookie, too.
async fn page_shows(port: u16) -> (String, String) {
    let mut browser = Browser::at(&format!("http://127.0.0.1:{port}"), client());
    let first = [("password", PAGE), ("again", PAGE)];
    assert_eq!(browser.post("/first-use", &first).await.goes_to(), "/");
    let cookie = browser.cookie.clone().unwrap();
    let (_, cookie) = cookie.split_once('=').unwrap();
    let draft = browser.post("/add", &[("address", "you@example.com")]).await.goes_to().to_owned();
    let login = [
        ("name", "you"),
        ("user", "you"),
        ("password", WRONG),
        ("host", "127.0.0.1"),
        ("tls", "none"),
        ("port", "1"),
    ];
    let mut shown = browser.post(&draft, &login).await.body;
    for path in ["/", "/live", &draft, "/accounts/old/history", "/accounts/old/edit", "/parked", "/style.css"]
    {
        let seen = browser.get(path).await;
        shown += &format!("{:?}{}", seen.headers, seen.body);
    }
    assert!(shown.contains("account-old") && shown.contains("That did not work."), "{shown}");
    (shown, cookie.to_owned())
}

/// USER and PASS, and LOGIN, at servers that repeat what they refuse.
#[tokio::test]
async fn a_server_that_repeats_the_password_is_not_quoted() {
    let pop3 = format!(
        "S: +OK hello
        C: CAPA
        S: -ERR
        C: USER old
        S: +OK
        C: PASS {POP3}
        S: -ERR PASS {POP3} will not do"
    );
    let imap = format!(
        "S: * OK hello
        C: M1 CAPABILITY
        S: * CAPABILITY IMAP4rev1
        S: M1 OK
        C: M2 LOGIN \"me\" \"{IMAP}\"
        S: M2 BAD me {IMAP}"
    );
    let (pop3, imap) = (Peer::play(&pop3).await, Peer::play(&imap).await);
    let ferry = Ferry::new(&format!(
        "[destination.home]\nkind = \"imap\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nuser = \"me\"\n\
         password = \"{IMAP}\"\n\
         [account.old]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nuser = \"old\"\npassword = \"{POP3}\"\n\
         deliver = [{{ to = \"home\" }}]\n",
        imap.port, pop3.port
    ));
    let ran = Ran::by(loud(&ferry, &["check"])).await.expect_code(75);
    assert!(ran.stdout.contains("PASS *** will not do") && ran.stdout.contains("me ***"), "{ran:?}");
    expect_no_secret(&[POP3, IMAP], (ran.stdout + &ran.stderr).as_bytes(), &written(&ferry)).unwrap();
    let (said, _) = (pop3.finish().await, imap.finish().await);
    assert!(said.contains(POP3), "it was sent: {said}");
}

/// A folder with a copy of the binary that any user may run.
fn open_to_all() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("mailferry");
    fs::copy(env!("CARGO_BIN_EXE_mailferry"), &binary).unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    (folder, binary)
}

/// Runs as a user that is not root; `sh` waits for it to have begun and dies with the test.
fn as_a_user(program: &Path, arguments: &[&str], folder: &Path) -> tokio::process::Command {
    let mut command = Command::new("prlimit");
    command.arg("--core=unlimited").arg(program).args(arguments).current_dir(folder).env("TMPDIR", folder);
    if getuid().is_root() {
        chown(folder, Some(65534), Some(65534)).unwrap();
        command.uid(65534).gid(65534);
    }
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    command
}

#[tokio::test]
async fn a_process_that_dies_leaves_no_core_and_lets_nobody_look_in() {
    let (folder, binary) = open_to_all();
    let mut demo = as_a_user(&binary, &["demo"], folder.path()).spawn().unwrap();
    let mut first = [0];
    let started = demo.stdout.as_mut().unwrap().read_exact(&mut first);
    tokio::time::timeout(Duration::from_secs(60), started).await.unwrap().unwrap();
    let proc = PathBuf::from(format!("/proc/{}", demo.id().unwrap()));
    let limits = fs::read_to_string(proc.join("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    // What belongs to root in /proc, whoever runs it, no other process of its user may read (proc_pid(5)).
    assert_eq!(fs::metadata(proc.join("environ")).unwrap().uid(), 0);
    let pid = rustix::process::Pid::from_raw(demo.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, Signal::ABORT).unwrap();
    let status = demo.wait().await.unwrap();
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));

    // Another program shows that it is mailferry's doing.
    let mut sleep = as_a_user(Path::new("/bin/cat"), &["/dev/zero"], folder.path()).spawn().unwrap();
    sleep.stdout.as_mut().unwrap().read_exact(&mut first).await.unwrap();
    let other = fs::metadata(format!("/proc/{}/environ", sleep.id().unwrap())).unwrap().uid();
    assert_ne!(other, 0);
    sleep.kill().await.unwrap();
}
