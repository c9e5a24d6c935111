//! TCP, TLS and deadlines. The only module that knows rustls.
//!
//! A [`Connector`] is built once per peer from [`Settings`] and hands out [`Stream`]s. No byte of a secret
//! goes over a stream before its certificate has been verified: callers ask [`Stream::may_carry_secrets`].

mod acceptor;

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin as StdPin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use chrono::DateTime;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::printable::printable;

pub use acceptor::Acceptor;

/// How to reach and to trust a peer: the config's `host`, `port`, `tls`, `ca_file`, `server_name`, `pin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub host: String,
    pub port: u16,
    pub tls: Tls,
    /// A PEM file with the only certificate authorities to trust, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The name that the certificate must bear, where that is not `host`.
    pub server_name: Option<String>,
    /// The one certificate to accept. It replaces the check of issuer, name and dates.
    pub pin: Option<Pin>,
    /// The user's `allow_plaintext`: secrets may go in the clear to a host beyond loopback.
    pub allow_plaintext: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tls {
    /// TLS from the first byte (RFC 8314).
    Implicit,
    /// An upgrade on the plaintext port, always required, never "if possible" (STLS, STARTTLS).
    StartTls,
    None,
}

impl Settings {
    /// Whether secrets cross a network unencrypted.
    pub fn is_in_the_clear(&self) -> bool {
        self.tls == Tls::None && !is_loopback(&self.host)
    }
}

/// SHA-256 of a certificate in DER, as `openssl x509 -fingerprint -sha256` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pin(pub [u8; 32]);

/// Why a peer could not be reached or trusted. Each text is a clause that can follow "host:port: ".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the host name cannot be looked up ({0}); check the spelling of `host`")]
    Resolve(io::Error),
    #[error("no connection ({0}); check `host` and `port`, and that a firewall lets you out")]
    Connect(io::Error),
    #[error("no answer within {} s while {phase}", .after.as_secs())]
    Timeout { phase: &'static str, after: Duration },
    #[error("{what}{remedy}")]
    Certificate { what: String, remedy: Remedy },
    #[error("TLS failed ({0}); check that `port` and `tls` fit together")]
    Tls(String),
    #[error("`ca_file` {path}: {reason}")]
    CaFile { path: PathBuf, reason: String },
    #[error("the connection broke ({0})")]
    Io(#[from] io::Error),
}

/// What to do about a certificate, as the end of the sentence that says what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    Nothing,
    /// Plain advice.
    Advice(&'static str),
    /// To use a name that it bears, and how the one who asked is told that.
    OtherName(String),
    /// To say in the config whom to trust.
    Trust,
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remedy::Nothing => Ok(()),
            Remedy::Advice(advice) => write!(f, "; {advice}"),
            Remedy::OtherName(advice) => write!(f, "; {advice}"),
            Remedy::Trust => f.write_str("; if it is your own server, set `ca_file` or `pin`"),
        }
    }
}

/// Waits for `work`, but at most `after`.
///
/// # Errors
/// [`Error::Timeout`] with `phase`, a clause such as "logging in".
pub async fn within<T, E: From<Error>>(
    after: Duration,
    phase: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match tokio::time::timeout(after, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(E::from(Error::Timeout { phase, after })),
    }
}

/// Builds connectors, and one TLS configuration for each way of trusting, shared by all who trust that way.
///
/// Drop it and make a new one to read the system's roots afresh.
#[derive(Default)]
pub struct Connectors {
    configs: HashMap<(Option<PathBuf>, Option<Pin>), Arc<ClientConfig>>,
}

impl Connectors {
    /// # Errors
    /// [`Error::CaFile`] where the file cannot be read or holds no certificate; [`Error::Tls`] where the system
    /// has no certificate authorities at all.
    pub fn connector(&mut self, settings: &Settings) -> Result<Connector, Error> {
        let tls = match settings.tls {
            Tls::None => None,
            Tls::Implicit | Tls::StartTls => {
                Some(self.tls_config(settings.ca_file.as_deref(), settings.pin)?)
            }
        };
        Ok(Connector { settings: settings.clone(), tls })
    }

    /// The same trust for an HTTPS client, which takes it by `tls_backend_preconfigured`. It speaks HTTP/1.1.
    ///
    /// # Errors
    /// As [`Connectors::connector`].
    pub fn https(&mut self, ca_file: Option<&Path>, pin: Option<Pin>) -> Result<ClientConfig, Error> {
        let mut config = ClientConfig::clone(&*self.tls_config(ca_file, pin)?);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// For a client that speaks HTTP without TLS only. It trusts nobody, and need not read whom the system trusts.
    ///
    /// # Errors
    /// [`Error::Tls`].
    pub fn http() -> Result<ClientConfig, Error> {
        let provider = Arc::new(ring::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = versions.map_err(|e| Error::Tls(e.to_string()))?;
        Ok(config.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
    }

    fn tls_config(&mut self, ca_file: Option<&Path>, pin: Option<Pin>) -> Result<Arc<ClientConfig>, Error> {
        let key = (ca_file.map(Path::to_owned), pin);
        if let Some(config) = self.configs.get(&key) {
            return Ok(Arc::clone(config));
        }
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match (pin, ca_file) {
            (Some(pin), _) => Arc::new(PinVerifier { pin, provider: Arc::clone(&provider) }),
            (None, Some(path)) => ca_file_verifier(path, &provider)?,
            (None, None) => {
                Arc::new(rustls_platform_verifier::Verifier::new(Arc::clone(&provider)).map_err(|e| {
                    Error::Tls(format!("no usable system certificates: {e}; install ca-certificates"))
                })?)
            }
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::Tls(e.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        let config = Arc::new(config);
        self.configs.insert(key, Arc::clone(&config));
        Ok(config)
    }
}

fn ca_file_verifier(
    path: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    let fault = |reason: String| Error::CaFile { path: path.to_owned(), reason };
    let pem = std::fs::read(path).map_err(|e| fault(e.to_string()))?;
    let roots = roots(&pem).map_err(fault)?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|e| fault(e.to_string()))?;
    Ok(verifier)
}

/// Whether `pem` would do as a `ca_file`.
///
/// # Errors
/// A clause that can follow the file's name.
pub fn check_ca_file(pem: &[u8]) -> Result<(), String> {
    roots(pem).map(drop)
}

fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let added = certificate
            .map_err(|e| e.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|e| e.to_string()));
        added.map_err(|reason| format!("holds a certificate that is damaged ({reason})"))?;
    }
    if roots.is_empty() {
        return Err("holds no certificate in PEM form".into());
    }
    Ok(roots)
}

/// Opens connections to one peer.
#[derive(Clone)]
pub struct Connector {
    settings: Settings,
    tls: Option<Arc<ClientConfig>>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// How long until the next address of a host is tried beside those already under way (RFC 8305 section 5).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

impl Connector {
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Connects, with TLS where the settings say [`Tls::Implicit`].
    ///
    /// # Errors
    /// Any [`Error`]; [`Error::Timeout`] after `deadline` for TCP and again for the TLS handshake.
    pub async fn connect(&self, deadline: Duration) -> Result<Stream, Error> {
        let tcp = within(deadline, "connecting", self.connect_tcp()).await?;
        tcp.set_nodelay(true)?;
        let stream = Stream::Plain { tcp, may_carry_secrets: self.trusts_plaintext() };
        match self.settings.tls {
            Tls::Implicit => self.start_tls(stream, deadline).await,
            Tls::StartTls | Tls::None => Ok(stream),
        }
    }

    /// Upgrades `stream` to TLS. The caller has made sure that nothing unread of the plaintext is buffered.
    ///
    /// # Errors
    /// [`Error::Certificate`] where the certificate is not to be trusted, [`Error::Tls`] for any other failure.
    pub async fn start_tls(&self, stream: Stream, deadline: Duration) -> Result<Stream, Error> {
        let (Some(config), Stream::Plain { tcp, .. }) = (&self.tls, stream) else {
            return Err(Error::Tls("TLS was not expected here".into()));
        };
        let name = self.settings.server_name.as_deref().unwrap_or(&self.settings.host);
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| Error::Tls(format!("`{name}` cannot be the name on a certificate")))?;
        let handshake = TlsConnector::from(Arc::clone(config)).connect(name, tcp);
        let handshake = async { handshake.await.map_err(|e| self.tls_error(&e)) };
        Ok(Stream::Tls(Box::new(within(deadline, "setting up TLS", handshake).await?)))
    }

    /// Whether secrets may cross an unencrypted connection: only on this machine, or where the user said so.
    fn trusts_plaintext(&self) -> bool {
        self.settings.tls == Tls::None && (self.settings.allow_plaintext || is_loopback(&self.settings.host))
    }

    async fn connect_tcp(&self) -> Result<TcpStream, Error> {
        let host = (self.settings.host.as_str(), self.settings.port);
        let addresses = tokio::net::lookup_host(host).await.map_err(Error::Resolve)?;
        first_to_answer(interleave_families(addresses.collect())).await.map_err(Error::Connect)
    }

    fn tls_error(&self, error: &io::Error) -> Error {
        let name = self.settings.server_name.as_deref().unwrap_or(&self.settings.host);
        tls_fault(error, name, "use a name it bears as `host`, or set `server_name`")
            .unwrap_or_else(|| Error::Tls(error.to_string()))
    }
}

/// What TLS itself complains of, if that is at the bottom of `error`: [`Error::Certificate`] or [`Error::Tls`].
/// `other_name` is what to do where the certificate is not for `name`.
pub fn tls_fault(error: &(dyn StdError + 'static), name: &str, other_name: &str) -> Option<Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(fault) = error.downcast_ref::<rustls::Error>() {
            return Some(match fault {
                rustls::Error::InvalidCertificate(fault) => certificate_fault(fault, name, other_name),
                other => Error::Tls(other.to_string()),
            });
        }
        // An io::Error passes over the error it wraps when it is asked for its source.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// What began it all.
pub fn innermost<'e>(error: &'e (dyn StdError + 'static)) -> &'e (dyn StdError + 'static) {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
}

fn certificate_fault(fault: &CertificateError, name: &str, other_name: &str) -> Error {
    let (what, remedy) = match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            ("has expired".into(), Remedy::Advice("its owner must renew it"))
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ("is not valid yet".into(), Remedy::Advice("check the clock of this machine"))
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            (format!("is not for `{name}`"), Remedy::OtherName(other_name.to_owned()))
        }
        CertificateError::UnknownIssuer => ("is from an unknown issuer".into(), Remedy::Trust),
        CertificateError::ApplicationVerificationFailure => {
            let advice = "if the server got a new one, check it and set the new fingerprint";
            ("is not the one in `pin`".into(), Remedy::Advice(advice))
        }
        CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            ("is its own issuer".into(), Remedy::Advice("set `pin` to its fingerprint instead of `ca_file`"))
        }
        // That of an authority of a known name but with another key, or that of a server without the certificate's key.
        CertificateError::BadSignature => {
            let what = "is from an unknown issuer, or it is somebody else's (a signature is wrong)";
            (what.into(), Remedy::Trust)
        }
        CertificateError::Other(other) if format!("{other:?}").contains("NameConstraintViolation") => {
            (format!("is for `{name}`, which its issuer may not vouch for"), Remedy::Nothing)
        }
        other => (format!("was refused ({})", printable(other.to_string())), Remedy::Nothing),
    };
    Error::Certificate { what: format!("the server's certificate {what}"), remedy }
}

/// Whether `host` is this machine by its very name, without a look-up that somebody else could answer.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Alternates IPv6 and IPv4 (RFC 8305 section 4), so that one broken family costs 250 ms and not a time-out.
fn interleave_families(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    first.reverse();
    second.reverse();
    let mut mixed = Vec::with_capacity(first.len() + second.len());
    while !first.is_empty() || !second.is_empty() {
        mixed.extend(first.pop());
        mixed.extend(second.pop());
    }
    mixed
}

async fn first_to_answer(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut under_way = FuturesUnordered::new();
    let mut last_fault = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        if let Some(address) = waiting.next() {
            under_way.push(TcpStream::connect(address));
        } else if under_way.is_empty() {
            return Err(last_fault);
        }
        tokio::select! {
            Some(outcome) = under_way.next() => match outcome {
                Ok(stream) => return Ok(stream),
                Err(fault) => last_fault = fault,
            },
            () = tokio::time::sleep(NEXT_ADDRESS), if waiting.len() > 0 => {}
        }
    }
}

/// A connection to a peer, encrypted or not.
#[derive(Debug)]
pub enum Stream {
    Plain { tcp: TcpStream, may_carry_secrets: bool },
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether a password may go over this stream: it is encrypted and verified, or stays on this machine, or
    /// the user allowed it in so many words.
    pub fn may_carry_secrets(&self) -> bool {
        match self {
            Stream::Plain { may_carry_secrets, .. } => *may_carry_secrets,
            Stream::Tls(_) => true,
        }
    }

    /// The peer's certificate, `None` on a plaintext stream.
    pub fn certificate(&self) -> Option<Certificate> {
        let Stream::Tls(stream) = self else { return None };
        Certificate::read(stream.get_ref().1.peer_certificates()?.first()?)
    }
}

/// What a person may want to know of a verified certificate.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The issuer's organisation and name, unescaped: show it through [`crate::printable::printable`].
    pub issuer: String,
    /// When it expires, in seconds of Unix time.
    pub not_after: i64,
    pub fingerprint: Pin,
}

impl Certificate {
    fn read(der: &CertificateDer<'_>) -> Option<Certificate> {
        let (_, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
        let issuer = parsed.issuer();
        let parts = issuer.iter_organization().chain(issuer.iter_common_name());
        let parts: Vec<&str> = parts.filter_map(|part| part.as_str().ok()).collect();
        Some(Certificate {
            issuer: parts.join(", "),
            not_after: parsed.validity().not_after.timestamp(),
            fingerprint: Pin(Sha256::digest(der).into()),
        })
    }
}

/// Who vouches for it and until when, for a person.
impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "certificate by {}", printable(&self.issuer))?;
        match DateTime::from_timestamp(self.not_after, 0) {
            Some(until) => write!(f, " until {}", until.format("%Y-%m-%d")),
            None => Ok(()),
        }
    }
}

/// Accepts the one certificate of the pin, whoever issued it. The handshake's signature is still checked, so the
/// peer must hold that certificate's key.
#[derive(Debug)]
struct PinVerifier {
    pin: Pin,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.pin.0 == <[u8; 32]>::from(Sha256::digest(end_entity)) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: StdPin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain { tcp, .. } => StdPin::new(tcp).poll_read(cx, buf),
            Stream::Tls(stream) => StdPin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: StdPin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain { tcp, .. } => StdPin::new(tcp).poll_write(cx, bytes),
            Stream::Tls(stream) => StdPin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: StdPin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain { tcp, .. } => StdPin::new(tcp).poll_flush(cx),
            Stream::Tls(stream) => StdPin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: StdPin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain { tcp, .. } => StdPin::new(tcp).poll_shutdown(cx),
            Stream::Tls(stream) => StdPin::new(stream).poll_shutdown(cx),
        }
    }
}
