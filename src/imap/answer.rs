//! What a server's answers say: the end of a command, a refusal, the capabilities.

use async_imap::imap_proto::rfc4315::UidSetMember;
use async_imap::imap_proto::{Capability, Response, ResponseCode, Status};

use super::{Error, Refusal};

/// The end of a command: a tagged response.
#[derive(Debug)]
pub struct Done {
    refusal: Option<Refusal>,
    /// What the server says it can do from now on.
    pub capabilities: Option<Capabilities>,
    /// UIDVALIDITY and the UIDs, in order, of what an APPEND stored (RFC 4315). At most 1,024.
    pub appended: Option<(u32, Vec<u32>)>,
}

/// More UIDs than any APPEND here stores: what a server may make us allocate.
const MOST_UIDS: usize = 1024;

impl Done {
    /// The tag's number and the outcome, where `response` is the end of a command of ours.
    pub fn read(response: &Response<'_>) -> Option<(u32, Done)> {
        let Response::Done { tag, status, outcome } = response else { return None };
        let tag = tag.0.strip_prefix('M').and_then(|number| number.parse().ok()).unwrap_or(0);
        let text = outcome.information.as_deref().unwrap_or_default();
        let code = outcome.code.as_ref();
        let refusal = (*status != Status::Ok).then(|| refusal(*status == Status::Bad, code, text));
        let appended = match code {
            Some(ResponseCode::AppendUid(uid_validity, uids)) => {
                let uids = uids.iter().flat_map(|member| match member {
                    UidSetMember::Uid(uid) => *uid..=*uid,
                    UidSetMember::UidRange(range) => range.clone(),
                });
                Some((*uid_validity, uids.take(MOST_UIDS).collect()))
            }
            _ => None,
        };
        Some((tag, Done { refusal, capabilities: capabilities_in(code), appended }))
    }

    /// # Errors
    /// [`Error::Refused`] where it was.
    pub fn ok(self, command: &'static str) -> Result<Done, Error> {
        match self.refusal {
            Some(refusal) => Err(Error::Refused { command, refusal }),
            None => Ok(self),
        }
    }
}

pub fn capabilities_in(code: Option<&ResponseCode<'_>>) -> Option<Capabilities> {
    match code {
        Some(ResponseCode::Capabilities(listed)) => Some(Capabilities::read(listed)),
        _ => None,
    }
}

/// The parser knows few response codes and leaves the others at the start of the text.
pub fn refusal(bad: bool, code: Option<&ResponseCode<'_>>, text: &str) -> Refusal {
    if let Some(ResponseCode::TryCreate) = code {
        return Refusal { bad, code: Some("TRYCREATE".into()), text: text.to_owned() };
    }
    let cut = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let Some((code, text)) = cut else { return Refusal { bad, code: None, text: text.to_owned() } };
    let name = code.split(' ').next().unwrap_or_default().to_ascii_uppercase();
    Refusal { bad, code: Some(name), text: text.trim_start().to_owned() }
}

/// What a server can do, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Literals of any length need not wait for the server (RFC 7888).
    pub literal_plus: bool,
    /// The same up to 4096 octets.
    pub literal_minus: bool,
    /// Several messages in one APPEND, all or nothing (RFC 3502).
    pub multi_append: bool,
    /// APPEND says which UID it gave (RFC 4315).
    pub uid_plus: bool,
    /// The largest message that APPEND takes (RFC 7889).
    pub append_limit: Option<u64>,
    /// It tells prefix and separator of folder names (RFC 2342).
    pub namespace: bool,
    /// It says what its folders are for (RFC 6154).
    pub special_use: bool,
    /// LIST takes options (RFC 5258).
    pub list_extended: bool,
    /// It wants to know who asks (RFC 2971).
    pub id: bool,
    /// A folder can be left without an expunge (RFC 3691).
    pub unselect: bool,
    /// Gmail's extensions: labels, and a folder with all mail.
    pub gmail: bool,
    /// The mechanisms of AUTHENTICATE, in capitals. At most 32.
    pub mechanisms: Vec<String>,
    /// AUTHENTICATE takes its first answer along (RFC 4959).
    pub initial_response: bool,
    /// LOGIN is forbidden.
    pub login_disabled: bool,
}

/// More than any server has.
const MOST_MECHANISMS: usize = 32;

impl Capabilities {
    pub fn has_mechanism(&self, name: &str) -> bool {
        self.mechanisms.iter().any(|mechanism| mechanism == name)
    }

    pub fn read(listed: &[Capability<'_>]) -> Capabilities {
        let mut known = Capabilities::default();
        for capability in listed {
            match capability {
                Capability::Auth(mechanism) if known.mechanisms.len() < MOST_MECHANISMS => {
                    known.mechanisms.push(mechanism.to_ascii_uppercase());
                }
                Capability::Auth(_) => {}
                Capability::Atom(atom) => known.add(&atom.to_ascii_uppercase()),
                Capability::Imap4rev1 => {}
            }
        }
        known
    }

    fn add(&mut self, atom: &str) {
        match atom {
            "LITERAL+" => self.literal_plus = true,
            "LITERAL-" => self.literal_minus = true,
            "MULTIAPPEND" => self.multi_append = true,
            "UIDPLUS" => self.uid_plus = true,
            "NAMESPACE" => self.namespace = true,
            "SPECIAL-USE" => self.special_use = true,
            "LIST-EXTENDED" => self.list_extended = true,
            "ID" => self.id = true,
            "UNSELECT" => self.unselect = true,
            "X-GM-EXT-1" => self.gmail = true,
            "SASL-IR" => self.initial_response = true,
            "LOGINDISABLED" => self.login_disabled = true,
            _ => {
                if let Some(limit) = atom.strip_prefix("APPENDLIMIT=") {
                    self.append_limit = limit.parse().ok();
                }
            }
        }
    }
}
