//! Where the mail of an account goes.

use super::Error;
use crate::config::{self, Config};
use crate::message::{ARCHIVE, DestinationName, Route};
use crate::providers;

/// What a person has answered of a route; `None` keeps what it was, or takes the default.
#[derive(Clone, Debug)]
pub struct RouteAnswers<'a> {
    pub to: &'a str,
    pub folder: Option<&'a str>,
    pub skip_inbox: Option<bool>,
    pub labels: Option<Vec<String>>,
    pub mark_read: Option<bool>,
    pub junk: Option<bool>,
}

/// The route of these answers, in the place of `before`. A webhook has neither folders nor marks, and Gmail no folders.
///
/// # Errors
/// [`Error::NoDestination`], [`Error::TwoFolders`].
pub fn route(config: &Config, answers: RouteAnswers<'_>, before: Option<&Route>) -> Result<Route, Error> {
    let known = config.destinations.iter().find(|known| known.name.as_str() == answers.to);
    let known = known.ok_or_else(|| Error::no_destination(config, answers.to))?;
    let default = Route::to(known.name.clone());
    let before = before.unwrap_or(&default);
    let when = before.when.clone();
    let answers = match known.word {
        "imap" => answers,
        "gmail" => RouteAnswers {
            folder: Some(&default.folder),
            skip_inbox: answers.skip_inbox.or(Some(before.folder == ARCHIVE)),
            ..answers
        },
        _ => return Ok(Route { recipient: before.recipient.clone(), when, ..default }),
    };
    let folder = match answers.skip_inbox {
        Some(true) if answers.folder.is_some_and(|folder| !is_inbox(folder)) => {
            return Err(Error::TwoFolders);
        }
        Some(true) => ARCHIVE,
        Some(false) if before.folder == ARCHIVE => answers.folder.unwrap_or(&default.folder),
        Some(false) | None => answers.folder.unwrap_or(&before.folder),
    };
    Ok(Route {
        folder: folder.trim().to_owned(),
        labels: answers.labels.unwrap_or_else(|| before.labels.clone()),
        mark_read: answers.mark_read.unwrap_or(before.mark_read),
        when,
        junk: match answers.junk {
            Some(false) => Vec::new(),
            Some(true) if before.junk.is_empty() => config::usual_spam_signs(),
            Some(true) | None => before.junk.clone(),
        },
        ..default
    })
}

fn is_inbox(folder: &str) -> bool {
    folder.trim().eq_ignore_ascii_case("INBOX")
}

/// Whether messages can be labelled there, as far as its provider is known: the server itself is not asked.
pub fn has_labels(config: &Config, to: &DestinationName) -> bool {
    let known = config.destinations.iter().find(|known| known.name == *to);
    match known.map(|known| &known.kind) {
        Some(Ok(config::Kind::Imap(settings))) => {
            providers::for_host(&settings.peer.host).is_some_and(|provider| provider.has_labels)
        }
        Some(Ok(config::Kind::Gmail(_))) => true,
        _ => false,
    }
}
