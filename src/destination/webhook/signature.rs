//! Who sent a request: the signature of Standard Webhooks 1.0.0, over bytes.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::super::body::Body;

/// The secrets of one endpoint, ready to sign. While a secret is being replaced there are several, and each signs.
pub struct Keys(Vec<Hmac<Sha256>>);

impl Keys {
    /// A secret that begins with `whsec_` is base64 behind that; any other is taken as it stands.
    ///
    /// # Errors
    /// One sentence, where there is no secret, an empty one, or one that is not base64 though it should be.
    pub fn new(secrets: &[SecretString]) -> Result<Keys, String> {
        if secrets.is_empty() {
            return Err("a webhook needs a `secret`: any long random text, the same at its endpoint".into());
        }
        secrets.iter().map(|secret| key(secret.expose_secret())).collect::<Result<_, _>>().map(Keys)
    }

    /// The value of `webhook-signature`: a signature by each secret over `id.timestamp.body`.
    ///
    /// # Errors
    /// Where the body cannot be read.
    pub async fn sign(&self, id: &str, timestamp: i64, body: &Body) -> io::Result<String> {
        let mut signers = self.0.clone();
        for signer in &mut signers {
            signer.update(format!("{id}.{timestamp}.").as_bytes());
        }
        let mut pieces = body.pieces();
        while let Some(piece) = pieces.next().await? {
            for signer in &mut signers {
                signer.update(&piece);
            }
        }
        let signatures = signers.into_iter().map(|signer| STANDARD.encode(signer.finalize().into_bytes()));
        Ok(signatures.map(|signature| format!("v1,{signature}")).collect::<Vec<_>>().join(" "))
    }
}

impl Keys {
    /// Whether one of `signatures`, the value of `webhook-signature`, is by one of the secrets.
    pub fn verify(&self, id: &str, timestamp: &str, signatures: &str, body: &[u8]) -> bool {
        let is_by = |key: &Hmac<Sha256>, signature: &[u8]| {
            let signed = key.clone().chain_update(format!("{id}.{timestamp}.")).chain_update(body);
            signed.verify_slice(signature).is_ok()
        };
        let signatures = signatures.split(' ').filter_map(|signature| signature.strip_prefix("v1,"));
        let mut signatures = signatures.filter_map(|signature| STANDARD.decode(signature).ok());
        signatures.any(|signature| self.0.iter().any(|key| is_by(key, &signature)))
    }
}

fn key(secret: &str) -> Result<Hmac<Sha256>, String> {
    let bytes = match secret.strip_prefix("whsec_") {
        Some(encoded) => STANDARD
            .decode(encoded.trim())
            .map_err(|_| "`secret` begins with `whsec_`, but what follows is not base64; copy it again")?,
        None => secret.as_bytes().to_owned(),
    };
    if bytes.is_empty() {
        return Err("`secret` is empty".into());
    }
    Hmac::new_from_slice(&bytes).map_err(|e| format!("`secret` cannot be used ({e})"))
}
