//! Who lets people sign in by OAuth 2, and where: addresses and scopes are from the providers' own documentation.

/// An identity provider.
#[derive(Debug)]
pub struct Identity {
    /// The word for it in the config.
    pub id: &'static str,
    pub name: &'static str,
    /// `{tenant}` stands for the part that differs from organisation to organisation.
    pub authorize_url: &'static str,
    pub token_url: &'static str,
    /// `None`: it lets nobody sign in to mail by a code.
    pub device_url: Option<&'static str>,
    /// What to ask for, to retrieve by POP3.
    pub pop3: &'static [&'static str],
    /// What to ask for, to store by IMAP.
    pub imap: &'static [&'static str],
    /// What to ask for, to import mail by Gmail's API; empty where it is not Google.
    pub gmail: &'static [&'static str],
    /// What else belongs into the request.
    pub parameters: &'static [(&'static str, &'static str)],
    /// It wants a secret even of a program that cannot keep one.
    pub wants_secret: bool,
    /// The year and month of the documentation: `YYYY-MM`.
    pub checked: &'static str,
}

/// All of them.
pub const IDENTITIES: &[Identity] = &[
    Identity {
        id: "microsoft",
        name: "Microsoft",
        authorize_url: "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/authorize",
        token_url: "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
        device_url: Some("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/devicecode"),
        pop3: &["https://outlook.office.com/POP.AccessAsUser.All", "offline_access"],
        imap: &["https://outlook.office.com/IMAP.AccessAsUser.All", "offline_access"],
        gmail: &[],
        parameters: &[],
        wants_secret: false,
        checked: "2026-03",
    },
    Identity {
        id: "google",
        name: "Google",
        authorize_url: "https://accounts.google.com/o/oauth2/v2/auth",
        token_url: "https://oauth2.googleapis.com/token",
        device_url: None,
        pop3: &["https://mail.google.com/"],
        imap: &["https://mail.google.com/"],
        // To add mail, and to name it: neither lets anybody read.
        gmail: &[
            "https://www.googleapis.com/auth/gmail.insert",
            "https://www.googleapis.com/auth/gmail.labels",
        ],
        // Without them there is no refresh token, or only the first time.
        parameters: &[("access_type", "offline"), ("prompt", "consent")],
        wants_secret: true,
        checked: "2026-03",
    },
];

/// Where `{tenant}` is not configured: work accounts and personal ones.
pub const ANY_TENANT: &str = "common";

/// The identity provider with this word.
pub fn identity(id: &str) -> Option<&'static Identity> {
    IDENTITIES.iter().find(|identity| identity.id == id)
}
