//! The key, and what is encrypted by it: XChaCha20-Poly1305, whose nonces are long enough to be drawn by chance.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// The fewest characters of a key: it is no password, and nobody has to type it.
pub const KEY_LENGTH: usize = 32;

const NONCE: usize = 24;

/// What tokens are encrypted with.
#[derive(Clone)]
pub struct Key(XChaCha20Poly1305);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// The text of a key drawn by chance: 256 bits.
///
/// # Errors
/// Where the system gives no random numbers.
pub fn new_key() -> Result<SecretString, String> {
    use base64::Engine;
    let bytes: [u8; 32] = random()?;
    Ok(base64::prelude::BASE64_STANDARD.encode(bytes).into())
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| format!("the system gives no random numbers ({e})"))?;
    Ok(bytes)
}

impl Key {
    /// The key that a text stands for, as a file or a credential holds it.
    ///
    /// # Errors
    /// A clause, where it is too short to be one.
    pub fn new(text: &SecretString) -> Result<Key, String> {
        let text = text.expose_secret().trim();
        if text.len() < KEY_LENGTH {
            return Err(format!("has {} characters, and a key needs {KEY_LENGTH} or more", text.len()));
        }
        let key = Sha256::new().chain_update("mailferry token key\n").chain_update(text).finalize();
        Ok(Key(XChaCha20Poly1305::new(&key)))
    }

    /// Encrypts, and binds it to `holder`: under another name it does not open.
    pub(super) fn seal(&self, holder: &str, plain: &[u8]) -> Result<Vec<u8>, String> {
        let nonce: [u8; NONCE] = random()?;
        let payload = Payload { msg: plain, aad: holder.as_bytes() };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload).map_err(|_| "it cannot be encrypted")?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// `None` where it was encrypted by another key, or for another holder, or is damaged.
    pub(super) fn open(&self, holder: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        self.0.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: holder.as_bytes() }).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(letter: &str) -> Key {
        Key::new(&letter.repeat(KEY_LENGTH).into()).unwrap()
    }

    #[test]
    fn opens_for_its_key_and_holder_alone() {
        let sealed = key("a").seal("account/work", b"refresh").unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"refresh"));
        assert_eq!(key("a").open("account/work", &sealed).as_deref(), Some(b"refresh".as_slice()));
        assert_eq!(key("b").open("account/work", &sealed), None);
        assert_eq!(key("a").open("account/home", &sealed), None);
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(key("a").open("account/work", &damaged), None, "{at}");
        }
        assert_eq!(key("a").open("account/work", &sealed[..10]), None);
        assert_ne!(key("a").seal("account/work", b"refresh").unwrap(), sealed);
    }

    #[test]
    fn a_key_is_no_password() {
        assert_eq!(Key::new(&"secret".into()).unwrap_err(), "has 6 characters, and a key needs 32 or more");
        assert!(Key::new(&new_key().unwrap()).is_ok());
    }
}
