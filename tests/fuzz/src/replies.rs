//! What an IMAP server answers: the guard, and the parser behind it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_imap::Client;
use futures_util::FutureExt;
use mailferry::imap::answer::Done;
use mailferry::imap::guard::Guard;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The first byte says how the rest comes in; whole and in pieces it must come to the same.
pub fn replies(input: &[u8]) {
    let Some((&how, answers)) = input.split_first() else { return };
    let step = usize::from(how) % 24 + 1;
    let (passed, whole) = (pass(answers, step), pass(answers, usize::MAX));
    assert_eq!(passed.is_err(), whole.is_err(), "in pieces of {step}");
    let responses = (parse(answers, step), parse(answers, usize::MAX));
    if let (Ok(passed), Ok(whole)) = (passed, whole) {
        assert_eq!(responses.0, responses.1, "in pieces of {step}");
        assert_eq!(passed, whole, "in pieces of {step}");
        assert_eq!(passed.len(), answers.len());
        let is_kept =
            |(&after, &before): (&u8, &u8)| after == before || after == b'?' && !(1..0x80).contains(&before);
        assert!(passed.iter().zip(answers).all(is_kept), "the guard changes what it should let pass");
    }
}

/// What comes through the guard.
fn pass(answers: &[u8], step: usize) -> io::Result<Vec<u8>> {
    let mut passed = Vec::new();
    let mut guard = Guard::new(Pieces { left: answers.to_vec(), step });
    let reading = guard.read_to_end(&mut passed).now_or_never();
    reading.expect("there is nothing to wait for").map(|_| passed)
}

/// The responses up to the first that is none, and the ends of commands among them.
fn parse(answers: &[u8], step: usize) -> Vec<String> {
    let mut client = Client::new(Guard::new(Pieces { left: answers.to_vec(), step }));
    let mut responses = Vec::new();
    while let Some(Ok(Some(response))) = client.read_response().now_or_never() {
        let response = response.parsed();
        if let Some((_, done)) = Done::read(response) {
            let uids = done.appended.as_ref().map_or(0, |(_, uids)| uids.len());
            assert!(uids <= 1024, "{uids} UIDs");
            if let Err(fault) = done.ok("APPEND") {
                assert!(super::is_showable(&fault.to_string()), "{fault}");
            }
        }
        responses.push(format!("{response:?}"));
    }
    responses
}

/// Bytes that come in so many at a time.
#[derive(Debug)]
struct Pieces {
    left: Vec<u8>,
    step: usize,
}

impl AsyncRead for Pieces {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let length = this.left.len().min(this.step).min(buf.remaining());
        buf.put_slice(&this.left[..length]);
        this.left.drain(..length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
