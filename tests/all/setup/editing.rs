//! `edit` at a terminal: all that the form of the page has, with what is known as the default.

use std::fs;

use super::{add, house};
use crate::dovecot::{Dovecot, PASSWORD};
use crate::ferry::{Ferry, message};
use crate::terminal::{DOWN, Terminal};
use rustix::process::Signal;

fn read(ferry: &Ferry, name: &str) -> String {
    fs::read_to_string(ferry.folder().join(format!("accounts.d/{name}.toml"))).unwrap()
}

#[tokio::test]
async fn all_of_an_account_is_asked_where_nothing_is_said() {
    let server = Dovecot::start();
    let ferry = house(&server);
    add(&ferry, &server, "you", &["--leave-copy", "36h", "--folder", "Old"]).await.expect_code(0);
    let before = read(&ferry, "you");
    let ran = ferry.run(&["edit", "you"]).await.expect_code(64);
    assert!(ran.stderr.contains("nothing was said to be changed"), "{ran:?}");

    // Whoever takes all that is offered changes nothing.
    let mut terminal = Terminal::start(&ferry.command(&["edit", "you"]));
    as_it_is(&mut terminal).await;
    terminal.wait_for("as it is: 1d12h").await;
    terminal.answer("").await;
    terminal.at("Import", "").await;
    terminal.at("Deliver to", "").await;
    terminal.at("Folder", "").await;
    terminal.at("Mark as read?", "").await;
    terminal.at("into the junk folder?", "").await;
    let (code, shown) = terminal.end().await;
    assert!(code == 0 && shown.contains("Nothing was changed."), "{shown}");
    assert_eq!(read(&ferry, "you"), before);

    let mut terminal = Terminal::start(&ferry.command(&["edit", "you"]));
    as_it_is(&mut terminal).await;
    terminal.at("Leave a copy", DOWN).await;
    terminal.at("Import", DOWN).await;
    terminal.at("Deliver to", DOWN).await;
    terminal.at("A name for it", "away").await;
    terminal.at("User name there", "they").await;
    terminal.unseen_at("Password there", PASSWORD).await;
    terminal.at("IMAP server", "127.0.0.1").await;
    terminal.at("Encryption", &format!("{DOWN}{DOWN}")).await;
    terminal.at("Port", &format!("{}{}", "\x7f".repeat(5), server.imap)).await;
    terminal.at("Folder", "").await;
    terminal.wait_for("Mark as read?").await;
    terminal.press("y").await;
    terminal.wait_for("into the junk folder?").await;
    terminal.press("n").await;
    let (code, shown) = terminal.end().await;
    assert!(code == 0 && shown.contains("Changed "), "{shown}");
    assert!(shown.contains("Import counts when a mailbox is checked for the first time"), "{shown}");
    let text = read(&ferry, "you");
    assert!(text.contains("leave_copy = true") && text.contains("import = \"new\""), "{text}");
    assert!(text.contains("to = \"away\"") && text.contains("mark_read = true"), "{text}");
    ferry.run(&["check"]).await.expect_code(0);
}

/// Up to what becomes of the mail.
async fn as_it_is(terminal: &mut Terminal) {
    terminal.at("User name", "").await;
    terminal.at("POP3 server", "").await;
    terminal.at("Encryption", "").await;
    terminal.at("Port", "").await;
    terminal.unseen_at("New password", "").await;
}

#[tokio::test]
async fn an_account_with_a_new_password_is_checked_at_once() {
    let server = Dovecot::start();
    server.put("you", &[message(1)]);
    let ferry = house(&server);
    add(&ferry, &server, "you", &[]).await.expect_code(0);
    fs::write(ferry.folder().join("accounts.d/you.password"), "that of last year\n").unwrap();
    let mut daemon = ferry.start(&["run"]);
    daemon.wait_for("the login was refused").await;
    ferry.run(&["edit", "you", "--password-file", "password"]).await.expect_code(0);
    daemon.wait_for("delivered=1").await;
    daemon.signal(Signal::TERM);
    daemon.end().await.expect_code(0);
}
