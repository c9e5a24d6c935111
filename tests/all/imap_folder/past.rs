//! Deliveries of an unknown past, on a real Dovecot.

use mailferry::message::{Found, Mark, Receipt, Sought};
use mailferry::net::Tls;

use super::{all_delivered, deliver, folders_of, marks, messages, route, sought};
use crate::dovecot::Dovecot;

fn uid(found: &Found) -> Option<u32> {
    match found {
        Found::Found { receipt: Receipt::Uid { uid, .. } } => Some(*uid),
        _ => None,
    }
}

#[tokio::test]
async fn what_was_delivered_is_found_once_and_nothing_else() {
    let dovecot = Dovecot::start();
    let imap = folders_of("ann", dovecot.imap, Tls::None, None);
    let mail = |n: usize| format!("Message-ID: <{n}@x>\r\n\r\n{}\r\n", n % 10);
    let mails = messages(&(0..100).map(mail).collect::<Vec<_>>()).await;
    let before = folders_of("ann", dovecot.imap, Tls::None, None);
    assert!(all_delivered(&deliver(&before, &route("INBOX"), &mails[..60]).await));
    let mut marked = marks(&imap, &route("INBOX"), &mails).await;
    // Nothing is known of the folder: it is looked through from the start.
    for mark in &mut marked {
        mark.uid_next = 1;
    }
    let found: Vec<Option<u32>> = imap.look_for_past(&sought(&marked), &[7]).await.iter().map(uid).collect();
    let mut wanted: Vec<Option<u32>> = (1..=60).map(Some).chain([None; 40]).collect();
    wanted[6] = None;
    assert_eq!(found, wanted, "UID 7 is another delivery's, and 40 were never delivered");

    let again = imap.look_for_past(&sought(&marked), &[]).await;
    assert!(again.iter().all(|found| *found == Found::Absent), "a UID is given out once: {again:?}");
}

#[tokio::test]
async fn only_the_unknown_part_of_the_past_is_looked_through() {
    let dovecot = Dovecot::start();
    let imap = folders_of("ann", dovecot.imap, Tls::None, None);
    let same = "Message-ID: <1@x>\r\n\r\nthe same\r\n";
    let mails = messages(&[same]).await;
    let before = folders_of("ann", dovecot.imap, Tls::None, None);
    for _ in 0..3 {
        assert!(all_delivered(&deliver(&before, &route("INBOX"), &mails).await));
    }
    let mark = Mark { uid_next: 3, ..marks(&imap, &route("INBOX"), &mails).await[0].clone() };
    let look =
        async |mark: &Mark| uid(&imap.look_for_past(&sought(std::slice::from_ref(mark)), &[]).await[0]);
    assert_eq!(look(&mark).await, Some(3));
    assert_eq!(look(&mark).await, None, "1 and 2 are known to the ledger");
    // Another account knows less, so the index grows backwards, but not over what came since.
    assert!(all_delivered(&deliver(&imap, &route("INBOX"), &mails).await));
    let other = Mark { uid_validity: mark.uid_validity + 1, ..mark.clone() };
    assert_eq!(look(&other).await, Some(1));
    assert_eq!(look(&other).await, Some(2));
    assert_eq!(look(&other).await, None);
}

#[tokio::test]
async fn copies_of_twins_are_left_to_them() {
    let dovecot = Dovecot::start();
    let imap = folders_of("ann", dovecot.imap, Tls::None, None);
    let mails = messages(&["Message-ID: <1@x>\r\n\r\nthe same\r\n"]).await;
    let before = folders_of("ann", dovecot.imap, Tls::None, None);
    for _ in 0..3 {
        assert!(all_delivered(&deliver(&before, &route("INBOX"), &mails).await));
    }
    let mark = Mark { uid_next: 3, ..marks(&imap, &route("INBOX"), &mails).await[0].clone() };
    let look = async |twins: &[u32]| {
        let sought = Sought { mark: mark.clone(), twins: twins.to_vec() };
        uid(&imap.look_for_past(&[sought], &[]).await[0])
    };
    assert_eq!(look(&[1, 1, 1]).await, None, "all are theirs");
    assert_eq!(look(&[3, 1, 1]).await, None, "one of them is not below 3");
    assert_eq!(look(&[1, 2]).await, Some(3), "two of them are");
    assert_eq!(look(&[]).await, None, "1 and 2 are known to the ledger");
    let anywhere = Mark { uid_next: 1, ..mark.clone() };
    let sought = Sought { mark: anywhere, twins: vec![2] };
    assert_eq!(uid(&imap.look_for_past(&[sought], &[]).await[0]), Some(1), "2 is the other's");
}
