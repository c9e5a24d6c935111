//! Tokens that end all the time: a daemon that polls every 5 s, from an account and into a folder that are both opened
//! by OAuth, at an identity provider that kills each refresh token that was used, and stumbles now and then.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::{report, soak};
use crate::ferry::message;
use crate::identity_provider::Mood::{Http500, Rotate, Slow, SlowDown};
use crate::oauth::{ME, Scene};

/// Of four answers one is no token, and one is late. After a stumble the next one is good: what comes twice in a row is no
/// stumble, but an outage.
const WHIMS: [crate::identity_provider::Mood; 8] =
    [Rotate, Http500, Rotate, Slow, Rotate, SlowDown, Rotate, Slow];

#[tokio::test(flavor = "multi_thread")]
async fn no_poll_fails_of_a_token_however_short_it_lives() {
    // A minute or half an hour; and tokens that live for a fair part of that.
    let (length, life) = if soak() { (1800, 30) } else { (45, 6) };
    let scene = Scene::both_by_oauth("Old").await;
    for whom in [&["work"][..], &["--destination", "home"]] {
        scene.sign_in(whom).await;
    }
    scene.provider.tokens(Duration::from_secs(life), 1500);
    scene.provider.whims(&WHIMS);
    // Those that the sign-ins brought live longer.
    scene.provider.revoke_access();
    let file = scene.ferry.folder().join("mailferry.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    scene.ferry.configure(&text.replace("deliver =", "every = \"5s\"\ndeliver ="));
    let before = scene.provider.asked().len();
    let mut daemon = scene.ferry.start(&["run"]);
    let end = Instant::now() + Duration::from_secs(length);
    let mut polls = 0;
    while Instant::now() < end {
        scene.dovecot.put(ME, &[message(polls)]);
        polls += 1;
        // Each poll says how it has ended; one that had found nothing is no sign that this message has come.
        daemon.wait_for("account=work new=").await;
    }
    daemon.signal(Signal::TERM);
    let log = daemon.end().await.expect_code(0).stderr;
    // A token that is missing at the destination fails no poll: mail only waits there.
    let waited = |line: &&str| line.contains("account=work new=") && !line.contains("deferred=0");
    let turned = |line: &&str| line.contains("has changed its state");
    let told: Vec<&str> = log.lines().filter(|line| waited(line) || turned(line)).collect();
    assert!(told.is_empty(), "{told:#?}");

    let (all, failed) = polls_of(&scene.ferry.ledger()).await;
    assert!(failed.is_empty(), "{failed:#?}");
    let renewals = scene.provider.asked().len() - before;
    assert!(renewals as u64 >= length / life, "{renewals} renewals");
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.dovecot.list(ME, "Old").len(), polls);
    report("tokens", &format!("{all} polls by tokens of {life} s, asked for {renewals} times: none failed"));
}

/// How many polls there were, and what those that failed have said.
async fn polls_of(ledger: &Path) -> (usize, Vec<String>) {
    let mut ledger = SqliteConnectOptions::new().filename(ledger).read_only(true).connect().await.unwrap();
    let polls: Vec<Option<String>> =
        sqlx::query_scalar("SELECT error FROM polls").fetch_all(&mut ledger).await.unwrap();
    ledger.close().await.unwrap();
    (polls.len(), polls.into_iter().flatten().collect())
}
