//! Who is signed in: the password, the cookies, and how often somebody may try.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tracing::warn;

use super::answers::Refusal;
use super::guard::{Access, Client};
use super::{House, Page};
use crate::ledger::Token;

/// How long somebody stays signed in.
const SESSION: TimeDelta = TimeDelta::days(30);

/// Attempts in this time, from one address, and from all together.
const WHILE: Duration = Duration::from_secs(60);
const ATTEMPTS: usize = 5;
const ATTEMPTS_OF_ALL: usize = 100;

/// In characters. NIST SP 800-63B section 5.1.1.2 asks for 8.
pub const SHORTEST_PASSWORD: usize = 8;

/// Passwords that are hashed at the same time: each takes 19 MiB.
const HASHES: usize = 2;

pub struct Sessions {
    attempts: Mutex<VecDeque<(Instant, IpAddr)>>,
    hashing: Semaphore,
    /// Proves, until there is a password, that somebody can read the log.
    code: Option<String>,
}

impl Sessions {
    /// Says in the log what to do where there is no password yet.
    pub async fn new(house: &House) -> Sessions {
        let mut sessions =
            Sessions { attempts: Mutex::default(), hashing: Semaphore::new(HASHES), code: None };
        if let Ok(None) = house.visitor.page_password().await {
            sessions.code = code();
            let (address, code) = (house.access().listen, sessions.code.as_deref());
            warn!(%address, code, "the page has no password yet: open it and set one; beyond this machine it asks for the code");
        }
        sessions
    }

    /// Whether somebody may set the first password: on this machine anybody, from elsewhere who knows the code.
    pub fn is_code(&self, code: &str) -> bool {
        let typed: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
        let digest = |code: &str| Sha256::digest(code.replace('-', "").as_bytes());
        self.code.as_deref().is_some_and(|known| digest(known) == digest(&typed.to_ascii_uppercase()))
    }

    /// Counts an attempt.
    ///
    /// # Errors
    /// These were too many in a minute.
    pub fn attempt(&self, address: IpAddr) -> Result<(), Refusal> {
        let (now, address) = (Instant::now(), network_of(address));
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.retain(|(at, _)| now - *at < WHILE);
        let theirs = attempts.iter().filter(|(_, other)| *other == address);
        let first_to_end = match (theirs.clone().count(), attempts.len()) {
            (ATTEMPTS.., _) => theirs.map(|(at, _)| *at).next(),
            (_, ATTEMPTS_OF_ALL..) => attempts.front().map(|(at, _)| *at),
            _ => None,
        };
        if let Some(at) = first_to_end {
            return Err(Refusal::later((WHILE - (now - at)).as_secs() + 1));
        }
        attempts.push_back((now, address));
        Ok(())
    }

    /// The attempts of who has succeeded are forgotten.
    pub fn succeeded(&self, address: IpAddr) {
        let address = network_of(address);
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).retain(|(_, other)| *other != address);
    }

    pub async fn verify(&self, password: SecretString, hash: String) -> bool {
        let _slot = self.hashing.acquire().await;
        let verifying = tokio::task::spawn_blocking(move || {
            let hash = PasswordHash::new(&hash).ok()?;
            Argon2::default().verify_password(password.expose_secret().as_bytes(), &hash).ok()
        });
        matches!(verifying.await, Ok(Some(())))
    }

    pub async fn hash(&self, password: SecretString) -> Result<String, Refusal> {
        let _slot = self.hashing.acquire().await;
        let hashing = tokio::task::spawn_blocking(move || hash(&password));
        let hashed = hashing.await.unwrap_or_else(|e| Err(e.to_string()));
        hashed.map_err(|reason| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, reason))
    }
}

/// A password as the ledger keeps it: Argon2id with a salt, as a PHC string.
///
/// # Errors
/// Where this machine has no random numbers.
pub fn hash(password: &SecretString) -> Result<String, String> {
    let hash = Argon2::default().hash_password(password.expose_secret().as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|e| format!("the password cannot be hashed ({e})"))
}

impl Page {
    /// Signs a browser in. Returns its cookie.
    pub async fn begin_session(&self, client: &Client) -> Result<String, Refusal> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|e| {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("No random numbers ({e})"))
        })?;
        let secret = URL_SAFE_NO_PAD.encode(secret);
        let now = Utc::now();
        self.house.visitor.sign_in(&token(&secret), now, now + SESSION).await?;
        Ok(cookie(client, &secret, SESSION.num_seconds()))
    }

    /// Who is signed in, if the browser is.
    pub async fn session(&self, client: &Client, headers: &HeaderMap) -> Result<Option<Token>, Refusal> {
        let name = cookie_name(client);
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.split_once('='));
        let Some((_, secret)) = pairs.find(|(key, _)| key.trim() == name) else { return Ok(None) };
        let token = token(secret.trim());
        Ok(self.house.visitor.is_signed_in(&token, Utc::now()).await?.then_some(token))
    }
}

/// What takes the cookie away.
pub fn no_cookie(client: &Client) -> String {
    cookie(client, "", 0)
}

fn cookie(client: &Client, secret: &str, seconds: i64) -> String {
    let secure = if client.is_encrypted { "; Secure" } else { "" };
    let name = cookie_name(client);
    format!("{name}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// With the prefix no other host and no unencrypted page can set it (RFC 6265bis section 4.1.3.2).
fn cookie_name(client: &Client) -> &'static str {
    if client.is_encrypted { "__Host-mailferry" } else { "mailferry" }
}

fn token(secret: &str) -> Token {
    Sha256::digest(secret.as_bytes()).into()
}

/// Who has one IPv6 address has 2^64 of them.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

/// 60 bits in letters that are not taken for one another: `K7QF-9XTM-2HRB`.
fn code() -> Option<String> {
    const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let mut random = [0; 12];
    getrandom::fill(&mut random).ok()?;
    let letters: Vec<char> = random.iter().map(|byte| char::from(LETTERS[usize::from(byte & 31)])).collect();
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    Some(groups.join("-"))
}

impl Access {
    /// Whether the first password needs the code: where others than people at this machine may be asking. A proxy may
    /// stand before us without our knowledge, but most say so.
    pub fn needs_code(&self, headers: &HeaderMap) -> bool {
        let signs =
            ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"];
        self.is_beyond_this_machine() || signs.iter().any(|name| headers.contains_key(*name))
    }
}
