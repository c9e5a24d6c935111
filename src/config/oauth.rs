//! `[oauth.NAME]`: an application that is registered with an identity provider, for those who sign in by it.

use secrecy::SecretString;
use toml::de::DeValue;

use super::ca_file::{CaFile, ca_file};
use super::fault::{quoted, suggestion};
use super::secret::{self, Secret};
use super::section::Section;
use super::{keys, value};
use crate::auth::{self, Holder, Login};
use crate::net::is_loopback;
use crate::providers::{ANY_TENANT, IDENTITIES, Identity, identity};

/// One of them, with its secret still where it is kept.
#[derive(Clone, Debug)]
pub struct OAuth {
    pub name: String,
    /// Without scopes, where each kind of server has its own.
    settings: auth::Settings,
    provider: Option<&'static Identity>,
    pub secret: Option<Secret>,
    pub ca_file: Option<CaFile>,
}

/// What somebody signs in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Pop3,
    Imap,
    /// Gmail's API.
    Gmail,
}

impl OAuth {
    /// The word of the identity provider, where it is one that is known.
    pub fn identity(&self) -> Option<&'static str> {
        self.provider.map(|provider| provider.id)
    }

    /// How `user` signs in by it, for a service whose tokens are kept for `holder`.
    pub fn login(&self, service: Service, holder: Holder, user: &str, secret: Option<SecretString>) -> Login {
        Login::oauth(holder, user, self.settings(service, secret))
    }

    /// Whether it is known what to ask for.
    pub fn has_scopes(&self, service: Service) -> bool {
        !self.settings(service, None).scopes.is_empty()
    }

    fn settings(&self, service: Service, client_secret: Option<SecretString>) -> auth::Settings {
        let mut settings = auth::Settings { client_secret, ..self.settings.clone() };
        if let Some(provider) = self.provider.filter(|_| settings.scopes.is_empty()) {
            let scopes = match service {
                Service::Pop3 => provider.pop3,
                Service::Imap => provider.imap,
                Service::Gmail => provider.gmail,
            };
            settings.scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        }
        settings
    }
}

/// Reads all `[oauth.NAME]`.
pub fn all(top: &Section<'_>) -> Vec<OAuth> {
    top.named_tables("oauth").iter().filter_map(|(name, section)| one(name, section)).collect()
}

fn one(name: &str, section: &Section<'_>) -> Option<OAuth> {
    section.only(&[keys::OAUTH]);
    let provider = provider(name, section);
    let tenant = section.read("tenant", tenant).unwrap_or(ANY_TENANT);
    let preset = |url: fn(&Identity) -> Option<&'static str>| {
        provider.and_then(url).map(|url| url.replace("{tenant}", tenant))
    };
    let authorize_url = address(section, "authorize_url", preset(|provider| Some(provider.authorize_url)));
    let token_url = address(section, "token_url", preset(|provider| Some(provider.token_url)));
    let device_url = if section.has("device_url") {
        section.read("device_url", url)
    } else {
        preset(|provider| provider.device_url)
    };
    if provider.is_none() && !section.has("scopes") {
        section.fault("scopes", "is missing; write scopes = [\"...\"], what to ask the provider for");
    }
    let scopes = section.read("scopes", scopes).unwrap_or_default();
    let client_id = section.need("client_id", "\"...\", the id of your application", value::line);
    let secret = section.has("client_secret").then(|| secret::one(section, "client_secret"));
    if let Some(provider) = provider.filter(|provider| provider.wants_secret && secret.is_none()) {
        let text = format!("is missing; {} gives one with the client id, and asks for it", provider.name);
        section.fault("client_secret", text);
    }
    let ca_file = ca_file(section);
    let parameters = provider.map(|provider| provider.parameters).unwrap_or_default();
    let secret = match secret {
        Some(secret) => Some(secret?),
        None => None,
    };
    let settings = auth::Settings {
        client_id: client_id?.to_owned(),
        client_secret: None,
        authorize_url: authorize_url?,
        token_url: token_url?,
        device_url,
        scopes,
        parameters: parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ca_file: ca_file.as_ref().map(|file| file.path.clone()),
    };
    Some(OAuth { name: name.to_owned(), settings, provider, secret, ca_file })
}

/// By `provider`, or by the name of the table; none is known where all addresses are given.
fn provider(name: &str, section: &Section<'_>) -> Option<&'static Identity> {
    let known: Vec<(&str, &'static Identity)> =
        IDENTITIES.iter().map(|provider| (provider.id, provider)).collect();
    if section.has("provider") {
        return section.read("provider", |value| value::choice(value, &known));
    }
    identity(name)
}

fn address(section: &Section<'_>, key: &str, preset: Option<String>) -> Option<String> {
    if let (Some(preset), false) = (preset, section.has(key)) {
        return Some(preset);
    }
    section.need(key, "\"https://...\", or provider = \"microsoft\" or \"google\"", url)
}

/// Tokens go there: HTTPS, but on this machine.
fn url(value: &DeValue<'_>) -> value::Read<String> {
    let text = value::line(value)?;
    let wrong = |why: &str| format!("{} {why}", quoted(text));
    let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("must begin with https://"))?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || host.contains('@') || text.contains(char::is_whitespace) {
        return Err(wrong("is not the address of an identity provider"));
    }
    let host =
        host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(host, _)| host);
    match scheme {
        "https" => Ok(text.to_owned()),
        "http" if is_loopback(host.trim_matches(['[', ']'])) => Ok(text.to_owned()),
        _ => Err(wrong("must begin with https://")),
    }
}

fn tenant<'d>(value: &'d DeValue<'d>) -> value::Read<&'d str> {
    let text = value::line(value)?;
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
    if is_plain { Ok(text) } else { Err(format!("{} is not the id or the domain of a tenant", quoted(text))) }
}

fn scopes(value: &DeValue<'_>) -> value::Read<Vec<String>> {
    let wrong = || "must be a list of scopes, such as [\"https://mail.google.com/\"]".to_owned();
    let list = value.as_array().filter(|list| !list.is_empty()).ok_or_else(wrong)?;
    let scope = |value: &DeValue<'_>| {
        let text = value::line(value)?;
        if text.contains(' ') {
            Err(format!("{} is more than one scope; write each by itself", quoted(text)))
        } else {
            Ok(text.to_owned())
        }
    };
    list.iter().map(|value| scope(value.get_ref())).collect()
}

/// `oauth = "NAME"` of an account or a destination.
pub fn named<'o>(section: &Section<'_>, known: &'o [OAuth]) -> Option<&'o OAuth> {
    section.read("oauth", |value| {
        let name = value::text(value)?;
        let names: Vec<&str> = known.iter().map(|oauth| oauth.name.as_str()).collect();
        known.iter().find(|oauth| oauth.name == name).ok_or_else(|| match names.as_slice() {
            [] => {
                format!("{} names no [oauth.NAME], for there is none; write an [oauth.{name}]", quoted(name))
            }
            names => format!("{} names no [oauth.NAME]; {}", quoted(name), suggestion(name, names)),
        })
    })
}
