//! What a browser lands at on the page: a code is redeemed once, to the end, and for what is signed in for now.

use std::io::Write;
use std::net::TcpStream;

use tempfile::TempDir;

use super::{ME, Scene, follow};
use crate::dovecot::Dovecot;
use crate::ferry::message;
use crate::identity_provider::{IdentityProvider, Mood};
use crate::web::browser::{Browser, House};

const SIGN_IN: &str = "/accounts/work/sign-in";

/// A browser at the page, whose account waits for somebody to sign in.
struct Visit {
    provider: IdentityProvider,
    _dovecot: Dovecot,
    house: House,
    browser: Browser,
    _folder: TempDir,
}

impl Visit {
    async fn new() -> Visit {
        let Scene { provider, dovecot, ferry, _folder } =
            Scene::with(IdentityProvider::config_without_codes).await;
        let text = std::fs::read_to_string(ferry.folder().join("mailferry.toml")).unwrap();
        ferry.configure(&format!("{text}\n[web]\nlisten = \"127.0.0.1:0\"\n"));
        dovecot.put(ME, &[message(1)]);
        let house = House::of(ferry).await;
        let browser = house.first_browser().await;
        Visit { provider, _dovecot: dovecot, house, browser, _folder }
    }

    /// Where the page leads somebody who signs in.
    async fn address(&mut self) -> String {
        let seen = self.browser.get(SIGN_IN).await;
        assert_eq!(seen.status, 200, "{seen:?}");
        let (_, rest) = seen.body.split_once("<a href=\"http://").unwrap();
        let (url, _) = rest.split_once('"').unwrap();
        format!("http://{}", url.replace("&#38;", "&").replace("&amp;", "&"))
    }

    /// Where the provider sends somebody who has signed in there.
    async fn landing(&mut self) -> String {
        let address = self.address().await;
        tokio::task::spawn_blocking(move || follow(&address)).await.unwrap()
    }

    /// What follows the host in it, asked of the page itself.
    fn path(&self, landing: &str) -> String {
        let (_, path) = landing.split_once("/signed-in").unwrap();
        format!("/signed-in{path}")
    }

    /// How often a code was redeemed.
    fn redeemed(&self) -> usize {
        let asked = self.provider.asked();
        asked.iter().filter(|form| form["grant_type"] == "authorization_code").count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_redeemed_once_however_often_its_address_is_loaded() {
    let mut visit = Visit::new().await;
    visit.provider.mood(Mood::Slow);
    let landing = visit.landing().await;
    let path = visit.path(&landing);
    let mut others = [visit.house.browser(), visit.house.browser()];
    let [one, other] = &mut others;
    let pasted = [("landed", landing.as_str())];
    let (first, second, third) =
        tokio::join!(one.get(&path), other.get(&path), visit.browser.post(SIGN_IN, &pasted));
    for seen in [first, second, visit.browser.get(&path).await] {
        assert!(seen.status == 200 && seen.body.contains("mailferry can log in as"), "{seen:?}");
    }
    assert_eq!(third.goes_to(), "/");
    assert_eq!(visit.redeemed(), 1);
    visit.house.daemon.wait_for("account=work new=1").await;
    visit.house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_landing_is_done_to_its_end_where_the_browser_hangs_up() {
    let mut visit = Visit::new().await;
    visit.provider.mood(Mood::Held);
    let landing = visit.landing().await;
    let (host, path) = (&visit.house.address, visit.path(&landing));
    let mut browser = TcpStream::connect(host).unwrap();
    write!(browser, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    visit.provider.is_asked().await;
    drop(browser);
    // Whoever comes after that waits for the same answer.
    let mut other = visit.house.browser();
    let waiting = other.get(&path);
    let provider = visit.provider.clone();
    let (seen, ()) = tokio::join!(waiting, async { provider.mood(Mood::Rotate) });
    assert!(seen.body.contains("mailferry can log in as"), "{seen:?}");
    assert_eq!(visit.redeemed(), 1);
    visit.house.daemon.wait_for("account=work new=1").await;
    visit.house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_that_cannot_be_read_for_a_moment_ends_no_sign_in() {
    let mut visit = Visit::new().await;
    let landing = visit.landing().await;
    let path = visit.path(&landing);
    let text = std::fs::read_to_string(visit.house.ferry.folder().join("mailferry.toml")).unwrap();
    visit.house.ferry.configure(&format!("{text}\n[web"));
    let seen = visit.house.browser().get(&path).await;
    assert!(seen.status == 200 && seen.body.contains("mailferry can log in as"), "{seen:?}");
    visit.house.ferry.configure(&text);
    visit.house.daemon.wait_for("account=work new=1").await;
    visit.house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_goes_by_what_is_signed_in_for_now() {
    let mut visit = Visit::new().await;
    let landing = visit.landing().await;
    let path = visit.path(&landing);
    // Another user by now: what was begun for the first is of no use.
    let file = visit.house.ferry.folder().join("mailferry.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    visit.house.ferry.configure(&text.replace(&format!("user = \"{ME}\""), "user = \"you@example.org\""));
    let seen = visit.house.browser().get(&path).await;
    assert!(seen.status == 409 && seen.body.contains("has been changed meanwhile"), "{seen:?}");
    assert_eq!(visit.redeemed(), 0);
    assert!(visit.address().await.contains("login_hint=you%40example.org"));

    visit.house.ferry.configure(&text);
    let landing = visit.landing().await;
    let seen = visit.house.browser().get(&visit.path(&landing)).await;
    assert_eq!(seen.status, 200, "{seen:?}");
    visit.house.daemon.wait_for("account=work new=1").await;
    // The sign-in ends: that it went well once leads nobody away.
    visit.provider.revoke_access();
    visit.provider.mood(Mood::Revoked);
    visit.house.ferry.run(&["check", "work"]).await;
    assert!(visit.address().await.contains("login_hint=me%40example.org"));
    visit.house.end().await;
}
