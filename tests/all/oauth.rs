//! Signing in by OAuth: the real binary, an identity provider with moods, and a real Dovecot that asks that provider for
//! every token.

mod adding;
mod destinations;
mod dialogs;
mod landing;
mod on_the_page;
mod together;
mod told;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, Ran, imap_destination, message};
use crate::identity_provider::{CLIENT_SECRET, IdentityProvider, Mood};

pub const ME: &str = "me@example.org";

/// A mailbox that is opened by OAuth alone, and a folder elsewhere that takes its mail.
pub struct Scene {
    pub provider: IdentityProvider,
    pub dovecot: Dovecot,
    pub ferry: Ferry,
    _folder: TempDir,
}

impl Scene {
    async fn new() -> Scene {
        Scene::with(IdentityProvider::config).await
    }

    async fn with(oauth: impl Fn(&IdentityProvider, &str) -> String) -> Scene {
        let provider = IdentityProvider::start(ME).await;
        let folder = TempDir::new().unwrap();
        let dovecot = Dovecot::start_with(&provider.dovecot(folder.path()));
        let config = oauth(&provider, "test")
            + &account(&dovecot)
            + &imap_destination("home", &dovecot, "home@example.org");
        let ferry = Ferry::new(&config);
        Scene { provider, dovecot, ferry, _folder: folder }
    }

    /// A folder of the same mailbox takes its mail, and is opened by OAuth as well.
    pub async fn both_by_oauth(name: &str) -> Scene {
        Scene::both_by_oauth_at(name, |config| config).await
    }

    async fn both_by_oauth_at(name: &str, dovecot: impl Fn(String) -> String) -> Scene {
        let provider = IdentityProvider::start(ME).await;
        let folder = TempDir::new().unwrap();
        let dovecot = Dovecot::start_with(&dovecot(provider.dovecot(folder.path())));
        let port = dovecot.imap;
        let home = format!(
            "[destination.home]\nkind = \"imap\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nuser = \"{ME}\"\n\
             oauth = \"test\"\n\n"
        );
        let work = account(&dovecot).replace("\"home\" }", &format!("\"home\", folder = \"{name}\" }}"));
        let ferry = Ferry::new(&(provider.config("test") + &work + &home));
        Scene { provider, dovecot, ferry, _folder: folder }
    }

    /// Signs in by the code, and returns what is said.
    pub async fn sign_in(&self, arguments: &[&str]) -> String {
        let command = self.ferry.command(&[&["login"], arguments].concat());
        let (code, said) = self.type_code_in(command).await;
        assert_eq!(code, 0, "{said}");
        assert!(said.contains(&format!("Signed in as {ME}")), "{said}");
        said
    }

    /// How `mailferry login` ends when somebody types in the code that it shows, and what it says.
    async fn type_code_in(&self, command: std::process::Command) -> (i32, String) {
        let provider = self.provider.clone();
        let ended = tokio::task::spawn_blocking(move || {
            let mut login = Login::start(command);
            login.wait_for("WXYZ-1234");
            provider.type_codes_in();
            login.end()
        });
        ended.await.unwrap()
    }
}

fn account(dovecot: &Dovecot) -> String {
    let port = dovecot.pop3;
    format!(
        "[account.work]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nuser = \"{ME}\"\noauth = \"test\"\n\
         deliver = [{{ to = \"home\" }}]\n\n"
    )
}

/// `mailferry login`, and what it has said so far.
pub struct Login {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    said: String,
}

impl Login {
    pub fn start(mut command: std::process::Command) -> Login {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Login { child, lines, said: String::new() }
    }

    pub fn wait_for(&mut self, text: &str) -> String {
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            self.said.push_str(&line);
            self.said.push('\n');
            if line.contains(text) {
                return line;
            }
        }
        let (code, said) = self.finish();
        panic!("it ended with {code} before it said `{text}`: {said}")
    }

    fn type_in(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    pub fn end(mut self) -> (i32, String) {
        self.finish()
    }

    fn finish(&mut self) -> (i32, String) {
        for line in self.lines.by_ref() {
            self.said.push_str(&line.unwrap());
            self.said.push('\n');
        }
        let mut complaint = String::new();
        std::io::Read::read_to_string(self.child.stderr.as_mut().unwrap(), &mut complaint).unwrap();
        let status = self.child.wait().unwrap();
        (status.code().unwrap_or(-1), self.said.clone() + &complaint)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_carried_from_an_account_that_is_opened_by_a_code() {
    let scene = Scene::new().await;
    scene.dovecot.put(ME, &[message(1), message(2)]);
    let ran = scene.ferry.run(&["fetch"]).await.expect_code(75);
    assert!(ran.stdout.contains("nobody has signed in yet; run `mailferry login work`"), "{ran:?}");

    scene.sign_in(&["work"]).await;
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.dovecot.list("home@example.org", "INBOX").len(), 2);
    no_token_rests_in_the_clear(&scene);
}

/// The ledger and the key, all files beside them, hold no token as text.
fn no_token_rests_in_the_clear(scene: &Scene) {
    let secrets = scene.provider.secrets();
    assert!(secrets.len() >= 2, "{secrets:?}");
    for file in fs::read_dir(scene.ferry.folder()).unwrap() {
        let path = file.unwrap().path();
        if !path.is_file() || path.file_name().is_some_and(|name| name == "mailferry.toml") {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        for secret in secrets.iter().map(String::as_str).chain([CLIENT_SECRET]) {
            let is_there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!is_there, "{} holds {secret}", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_on_this_machine_comes_back_by_itself() {
    let scene = Scene::with(IdentityProvider::config_without_codes).await;
    let command = scene.ferry.command(&["login", "work"]);
    let (code, said) = tokio::task::spawn_blocking(move || {
        let mut login = Login::start(command);
        let url = login.wait_for("/authorize?");
        let landed = follow(&url);
        assert!(follow(&landed).starts_with("HTTP/1.1 200"), "{landed}");
        login.end()
    })
    .await
    .unwrap();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("Signed in as me@example.org."), "{said}");
    assert!(said.contains("account work: 0 messages"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_browser_elsewhere_landed_at_can_be_pasted() {
    let scene = Scene::with(IdentityProvider::config_without_codes).await;
    let command = scene.ferry.command(&["login", "work"]);
    let (code, said) = tokio::task::spawn_blocking(move || {
        let mut login = Login::start(command);
        let landed = follow(&login.wait_for("/authorize?"));
        login.type_in("http://localhost/?code=forged&state=guessed");
        login.wait_for("That is not it");
        login.type_in(&landed);
        login.end()
    })
    .await
    .unwrap();
    assert_eq!(code, 0, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_granted_for_what_was_changed_meanwhile_takes_no_other_sign_in_away() {
    for by_browser in [false, true] {
        let scene = Scene::new().await;
        scene.sign_in(&["work"]).await;
        let way = if by_browser { "--browser" } else { "--code" };
        let (command, provider) = (scene.ferry.command(&["login", "work", way]), scene.provider.clone());
        let file = scene.ferry.folder().join("mailferry.toml");
        let text = fs::read_to_string(&file).unwrap();
        let other = text.replace(&format!("user = \"{ME}\""), "user = \"you@example.org\"");
        let late = tokio::task::spawn_blocking(move || {
            let mut login = Login::start(command);
            let line = login.wait_for(if by_browser { "/authorize?" } else { "WXYZ-1234" });
            fs::write(file, other).unwrap();
            if by_browser {
                follow(&follow(&line));
            } else {
                provider.type_codes_in();
            }
            login.end()
        });
        let (code, said) = late.await.unwrap();
        assert!(code == 78 && said.contains("has been changed meanwhile; sign in anew"), "{code}: {said}");
        scene.ferry.configure(&text);
        scene.dovecot.put(ME, &[message(1)]);
        scene.ferry.run(&["fetch"]).await.expect_code(0);
    }
}

/// What a GET leads to: its Location, or the whole answer.
pub fn follow(url: &str) -> String {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("{url}"));
    let (host, path) = rest.split_once('/').unwrap();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    let location = answer.lines().find_map(|line| line.strip_prefix("location: "));
    location.map_or_else(|| answer.clone(), str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_carried_into_a_folder_that_is_opened_by_oauth() {
    let provider = IdentityProvider::start(ME).await;
    let folder = TempDir::new().unwrap();
    let dovecot = Dovecot::start_with(&provider.dovecot(folder.path()));
    let (imap, source) =
        (dovecot.imap, crate::ferry::account("work", &dovecot, "old", "deliver = [{ to = \"home\" }]"));
    let home = format!(
        "[destination.home]\nkind = \"imap\"\nhost = \"127.0.0.1\"\nport = {imap}\ntls = \"none\"\nuser = \"{ME}\"\n\
         oauth = \"test\"\n\n"
    );
    // Longer than Microsoft's, and than what Dovecot takes as an initial response.
    provider.tokens(Duration::from_secs(3600), 6000);
    let ferry = Ferry::new(&(provider.config("test") + &home + &source));
    let scene = Scene { provider, dovecot, ferry, _folder: folder };
    scene.dovecot.put("old", &[message(1)]);
    let ran = scene.ferry.run(&["fetch"]).await.expect_code(75);
    assert!(ran.stdout.contains("mailferry login --destination home"), "{ran:?}");
    scene.sign_in(&["--destination", "home"]).await;
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.dovecot.list(ME, "INBOX").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_renewed_before_it_ends_and_once_when_it_is_refused() {
    let scene = Scene::new().await;
    scene.sign_in(&["work"]).await;
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    let before = scene.provider.asked().len();
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.provider.asked().len(), before, "a token that is good is used again");

    // Withdrawn before its time: the server says so, and another one is had.
    scene.provider.revoke_access();
    scene.provider.mood(Mood::Rotate);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.provider.asked().len(), before + 1);

    // Rotated: the old one is dead, and the next renewal goes by the new one.
    for _ in 0..2 {
        scene.provider.revoke_access();
        scene.ferry.run(&["fetch"]).await.expect_code(0);
    }
    let asked = scene.provider.asked();
    let refreshes: Vec<&str> = asked[before..].iter().map(|form| form["refresh_token"].as_str()).collect();
    assert_eq!(refreshes.len(), 3, "{refreshes:?}");
    assert!(refreshes.windows(2).all(|pair| pair[0] != pair[1]), "{refreshes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_withdrawn_ends_until_somebody_signs_in() {
    let scene = Scene::new().await;
    let text = fs::read_to_string(scene.ferry.folder().join("mailferry.toml")).unwrap();
    let other = crate::ferry::account("other", &scene.dovecot, "other", "deliver = [{ to = \"home\" }]");
    scene.ferry.configure(&(text + &other));
    scene.sign_in(&["work"]).await;
    scene.provider.revoke_access();
    scene.provider.mood(Mood::Revoked);
    scene.dovecot.put("other", &[message(1)]);
    let ran = scene.ferry.run(&["fetch"]).await.expect_code(75);
    assert!(ran.stdout.contains("sign in again: `mailferry login work`"), "{ran:?}");
    assert!(ran.stdout.contains("other: 1 new, 1 delivered"), "it ends that account alone: {ran:?}");
    let status = scene.ferry.run(&["status"]).await.expect_code(0);
    assert!(status.stdout.contains("sign in again: `mailferry login work`"), "{status:?}");
    assert!(ran.stdout.contains("refresh_token=***"), "what it repeats of its question is not told: {ran:?}");
    let told = scene.ferry.run(&["status", "--json"]).await;
    assert!(told.stdout.contains("sign in again: `mailferry login work`"), "{told:?}");
    let ledger = fs::read(scene.ferry.ledger()).unwrap();
    let wal = fs::read(scene.ferry.folder().join("mailferry.db-wal")).unwrap_or_default();
    let all = [ran.stdout.as_bytes(), ran.stderr.as_bytes(), told.stdout.as_bytes(), &ledger, &wal].concat();
    for secret in scene.provider.secrets().iter().map(String::as_str).chain([CLIENT_SECRET]) {
        assert!(!all.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret} is shown");
    }
    let asked = scene.provider.asked().len();
    scene.ferry.run(&["fetch"]).await.expect_code(75);
    assert_eq!(scene.provider.asked().len(), asked, "nobody is asked in vain");

    scene.provider.mood(Mood::Ok);
    scene.sign_in(&["work"]).await;
    scene.ferry.run(&["fetch"]).await.expect_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn moods_of_the_provider_are_said_and_pass() {
    let scene = Scene::new().await;
    scene.sign_in(&["work"]).await;
    for (mood, said) in [
        (Mood::Http500, "answers HTTP 500"),
        (Mood::NotFound, "answers HTTP 404"),
        (Mood::Huge, "an answer of more than 64 KiB"),
        (Mood::WrongType, "its token is not of the type Bearer"),
        (Mood::Html, "the answer of the provider makes no sense"),
        (Mood::Redirect, "redirects are not followed"),
        (Mood::WrongClient, "refuses the application (invalid_client"),
        (Mood::Silent, "no answer within 30 s"),
    ] {
        scene.provider.revoke_access();
        scene.provider.mood(mood);
        let ran = scene.ferry.run(&["fetch"]).await.expect_code(75);
        assert!(ran.stdout.contains(said), "{mood:?}: {ran:?}");
        // Nothing of it is for ever.
        scene.provider.mood(Mood::Ok);
        scene.ferry.run(&["fetch"]).await.expect_code(0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_counts_whatever_else_an_answer_says() {
    let scene = Scene::new().await;
    scene.sign_in(&["work"]).await;
    let before = scene.provider.asked().len();
    scene.provider.revoke_access();
    scene.provider.mood(Mood::RotateWrongType);
    let ran = scene.ferry.run(&["fetch"]).await.expect_code(75);
    assert!(ran.stdout.contains("its token is not of the type Bearer"), "{ran:?}");
    assert_eq!(scene.provider.asked().len(), before + 1, "the dead one is not sent again");
    // Each time the one before is dead.
    for mood in [Mood::RotateOddly, Mood::Rotate] {
        scene.provider.mood(mood);
        scene.provider.revoke_access();
        scene.ferry.run(&["fetch"]).await.expect_code(0);
    }
    assert_eq!(scene.provider.asked().len(), before + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_a_code_that_makes_no_sense_is_said_at_once() {
    let scene = Scene::new().await;
    scene.provider.mood(Mood::Html);
    let command = scene.ferry.command(&["login", "work"]);
    let login = tokio::task::spawn_blocking(move || Login::start(command).end());
    let (code, said) = login.await.unwrap();
    assert_eq!(code, 75, "{said}");
    assert!(said.contains("makes no sense") && said.contains("sign in once more"), "{said}");
    assert!(!said.contains("nobody has typed") && !said.contains("it is tried again"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_without_a_reason_end_the_wait_for_a_code_and_a_stumble_does_not() {
    let scene = Scene::new().await;
    scene.provider.mood(Mood::NotFound);
    let command = scene.ferry.command(&["login", "work"]);
    let login = tokio::task::spawn_blocking(move || Login::start(command).end());
    let (code, said) = login.await.unwrap();
    assert_eq!(code, 75, "{said}");
    assert!(said.contains("answers HTTP 404, and not why, 3 times in a row; check the provider's"), "{said}");
    assert_eq!(scene.provider.asked().len(), 3);

    scene.provider.mood(Mood::Ok);
    let stumble = [Mood::NotFound, Mood::NotFound, Mood::Http500, Mood::Http500, Mood::Http500, Mood::Ok];
    scene.provider.whims(&stumble);
    let command = scene.ferry.command(&["login", "work"]);
    let login = tokio::task::spawn_blocking(move || Login::start(command).end());
    while scene.provider.asked().len() < 3 + stumble.len() {
        scene.provider.is_asked().await;
    }
    scene.provider.type_codes_in();
    let (code, said) = login.await.unwrap();
    assert_eq!(code, 0, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_nobody_types_in_ends() {
    let scene = Scene::new().await;
    scene.provider.mood(Mood::Expired);
    let command = scene.ferry.command(&["login", "work"]);
    let login = tokio::task::spawn_blocking(move || Login::start(command).end());
    let (code, said) = login.await.unwrap();
    assert_eq!(code, 75, "{said}");
    assert!(said.contains("expired_token"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_the_tokens_can_be_a_credential_of_systemd() {
    let scene = Scene::new().await;
    let text = fs::read_to_string(scene.ferry.folder().join("mailferry.toml")).unwrap();
    scene.ferry.configure(&format!("token_key = {{ credential = \"token-key\" }}\n{text}"));
    let credentials = TempDir::new().unwrap();
    let key = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, [7; 32]);
    fs::write(credentials.path().join("token-key"), format!("{key}\n")).unwrap();
    let with_key = |arguments: &[&str]| {
        let mut command = scene.ferry.command(arguments);
        command.env("CREDENTIALS_DIRECTORY", credentials.path());
        command
    };
    let (code, said) = scene.type_code_in(with_key(&["login", "work"])).await;
    assert_eq!(code, 0, "{said}");
    scene.dovecot.put(ME, &[message(1)]);
    Ran::by(with_key(&["fetch"])).await.expect_code(0);
    assert!(!scene.ferry.folder().join("mailferry.key").exists());
    // Whoever has the ledger and not the key can do nothing with it.
    let ran = scene.ferry.run(&["fetch"]).await.expect_code(75);
    assert!(ran.stdout.contains("token-key"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_knows_only_the_standard_is_logged_in_to() {
    let only_the_standard = |config: String| config.replace("plain login xoauth2 oauthbearer", "oauthbearer");
    let scene = Scene::both_by_oauth_at("Old", only_the_standard).await;
    scene.dovecot.put(ME, &[message(1)]);
    scene.sign_in(&["work"]).await;
    scene.sign_in(&["--destination", "home"]).await;
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.dovecot.list(ME, "Old").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_asked_for_less_often_where_the_provider_wants_that() {
    let scene = Scene::new().await;
    // The first question is the second whim's.
    scene.provider.whims(&[Mood::Ok, Mood::SlowDown]);
    let command = scene.ferry.command(&["login", "work"]);
    let login = tokio::task::spawn_blocking(move || Login::start(command).end());
    scene.provider.is_asked().await;
    let since = std::time::Instant::now();
    scene.provider.type_codes_in();
    scene.provider.is_asked().await;
    assert!(since.elapsed() >= Duration::from_secs(5), "RFC 8628 section 3.5: {:?}", since.elapsed());
    let (code, said) = login.await.unwrap();
    assert_eq!(code, 0, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_account_stays_signed_in_and_a_forgotten_one_does_not() {
    let scene = Scene::new().await;
    scene.sign_in(&["work"]).await;
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    let file = scene.ferry.folder().join("mailferry.toml");
    let text = fs::read_to_string(&file).unwrap().replace("[account.work]", "[account.play]");
    scene.ferry.run(&["rename", "work", "work"]).await.expect_code(0);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    // Its key is elsewhere at the moment: it can be done again.
    let key = scene.ferry.folder().join("mailferry.key");
    let elsewhere = scene.ferry.folder().join("elsewhere.key");
    fs::rename(&key, &elsewhere).unwrap();
    let ran = scene.ferry.run(&["rename", "work", "play"]).await.expect_code(75);
    assert!(ran.stderr.contains("run this again, or `mailferry login play`"), "{ran:?}");
    fs::rename(&elsewhere, &key).unwrap();
    scene.ferry.run(&["rename", "work", "play"]).await.expect_code(0);
    scene.ferry.run(&["rename", "work", "play"]).await.expect_code(64);
    scene.ferry.configure(&text);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    scene.ferry.run(&["forget", "play"]).await.expect_code(0);
    let ran = scene.ferry.run(&["fetch"]).await.expect_code(75);
    assert!(ran.stdout.contains("play: 0 new, 0 delivered; failed: nobody has signed in yet"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_key_takes_the_place_of_one_that_is_missing() {
    let scene = Scene::new().await;
    scene.sign_in(&["work"]).await;
    let key = scene.ferry.folder().join("mailferry.key");
    let elsewhere = scene.ferry.folder().join("elsewhere.key");
    fs::rename(&key, &elsewhere).unwrap();
    let ran = scene.ferry.run(&["login", "work"]).await.expect_code(78);
    assert!(ran.stderr.contains("bring it back, or if it is lost make a new one (`openssl rand"), "{ran:?}");
    assert!(!key.exists());
    fs::rename(&elsewhere, &key).unwrap();
    scene.ferry.run(&["fetch"]).await.expect_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_ends_soon_is_said_to() {
    let scene = Scene::new().await;
    scene.provider.lasts(Duration::from_secs(7 * 24 * 3600));
    let said = scene.sign_in(&["work"]).await;
    assert!(said.contains("It lasts until 20") && said.contains("publish the app"), "{said}");
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    let status = scene.ferry.run(&["status"]).await.expect_code(0);
    assert!(status.stdout.contains("sign in again before that: `mailferry login work`"), "{status:?}");
    assert!(scene.ferry.json(&["status", "--json"]).await["accounts"][0]["sign_in_ends"].is_string());

    // An answer that brings no other refresh token need not say it again.
    scene.provider.revoke_access();
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    let status = scene.ferry.run(&["status"]).await.expect_code(0);
    assert!(status.stdout.contains("sign in again before that"), "{status:?}");

    // What lasts for months is nobody's concern yet.
    scene.provider.lasts(Duration::from_secs(90 * 24 * 3600));
    scene.sign_in(&["work"]).await;
    let status = scene.ferry.run(&["status"]).await.expect_code(0);
    assert!(!status.stdout.contains("sign in again"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn that_a_destinations_sign_in_ends_soon_is_said_too() {
    let scene = Scene::both_by_oauth("Old").await;
    scene.provider.lasts(Duration::from_secs(7 * 24 * 3600));
    for whom in [&["work"][..], &["--destination", "home"]] {
        scene.sign_in(whom).await;
    }
    scene.dovecot.put(ME, &[message(1)]);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    let status = scene.ferry.run(&["status"]).await.expect_code(0);
    let said = "sign in again before that: `mailferry login --destination home`";
    assert!(status.stdout.contains(said), "{status:?}");
    assert!(scene.ferry.json(&["status", "--json"]).await["destinations"][0]["sign_in_ends"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn less_than_was_asked_for_is_no_sign_in() {
    let scene = Scene::new().await;
    scene.provider.grant_only("profile");
    let (code, said) = scene.type_code_in(scene.ferry.command(&["login", "work"])).await;
    assert_eq!(code, 75, "{said}");
    assert!(said.contains("it was not allowed: mail.read"), "{said}");
}
