//! Gmail by its API: the real binary between a real Dovecot and an API of ours that is as strict as Google's documents.

mod adding;
mod api;

use rustix::process::Signal;

use self::api::{Gmail, Refusal, Stored};
use crate::cable::{Cable, Fault, Way};
use crate::dovecot::{Dovecot, with_crlf};
use crate::ferry::{Ferry, account};
use crate::identity_provider::IdentityProvider;
use crate::oauth::{Login, follow};
use crate::receiver::{Receiver, says, status};
use crate::web::browser::{House, PASSWORD};
use crate::web::chromium::Chromium;

const ME: &str = "me@gmail.com";

/// A mailbox whose mail goes to Gmail, over a link that can be cut.
struct Scene {
    provider: IdentityProvider,
    gmail: Gmail,
    link: Cable,
    dovecot: Dovecot,
    ferry: Ferry,
}

impl Scene {
    /// `route` is what the account's entry of `deliver` says beside `to`, and `rest` more of its keys.
    async fn new(route: &str, rest: &str) -> Scene {
        let provider = IdentityProvider::start(ME).await;
        let gmail = Gmail::start(&provider).await;
        let link = Cable::to(gmail.port).await;
        let dovecot = Dovecot::start();
        let deliver = format!("deliver = [{{ to = \"gmail\"{route} }}]\n{rest}");
        let config = destination(&provider, link.port) + &account("old", &dovecot, "old", &deliver);
        Scene { provider, gmail, link, dovecot, ferry: Ferry::new(&config) }
    }

    /// The same, and somebody has signed in.
    async fn signed_in(route: &str, rest: &str) -> Scene {
        let scene = Scene::new(route, rest).await;
        let (code, said) = scene.sign_in().await;
        assert_eq!(code, 0, "{said}");
        scene.gmail.asked();
        scene
    }

    /// Signs in in a browser on this machine.
    async fn sign_in(&self) -> (i32, String) {
        self.sign_in_for("gmail").await
    }

    async fn sign_in_for(&self, destination: &str) -> (i32, String) {
        let command = self.ferry.command(&["login", "--destination", destination]);
        let login = tokio::task::spawn_blocking(move || {
            let mut login = Login::start(command);
            let landed = follow(&login.wait_for("/authorize?"));
            follow(&landed);
            login.end()
        });
        login.await.unwrap()
    }

    fn put(&self, messages: &[Vec<u8>]) {
        self.dovecot.put("old", messages);
    }

    /// The requests of imports since the last time, by the statuses of their answers.
    fn imports(&self) -> Vec<u16> {
        let asked = self.gmail.asked();
        asked.into_iter().filter(|(what, _)| what == "POST import").map(|(_, status)| status).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.gmail.complaints(), Vec::<String>::new());
        }
    }
}

fn destination(provider: &IdentityProvider, port: u16) -> String {
    let oauth = provider.google("google");
    format!(
        "{oauth}\n[destination.gmail]\nkind = \"gmail\"\nuser = \"{ME}\"\noauth = \"google\"\n\
         url = \"http://127.0.0.1:{port}/\"\n\n"
    )
}

fn message(n: usize, more: &str) -> Vec<u8> {
    format!(
        "From: Ann <ann@example.com>\r\nTo: me@example.org\r\nDate: Mon, 23 Nov 2020 10:00:00 +0100\r\nSubject: message {n}\r\n\
         Message-ID: <{n}@example.com>\r\n{more}\r\nNumber {n}.\r\n"
    )
    .into_bytes()
}

fn labels(stored: &Stored) -> Vec<&str> {
    stored.labels.iter().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_imported_under_the_labels_of_its_account_once_somebody_has_signed_in() {
    let scene = Scene::new(", labels = [\"Old/Work\", \"\u{c4}rger\"]", "leave_copy = false").await;
    scene.gmail.add_label("\u{e4}rger");
    scene.put(&[message(1, ""), message(2, "")]);
    let ran = scene.ferry.run(&["fetch"]).await.expect_code(75);
    assert!(ran.stdout.contains("mailferry login --destination gmail"), "{ran:?}");

    let (code, said) = scene.sign_in().await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("Signed in as me@gmail.com"), "{said}");
    assert!(said.contains("me@gmail.com has 1 label; nothing was imported"), "{said}");
    let ran = scene.ferry.run(&["-v", "fetch"]).await.expect_code(0);
    let stored = scene.gmail.message("message 1");
    assert!(ran.stderr.contains(&format!("Gmail id {}", stored.id)), "the proof is shown: {ran:?}");
    assert_eq!(stored.raw, message(1, ""), "to the byte");
    assert_eq!(labels(&stored), ["INBOX", "Old/Work", "UNREAD", "\u{e4}rger"]);
    assert_eq!(scene.gmail.labels(), ["\u{e4}rger", "Old", "Old/Work"], "each level, and none twice");
    let query = &stored.query;
    assert_eq!((query.upload_type.as_str(), query.date_source.as_str()), ("multipart", "dateHeader"));
    assert_eq!((query.never_mark_spam, query.process_for_calendar), (false, true));
    assert_eq!((scene.gmail.messages().len(), scene.dovecot.count("old", "INBOX")), (2, 0));
    let scopes = "https://www.googleapis.com/auth/gmail.insert https://www.googleapis.com/auth/gmail.labels";
    let token = scene.provider.secrets().into_iter().find_map(|token| scene.provider.scopes_of(&token));
    assert_eq!(token.unwrap().join(" "), scopes, "no more than is needed");

    let status = scene.ferry.json(&["status", "--json"]).await;
    let known = &status["destinations"][0];
    assert_eq!((&known["kind"], &known["state"]), (&"gmail".into(), &"ok".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_account_wants_of_its_mail_is_said_by_labels() {
    let scene = Scene::signed_in(", skip_inbox = true, mark_read = true, junk = true", "").await;
    let undated = String::from_utf8(message(2, "")).unwrap().replace("Date: ", "X-Date: ");
    scene.put(&[message(1, ""), undated.into_bytes(), message(3, "X-Spam-Flag: YES\r\n")]);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    let [plain, undated, junk] = [1, 2, 3].map(|n| scene.gmail.message(&format!("message {n}")));
    assert_eq!(labels(&plain), [] as [&str; 0], "read, and in All Mail alone");
    assert_eq!(undated.query.date_source, "receivedTime");
    assert_eq!(labels(&junk), ["SPAM"]);
    assert!(plain.query.process_for_calendar && !junk.query.process_for_calendar);
    assert!(!scene.gmail.asked().iter().any(|(what, _)| what.ends_with("labels")), "no label is asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gmail_takes_for_spam_can_stay_in_the_inbox() {
    let scene = Scene::signed_in(", junk = true", "").await;
    let file = scene.ferry.folder().join("mailferry.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let wish = "kind = \"gmail\"\nnever_mark_spam = true\nprocess_for_calendar = false\n";
    scene.ferry.configure(&text.replace("kind = \"gmail\"\n", wish));
    scene.put(&[message(1, ""), message(2, "X-Spam-Status: Yes, score=9\r\n")]);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    let query = scene.gmail.message("message 1").query;
    assert_eq!((query.never_mark_spam, query.process_for_calendar), (true, false));
    let junk = scene.gmail.message("message 2");
    assert_eq!((labels(&junk), junk.query.never_mark_spam), (vec!["SPAM", "UNREAD"], false));
}

/// A message of about 20 MB, whose lines end in different ways.
fn large(n: usize) -> Vec<u8> {
    of_size(n, 20 << 20)
}

fn of_size(n: usize, octets: usize) -> Vec<u8> {
    let mut large = message(n, "");
    while large.len() < octets {
        large.extend_from_slice(
            b"A line of a large attachment, of which there are many, to fill it.\nAnd another one.\r\n",
        );
    }
    large
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_message_goes_in_pieces_that_take_no_memory_and_on_where_the_line_was_cut() {
    let scene = Scene::signed_in("", "leave_copy = false").await;
    scene.put(&[large(1)]);
    scene.link.arm(None);
    let (ran, peak) = scene.ferry.run_measured(&["fetch"]).await;
    ran.expect_code(0);
    assert!(peak < 48 << 10, "{peak} KiB for a message of 20 MiB");
    let answers = scene.link.passed(Way::Down);
    assert!(scene.gmail.message("message 1").raw == with_crlf(&large(1)), "to the byte");
    assert_eq!(scene.gmail.pieces()[0].len(), 11, "{:?}", scene.gmail.pieces());

    // In the middle of the fourth piece.
    scene.put(&[large(2)]);
    scene.link.arm(Some(Fault::Cut { way: Way::Up, after: 7 << 20 }));
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert!(scene.link.has_struck());
    let stored = scene.gmail.message("message 2");
    assert!(stored.raw == with_crlf(&large(2)) && stored.times == 1, "to the byte, and once");
    let pieces = &scene.gmail.pieces()[1];
    assert!(pieces[3] < 2 << 20 && pieces.len() >= 11, "{pieces:?}");
    assert_eq!(scene.gmail.pieces().len(), 2, "no session was begun anew");

    // In the last answer: the message is complete, and the question after it is told so.
    scene.put(&[large(3)]);
    scene.link.arm(Some(Fault::Cut { way: Way::Down, after: answers - 10 }));
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert!(scene.link.has_struck());
    assert_eq!((scene.gmail.message("message 3").times, scene.gmail.pieces().len()), (1, 3));
    assert_eq!(scene.dovecot.count("old", "INBOX"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_message_that_is_refused_at_its_end_is_parked_with_those_words() {
    let scene = Scene::signed_in("", "leave_copy = false").await;
    for (n, words, uploads) in [(1, "Precondition check failed.", 1), (2, "Invalid upload request.", 3)] {
        scene.put(&[of_size(n, 3 << 20)]);
        scene.gmail.refuse_at_the_end(words);
        scene.ferry.run(&["fetch"]).await.expect_code(0);
        let parked = scene.ferry.json(&["parked", "--json"]).await.to_string();
        assert!(parked.contains(words), "{parked}");
        assert_eq!(
            scene.gmail.pieces().len(),
            uploads,
            "only what is said of the upload is no word on the message"
        );
    }
    assert_eq!(scene.dovecot.count("old", "INBOX"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_stands_still_holds_up_no_other_message() {
    let scene = Scene::signed_in("", "leave_copy = false").await;
    scene.put(&[of_size(1, 3 << 20), message(2, "")]);
    for range in ["bytes=0-262143", "a quarter"] {
        scene.gmail.stand_still(Some(range));
        let ran = scene.ferry.run(&["fetch"]).await.expect_code(75);
        assert!(ran.stdout.contains("the upload stands still (HTTP 308)"), "{ran:?}");
        let status = scene.ferry.json(&["status", "--json"]).await;
        assert_eq!((&status["destinations"][0]["state"], scene.gmail.messages().len()), (&"ok".into(), 1));
    }
    scene.gmail.stand_still(None);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!((scene.gmail.messages().len(), scene.dovecot.count("old", "INBOX")), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_forgotten_is_begun_anew_and_holds_up_no_other_message() {
    let scene = Scene::signed_in("", "leave_copy = false").await;
    scene.put(&[of_size(1, 3 << 20)]);
    scene.gmail.forget_uploads(1);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert!(scene.gmail.message("message 1").raw == with_crlf(&of_size(1, 3 << 20)), "to the byte");
    assert_eq!(scene.gmail.pieces().len(), 2, "one was begun anew");

    scene.put(&[of_size(2, 3 << 20), message(3, "")]);
    scene.gmail.forget_uploads(2);
    let ran = scene.ferry.run(&["fetch"]).await.expect_code(75);
    assert!(ran.stdout.contains("2 uploads of it in a row were given up there"), "{ran:?}");
    assert_eq!((scene.gmail.message("message 3").times, scene.gmail.pieces().len()), (1, 4));
    let status = scene.ferry.json(&["status", "--json"]).await;
    assert_eq!(status["destinations"][0]["state"], "ok");
    assert_eq!(scene.ferry.json(&["parked", "--json"]).await["parked"], serde_json::json!([]));
    scene.ferry.run(&["retry"]).await.expect_code(0);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!((scene.gmail.messages().len(), scene.dovecot.count("old", "INBOX")), (3, 0));
}

/// Gmail has it, and names it for the other one, too.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_last_answer_is_lost_may_be_there_whatever_is_answered_next() {
    // At the next question; or by another upload, of which some has come, as the first one is forgotten.
    for ends in [&[503, 429][..], &[503, 404, 429]] {
        let scene = Scene::signed_in("", "leave_copy = false").await;
        let other = String::from_utf8(message(2, "")).unwrap().replace("<2@example.com>", "<1@example.com>");
        scene.put(&[of_size(1, 3 << 20)]);
        scene.gmail.lose_the_end(ends);
        let ran = scene.ferry.run(&["fetch"]).await.expect_code(75);
        assert!(ran.stdout.contains("an answer was lost, and the next one is HTTP 429"), "{ran:?}");
        scene.put(&[other.into_bytes()]);
        scene.ferry.run(&["retry"]).await;
        scene.gmail.lose_the_end(ends);
        scene.ferry.run(&["fetch"]).await.expect_code(75);
        assert_eq!(scene.dovecot.count("old", "INBOX"), 2, "nobody knows yet which of them Gmail has");
        scene.ferry.run(&["retry"]).await;
        let ran = scene.ferry.run(&["fetch"]).await;
        assert_eq!((scene.gmail.messages().len(), scene.dovecot.count("old", "INBOX")), (1, 1), "{ran:?}");
        let parked = scene.ferry.json(&["parked", "--json"]).await;
        assert_eq!(parked["parked"].as_array().unwrap().len(), 1, "{parked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_to_come_later_comes_later_and_loses_nothing() {
    let scene = Scene::signed_in("", "").await;
    scene.put(&[message(1, "")]);
    let refusal = |status, reason, message, retry_after| Refusal { status, reason, message, retry_after };
    let slow = refusal(429, "rateLimitExceeded", "User-rate limit exceeded.", Some(3600));
    scene.gmail.refuse(slow);
    let ran = scene.ferry.run(&["fetch"]).await.expect_code(75);
    assert!(ran.stdout.contains("User-rate limit exceeded."), "{ran:?}");
    assert_eq!(scene.imports(), [429]);
    scene.ferry.run(&["fetch"]).await.expect_code(75);
    assert_eq!(scene.imports(), [] as [u16; 0], "an hour means an hour");
    let status = scene.ferry.run(&["status"]).await;
    assert!(status.stdout.contains("User-rate limit exceeded."), "{status:?}");
    scene.ferry.run(&["retry"]).await.expect_code(0);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.imports(), [200]);

    // Units by the minute: what was too much goes later, and nothing is parked.
    scene.gmail.quota(60);
    scene.put(&(2..8).map(|n| message(n, "")).collect::<Vec<_>>());
    let ran = scene.ferry.run(&["fetch"]).await.expect_code(75);
    assert!(ran.stdout.contains("User Rate Limit Exceeded"), "{ran:?}");
    assert_eq!(scene.gmail.messages().len(), 3);
    assert_eq!(scene.ferry.json(&["parked", "--json"]).await["parked"], serde_json::json!([]));
    scene.gmail.quota(6000);
    scene.ferry.run(&["retry"]).await.expect_code(0);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.gmail.messages().len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_is_renewed_once_and_a_right_that_is_missing_is_said() {
    let scene = Scene::signed_in(", labels = [\"Old\"]", "").await;
    scene.put(&[message(1, "")]);
    scene.provider.revoke_access();
    let before = scene.provider.asked().len();
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.provider.asked().len(), before + 1);

    scene.provider.grant_only("https://www.googleapis.com/auth/gmail.labels");
    scene.provider.revoke_access();
    scene.put(&[message(2, "")]);
    let ran = scene.ferry.run(&["fetch"]).await.expect_code(75);
    assert!(ran.stdout.contains("insufficient authentication scopes"), "{ran:?}");
    assert!(ran.stdout.contains("sign in again: `mailferry login --destination gmail`"), "{ran:?}");
    for secret in scene.provider.secrets() {
        assert!(!ran.stdout.contains(&secret) && !ran.stderr.contains(&secret), "{ran:?}");
    }
    let (code, said) = scene.sign_in().await;
    assert_eq!(code, 75, "less than was asked for is no sign-in: {said}");
    scene.provider.grant_only(
        &["insert", "labels"].map(|it| format!("https://www.googleapis.com/auth/gmail.{it}")).join(" "),
    );
    let (code, said) = scene.sign_in().await;
    assert_eq!(code, 0, "{said}");
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.gmail.messages().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gmail_never_takes_is_parked_with_its_words_and_stays_at_its_source() {
    let scene = Scene::signed_in("", "leave_copy = false").await;
    let program = "Content-Type: application/octet-stream; name=\"game.exe\"\r\n";
    let text = |n| String::from_utf8(message(n, "")).unwrap();
    let nobody = text(2).replace("From: Ann <ann@example.com>\r\n", "");
    let two = text(3).replace("From: ", "From: Bob <bob@example.com>\r\nFrom: ");
    scene.put(&[message(1, program), nobody.into_bytes(), two.into_bytes(), message(4, "")]);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    let parked = scene.ferry.json(&["parked", "--json"]).await;
    let parked = parked["parked"].as_array().unwrap().clone();
    let reasons: Vec<&str> = parked.iter().map(|row| row["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert!(
        reasons.iter().any(|reason| reason.contains("support.google.com/mail/answer/6590")),
        "{reasons:?}"
    );
    let of_from = reasons.iter().filter(|reason| reason.contains("Expected a single 'From' header"));
    assert_eq!(of_from.count(), 2, "{reasons:?}");
    assert_eq!((scene.gmail.messages().len(), scene.dovecot.count("old", "INBOX")), (1, 3));
    let status = scene.ferry.json(&["status", "--json"]).await;
    assert_eq!(status["destinations"][0]["state"], "ok", "three of them say nothing of others");
    assert_eq!(scene.imports().len(), 4, "none is tried twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_leads_to_no_second_copy() {
    let scene = Scene::signed_in("", "leave_copy = false").await;
    scene.put(&[message(1, "")]);
    scene.link.arm(Some(Fault::Cut { way: Way::Down, after: 1 }));
    let ran = scene.ferry.run(&["fetch"]).await.expect_code(75);
    assert!(ran.stdout.contains("Gmail keeps one of two with the same Message-ID"), "{ran:?}");
    assert_eq!(scene.dovecot.count("old", "INBOX"), 1, "nobody has confirmed it");
    scene.ferry.run(&["retry"]).await.expect_code(0);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    let stored = scene.gmail.messages();
    assert_eq!((stored.len(), stored[0].times, scene.dovecot.count("old", "INBOX")), (1, 2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_accounts_share_a_mailbox_each_under_its_label() {
    let scene = Scene::signed_in(", labels = [\"One\"]", "").await;
    let file = scene.ferry.folder().join("mailferry.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let deliver = "deliver = [{ to = \"gmail\", labels = [\"Two\"] }]";
    scene.ferry.configure(&(text + &account("new", &scene.dovecot, "new", deliver)));
    scene.put(&(0..20).map(|n| message(n, "")).collect::<Vec<_>>());
    scene.dovecot.put("new", &(10..30).map(|n| message(n, "")).collect::<Vec<_>>());
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.gmail.messages().len(), 30);
    let of = |n: usize| labels(&scene.gmail.message(&format!("message {n}"))).join(" ");
    let expected = ["INBOX One UNREAD", "INBOX One Two UNREAD", "INBOX Two UNREAD"];
    assert_eq!([of(5), of(15), of(25)], expected);
    assert_eq!(scene.gmail.labels().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_its_owner_deletes_is_made_again_and_one_that_cannot_be_is_said() {
    let scene = Scene::signed_in(", labels = [\"Old\"]", "every = \"5s\"").await;
    scene.put(&[message(1, "")]);
    let mut running = scene.ferry.start(&["run"]);
    running.wait_for("delivered=1").await;
    scene.gmail.delete_label("Old");
    scene.put(&[message(2, "")]);
    running.wait_for("delivered=1").await;
    running.signal(Signal::TERM);
    running.end().await.expect_code(0);
    assert_eq!(labels(&scene.gmail.message("message 2")), ["INBOX", "Old", "UNREAD"]);

    let file = scene.ferry.folder().join("mailferry.toml");
    let text = std::fs::read_to_string(file).unwrap();
    scene.ferry.configure(&text.replace("\"Old\"", "\"Spam\""));
    scene.put(&[message(3, "")]);
    let ran = scene.ferry.run(&["fetch"]).await.expect_code(75);
    assert!(ran.stdout.contains("the label \"Spam\" cannot be made"), "{ran:?}");
    assert_eq!(scene.gmail.messages().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_happen_is_shown_without_asking_anybody() {
    let scene = Scene::new(", labels = [\"Old\"], junk = true", "").await;
    let file = scene.ferry.folder().join("junk.eml");
    std::fs::write(&file, message(1, "X-Spam-Flag: YES\r\n")).unwrap();
    let ran = scene.ferry.run(&["check", "--message", "junk.eml"]).await.expect_code(0);
    assert!(ran.stdout.contains("gmail (gmail) takes it, as SPAM, UNREAD, \"Old\""), "{ran:?}");
    let ran = scene.ferry.run(&["check"]).await.expect_code(75);
    assert!(ran.stdout.contains("destination gmail: FAILED: nobody has signed in yet"), "{ran:?}");
    assert_eq!(scene.gmail.asked(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_signs_in_on_the_page_and_waiting_mail_comes() {
    let mut scene = Scene::new("", "every = \"1h\"").await;
    let file = scene.ferry.folder().join("mailferry.toml");
    let text = std::fs::read_to_string(file).unwrap();
    scene.ferry.configure(&format!("{text}\n[web]\nlisten = \"127.0.0.1:0\"\n"));
    scene.put(&[message(1, "")]);
    let house = House::of(std::mem::replace(&mut scene.ferry, Ferry::new(&text))).await;
    let window = Chromium::open(1280).await;
    window.visit(&format!("http://{}", house.address)).await;
    window.fill("Password", PASSWORD).await;
    window.fill("The same again", PASSWORD).await;
    window.press(None, "Set the password").await;
    window.read("nobody has signed in yet").await;
    window.read("Gmail").await;
    window.is_fit_for_all().await;
    window.press(Some("main"), "Sign in").await;
    window.read("The address you landed at").await;
    window.press(None, "Go to the provider").await;
    window.read("mailferry can log in as me@gmail.com now.").await;
    window.press(None, "Back to the accounts").await;
    window.read("Delivered 1").await;
    window.is_fit_for_all().await;
    assert_eq!(scene.gmail.message("message 1").times, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_and_a_lost_ledger_lead_to_no_second_copy() {
    let scene = Scene::signed_in("", "").await;
    scene.put(&[message(1, "")]);
    scene.link.arm(Some(Fault::Stall { way: Way::Down, after: 1 }));
    let running = scene.ferry.start(&["run"]);
    scene.link.struck().await;
    running.signal(Signal::KILL);
    running.end().await;
    scene.link.arm(None);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    let stored = scene.gmail.messages();
    assert_eq!((stored.len(), stored[0].times), (1, 2));

    for file in ["mailferry.db", "mailferry.db-wal", "mailferry.db-shm"] {
        let _ = std::fs::remove_file(scene.ferry.folder().join(file));
    }
    let (code, said) = scene.sign_in().await;
    assert_eq!(code, 0, "{said}");
    let ran = scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert!(ran.stdout.contains("1 new, 1 delivered"), "{ran:?}");
    assert_eq!(scene.gmail.messages().len(), 1);
}

/// What stands in for the API, by a scene that has signed in.
fn lead_to(scene: &Scene, url: &str) {
    let file = scene.ferry.folder().join("mailferry.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let port = scene.link.port;
    scene.ferry.configure(&text.replace(&format!("http://127.0.0.1:{port}/"), url));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_led_nowhere_else_and_no_token_is_shown() {
    let scene = Scene::signed_in("", "leave_copy = false").await;
    let elsewhere = Receiver::start().await;
    let location = elsewhere.url.clone();
    let api = Receiver::answering(move |_, _| {
        let mut answer = status(200);
        answer.headers_mut().insert("location", location.parse().unwrap());
        answer
    })
    .await;
    scene.put(&[large(1)]);
    lead_to(&scene, &api.url.replace("/inbound", ""));
    let ran = scene.ferry.run(&["fetch"]).await.expect_code(75);
    assert!(ran.stdout.contains("no upload was begun for it"), "{ran:?}");
    assert_eq!((api.arrivals().len(), elsewhere.arrivals().len()), (1, 0));
    assert!(api.arrivals()[0].body.len() < 1000, "nothing of the message has left");
    assert_eq!(scene.dovecot.count("old", "INBOX"), 1);

    let echo = Receiver::answering(|arrival, _| says(403, arrival.header("authorization").to_owned())).await;
    scene.put(&[message(2, "")]);
    let url = api.url.replace("/inbound", "");
    let file = scene.ferry.folder().join("mailferry.toml");
    let text = std::fs::read_to_string(file).unwrap();
    scene.ferry.configure(&text.replace(&url, &echo.url.replace("/inbound", "/a/path")));
    let ran = scene.ferry.run(&["fetch"]).await.expect_code(75);
    assert!(ran.stdout.contains("\"Bearer"), "it was quoted: {ran:?}");
    assert!(!echo.arrivals().is_empty());
    for secret in scene.provider.secrets() {
        assert!(!ran.stdout.contains(&secret) && !ran.stderr.contains(&secret), "{secret} in {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_given_labels_at_the_terminal() {
    let scene = Scene::new("", "").await;
    let file = scene.ferry.folder().join("mailferry.toml");
    let text = std::fs::read_to_string(file).unwrap();
    scene.ferry.configure(&("accounts_dir = \"accounts.d\"\n".to_owned() + &text));
    let own = account("new", &scene.dovecot, "new", "deliver = [{ to = \"gmail\", skip_inbox = true }]");
    let drop_in = scene.ferry.folder().join("accounts.d/new.toml");
    std::fs::create_dir(drop_in.parent().unwrap()).unwrap();
    std::fs::write(&drop_in, own.replace("[account.new]\n", "").replace("\"secret\"", "{ file = \"word\" }"))
        .unwrap();
    let word = scene.ferry.folder().join("word");
    std::fs::write(&word, "secret").unwrap();
    std::fs::set_permissions(&word, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let ran = scene.ferry.run(&["edit", "new", "--folder", "Old"]).await.expect_code(64);
    assert!(ran.stderr.contains("gmail is Gmail, which has labels; take --labels"), "{ran:?}");
    // Whoever changes where mail goes is told that it would wait.
    let labels = ["edit", "new", "--labels", "Old, Older/Still", "--yes"];
    let ran = scene.ferry.run(&labels).await.expect_code(75);
    assert!(ran.stderr.contains("mailferry login --destination gmail"), "{ran:?}");
    let (code, said) = scene.sign_in().await;
    assert_eq!(code, 0, "{said}");
    scene.ferry.run(&labels).await.expect_code(0);
    let text = std::fs::read_to_string(&drop_in).unwrap();
    let route = "{ to = \"gmail\", skip_inbox = true, labels = [\"Old\", \"Older/Still\"] }";
    assert!(text.contains(route), "{text}");
}

/// Message `n` under the Message-ID of message `of`.
fn other(n: usize, of: usize) -> Vec<u8> {
    let text = String::from_utf8(message(n, "")).unwrap();
    text.replace(&format!("<{n}@"), &format!("<{of}@")).into_bytes()
}

/// Gmail has message 1, as nobody knows yet, and would name it for message 2.
#[tokio::test(flavor = "multi_thread")]
async fn another_message_waits_while_it_is_not_known_whether_gmail_has_the_first() {
    let scene = Scene::signed_in("", "leave_copy = false").await;
    scene.put(&[message(1, ""), other(2, 1)]);
    scene.link.arm(Some(Fault::Cut { way: Way::Down, after: 1 }));
    let ran = scene.ferry.run(&["fetch"]).await.expect_code(75);
    assert!(scene.link.has_struck());
    assert!(ran.stdout.contains("0 delivered, 2 deferred"), "{ran:?}");
    assert_eq!(scene.imports(), [200], "the other one was not sent");
    assert_eq!(scene.dovecot.count("old", "INBOX"), 2, "nothing is confirmed");

    scene.ferry.run(&["retry"]).await.expect_code(0);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!((scene.gmail.messages().len(), scene.gmail.message("message 1").times), (1, 3));
    assert!(scene.dovecot.list("old", "INBOX") == [other(2, 1)], "it is in one place still");
    let parked = scene.ferry.json(&["parked", "--json"]).await;
    let reason = parked["parked"][0]["reason"].to_string();
    assert!(reason.contains("another message with this Message-ID, and keeps that"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_message_of_another_account_waits_for_one_that_a_kill_interrupted() {
    let scene = Scene::signed_in("", "leave_copy = false").await;
    let file = scene.ferry.folder().join("mailferry.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let deliver = "deliver = [{ to = \"gmail\" }]\nleave_copy = false";
    scene.ferry.configure(&(text + &account("new", &scene.dovecot, "new", deliver)));
    scene.put(&[message(1, "")]);
    scene.link.arm(Some(Fault::Stall { way: Way::Down, after: 1 }));
    let running = scene.ferry.start(&["run"]);
    scene.link.struck().await;
    running.signal(Signal::KILL);
    running.end().await;
    scene.link.arm(None);
    scene.dovecot.put("new", &[other(2, 1)]);
    scene.ferry.run(&["fetch", "new"]).await.expect_code(75);
    assert_eq!((scene.gmail.messages().len(), scene.gmail.message("message 1").times), (1, 1));
    assert_eq!(scene.dovecot.count("new", "INBOX"), 1, "it waits");

    scene.ferry.run(&["fetch", "old"]).await.expect_code(0);
    assert_eq!(scene.dovecot.count("old", "INBOX"), 0);
    scene.ferry.run(&["fetch", "new"]).await.expect_code(0);
    assert_eq!((scene.gmail.messages().len(), scene.dovecot.count("new", "INBOX")), (1, 1));
    let parked = scene.ferry.json(&["parked", "--json"]).await;
    let reason = parked["parked"][0]["reason"].to_string();
    assert!(reason.contains("another message with this Message-ID, and keeps that"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_destination_of_the_same_mailbox_has_brought_is_known() {
    let scene = Scene::signed_in("", "leave_copy = false").await;
    let file = scene.ferry.folder().join("mailferry.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let port = scene.link.port;
    let second = format!(
        "[destination.inbox]\nkind = \"gmail\"\nuser = \"M.E@googlemail.com\"\noauth = \"google\"\n\
         never_mark_spam = true\nurl = \"http://127.0.0.1:{port}/\"\n\n"
    );
    let deliver = "deliver = [{ to = \"inbox\" }]\nleave_copy = false";
    scene.ferry.configure(&(text + &second + &account("new", &scene.dovecot, "new", deliver)));
    let (code, said) = scene.sign_in_for("inbox").await;
    assert_eq!(code, 0, "{said}");
    scene.put(&[message(1, "")]);
    scene.ferry.run(&["fetch", "old"]).await.expect_code(0);
    scene.dovecot.put("new", &[other(2, 1)]);
    scene.ferry.run(&["fetch", "new"]).await.expect_code(0);
    assert_eq!(scene.gmail.messages().len(), 1);
    assert!(scene.dovecot.list("new", "INBOX") == [other(2, 1)], "it is in one place still");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_body_under_the_same_header_stays_at_its_source() {
    let scene = Scene::signed_in("", "leave_copy = false").await;
    let altered = String::from_utf8(message(1, "")).unwrap().replace("Number 1.", "Nothing of that.");
    scene.put(&[altered.into_bytes()]);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    scene.put(&[message(1, "")]);
    let ran = scene.ferry.run(&["-v", "fetch"]).await.expect_code(0);
    assert!(ran.stderr.contains("with another body; this one stays at its source"), "{ran:?}");
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.gmail.messages().len(), 1);
    assert!(scene.dovecot.list("old", "INBOX") == [message(1, "")], "it is in one place still");
    assert_eq!(scene.ferry.json(&["parked", "--json"]).await["parked"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_another_one_takes_no_place_from_the_rest() {
    let scene = Scene::signed_in("", "leave_copy = false").await;
    let ways = (1..6).map(|n| message(1, &format!("X-Way: {n}\r\n")));
    scene.put(&ways.chain([message(2, "")]).collect::<Vec<_>>());
    scene.gmail.hold("message 1", "message 2");
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!((scene.gmail.messages().len(), scene.dovecot.count("old", "INBOX")), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_message_with_a_known_id_is_not_taken_for_delivered() {
    let scene = Scene::signed_in("", "leave_copy = false").await;
    // In one batch, and in a later one; and the same message by another way.
    scene.put(&[message(1, ""), other(2, 1)]);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    scene.put(&[other(3, 1), message(1, "X-Way: another\r\n")]);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.gmail.messages().len(), 1);
    let left = scene.dovecot.list("old", "INBOX");
    assert!(
        left == [other(2, 1), other(3, 1)],
        "what Gmail does not have, and that alone, is still at its source"
    );
    let parked = scene.ferry.json(&["parked", "--json"]).await;
    let reasons: Vec<&serde_json::Value> =
        parked["parked"].as_array().unwrap().iter().map(|row| &row["reason"]).collect();
    assert_eq!(reasons.len(), 2);
    assert!(reasons.iter().all(|reason| reason.to_string().contains("another message with this Message-ID")));
}
