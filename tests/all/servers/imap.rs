//! IMAP (RFC 3501) as far as a destination needs it: APPEND, and a look at what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use chrono::{DateTime, Utc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Conversation;
use crate::world;

mod gmail;

/// Ends with the test's runtime.
pub struct Imap {
    pub port: u16,
    mail: Arc<Mutex<Mail>>,
}

/// What the server holds, and its ways.
#[derive(Default)]
pub struct Mail {
    pub folders: BTreeMap<String, Folder>,
    /// Those of another user, where UIDs begin with the same numbers.
    pub others: BTreeMap<String, Folder>,
    /// On Gmail: the labels of messages, beside their folders.
    pub labels: BTreeMap<Vec<u8>, BTreeSet<String>>,
    /// What clients said of themselves (ID).
    pub introduced: Vec<String>,
    pub ways: Ways,
    /// Messages that were appended, and EXAMINE commands, so far.
    pub appended: usize,
    /// How often it has lost its patience: see [`Ways::patience`].
    pub hung_up: usize,
    pub examined: usize,
    /// The UIDVALIDITY of the next folder that is made.
    next_validity: u32,
    /// Cancelled where [`Mute::Hang`] begins.
    pub hangs: CancellationToken,
}

/// What comes instead of the answer to an APPEND.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mute {
    /// The end of the connection.
    Gone,
    /// Nothing, ever.
    Hang,
}

pub struct Folder {
    pub uid_validity: u32,
    pub uid_next: u32,
    pub messages: Vec<Stored>,
    /// Taken, but in nobody's view yet: see [`Ways::shows_late`].
    late: Vec<(DateTime<Utc>, Vec<u8>)>,
}

pub struct Stored {
    pub uid: u32,
    pub bytes: Vec<u8>,
}

/// How this server differs from Dovecot.
pub struct Ways {
    pub capabilities: &'static str,
    /// Capabilities are told to those who ask, and to nobody else.
    pub is_reserved: bool,
    /// What is appended can be seen only after [`Mail::reveal`].
    pub shows_late: bool,
    /// The answer to every EXAMINE and FETCH, such as `NO [SERVERBUG] not now`.
    pub refuses_look_ups: Option<&'static str>,
    /// The connection ends at every EXAMINE.
    pub drops_look_ups: bool,
    /// Once so many messages have been appended, the APPEND that did it is not answered.
    pub mute_after: Option<(usize, Mute)>,
    /// Whoever connects is hung up on.
    pub is_down: bool,
    /// The answer to every login, such as `NO [AUTHENTICATIONFAILED] no`.
    pub refuses_logins: Option<&'static str>,
    /// RFC822.SIZE is so much more than there are octets, as with Exchange.
    pub size_error: usize,
    /// NUL is stored as 0x80, as Dovecot does.
    pub rewrites_nul: bool,
    /// What it stores begins with [`ADDED`].
    pub adds_a_field: bool,
    /// The connection ends at APPEND of a message that holds the text, and nothing is stored.
    pub breaks_at: Option<&'static str>,
    /// The answer to APPEND of a message that holds the text.
    pub refuses: Option<(String, &'static str)>,
    /// After so many refusals in a session it hangs up, as Exchange does.
    pub patience: Option<usize>,
    /// The answer to every STORE of labels.
    pub refuses_labels: Option<&'static str>,
    /// The connection ends at every STORE of labels.
    pub drops_labels: bool,
    /// What is appended is in this folder before anybody can look.
    pub moves_at_once: Option<&'static str>,
}

impl Default for Ways {
    fn default() -> Ways {
        let capabilities = "IMAP4rev1 SASL-IR AUTH=PLAIN LITERAL+ MULTIAPPEND UIDPLUS NAMESPACE";
        Ways {
            capabilities,
            is_reserved: false,
            shows_late: false,
            refuses_look_ups: None,
            drops_look_ups: false,
            mute_after: None,
            is_down: false,
            refuses_logins: None,
            size_error: 0,
            rewrites_nul: false,
            adds_a_field: false,
            breaks_at: None,
            refuses: None,
            patience: None,
            refuses_labels: None,
            drops_labels: false,
            moves_at_once: None,
        }
    }
}

/// What a server may add to a message.
pub const ADDED: &[u8] = b"X-Taken-By: this server\r\n";

impl Ways {
    /// A message as it is stored.
    fn changed(&self, mut message: Vec<u8>) -> Vec<u8> {
        if self.rewrites_nul {
            message.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = 0x80);
        }
        if self.adds_a_field {
            message.splice(..0, ADDED.iter().copied());
        }
        message
    }
}

impl Folder {
    fn new(uid_validity: u32) -> Folder {
        Folder { uid_validity, uid_next: 1, messages: Vec::new(), late: Vec::new() }
    }

    /// Stores a message and returns its UID.
    pub fn store(&mut self, bytes: Vec<u8>) -> u32 {
        let uid = self.uid_next;
        self.messages.push(Stored { uid, bytes });
        self.uid_next += 1;
        uid
    }

    /// The messages, in view or not yet.
    pub fn all(&self) -> impl Iterator<Item = &[u8]> {
        let late = self.late.iter().map(|(_, bytes)| bytes.as_slice());
        self.messages.iter().map(|stored| stored.bytes.as_slice()).chain(late)
    }

    /// The folder was restored or rebuilt: all UIDs are new.
    pub fn renumber(&mut self) {
        self.uid_validity += 1;
        self.uid_next = 1;
        for stored in std::mem::take(&mut self.messages) {
            self.store(stored.bytes);
        }
    }
}

impl Mail {
    fn new() -> Mail {
        let folders = || BTreeMap::from([("INBOX".to_owned(), Folder::new(1_700_000_000))]);
        let next_validity = 1_700_000_001;
        Mail { folders: folders(), others: folders(), next_validity, ..Mail::default() }
    }

    /// Whoever logs in from now on is the other user.
    pub fn change_user(&mut self) {
        std::mem::swap(&mut self.folders, &mut self.others);
    }

    /// Whether the APPEND just made is one that is not answered: that happens once.
    fn mute(&mut self) -> Option<Mute> {
        let (_, mute) = self.ways.mute_after.take_if(|(after, _)| *after <= self.appended)?;
        if mute == Mute::Hang {
            self.hangs.cancel();
        }
        Some(mute)
    }

    /// Shows what was stored late.
    pub fn reveal(&mut self) {
        self.reveal_until(DateTime::<Utc>::MAX_UTC);
    }

    /// Shows what was stored late, up to then by the world's clock.
    pub fn reveal_until(&mut self, time: DateTime<Utc>) {
        for folder in self.folders.values_mut().chain(self.others.values_mut()) {
            for (_, bytes) in folder.late.extract_if(.., |(stored, _)| *stored <= time).collect::<Vec<_>>() {
                folder.store(bytes);
            }
        }
    }

    /// The folder, made if there is none.
    pub fn make(&mut self, name: &str) -> &mut Folder {
        self.next_validity += 1;
        self.folders.entry(name.to_owned()).or_insert_with(|| Folder::new(self.next_validity))
    }

    pub fn folder(&mut self, name: &str) -> &mut Folder {
        self.folders.get_mut(name).unwrap_or_else(|| panic!("no folder {name}"))
    }

    /// The messages of all folders, in view or not yet.
    pub fn all(&self) -> Vec<Vec<u8>> {
        let folders = self.folders.values();
        let all = folders.flat_map(|folder| folder.all().map(<[u8]>::to_vec));
        all.collect()
    }
}

impl Imap {
    pub async fn start() -> Imap {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mail = Arc::new(Mutex::new(Mail::new()));
        let served = Arc::clone(&mail);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let session = Session {
                    conversation: Conversation::new(tcp),
                    mail: Arc::clone(&served),
                    selected: String::new(),
                    is_read_only: true,
                    refusals: 0,
                };
                tokio::spawn(async { session.serve().await });
            }
        });
        Imap { port, mail }
    }

    /// Not to be held over an await.
    pub fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap()
    }
}

struct Session {
    conversation: Conversation,
    mail: Arc<Mutex<Mail>>,
    selected: String,
    is_read_only: bool,
    /// Commands that were refused so far.
    refusals: usize,
}

impl Session {
    async fn serve(mut self) -> Option<()> {
        if self.mail.lock().unwrap().ways.is_down {
            return None;
        }
        let greeting = format!("* OK {}ready", self.told_unasked());
        self.conversation.say(greeting).await?;
        loop {
            let (line, literals) = self.command().await?;
            let mut words = line.splitn(3, ' ');
            let (tag, command) = (words.next()?, words.next()?.to_ascii_uppercase());
            let rest = words.next().unwrap_or_default();
            let answer = match command.as_str() {
                "CAPABILITY" => {
                    let capabilities = self.capabilities();
                    self.conversation.say(format!("* CAPABILITY {capabilities}")).await?;
                    "OK".to_owned()
                }
                "AUTHENTICATE" => {
                    // RFC 4959: the initial response is an argument, else it is asked for.
                    if !rest.contains(' ') {
                        self.conversation.say("+ ").await?;
                        self.conversation.line().await?;
                    }
                    self.login()
                }
                "LOGIN" => self.login(),
                "NAMESPACE" => {
                    self.conversation.say("* NAMESPACE ((\"\" \"/\")) NIL NIL").await?;
                    "OK".to_owned()
                }
                "LIST" => self.list(rest).await?,
                "STATUS" => self.status(rest).await?,
                "EXAMINE" | "SELECT" => {
                    self.is_read_only = command == "EXAMINE";
                    self.examine(rest).await?
                }
                "CREATE" => self.create(rest),
                "APPEND" if self.breaks_at(&literals) => return None,
                "APPEND" => {
                    let answer = self.append(rest, literals);
                    let mute = self.mail.lock().unwrap().mute();
                    match mute {
                        Some(Mute::Gone) => return None,
                        Some(Mute::Hang) => std::future::pending().await,
                        None => answer,
                    }
                }
                "UID" if rest.starts_with("STORE ") => self.store_labels(rest).await?,
                "UID" if rest.starts_with("SEARCH ") => self.search(rest).await?,
                "UID" => self.fetch(rest).await?,
                "ID" => {
                    self.mail.lock().unwrap().introduced.push(rest.to_owned());
                    self.conversation.say("* ID ()").await?;
                    "OK".to_owned()
                }
                "LOGOUT" => {
                    self.conversation.say("* BYE").await?;
                    self.conversation.say(format!("{tag} OK")).await?;
                    return self.conversation.answers.flush().await.ok();
                }
                "SUBSCRIBE" | "NOOP" | "CLOSE" | "UNSELECT" => "OK".to_owned(),
                _ => "BAD unknown command".to_owned(),
            };
            let is_refused = answer.starts_with("BAD") || answer.starts_with("NO");
            self.conversation.say(format!("{tag} {answer}")).await?;
            self.refusals += usize::from(is_refused);
            let patience = self.mail.lock().unwrap().ways.patience;
            if is_refused && patience.is_some_and(|patience| self.refusals >= patience) {
                self.mail.lock().unwrap().hung_up += 1;
                return self.conversation.answers.flush().await.ok();
            }
        }
    }

    fn login(&self) -> String {
        let refused = self.mail.lock().unwrap().ways.refuses_logins;
        refused.map_or_else(|| format!("OK {}logged in", self.told_unasked()), str::to_owned)
    }

    fn capabilities(&self) -> &'static str {
        self.mail.lock().unwrap().ways.capabilities
    }

    fn told_unasked(&self) -> String {
        let ways = &self.mail.lock().unwrap().ways;
        if ways.is_reserved { String::new() } else { format!("[CAPABILITY {}] ", ways.capabilities) }
    }

    /// A command with its literals, each of which stands as `{}` in the text.
    async fn command(&mut self) -> Option<(String, Vec<Vec<u8>>)> {
        let (mut text, mut literals) = (String::new(), Vec::new());
        loop {
            let line = String::from_utf8_lossy(&self.conversation.line().await?).into_owned();
            let literal = line.strip_suffix('}').and_then(|line| line.rsplit_once('{'));
            let Some((before, length)) = literal else {
                text.push_str(&line);
                return Some((text, literals));
            };
            text.push_str(before);
            text.push_str("{}");
            let (length, waits) = length.strip_suffix('+').map_or((length, true), |length| (length, false));
            if waits {
                self.conversation.say("+ go ahead").await?;
                self.conversation.answers.flush().await.ok()?;
            }
            let mut literal = vec![0; length.parse().ok()?];
            self.conversation.commands.read_exact(&mut literal).await.ok()?;
            literals.push(literal);
        }
    }

    async fn list(&mut self, rest: &str) -> Option<String> {
        if rest.contains("RETURN (SPECIAL-USE)") {
            for line in gmail::SPECIAL_USE {
                self.conversation.say(line).await?;
            }
            return Some("OK".to_owned());
        }
        let name = last_string(rest);
        let exists = name.is_empty() || self.mail.lock().unwrap().folders.contains_key(&name);
        if exists {
            self.conversation.say(format!("* LIST () \"/\" \"{name}\"")).await?;
        }
        Some("OK".to_owned())
    }

    async fn status(&mut self, rest: &str) -> Option<String> {
        let name = first_string(rest);
        let state = {
            let mail = self.mail.lock().unwrap();
            mail.folders.get(&name).map(|folder| (folder.uid_validity, folder.uid_next))
        };
        let Some((uid_validity, uid_next)) = state else {
            return Some("NO [NONEXISTENT] no such folder".into());
        };
        let status = format!("* STATUS \"{name}\" (UIDVALIDITY {uid_validity} UIDNEXT {uid_next})");
        self.conversation.say(status).await?;
        Some("OK".to_owned())
    }

    async fn examine(&mut self, rest: &str) -> Option<String> {
        let name = first_string(rest);
        let (refused, state) = {
            let mut mail = self.mail.lock().unwrap();
            mail.examined += 1;
            if mail.ways.drops_look_ups {
                return None;
            }
            let folder = mail.folders.get(&name);
            let state = folder.map(|folder| (folder.uid_validity, folder.uid_next, folder.messages.len()));
            (mail.ways.refuses_look_ups, state)
        };
        if let Some(refused) = refused {
            return Some(refused.to_owned());
        }
        let Some((uid_validity, uid_next, exists)) = state else {
            return Some("NO [NONEXISTENT] no such folder".into());
        };
        self.selected = name;
        self.conversation.say(format!("* {exists} EXISTS")).await?;
        self.conversation.say(format!("* OK [UIDVALIDITY {uid_validity}] ")).await?;
        self.conversation.say(format!("* OK [UIDNEXT {uid_next}] ")).await?;
        Some("OK [READ-ONLY]".to_owned())
    }

    fn create(&self, rest: &str) -> String {
        self.mail.lock().unwrap().make(&first_string(rest));
        "OK".to_owned()
    }

    fn breaks_at(&self, literals: &[Vec<u8>]) -> bool {
        let text = self.mail.lock().unwrap().ways.breaks_at;
        text.is_some_and(|text| literals.iter().any(|literal| holds(literal, text)))
    }

    /// All messages of the command, or none.
    fn append(&self, rest: &str, literals: Vec<Vec<u8>>) -> String {
        let mut mail = self.mail.lock().unwrap();
        let refusal = mail
            .ways
            .refuses
            .as_ref()
            .filter(|(text, _)| literals.iter().any(|literal| holds(literal, text)));
        if let Some((_, answer)) = refusal {
            return (*answer).to_owned();
        }
        let literals = literals.into_iter().map(|literal| mail.ways.changed(literal)).collect::<Vec<_>>();
        let (late, uidplus) = (mail.ways.shows_late, mail.ways.capabilities.contains("UIDPLUS"));
        mail.appended += literals.len();
        let Some(folder) = mail.folders.get_mut(&first_string(rest)) else {
            return "NO [TRYCREATE] no such folder".to_owned();
        };
        if late {
            folder.late.extend(literals.into_iter().map(|bytes| (world::now(), bytes)));
            return "OK".to_owned();
        }
        if mail.is_gmail() {
            return mail.append_and_merge(&first_string(rest), &literals);
        }
        let Some(folder) = mail.folders.get_mut(&first_string(rest)) else { unreachable!("it was there") };
        let uids: Vec<u32> = literals.into_iter().map(|bytes| folder.store(bytes)).collect();
        match (uidplus, uids.as_slice()) {
            (true, [uid]) => format!("OK [APPENDUID {} {uid}] stored", folder.uid_validity),
            (true, [first, .., last]) => {
                format!("OK [APPENDUID {} {first}:{last}] stored", folder.uid_validity)
            }
            _ => "OK stored".to_owned(),
        }
    }

    /// `UID FETCH set (UID RFC822.SIZE | BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)] | BODY.PEEK[]<from.length> |
    /// BODY.PEEK[TEXT]<from.length>)`.
    async fn fetch(&mut self, rest: &str) -> Option<String> {
        let (set, items) = rest.strip_prefix("FETCH ")?.split_once(' ')?;
        let (refused, rows) = {
            let mut mail = self.mail.lock().unwrap();
            let size_error = mail.ways.size_error;
            (mail.ways.refuses_look_ups, fetched(mail.folder(&self.selected), set, items, size_error))
        };
        if let Some(refused) = refused {
            return Some(refused.to_owned());
        }
        for row in rows {
            self.conversation.answers.write_all(&row).await.ok()?;
        }
        Some("OK".to_owned())
    }
}

fn holds(message: &[u8], text: &str) -> bool {
    memchr::memmem::find(message, text.as_bytes()).is_some()
}

fn fetched(folder: &Folder, set: &str, items: &str, size_error: usize) -> Vec<Vec<u8>> {
    let newest = folder.messages.last().map_or(0, |stored| stored.uid);
    let number = |text: &str| if text == "*" { newest } else { text.parse().unwrap() };
    let ranges: Vec<(u32, u32)> = set
        .split(',')
        .map(|range| range.split_once(':').unwrap_or((range, range)))
        .map(|(from, to)| (number(from), number(to)))
        .map(|(from, to)| (from.min(to), from.max(to)))
        .collect();
    let is_in = |uid: u32| ranges.iter().any(|(from, to)| (*from..=*to).contains(&uid));
    let rows = (1..).zip(&folder.messages).filter(|(_, stored)| is_in(stored.uid));
    rows.map(|(number, stored)| row(number, stored, items, size_error)).collect()
}

fn row(number: usize, stored: &Stored, items: &str, size_error: usize) -> Vec<u8> {
    let start = format!("* {number} FETCH (UID {}", stored.uid);
    let literal = |name: &str, bytes: &[u8]| {
        [format!("{start} {name} {{{}}}\r\n", bytes.len()).as_bytes(), bytes, b")\r\n"].concat()
    };
    if items.contains("RFC822.SIZE") {
        return format!("{start} RFC822.SIZE {})\r\n", stored.bytes.len() + size_error).into_bytes();
    }
    if let Some((_, names)) = items.split_once("HEADER.FIELDS (") {
        let names: Vec<String> = names.split([' ', ')']).map(str::to_ascii_lowercase).collect();
        let is_wanted = |line: &&str| {
            line.split_once(':').is_some_and(|(name, _)| names.contains(&name.to_ascii_lowercase()))
        };
        let header = String::from_utf8_lossy(&stored.bytes);
        let lines = header.lines().take_while(|line| !line.is_empty()).filter(is_wanted);
        let wanted: String = lines.map(|line| format!("{line}\r\n")).collect();
        return literal("BODY[HEADER.FIELDS (MESSAGE-ID)]", format!("{wanted}\r\n").as_bytes());
    }
    let piece = items.split_once('<').and_then(|(_, piece)| piece.split_once('>')).map(|(piece, _)| piece);
    let (from, length) =
        piece.and_then(|piece| piece.split_once('.')).expect("bodies are asked for in pieces");
    let (section, bytes) = match items.contains("[TEXT]") {
        true => ("TEXT", text_of(&stored.bytes)),
        false => ("", &stored.bytes[..]),
    };
    let from = from.parse::<usize>().unwrap().min(bytes.len());
    let end = (from + length.parse::<usize>().unwrap()).min(bytes.len());
    literal(&format!("BODY[{section}]<{from}>"), &bytes[from..end])
}

/// What follows the header.
fn text_of(message: &[u8]) -> &[u8] {
    memchr::memmem::find(message, b"\r\n\r\n").map_or(&[], |end| &message[end + 4..])
}

fn first_string(text: &str) -> String {
    text.split('"').nth(1).unwrap_or_else(|| text.split(' ').next().unwrap_or_default()).to_owned()
}

fn last_string(text: &str) -> String {
    text.rsplit('"').nth(1).unwrap_or_default().to_owned()
}
