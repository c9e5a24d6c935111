//! Connections: how many, how long, and with TLS where that is configured.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::consent::Consents;
use super::drafts::Drafts;
use super::guard::Access;
use super::patient::Patient;
use super::sessions::Sessions;
use super::{House, Page, router};
use crate::net::Acceptor;

/// Connections at the same time, and how many of them from one address: a browser opens six. A proxy stands for all its
/// browsers, so only the first bounds it.
const CONNECTIONS: usize = 256;
const FROM_ONE_ADDRESS: usize = 64;

/// For those who are told that the page is not for them.
const STRANGERS: usize = 16;

/// For TLS, for the head of each request, and for each step of taking an answer.
const DEADLINE: Duration = Duration::from_secs(15);

/// The longest head of a request, in octets: a cookie and what browsers say of themselves are far shorter.
const LONGEST_HEAD: usize = 32 << 10;

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
    let stop = house.stop.clone();
    let sessions = Sessions::new(&house).await;
    let page = Page {
        house,
        sessions,
        drafts: Drafts::default(),
        homes: Drafts::default(),
        consents: Consents::default(),
        changing: Mutex::default(),
    };
    let page = Arc::new(page);
    let (app, rooms) = (router(Arc::clone(&page)), Rooms::default());
    let graceful = GracefulShutdown::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let Ok((tcp, peer)) = accepted else {
            tokio::time::sleep(NO_ROOM).await;
            continue;
        };
        // One that listens on all addresses sees IPv4 as a part of IPv6.
        let peer = peer.ip().to_canonical();
        let access = page.house.access();
        let place = stop.run_until_cancelled(rooms.place(&access, peer));
        let Some(Some(place)) = place.await else { continue };
        let app = app.clone().layer(Extension(Peer(peer)));
        let (acceptor, watcher) = (access.acceptor.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _place = place;
            answer(tcp, acceptor, app, watcher).await;
        });
    }
    let _ = timeout(LAST_ANSWERS, graceful.shutdown()).await;
}

/// Where connections have their places.
struct Rooms {
    ours: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    /// How many each address has.
    taken: Arc<std::sync::Mutex<HashMap<IpAddr, usize>>>,
}

impl Default for Rooms {
    fn default() -> Rooms {
        Rooms {
            ours: Arc::new(Semaphore::new(CONNECTIONS)),
            strangers: Arc::new(Semaphore::new(STRANGERS)),
            taken: Arc::default(),
        }
    }
}

impl Rooms {
    /// A place for a connection from `peer`, as soon as there is one; `None` where it has to go.
    async fn place(&self, access: &Access, peer: IpAddr) -> Option<Place> {
        if !access.admits(peer) {
            let permit = Arc::clone(&self.strangers).try_acquire_owned().ok()?;
            return Some(Place { _permit: permit, _share: None });
        }
        let share = if access.trusts(peer) { None } else { Some(self.share(peer)?) };
        let permit = Arc::clone(&self.ours).acquire_owned().await.ok()?;
        Some(Place { _permit: permit, _share: share })
    }

    fn share(&self, peer: IpAddr) -> Option<Share> {
        let mut taken = lock(&self.taken);
        let count = taken.entry(peer).or_default();
        (*count < FROM_ONE_ADDRESS).then(|| {
            *count += 1;
            Share { taken: Arc::clone(&self.taken), peer }
        })
    }
}

/// One connection's, given back when it is dropped.
struct Place {
    _permit: OwnedSemaphorePermit,
    _share: Option<Share>,
}

struct Share {
    taken: Arc<std::sync::Mutex<HashMap<IpAddr, usize>>>,
    peer: IpAddr,
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = lock(&self.taken).entry(self.peer) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

fn lock<T>(taken: &std::sync::Mutex<T>) -> MutexGuard<'_, T> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
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
    builder.timer(TokioTimer::new()).header_read_timeout(DEADLINE).max_buf_size(LONGEST_HEAD);
    let connection =
        builder.serve_connection(TokioIo::new(Patient::new(stream, DEADLINE)), TowerToHyperService::new(app));
    // Whoever hangs up is no fault of ours.
    let _ = watcher.watch(connection).await;
}
