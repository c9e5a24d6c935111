//! The look-up: who could know the servers of an address, asked in the order of draft-ietf-mailmaint-autoconfig.
//!
//! Nobody is told the address, only its domain. Nothing that comes back is believed without a person: whoever forges an
//! answer gets the password.

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::address::{Address, base_domain};
use super::autoconfig::{self, Servers};
use super::dns::{Dns, Service};
use super::fetch::Fetcher;
use super::network::Network;
use super::{Endpoint, Login, Provider, User, for_domain, for_host, for_mx};
use crate::net::Tls;

/// What is known of the servers of an address.
#[derive(Clone, Debug)]
pub struct Found {
    /// The most trustworthy first. Empty: a person has to know them.
    pub candidates: Vec<Candidate>,
    /// Who was asked to no avail, and why: a line each, for a person.
    pub misses: Vec<String>,
}

/// The servers of an address, as one source has them.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub source: Source,
    /// Where this is from: a clause for a person.
    pub origin: String,
    /// Who runs the servers, if that is known here: it has the steps to take before a login.
    pub provider: Option<&'static Provider>,
    /// In order of preference; empty where the source names none.
    pub pop3: Vec<Server>,
    pub imap: Vec<Server>,
}

/// Who says so, from the most to the least trustworthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// mailferry knows the provider by the domain of the address.
    Preset,
    /// The domain itself, over HTTPS.
    Domain,
    /// The database of mail providers.
    Database,
    /// Whoever takes the domain's mail, which is as true as the DNS.
    Mx,
    /// The DNS itself (RFC 6186).
    Srv,
    /// The domain itself, but without encryption.
    PlainHttp,
}

/// A server, and what to call the user there. The host is a name in ASCII, the user has no control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub host: String,
    pub port: u16,
    /// Never [`Tls::None`].
    pub tls: Tls,
    pub user: String,
    /// It takes no password, only OAuth 2.
    pub oauth_only: bool,
}

/// Finds the servers of an address: at once where the provider is known, else by asking around for at most
/// [`Network::patience`].
pub async fn find(address: &Address, network: &Network) -> Found {
    if let Some(known) = known(address) {
        return Found { candidates: vec![known], misses: Vec::new() };
    }
    match LookUp::new(address, network) {
        Ok(look_up) => Found::of(look_up.run().await),
        Err(reason) => Found { candidates: Vec::new(), misses: vec![reason] },
    }
}

/// The servers of an address whose provider is known by its domain: nobody is asked.
pub fn known(address: &Address) -> Option<Candidate> {
    let provider = for_domain(address.domain())?;
    let origin = format!("mailferry knows {} (checked {})", provider.name, provider.checked);
    Some(Candidate::of_provider(Source::Preset, origin, provider, address))
}

/// What one source said, or a line on why it said nothing.
type Outcome = Result<Candidate, String>;

impl Found {
    fn of(outcomes: Vec<Outcome>) -> Found {
        let mut found = Found { candidates: Vec::new(), misses: Vec::new() };
        for outcome in outcomes {
            match outcome {
                Ok(candidate) => found.add(candidate),
                Err(miss) => found.misses.push(miss),
            }
        }
        found
    }

    /// What a better source has said already need not be said again.
    fn add(&mut self, new: Candidate) {
        let is_same = |known: &Candidate| known.pop3 == new.pop3 && known.imap == new.imap;
        if !self.candidates.iter().any(is_same) {
            self.candidates.push(new);
        }
    }
}

impl Candidate {
    fn of_provider(
        source: Source,
        origin: String,
        provider: &'static Provider,
        address: &Address,
    ) -> Candidate {
        let servers = |endpoints: &[Endpoint]| {
            endpoints.iter().map(|endpoint| Server::of(provider, endpoint, address)).collect()
        };
        let servers = Servers { pop3: servers(provider.pop3), imap: servers(provider.imap) };
        Candidate { provider: Some(provider), ..Candidate::new(source, origin, servers) }
    }

    fn new(source: Source, origin: String, servers: Servers) -> Candidate {
        let Servers { mut pop3, mut imap } = servers;
        let provider = common_provider(pop3.iter().chain(&imap));
        if provider.is_some_and(|provider| matches!(provider.login, Login::OAuthOnly(_))) {
            pop3.iter_mut().chain(&mut imap).for_each(|server| server.oauth_only = true);
        }
        Candidate { source, origin, provider, pop3, imap }
    }

    /// What a person must say yes to before a password goes to `server`. `None` for a [`Source::Preset`].
    pub fn question(&self, server: &Server) -> Option<String> {
        // Whole, however long: an owner that is cut off could be anybody (draft-ietf-mailmaint-autoconfig section 5.1).
        let owner = base_domain(&server.host);
        let what = if server.oauth_only { "what you sign in for" } else { "your password" };
        let question = format!("{what} would go to {owner}: is that where you have this mailbox?");
        (self.source != Source::Preset).then_some(question)
    }
}

/// Who runs all of the servers. One stranger's among them, and it is nobody: no known name shall vouch for that one.
fn common_provider<'s>(servers: impl Iterator<Item = &'s Server>) -> Option<&'static Provider> {
    let mut providers = servers.map(|server| for_host(&server.host));
    let first = providers.next()??;
    providers.all(|other| other.is_some_and(|other| other.id == first.id)).then_some(first)
}

impl Server {
    fn of(provider: &Provider, endpoint: &Endpoint, address: &Address) -> Server {
        Server {
            host: endpoint.host.into(),
            port: endpoint.port,
            tls: endpoint.tls,
            user: match provider.user {
                User::Address => address.to_string(),
                User::LocalPart => address.local().to_owned(),
            },
            oauth_only: matches!(provider.login, Login::OAuthOnly(_)),
        }
    }
}

/// One look-up under way.
struct LookUp<'a> {
    address: &'a Address,
    network: &'a Network,
    dns: Dns,
    http: Fetcher,
    began: Instant,
}

impl<'a> LookUp<'a> {
    fn new(address: &'a Address, network: &'a Network) -> Result<LookUp<'a>, String> {
        let dns = Dns::new(network)?;
        let http = Fetcher::new(network, dns.clone())?;
        Ok(LookUp { address, network, dns, http, began: Instant::now() })
    }

    /// Asks everybody at once. Who is worse is heard too: a person may know better which one is right. Only the one that
    /// anybody on the way could answer for is not even asked unless there is nothing else.
    async fn run(&self) -> Vec<Outcome> {
        let domain = self.address.domain();
        let (published, database, mx, srv) =
            tokio::join!(self.published(domain), self.database(domain), self.mx(), self.srv());
        let mut outcomes: Vec<Outcome> = published.into_iter().chain(database).chain(mx).collect();
        outcomes.push(srv);
        if !outcomes.iter().flatten().any(|candidate| !candidate.pop3.is_empty()) {
            outcomes.push(self.plain_http(domain).await);
        }
        outcomes
    }

    /// Section 4.1, steps 1.1 and 1.2, without the parameter that would tell the address.
    async fn published(&self, domain: &str) -> Vec<Outcome> {
        let origin = || format!("{domain} publishes these servers");
        let urls = [
            format!("https://autoconfig.{domain}/mail/config-v1.1.xml"),
            format!("https://{domain}/.well-known/autoconfig/mail/config-v1.1.xml"),
        ];
        join_all(urls.into_iter().map(|url| self.ask(url, Source::Domain, origin()))).await
    }

    /// Step 2.1.
    async fn database(&self, domain: &str) -> Option<Outcome> {
        let base = self.network.database.as_ref()?;
        let origin = format!("the database at {base} has these servers for {domain}");
        Some(self.ask(format!("{base}{domain}"), Source::Database, origin).await)
    }

    /// Steps 3.1 to 3.4, by the host that takes the domain's mail.
    async fn mx(&self) -> Vec<Outcome> {
        let domain = self.address.domain();
        let host = match self.in_time(Source::Mx, self.dns.mx(domain)).await {
            Ok(host) => host,
            Err(why) => return vec![Err(format!("the mail of {domain} {why}"))],
        };
        let goes = format!("the mail of {domain} goes to {host}");
        if let Some(provider) = for_mx(&host) {
            let origin = format!("{goes}, which belongs to {}", provider.name);
            return vec![Ok(Candidate::of_provider(Source::Mx, origin, provider, self.address))];
        }
        let asked = hosters(&host).into_iter().filter(|hoster| *hoster != domain).map(async |hoster| {
            let url = format!("https://autoconfig.{hoster}/mail/config-v1.1.xml");
            let origin = format!("{goes}, and {hoster} publishes these servers");
            let published = self.ask(url, Source::Mx, origin);
            let database = async {
                let base = self.network.database.as_ref()?;
                let origin = format!("{goes}, and the database at {base} has these servers for {hoster}");
                Some(self.ask(format!("{base}{hoster}"), Source::Mx, origin).await)
            };
            tokio::join!(published, database)
        });
        let (published, database): (Vec<_>, Vec<_>) = join_all(asked).await.into_iter().unzip();
        published.into_iter().chain(database.into_iter().flatten()).collect()
    }

    /// RFC 6186 for IMAP and POP3, RFC 8314 section 5.1 for the order.
    async fn srv(&self) -> Outcome {
        let domain = self.address.domain();
        let (pop3s, pop3, imaps, imap) = tokio::join!(
            self.service("_pop3s", Tls::Implicit),
            self.service("_pop3", Tls::StartTls),
            self.service("_imaps", Tls::Implicit),
            self.service("_imap", Tls::StartTls),
        );
        let faults: Vec<String> =
            [&pop3s, &pop3, &imaps, &imap].iter().filter_map(|found| found.as_ref().err().cloned()).collect();
        let both = |first: Result<Vec<Server>, String>, second: Result<Vec<Server>, String>| {
            [first.unwrap_or_default(), second.unwrap_or_default()].concat()
        };
        let servers = Servers { pop3: both(pop3s, pop3), imap: both(imaps, imap) };
        if servers.pop3.is_empty() && servers.imap.is_empty() {
            let why = if faults.is_empty() { "not there".to_owned() } else { faults.join(", ") };
            return Err(format!("the servers in the DNS of {domain} (SRV): {why}"));
        }
        let origin = format!("the DNS of {domain} names these servers");
        Ok(Candidate::new(Source::Srv, origin, servers))
    }

    async fn service(&self, service: &str, tls: Tls) -> Result<Vec<Server>, String> {
        let asking = self.dns.services(service, self.address.domain());
        let found = self.in_time(Source::Srv, asking).await.map_err(|why| format!("{service} {why}"))?;
        let server = |service: Service| Server {
            host: service.host,
            port: service.port,
            tls,
            user: self.address.to_string(),
            oauth_only: false,
        };
        Ok(found.into_iter().map(server).collect())
    }

    /// Step 1.3.
    async fn plain_http(&self, domain: &str) -> Outcome {
        let origin = format!(
            "{domain} publishes these servers, but without encryption: anybody on the way may have put others there"
        );
        self.ask(format!("http://autoconfig.{domain}/mail/config-v1.1.xml"), Source::PlainHttp, origin).await
    }

    async fn ask(&self, url: String, source: Source, origin: String) -> Outcome {
        let reading = async { autoconfig::read(&self.http.get(&url).await?, self.address) };
        match self.in_time(source, reading).await {
            Ok(servers) => Ok(Candidate::new(source, origin, servers)),
            Err(why) => Err(format!("{url} {why}")),
        }
    }

    /// Who is asked last gets what is left of the time.
    async fn in_time<T>(
        &self,
        source: Source,
        work: impl Future<Output = Result<T, String>>,
    ) -> Result<T, String> {
        let tenths = if source == Source::PlainHttp { 10 } else { 7 };
        let until = self.began + self.network.patience * tenths / 10;
        timeout_at(until, work).await.unwrap_or_else(|_| Err("does not answer in time".into()))
    }
}

/// Whoever may have published the servers of all domains whose mail goes to `host`: the name above it, and the base domain,
/// if that is another one.
fn hosters(host: &str) -> Vec<&str> {
    let base = base_domain(host);
    let above = host.split_once('.').map_or("", |(_, above)| above);
    if above.len() > base.len() { vec![above, base] } else { vec![base] }
}
