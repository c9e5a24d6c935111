//! Labels: people know them by their names, the API by ids that it makes up.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use super::Refused;
use super::answer::Answer;
use super::api::{Api, Fault, Request};
use crate::auth;
use crate::message::Verdict;
use crate::printable::printable_text;

/// The labels of a mailbox, as far as they are known.
#[derive(Default)]
pub struct Labels(Mutex<Option<Known>>);

/// Ids by name, which is the same for Gmail in upper and lower case.
type Known = HashMap<String, String>;

#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    labels: Vec<Label>,
}

#[derive(Deserialize)]
struct Label {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    r#type: String,
}

const PATH: &str = "gmail/v1/users/{userId}/labels";

/// What follows from a fault: nothing of a message was sent.
const AGAIN: &str = "it will be tried again";

impl Labels {
    /// The ids of the labels of these names. What is not there is made, with the levels above it.
    ///
    /// # Errors
    /// The verdict on all messages that are to bear them.
    pub async fn ids(&self, api: &Api, names: &[String]) -> Result<Vec<String>, Verdict> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        // Whoever comes second finds it done.
        let mut known = self.0.lock().await;
        let labels = match known.take() {
            Some(labels) => labels,
            None => list(api).await?,
        };
        let labels = known.insert(labels);
        let mut ids = Vec::with_capacity(names.len());
        for name in names {
            for level in levels(name) {
                if !labels.contains_key(&key(level)) {
                    make(api, level, labels).await?;
                }
            }
            ids.extend(labels.get(&key(name)).cloned());
        }
        Ok(ids)
    }

    /// Somebody has changed them.
    pub async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

/// How many labels there are.
///
/// # Errors
/// Why they cannot be listed.
pub async fn count(api: &Api) -> Result<usize, Refused> {
    let answer = api.send(&Request::get(api.at(PATH, &[]))).await.map_err(|fault| {
        let is_of_sign_in = matches!(fault, Fault::SignIn(auth::Error::SignIn(_)));
        Refused { reason: api.verdict_of(fault, AGAIN).into_reason(), is_of_sign_in }
    })?;
    let is_of_sign_in = answer.is_about_sign_in();
    let labels = listed(api, &answer);
    labels
        .map(|labels| labels.len())
        .map_err(|refusal| Refused { reason: refusal.into_reason(), is_of_sign_in })
}

/// What Gmail itself has is left out: a label of that name cannot be made, and `SPAM` is not to be had by a label "Spam".
async fn list(api: &Api) -> Result<Known, Verdict> {
    let answer = api.send(&Request::get(api.at(PATH, &[]))).await;
    listed(api, &answer.map_err(|fault| api.verdict_of(fault, AGAIN))?).map_err(|refusal| *refusal)
}

fn listed(api: &Api, answer: &Answer) -> Result<Known, Box<Verdict>> {
    if !answer.is_success() {
        return Err(Box::new(api.refusal(answer)));
    }
    let listing: Result<Listing, _> = serde_json::from_str(&answer.text);
    let nonsense =
        |_| Box::new(api.verdict_of(Fault::Lost("the list of labels makes no sense".into()), AGAIN));
    let labels = listing.map_err(nonsense)?.labels.into_iter().filter(|label| label.r#type != "system");
    Ok(labels.map(|label| (key(&label.name), label.id)).collect())
}

async fn make(api: &Api, name: &str, labels: &mut Known) -> Result<(), Verdict> {
    let body = json!({ "name": name, "labelListVisibility": "labelShow", "messageListVisibility": "show" });
    let request = Request::post_json(api.at(PATH, &[]), &body);
    let answer = api.send(&request).await.map_err(|fault| api.verdict_of(fault, AGAIN))?;
    match (answer.status, serde_json::from_str::<Label>(&answer.text)) {
        (200, Ok(label)) => drop(labels.insert(key(name), label.id)),
        // Another one has been quicker.
        (409, _) => labels.extend(list(api).await?),
        (400, _) => return Err(refused(api.refusal(&answer), name)),
        _ => return Err(api.refusal(&answer)),
    }
    if labels.contains_key(&key(name)) {
        return Ok(());
    }
    Err(refused(api.refusal(&answer), name))
}

/// A label that cannot be is no reason for others to wait.
fn refused(refusal: Verdict, name: &str) -> Verdict {
    let refusal = refusal.into_reason();
    let why = refusal.rsplit_once("; ").map_or(refusal.as_str(), |(why, _)| why);
    let name = printable_text(name, LONGEST_SHOWN);
    Verdict::Deferred {
        reason: format!("the label \"{name}\" cannot be made ({why}); choose another name in `labels`"),
        retry_after: None,
        counts_for_destination: false,
    }
}

/// So much of a label's name is shown, in characters.
const LONGEST_SHOWN: usize = 100;

fn key(name: &str) -> String {
    name.to_lowercase()
}

/// `a/b/c` is below `a/b`, which is below `a`.
fn levels(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').map(|(at, _)| &name[..at]).chain([name])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_is_a_label() {
        assert_eq!(levels("a/b c/d").collect::<Vec<_>>(), ["a", "a/b c", "a/b c/d"]);
        assert_eq!(levels("a").collect::<Vec<_>>(), ["a"]);
    }
}
