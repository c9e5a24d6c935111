//! From the connection to the login.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret, SecretString};

use super::channel::Channel;
use super::error::{Error, Refused, refused_login};
use super::wire::{CAPABILITY_LINES, Capabilities, Code, LINE, Reply};
use super::{Deadlines, Settings};
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
    capabilities: Capabilities,
) -> Result<Capabilities, Error> {
    if !channel.stream().may_carry_secrets() {
        return Err(Error::Insecure(
            "the connection is not encrypted, so no password was sent; set `tls`, \
             or `allow_plaintext = true` if anybody on the way may read it"
                .into(),
        ));
    }
    for (field, value) in [("user", settings.user.as_str()), ("password", settings.password.expose_secret())]
    {
        if value.contains(['\r', '\n', '\0']) {
            return Err(Error::Unsendable { field });
        }
    }
    channel.hush([settings.password.clone(), plain_response(settings)]);
    let login = async {
        if capabilities.has_mechanism("PLAIN") {
            auth_plain(channel, settings).await
        } else if capabilities.user || capabilities.sasl.is_empty() {
            user_pass(channel, settings).await
        } else {
            Err(Error::Insecure(format!(
                "the server offers no way to log in with a password that is safe to use (only {}); \
                 no password was sent",
                printable(capabilities.sasl.join(", "))
            )))
        }
    };
    match within(settings.deadlines.login, "logging in", login).await? {
        Err(refused) => Err(refused_login(refused, capabilities.login_delay)),
        // What differs from user to user is known after the login (RFC 2449 sections 6.5 and 6.7).
        Ok(()) if capabilities.per_user => {
            let known = self::capabilities(channel, &settings.deadlines).await?;
            Ok(known.unwrap_or(capabilities))
        }
        Ok(()) => Ok(capabilities),
    }
}

const LOGGING_IN: &str = "logging in";

/// RFC 5034 section 4: a command with its initial response may have 255 octets.
const AUTH_LINE: usize = 255;

/// SASL PLAIN (RFC 4616, RFC 5034).
async fn auth_plain(channel: &mut Channel, settings: &Settings) -> Result<Result<(), Refused>, Error> {
    let response = plain_response(settings);
    let response = SecretString::from(format!("{}\r\n", response.expose_secret()));
    let response = response.expose_secret();
    let mut is_owed = true;
    if "AUTH PLAIN ".len() + response.len() <= AUTH_LINE {
        channel.send_secret(&format!("AUTH PLAIN {response}"), 1, LOGGING_IN).await?;
    } else {
        channel.send("AUTH PLAIN\r\n", 1, LOGGING_IN).await?;
    }
    loop {
        match channel.next_reply(LOGGING_IN).await? {
            // It is asked for once, whether or not the server overlooked the initial response.
            Reply::Challenge if is_owed => channel.send_secret(response, 0, LOGGING_IN).await?,
            Reply::Challenge => return Err(Error::OutOfStep { during: LOGGING_IN, got: "+".into() }),
            Reply::Ok(_) => break,
            Reply::Err { code, text } => return Ok(Err(Refused { command: "AUTH PLAIN", code, text })),
        }
        is_owed = false;
    }
    channel.answered();
    Ok(Ok(()))
}

/// In base64.
fn plain_response(settings: &Settings) -> SecretString {
    let message = SecretString::from(format!("\0{}\0{}", settings.user, settings.password.expose_secret()));
    BASE64_STANDARD.encode(message.expose_secret()).into()
}

/// RFC 1939 section 7.
async fn user_pass(channel: &mut Channel, settings: &Settings) -> Result<Result<(), Refused>, Error> {
    channel.send_secret(&format!("USER {}\r\n", settings.user), 1, LOGGING_IN).await?;
    if let Err(refused) = channel.reply("USER", LOGGING_IN).await? {
        return Ok(Err(refused));
    }
    let pass = SecretString::from(format!("PASS {}\r\n", settings.password.expose_secret()));
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
