//! `mailferry login`: somebody signs in at an identity provider, so that an account or a destination can log in by OAuth.

use std::future::ready;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use chrono::{Local, Utc};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::auth::{self, Address, DeviceCode, DeviceState, SignIn, TokenStore};
use crate::config::Config;
use crate::ledger::{Ledger, Tokens};
use crate::printable::printable;
use crate::setup::{self, NewSignIn, Whom};

use super::typed::Typed;
use super::{exit, page, plain, print};

/// How somebody wants to sign in, where the provider leaves the choice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Any,
    Browser,
    Code,
}

impl Way {
    /// What the options of the command line say.
    pub fn chosen(by_code: bool, by_browser: bool) -> Way {
        match (by_code, by_browser) {
            (true, _) => Way::Code,
            (_, true) => Way::Browser,
            _ => Way::Any,
        }
    }
}

pub async fn login(file: &Path, whom: &Whom, way: Way) -> anyhow::Result<u8> {
    let (config, sign_in) = setup::sign_in_for(file, whom).await?;
    page::open_ledger(&config.ledger).await?;
    let is_still = || {
        let (file, whom, sign_in) = (file.to_owned(), whom.clone(), sign_in.clone());
        async move { setup::is_still(&file, &whom, &sign_in).await }
    };
    consent(&sign_in, way, is_still).await?;
    tell_end(&config, whom).await?;
    take_up(&config, whom).await?;
    try_it(config, whom).await
}

/// Until somebody has signed in for what is being added or changed, unless they have.
pub async fn of_newcomer(new: &NewSignIn) -> anyhow::Result<()> {
    match new.is_done().await {
        true => Ok(()),
        false => consent(&new.sign_in, Way::Any, || ready(true)).await,
    }
}

/// Until somebody has signed in, for what is wanted then.
async fn consent<W: Future<Output = bool> + Send + 'static>(
    sign_in: &SignIn,
    way: Way,
    is_wanted: impl Fn() -> W,
) -> anyhow::Result<()> {
    let has_codes = sign_in.settings.device_url.is_some();
    match way {
        Way::Code if !has_codes => {
            let text = "this provider has no sign-in by code; leave --code out";
            return Err(plain(exit::USAGE, text));
        }
        Way::Any | Way::Code if has_codes => by_code(sign_in, is_wanted).await?,
        Way::Any | Way::Code | Way::Browser => by_browser(sign_in, is_wanted).await?,
    }
    print(&format!("Signed in as {}.\n", printable(&sign_in.user)));
    Ok(())
}

async fn by_code<W: Future<Output = bool> + Send + 'static>(
    sign_in: &SignIn,
    is_wanted: impl Fn() -> W,
) -> anyhow::Result<()> {
    let mut code = DeviceCode::ask(sign_in).await.map_err(refused)?;
    print(&format!(
        "Open {}\nand type in the code {}\n(it is good for {} minutes; Ctrl-C ends this)\n",
        code.url,
        code.user_code,
        code.life.as_secs() / 60
    ));
    let end = Instant::now() + code.life;
    while Instant::now() < end {
        tokio::time::sleep(code.interval).await;
        match code.state(sign_in, is_wanted()).await.map_err(refused)? {
            DeviceState::SignedIn => return Ok(()),
            DeviceState::Waiting => {}
        }
    }
    Err(plain(exit::LATER, "nobody has typed the code in; run this command again for a new one"))
}

/// What comes back from the browser: by itself on this machine, or pasted from another one.
async fn by_browser<W: Future<Output = bool> + Send + 'static>(
    sign_in: &SignIn,
    is_wanted: impl Fn() -> W,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    // Not 127.0.0.1: Microsoft takes any port only of this name, and Google of both.
    let redirect = format!("http://localhost:{}/", listener.local_addr()?.port());
    let address = Arc::new(Address::new(sign_in, &redirect).map_err(|text| plain(exit::CONFIG, text))?);
    print(&format!(
        "Open this in a browser, and sign in:\n\n{}\n\nOn this machine that is all. If the browser is on another one, it ends \
         at an address that it cannot open, beginning with {redirect} - paste that here, whole, and press Enter:\n",
        address.url
    ));
    let (landed, mut landings) = mpsc::channel(1);
    let desk = Desk { address: Arc::clone(&address), landed: landed.clone() };
    let app = Router::new().fallback(land).with_state(desk);
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let typed = Typed::lines_to(landed);
    let outcome = loop {
        let Some(line) = landings.recv().await else {
            break Err(plain(exit::LATER, "nobody has signed in"));
        };
        match address.landed(sign_in, &line, is_wanted()).await {
            Ok(()) => break Ok(()),
            // Perhaps only half of it was pasted.
            Err(auth::Error::SignIn(reason)) if !address.is_answered_by(&line) => {
                print(&format!("That is not it: {reason}.\n"));
            }
            Err(fault) => break Err(refused(fault)),
        }
    };
    server.abort();
    // Whatever is typed from here on answers other questions.
    typed.end().await;
    outcome
}

#[derive(Clone)]
struct Desk {
    address: Arc<Address>,
    landed: mpsc::Sender<String>,
}

async fn land(State(desk): State<Desk>, RawQuery(query): RawQuery) -> impl IntoResponse {
    let query = query.unwrap_or_default();
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    // Whatever else a browser asks for, such as an icon.
    if !desk.address.is_answered_by(&query) {
        return (StatusCode::NOT_FOUND, kind, "There is nothing here.\n");
    }
    let _ = desk.landed.send(query).await;
    (StatusCode::OK, kind, "Thank you. The terminal says how it went; you can close this window.\n")
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn refused(fault: auth::Error) -> anyhow::Error {
    let code = match &fault {
        auth::Error::Local(_) => exit::LEDGER,
        auth::Error::SignIn(reason) if reason == auth::CHANGED => exit::CONFIG,
        _ => exit::LATER,
    };
    plain(code, fault.to_string())
}

/// Some providers say how long a sign-in lasts: Google 7 days, as long as the application is in testing.
async fn tell_end(config: &Config, whom: &Whom) -> anyhow::Result<()> {
    let stored =
        Tokens::at(&config.ledger).load(&whom.holder()).await.map_err(|text| plain(exit::LEDGER, text))?;
    if let Some(ends) = stored.and_then(|stored| stored.ends_at) {
        let day = ends.with_timezone(&Local).format("%Y-%m-%d");
        print(&format!(
            "It lasts until {day}, says the provider. If that is a week from now, and it is Google: publish the app, and sign \
             in once more (see deploy/oauth.md).\n"
        ));
    }
    Ok(())
}

/// Whoever runs on this ledger, now or later, need not wait for the next poll.
async fn take_up(config: &Config, whom: &Whom) -> anyhow::Result<()> {
    Ledger::visit(&config.ledger).await?.request(&whom.request(), Utc::now()).await?;
    Ok(())
}

/// A sign-in that the server of the mail does not take is none.
async fn try_it(config: Config, whom: &Whom) -> anyhow::Result<u8> {
    let names = match whom {
        Whom::Account(name) => (Some(name.clone()), None),
        Whom::Destination(name) => (None, Some(name.clone())),
    };
    let good = super::check::probe_one(config, names).await;
    Ok(if good { exit::OK } else { exit::LATER })
}
