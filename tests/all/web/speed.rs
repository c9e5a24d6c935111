//! The page of somebody with very many accounts. How long each takes is reported here, and judged by tests/bench.

use std::time::Instant;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::browser::House;
use crate::faults::report;

const ACCOUNTS: usize = 1000;

const FILL: &str = include_str!("../../many.sql");

#[tokio::test]
async fn a_thousand_accounts_and_a_million_messages_are_shown_at_once() {
    let mut config = String::from(
        "[destination.home]\nkind = \"imap\"\nhost = \"127.0.0.1\"\nport = 1\ntls = \"none\"\nuser = \"me\"\n\
         password = \"secret\"\n\n",
    );
    for n in 0..ACCOUNTS {
        config += &format!(
            "[account.account-{n:04}]\nhost = \"127.0.0.1\"\nport = 1\ntls = \"none\"\nuser = \"{n}\"\n\
             password = \"secret\"\npaused = true\ndeliver = [{{ to = \"home\" }}]\n\n"
        );
    }
    let house = House::start(&config).await;
    let mut browser = house.first_browser().await;
    let mut ledger = SqliteConnectOptions::new().filename(house.ferry.ledger()).connect().await.unwrap();
    sqlx::raw_sql(FILL).execute(&mut ledger).await.unwrap();
    ledger.close().await.unwrap();
    let mut figures = Vec::new();
    for path in [
        "/",
        "/live",
        "/?page=20",
        "/?show=attention",
        "/accounts/account-0500/history",
        "/parked",
        "/parked?account=account-0500",
        "/healthz",
    ] {
        let mut times = Vec::new();
        for _ in 0..9 {
            let began = Instant::now();
            assert_eq!(browser.get(path).await.status, 200, "{path}");
            times.push(began.elapsed().as_millis());
        }
        times.sort_unstable();
        figures.push(format!("{path} {} ms", times[times.len() / 2]));
    }
    report("the page of 1,000 accounts with 1,000,000 messages", &figures.join(", "));

    let html = browser.get("/").await.html();
    assert!(html.text.contains("1,000 accounts, all paused. 1,000 need your attention."), "{}", html.text);
    assert_eq!(html.elements.iter().filter(|element| element.tag == "article").count(), 50);
    assert!(html.text.contains("Delivered996") && html.with("href", "/?page=2").is_some(), "{}", html.text);
    let html = browser.get("/?find=count-0999").await.html();
    assert!(html.with("id", "account-account-0999").is_some(), "{}", html.text);
    let html = browser.get("/accounts/account-0500/history").await.html();
    assert!(html.text.contains("1,000 messages in all"), "{}", html.text);
    // What is counted by triggers is what a count of the rows says.
    let ferry = house.end().await;
    let mut ledger = SqliteConnectOptions::new().filename(ferry.ledger()).connect().await.unwrap();
    let differ = "
        SELECT count(*) FROM accounts a WHERE a.delivered <>
            (SELECT count(*) FROM deliveries d WHERE d.account = a.id AND d.state = 'delivered')";
    assert_eq!(sqlx::query_scalar::<_, i64>(differ).fetch_one(&mut ledger).await.unwrap(), 0);
}
