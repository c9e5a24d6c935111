//! `[destination.NAME]` of kind "webhook".

use std::time::Duration;

use secrecy::SecretString;
use toml::de::DeValue;

use super::ca_file::{CaFile, ca_file};
use super::destination::octets;
use super::fault::{Fault, quoted, suggestion};
use super::secret::{self, Secret};
use super::section::Section;
use super::{keys, peer, value};
use crate::destination::webhook::{
    Credential, Format, LOGIN_FIELD, Login, Oversize, RECIPIENT_HEADERS, Settings, header_name,
};

/// It lacks its secrets.
#[derive(Debug)]
pub struct RawWebhook {
    pub settings: Settings,
    pub secrets: Secrets,
    /// Where `secret` stands.
    pub place: Fault,
    pub ca_file: Option<CaFile>,
}

/// All that a webhook may have to show, yet to be fetched.
#[derive(Debug)]
pub struct Secrets {
    own: Vec<Secret>,
    login: RawLogin,
    headers: Vec<(String, Secret)>,
}

#[derive(Debug)]
enum RawLogin {
    None,
    Basic { user: String, password: Secret },
    Bearer(Secret),
}

impl Secrets {
    /// In the order in which [`Secrets::fill`] wants them back.
    pub fn all(&self) -> impl Iterator<Item = &Secret> {
        let login = match &self.login {
            RawLogin::None => None,
            RawLogin::Basic { password: secret, .. } | RawLogin::Bearer(secret) => Some(secret),
        };
        self.own.iter().chain(login).chain(self.headers.iter().map(|(_, secret)| secret))
    }

    /// The settings with what was fetched.
    pub fn fill(self, settings: Settings, fetched: Vec<SecretString>) -> Settings {
        let mut fetched = fetched.into_iter();
        let secrets = fetched.by_ref().take(self.own.len()).collect();
        let login = match self.login {
            RawLogin::None => Login::None,
            RawLogin::Basic { user, .. } => {
                fetched.next().map_or(Login::None, |password| Login::Basic { user, password })
            }
            RawLogin::Bearer(_) => fetched.next().map_or(Login::None, Login::Bearer),
        };
        let headers = self.headers.into_iter().map(|(name, _)| name).zip(fetched).collect();
        Settings { secrets, login, headers, ..settings }
    }
}

pub fn webhook(section: &Section<'_>) -> Option<RawWebhook> {
    let url = section.need("url", "\"https://app.example.org/inbound\"", value::url);
    let own = secret::several(section, "secret");
    let time = |value| value::duration(value, Duration::from_secs(1)..=Duration::from_secs(600));
    let ca_file = ca_file(section);
    let format = section.read("format", format).unwrap_or(Format::JSON);
    let (user, login) = login(section, format);
    let oversize = [("park", Oversize::Park), ("omit-attachments", Oversize::OmitAttachments)];
    let settings = Settings {
        url: url.as_ref().map(|url| url.text.clone()).unwrap_or_default(),
        format,
        secrets: Vec::new(),
        user,
        login: Login::None,
        headers: Vec::new(),
        fields: fields(section, format),
        recipient_headers: section
            .read("recipient_headers", header_names)
            .unwrap_or_else(|| RECIPIENT_HEADERS.iter().copied().map(str::to_owned).collect()),
        max_bytes: section.read("max_bytes", octets).unwrap_or(format.max_bytes),
        oversize: section.read("oversize", |v| value::choice(v, &oversize)).unwrap_or(Oversize::Park),
        expect: section.read("expect", value::pattern),
        follow_redirects: section.flag("follow_redirects"),
        max_in_flight: section.read("max_in_flight", in_flight).unwrap_or(keys::MAX_IN_FLIGHT),
        connect_timeout: section.read("connect_timeout", time).unwrap_or(keys::CONNECT_TIMEOUT),
        timeout: section.read("timeout", time).unwrap_or(keys::TIMEOUT),
        ca_file: ca_file.as_ref().map(|file| file.path.clone()),
        pin: section.read("pin", value::pin),
        allow_plaintext: section.flag("allow_plaintext"),
    };
    refuse_idle(section, &settings);
    let has_login = !matches!(login, RawLogin::None) || url.as_ref().is_some_and(|url| url.has_login);
    let headers = headers(section, format, has_login);
    let url = url?;
    if url.has_login {
        secret::refuse_exposure(section, "url");
        if !matches!(login, RawLogin::None) || matches!(format.credential, Credential::Basic { .. }) {
            section
                .fault("url", "holds a user and a password, and so does the rest; take them out of the URL");
        }
    }
    if let Some(host) = &url.plaintext_to {
        peer::plaintext(section, "url", host, settings.allow_plaintext, &["ca_file", "pin"]);
    }
    let secrets = Secrets { own: own?, login, headers: headers? };
    Some(RawWebhook { settings, secrets, place: section.place("secret"), ca_file })
}

fn format(value: &DeValue<'_>) -> value::Read<&'static Format> {
    let word = value::text(value)?;
    let found = Format::all().find(|format| format.name == word);
    found.ok_or_else(|| {
        let names: Vec<&str> = Format::all().map(|format| format.name).collect();
        format!("{} is not known; {}", quoted(word), suggestion(word, &names))
    })
}

/// The user whose password the secret is, and another login, if there is one.
fn login(section: &Section<'_>, format: &Format) -> (Option<String>, RawLogin) {
    let user = section.read("user", value::line).map(str::to_owned);
    let password = section.has("password").then(|| secret::one(section, "password")).flatten();
    let bearer = section.has("bearer").then(|| secret::one(section, "bearer")).flatten();
    let knows_user = match format.credential {
        Credential::Basic { .. } => true,
        Credential::Field { user, .. } => user.is_some(),
        Credential::Signature | Credential::Token { .. } | Credential::InBody => false,
    };
    if knows_user && section.has("password") {
        section
            .fault("password", format!("is what `secret` is in the format \"{}\"; take it out", format.name));
    }
    let is_basic = matches!(format.credential, Credential::Basic { .. });
    if section.has("bearer") && (is_basic || section.has("password")) {
        section.fault("bearer", "and a password cannot go together in one request; keep one of them");
    }
    if knows_user {
        return (user, bearer.map_or(RawLogin::None, RawLogin::Bearer));
    }
    match (section.has("user"), section.has("password")) {
        (true, false) => section.fault("user", "goes with a password, and there is none; add `password`"),
        (false, true) => section.fault("password", "goes with a user, and there is none; add `user`"),
        _ => {}
    }
    let basic = user.zip(password).map(|(user, password)| RawLogin::Basic { user, password });
    (None, basic.or_else(|| bearer.map(RawLogin::Bearer)).unwrap_or(RawLogin::None))
}

/// Keys that mean nothing with this format.
fn refuse_idle(section: &Section<'_>, settings: &Settings) {
    let format = settings.format;
    if format.form.is_none() && section.has("fields") {
        section.fault(
            "fields",
            format!("is for forms, and the format \"{}\" is none; take it out", format.name),
        );
    }
    if !format.can_omit && settings.oversize == Oversize::OmitAttachments {
        let text = format!(
            "cannot be \"omit-attachments\" with the format \"{}\", which is the message as it is",
            format.name
        );
        section.fault("oversize", text);
    }
}

fn headers(section: &Section<'_>, format: &Format, has_login: bool) -> Option<Vec<(String, Secret)>> {
    let Some(table) = section.table("headers") else { return Some(Vec::new()) };
    let header = |name: &str| {
        if let Err(reason) = header_name(name) {
            table.fault(name, reason);
            return None;
        }
        // A request has one of them.
        if format.credential.fields().any(|own| own.eq_ignore_ascii_case(name)) {
            table.fault(
                name,
                format!("is what `secret` is for in the format \"{}\"; take it out", format.name),
            );
        } else if has_login && name.eq_ignore_ascii_case(LOGIN_FIELD) {
            table.fault(name, "and another login are both given; keep one of them");
        }
        Some((name.to_owned(), secret::one(&table, name)?))
    };
    let headers: Vec<Option<_>> = table.names().into_iter().map(header).collect();
    headers.into_iter().collect()
}

fn fields(section: &Section<'_>, format: &Format) -> Vec<(String, String)> {
    let Some(table) = section.table("fields") else { return Vec::new() };
    let field = |name: &str| {
        if name.is_empty() || name.contains(|c: char| c.is_control() || c == '"') {
            table.fault(name, "cannot be the name of a form's field");
        }
        if format.form.is_some_and(|own| own.contains(&name)) {
            table.fault(name, "is for mailferry to set; take it out");
        }
        Some((name.to_owned(), table.read(name, value::text)?.to_owned()))
    };
    table.names().into_iter().filter_map(field).collect()
}

fn header_names(value: &DeValue<'_>) -> value::Read<Vec<String>> {
    let wrong = || "must be a list of header fields, such as [\"Delivered-To\"]".to_owned();
    let names = value.as_array().ok_or_else(wrong)?;
    names.iter().map(|name| Ok(value::header_field(name.get_ref())?.to_owned())).collect()
}

fn in_flight(value: &DeValue<'_>) -> value::Read<usize> {
    usize::try_from(value::whole(value, 1..=256)?).map_err(|e| e.to_string())
}
