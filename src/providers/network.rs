//! Where a look-up looks, and whom it trusts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The internet as a look-up sees it. The default is the real one.
#[derive(Clone, Debug)]
pub struct Network {
    /// The DNS server to ask. `None`: those of `/etc/resolv.conf`.
    pub dns: Option<SocketAddr>,
    /// Hosts whose address and port are known without the DNS, be they private or not.
    pub hosts: BTreeMap<String, SocketAddr>,
    /// Hosts on private networks may be asked too: for people whose DNS leads to servers of their own.
    pub allow_private: bool,
    /// A PEM file with the only certificate authorities to trust, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The database of mail providers: the domain is appended to this URL. `None`: it is not asked.
    pub database: Option<String>,
    /// How long a look-up may take in all.
    pub patience: Duration,
}

impl Default for Network {
    fn default() -> Network {
        Network {
            dns: None,
            hosts: BTreeMap::new(),
            allow_private: false,
            ca_file: None,
            // draft-ietf-mailmaint-autoconfig-06 section 4.2; it is Thunderbird's.
            database: Some("https://v1.ispdb.net/".into()),
            patience: Duration::from_secs(10),
        }
    }
}
