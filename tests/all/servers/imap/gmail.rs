//! Gmail's ways, as <https://developers.google.com/workspace/gmail/imap/imap-extensions> has them: labels, a folder for all
//! mail, and of two messages with one Message-ID only the first.

use super::{Mail, Session, first_string};

/// What Gmail says that it can do, once somebody is logged in.
const GMAIL: &str = "IMAP4rev1 SASL-IR AUTH=PLAIN UNSELECT IDLE NAMESPACE QUOTA ID XLIST CHILDREN X-GM-EXT-1 UIDPLUS \
    COMPRESS=DEFLATE ENABLE MOVE CONDSTORE ESEARCH UTF8=ACCEPT LIST-EXTENDED LIST-STATUS LITERAL- SPECIAL-USE \
    APPENDLIMIT=35651584";

/// Of an account whose language is German.
pub(super) const SPECIAL_USE: [&str; 4] = [
    "* LIST (\\HasNoChildren) \"/\" \"INBOX\"",
    "* LIST (\\HasChildren \\Noselect) \"/\" \"[Gmail]\"",
    "* LIST (\\All \\HasNoChildren) \"/\" \"[Gmail]/Alle Nachrichten\"",
    "* LIST (\\HasNoChildren \\Junk) \"/\" \"[Gmail]/Spam\"",
];

impl Mail {
    pub fn is_gmail(&self) -> bool {
        self.ways.capabilities.contains("X-GM-EXT-1")
    }

    /// Gmail, with the folders that it always has.
    pub fn be_gmail(&mut self) {
        self.ways.capabilities = GMAIL;
        for name in ["[Gmail]/Alle Nachrichten", "[Gmail]/Spam"] {
            self.make(name);
        }
    }

    /// A message that is there already, under any label, is shown in this folder too; one that is in it is thrown away
    /// (D04).
    pub(super) fn append_and_merge(&mut self, name: &str, messages: &[Vec<u8>]) -> String {
        let [message] = messages else { return "BAD one message at a time".to_owned() };
        let id = message_id(message);
        let is_same = |other: &[u8]| id.is_some() && message_id(other) == id;
        let known = self.all().into_iter().find(|other| is_same(other));
        let folder = self.folder(name);
        if folder.all().any(is_same) {
            // It tells a UID that nothing will ever have.
            folder.uid_next += 1;
            return format!("OK [APPENDUID {} {}] (Success)", folder.uid_validity, folder.uid_next - 1);
        }
        let uid = folder.store(known.unwrap_or_else(|| message.clone()));
        let told = format!("OK [APPENDUID {} {uid}] (Success)", folder.uid_validity);
        if let Some(elsewhere) = self.ways.moves_at_once {
            let moved = self.folder(name).messages.pop().map(|stored| stored.bytes);
            self.folder(elsewhere).store(moved.unwrap_or_default());
        }
        told
    }

    fn label(&mut self, folder: &str, uids: &[u32], labels: &[String]) {
        let stored = self.folder(folder).messages.iter().filter(|stored| uids.contains(&stored.uid));
        let messages: Vec<Vec<u8>> = stored.map(|stored| stored.bytes.clone()).collect();
        for message in messages {
            self.labels.entry(message).or_default().extend(labels.iter().cloned());
        }
    }
}

impl Session {
    /// `UID STORE set +X-GM-LABELS ("one" "two")`: the labels must be there.
    pub(super) async fn store_labels(&mut self, rest: &str) -> Option<String> {
        let (set, labels) = rest.strip_prefix("STORE ")?.split_once(" +X-GM-LABELS (")?;
        let uids: Vec<u32> = set.split(',').map(|uid| uid.parse().expect("a UID")).collect();
        let labels: Vec<String> = labels.split('"').skip(1).step_by(2).map(str::to_owned).collect();
        {
            let mut mail = self.mail.lock().unwrap();
            if mail.ways.drops_labels {
                return None;
            }
            let unknown = labels.iter().find(|label| !mail.folders.contains_key(*label));
            let refusal = match (mail.ways.refuses_labels, unknown) {
                (Some(refusal), _) => Some(refusal.to_owned()),
                (None, Some(label)) => Some(format!("NO there is no label {label}")),
                (None, None) if self.is_read_only => Some("NO the folder is open read-only".to_owned()),
                (None, None) => None,
            };
            if refusal.is_some() {
                return refusal;
            }
            mail.label(&self.selected, &uids, &labels);
        }
        for uid in uids {
            // What async-imap's parser cannot read must not matter: a literal among the labels.
            self.conversation.say("* 1 FETCH (X-GM-LABELS (\"\\\\Inbox\" {7}").await?;
            self.conversation.say(format!("a \"b\" c \\Draft) UID {uid})")).await?;
        }
        Some("OK (Success)".to_owned())
    }

    /// `UID SEARCH HEADER MESSAGE-ID "<id>"`.
    pub(super) async fn search(&mut self, rest: &str) -> Option<String> {
        let wanted = first_string(rest.strip_prefix("SEARCH HEADER MESSAGE-ID ")?);
        let found: Vec<String> = {
            let mut mail = self.mail.lock().unwrap();
            let folder = mail.folder(&self.selected);
            let bears = |message: &[u8]| message_id(message).is_some_and(|id| id.contains(&wanted));
            let found = folder.messages.iter().filter(|stored| bears(&stored.bytes));
            found.map(|stored| stored.uid.to_string()).collect()
        };
        self.conversation.say(format!("* SEARCH {}", found.join(" "))).await?;
        Some("OK".to_owned())
    }
}

/// The Message-ID field of a message, as it stands there.
fn message_id(message: &[u8]) -> Option<String> {
    let header = String::from_utf8_lossy(message);
    let mut lines = header.lines().take_while(|line| !line.is_empty());
    lines.find(|line| line.to_ascii_lowercase().starts_with("message-id:")).map(str::to_owned)
}
