//! What Google's answers mean. Pure. <https://developers.google.com/workspace/gmail/api/guides/handle-errors>

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::super::http;
use crate::message::Verdict;
use crate::printable::printable_text;

/// An answer, without the token of its request wherever that stood.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    /// The fields as they came.
    pub retry_after: Option<Vec<u8>>,
    pub location: Option<Vec<u8>>,
    pub range: Option<Vec<u8>>,
    pub text: String,
}

/// A message, as far as an import tells of it.
#[derive(Deserialize)]
struct Imported {
    id: String,
}

/// What is measured by the day is not over sooner.
const AFTER_A_DAYS_LIMIT: Duration = Duration::from_hours(1);

/// Reasons that stand for too much, by the minute or by the day.
const TOO_MUCH: &[&str] = &[
    "rateLimitExceeded",
    "userRateLimitExceeded",
    "quotaExceeded",
    "dailyLimitExceeded",
    "RATE_LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED",
];

/// The token is good, but not for this.
const NOT_ALLOWED: &[&str] = &["insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"];

/// What Google is known to say of a message that it will never take. All else may be said of every message.
const OF_THE_MESSAGE: &[&str] =
    &["from header", "'from' header", "attachment", "too large", "size limit", "virus"];

/// So much of an id is believed to be one: they have 16 digits.
const LONGEST_ID: usize = 64;

impl Answer {
    /// The id that proves an import, if this is one.
    pub fn id(&self) -> Option<String> {
        let imported: Imported = serde_json::from_str(&self.text).ok().filter(|_| self.is_success())?;
        let is_id = |id: &str| {
            (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        is_id(&imported.id).then_some(imported.id)
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The label of a request is not there (any more).
    pub fn is_about_a_label(&self) -> bool {
        [400, 404].contains(&self.status) && self.told().0.to_ascii_lowercase().contains("label")
    }

    /// The upload that a piece was for is not there (any more), or not what it was; said of a piece. Of the last piece
    /// a refusal may be one of the message: so it is where it does not speak of the upload.
    pub fn is_about_an_upload(&self) -> bool {
        let speaks_of_upload = || {
            let told = self.told().0.to_ascii_lowercase();
            ["upload", "content-range"].iter().any(|word| told.contains(word)) && !speaks_of_message(&told)
        };
        match self.status {
            404 | 410 => !self.is_about_a_label(),
            400 => !self.is_about_a_label() && speaks_of_upload(),
            _ => false,
        }
    }

    /// It says what is wrong with the message itself: it is not there, and never will be.
    pub fn is_about_message(&self) -> bool {
        self.status == 413 || self.status == 400 && speaks_of_message(&self.told().0)
    }

    /// Whoever has signed in is not let in here, or not for this.
    pub fn is_about_sign_in(&self) -> bool {
        let (told, reasons) = self.told();
        let is_withheld = reasons.iter().any(|reason| NOT_ALLOWED.contains(&reason.as_str()));
        self.status == 401 || self.status == 403 && (is_withheld || is_of_another(&told))
    }

    /// What became of the message, or of the request, that was refused in this way. `peer` is the API's host, `sign_in` what
    /// may be wrong with the sign-in, a clause; `now` is what a date counts from.
    pub fn refusal(&self, peer: &str, sign_in: &str, now: DateTime<Utc>) -> Verdict {
        let (told, reasons) = self.told();
        let is = |known: &[&str]| reasons.iter().any(|reason| known.contains(&reason.as_str()));
        let reason = |next: &str| self.reason(peer, &told, next);
        let paused = |next: &str| Verdict::Paused { reason: reason(next), retry_after: None };
        match self.status {
            403 | 429 if self.status == 429 || is(TOO_MUCH) => {
                let daily = is(&["dailyLimitExceeded", "quotaExceeded"]).then_some(AFTER_A_DAYS_LIMIT);
                let retry_after = self.asked_for(&told, now).or(daily);
                Verdict::Unreachable {
                    reason: reason("Google wants it slower; it goes on by itself"),
                    retry_after,
                }
            }
            401 => paused(sign_in),
            403 if is(NOT_ALLOWED) => paused(&format!("the sign-in does not allow it; {sign_in}")),
            403 if is_of_another(&told) => paused(&format!(
                "it is another mailbox than that of who has signed in; write `user` as Google shows it, and {sign_in}"
            )),
            403 => paused(
                "check that the Gmail API is enabled in the project of `oauth`, and that its mailbox may be used",
            ),
            400 if told.to_ascii_lowercase().contains("not enabled") => {
                paused("check that `user` has a Gmail mailbox")
            }
            400 | 404 if self.is_about_a_label() => later(reason("its labels are looked up anew"), None),
            // Said of three messages in a row, it is no fault of theirs, unless it speaks of them.
            400 | 413 => Verdict::Rejected {
                reason: reason("it stays at its source"),
                park_after: 1,
                counts_for_destination: self.status == 400 && !speaks_of_message(&told),
            },
            200..=299 => later(reason("that is no answer of Gmail's; it will be tried again"), None),
            300..=399 => paused("redirects are not followed; check `url`"),
            408 | 409 | 425 | 500.. => later(reason("it will be tried again"), self.asked_for(&told, now)),
            _ => paused("check `url`"),
        }
    }

    /// When to come again: by the field for it, or by the text, which is where Gmail says it: "Retry after
    /// 2026-11-29T23:15:44.000Z".
    fn asked_for(&self, told: &str, now: DateTime<Utc>) -> Option<Duration> {
        let by_field = self.retry_after.as_deref().and_then(|value| http::wait(value, now));
        by_field.or_else(|| {
            let (_, date) = told.split_once("Retry after ")?;
            let date = date.split_whitespace().next()?.trim_end_matches(['.', ')']);
            let date = DateTime::parse_from_rfc3339(date).ok()?.to_utc();
            Some((date - now).to_std().unwrap_or_default().min(http::LONGEST_WAIT))
        })
    }

    /// What it says to people, and to programs. There are an older form with `errors` and a newer one with `details`,
    /// answers with both, and that of OAuth (RFC 6749 section 5.2); a field that is none of these takes nothing from
    /// the others.
    fn told(&self) -> (String, Vec<String>) {
        let Ok(Value::Object(told)) = serde_json::from_str(&self.text) else {
            return (self.text.clone(), Vec::new());
        };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let Some(error) = told.get("error") else { return (String::new(), Vec::new()) };
        if let Some(reason) = text(error) {
            let message = told.get("error_description").and_then(text);
            return (message.unwrap_or_else(|| reason.clone()), vec![reason]);
        }
        let items = ["errors", "details"].iter().filter_map(|list| error[*list].as_array()).flatten();
        let reasons = items.filter_map(|item| text(&item["reason"])).chain(text(&error["status"]));
        (text(&error["message"]).unwrap_or_default(), reasons.collect())
    }

    fn reason(&self, peer: &str, told: &str, next: &str) -> String {
        match printable_text(told, http::QUOTED) {
            told if told.is_empty() => format!("HTTP {} from {peer}; {next}", self.status),
            told => format!("HTTP {} from {peer}: \"{told}\"; {next}", self.status),
        }
    }
}

/// What Google says to who asks for the mailbox of somebody else.
fn is_of_another(told: &str) -> bool {
    told.to_ascii_lowercase().contains("delegation denied")
}

fn speaks_of_message(told: &str) -> bool {
    let told = told.to_ascii_lowercase();
    OF_THE_MESSAGE.iter().any(|phrase| told.contains(phrase))
}

fn later(reason: String, retry_after: Option<Duration>) -> Verdict {
    Verdict::Deferred { reason, retry_after, counts_for_destination: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::parse_from_rfc3339("2026-11-24T20:00:00Z").unwrap().to_utc()
    }

    fn answer(status: u16, reason: &str, message: &str) -> Answer {
        let text = serde_json::json!({ "error": {
            "code": status, "message": message, "errors": [{ "message": message, "domain": "global", "reason": reason }],
        } });
        Answer { status, text: text.to_string(), ..Answer::default() }
    }

    fn refusal(status: u16, reason: &str, message: &str) -> Verdict {
        answer(status, reason, message).refusal("gmail", "sign in again", now())
    }

    #[test]
    fn what_is_wrong_with_a_message_parks_it_and_says_nothing_of_others() {
        for (status, message) in [
            (400, "Invalid attachment. Please check https://support.google.com/mail/answer/6590."),
            (400, "Expected a single 'From' header"),
            (400, "Invalid From header"),
            (413, "Request is too large."),
        ] {
            let verdict = refusal(status, "invalidArgument", message);
            let Verdict::Rejected { reason, park_after: 1, counts_for_destination: false } = verdict else {
                panic!("{message}: {verdict:?}")
            };
            assert!(reason.contains(message) && reason.contains("stays at its source"), "{reason}");
        }
        let vague = refusal(400, "failedPrecondition", "Precondition check failed.");
        assert!(matches!(vague, Verdict::Rejected { counts_for_destination: true, .. }), "{vague:?}");
        let none = refusal(400, "failedPrecondition", "Mail service not enabled");
        assert!(matches!(none, Verdict::Paused { .. }), "{none:?}");
    }

    #[test]
    fn too_much_is_told_from_not_allowed() {
        let waits = |verdict: Verdict| match verdict {
            Verdict::Unreachable { retry_after, .. } => retry_after.map(|wait| wait.as_secs()),
            other => panic!("{other:?}"),
        };
        assert_eq!(waits(refusal(403, "userRateLimitExceeded", "User Rate Limit Exceeded")), None);
        assert_eq!(waits(refusal(403, "dailyLimitExceeded", "Daily Limit Exceeded")), Some(3600));
        let text = "User-rate limit exceeded.  Retry after 2026-11-24T20:02:00.000Z";
        assert_eq!(waits(refusal(429, "rateLimitExceeded", text)), Some(120));
        let dated = Answer { retry_after: Some(b"7".to_vec()), ..answer(429, "rateLimitExceeded", text) };
        assert_eq!(waits(dated.refusal("gmail", "", now())), Some(7));
        for (status, reason) in [(403, "insufficientPermissions"), (401, "authError")] {
            let verdict = refusal(status, reason, "no");
            let Verdict::Paused { reason, .. } = verdict else { panic!("{verdict:?}") };
            assert!(reason.ends_with("sign in again"), "{reason}");
        }
        let new = r#"{"error":{"code":403,"message":"Request had insufficient authentication scopes.","status":"PERMISSION_DENIED",
            "details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"ACCESS_TOKEN_SCOPE_INSUFFICIENT"}]}}"#;
        let new = Answer { status: 403, text: new.into(), ..Answer::default() };
        let Verdict::Paused { reason, .. } = new.refusal("gmail", "again", now()) else { panic!() };
        assert!(
            reason.contains("insufficient authentication scopes") && reason.contains("does not allow it")
        );
    }

    #[test]
    fn what_is_odd_in_a_refusal_hides_nothing_of_the_rest() {
        let reason = |text: &str| Answer { status: 403, text: text.into(), ..Answer::default() }.told();
        for text in [
            r#"{"error":{"message":"slow","status":null,"details":null,"errors":[null,7,{"reason":"rateLimitExceeded"}]}}"#,
            r#"{"error":{"message":"slow","errors":{},"details":[{"reason":{}},{"reason":"rateLimitExceeded"}],"code":"x"}}"#,
            r#"{"error":"rateLimitExceeded","error_description":"slow"}"#,
        ] {
            let answer = Answer { status: 403, text: text.into(), ..Answer::default() };
            assert!(matches!(answer.refusal("g", "", now()), Verdict::Unreachable { .. }), "{text}");
            assert_eq!(reason(text).0, "slow", "{text}");
        }
        assert_eq!(reason(r#"{"error":"access_denied"}"#).0, "access_denied");
        assert_eq!(reason(r#"{"error":{"message":null}}"#), (String::new(), Vec::new()));
        assert_eq!(reason("[1]").0, "[1]");
    }

    #[test]
    fn an_upload_that_is_gone_is_told_from_a_message_that_is_refused() {
        let is_about_an_upload = |status, message| answer(status, "x", message).is_about_an_upload();
        assert!(is_about_an_upload(404, "Not Found") && is_about_an_upload(410, "Gone"));
        assert!(is_about_an_upload(400, "Failed to parse Content-Range header."));
        assert!(is_about_an_upload(400, "Invalid upload request."));
        for of_message in ["Invalid attachment.", "Invalid label: x", "Precondition check failed.", ""] {
            assert!(!is_about_an_upload(400, of_message), "{of_message}");
        }
        assert!(!is_about_an_upload(403, "Not Found") && !is_about_an_upload(200, ""));
    }

    #[test]
    fn an_id_is_proof_and_nothing_else_is() {
        let answer = |status, text: &str| Answer { status, text: text.into(), ..Answer::default() };
        let id = answer(200, r#"{"id":"18c5f0a1b2c3d4e5","threadId":"x","labelIds":["INBOX"]}"#).id();
        assert_eq!(id.as_deref(), Some("18c5f0a1b2c3d4e5"));
        for (status, text) in [
            (200, "<html>Welcome to this hotel</html>"),
            (200, r#"{"id":""}"#),
            (200, r#"{"id":"\u001b[31m"}"#),
            (500, r#"{"id":"18c5f0a1b2c3d4e5"}"#),
        ] {
            let answer = answer(status, text);
            assert_eq!(answer.id(), None, "{text}");
            assert!(matches!(
                answer.refusal("g", "", now()),
                Verdict::Deferred { counts_for_destination: true, .. }
            ));
        }
    }

    #[test]
    fn every_status_has_its_verdict() {
        for status in 100..=999 {
            let expected = match status {
                400 | 413 => "Rejected",
                429 => "Unreachable",
                200..=299 | 408 | 409 | 425 | 500..=999 => "Deferred",
                _ => "Paused",
            };
            let verdict = Answer { status, text: "\u{1b}[31m".into(), ..Answer::default() };
            let verdict = verdict.refusal("g", "", now());
            assert!(format!("{verdict:?}").starts_with(expected), "{status} {verdict:?}");
            assert!(!verdict.into_reason().contains('\u{1b}'));
        }
    }
}
