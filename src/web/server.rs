//! Connections: how many, how long, and with TLS where that is configured.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;

use super::drafts::Drafts;
use super::sessions::Sessions;
use super::{House, Page, router};
use crate::net::Acceptor;

/// Connections at the same time. A browser opens six.
const CONNECTIONS: usize = 256;

/// For TLS, and again for the head of each request.
const DEADLINE: Duration = Duration::from_secs(15);

/// What is being answered when mailferry stops may take so long.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// How long to wait where there is no room for a connection (EMFILE).
const NO_ROOM: Duration = Duration::from_millis(250);

/// Who has connected.
#[derive(Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Binds to `address`.
///
/// # Errors
/// Where the address is taken or not this machine's, as a sentence that says so.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| format!("the page cannot listen on {address} ({error}); change `web.listen`"))
}

/// Answers until the house's `stop` is cancelled.
pub async fn serve(listener: TcpListener, house: House) {
    let (stop, access) = (house.stop.clone(), house.access.clone());
    let sessions = Sessions::new(&house).await;
    let app =
        router(Arc::new(Page { house, sessions, drafts: Drafts::default(), changing: Mutex::default() }));
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    while !stop.is_cancelled() {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let Ok((tcp, peer)) = accepted else {
            tokio::time::sleep(NO_ROOM).await;
            continue;
        };
        // One that listens on all addresses sees IPv4 as a part of IPv6.
        let app = app.clone().layer(Extension(Peer(peer.ip().to_canonical())));
        let (acceptor, watcher) = (access.borrow().acceptor.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _slot = slot;
            answer(tcp, acceptor, app, watcher).await;
        });
    }
    let _ = timeout(LAST_ANSWERS, graceful.shutdown()).await;
}

async fn answer(tcp: TcpStream, acceptor: Option<Acceptor>, app: Router, watcher: Watcher) {
    let Some(acceptor) = acceptor else { return converse(tcp, app, watcher).await };
    if let Ok(Ok(stream)) = timeout(DEADLINE, acceptor.accept(tcp)).await {
        converse(stream, app, watcher).await;
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    app: Router,
    watcher: Watcher,
) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(DEADLINE);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    // Whoever hangs up is no fault of ours.
    let _ = watcher.watch(connection).await;
}
