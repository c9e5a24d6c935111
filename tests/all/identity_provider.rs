//! An identity provider on loopback: it lets everybody in who follows the rules of OAuth 2, and has its moods.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Form, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

/// What the next answer to a request for tokens is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Ok,
    /// Each refresh gives a new refresh token, and the old one is dead.
    Rotate,
    /// The grant is withdrawn.
    Revoked,
    SlowDown,
    Http500,
    /// 70 KiB and more.
    Huge,
    /// Nothing, ever.
    Silent,
    /// Two seconds late.
    Slow,
    /// Nothing before another mood comes.
    Held,
    /// A token of another type than Bearer.
    WrongType,
    /// The same, and the old refresh token is dead.
    RotateWrongType,
    /// As [`Mood::Rotate`], with a life that is no time.
    RotateOddly,
    /// No JSON.
    Html,
    /// The same, with HTTP 404.
    NotFound,
    Redirect,
    /// The application is not known.
    WrongClient,
    /// Codes that nobody has typed in so far are no longer good.
    Expired,
}

pub const CLIENT: &str = "mailferry-test-client";
pub const CLIENT_SECRET: &str = "gocspx-not-a-real-secret";

#[derive(Clone)]
pub struct IdentityProvider {
    address: String,
    state: Arc<Mutex<Inside>>,
    /// Somebody has asked for tokens.
    question: Arc<Notify>,
    /// Its mood has changed.
    turn: Arc<Notify>,
    /// How many tokens it has disowned.
    disowned: Arc<watch::Sender<usize>>,
}

struct Inside {
    mood: Mood,
    /// The moods of single answers, over and over; `mood` is for where there are none.
    whims: Vec<Mood>,
    life: Duration,
    /// How long a sign-in lasts, where it says so.
    refresh_life: Option<Duration>,
    /// Octets of an access token.
    length: usize,
    user: String,
    /// The scopes that are granted; all that are asked for, if there are none.
    granted: Option<String>,
    codes: HashMap<String, Code>,
    devices: HashMap<String, Device>,
    refresh: HashMap<String, String>,
    access: HashMap<String, Access>,
    asked: Vec<HashMap<String, String>>,
    count: usize,
}

struct Access {
    user: String,
    end: Instant,
    scope: String,
}

struct Code {
    challenge: String,
    redirect: String,
    scope: String,
}

struct Device {
    is_typed_in: bool,
    scope: String,
}

impl IdentityProvider {
    /// For `user`; its tokens live for an hour.
    pub async fn start(user: &str) -> IdentityProvider {
        let inside = Inside {
            mood: Mood::Ok,
            whims: Vec::new(),
            life: Duration::from_secs(3600),
            refresh_life: None,
            length: 40,
            user: user.to_owned(),
            granted: None,
            codes: HashMap::new(),
            devices: HashMap::new(),
            refresh: HashMap::new(),
            access: HashMap::new(),
            asked: Vec::new(),
            count: 0,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(inside));
        let provider = IdentityProvider {
            address,
            state,
            question: Arc::default(),
            turn: Arc::default(),
            disowned: Arc::default(),
        };
        let app = Router::new()
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .route("/device", post(device))
            .route("/introspect", post(introspect))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        provider
    }

    fn inside<T>(&self, work: impl FnOnce(&mut Inside) -> T) -> T {
        work(&mut self.state.lock().unwrap())
    }

    pub fn mood(&self, mood: Mood) {
        self.inside(|inside| inside.mood = mood);
        self.turn.notify_waiters();
    }

    /// Each answer from now on is in the next of these moods, and after the last comes the first.
    pub fn whims(&self, moods: &[Mood]) {
        self.inside(|inside| inside.whims = moods.to_vec());
    }

    async fn mood_now(&self) -> Mood {
        loop {
            let turn = self.turn.notified();
            let mood = self.inside(|inside| match inside.whims.len() {
                0 => inside.mood,
                count => inside.whims[inside.asked.len() % count],
            });
            match mood {
                Mood::Held => turn.await,
                Mood::Slow => {
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    return Mood::Rotate;
                }
                mood => return mood,
            }
        }
    }

    /// Access tokens from now on live so long, and have so many octets.
    pub fn tokens(&self, life: Duration, length: usize) {
        self.inside(|inside| (inside.life, inside.length) = (life, length));
    }

    /// Sign-ins from now on last so long.
    pub fn lasts(&self, life: Duration) {
        self.inside(|inside| inside.refresh_life = Some(life));
    }

    /// Whoever signs in from now on is this one.
    pub fn belongs_to(&self, user: &str) {
        self.inside(|inside| user.clone_into(&mut inside.user));
    }

    pub fn grant_only(&self, scopes: &str) {
        self.inside(|inside| inside.granted = Some(scopes.to_owned()));
    }

    /// No access token given out so far is good any more.
    pub fn revoke_access(&self) {
        self.inside(|inside| inside.access.clear());
    }

    /// Requests for tokens so far, each as a form.
    pub fn asked(&self) -> Vec<HashMap<String, String>> {
        self.inside(|inside| inside.asked.clone())
    }

    /// Resolves when somebody asks for tokens, or has asked since the last time.
    pub async fn is_asked(&self) {
        self.question.notified().await;
    }

    /// Waits until it has told servers of so many tokens that they are not good.
    pub async fn has_disowned(&self, count: usize) {
        self.disowned.subscribe().wait_for(|seen| *seen >= count).await.unwrap();
    }

    /// How many that are by now.
    pub fn disowned(&self) -> usize {
        *self.disowned.borrow()
    }

    /// All tokens that were ever given out.
    pub fn secrets(&self) -> Vec<String> {
        self.inside(|inside| inside.refresh.keys().chain(inside.access.keys()).cloned().collect())
    }

    /// Somebody types in every code that was given out.
    pub fn type_codes_in(&self) {
        self.inside(|inside| inside.devices.values_mut().for_each(|device| device.is_typed_in = true));
    }

    /// `[oauth.NAME]`, in full.
    pub fn config(&self, name: &str) -> String {
        let at = &self.address;
        format!(
            "[oauth.{name}]\nclient_id = \"{CLIENT}\"\nclient_secret = \"{CLIENT_SECRET}\"\n\
             authorize_url = \"{at}/authorize\"\ntoken_url = \"{at}/token\"\ndevice_url = \"{at}/device\"\n\
             scopes = [\"mail.read\", \"offline_access\"]\n\n"
        )
    }

    /// The same, but for the sign-in by code.
    pub fn config_without_codes(&self, name: &str) -> String {
        let config = self.config(name);
        config
            .lines()
            .filter(|line| !line.starts_with("device_url"))
            .map(|line| format!("{line}\n"))
            .collect()
    }

    /// The same as Google's: the scopes go by what is signed in for, and there is no sign-in by code.
    pub fn google(&self, name: &str) -> String {
        let own = |line: &&str| !line.starts_with("device_url") && !line.starts_with("scopes");
        let config = self.config(name);
        let lines = config.lines().filter(own).filter(|line| !line.is_empty());
        lines.chain(["provider = \"google\"", ""]).map(|line| format!("{line}\n")).collect()
    }

    /// What an access token is good for; `None` where it is not good.
    pub fn scopes_of(&self, token: &str) -> Option<Vec<String>> {
        self.inside(|inside| {
            let access = inside.access.get(token).filter(|access| access.end > Instant::now())?;
            Some(access.scope.split(' ').map(str::to_owned).collect())
        })
    }

    /// For Dovecot, which asks for every token whose it is.
    pub fn dovecot(&self, folder: &std::path::Path) -> String {
        let file = folder.join("oauth2.conf");
        let at = self.address.trim_start_matches("http://");
        let text = format!(
            "introspection_mode = post\nintrospection_url = http://{at}/introspect\nusername_attribute = username\n\
             active_attribute = active\nactive_value = true\ndebug = yes\n"
        );
        std::fs::write(&file, text).unwrap();
        format!(
            "auth_mechanisms = plain login xoauth2 oauthbearer\npassdb {{\n  driver = oauth2\n  mechanisms = xoauth2 \
             oauthbearer\n  args = {}\n}}\nservice anvil {{\n  unix_listener anvil-auth-penalty {{\n    mode = 0\n  }}\n}}\n",
            file.display()
        )
    }
}

impl Inside {
    fn word(&mut self, kind: &str, length: usize) -> String {
        self.count += 1;
        let mut word = format!("{kind}-{}-", self.count);
        while word.len() < length {
            word.push_str("0123456789abcdef");
        }
        word.truncate(length.max(12));
        word
    }

    fn tokens(&mut self, refresh: Option<String>, scope: &str) -> Value {
        let access = self.word("access", self.length);
        let scope = self.granted.clone().unwrap_or_else(|| scope.to_owned());
        let known = Access { user: self.user.clone(), end: Instant::now() + self.life, scope: scope.clone() };
        self.access.insert(access.clone(), known);
        let mut answer = json!({
            "access_token": access, "token_type": "Bearer", "expires_in": self.life.as_secs(), "scope": scope,
        });
        if let Some(refresh) = refresh {
            self.refresh.insert(refresh.clone(), scope);
            answer["refresh_token"] = refresh.into();
            if let Some(life) = self.refresh_life {
                answer["refresh_token_expires_in"] = life.as_secs().into();
            }
        }
        answer
    }

    fn refresh_token(&mut self) -> String {
        self.word("refresh", 40)
    }
}

fn error(code: &str) -> Response {
    described(code, "as the test wants it")
}

/// Some say what they were asked, secrets and all.
fn quoting(code: &str, form: &HashMap<String, String>) -> Response {
    let fields = form.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>();
    described(code, &format!("cannot serve {}", fields.join("&")))
}

fn described(code: &str, description: &str) -> Response {
    let body = json!({ "error": code, "error_description": description });
    (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn answer(body: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// The person consents at once.
async fn authorize(
    State(provider): State<IdentityProvider>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let field = |name: &str| query.get(name).cloned().unwrap_or_default();
    assert_eq!(field("response_type"), "code");
    assert_eq!(field("client_id"), CLIENT);
    assert_eq!(field("code_challenge_method"), "S256");
    if field("scope").contains("google") {
        // Without them Google gives no refresh token, or only the first time.
        assert_eq!((field("access_type").as_str(), field("prompt").as_str()), ("offline", "consent"));
    }
    let (redirect, state) = (field("redirect_uri"), field("state"));
    let code = provider.inside(|inside| {
        let code = inside.word("code", 20);
        let known =
            Code { challenge: field("code_challenge"), redirect: redirect.clone(), scope: field("scope") };
        inside.codes.insert(code.clone(), known);
        code
    });
    let to = format!("{redirect}?state={state}&code={code}");
    (StatusCode::FOUND, [(header::LOCATION, to)]).into_response()
}

async fn token(
    State(provider): State<IdentityProvider>,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    let field = |name: &str| form.get(name).cloned().unwrap_or_default();
    provider.inside(|inside| inside.asked.push(form.clone()));
    provider.question.notify_one();
    let mood = provider.mood_now().await;
    match mood {
        Mood::Revoked => return quoting("invalid_grant", &form),
        Mood::SlowDown => return error("slow_down"),
        Mood::WrongClient => return quoting("invalid_client", &form),
        Mood::Http500 => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Mood::Huge => return "{\"access_token\":\"".repeat(5000).into_response(),
        Mood::Silent => std::future::pending().await,
        Mood::Html => return "<html>Please sign in</html>".into_response(),
        Mood::NotFound => return (StatusCode::NOT_FOUND, "<html>Not here</html>").into_response(),
        Mood::Redirect => {
            return (StatusCode::FOUND, [(header::LOCATION, "http://127.0.0.1:9/")]).into_response();
        }
        Mood::Ok | Mood::Rotate | Mood::WrongType | Mood::Slow | Mood::Held => {}
        Mood::RotateWrongType | Mood::RotateOddly | Mood::Expired => {}
    }
    if (field("client_id"), field("client_secret")) != (CLIENT.to_owned(), CLIENT_SECRET.to_owned()) {
        return error("invalid_client");
    }
    provider.inside(|inside| {
        let mut body = match field("grant_type").as_str() {
            "authorization_code" => {
                let Some(code) = inside.codes.remove(&field("code")) else { return error("invalid_grant") };
                let proof = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(field("code_verifier")));
                if proof != code.challenge || field("redirect_uri") != code.redirect {
                    return error("invalid_grant");
                }
                let refresh = inside.refresh_token();
                inside.tokens(Some(refresh), &code.scope)
            }
            "refresh_token" => {
                let old = field("refresh_token");
                let Some(scope) = inside.refresh.get(&old).cloned() else { return error("invalid_grant") };
                let is_rotated = matches!(mood, Mood::Rotate | Mood::RotateWrongType | Mood::RotateOddly);
                let refresh = is_rotated.then(|| inside.refresh_token());
                if refresh.is_some() {
                    inside.refresh.remove(&old);
                }
                inside.tokens(refresh, &scope)
            }
            "urn:ietf:params:oauth:grant-type:device_code" => match inside.devices.get(&field("device_code"))
            {
                Some(Device { is_typed_in: true, scope }) => {
                    let scope = scope.clone();
                    let refresh = inside.refresh_token();
                    inside.tokens(Some(refresh), &scope)
                }
                Some(_) if mood != Mood::Expired => return error("authorization_pending"),
                _ => return error("expired_token"),
            },
            _ => return error("unsupported_grant_type"),
        };
        match mood {
            Mood::WrongType | Mood::RotateWrongType => body["token_type"] = "mac".into(),
            Mood::RotateOddly => body["expires_in"] = (-1.5).into(),
            _ => {}
        }
        answer(&body)
    })
}

async fn device(
    State(provider): State<IdentityProvider>,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    assert_eq!(form.get("client_id").map(String::as_str), Some(CLIENT));
    let code = provider.inside(|inside| {
        let code = inside.word("device", 20);
        let scope = form.get("scope").cloned().unwrap_or_default();
        inside.devices.insert(code.clone(), Device { is_typed_in: false, scope });
        code
    });
    answer(&json!({
        "device_code": code, "user_code": "WXYZ-1234", "verification_uri": "https://login.example/device",
        "expires_in": "900", "interval": 1,
    }))
}

/// RFC 7662.
async fn introspect(
    State(provider): State<IdentityProvider>,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    let token = form.get("token").cloned().unwrap_or_default();
    let user = provider.inside(|inside| {
        let Access { user, end, .. } = inside.access.get(&token)?;
        (*end > Instant::now()).then(|| user.clone())
    });
    if user.is_none() {
        provider.disowned.send_modify(|count| *count += 1);
    }
    answer(&json!({ "active": user.is_some(), "username": user }))
}
