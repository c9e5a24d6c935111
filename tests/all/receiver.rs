//! A webhook endpoint in this process: it keeps what arrives and answers as it is told.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, Response};
use axum::serve::{IncomingStream, Listener};
use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::AbortOnDropHandle;

use crate::peer::acceptor;

/// One request, as it came.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub headers: HeaderMap,
    pub body: Bytes,
    /// It was answered that it is not taken.
    pub refused: bool,
}

impl Arrival {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// A text out of the `data` of a JSON payload.
    pub fn text(&self, key: &str) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        body["data"][key].as_str().unwrap_or_default().to_owned()
    }
}

/// Decides the answer to a request, given how many came before it.
type Answer = dyn Fn(&Arrival, usize) -> Response<Body> + Send + Sync;

/// Ends when dropped.
pub struct Receiver {
    pub url: String,
    seen: Arc<Seen>,
    _server: AbortOnDropHandle<io::Result<()>>,
}

struct Seen {
    answer: Box<Answer>,
    /// A permit is taken for each answer, and not given back.
    answers: Semaphore,
    arrivals: Mutex<Vec<Arrival>>,
    connections: Mutex<HashSet<SocketAddr>>,
    at_once: watch::Sender<usize>,
    most_at_once: AtomicUsize,
}

impl Receiver {
    /// Takes everything.
    pub async fn start() -> Receiver {
        Receiver::answering(|_, _| status(200)).await
    }

    pub async fn answering(
        answer: impl Fn(&Arrival, usize) -> Response<Body> + Send + Sync + 'static,
    ) -> Receiver {
        let seen = Seen::new(answer, Semaphore::MAX_PERMITS);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/inbound", listener.local_addr().unwrap());
        serve(listener, url, seen)
    }

    /// Takes everything, but answers nothing before [`Receiver::let_answer`].
    pub async fn holding() -> Receiver {
        let seen = Seen::new(|_, _| status(200), 0);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/inbound", listener.local_addr().unwrap());
        serve(listener, url, seen)
    }

    /// Takes everything over TLS, with a certificate for `localhost` in the given files.
    pub async fn with_tls(identity: &(PathBuf, PathBuf)) -> Receiver {
        let seen = Seen::new(|_, _| status(200), Semaphore::MAX_PERMITS);
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/inbound", tcp.local_addr().unwrap().port());
        serve(TlsListener { tcp, tls: acceptor(identity) }, url, seen)
    }

    pub fn arrivals(&self) -> Vec<Arrival> {
        self.seen.arrivals.lock().unwrap().clone()
    }

    /// Forgets all but the first that came.
    pub fn keep_first(&self, arrivals: usize) {
        self.seen.arrivals.lock().unwrap().truncate(arrivals);
    }

    /// What it has if it knows its ids, each once: what it has refused it has not.
    ///
    /// # Errors
    /// An id that came again with other bytes.
    pub fn taken(&self) -> Result<Vec<Vec<u8>>, String> {
        let mut taken: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for arrival in self.arrivals().into_iter().filter(|arrival| !arrival.refused) {
            let id = arrival.header("webhook-id").to_owned();
            let first = taken.entry(id.clone()).or_insert_with(|| arrival.body.to_vec());
            if *first != arrival.body {
                return Err(format!("I4: the webhook-id {id} came with two bodies"));
            }
        }
        Ok(taken.into_values().collect())
    }

    /// How many connections brought the requests.
    pub fn connections(&self) -> usize {
        self.seen.connections.lock().unwrap().len()
    }

    pub fn most_at_once(&self) -> usize {
        self.seen.most_at_once.load(Ordering::SeqCst)
    }

    /// Waits until `requests` are waiting for their answers.
    pub async fn wait_for(&self, requests: usize) {
        self.seen.at_once.subscribe().wait_for(|&at_once| at_once >= requests).await.unwrap();
    }

    /// Waits until so many requests have come, from the start.
    pub async fn wait_for_arrivals(&self, requests: usize) -> Vec<Arrival> {
        let came = |_: &usize| self.seen.arrivals.lock().unwrap().len() >= requests;
        self.seen.at_once.subscribe().wait_for(came).await.unwrap();
        self.arrivals()
    }

    pub fn let_answer(&self, requests: usize) {
        self.seen.answers.add_permits(requests);
    }
}

impl Seen {
    fn new(
        answer: impl Fn(&Arrival, usize) -> Response<Body> + Send + Sync + 'static,
        answers: usize,
    ) -> Arc<Seen> {
        Arc::new(Seen {
            answer: Box::new(answer),
            answers: Semaphore::new(answers),
            arrivals: Mutex::default(),
            connections: Mutex::default(),
            at_once: watch::Sender::new(0),
            most_at_once: AtomicUsize::new(0),
        })
    }
}

/// An answer without a body.
pub fn status(status: u16) -> Response<Body> {
    Response::builder().status(status).body(Body::empty()).unwrap()
}

/// An answer that says something.
pub fn says(status: u16, text: impl Into<Body>) -> Response<Body> {
    Response::builder().status(status).body(text.into()).unwrap()
}

fn serve<L>(listener: L, url: String, seen: Arc<Seen>) -> Receiver
where
    L: Listener,
    L::Addr: std::fmt::Debug,
    Peer: for<'a> Connected<IncomingStream<'a, L>>,
{
    let app = Router::new().fallback(take).layer(DefaultBodyLimit::disable()).with_state(Arc::clone(&seen));
    let app = app.into_make_service_with_connect_info::<Peer>();
    let server = tokio::spawn(async { axum::serve(listener, app).await });
    Receiver { url, seen, _server: AbortOnDropHandle::new(server) }
}

async fn take(
    State(seen): State<Arc<Seen>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    // A request that breaks off has not arrived.
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else { return status(400) };
    let arrival = Arrival { headers: parts.headers, body, refused: false };
    let before = {
        let mut arrivals = seen.arrivals.lock().unwrap();
        arrivals.push(arrival.clone());
        arrivals.len() - 1
    };
    seen.connections.lock().unwrap().insert(peer);
    seen.at_once.send_modify(|at_once| {
        *at_once += 1;
        seen.most_at_once.fetch_max(*at_once, Ordering::SeqCst);
    });
    seen.answers.acquire().await.unwrap().forget();
    seen.at_once.send_modify(|at_once| *at_once -= 1);
    let answer = (seen.answer)(&arrival, before);
    seen.arrivals.lock().unwrap()[before].refused = !answer.status().is_success();
    answer
}

#[derive(Clone)]
struct Peer(SocketAddr);

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Peer {
        Peer(*stream.remote_addr())
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Peer {
        Peer(*stream.remote_addr())
    }
}

struct TlsListener {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, peer) = self.tcp.accept().await.unwrap();
            // A client that does not trust us ends here.
            if let Ok(stream) = self.tls.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}
