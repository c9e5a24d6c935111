//! What the page has in the ledger, and the count that is kept for it.

use chrono::TimeDelta;

use super::*;

#[tokio::test]
async fn a_new_password_ends_all_sessions_and_a_first_one_is_set_once() {
    let house = House::new().await;
    let visitor = Ledger::visit(&file(&house.folder)).await.unwrap();
    assert_eq!(visitor.page_password().await.unwrap(), None);
    assert!(visitor.set_first_page_password("one").await.unwrap());
    assert!(!visitor.set_first_page_password("two").await.unwrap());
    let (mine, yours, later) = ([1; 32], [2; 32], house.now + TimeDelta::days(30));
    visitor.sign_in(&mine, house.now, later).await.unwrap();
    visitor.sign_in(&yours, house.now, later).await.unwrap();
    assert!(visitor.is_signed_in(&mine, house.now).await.unwrap());
    assert!(!visitor.is_signed_in(&mine, later).await.unwrap(), "it has an end");
    assert!(!visitor.is_signed_in(&[3; 32], house.now).await.unwrap());
    visitor.sign_out(&mine).await.unwrap();
    assert!(!visitor.is_signed_in(&mine, house.now).await.unwrap());
    assert!(visitor.is_signed_in(&yours, house.now).await.unwrap());
    visitor.set_page_password("three").await.unwrap();
    assert!(!visitor.is_signed_in(&yours, house.now).await.unwrap());
    assert_eq!(visitor.page_password().await.unwrap().as_deref(), Some("three"));
}

async fn delivered(house: &House) -> u64 {
    house.ledger.report().status().await.unwrap().accounts[0].delivered
}

#[tokio::test]
async fn what_is_delivered_is_counted_whatever_becomes_of_it() {
    let mut house = House::new().await;
    house.poll(&vec![("u1", 10, "one"), ("u2", 10, "two")]).await;
    house.poll(&vec![("u1", 10, "one"), ("u2", 10, "two"), ("u3", 10, "three")]).await;
    assert_eq!(delivered(&house).await, 3);
    // A ledger from before the count was kept.
    let before = "
        DROP TRIGGER deliveries_born; DROP TRIGGER deliveries_turned; DROP TRIGGER deliveries_gone;
        ALTER TABLE accounts DROP COLUMN delivered; DROP TABLE page; DROP TABLE sessions;
        DELETE FROM _sqlx_migrations WHERE version = 3";
    let older = house.ledger.write(Outlives::Power, move |connection| {
        Box::pin(async move { sqlx::raw_sql(before).execute(connection).await.map(drop) })
    });
    older.await.unwrap();
    house.ledger.close().await.unwrap();
    let house = House::at(house.folder, house.now).await;
    assert_eq!(delivered(&house).await, 3, "it is made up for");
    house.ledger.forget(&account()).await.unwrap();
    assert!(house.ledger.report().status().await.unwrap().accounts.is_empty());
}

#[tokio::test]
async fn a_revision_of_a_sign_in_never_comes_again() {
    use crate::auth::{Holder, Stored, TokenStore};
    let house = House::new().await;
    let tokens = Tokens::at(&file(&house.folder));
    let holder = Holder::account("work");
    let stored = |sealed: &[u8]| {
        let (consented_at, ends_at, ended) = (house.now, None, None);
        Stored { sealed: sealed.to_vec(), revision: 0, consented_at, ends_at, ended }
    };
    assert!(tokens.is_empty().await.unwrap());
    tokens.save(&holder, stored(b"first"), None).await.unwrap();
    assert!(!tokens.is_empty().await.unwrap());
    let under_way = tokens.load(&holder).await.unwrap().unwrap().revision;
    // It is signed out, and somebody signs in anew, while the first one is being renewed.
    tokens.remove(&holder).await.unwrap();
    tokens.save(&holder, stored(b"second"), None).await.unwrap();
    assert!(!tokens.save(&holder, stored(b"first, renewed"), Some(under_way)).await.unwrap());
    assert_eq!(tokens.load(&holder).await.unwrap().unwrap().sealed, b"second");
}
