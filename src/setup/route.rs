//! Where the mail of an account goes.

use super::Error;
use crate::config::{self, Config};
use crate::message::Route;

/// What a person has answered of a route; `None` keeps what it was, or takes the default.
#[derive(Clone, Copy, Debug)]
pub struct RouteAnswers<'a> {
    pub to: &'a str,
    pub folder: Option<&'a str>,
    pub mark_read: Option<bool>,
    pub junk: Option<bool>,
}

/// The route of these answers, in the place of `before`. A webhook has neither folders nor marks.
///
/// # Errors
/// [`Error::NoDestination`].
pub fn route(config: &Config, answers: RouteAnswers<'_>, before: Option<&Route>) -> Result<Route, Error> {
    let known = config.destinations.iter().find(|known| known.name.as_str() == answers.to);
    let known = known.ok_or_else(|| Error::NoDestination {
        name: answers.to.to_owned(),
        known: config.destinations.iter().map(|known| known.name.clone()).collect(),
    })?;
    let default = Route::to(known.name.clone());
    let before = before.unwrap_or(&default);
    let when = before.when.clone();
    if known.word != "imap" {
        return Ok(Route { recipient: before.recipient.clone(), when, ..default });
    }
    Ok(Route {
        folder: answers.folder.unwrap_or(&before.folder).trim().to_owned(),
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
