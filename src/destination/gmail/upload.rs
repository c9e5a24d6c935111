//! A large message, piece by piece, going on where the last piece ended when the line is cut: the resumable upload of
//! <https://developers.google.com/workspace/gmail/api/guides/uploads#resumable>.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE};
use reqwest::{Method, Url};

use super::super::body::Body;
use super::answer::Answer;
use super::api::{Api, Fault, Request};
use crate::message::Message;

/// Octets of a piece, a multiple of 256 KiB as Google wants it: in memory as long as it is on its way.
const PIECE: u64 = 2 << 20;

/// So often in a row nothing may come of a request before the upload is given up.
const SETBACKS: u32 = 4;

/// How long until the first of them is made good; each next one takes twice as long.
const PAUSE: Duration = Duration::from_millis(500);

/// "Resume Incomplete": so it is called there, whatever RFC 9110 calls it.
const INCOMPLETE: u16 = 308;

/// So many uploads are begun for a message whose upload is forgotten before its end.
const UPLOADS: usize = 2;

/// Uploads a message in a session that `begin` asks for, in another one where that is lost, and returns the answer to
/// the last of it, or to what was refused: never one that says that something is missing.
///
/// # Errors
/// Any [`Fault`].
pub async fn upload(api: &Api, begin: &Request, message: &Message) -> Result<Answer, Fault> {
    let mut is_in_doubt = false;
    let outcome = upload_in(api, begin, message, &mut is_in_doubt).await;
    if !is_in_doubt {
        return outcome;
    }
    // What was sent may have arrived: what another request is told, or that it cannot be made, says nothing of that.
    match outcome {
        Ok(answer) if !answer.is_success() && !answer.is_about_message() => {
            Err(Fault::Lost(format!("an answer was lost, and the next one is HTTP {}", answer.status)))
        }
        Err(Fault::SignIn(error)) => Err(Fault::Lost(error.to_string())),
        Err(Fault::NoConnection(why)) => Err(Fault::Lost(why)),
        Err(Fault::Source(fault)) => Err(Fault::Lost(format!("an answer was lost, and {fault}"))),
        outcome => outcome,
    }
}

/// `is_in_doubt` is whether the message may have arrived without an answer that says so, by any of these uploads.
async fn upload_in(
    api: &Api,
    begin: &Request,
    message: &Message,
    is_in_doubt: &mut bool,
) -> Result<Answer, Fault> {
    let mut last = Answer::default();
    for _ in 0..UPLOADS {
        let begun = api.send(begin).await?;
        if !begun.is_success() {
            return Ok(begun);
        }
        let session = session(api, &begun).ok_or_else(|| Fault::Lost("no upload was begun for it".into()))?;
        let answer = upload_to(&session, api, message, is_in_doubt).await?;
        if !answer.is_about_an_upload() {
            return Ok(answer);
        }
        last = answer;
    }
    match last.status {
        // That says nothing of the message, nor of the API: it was there when the uploads began.
        404 | 410 => Err(Fault::Lost(format!(
            "{UPLOADS} uploads of it in a row were given up there, the last with HTTP {}",
            last.status
        ))),
        _ => Ok(last),
    }
}

async fn upload_to(
    session: &Url,
    api: &Api,
    message: &Message,
    is_in_doubt: &mut bool,
) -> Result<Answer, Fault> {
    let all = message.octets();
    let (mut at, mut setbacks, mut is_sure) = (0, 0, true);
    // A server that takes a little less than each piece is given twice the time.
    for _ in 0..2 * all.div_ceil(PIECE) + u64::from(4 * SETBACKS) {
        let request = match is_sure {
            true => piece(session, message, at).await.map_err(Fault::Source)?,
            false => question(session, message),
        };
        let outcome = api.send(&request).await;
        let reached = outcome.as_ref().ok().and_then(|answer| reached(answer, all));
        let is_short = reached.is_some_and(|octets| octets < all);
        if is_sure && all - at <= PIECE && !is_short {
            // What went out was the rest of it. Whatever is said later, that may be under way still.
            *is_in_doubt |=
                matches!(outcome, Err(Fault::Lost(_)) | Ok(Answer { status: INCOMPLETE | 500.., .. }));
        }
        match (&outcome, reached) {
            (Ok(_), Some(next)) if next > at => (at, setbacks, is_sure) = (next, 0, true),
            // Not a piece further; or further back than it was.
            (Ok(_), Some(next)) => (at, setbacks, is_sure) = (next, setbacks + 1, true),
            // Nor where it says how far it is in a way that nobody understands.
            (
                Ok(Answer { status: INCOMPLETE | 500.., .. }) | Err(Fault::Lost(_) | Fault::NoConnection(_)),
                _,
            ) => (setbacks, is_sure) = (setbacks + 1, false),
            _ => return outcome,
        }
        if setbacks > SETBACKS {
            return given_up(outcome);
        }
        if setbacks > 0 {
            tokio::time::sleep(PAUSE * 2u32.pow(setbacks - 1)).await;
        }
    }
    Err(Fault::Lost("the upload does not come to its end".into()))
}

/// What is left of an upload that gets no further. What was sent before may have arrived, whatever happened last.
fn given_up(outcome: Result<Answer, Fault>) -> Result<Answer, Fault> {
    match outcome {
        Ok(Answer { status: INCOMPLETE, .. }) => {
            Err(Fault::Lost(format!("the upload stands still (HTTP {INCOMPLETE})")))
        }
        Err(Fault::NoConnection(why)) => Err(Fault::Lost(why)),
        other => other,
    }
}

/// The address of an upload that has begun. It is good for mail, so it must be the API's own.
fn session(api: &Api, begun: &Answer) -> Option<Url> {
    let location = String::from_utf8(begun.location.clone()?).ok()?;
    let session = api.url.join(&location).ok()?;
    api.is_ours(&session).then_some(session)
}

/// The piece that begins at that octet.
async fn piece(session: &Url, message: &Message, at: u64) -> io::Result<Request> {
    let (octets, all) = (octets(message, at).await?, message.octets());
    let range = match octets.len() as u64 {
        0 => format!("bytes */{all}"),
        length => format!("bytes {at}-{}/{all}", at + length - 1),
    };
    Ok(put(session, range, Body::of(octets)))
}

/// Asks how much has arrived.
fn question(session: &Url, message: &Message) -> Request {
    put(session, format!("bytes */{}", message.octets()), Body::default())
}

fn put(session: &Url, range: String, body: Body) -> Request {
    let fields = vec![(CONTENT_TYPE, "message/rfc822".to_owned()), (CONTENT_RANGE, range)];
    Request { method: Method::PUT, url: session.clone(), fields, body }
}

async fn octets(message: &Message, at: u64) -> io::Result<Bytes> {
    let (mut piece, mut chunks) = (BytesMut::new(), message.chunks_from(at));
    while (piece.len() as u64) < PIECE
        && let Some(chunk) = chunks.next().await?
    {
        piece.extend_from_slice(&chunk);
    }
    Ok(piece.freeze())
}

/// How many octets have arrived, where the answer says that some are missing: `Range: bytes=0-41` is 42, no such field none.
fn reached(answer: &Answer, all: u64) -> Option<u64> {
    if answer.status != INCOMPLETE {
        return None;
    }
    let Some(range) = &answer.range else { return Some(0) };
    let last = std::str::from_utf8(range).ok()?.trim().strip_prefix("bytes=0-")?.parse::<u64>().ok()?;
    last.checked_add(1).filter(|reached| *reached <= all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_arrived_is_read_off_the_range_and_nothing_else_is_believed() {
        let reached = |status, range: Option<&str>| {
            let range = range.map(|range| range.as_bytes().to_owned());
            reached(&Answer { status, range, ..Answer::default() }, 1000)
        };
        assert_eq!(reached(308, Some("bytes=0-41")), Some(42));
        assert_eq!(reached(308, Some("bytes=0-999")), Some(1000));
        assert_eq!(reached(308, None), Some(0));
        assert_eq!(reached(200, Some("bytes=0-41")), None);
        for nonsense in ["bytes=0-1000", "bytes=5-41", "bytes=0--1", "0-41", "bytes=0-99999999999999999999"] {
            assert_eq!(reached(308, Some(nonsense)), None, "{nonsense}");
        }
    }
}
