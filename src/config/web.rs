//! `[web]`: where the page is, and who may reach it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use secrecy::SecretString;
use toml::de::DeValue;

use super::fault::{Fault, quoted};
use super::section::Section;
use super::surroundings::credentials_folder;
use super::{file, keys, value};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Web {
    pub listen: SocketAddr,
    pub tls: Option<KeyPair>,
    /// Who encrypts for browsers on other machines, and says who they are.
    pub trusted_proxy: Vec<IpNet>,
    /// The names under which browsers ask for the page, in lower case, beside `localhost`.
    pub names: Vec<String>,
    /// Whether the subjects of parked messages are kept and shown.
    pub subjects: bool,
}

/// The files that TLS needs, in PEM form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What the files of a [`KeyPair`] hold.
pub struct Pems {
    pub certificate: Vec<u8>,
    pub key: SecretString,
}

/// A chain of certificates has a few KiB.
const LONGEST: u64 = 1 << 20;

pub fn web(section: &Section<'_>) -> Option<Web> {
    section.only(&[keys::WEB]);
    let tls = key_pair(section);
    let web = Web {
        listen: match section.has("listen") {
            true => section.read("listen", value::listen)?,
            false => keys::LISTEN.parse().ok()?,
        },
        tls,
        trusted_proxy: section.read("trusted_proxy", |v| several(v, network)).unwrap_or_default(),
        names: section.read("names", |v| several(v, name)).unwrap_or_default(),
        subjects: section.flag("subjects"),
    };
    let is_safe = section.has("certificate") || section.has("key") || section.has("trusted_proxy");
    if !web.listen.ip().is_loopback() && !is_safe {
        let text = format!(
            "would show the page to other machines unencrypted; set certificate and key, or trusted_proxy where a \
             proxy encrypts, or listen on 127.0.0.1:{}",
            web.listen.port()
        );
        section.fault("listen", text);
    }
    Some(web)
}

fn key_pair(section: &Section<'_>) -> Option<KeyPair> {
    match (section.path("certificate"), section.path("key")) {
        (Some(certificate), Some(key)) => Some(KeyPair { certificate, key }),
        (Some(_), None) if !section.has("key") => {
            section.fault("certificate", "is of no use without its key; set key too");
            None
        }
        (None, Some(_)) if !section.has("certificate") => {
            section.fault("key", "is of no use without its certificate; set certificate too");
            None
        }
        _ => None,
    }
}

/// One text, or a list of them.
fn several<T>(value: &DeValue<'_>, read: impl Fn(&DeValue<'_>) -> value::Read<T>) -> value::Read<Vec<T>> {
    match value.as_array() {
        Some(list) => list.iter().map(|value| read(value.get_ref())).collect(),
        None => Ok(vec![read(value)?]),
    }
}

fn network(value: &DeValue<'_>) -> value::Read<IpNet> {
    let text = value::text(value)?;
    let address = text.parse::<IpAddr>().map(IpNet::from);
    address.or_else(|_| text.parse::<IpNet>()).map_err(|_| {
        format!("{} is no address or network; write it like \"127.0.0.1\" or \"172.16.0.0/12\"", quoted(text))
    })
}

fn name(value: &DeValue<'_>) -> value::Read<String> {
    value::host(value).map(|host| host.to_ascii_lowercase())
}

impl KeyPair {
    /// Reads both files.
    ///
    /// # Errors
    /// Which of them cannot be read, as a complaint about `main`, the main file.
    pub async fn read(&self, main: &std::path::Path) -> Result<Pems, Fault> {
        let files = self.clone();
        let reading = tokio::task::spawn_blocking(move || files.read_now());
        let read = reading.await.unwrap_or_else(|e| Err(("certificate", e.to_string())));
        read.map_err(|(key, text)| Fault {
            file: main.to_owned(),
            line: None,
            key: format!("web.{key}"),
            text,
        })
    }

    fn read_now(&self) -> Result<Pems, (&'static str, String)> {
        let complaint = |path: &std::path::Path, reason: String| format!("{} {reason}", path.display());
        let credentials = credentials_folder(&|name| std::env::var_os(name));
        let certificate = file::read(&self.certificate, LONGEST, None)
            .map_err(|reason| ("certificate", complaint(&self.certificate, reason)))?;
        let key = file::read(&self.key, LONGEST, credentials.as_deref())
            .map_err(|reason| ("key", complaint(&self.key, reason)))?;
        if let Some(mode) = key.exposed {
            let shown = self.key.display();
            return Err((
                "key",
                format!("{shown} is open to other users (mode {mode:04o}); run `chmod 600 {shown}`"),
            ));
        }
        let text =
            String::from_utf8(key.bytes).map_err(|_| ("key", complaint(&self.key, "is not PEM".into())))?;
        Ok(Pems { certificate: certificate.bytes, key: text.into() })
    }
}
