//! TLS for whoever connects to us: browsers that ask for the page.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::Certificate;

/// Answers with one certificate.
#[derive(Clone)]
pub struct Acceptor {
    tls: TlsAcceptor,
    /// `None` where it cannot be read: a browser decides then.
    pub certificate: Option<Certificate>,
}

impl Acceptor {
    /// `certificate` is the chain, our own certificate first; `key` is its private key. Both are in PEM form.
    ///
    /// # Errors
    /// What is wrong with them, as a sentence.
    pub fn new(certificate: &[u8], key: &[u8]) -> Result<Acceptor, String> {
        let chain: Result<Vec<CertificateDer<'static>>, _> =
            CertificateDer::pem_slice_iter(certificate).collect();
        let chain = chain.map_err(|e| format!("the certificate of the page is damaged ({e})"))?;
        let certificate = chain.first().and_then(Certificate::read);
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|e| format!("the key of the page's certificate cannot be read ({e})"))?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .with_no_client_auth()
            .with_single_cert(chain, key);
        let mut config =
            config.map_err(|e| format!("the certificate of the page cannot be used with this key ({e})"))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Acceptor { tls: TlsAcceptor::from(Arc::new(config)), certificate })
    }

    /// Sets up TLS with whoever has connected. The caller bounds how long that may take.
    ///
    /// # Errors
    /// What the handshake failed of: nothing that we could mend.
    pub async fn accept(
        &self,
        tcp: TcpStream,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static> {
        self.tls.accept(tcp).await
    }
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}
