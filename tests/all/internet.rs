//! An internet on loopback: a DNS server, and one web server for all its hosts, which answer as a test says.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, MX, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record};
use mailferry::providers::Network;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::TlsAcceptor;

use crate::ca::Ca;
use crate::peer::{acceptor, resolve_escapes};

/// Names under these have a certificate.
const CERTIFIED: [&str; 8] = [
    "example.org",
    "*.example.org",
    "*.hoster.example",
    "*.europe.hoster.example",
    "database.example",
    "*.other.example",
    "xn--bcher-kva.example",
    "*.xn--bcher-kva.example",
];

/// Ends with the test's runtime.
pub struct Internet {
    folder: TempDir,
    state: Arc<State>,
    dns: SocketAddr,
    web: SocketAddr,
}

#[derive(Default)]
struct State {
    pages: Mutex<HashMap<String, Page>>,
    records: Mutex<Vec<(Name, RData)>>,
    trouble: Mutex<Vec<(Name, Trouble)>>,
    /// What was asked over HTTP: the URL, and the request as it came.
    requests: Mutex<Vec<(String, String)>>,
    questions: Mutex<Vec<String>>,
}

/// What a URL leads to.
#[derive(Clone)]
pub enum Page {
    /// The status 200, with this type and body.
    File(&'static str, Vec<u8>),
    /// All of the answer.
    Raw(Vec<u8>),
    /// The beginning of an answer, and then this over and over.
    Endless(&'static str, &'static [u8]),
    /// As [`Page::Endless`], but a byte at a time with a pause after each.
    Drip(&'static str),
    /// Nothing, ever.
    Silent,
}

/// What else than an answer a question of the DNS may get, for a name and all below it.
#[derive(Clone, Copy)]
pub enum Trouble {
    Silent,
    ServFail,
    /// Bytes that are no message.
    Garbage,
    /// The message says that it holds more records than there are.
    Overcounted,
    /// By UDP the answer does not fit; by TCP it claims to be longer than it is.
    Truncated,
}

impl Internet {
    pub async fn new() -> Internet {
        let folder = TempDir::new().unwrap();
        let tls = acceptor(&Ca::new(folder.path()).issue(&CERTIFIED));
        let state = Arc::new(State::default());
        let web = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let udp = UdpSocket::bind(tcp.local_addr().unwrap()).await.unwrap();
        let (at_web, at_dns) = (web.local_addr().unwrap(), tcp.local_addr().unwrap());
        tokio::spawn(serve_web(web, tls, Arc::clone(&state)));
        tokio::spawn(serve_udp(udp, Arc::clone(&state)));
        tokio::spawn(serve_tcp(tcp, Arc::clone(&state)));
        Internet { folder, state, dns: at_dns, web: at_web }
    }

    /// As whoever is in it sees it: a host that publishes something is where the web server is.
    pub fn network(&self) -> Network {
        let pages = self.state.pages.lock().unwrap();
        let hosts = pages.keys().map(|url| url.split('/').nth(2).unwrap().to_owned());
        Network {
            dns: Some(self.dns),
            hosts: hosts.map(|host| (host, self.web)).collect(),
            ca_file: Some(self.folder.path().join("ca.pem")),
            database: Some("https://database.example/".into()),
            ..Network::default()
        }
    }

    /// As [`Internet::network`], for a config: its database is a web server at a port of its own, the others are not there.
    pub fn config(&self) -> String {
        self.address("database.example", "127.0.0.1");
        format!(
            "[lookup]\ndns = \"{}\"\ndatabase = \"https://database.example:{}\"\nallow_private = true\n\
             ca_file = \"{}\"\n\n",
            self.dns,
            self.web.port(),
            self.folder.path().join("ca.pem").display()
        )
    }

    pub fn publish(&self, url: &str, page: Page) {
        self.state.pages.lock().unwrap().insert(url.to_owned(), page);
    }

    pub fn redirect(&self, from: &str, to: &str) {
        let answer = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
        self.publish(from, Page::Raw(answer.into_bytes()));
    }

    pub fn mx(&self, domain: &str, preference: u16, host: &str) {
        self.record(domain, RData::MX(MX::new(preference, name(host))));
    }

    /// `target` is `priority weight port host`.
    pub fn srv(&self, service: &str, target: &str) {
        let parts: Vec<&str> = target.split(' ').collect();
        let number = |at: usize| parts[at].parse().unwrap();
        self.record(service, RData::SRV(SRV::new(number(0), number(1), number(2), name(parts[3]))));
    }

    pub fn address(&self, host: &str, address: &str) {
        let record = match address.parse().unwrap() {
            std::net::IpAddr::V4(address) => RData::A(A(address)),
            std::net::IpAddr::V6(address) => RData::AAAA(address.into()),
        };
        self.record(host, record);
    }

    pub fn trouble(&self, below: &str, trouble: Trouble) {
        self.state.trouble.lock().unwrap().push((name(below), trouble));
    }

    /// The URLs that were asked for, in their order.
    pub fn urls(&self) -> Vec<String> {
        self.state.requests.lock().unwrap().iter().map(|(url, _)| url.clone()).collect()
    }

    /// Everything that anybody was told.
    pub fn heard(&self) -> String {
        let requests: Vec<String> =
            self.state.requests.lock().unwrap().iter().map(|(_, request)| request.clone()).collect();
        requests.concat() + &self.state.questions.lock().unwrap().join("\n")
    }

    fn record(&self, owner: &str, data: RData) {
        self.state.records.lock().unwrap().push((name(owner), data));
    }
}

/// With escapes for what no name should hold.
fn name(text: &str) -> Name {
    let labels: Vec<Vec<u8>> =
        text.split('.').filter(|label| !label.is_empty()).map(resolve_escapes).collect();
    Name::from_labels(labels.iter().map(Vec::as_slice)).unwrap()
}

async fn serve_web(listener: TcpListener, tls: TlsAcceptor, state: Arc<State>) {
    while let Ok((tcp, _)) = listener.accept().await {
        let (tls, state) = (tls.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let mut first = [0];
            let is_tls = tcp.peek(&mut first).await.is_ok_and(|_| first[0] == 0x16);
            if !is_tls {
                answer("http", tcp, &state).await;
            } else if let Ok(stream) = tls.accept(tcp).await {
                answer("https", stream, &state).await;
            }
        });
    }
}

async fn answer(scheme: &str, mut stream: impl AsyncRead + AsyncWrite + Unpin, state: &State) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        request.push(byte);
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap().to_owned();
    let host = request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned();
    let url = format!("{scheme}://{}{path}", host.split(':').next().unwrap());
    state.requests.lock().unwrap().push((url.clone(), request));
    let page = state.pages.lock().unwrap().get(&url).cloned();
    // The client may have had enough.
    let _ = play(page, &mut stream).await;
}

async fn play(page: Option<Page>, stream: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    match page {
        None => stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await?,
        Some(Page::File(kind, body)) => {
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all(&[head.as_bytes(), &body].concat()).await?;
        }
        Some(Page::Raw(answer)) => stream.write_all(&answer).await?,
        Some(Page::Endless(beginning, more)) => {
            stream.write_all(beginning.as_bytes()).await?;
            loop {
                stream.write_all(more).await?;
            }
        }
        Some(Page::Drip(beginning)) => {
            stream.write_all(beginning.as_bytes()).await?;
            loop {
                stream.write_all(b" ").await?;
                stream.flush().await?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Some(Page::Silent) => std::future::pending().await,
    }
    stream.shutdown().await
}

async fn serve_udp(socket: UdpSocket, state: Arc<State>) {
    let mut question = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut question).await {
        if let Some(answer) = resolve(&question[..length], &state, false) {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

async fn serve_tcp(listener: TcpListener, state: Arc<State>) {
    while let Ok((tcp, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move { converse(tcp, &state).await });
    }
}

/// RFC 1035 section 4.2.2.
async fn converse(mut tcp: TcpStream, state: &State) -> std::io::Result<()> {
    loop {
        let mut question = vec![0; tcp.read_u16().await?.into()];
        tcp.read_exact(&mut question).await?;
        let Some(answer) = resolve(&question, state, true) else { continue };
        let is_lie = trouble_of(&Message::from_vec(&question).unwrap(), state)
            .is_some_and(|trouble| matches!(trouble, Trouble::Truncated));
        let length = if is_lie { u16::MAX } else { u16::try_from(answer.len()).unwrap() };
        tcp.write_u16(length).await?;
        tcp.write_all(&answer).await?;
    }
}

fn trouble_of(question: &Message, state: &State) -> Option<Trouble> {
    let asked = question.queries[0].name();
    let trouble = state.trouble.lock().unwrap();
    trouble.iter().find(|(below, _)| below.zone_of(asked)).map(|(_, trouble)| *trouble)
}

fn resolve(bytes: &[u8], state: &State, is_tcp: bool) -> Option<Vec<u8>> {
    let question = Message::from_vec(bytes).unwrap();
    let query = question.queries[0].clone();
    state.questions.lock().unwrap().push(query.to_string());
    let records = state.records.lock().unwrap();
    let owned: Vec<&RData> =
        records.iter().filter(|(owner, _)| owner == query.name()).map(|(_, data)| data).collect();
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.recursion_available = true;
    if owned.is_empty() {
        answer.metadata.response_code = ResponseCode::NXDomain;
    }
    let fitting = owned.into_iter().filter(|data| data.record_type() == query.query_type());
    answer.add_answers(fitting.map(|data| Record::from_rdata(query.name().clone(), 60, data.clone())));
    let trouble = trouble_of(&question, state);
    answer.add_query(query);
    match trouble {
        None => {}
        Some(Trouble::Silent) => return None,
        Some(Trouble::ServFail) => answer.metadata.response_code = ResponseCode::ServFail,
        Some(Trouble::Garbage) => return Some([&bytes[..2], &[0xff; 300]].concat()),
        Some(Trouble::Overcounted) => {
            let mut lie = answer.to_vec().unwrap();
            lie[6..8].copy_from_slice(&u16::MAX.to_be_bytes());
            return Some(lie);
        }
        Some(Trouble::Truncated) => answer.metadata.truncation = !is_tcp,
    }
    Some(answer.to_vec().unwrap())
}
