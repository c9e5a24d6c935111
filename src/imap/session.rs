//! A session with one server: connect, log in, run commands, log out.

use std::io;

use async_imap::Client;
use async_imap::imap_proto::{MailboxDatum, Response, Status};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufWriter};

use super::answer::{Capabilities, Done, capabilities_in, refusal};
use super::guard::Guard;
use super::mailbox::{Namespace, quote};
use super::{COMMAND, Error, Mailbox, Refusal};
use crate::auth::sasl::Mechanism;
use crate::auth::{Login, Proof};
use crate::net::{self, Certificate, Connector, Stream, Tls, within};
use crate::printable::{printable, without};

/// Small writes are gathered, so that a command is one packet and one TLS record.
const WRITE_BUFFER: usize = 64 << 10;

/// The longest initial response, in octets of base64: Microsoft and Dovecot take lines of 8 KiB.
const INITIAL_RESPONSE: usize = 7 << 10;

/// A session that is logged in.
///
/// Whoever gets an error other than [`Error::Refused`], or gives up waiting, must drop it: what the server
/// answers next may belong to what was asked before.
#[derive(Debug)]
pub struct Session {
    client: Client<Guard<BufWriter<Stream>>>,
    capabilities: Capabilities,
    certificate: Option<Certificate>,
    tags: u32,
}

impl Session {
    /// Connects and logs in, by AUTHENTICATE PLAIN (RFC 4616) or by LOGIN; or with a token, by XOAUTH2 or OAUTHBEARER
    /// alone. A token that is refused is renewed, once.
    ///
    /// # Errors
    /// Any [`Error`]; after [`COMMAND`] for each step at the latest.
    pub async fn open(connector: &Connector, user: &str, login: &Login) -> Result<Session, Error> {
        let proof = login.proof().await?;
        let (refusal, advice) = match (Session::begin(connector, user, &proof).await, login) {
            (Err(Error::Refused { command: "AUTHENTICATE", refusal }), Login::OAuth(sign_in))
                if !refusal.is("UNAVAILABLE") =>
            {
                (refusal, sign_in.refused())
            }
            (outcome, _) => return outcome,
        };
        // It may have been withdrawn before its time.
        let outcome = match login.another(&proof).await? {
            Some(proof) => Session::begin(connector, user, &proof).await,
            None => return Err(Error::Token { refusal, advice }),
        };
        outcome.map_err(|fault| match fault {
            Error::Refused { command: "AUTHENTICATE", refusal } if !refusal.is("UNAVAILABLE") => {
                Error::Token { refusal, advice }
            }
            other => other,
        })
    }

    async fn begin(connector: &Connector, user: &str, proof: &Proof) -> Result<Session, Error> {
        let mut stream = connector.connect(COMMAND).await?;
        let upgrades = connector.settings().tls == Tls::StartTls;
        if upgrades {
            within(COMMAND, "asking for TLS", ask_for_tls(&mut stream)).await?;
            stream = connector.start_tls(stream, COMMAND).await?;
        }
        if !stream.may_carry_secrets() {
            return Err(Error::Plaintext);
        }
        let certificate = stream.certificate();
        let client = Client::new(Guard::new(BufWriter::with_capacity(WRITE_BUFFER, stream)));
        let mut session = Session { client, capabilities: Capabilities::default(), certificate, tags: 0 };
        let known = if upgrades { false } else { session.greeting().await? };
        if !known {
            session.ask_capabilities().await?;
        }
        session.log_in(user, proof).await?;
        Ok(session)
    }

    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// The server's certificate; `None` without TLS.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// Reads the greeting and says whether it listed the capabilities.
    async fn greeting(&mut self) -> Result<bool, Error> {
        let greeting = self.read("waiting for the greeting", |response| match response {
            Response::Data { status: Status::Ok, outcome } => Ok(capabilities_in(outcome.code.as_ref())),
            Response::Data { status: Status::PreAuth, .. } => Err(Error::PreAuth),
            _ => Err(Error::NotImap("the greeting makes no sense")),
        });
        let listed = within(COMMAND, "waiting for the greeting", greeting).await;
        let listed = listed.map_err(|fault| match fault {
            Error::Net(net::Error::Timeout { .. }) => Error::NoGreeting,
            other => other,
        })??;
        Ok(self.take_capabilities(listed))
    }

    fn take_capabilities(&mut self, listed: Option<Capabilities>) -> bool {
        let known = listed.is_some();
        self.capabilities = listed.unwrap_or_default();
        known
    }

    async fn ask_capabilities(&mut self) -> Result<(), Error> {
        let mut listed = None;
        self.run("CAPABILITY", "CAPABILITY", |response| {
            if let Response::Capabilities(capabilities) = response {
                listed = Some(Capabilities::read(capabilities));
            }
        })
        .await?;
        self.take_capabilities(listed);
        Ok(())
    }

    async fn log_in(&mut self, user: &str, proof: &Proof) -> Result<(), Error> {
        let unspeakable = |text: &str| text.contains(['\r', '\n', '\0', '\x01']);
        if unspeakable(user) || unspeakable(proof.secret().expose_secret()) {
            return Err(Error::Credentials);
        }
        let mechanism = Mechanism::choose(proof, |name| self.capabilities.has_mechanism(name));
        let answer = mechanism.map(|mechanism| mechanism.response(user, proof.secret())).unwrap_or_default();
        let done = match (mechanism, proof) {
            (Some(mechanism), _) => {
                within(COMMAND, "logging in", self.authenticate(mechanism, &answer)).await
            }
            (None, Proof::Token(_)) => return Err(Error::NoOAuth),
            (None, Proof::Password(_)) if self.capabilities.login_disabled => return Err(Error::NoLogin),
            (None, Proof::Password(password)) => {
                let command = format!("LOGIN {} {}", quote(user), quote(password.expose_secret()));
                self.run("LOGIN", &command, |_| {}).await
            }
        };
        let done = done.map_err(|fault| hushed(fault, [proof.secret(), &answer]))?;
        // What the server can do often changes with the login (RFC 3501 section 6.2.3).
        if !self.take_capabilities(done.capabilities) {
            self.ask_capabilities().await?;
        }
        if self.capabilities.id { self.introduce().await } else { Ok(()) }
    }

    /// Says who asks (RFC 2971). Gmail wants it, and others serve nobody who keeps it back.
    async fn introduce(&mut self) -> Result<(), Error> {
        let command = concat!("ID (\"name\" \"mailferry\" \"version\" \"", env!("CARGO_PKG_VERSION"), "\")");
        // async-imap's parser knows no `* ID ()`.
        match self.run_unread("ID", command).await {
            Err(Error::Refused { .. }) => Ok(()),
            outcome => outcome,
        }
    }

    /// `answer` is in base64.
    async fn authenticate(&mut self, mechanism: Mechanism, answer: &SecretString) -> Result<Done, Error> {
        let answer = answer.expose_secret();
        let command = format!("AUTHENTICATE {}", mechanism.name());
        // A line has an end for servers too; a token can be longer.
        let tag = if self.capabilities.initial_response && answer.len() <= INITIAL_RESPONSE {
            self.send(&format!("{command} {answer}")).await?
        } else {
            let tag = self.send(&command).await?;
            self.flush("logging in").await?;
            if let Some(done) = self.go_ahead(tag, "AUTHENTICATE").await? {
                return Ok(done);
            }
            self.write(answer.as_bytes()).await?;
            self.write(b"\r\n").await?;
            tag
        };
        let Some(closing) = mechanism.closing() else {
            return self.finish(tag, "AUTHENTICATE", |_| {}).await;
        };
        self.flush("logging in").await?;
        // Why a token is refused comes as a challenge, which an answer without content ends.
        if let Some(done) = self.go_ahead(tag, "AUTHENTICATE").await? {
            return Ok(done);
        }
        self.write(closing.as_bytes()).await?;
        self.write(b"\r\n").await?;
        self.finish(tag, "AUTHENTICATE", |_| {}).await
    }

    /// Waits for `+` and returns `None`, or for the end of the command without one.
    async fn go_ahead(&mut self, tag: u32, command: &'static str) -> Result<Option<Done>, Error> {
        loop {
            let step = self.read(command, |response| match response {
                Response::Continue(_) => Some(None),
                response => Done::read(response).map(Some),
            });
            match step.await? {
                None => {}
                Some(None) => return Ok(None),
                Some(Some((answered, done))) if answered == tag => return done.ok(command).map(Some),
                Some(Some(_)) => return Err(OUT_OF_STEP),
            }
        }
    }

    /// Makes sure that the server is still there.
    pub async fn noop(&mut self) -> Result<(), Error> {
        self.run("NOOP", "NOOP", |_| {}).await.map(drop)
    }

    /// Ends the session in order.
    pub async fn logout(mut self) -> Result<(), Error> {
        // The server says BYE, then OK.
        match self.run("LOGOUT", "LOGOUT", |_| {}).await {
            Ok(_) | Err(Error::Bye(_)) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Makes a folder and subscribes to it, so that mail programs show it.
    pub async fn create(&mut self, mailbox: &Mailbox) -> Result<(), Error> {
        self.run("CREATE", &format!("CREATE {}", mailbox.as_str()), |_| {}).await?;
        match self.run("SUBSCRIBE", &format!("SUBSCRIBE {}", mailbox.as_str()), |_| {}).await {
            // The folder is there, and that is what matters.
            Err(Error::Refused { .. }) | Ok(_) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// How the server names the user's folders.
    pub async fn namespace(&mut self) -> Result<Namespace, Error> {
        if self.capabilities.namespace
            && let Some(namespace) = within(COMMAND, "asking for the namespace", self.ask_namespace()).await?
        {
            return Ok(namespace);
        }
        let mut separator = None;
        self.run("LIST", "LIST \"\" \"\"", |response| {
            if let Response::MailboxData(MailboxDatum::List(list)) = response {
                separator = list.delimiter.as_ref().and_then(|delimiter| delimiter.chars().next());
            }
        })
        .await?;
        Ok(Namespace { prefix: String::new(), separator })
    }

    /// async-imap's parser takes a NAMESPACE response for garbage, so these lines are read around it.
    async fn ask_namespace(&mut self) -> Result<Option<Namespace>, Error> {
        let tag = self.send("NAMESPACE").await?;
        self.flush("asking for the namespace").await?;
        let end = format!("M{tag} ");
        let mut namespace = None;
        loop {
            let line = read_line(self.client.get_mut()).await?;
            if line.starts_with(end.as_bytes()) {
                return Ok(namespace);
            }
            namespace = namespace.or_else(|| Namespace::parse(&line));
        }
    }

    /// Runs a command to its end and shows `see` every untagged response on the way.
    pub(super) async fn run(
        &mut self,
        name: &'static str,
        command: &str,
        see: impl FnMut(&Response<'_>),
    ) -> Result<Done, Error> {
        within(COMMAND, "waiting for an answer", self.run_patiently(name, command, see)).await
    }

    /// As [`Session::run`], where the caller says how long.
    pub(super) async fn run_patiently(
        &mut self,
        name: &'static str,
        command: &str,
        see: impl FnMut(&Response<'_>),
    ) -> Result<Done, Error> {
        let tag = self.send(command).await?;
        self.finish(tag, name, see).await
    }

    /// Runs a command to its end, whatever else the server says on the way: async-imap's parser takes some of it for
    /// garbage.
    pub(super) async fn run_unread(&mut self, name: &'static str, command: &str) -> Result<(), Error> {
        const LONGEST: usize = 64 << 10;
        let unread = async {
            let tag = self.send(command).await?;
            self.flush(name).await?;
            let end = format!("M{tag} ");
            loop {
                let line = read_line_within(self.client.get_mut(), LONGEST).await?;
                if let Some(answer) = line.strip_prefix(end.as_bytes()) {
                    return told(answer, name);
                }
                if starts_with(&line, "* BYE") {
                    return Err(bye(&line));
                }
                self.skip_literal(&line).await?;
            }
        };
        within(COMMAND, "waiting for an answer", unread).await
    }

    /// A literal (RFC 3501 section 4.3) goes with the line that announces it, and is not a line of its own. Here only a
    /// FETCH response has any: elsewhere `{n}` is part of a text.
    async fn skip_literal(&mut self, line: &[u8]) -> Result<(), Error> {
        const LARGEST: u64 = 64 << 10;
        if !matches!(line, [b'*', b' ', b'0'..=b'9', ..]) {
            return Ok(());
        }
        let announced = line.strip_suffix(b"}").and_then(|rest| rest.rsplit(|byte| *byte == b'{').next());
        let octets = announced.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u64>().ok());
        match octets {
            None => Ok(()),
            Some(octets) if octets > LARGEST => Err(Error::NotImap("an answer has no end")),
            Some(octets) => {
                for _ in 0..octets {
                    let byte = self.client.get_mut().read_u8().await;
                    byte.map_err(|fault| broken(fault, "reading an answer"))?;
                }
                Ok(())
            }
        }
    }

    /// Waits for the end of the command `tag`, the only one under way.
    pub(super) async fn finish(
        &mut self,
        tag: u32,
        name: &'static str,
        mut see: impl FnMut(&Response<'_>),
    ) -> Result<Done, Error> {
        self.flush(name).await?;
        loop {
            let step = self.read(name, |response| {
                see(response);
                Done::read(response)
            });
            match step.await? {
                None => {}
                Some((answered, done)) if answered == tag => return done.ok(name),
                Some(_) => return Err(OUT_OF_STEP),
            }
        }
    }

    /// Writes a command, less its end where a literal follows, and returns its tag. It leaves with the next
    /// [`Session::flush`].
    pub(super) async fn send(&mut self, command: &str) -> Result<u32, Error> {
        let tag = self.next_tag();
        self.write(format!("M{tag} {command}\r\n").as_bytes()).await?;
        Ok(tag)
    }

    pub(super) fn next_tag(&mut self) -> u32 {
        self.tags = self.tags.wrapping_add(1);
        self.tags
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.client.get_mut().write_all(bytes).await.map_err(|fault| broken(fault, "sending"))
    }

    pub(super) async fn flush(&mut self, phase: &'static str) -> Result<(), Error> {
        self.client.get_mut().flush().await.map_err(|fault| broken(fault, phase))
    }

    /// Shows `see` the next response, of whatever kind; a BYE is an error.
    pub(super) async fn read<T>(
        &mut self,
        phase: &'static str,
        see: impl FnOnce(&Response<'_>) -> T,
    ) -> Result<T, Error> {
        let response = self.client.read_response().await.map_err(|fault| broken(fault, phase))?;
        match response.as_ref().map(|response| response.parsed()) {
            None => Err(Error::Closed(phase)),
            Some(Response::Data { status: Status::Bye, outcome }) => {
                Err(Error::Bye(outcome.information.as_deref().unwrap_or_default().to_owned()))
            }
            Some(response) => Ok(see(response)),
        }
    }
}

/// Some servers repeat what they refuse.
fn hushed(fault: Error, secrets: [&SecretString; 2]) -> Error {
    let hush = |text: &str| {
        let text = printable(text);
        secrets.into_iter().fold(text, |text, secret| without(&text, secret.expose_secret()))
    };
    match fault {
        Error::Refused { command, refusal } => {
            Error::Refused { command, refusal: Refusal { text: hush(&refusal.text), ..refusal } }
        }
        Error::Bye(text) => Error::Bye(hush(&text)),
        other => other,
    }
}

/// An answer to a command that was not asked, or not yet.
pub(super) const OUT_OF_STEP: Error = Error::NotImap("the server answers what was not asked");

fn broken(fault: io::Error, phase: &'static str) -> Error {
    match fault.kind() {
        io::ErrorKind::UnexpectedEof => Error::Closed(phase),
        // From the guard and from the parser, whose text repeats the server's bytes.
        io::ErrorKind::InvalidData | io::ErrorKind::Other => Error::NotImap("an answer makes no sense"),
        _ => Error::Net(fault.into()),
    }
}

/// STARTTLS, read byte by byte: what a stranger slipped in behind the go-ahead stays unread and breaks the TLS
/// handshake, instead of counting as the server's first words under TLS.
async fn ask_for_tls(stream: &mut Stream) -> Result<(), Error> {
    let greeting = read_line(stream).await?;
    if starts_with(&greeting, "* PREAUTH") {
        return Err(Error::PreAuth);
    }
    if !starts_with(&greeting, "* OK") {
        return Err(Error::NotImap("the greeting makes no sense"));
    }
    let sent = stream.write_all(b"M0 STARTTLS\r\n").await;
    sent.map_err(|fault| broken(fault, "asking for TLS"))?;
    loop {
        let line = read_line(stream).await?;
        if starts_with(&line, "* BYE") {
            return Err(bye(&line));
        }
        let Some(answer) = line.strip_prefix(b"M0 ") else { continue };
        return told(answer, "STARTTLS");
    }
}

fn bye(line: &[u8]) -> Error {
    Error::Bye(String::from_utf8_lossy(&line["* BYE".len()..]).trim().to_owned())
}

/// What a tagged line says, less its tag.
fn told(answer: &[u8], command: &'static str) -> Result<(), Error> {
    if starts_with(answer, "OK") {
        return Ok(());
    }
    let (bad, text) = (starts_with(answer, "BAD"), String::from_utf8_lossy(answer));
    let text = text.split_once(' ').map_or("", |(_, text)| text);
    Err(Error::Refused { command, refusal: refusal(bad, None, text) })
}

fn starts_with(line: &[u8], start: &str) -> bool {
    line.get(..start.len()).is_some_and(|bytes| bytes.eq_ignore_ascii_case(start.as_bytes()))
}

/// Reads a line of at most 8 KiB and not a byte more; without its CRLF.
async fn read_line(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, Error> {
    read_line_within(stream, 8 << 10).await
}

async fn read_line_within(stream: &mut (impl AsyncRead + Unpin), longest: usize) -> Result<Vec<u8>, Error> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await.map_err(|fault| broken(fault, "reading an answer"))? {
            b'\n' => break,
            byte => line.push(byte),
        }
        if line.len() > longest {
            return Err(Error::NotImap("an answer has no end"));
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}
