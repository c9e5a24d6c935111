//! Every key there is, and every default. `config/mailferry.toml` shows them, and a test keeps it so.

use std::time::Duration;

use crate::net::Tls;

pub const TOP: &[&str] = &[
    "ledger",
    "accounts_dir",
    "token_key",
    "web",
    "log",
    "alerts",
    "lookup",
    "oauth",
    "destination",
    "account",
];
pub const WEB: &[&str] = &["listen", "certificate", "key", "trusted_proxy", "names", "subjects"];
pub const LOG: &[&str] = &["format", "level"];
pub const ALERTS: &[&str] =
    &["to", "url", "format", "secret", "command", "after", "heartbeat", "allow_plaintext"];
/// Of `[oauth.NAME]`.
pub const OAUTH: &[&str] = &[
    "provider",
    "client_id",
    "client_secret",
    "tenant",
    "authorize_url",
    "token_url",
    "device_url",
    "scopes",
    "ca_file",
];
pub const LOOKUP: &[&str] = &["enabled", "dns", "database", "allow_private", "ca_file"];
/// The keys of a peer, which `[account.NAME]` and an IMAP `[destination.NAME]` share.
pub const PEER: &[&str] =
    &["host", "port", "tls", "user", "password", "oauth", "ca_file", "server_name", "pin", "allow_plaintext"];
/// Beside those of [`PEER`].
pub const ACCOUNT: &[&str] = &[
    "max_size",
    "every",
    "cron",
    "time_zone",
    "leave_copy",
    "import",
    "spam_headers",
    "deliver",
    "deliver_to",
    "paused",
];
pub const DELIVER: &[&str] =
    &["to", "folder", "skip_inbox", "labels", "mark_read", "junk", "recipient", "when"];
pub const WHEN: &[&str] =
    &["header", "equals", "contains", "matches", "larger", "smaller", "attachment", "all", "any", "not"];
/// Beside those of [`PEER`].
pub const IMAP: &[&str] = &["kind", "daily_budget"];
pub const GMAIL: &[&str] =
    &["kind", "user", "oauth", "url", "never_mark_spam", "process_for_calendar", "ca_file"];
pub const WEBHOOK: &[&str] = &[
    "kind",
    "url",
    "format",
    "secret",
    "user",
    "password",
    "bearer",
    "headers",
    "fields",
    "recipient_headers",
    "max_bytes",
    "oversize",
    "expect",
    "follow_redirects",
    "max_in_flight",
    "connect_timeout",
    "timeout",
    "ca_file",
    "pin",
    "allow_plaintext",
];
pub const SECRET: &[&str] = &["file", "env", "command", "credential"];

pub const LEDGER: &str = "mailferry.db";
/// There is none by default: this is what setup writes.
pub const ACCOUNTS_DIR: &str = "accounts.d";
/// What the file of the key for tokens is called, beside the ledger: its name with this in the place of `db`.
pub const TOKEN_KEY: &str = "key";
pub const LISTEN: &str = "127.0.0.1:8025";

/// Ports for TLS from the first byte, and for the plaintext that STARTTLS begins with.
pub struct Ports {
    pub implicit: u16,
    pub plaintext: u16,
}

impl Ports {
    pub fn of(&self, tls: Tls) -> u16 {
        match tls {
            Tls::Implicit => self.implicit,
            Tls::StartTls | Tls::None => self.plaintext,
        }
    }
}

pub const POP3_PORTS: Ports = Ports { implicit: 995, plaintext: 110 };
pub const IMAP_PORTS: Ports = Ports { implicit: 993, plaintext: 143 };

/// How long something is wrong before people are told.
pub const AFTER: Duration = Duration::from_secs(60 * 60);

/// How long mail stays where it is: for longer than anybody lives.
pub const LONGEST_COPY: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

pub const FOLDER: &str = "INBOX";
/// What SpamAssassin and its kind write.
pub const SPAM_HEADERS: &[&str] = &["X-Spam-Flag: YES", "X-Spam-Status: Yes"];
pub use crate::pop3::MAX_SIZE;

pub const MAX_IN_FLIGHT: usize = 8;
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
pub const TIMEOUT: Duration = Duration::from_secs(30);
