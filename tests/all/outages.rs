//! An endpoint that takes nothing, however it says so: mail waits, one message at a time is tried, and none pays for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::http::Response;
use serde_json::json;

use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, account, message, webhook_destination};
use crate::receiver::{Receiver, status};

const MESSAGES: usize = 300;

/// Tries what an outage costs: `down` is the answer while it lasts.
async fn outage(rest: &str, down: impl Fn() -> Response<Body> + Send + Sync + 'static, state: &str) {
    let server = Dovecot::start();
    server.put("old", &(0..MESSAGES).map(message).collect::<Vec<_>>());
    let is_up = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&is_up);
    let receiver = Receiver::answering(move |_, _| match switch.load(Ordering::SeqCst) {
        true => Response::new("ok".into()),
        false => down(),
    })
    .await;
    let app = webhook_destination("app", &receiver.url, "raw") + rest;
    let ferry = Ferry::new(&(app + &account("old", &server, "old", "deliver = [{ to = \"app\" }]")));

    let told = ferry.run(&["fetch"]).await.expect_code(75).stdout;
    assert_eq!(told.matches("again").count(), 1, "{told}");
    let tried = receiver.arrivals().len();
    assert!(tried <= 128, "{tried} of {MESSAGES} were posted");
    let told = ferry.json(&["status", "--json"]).await;
    assert_eq!(told["destinations"][0]["state"], state, "{told}");
    assert_eq!(told["accounts"][0]["pending"], MESSAGES, "{told}");
    for more in 1..=12 {
        ferry.run(&["fetch"]).await.expect_code(75);
        assert_eq!(receiver.arrivals().len(), tried + more, "one message at a time");
    }
    assert_eq!(ferry.json(&["parked", "--json"]).await, json!({ "parked": [] }));

    is_up.store(true, Ordering::SeqCst);
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(receiver.taken().unwrap().len(), MESSAGES);
    let last = receiver.arrivals().split_off(tried + 12);
    assert_eq!(last.len(), MESSAGES, "each once");
    assert!(last.iter().all(|arrival| arrival.header("x-mailferry-attempt") == "1"), "it has cost attempts");
    let told = ferry.json(&["status", "--json"]).await;
    assert_eq!(
        (&told["destinations"][0]["state"], &told["accounts"][0]["pending"]),
        (&json!("ok"), &json!(0))
    );
}

#[tokio::test]
async fn a_proxy_whose_application_is_down() {
    outage("", || status(502), "failing").await;
}

#[tokio::test]
async fn an_application_that_refuses_all() {
    outage("", || status(400), "paused").await;
}

#[tokio::test]
async fn an_application_that_fails_and_says_200() {
    outage("expect = \"^ok\"\n", || Response::new("database is locked".into()), "failing").await;
}

/// It asks for its time, and gets it, whoever says `fetch`.
#[tokio::test]
async fn an_application_that_asks_for_time() {
    let server = Dovecot::start();
    server.put("old", &(0..MESSAGES).map(message).collect::<Vec<_>>());
    let receiver = Receiver::answering(|_, _| {
        Response::builder().status(429).header("retry-after", "3600").body(Body::empty()).unwrap()
    })
    .await;
    let app = webhook_destination("app", &receiver.url, "raw");
    let ferry = Ferry::new(&(app + &account("old", &server, "old", "deliver = [{ to = \"app\" }]")));
    ferry.run(&["fetch"]).await.expect_code(75);
    let tried = receiver.arrivals().len();
    assert!(tried <= 16, "{tried} of {MESSAGES} were posted");
    ferry.run(&["fetch"]).await.expect_code(75);
    assert_eq!(receiver.arrivals().len(), tried);
}

/// New mail went to the other destination while this one was tried: it goes here as well, by the same `fetch`.
#[tokio::test]
async fn the_poll_that_finds_it_well_again_carries_all() {
    let server = Dovecot::start();
    server.put("old", &(0..10).map(message).collect::<Vec<_>>());
    let is_up = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&is_up);
    let app = Receiver::answering(move |_, _| status(if switch.load(Ordering::SeqCst) { 200 } else { 502 }));
    let (app, other) = (app.await, Receiver::start().await);
    let config =
        webhook_destination("app", &app.url, "raw") + &webhook_destination("other", &other.url, "raw");
    let deliver = "deliver = [{ to = \"app\" }, { to = \"other\" }]";
    let ferry = Ferry::new(&(config + &account("old", &server, "old", deliver)));
    ferry.run(&["fetch"]).await.expect_code(75);
    server.put("old", &[message(10), message(11)]);
    is_up.store(true, Ordering::SeqCst);
    let ran = ferry.run(&["fetch"]).await.expect_code(0);
    assert!(ran.stdout.starts_with("old: 2 new, 14 delivered"), "{ran:?}");
    assert_eq!((app.taken().unwrap().len(), other.arrivals().len()), (12, 12));
}
