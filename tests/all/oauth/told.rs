//! What people are told of sign-ins that end, and of those that have ended.

use std::time::Duration;

use rustix::process::Signal;

use super::{ME, Scene};
use crate::alerts::told;
use crate::ferry::message;
use crate::identity_provider::Mood;
use crate::receiver::{Arrival, Receiver};

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn scene(receiver: &Receiver) -> Scene {
    let scene = Scene::new().await;
    let file = scene.ferry.folder().join("mailferry.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    scene.ferry.configure(&format!("{text}[alerts]\nurl = \"{}\"\nsecret = \"{SECRET}\"\n", receiver.url));
    scene
}

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn text(arrival: &Arrival) -> String {
    String::from_utf8(arrival.body.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_sign_in_is_told_of_once_for_each() {
    let receiver = Receiver::start().await;
    let scene = scene(&receiver).await;
    scene.provider.lasts(10 * DAY);
    scene.sign_in(&["work"]).await;
    let mut daemon = scene.ferry.start(&["run"]);
    let first = receiver.wait_for_arrivals(1).await.remove(0);
    assert_eq!(told(&first), ["account_sign_in work begun"]);
    assert!(text(&first).contains("Sign in again before that: `mailferry login work`"), "{}", text(&first));
    daemon.wait_for("people were told").await;
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);

    // Another start repeats nothing; a sign-in that lasts is no news; the next one that does not is.
    let mut daemon = scene.ferry.start(&["run"]);
    daemon.wait_for("started").await;
    scene.provider.lasts(90 * DAY);
    scene.sign_in(&["work"]).await;
    scene.provider.lasts(7 * DAY);
    scene.sign_in(&["work"]).await;
    let second = receiver.wait_for_arrivals(2).await.remove(1);
    assert_eq!(told(&second), ["account_sign_in work begun"]);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);
    assert_eq!(receiver.arrivals().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_was_withdrawn_is_told_of_like_a_refused_login() {
    let receiver = Receiver::start().await;
    let scene = scene(&receiver).await;
    scene.sign_in(&["work"]).await;
    scene.provider.revoke_access();
    scene.provider.mood(Mood::Revoked);
    for _ in 0..2 {
        scene.ferry.run(&["fetch"]).await.expect_code(75);
    }
    let mut daemon = scene.ferry.start(&["run"]);
    let first = receiver.wait_for_arrivals(1).await.remove(0);
    assert_eq!(told(&first), ["account work begun"]);
    let said = text(&first);
    assert!(said.contains("says that the sign-in has ended (invalid_grant"), "{said}");
    assert!(
        said.contains("Sign in again: `mailferry login work`") && !said.contains("mailferry edit"),
        "{said}"
    );
    daemon.wait_for("started").await;
    scene.provider.mood(Mood::Ok);
    scene.sign_in(&["work"]).await;
    let second = receiver.wait_for_arrivals(2).await.remove(1);
    assert_eq!(told(&second), ["account work over"]);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);
}

/// Nothing that mailferry does by itself helps a destination that nobody is signed in for.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_destination_whose_sign_in_has_ended_it_is_told_what_to_do() {
    let receiver = Receiver::start().await;
    let scene = Scene::both_by_oauth("Old").await;
    let file = scene.ferry.folder().join("mailferry.toml");
    let text_of_config = std::fs::read_to_string(&file).unwrap();
    let alerts = format!("[alerts]\nurl = \"{}\"\nsecret = \"{SECRET}\"\n", receiver.url);
    scene.ferry.configure(&(text_of_config + &alerts));
    for whom in [&["work"][..], &["--destination", "home"]] {
        scene.sign_in(whom).await;
    }
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    scene.dovecot.put(ME, &[message(1)]);
    // The account's own token is still good; the destination's is not, and there is no other one.
    scene.provider.revoke_access();
    scene.ferry.run(&["check", "work"]).await;
    scene.provider.mood(Mood::Revoked);
    scene.ferry.run(&["fetch"]).await.expect_code(75);
    let mut daemon = scene.ferry.start(&["run"]);
    let first = receiver.wait_for_arrivals(1).await.remove(0);
    assert_eq!(told(&first), ["destination home begun"]);
    let said = text(&first);
    assert!(said.contains("until somebody has signed in: `mailferry login --destination home`"), "{said}");
    assert!(!said.contains("goes on trying"), "{said}");
    daemon.wait_for("started").await;

    // In another process, and mail goes on at once: the next try by itself would be in an hour.
    scene.provider.mood(Mood::Ok);
    scene.sign_in(&["--destination", "home"]).await;
    let second = receiver.wait_for_arrivals(2).await.remove(1);
    assert_eq!(told(&second), ["destination home over"]);
    assert_eq!(scene.dovecot.list(ME, "Old").len(), 1);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);
}
