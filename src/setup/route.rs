//! Where the mail of an account goes.

use super::Error;
use crate::config::Config;
use crate::message::{DestinationName, Route};

/// What a person has answered of a route; `None` keeps what it was, or takes the default.
#[derive(Clone, Copy, Debug)]
pub struct RouteAnswers<'a> {
    pub to: &'a str,
    pub folder: Option<&'a str>,
    pub mark_read: Option<bool>,
}

/// The route of these answers, in the place of `before`. A webhook has neither folders nor marks; whether junk goes to a
/// folder of its own is asked for in the file only, and stays while the destination does.
///
/// # Errors
/// [`Error::NoDestination`].
pub fn route(config: &Config, answers: RouteAnswers<'_>, before: Option<&Route>) -> Result<Route, Error> {
    let known = config.destinations.iter().find(|known| known.name.as_str() == answers.to);
    let known = known.ok_or_else(|| Error::NoDestination {
        name: answers.to.to_owned(),
        known: config.destinations.iter().map(|known| known.name.clone()).collect(),
    })?;
    let default = plain(known.name.clone());
    if known.word != "imap" {
        return Ok(default);
    }
    let before = before.unwrap_or(&default);
    Ok(Route {
        folder: answers.folder.unwrap_or(&before.folder).trim().to_owned(),
        mark_read: answers.mark_read.unwrap_or(before.mark_read),
        junk: if before.to == known.name { before.junk.clone() } else { Vec::new() },
        ..default
    })
}

fn plain(to: DestinationName) -> Route {
    Route { to, folder: "INBOX".into(), mark_read: false, junk: Vec::new() }
}
