//! The page beside the polls: where it listens, and how it may be reached, as the config says.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use secrecy::ExposeSecret;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::Show;
use crate::config::{self, Config, Fault, Faults};
use crate::ledger::Ledger;
use crate::net::Acceptor;
use crate::web;

/// The page, if there is one.
pub struct Page(Option<Open>);

struct Open {
    /// As it was wanted: a port 0 has become one that was free.
    wanted: SocketAddr,
    listen: SocketAddr,
    access: watch::Sender<Arc<web::Access>>,
    task: JoinHandle<()>,
}

impl Page {
    /// Lets the page answer.
    ///
    /// # Errors
    /// An address that cannot be listened on, or a certificate that cannot be used ([`Faults`]).
    pub async fn open(config: &Config, show: &Show, stop: &CancellationToken) -> anyhow::Result<Page> {
        let Some(web) = &config.web else { return Ok(Page(None)) };
        let acceptor = acceptor(web, &config.file).await?;
        let listener = web::bind(web.listen).await.map_err(|text| fault(&config.file, "listen", text))?;
        let listen = listener.local_addr().context("the page has no address")?;
        info!(address = %listen, "the page is up");
        let access = watch::Sender::new(Arc::new(access(web, listen, acceptor)));
        let house = web::House {
            config: config.file.clone(),
            access: access.subscribe(),
            visitor: Ledger::visit(&config.ledger).await?,
            configured: show.configured.subscribe(),
            live: show.live.subscribe(),
            metrics: Arc::clone(&show.metrics),
            stop: stop.clone(),
        };
        let task = tokio::spawn(web::serve(listener, house));
        Ok(Page(Some(Open { wanted: web.listen, listen, access, task })))
    }

    /// Takes up what a changed config says of the page, and a renewed certificate. One that cannot be used changes nothing.
    pub async fn take_over(&self, config: &Config) {
        let (open, web) = match (&self.0, &config.web) {
            (None, None) => return,
            (Some(open), Some(web)) if open.wanted == web.listen => (open, web),
            (Some(_), Some(_)) => {
                return warn!("`web.listen` has changed: that takes effect after a restart");
            }
            (None, Some(_)) => return warn!("`[web]` is new: there is a page after a restart"),
            (Some(_), None) => return warn!("`[web]` is gone: the page is there until a restart"),
        };
        match acceptor(web, &config.file).await {
            Ok(acceptor) => {
                open.access.send_replace(Arc::new(access(web, open.listen, acceptor)));
            }
            Err(faults) => error!("{faults}; the page goes on with what it has"),
        }
    }

    /// Waits for its last answers, once it was told to stop.
    pub async fn end(&mut self) {
        if let Some(open) = self.0.take() {
            let _ = open.task.await;
        }
    }
}

fn access(web: &config::Web, listen: SocketAddr, acceptor: Option<Acceptor>) -> web::Access {
    web::Access { listen, acceptor, trusted_proxy: web.trusted_proxy.clone(), names: web.names.clone() }
}

/// Reads the page's certificate and key, where it has them.
///
/// # Errors
/// Which of them cannot be used, and why, as a complaint about `file`, the main config file.
pub async fn acceptor(web: &config::Web, file: &Path) -> Result<Option<Acceptor>, Faults> {
    let Some(pair) = &web.tls else { return Ok(None) };
    let pems = pair.read(file).await.map_err(|fault| Faults(vec![fault]))?;
    let acceptor = Acceptor::new(&pems.certificate, pems.key.expose_secret().as_bytes());
    acceptor.map(Some).map_err(|text| fault(file, "certificate", text))
}

fn fault(file: &Path, key: &str, text: String) -> Faults {
    Faults(vec![Fault { file: file.to_owned(), line: None, key: format!("web.{key}"), text }])
}
