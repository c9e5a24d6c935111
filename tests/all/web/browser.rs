//! A browser without a window: it keeps its cookie, and says where its requests come from.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use rustix::process::Signal;

use super::html::Html;
use crate::ferry::{Ferry, Running};

/// The password of the page in all tests.
pub const PASSWORD: &str = "correct horse";

/// A daemon with a page, and where that is.
pub struct House {
    pub ferry: Ferry,
    pub daemon: Running,
    /// `127.0.0.1:PORT`.
    pub address: String,
}

/// An answer, read.
#[derive(Debug)]
pub struct Seen {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: String,
}

pub struct Browser {
    client: Client,
    /// `http://HOST:PORT`
    pub origin: String,
    pub cookie: Option<String>,
}

impl House {
    /// Starts `run` with a page on a free port of this machine, and `config` for the rest.
    pub async fn start(config: &str) -> House {
        House::start_with("listen = \"127.0.0.1:0\"\n", config).await
    }

    /// `web` are the keys of `[web]`.
    pub async fn start_with(web: &str, config: &str) -> House {
        let ferry = Ferry::new(&format!("{config}\n[web]\n{web}"));
        House::of(ferry).await
    }

    pub async fn of(ferry: Ferry) -> House {
        let mut daemon = ferry.start(&["run"]);
        let line = daemon.wait_for("the page is up").await;
        let address = line.split("address=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        daemon.wait_for("started").await;
        House { ferry, daemon, address }
    }

    pub fn browser(&self) -> Browser {
        Browser::at(&format!("http://{}", self.address), client())
    }

    /// A browser whose person has just chosen the password.
    pub async fn first_browser(&self) -> Browser {
        let mut browser = self.browser();
        let seen =
            browser.post("/first-use", &[("code", ""), ("password", PASSWORD), ("again", PASSWORD)]).await;
        assert_eq!(seen.goes_to(), "/", "{seen:?}");
        browser
    }

    pub async fn end(self) -> Ferry {
        self.daemon.signal(Signal::TERM);
        let ran = self.daemon.end().await;
        assert_eq!(ran.code, 0, "{ran:?}");
        self.ferry
    }
}

/// Follows nothing by itself, so that a test sees where it is led.
pub fn client() -> Client {
    // It never speaks TLS here, but asks for a provider all the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().redirect(Policy::none()).timeout(Duration::from_secs(120)).build().unwrap()
}

impl Browser {
    pub fn at(origin: &str, client: Client) -> Browser {
        Browser { client, origin: origin.to_owned(), cookie: None }
    }

    pub async fn get(&mut self, path: &str) -> Seen {
        self.send(self.request(Method::GET, path).header("sec-fetch-site", "same-origin")).await
    }

    /// Sends a form of a page of ours.
    pub async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Seen {
        let request = self.request(Method::POST, path).header("origin", &self.origin);
        let request = request.header("sec-fetch-site", "same-origin");
        self.send(request.header("content-type", "application/x-www-form-urlencoded").body(encoded(form)))
            .await
    }

    /// Sends the form of an account that is changed, with what it has said of itself when it was opened.
    pub async fn edit(&mut self, path: &str, form: &[(&str, &str)]) -> Seen {
        let html = self.get(path).await.html();
        let seen = html.with("name", "seen").and_then(|field| field.get("value")).expect("a form");
        self.post(path, &[form, &[("seen", seen)]].concat()).await
    }

    /// Sends a form, and follows where that leads.
    pub async fn submit(&mut self, path: &str, form: &[(&str, &str)]) -> Seen {
        let seen = self.post(path, form).await;
        let to = seen.goes_to().to_owned();
        self.get(&to).await
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.origin));
        match &self.cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        }
    }

    pub async fn send(&mut self, request: RequestBuilder) -> Seen {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        if let Some(cookie) = headers.get("set-cookie") {
            self.cookie = cookie.to_str().unwrap().split(';').next().map(str::to_owned);
        }
        Seen { status, headers, body: answer.text().await.unwrap() }
    }

    /// Looks at a page until it shows `text`.
    pub async fn look_for(&mut self, path: &str, text: &str) -> Html {
        let looking = async {
            loop {
                let html = self.get(path).await.html();
                if html.text.contains(text) {
                    return html;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(60), looking).await;
        found.unwrap_or_else(|_| panic!("{path} does not show {text}"))
    }
}

impl Seen {
    #[track_caller]
    pub fn goes_to(&self) -> &str {
        assert_eq!(self.status, 303, "{self:?}");
        self.headers["location"].to_str().unwrap()
    }

    #[track_caller]
    pub fn html(&self) -> Html {
        assert!(self.headers["content-type"].to_str().unwrap().starts_with("text/html"), "{self:?}");
        Html::read(&self.body)
    }
}

/// A form as browsers send it.
pub fn encoded(form: &[(&str, &str)]) -> String {
    let escape = |text: &str| {
        let byte = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        };
        text.bytes().map(byte).collect::<String>()
    };
    let pairs: Vec<String> =
        form.iter().map(|(key, value)| format!("{}={}", escape(key), escape(value))).collect();
    pairs.join("&")
}
