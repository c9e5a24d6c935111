//! What is wrong, as the terminal says it, by the keys of the config, and as the page does, by the labels of its fields.

use crate::auth;
use crate::config::Fault;
use crate::destination::{gmail, imap_folder};
use crate::net::{self, Remedy};
use crate::pop3;

/// Why nobody was let in: a clause that can follow the host's name.
#[derive(Debug, thiserror::Error)]
pub enum LoginFault {
    #[error(transparent)]
    Pop3(#[from] pop3::Error),
    #[error("{}", imap_on_terminal(.0))]
    Imap(#[from] imap_folder::Fault),
    #[error(transparent)]
    Gmail(#[from] gmail::Refused),
}

impl LoginFault {
    /// It was the user, or the password, or the sign-in, that was refused.
    pub fn is_of_credentials(&self) -> bool {
        match self {
            LoginFault::Pop3(fault) => {
                matches!(
                    fault,
                    pop3::Error::Auth { .. }
                        | pop3::Error::Token { .. }
                        | pop3::Error::SignIn(auth::Error::SignIn(_))
                )
            }
            LoginFault::Imap(fault) => {
                matches!(
                    fault,
                    imap_folder::Fault::Refused { command: "LOGIN" | "AUTHENTICATE", .. }
                        | imap_folder::Fault::Token { .. }
                        | imap_folder::Fault::SignIn(auth::Error::SignIn(_))
                )
            }
            LoginFault::Gmail(refused) => refused.is_of_sign_in,
        }
    }

    /// The same for somebody who has the page's fields before them.
    pub fn on_page(&self) -> String {
        match self {
            LoginFault::Pop3(fault) => pop3_on_page(fault),
            LoginFault::Imap(fault) => imap_on_page(fault),
            LoginFault::Gmail(refused) => refused.to_string(),
        }
    }
}

fn imap_on_terminal(fault: &imap_folder::Fault) -> String {
    match fault {
        imap_folder::Fault::Refused { command: "LOGIN" | "AUTHENTICATE", refusal } => {
            format!("the login was refused ({refusal}); check `user` and `password`")
        }
        fault => fault.to_string(),
    }
}

const NO_FIT: &str = "check that Port and Encryption fit together";
const CREDENTIALS: &str = "check User name and Password";
const SIGNED_IN: &str =
    "check that User name is who has signed in, and that the provider lets programs in; else sign in again";

fn pop3_on_page(fault: &pop3::Error) -> String {
    match fault {
        pop3::Error::Net(fault) => net_on_page(fault, "POP3 server"),
        pop3::Error::NoGreeting { after } => format!("no greeting within {} s; {NO_FIT}", after.as_secs()),
        pop3::Error::Auth { text, .. } => {
            format!("the login was refused (`{text}`); {CREDENTIALS}, and whether POP3 is switched on")
        }
        pop3::Error::Token { text, .. } => format!("the sign-in was refused (`{text}`); {SIGNED_IN}"),
        pop3::Error::NoTls(what) => {
            format!("{what}; no password was sent; choose TLS from the first byte, with port 995")
        }
        fault => fault.to_string(),
    }
}

fn imap_on_page(fault: &imap_folder::Fault) -> String {
    match fault {
        imap_folder::Fault::Net(fault) => net_on_page(fault, "IMAP server"),
        imap_folder::Fault::NoGreeting => format!("no greeting; {NO_FIT}"),
        imap_folder::Fault::Plaintext => {
            "a password must not go over an unencrypted connection; choose TLS or STARTTLS".into()
        }
        imap_folder::Fault::Refused { command: "LOGIN" | "AUTHENTICATE", refusal } => {
            format!("the login was refused ({refusal}); {CREDENTIALS}")
        }
        imap_folder::Fault::Token { refusal, .. } => {
            format!("the sign-in was refused: {refusal}; {SIGNED_IN}")
        }
        fault => fault.to_string(),
    }
}

/// `server` is the label of the field for the host.
fn net_on_page(fault: &net::Error, server: &str) -> String {
    match fault {
        net::Error::Resolve(fault) => {
            format!("the host name cannot be looked up ({fault}); check the spelling of {server}")
        }
        net::Error::Connect(fault) => {
            format!(
                "no connection ({fault}); check {server} and Port, and that a firewall lets mailferry out"
            )
        }
        net::Error::Tls(fault) => format!("TLS failed ({fault}); {NO_FIT}"),
        net::Error::Certificate { what, remedy: Remedy::OtherName(_) } => {
            format!("{what}; use a name it bears as {server}")
        }
        net::Error::Certificate { what, remedy: Remedy::Trust } => {
            format!("{what}; if it is your own server, say in the config whom to trust: this page cannot")
        }
        fault => fault.to_string(),
    }
}

/// What the config would refuse, in a sentence for somebody who has the page's fields before them.
pub fn on_page(fault: &Fault) -> String {
    match fault.key.as_str() {
        "host" => "This is no host: type the name of the server alone, such as pop.example.com.".into(),
        "tls" => "The password and the mail would go there unencrypted; choose TLS or STARTTLS.".into(),
        // What was typed comes first.
        _ if fault.text.starts_with('"') => format!("{}.", fault.text),
        _ => format!("It {}.", fault.text),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;

    /// What a person is told to check on the page is there under that name.
    #[test]
    fn the_page_speaks_of_its_fields_and_of_no_keys() {
        let io = || io::Error::other("gone");
        let net = || {
            let certificate =
                |remedy| net::Error::Certificate { what: "the certificate is odd".into(), remedy };
            [
                net::Error::Resolve(io()),
                net::Error::Connect(io()),
                net::Error::Tls("it is not TLS".into()),
                certificate(Remedy::Trust),
                certificate(Remedy::OtherName("use a name it bears as `host`, or set `server_name`".into())),
            ]
        };
        let pop3 = [
            pop3::Error::NoGreeting { after: Duration::from_secs(60) },
            pop3::Error::Auth { code: None, text: "no".into() },
            pop3::Error::NoTls("the server does not offer TLS".into()),
        ];
        let imap = [imap_folder::Fault::NoGreeting, imap_folder::Fault::Plaintext];
        let faults = net().map(|fault| LoginFault::from(pop3::Error::from(fault))).into_iter();
        let faults = faults.chain(net().map(|fault| LoginFault::from(imap_folder::Fault::from(fault))));
        let faults = faults.chain(pop3.map(LoginFault::from)).chain(imap.map(LoginFault::from));
        for fault in faults {
            let (page, terminal) = (fault.on_page(), fault.to_string());
            let keys = [
                "`host`",
                "`port`",
                "`tls`",
                "`user`",
                "`password`",
                "ca_file",
                "`pin`",
                "tls =",
                "server_name",
            ];
            assert!(
                keys.iter().any(|key| terminal.contains(key)) || terminal.contains("\"starttls\""),
                "{terminal}"
            );
            assert!(!keys.iter().any(|key| page.contains(key)), "{page}");
        }
    }

    #[test]
    fn what_the_config_would_refuse_is_said_in_a_sentence() {
        let said = |key: &str, text: &str| {
            on_page(&Fault { file: PathBuf::new(), line: None, key: key.into(), text: text.into() })
        };
        assert!(said("host", "\"a b\" is not a host; write host = x").starts_with("This is no host: "));
        assert!(!said("tls", "set allow_plaintext = true").contains("allow_plaintext"));
        assert_eq!(said("folder", "\"a//b\" has an empty level"), "\"a//b\" has an empty level.");
        assert_eq!(said("user", "must not be empty"), "It must not be empty.");
    }
}
