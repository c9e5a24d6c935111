//! What is written at a login (RFC 4422), in base64 where it is for AUTH or AUTHENTICATE. No I/O.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::Proof;
use crate::printable::printable;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// Google's, and Microsoft's.
    XOAuth2,
    /// RFC 7628.
    OAuthBearer,
}

impl Mechanism {
    /// The one to use for `proof` at a server that announces what `is_known`. XOAUTH2 comes first: the providers that have
    /// both document that one.
    pub fn choose(proof: &Proof, is_known: impl Fn(&str) -> bool) -> Option<Mechanism> {
        let fitting: &[Mechanism] = match proof {
            Proof::Password(_) => &[Mechanism::Plain],
            Proof::Token(_) => &[Mechanism::XOAuth2, Mechanism::OAuthBearer],
        };
        fitting.iter().copied().find(|mechanism| is_known(mechanism.name()))
    }

    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::XOAuth2 => "XOAUTH2",
            Mechanism::OAuthBearer => "OAUTHBEARER",
        }
    }

    /// The response that proves who `user` is, in base64.
    pub fn response(self, user: &str, secret: &SecretString) -> SecretString {
        let secret = secret.expose_secret();
        let message = match self {
            Mechanism::Plain => format!("\0{user}\0{secret}"),
            Mechanism::XOAuth2 => format!("user={user}\x01auth=Bearer {secret}\x01\x01"),
            // RFC 5801 section 4: a comma and an equals sign of a name are escaped.
            Mechanism::OAuthBearer => {
                let user = user.replace('=', "=3D").replace(',', "=2C");
                format!("n,a={user},\x01auth=Bearer {secret}\x01\x01")
            }
        };
        let message = SecretString::from(message);
        BASE64_STANDARD.encode(message.expose_secret()).into()
    }

    /// What ends the exchange after a challenge that says why the token is refused; `None` where a challenge says no such
    /// thing.
    pub fn closing(self) -> Option<&'static str> {
        match self {
            Mechanism::Plain => None,
            Mechanism::XOAuth2 => Some(""),
            // One octet 0x01 (RFC 7628 section 3.2.3).
            Mechanism::OAuthBearer => Some("AQ=="),
        }
    }
}

/// The longest challenge that is read, in octets of base64.
const CHALLENGE: usize = 4 << 10;

/// Why a token is refused, in words that are safe to show (RFC 7628 section 3.2.2). `None` where the challenge does not say.
pub fn refusal(challenge: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        status: String,
    }
    let challenge = challenge.trim_ascii();
    if challenge.is_empty() || challenge.len() > CHALLENGE {
        return None;
    }
    let json = BASE64_STANDARD.decode(challenge).ok()?;
    let refusal: Refusal = serde_json::from_slice(&json).ok()?;
    Some(printable(refusal.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(mechanism: Mechanism, user: &str) -> String {
        let response = mechanism.response(user, &"ya29.token".into());
        String::from_utf8(BASE64_STANDARD.decode(response.expose_secret()).unwrap()).unwrap()
    }

    /// Google's own example, but for the names.
    #[test]
    fn responses_are_as_documented() {
        assert_eq!(decoded(Mechanism::Plain, "me"), "\0me\0ya29.token");
        assert_eq!(
            decoded(Mechanism::XOAuth2, "me@example.org"),
            "user=me@example.org\x01auth=Bearer ya29.token\x01\x01"
        );
        assert_eq!(
            decoded(Mechanism::OAuthBearer, "a,b=c@d"),
            "n,a=a=2Cb=3Dc@d,\x01auth=Bearer ya29.token\x01\x01"
        );
    }

    #[test]
    fn a_refusal_is_read_and_bounded() {
        let challenge = |json: &str| BASE64_STANDARD.encode(json);
        assert_eq!(
            refusal(challenge(r#"{"status":"401","schemes":"bearer","scope":"x"}"#).as_bytes()).as_deref(),
            Some("401")
        );
        assert_eq!(refusal(challenge(r#"{"status":"\u001b[31m"}"#).as_bytes()).as_deref(), Some("\\x1B[31m"));
        assert_eq!(refusal(b""), None);
        assert_eq!(refusal(b"eyJ"), None);
        assert_eq!(refusal(&vec![b'A'; CHALLENGE + 1]), None);
    }

    #[test]
    fn a_token_never_goes_where_only_passwords_do() {
        let token = Proof::Token("t".into());
        assert_eq!(Mechanism::choose(&token, |name| name == "PLAIN"), None);
        assert_eq!(Mechanism::choose(&token, |_| true), Some(Mechanism::XOAuth2));
        assert_eq!(Mechanism::choose(&token, |name| name == "OAUTHBEARER"), Some(Mechanism::OAuthBearer));
        assert_eq!(Mechanism::choose(&Proof::Password("p".into()), |name| name != "PLAIN"), None);
    }
}
