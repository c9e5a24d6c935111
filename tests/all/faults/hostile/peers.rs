//! Servers that get as far as TLS, over which nobody should trust them.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio_rustls::TlsAcceptor;

use super::certificates::Shown;

/// What a peer is to whoever connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Pop3,
    Pop3Stls,
    Imap,
    ImapStartTls,
    Webhook,
}

pub const KINDS: [Kind; 5] = [Kind::Pop3, Kind::Pop3Stls, Kind::Imap, Kind::ImapStartTls, Kind::Webhook];

/// Ends with the test's runtime.
pub struct TlsPeer {
    pub port: u16,
    seen: Arc<Mutex<Seen>>,
}

/// What came in.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub connections: usize,
    /// Before TLS.
    pub clear: Vec<u8>,
    /// Handshakes that the client went through with.
    pub trusted: usize,
}

/// What stands behind the five peers of a case.
pub enum Backend {
    Rustls(TlsAcceptor),
    OpenSsl(OpenSsl),
}

impl Backend {
    pub async fn start(shown: Shown) -> Backend {
        match shown {
            Shown::Chain(chain, key) => {
                let key = ring::sign::any_supported_type(&key).unwrap();
                // Whether the key fits the certificate is for the client to find out.
                let one = One(Arc::new(CertifiedKey::new(chain, key)));
                let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                    .with_safe_default_protocol_versions()
                    .unwrap()
                    .with_no_client_auth()
                    .with_cert_resolver(Arc::new(one));
                Backend::Rustls(TlsAcceptor::from(Arc::new(config)))
            }
            Shown::OpenSsl(arguments) => Backend::OpenSsl(OpenSsl::start(&arguments).await),
        }
    }
}

#[derive(Debug)]
struct One(Arc<CertifiedKey>);

impl ResolvesServerCert for One {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

impl TlsPeer {
    pub async fn start(kind: Kind, backend: &Arc<Backend>) -> TlsPeer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, backend) = (Arc::<Mutex<Seen>>::default(), Arc::clone(backend));
        let served = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                served.lock().unwrap().connections += 1;
                let _ = serve(kind, tcp, &backend, &served).await;
            }
        });
        TlsPeer { port, seen }
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(kind: Kind, mut tcp: TcpStream, backend: &Backend, seen: &Mutex<Seen>) -> std::io::Result<()> {
    let (greeting, go_ahead) = match kind {
        Kind::Pop3 | Kind::Imap | Kind::Webhook => ("", ""),
        Kind::Pop3Stls => ("+OK ready\r\n", "+OK begin\r\n"),
        Kind::ImapStartTls => ("* OK ready\r\n", "M0 OK begin\r\n"),
    };
    if !greeting.is_empty() {
        tcp.write_all(greeting.as_bytes()).await?;
        loop {
            let byte = tcp.read_u8().await?;
            seen.lock().unwrap().clear.push(byte);
            if byte == b'\n' {
                break;
            }
        }
        tcp.write_all(go_ahead.as_bytes()).await?;
    }
    match backend {
        Backend::Rustls(tls) => {
            tls.accept(tcp).await?;
            seen.lock().unwrap().trusted += 1;
        }
        Backend::OpenSsl(server) => {
            let mut server = TcpStream::connect(("127.0.0.1", server.port)).await?;
            tokio::io::copy_bidirectional(&mut tcp, &mut server).await?;
        }
    }
    Ok(())
}

/// OpenSSL's own test server. It serves one connection after the other, and says on its output what happens.
pub struct OpenSsl {
    port: u16,
    server: Mutex<Option<Child>>,
}

impl OpenSsl {
    async fn start(arguments: &[String]) -> OpenSsl {
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", "127.0.0.1:0"]).args(arguments);
        // At the end of its input it would hang up.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut server = command.spawn().expect("the Debian package openssl is installed");
        let mut output = BufReader::new(server.stdout.as_mut().unwrap());
        let port = loop {
            let mut line = String::new();
            let length = output.read_line(&mut line).await.unwrap();
            assert!(length > 0, "openssl s_server {arguments:?} does not start");
            if let Some((_, port)) = line.trim().strip_prefix("ACCEPT").and_then(|rest| rest.rsplit_once(':'))
            {
                break port.parse().unwrap();
            }
        };
        OpenSsl { port, server: Mutex::new(Some(server)) }
    }

    /// Ends it, and returns what it said: `CIPHER is` once for each handshake that the client went through with, and
    /// what came in after that.
    pub async fn end(&self) -> String {
        let mut server = self.server.lock().unwrap().take().expect("it ends once");
        server.start_kill().unwrap();
        let mut said = String::new();
        server.stdout.take().unwrap().read_to_string(&mut said).await.unwrap();
        said
    }
}
