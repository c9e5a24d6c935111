//! `web-password`: a new password for the page.

use std::path::Path;

use secrecy::ExposeSecret;

use crate::ledger::{self, Ledger, Visitor};
use crate::{config, daemon, web};

use super::person::{Person, Question};
use super::steps::password;
use super::{exit, plain, print};

pub async fn web_password(file: &Path, password_file: Option<&Path>) -> anyhow::Result<u8> {
    let config = config::load_without_secrets(file).await?;
    let person = Person::new(false);
    let chosen = password(&person, password_file)?;
    if chosen.expose_secret().chars().count() < web::SHORTEST_PASSWORD {
        let text =
            format!("this is too short; a password has at least {} characters", web::SHORTEST_PASSWORD);
        return Err(plain(exit::USAGE, text));
    }
    if password_file.is_none() {
        let again = person.password(Question { text: "The same again", option: "--password-file" })?;
        if again.expose_secret() != chosen.expose_secret() {
            return Err(plain(exit::USAGE, "these were two different passwords; nothing was changed"));
        }
    }
    let hash = web::hash_password(&chosen).map_err(|text| plain(exit::FAILED, text))?;
    open_ledger(&config.ledger).await?.set_page_password(&hash).await?;
    print("The page has a new password. Whoever was signed in has to do so again.\n");
    Ok(exit::OK)
}

/// The ledger, made or brought up to date where nothing has done so yet.
pub async fn open_ledger(ledger: &Path) -> Result<Visitor, ledger::Error> {
    match Ledger::visit(ledger).await {
        Err(ledger::Error::Missing(_) | ledger::Error::Older(_)) => {
            daemon::hold(ledger).await?.close().await?;
            Ledger::visit(ledger).await
        }
        visitor => visitor,
    }
}
