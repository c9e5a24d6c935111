//! What shows an endpoint who is asking: header fields, made anew for each request where they are signatures.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::Sha256;

use super::super::body::Body;
use super::formats::Credential;
use super::signature::Keys;
use super::{Login, Settings};

pub struct Credentials {
    signer: Signer,
    /// The same in each request.
    fields: HeaderMap,
}

enum Signer {
    None,
    Keys(Keys),
    Token { name: HeaderName, issuer: &'static str, key: Hmac<Sha256> },
}

impl Credentials {
    /// # Errors
    /// One sentence that does not show a secret.
    pub fn of(settings: &Settings) -> Result<Credentials, String> {
        let mut fields = HeaderMap::new();
        for (name, value) in &settings.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|e| format!("`headers`: {e}"))?;
            fields.append(name, secret_value(value.expose_secret(), "headers")?);
        }
        let signer = match settings.format.credential {
            Credential::Signature => Signer::Keys(Keys::new(&settings.secrets)?),
            Credential::Basic { user } => {
                let user = settings.user.as_deref().unwrap_or(user);
                fields.insert(AUTHORIZATION, basic(user, only_secret(settings)?)?);
                Signer::None
            }
            Credential::Field { name, user } => {
                fields.insert(name, secret_value(only_secret(settings)?.expose_secret(), "secret")?);
                if let Some((name, user)) = user {
                    let user = settings.user.as_deref().unwrap_or(user);
                    fields.insert(name, secret_value(user, "user")?);
                }
                Signer::None
            }
            Credential::Token { name, issuer } => {
                let key = token_key(only_secret(settings)?)?;
                Signer::Token {
                    name: HeaderName::from_bytes(name.as_bytes()).map_err(|e| e.to_string())?,
                    issuer,
                    key,
                }
            }
            Credential::InBody => {
                only_secret(settings)?;
                Signer::None
            }
        };
        match &settings.login {
            Login::None => {}
            Login::Basic { user, password } => drop(fields.insert(AUTHORIZATION, basic(user, password)?)),
            Login::Bearer(token) => {
                let value = format!("Bearer {}", token.expose_secret());
                fields.insert(AUTHORIZATION, secret_value(&value, "bearer")?);
            }
        }
        Ok(Credentials { signer, fields })
    }

    /// The header fields of a request.
    ///
    /// # Errors
    /// Where the body cannot be read.
    pub async fn fields(&self, id: &str, timestamp: i64, body: &Body) -> io::Result<HeaderMap> {
        let mut fields = self.fields.clone();
        match &self.signer {
            Signer::None => {}
            Signer::Keys(keys) => {
                let signature = keys.sign(id, timestamp, body).await?;
                fields
                    .insert("webhook-signature", HeaderValue::try_from(signature).map_err(io::Error::other)?);
            }
            Signer::Token { name, issuer, key } => {
                let token = token(key, issuer, id, timestamp);
                fields.insert(name, secret_value(&token, "secret").map_err(io::Error::other)?);
            }
        }
        Ok(fields)
    }
}

/// Whatever a text may quote that must not be shown.
pub fn hidden(settings: &Settings) -> Vec<String> {
    let own = settings.secrets.iter().chain(settings.headers.iter().map(|(_, value)| value));
    let mut hidden: Vec<String> = own.map(|secret| secret.expose_secret().to_owned()).collect();
    match (&settings.login, settings.format.credential) {
        (Login::Bearer(token), _) => hidden.push(token.expose_secret().to_owned()),
        (Login::Basic { user, password }, _) => {
            hidden.extend([password.expose_secret().to_owned(), encoded(user, password)]);
        }
        (Login::None, Credential::Basic { user }) => {
            let user = settings.user.as_deref().unwrap_or(user);
            hidden.extend(settings.secrets.iter().map(|password| encoded(user, password)));
        }
        (Login::None, _) => {}
    }
    hidden
}

fn only_secret(settings: &Settings) -> Result<&SecretString, String> {
    let name = settings.format.name;
    match settings.secrets.as_slice() {
        [secret] if secret.expose_secret().is_empty() => Err("`secret` is empty".into()),
        [secret] => Ok(secret),
        [] => Err("a webhook needs a `secret`".into()),
        _ => Err(format!(
            "`secret` is a list, but the format \"{name}\" shows one secret only; keep the one in use"
        )),
    }
}

fn basic(user: &str, password: &SecretString) -> Result<HeaderValue, String> {
    secret_value(&format!("Basic {}", encoded(user, password)), "secret")
}

fn encoded(user: &str, password: &SecretString) -> String {
    STANDARD.encode(format!("{user}:{}", password.expose_secret()))
}

/// A header field's value that no log shows.
fn secret_value(text: &str, key: &str) -> Result<HeaderValue, String> {
    let value = HeaderValue::from_bytes(text.as_bytes());
    let mut value = value.map_err(|_| format!("`{key}` holds a character that no header field can"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn token_key(secret: &SecretString) -> Result<Hmac<Sha256>, String> {
    let key = STANDARD.decode(secret.expose_secret().trim());
    let key = key.map_err(|_| "`secret` is not base64, as this format's is; copy it again")?;
    Hmac::new_from_slice(&key).map_err(|e| format!("`secret` cannot be used ({e})"))
}

/// A JSON Web Token by HS256 (RFC 7515 section 3.1, RFC 7519 section 4.1), of this moment.
fn token(key: &Hmac<Sha256>, issuer: &str, id: &str, timestamp: i64) -> String {
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({ "alg": "HS256", "typ": "JWT" }));
    let claims = part(json!({ "iss": issuer, "iat": timestamp, "nonce": format!("{id}-{timestamp}") }));
    let signed = format!("{header}.{claims}");
    let signature = key.clone().chain_update(signed.as_bytes()).finalize().into_bytes();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
