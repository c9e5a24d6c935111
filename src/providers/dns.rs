//! The DNS: who takes a domain's mail, which servers it names, and where a host is, if that is on the public internet.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use reqwest::dns::{Addrs, Resolve, Resolving};

use super::address::host_name;
use super::network::Network;
use crate::printable::printable;

/// How long one question to one DNS server may take, and how often it is asked.
const TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;

/// Cheap to clone.
#[derive(Clone)]
pub struct Dns {
    resolver: TokioResolver,
    hosts: Arc<BTreeMap<String, SocketAddr>>,
    allow_private: bool,
}

/// A server that a domain names (RFC 2782), by a name that has been checked.
#[derive(Debug, PartialEq, Eq)]
pub struct Service {
    pub host: String,
    pub port: u16,
}

impl Dns {
    /// # Errors
    /// One sentence on why there is no DNS.
    pub fn new(network: &Network) -> Result<Dns, String> {
        let builder = match network.dns {
            None => TokioResolver::builder_tokio(),
            Some(server) => {
                Ok(TokioResolver::builder_with_config(only(server), TokioRuntimeProvider::default()))
            }
        };
        let unusable = |e: NetError| {
            format!("/etc/resolv.conf names no usable DNS server ({}); mend it", printable(e.to_string()))
        };
        let mut builder = builder.map_err(unusable)?;
        let options = builder.options_mut();
        options.timeout = TIMEOUT.min(network.patience / 3);
        options.attempts = ATTEMPTS;
        Ok(Dns {
            resolver: builder.build().map_err(unusable)?,
            hosts: Arc::new(network.hosts.clone()),
            allow_private: network.allow_private,
        })
    }

    /// The host that takes the domain's mail first.
    ///
    /// # Errors
    /// A clause that can follow "the mail of DOMAIN".
    pub async fn mx(&self, domain: &str) -> Result<String, String> {
        let records = self.records(domain, RecordType::MX).await?;
        let hosts = records.into_iter().filter_map(|record| match record {
            RData::MX(mx) => Some((mx.preference, mx.exchange)),
            _ => None,
        });
        let (_, host) = hosts.min().ok_or("has no host that takes it (MX)")?;
        if host.is_root() {
            // RFC 7505.
            return Err("is taken by nobody, says the DNS (MX)".into());
        }
        host_name(&host.to_ascii()).ok_or_else(|| "goes to a host without a proper name (MX)".into())
    }

    /// The domain's servers for a service such as `_pop3s`, the preferred first (RFC 6186).
    ///
    /// # Errors
    /// A clause that can follow the service's name.
    pub async fn services(&self, service: &str, domain: &str) -> Result<Vec<Service>, String> {
        let records = self.records(&format!("{service}._tcp.{domain}"), RecordType::SRV).await?;
        let mut found: Vec<_> = records
            .into_iter()
            .filter_map(|record| match record {
                RData::SRV(srv) => Some(srv),
                _ => None,
            })
            .collect();
        if found.iter().any(|srv| srv.target.is_root()) {
            return Err("is not offered, says the DNS".into());
        }
        found.sort_by_key(|srv| (srv.priority, u16::MAX - srv.weight));
        let usable = found.iter().filter_map(|srv| {
            let host = host_name(&srv.target.to_ascii())?;
            (srv.port != 0).then_some(Service { host, port: srv.port })
        });
        Ok(usable.take(MOST_SERVICES).collect())
    }

    /// Where a host is. What is not on the public internet is left out, unless it is asked for: nobody who answers a
    /// look-up shall send it into the network that it is made from.
    ///
    /// # Errors
    /// A clause that can follow the host's name.
    async fn addresses(&self, host: &str) -> Result<Vec<SocketAddr>, String> {
        let host = host_name(host).ok_or("is not a name on the internet")?;
        if let Some(address) = self.hosts.get(&host) {
            return Ok(vec![*address]);
        }
        let found = self.resolver.lookup_ip(fully_qualified(&host)?).await.map_err(|e| why(&e))?;
        let addresses: Vec<IpAddr> =
            found.iter().filter(|address| self.allow_private || is_public(*address)).collect();
        if addresses.is_empty() {
            return Err("is on a private network, where nothing is looked up".into());
        }
        // Port 0 stands for that of the URL.
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect())
    }

    async fn records(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, String> {
        match self.resolver.lookup(fully_qualified(name)?, kind).await {
            Ok(found) => Ok(found.answers().iter().map(|record| record.data.clone()).collect()),
            Err(e) if e.is_no_records_found() || e.is_nx_domain() => Ok(Vec::new()),
            Err(e) => Err(why(&e)),
        }
    }
}

/// Why a host that HTTP wants cannot be connected to: a clause that names it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Lost(String);

const MOST_SERVICES: usize = 4;

fn only(server: SocketAddr) -> ResolverConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let connections = connections.into_iter().map(|mut connection| {
        connection.port = server.port();
        connection
    });
    let server = NameServerConfig::new(server.ip(), true, connections.collect());
    ResolverConfig::from_parts(None, Vec::new(), vec![server])
}

/// With its final dot, so that no search list is appended.
fn fully_qualified(name: &str) -> Result<Name, String> {
    Name::from_ascii(format!("{name}.")).map_err(|_| "is too long for the DNS".into())
}

fn why(error: &NetError) -> String {
    if error.is_nx_domain() || error.is_no_records_found() {
        return "is not in the DNS".into();
    }
    match error {
        NetError::Timeout => "is not known, for the DNS does not answer".into(),
        other => format!("is not known, for the DNS fails ({})", printable(other.to_string())),
    }
}

/// Every address that an HTTP client connects to comes from here, after a redirect too, so it does not matter how often the
/// DNS changes its mind.
impl Resolve for Dns {
    fn resolve(&self, name: reqwest::dns::Name) -> Resolving {
        let dns = self.clone();
        Box::pin(async move {
            let host = name.as_str();
            let addresses = dns.addresses(host).await.map_err(|why| Lost(format!("{host} {why}")))?;
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

/// Whether an address belongs to the internet that everybody shares, by the registries of special-purpose addresses
/// (RFC 6890): not private, loopback, link-local, shared, multicast, reserved or for documentation.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let by_first = matches!(a, 0 | 10 | 127 | 224..);
    let by_second =
        matches!((a, b), (100, 64..=127) | (169, 254) | (172, 16..=31) | (192, 168) | (198, 18 | 19));
    let by_third = matches!((a, b, c), (192, 0, 0 | 2) | (192, 88, 99) | (198, 51, 100) | (203, 0, 113));
    !(by_first || by_second || by_third)
}

/// Global unicast is 2000::/3. Of that 2001::/23 is special, 2002::/16 and 64:ff9b::/96 carry an IPv4 address, and the
/// others are for documentation.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b) {
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => v4(g, h),
        (0x2002, high) => v4(high, c),
        (0x2001, 0..=0x01ff | 0x0db8) | (0x3fff, 0..=0x0fff) => false,
        _ => (0x2000..=0x3fff).contains(&a),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_internet_that_everybody_shares_is_public() {
        for public in [
            "9.9.9.9",
            "100.63.255.255",
            "172.32.0.1",
            "192.1.0.1",
            "223.255.255.255",
            "2620:fe::9",
            "2a00:1450::1",
            "64:ff9b::909:909",
            "2002:909:909::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:9.9.9.9",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:c0a8:101::",
            "3fff::1",
            "100::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }
}
