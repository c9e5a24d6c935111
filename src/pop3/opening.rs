//! From the connection to the login.

use secrecy::{ExposeSecret, SecretString};

use super::channel::Channel;
use super::error::{Error, Refused, refused_login};
use super::wire::{CAPABILITY_LINES, Capabilities, Code, LINE, Reply};
use super::{Deadlines, Settings};
use crate::auth::sasl::{self, Mechanism};
use crate::auth::{Login, Proof, SignIn};
use crate::net::{self, Connector, Tls, within};
use crate::printable::printable;

/// Opens a connection as far as the server lets in nobody yet: encrypted if it is to be, its capabilities asked.
pub(super) async fn connect(
    connector: &Connector,
    settings: &Settings,
) -> Result<(Channel, Capabilities), Error> {
    let deadlines = &settings.deadlines;
    for _ in 0..CAPA_TRIES {
        let mut channel = greet(connector, deadlines).await?;
        match capabilities(&mut channel, deadlines).await {
            Ok(capabilities) => return Ok((channel, capabilities.unwrap_or_default())),
            Err(Error::Closed { .. } | Error::Net(_)) => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok((greet(connector, deadlines).await?, Capabilities::default()))
}

/// Some old servers hang up on a command that they do not know, and some never answer it. But one answer may just have
/// been lost, and without it nobody knows that the server drops what was retrieved (EXPIRE 0), or that it can date
/// messages (TOP): so it is asked for twice.
const CAPA_TRIES: usize = 2;

async fn greet(connector: &Connector, deadlines: &Deadlines) -> Result<Channel, Error> {
    let mut channel = Channel::new(connector.connect(deadlines.connect).await?);
    let during = "waiting for the greeting";
    let greeting = within(deadlines.greeting, during, channel.reply("the connection", during)).await;
    greeting.map_err(no_greeting)?.map_err(refused_connection)?;
    if connector.settings().tls != Tls::StartTls {
        return Ok(channel);
    }
    start_tls(channel, connector, deadlines).await
}

/// A first word that does not come, or makes no sense, is most often a wrong port.
fn no_greeting(fault: Error) -> Error {
    match fault {
        Error::Net(net::Error::Timeout { after, .. }) => Error::NoGreeting { after },
        Error::OutOfStep { got, .. } => Error::NotPop3 { got },
        other => other,
    }
}

/// Asks for TLS without a look at what the server announces: until there is TLS, anybody could have written it.
async fn start_tls(
    mut channel: Channel,
    connector: &Connector,
    deadlines: &Deadlines,
) -> Result<Channel, Error> {
    let during = "asking for TLS";
    let go_ahead = async {
        channel.send("STLS\r\n", 1, during).await?;
        channel.reply("STLS", during).await
    };
    within(deadlines.reply, during, go_ahead).await?.map_err(|Refused { text, .. }| {
        Error::NoTls(format!("the server does not offer TLS on this port (STLS: `{text}`)"))
    })?;
    // What came in the clear behind the go-ahead would be taken for an answer inside TLS.
    let stream = channel.into_stream().ok_or_else(|| {
        let what =
            "something was sent in the clear after TLS had been agreed on, which is how passwords are stolen";
        Error::NoTls(what.into())
    })?;
    Ok(Channel::new(connector.start_tls(stream, deadlines.connect).await?))
}

/// What the server can do, `None` where it refuses to say.
async fn capabilities(channel: &mut Channel, deadlines: &Deadlines) -> Result<Option<Capabilities>, Error> {
    let during = "asking for capabilities";
    within(deadlines.reply, during, async {
        channel.send("CAPA\r\n", 1, during).await?;
        let mut capabilities = Capabilities::default();
        if channel.status("CAPA", during).await?.is_err() {
            return Ok(None);
        }
        for _ in 0..=CAPABILITY_LINES {
            let line = channel.line(LINE, "a capability", during).await?;
            if line == b"." {
                channel.answered();
                return Ok(Some(capabilities));
            }
            capabilities.learn(line);
        }
        Err(Error::TooLong { what: "a list of capabilities", limit: CAPABILITY_LINES as u64 })
    })
    .await
}

/// Logs in, and returns what the server can do now that it knows for whom.
pub(super) async fn log_in(
    channel: &mut Channel,
    settings: &Settings,
    proof: &Proof,
    capabilities: Capabilities,
) -> Result<Capabilities, Error> {
    if !channel.stream().may_carry_secrets() {
        return Err(Error::Insecure(
            "the connection is not encrypted, so no password was sent; set `tls`, \
             or `allow_plaintext = true` if anybody on the way may read it"
                .into(),
        ));
    }
    for (field, value) in [("user", settings.user.as_str()), ("password", proof.secret().expose_secret())] {
        if value.contains(['\r', '\n', '\0', '\x01']) {
            return Err(Error::Unsendable { field });
        }
    }
    channel.hush([proof.secret().clone()]);
    let mechanism = Mechanism::choose(proof, |name| capabilities.has_mechanism(name));
    let login = async {
        match (mechanism, proof) {
            (Some(mechanism), _) => authenticate(channel, mechanism, &settings.user, proof).await,
            (None, Proof::Password(password)) if capabilities.user || capabilities.sasl.is_empty() => {
                user_pass(channel, &settings.user, password).await
            }
            (None, _) => Err(Error::Insecure(no_mechanism(proof, &capabilities))),
        }
    };
    match (within(settings.deadlines.login, "logging in", login).await?, &settings.login) {
        (Err(refused), Login::OAuth(sign_in)) => {
            Err(refused_token(refused_login(refused, capabilities.login_delay), sign_in, proof.secret()))
        }
        (Err(refused), Login::Password(_)) => Err(refused_login(refused, capabilities.login_delay)),
        // What differs from user to user is known after the login (RFC 2449 sections 6.5 and 6.7).
        (Ok(()), _) if capabilities.per_user => {
            let known = self::capabilities(channel, &settings.deadlines).await?;
            Ok(known.unwrap_or(capabilities))
        }
        (Ok(()), _) => Ok(capabilities),
    }
}

fn no_mechanism(proof: &Proof, capabilities: &Capabilities) -> String {
    let known = printable(capabilities.sasl.join(", "));
    match proof {
        Proof::Password(_) => format!(
            "the server offers no way to log in with a password that is safe to use (only {known}); \
             no password was sent"
        ),
        Proof::Token(_) if known.is_empty() => {
            "the server offers no way to sign in by OAuth; no token was sent; use a password instead".into()
        }
        Proof::Token(_) => format!(
            "the server offers no way to sign in by OAuth (only {known}); no token was sent; use a password instead"
        ),
    }
}

fn refused_token(refusal: Error, sign_in: &SignIn, token: &SecretString) -> Error {
    let octets = token.expose_secret().len();
    match refusal {
        Error::Auth { text, .. } if octets > EXCHANGE_TOKEN => {
            let advice = format!(
                "the token has {octets} octets, and Exchange takes {EXCHANGE_TOKEN} at most by POP3: see to it that                  `user` is in fewer groups, or ask for fewer scopes; else {}",
                sign_in.refused()
            );
            Error::Token { text, advice }
        }
        Error::Auth { text, .. } => Error::Token { text, advice: sign_in.refused() },
        other => other,
    }
}

/// The most octets of a token by Microsoft's POP3, which answers a longer one with "Protocol error".
const EXCHANGE_TOKEN: usize = 4096;

const LOGGING_IN: &str = "logging in";

/// RFC 5034 section 4: a command with its initial response may have 255 octets.
const AUTH_LINE: usize = 255;

/// SASL (RFC 5034). A token goes in a line of its own, also where it would fit into the first: Microsoft takes no other
/// form.
async fn authenticate(
    channel: &mut Channel,
    mechanism: Mechanism,
    user: &str,
    proof: &Proof,
) -> Result<Result<(), Refused>, Error> {
    let response = mechanism.response(user, proof.secret());
    channel.hush([response.clone()]);
    let response = SecretString::from(format!("{}\r\n", response.expose_secret()));
    let command = format!("AUTH {}", mechanism.name());
    let fits = command.len() + 1 + response.expose_secret().len() <= AUTH_LINE;
    let in_one_line = SecretString::from(format!("{command} {}", response.expose_secret()));
    let is_token = matches!(proof, Proof::Token(_));
    if fits && !is_token {
        channel.send_secret(in_one_line.expose_secret(), 1, LOGGING_IN).await?;
    } else {
        channel.send(&format!("{command}\r\n"), 1, LOGGING_IN).await?;
    }
    let outcome = exchange(channel, mechanism, response.expose_secret()).await?;
    match outcome {
        // It wants the token at once.
        Exchange::NotBegun(Refused { code: None, .. }) if fits && is_token => {
            channel.send_secret(in_one_line.expose_secret(), 1, LOGGING_IN).await?;
            Ok(exchange(channel, mechanism, response.expose_secret()).await?.outcome())
        }
        outcome => Ok(outcome.outcome()),
    }
}

/// How AUTH has ended.
enum Exchange {
    In,
    Refused(Refused),
    /// Refused before the server asked for anything.
    NotBegun(Refused),
}

impl Exchange {
    fn outcome(self) -> Result<(), Refused> {
        match self {
            Exchange::In => Ok(()),
            Exchange::Refused(refused) | Exchange::NotBegun(refused) => Err(refused),
        }
    }
}

/// Answers what the server asks, until it has decided.
async fn exchange(channel: &mut Channel, mechanism: Mechanism, response: &str) -> Result<Exchange, Error> {
    let command = "AUTH";
    let mut is_owed = true;
    let mut why = None;
    loop {
        match channel.next_reply(LOGGING_IN).await? {
            // Why a token is refused comes as a challenge, which an answer without content ends.
            Reply::Challenge(challenge)
                if why.is_none() && mechanism.closing().is_some() && sasl::refusal(&challenge).is_some() =>
            {
                why = sasl::refusal(&challenge);
                let closing = mechanism.closing().unwrap_or_default();
                channel.send(&format!("{closing}\r\n"), 0, LOGGING_IN).await?;
            }
            // It is asked for once, whether or not the server overlooked the initial response.
            Reply::Challenge(_) if is_owed => channel.send_secret(response, 0, LOGGING_IN).await?,
            Reply::Challenge(_) => return Err(Error::OutOfStep { during: LOGGING_IN, got: "+".into() }),
            Reply::Ok(_) => {
                channel.answered();
                return Ok(Exchange::In);
            }
            Reply::Err { code, text } => {
                channel.answered();
                let text = match &why {
                    Some(status) => format!("{text} (status {status})"),
                    None => text,
                };
                let refused = Refused { command, code, text };
                return Ok(if is_owed { Exchange::NotBegun(refused) } else { Exchange::Refused(refused) });
            }
        }
        is_owed = false;
    }
}

/// RFC 1939 section 7.
async fn user_pass(
    channel: &mut Channel,
    user: &str,
    password: &SecretString,
) -> Result<Result<(), Refused>, Error> {
    channel.send_secret(&format!("USER {user}\r\n"), 1, LOGGING_IN).await?;
    if let Err(refused) = channel.reply("USER", LOGGING_IN).await? {
        return Ok(Err(refused));
    }
    let pass = SecretString::from(format!("PASS {}\r\n", password.expose_secret()));
    channel.send_secret(pass.expose_secret(), 1, LOGGING_IN).await?;
    Ok(channel.reply("PASS", LOGGING_IN).await?.map(|_| ()))
}

fn refused_connection(refused: Refused) -> Error {
    let Refused { code, text, .. } = &refused;
    match code {
        Some(Code::InUse) => Error::InUse { text: text.clone() },
        Some(Code::LoginDelay) => Error::LoginDelay { delay: None, text: text.clone() },
        Some(Code::SysPerm | Code::Auth) => Error::Refused(refused),
        Some(Code::SysTemp) | None => Error::TempUnavailable { text: text.clone() },
    }
}
