//! What a folder holds: its UIDs, sizes, Message-IDs, and the hash of a body.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use async_imap::imap_proto::{AttributeValue, MailboxDatum, Response, ResponseCode, StatusAttribute};

use super::mailbox::quote;
use super::{Error, Fingerprint, Mailbox, Purpose, Session};
use crate::net::within;

/// What identifies the messages that come next (RFC 3501 section 2.3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderState {
    pub uid_validity: u32,
    /// No message that comes next has a smaller UID.
    pub uid_next: u32,
}

/// A folder that is open, read-only.
#[derive(Clone, Copy, Debug)]
pub struct Examined {
    /// 0 where the server says none.
    pub uid_validity: u32,
    /// How many messages it holds.
    pub exists: u32,
}

/// Most messages of a folder that are looked at.
const MOST_MESSAGES: usize = 1_000_000;
/// Messages asked for in one command, and octets of a body in one response.
const AT_ONCE: usize = 256;
const PIECE: u64 = 256 << 10;
/// How long a server may take over one FETCH: it may have to open every message for its size.
const FETCHING: Duration = Duration::from_secs(600);

impl Session {
    /// # Errors
    /// [`Error::Refused`] where there is no such folder, and those that end the session.
    pub async fn status(&mut self, mailbox: &Mailbox) -> Result<FolderState, Error> {
        // A server that leaves UIDNEXT out is looked through from the start.
        let mut state = FolderState { uid_validity: 0, uid_next: 1 };
        let command = format!("STATUS {} (UIDVALIDITY UIDNEXT)", mailbox.as_str());
        self.run("STATUS", &command, |response| {
            let Response::MailboxData(MailboxDatum::Status { status, .. }) = response else { return };
            for attribute in status {
                match attribute {
                    StatusAttribute::UidValidity(uid_validity) => state.uid_validity = *uid_validity,
                    StatusAttribute::UidNext(uid_next) => state.uid_next = *uid_next,
                    _ => {}
                }
            }
        })
        .await?;
        Ok(state)
    }

    /// Opens a folder to look around in it: EXAMINE changes nothing there.
    ///
    /// # Errors
    /// [`Error::Refused`], and those that end the session.
    pub async fn examine(&mut self, mailbox: &Mailbox) -> Result<Examined, Error> {
        let mut folder = Examined { uid_validity: 0, exists: 0 };
        self.run("EXAMINE", &format!("EXAMINE {}", mailbox.as_str()), |response| match response {
            Response::MailboxData(MailboxDatum::Exists(number)) => folder.exists = *number,
            Response::Data { outcome, .. } => {
                if let Some(ResponseCode::UidValidity(number)) = outcome.code {
                    folder.uid_validity = number;
                }
            }
            _ => {}
        })
        .await?;
        Ok(folder)
    }

    /// The folder that is for this, where the server says which one is (RFC 6154 section 2).
    pub async fn special(&mut self, purpose: &Purpose) -> Result<Option<Mailbox>, Error> {
        let mut special = None;
        let able = self.capabilities();
        // Where LIST takes no options, who can tell does so unasked.
        let list = match (able.special_use, able.list_extended) {
            (false, _) => return Ok(special),
            (true, true) => "LIST \"\" \"*\" RETURN (SPECIAL-USE)",
            (true, false) => "LIST \"\" \"*\"",
        };
        self.run("LIST", list, |response| {
            if let Response::MailboxData(MailboxDatum::List(list)) = response
                && list.name_attributes.contains(purpose)
                && special.is_none()
            {
                special = Mailbox::told(&list.name);
            }
        })
        .await?;
        Ok(special)
    }

    /// Whether there is such a folder, for when it cannot be opened.
    pub async fn exists(&mut self, mailbox: &Mailbox) -> Result<bool, Error> {
        let mut exists = false;
        self.run("LIST", &format!("LIST \"\" {}", mailbox.as_str()), |response| {
            exists |= matches!(response, Response::MailboxData(MailboxDatum::List(_)));
        })
        .await?;
        Ok(exists)
    }

    /// UID and RFC822.SIZE of every message from UID `from` on in the open folder, at most 1,000,000. A size is in
    /// octets on most servers, not on all.
    pub async fn sizes(&mut self, folder: &Examined, from: u32) -> Result<Vec<(u32, u64)>, Error> {
        let mut rows = Vec::new();
        // A range over an empty folder is an error to some servers.
        if folder.exists == 0 {
            return Ok(rows);
        }
        let command = format!("UID FETCH {from}:* (UID RFC822.SIZE)");
        self.fetch(&command, |response| {
            let Some((uid, attributes)) = fetched(response) else { return };
            let size = attributes.iter().find_map(|attribute| match attribute {
                AttributeValue::Rfc822Size(size) => Some(u64::from(*size)),
                _ => None,
            });
            // `n:*` returns the last message even where its UID is below n.
            if let Some(size) = size
                && uid >= from
                && rows.len() < MOST_MESSAGES
            {
                rows.push((uid, size));
            }
        })
        .await?;
        Ok(rows)
    }

    /// UIDs of at most 256 messages in the open folder that have this Message-ID, as it stands in their header. `None`: it
    /// cannot be asked for.
    pub async fn uids_of(&mut self, message_id: &str) -> Result<Option<Vec<u32>>, Error> {
        // What cannot stand in a quoted string is no Message-ID that a server would find.
        if !message_id.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Ok(None);
        }
        let mut found = Vec::new();
        let command = format!("UID SEARCH HEADER MESSAGE-ID {}", quote(message_id));
        self.run("SEARCH", &command, |response| {
            if let Response::MailboxData(MailboxDatum::Search(uids)) = response {
                found.extend(uids.iter().copied().take(AT_ONCE - found.len()));
            }
        })
        .await?;
        Ok(Some(found))
    }

    /// What `read` makes out of each message's header in the open folder, which has only the `fields` of these names in it.
    pub async fn headers<T>(
        &mut self,
        uids: &[u32],
        fields: &str,
        read: impl Fn(&[u8]) -> T,
    ) -> Result<HashMap<u32, T>, Error> {
        let mut headers = HashMap::new();
        for uids in uids.chunks(AT_ONCE) {
            let command = format!("UID FETCH {} (UID BODY.PEEK[HEADER.FIELDS ({fields})])", set(uids));
            self.fetch(&command, |response| {
                if let Some((uid, attributes)) = fetched(response)
                    && let Some(header) = body(attributes)
                    && uids.contains(&uid)
                {
                    headers.insert(uid, read(header));
                }
            })
            .await?;
        }
        Ok(headers)
    }

    /// The [`Fingerprint`] of each message in the open folder that has exactly the octets given with its UID; a UID may
    /// stand there with several. Bodies are read in pieces: none is ever in memory as a whole.
    pub async fn hashes(&mut self, wanted: &[(u32, u64)]) -> Result<HashMap<u32, [u8; 32]>, Error> {
        let (small, large): (Vec<_>, Vec<_>) =
            wanted.iter().copied().partition(|(_, octets)| *octets < PIECE);
        let mut hashes = HashMap::new();
        for wanted in small.chunks(AT_ONCE) {
            let uids: BTreeSet<u32> = wanted.iter().map(|(uid, _)| *uid).collect();
            let command = format!("UID FETCH {} (UID BODY.PEEK[]<0.{PIECE}>)", set(&uids));
            self.fetch(&command, |response| {
                if let Some((uid, attributes)) = fetched(response)
                    && let Some(body) = body(attributes)
                    && wanted.contains(&(uid, body.len() as u64))
                {
                    hashes.insert(uid, Fingerprint::of(body));
                }
            })
            .await?;
        }
        for (uid, octets) in large {
            if let Some(hash) = self.hash_in_pieces(uid, "", octets).await? {
                hashes.insert(uid, hash);
            }
        }
        Ok(hashes)
    }

    /// The [`Fingerprint`] of a message's body in the open folder, if it has exactly so many octets.
    pub async fn body_hash(&mut self, uid: u32, octets: u64) -> Result<Option<[u8; 32]>, Error> {
        self.hash_in_pieces(uid, "TEXT", octets).await
    }

    async fn hash_in_pieces(
        &mut self,
        uid: u32,
        section: &str,
        octets: u64,
    ) -> Result<Option<[u8; 32]>, Error> {
        let (mut hash, mut at) = (Fingerprint::default(), 0);
        // One octet beyond the end is asked for, to see that it is the end.
        while at <= octets {
            let mut got = 0;
            let command = format!("UID FETCH {uid} (UID BODY.PEEK[{section}]<{at}.{PIECE}>)");
            self.fetch(&command, |response| {
                if let Some((found, attributes)) = fetched(response)
                    && let Some(piece) = body(attributes)
                    && found == uid
                    && got == 0
                {
                    got = piece.len() as u64;
                    hash.update(piece);
                }
            })
            .await?;
            at += got;
            if got < PIECE {
                break;
            }
        }
        Ok((at == octets).then(|| hash.finish()))
    }

    async fn fetch(&mut self, command: &str, see: impl FnMut(&Response<'_>)) -> Result<(), Error> {
        let fetch = self.run_patiently("UID FETCH", command, see);
        within(FETCHING, "looking through the folder", fetch).await.map(drop)
    }

    /// Leaves the folder, so that the session is as it was.
    pub async fn close(&mut self) -> Result<(), Error> {
        // On a folder opened read-only, CLOSE expunges nothing (RFC 3501 section 6.4.2).
        self.run("CLOSE", "CLOSE", |_| {}).await.map(drop)
    }
}

fn fetched<'r>(response: &'r Response<'_>) -> Option<(u32, &'r [AttributeValue<'r>])> {
    let Response::Fetch(_, attributes) = response else { return None };
    let uid = attributes.iter().find_map(|attribute| match attribute {
        AttributeValue::Uid(uid) => Some(*uid),
        _ => None,
    })?;
    Some((uid, attributes))
}

fn body<'r>(attributes: &'r [AttributeValue<'r>]) -> Option<&'r [u8]> {
    attributes.iter().find_map(|attribute| match attribute {
        AttributeValue::BodySection { data, .. } => Some(data.as_deref().unwrap_or_default()),
        _ => None,
    })
}

fn set<'a>(uids: impl IntoIterator<Item = &'a u32>) -> String {
    uids.into_iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}
