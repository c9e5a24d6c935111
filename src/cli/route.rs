//! Where the mail of an account goes, asked.

use std::borrow::Cow;

use crate::config::{self, Config, draft};
use crate::message::{ARCHIVE, DestinationName, Route};
use crate::setup::{self, Unusable};

use super::answers::{Answers, word};
use super::destination::{self, Added, HomeAnswers, Kind};
use super::person::{Person, Question};
use super::{exit, plain, print};

/// Where the mail goes.
pub struct Goal {
    /// With the destination, if that is new.
    pub config: Config,
    pub route: Route,
    pub is_new: bool,
}

/// A destination of the config, once it has let us in, or a new one that is added to it: as `home` says, if it does.
pub async fn ask_route(
    person: &Person,
    mut config: Config,
    answers: &Answers,
    home: Option<&(DestinationName, HomeAnswers)>,
    before: Option<&Route>,
) -> anyhow::Result<Goal> {
    let (to, is_new) = loop {
        let chosen = match home {
            Some((name, home)) => Chosen::New(Some(name), Cow::Borrowed(home)),
            None => ask_destination(person, &config, answers, before)?,
        };
        let to = match chosen {
            Chosen::Known(to) => to,
            Chosen::New(name, home) => match destination::add(person, &config, name, &home).await? {
                Added::As(to) => {
                    config = config::load_without_secrets(&config.file).await?;
                    break (to, true);
                }
                Added::Not => continue,
            },
        };
        // Whatever is wrong with it, it is where the mail goes.
        if before.is_some_and(|before| before.to == to) {
            break (to, false);
        }
        match setup::log_in_destination(&config.file, &answers.route(&config, to.clone(), before)?).await {
            Ok(told) => print(&format!("Logged in to {to}: {told}\n")),
            Err(Unusable::NoSecret(reason)) => print(&format!("{to} was not logged in to: {reason}\n")),
            Err(Unusable::Refused(reason)) if person.is_absent() || answers.to.is_some() => {
                return Err(plain(exit::LATER, format!("{to}: {reason}")));
            }
            Err(Unusable::Refused(reason)) => {
                print(&format!("That did not work. {to}: {reason}\n"));
                continue;
            }
        }
        break (to, false);
    };
    let mut route = answers.route(&config, to, before)?;
    let word = word(&config, &route.to);
    if word != "webhook" {
        if answers.skip_inbox.is_none() && word == "gmail" {
            route.folder = ask_archive(person, &route.folder)?;
        } else if answers.folder.is_none() && answers.skip_inbox != Some(true) {
            route.folder = ask_folder(person, &route.folder, answers.skip_inbox)?;
        }
        if answers.labels.is_none() && (!route.labels.is_empty() || setup::has_labels(&config, &route.to)) {
            route.labels = ask_labels(person, &route.labels)?;
        }
        if answers.mark_read.is_none() {
            route.mark_read = person.confirm("Mark as read?", route.mark_read)?;
        }
        let spam = "Put what its provider marks as spam into the junk folder?";
        if answers.junk.is_none() {
            let is_sorted = !route.junk.is_empty();
            match person.confirm(spam, is_sorted)? {
                is_wanted if is_wanted == is_sorted => {}
                true => route.junk = config::usual_spam_signs(),
                false => route.junk = Vec::new(),
            }
        }
    }
    Ok(Goal { config, route, is_new })
}

enum Chosen<'a> {
    Known(DestinationName),
    /// With its name and what else is answered beforehand.
    New(Option<&'a DestinationName>, Cow<'a, HomeAnswers>),
}

fn ask_destination<'a>(
    person: &Person,
    config: &Config,
    answers: &Answers,
    before: Option<&Route>,
) -> anyhow::Result<Chosen<'a>> {
    if let Some(to) = &answers.to {
        return Ok(Chosen::Known(to.clone()));
    }
    let known = config.destinations.iter();
    let mut known: Vec<(&DestinationName, &str)> = known.map(|known| (&known.name, known.word)).collect();
    known.sort_by_key(|(name, _)| before.is_none_or(|before| before.to != **name));
    let mut ways: Vec<(String, Result<&DestinationName, Kind>)> =
        known.into_iter().map(|(name, word)| (format!("{name} ({word})"), Ok(name))).collect();
    if !person.is_absent() {
        ways.extend(Kind::ALL.map(|kind| (kind.another().to_owned(), Err(kind))));
    }
    let chosen = person.choose(Question { text: "Deliver to", option: "--to" }, &ways)?;
    Ok(match chosen {
        Ok(to) => Chosen::Known(to.clone()),
        Err(kind) => Chosen::New(None, Cow::Owned(HomeAnswers::none(kind))),
    })
}

/// A folder, or [`ARCHIVE`].
fn ask_folder(person: &Person, before: &str, archived: Option<bool>) -> anyhow::Result<String> {
    let usual = if before == ARCHIVE { draft::FOLDER } else { before };
    let folder = loop {
        let folder = person.line(Question { text: "Folder", option: "--folder" }, Some(usual))?;
        match draft::parse_folder(&folder) {
            Ok(folder) => break folder,
            Err(reason) => print(&format!("That is no folder: it {reason}.\n")),
        }
    };
    match archived {
        None if folder == draft::FOLDER => ask_archive(person, before),
        _ => Ok(folder),
    }
}

/// The inbox, or [`ARCHIVE`].
fn ask_archive(person: &Person, before: &str) -> anyhow::Result<String> {
    let archives = "Archive incoming messages (Skip the Inbox)?";
    let is_archived = person.confirm(archives, before == ARCHIVE)?;
    Ok(if is_archived { ARCHIVE } else { draft::FOLDER }.to_owned())
}

fn ask_labels(person: &Person, before: &[String]) -> anyhow::Result<Vec<String>> {
    let text = "Label incoming messages: names, with commas between them (empty for none)";
    loop {
        let answer = person.changed_line(text, &before.join(", "))?;
        match draft::parse_labels(&answer) {
            Ok(labels) => return Ok(labels),
            Err(reason) => print(&format!("That is no list of labels: {reason}.\n")),
        }
    }
}
