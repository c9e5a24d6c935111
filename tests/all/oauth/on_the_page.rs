//! Signing in on the page, in a real browser.

use tempfile::TempDir;

use super::{ME, Scene};
use crate::dovecot::Dovecot;
use crate::ferry::message;
use crate::identity_provider::{IdentityProvider, Mood};
use crate::web::browser::{House, PASSWORD};
use crate::web::chromium::Chromium;

/// A window on the page, whose account waits for somebody to sign in.
struct Visit {
    provider: IdentityProvider,
    dovecot: Dovecot,
    window: Chromium,
    house: House,
    _folder: TempDir,
}

impl Visit {
    async fn of(scene: Scene, width: u32) -> Visit {
        let Scene { provider, dovecot, ferry, _folder } = scene;
        let text = std::fs::read_to_string(ferry.folder().join("mailferry.toml")).unwrap();
        ferry.configure(&format!("{text}\n[web]\nlisten = \"127.0.0.1:0\"\n"));
        dovecot.put(ME, &[message(1)]);
        let house = House::of(ferry).await;
        let window = Chromium::open(width).await;
        window.visit(&format!("http://{}", house.address)).await;
        window.fill("Password", PASSWORD).await;
        window.fill("The same again", PASSWORD).await;
        window.press(None, "Set the password").await;
        window.read("nobody has signed in yet").await;
        window.is_fit_for_all().await;
        Visit { provider, dovecot, window, house, _folder }
    }

    /// The account's mail has come without anything more.
    async fn ends_well(&self) {
        self.window.read("Delivered 1").await;
        assert_eq!(self.dovecot.list("home@example.org", "INBOX").len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_shown_and_the_page_goes_on_by_itself() {
    let visit = Visit::of(Scene::new().await, 360).await;
    let window = &visit.window;
    window.press(Some("main"), "Sign in").await;
    window.read("WXYZ-1234").await;
    window.is_fit_for_all().await;
    visit.provider.type_codes_in();
    window.read("All is well.").await;
    visit.ends_well().await;
    // Withdrawn by whoever gave it: somebody has to sign in again.
    visit.provider.mood(Mood::Revoked);
    visit.provider.revoke_access();
    window.press(Some("main"), "Check mail now").await;
    window.read("sign in again").await;
    window.is_fit_for_all().await;
    visit.provider.mood(Mood::Expired);
    window.press(Some("main"), "Sign in").await;
    window.read("expired_token").await;
    window.is_fit_for_all().await;
    visit.provider.mood(Mood::Ok);
    window.press(None, "Try again").await;
    window.read("WXYZ-1234").await;
    visit.provider.type_codes_in();
    window.read("All is well.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_leads_back_to_the_page() {
    let visit = Visit::of(Scene::with(IdentityProvider::config_without_codes).await, 1280).await;
    let window = &visit.window;
    window.press(Some("main"), "Sign in").await;
    window.read("The address you landed at").await;
    window.is_fit_for_all().await;
    window.press(None, "Go to the provider").await;
    window.read("mailferry can log in as me@example.org now.").await;
    window.is_fit_for_all().await;
    window.press(None, "Back to the accounts").await;
    visit.ends_well().await;
    window.visit(&format!("http://{}/providers?find=gmail", visit.house.address)).await;
    window.read("Gmail").await;
    window.is_fit_for_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_leads_nowhere_can_be_pasted() {
    let visit = Visit::of(Scene::with(IdentityProvider::config_without_codes).await, 1280).await;
    let window = &visit.window;
    window.press(Some("main"), "Sign in").await;
    window.fill("The address you landed at", "http://localhost/?code=x&state=y").await;
    window.press(None, "Go on").await;
    window.read("not the address that this sign-in leads to").await;
    window.is_fit_for_all().await;
    let script =
        "return [...document.querySelectorAll('a')].find(a => a.textContent.includes('provider')).href";
    let url = window.script(script, serde_json::json!([])).await;
    let url = url.as_str().unwrap().to_owned();
    let landed = tokio::task::spawn_blocking(move || super::follow(&url)).await.unwrap();
    window.fill("The address you landed at", &landed).await;
    window.press(None, "Go on").await;
    visit.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_fails_says_why_and_can_be_begun_anew() {
    let visit = Visit::of(Scene::new().await, 360).await;
    let window = &visit.window;
    visit.provider.grant_only("profile");
    window.press(Some("main"), "Sign in").await;
    window.read("WXYZ-1234").await;
    visit.provider.type_codes_in();
    window.read("It was not allowed: mail.read").await;
    window.is_fit_for_all().await;
    visit.provider.grant_only("mail.read");
    window.press(None, "Try again").await;
    window.read("WXYZ-1234").await;
    visit.provider.type_codes_in();
    visit.ends_well().await;
}
