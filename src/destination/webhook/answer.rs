//! What an endpoint's answer means. Pure.

use chrono::{DateTime, Utc};

use super::super::http::wait;
use crate::message::{Receipt, Verdict};
use crate::printable::printable;

/// An answer, as far as a verdict depends on it.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// The fields as they came. `location` is already without its user, password and query.
    pub retry_after: Option<Vec<u8>>,
    pub location: Option<String>,
    /// Redirects are followed, but not this one.
    pub follows_others: bool,
    pub control: Control,
    /// Its text is what the config expects of a success.
    pub is_expected: bool,
    /// The beginning of the body, fit to be shown.
    pub text: String,
}

/// What an endpoint wishes beside its status: the field `webhook-delivery`, <https://docs.svix.com/receiving/delivery-control>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Control {
    #[default]
    None,
    /// Nothing more is to come.
    Disable,
    /// This message is not to come again.
    Abort,
}

impl Control {
    pub fn of(field: Option<&[u8]>) -> Control {
        match field.map(|value| value.trim_ascii().to_ascii_lowercase()).as_deref() {
            Some(b"disable") => Control::Disable,
            Some(b"abort-message") => Control::Abort,
            _ => Control::None,
        }
    }
}

/// What follows from [`Control::Disable`].
const NO_MORE: &str = "the endpoint wants no more; `mailferry retry` if that has changed";

/// How often a message may be refused before it is parked.
const PARK_AFTER: u8 = 3;

impl Answer {
    /// `peer` is the endpoint's host, for the reason; `now` is what a Retry-After date counts from.
    pub fn verdict(&self, peer: &str, now: DateTime<Utc>) -> Verdict {
        let retry_after = self.retry_after.as_deref().and_then(|value| wait(value, now));
        let reason = |next: &str| self.reason(peer, next);
        match self.status {
            200..=299 if self.is_expected && self.control == Control::Disable => {
                Verdict::Last { receipt: Receipt::Http(self.status), reason: reason(NO_MORE) }
            }
            200..=299 if self.is_expected => Verdict::Delivered { receipt: Receipt::Http(self.status) },
            _ if self.control == Control::Disable => Verdict::Disabled { reason: reason(NO_MORE) },
            _ if self.control == Control::Abort => Verdict::Rejected {
                reason: reason("the endpoint does not want this message again"),
                park_after: 1,
                counts_for_destination: false,
            },
            200..=299 => Verdict::Deferred {
                reason: reason("`expect` wants another answer; it will be tried again"),
                retry_after,
                counts_for_destination: true,
            },
            300..=399 => Verdict::Paused { reason: self.redirect(peer), retry_after },
            401 | 403 | 407 => {
                Verdict::Paused { reason: reason("check `secret` and any password in `url`"), retry_after }
            }
            404 | 405 => Verdict::Paused { reason: reason("check `url`"), retry_after },
            410 => Verdict::Disabled {
                reason: reason(
                    "the endpoint is gone for good; set another `url`, or `mailferry retry` if it is back",
                ),
            },
            413 => refused(reason("let the endpoint take larger requests, or lower `max_bytes`"), false),
            400 | 406 | 415 | 422 => refused(reason("the endpoint refuses this message"), true),
            // 408, 409, 425, 429, 5xx, and what no one has thought of. 409 is a request too many of the same message
            // (draft-ietf-httpapi-idempotency-key-header-07), and says nothing of others.
            status => Verdict::Deferred {
                reason: reason("it will be tried again"),
                retry_after,
                counts_for_destination: status != 409,
            },
        }
    }

    fn redirect(&self, peer: &str) -> String {
        let status = self.status;
        let why = match self.follows_others {
            true => "only 307 and 308 within the origin of `url` are followed, three times",
            false => "redirects are not followed",
        };
        match &self.location {
            None => format!("HTTP {status} from {peer}: {why}; check `url`"),
            Some(location) => {
                format!(
                    "HTTP {status} from {peer}: {why}; if {} is right, set it as `url`",
                    printable(location)
                )
            }
        }
    }

    fn reason(&self, peer: &str, next: &str) -> String {
        if self.text.is_empty() {
            return format!("HTTP {} from {peer}; {next}", self.status);
        }
        format!("HTTP {} from {peer}: \"{}\"; {next}", self.status, self.text)
    }
}

fn refused(reason: String, counts_for_destination: bool) -> Verdict {
    Verdict::Rejected { reason, park_after: PARK_AFTER, counts_for_destination }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::parse_from_rfc3339("2026-11-24T20:00:00Z").unwrap().to_utc()
    }

    fn answer(status: u16) -> Answer {
        Answer {
            status,
            retry_after: None,
            location: None,
            follows_others: false,
            control: Control::None,
            is_expected: true,
            text: String::new(),
        }
    }

    fn verdict(status: u16) -> Verdict {
        answer(status).verdict("app.example.org", now())
    }

    #[test]
    fn an_endpoint_may_say_more_than_its_status() {
        let control = |status, control| Answer { control, ..answer(status) }.verdict("h", now());
        for (status, wish, expected) in [
            (500, Control::Disable, "Disabled"),
            (400, Control::Disable, "Disabled"),
            (503, Control::Abort, "Rejected"),
            (200, Control::Disable, "Last"),
            (200, Control::Abort, "Delivered"),
            (500, Control::of(Some(b"later")), "Deferred"),
        ] {
            assert!(format!("{:?}", control(status, wish)).starts_with(expected), "{status} {wish:?}");
        }
        assert_eq!(Control::of(Some(b" Disable ")), Control::Disable);
        assert_eq!(Control::of(Some(b"abort-message")), Control::Abort);
    }

    #[test]
    fn a_success_may_have_to_say_so() {
        let verdict = Answer { is_expected: false, text: "not ok".into(), ..answer(200) }.verdict("h", now());
        let Verdict::Deferred { reason, .. } = verdict else { panic!("{verdict:?}") };
        assert!(reason.contains("not ok") && reason.contains("`expect`"), "{reason}");
        let disabling = Answer { is_expected: false, control: Control::Disable, ..answer(200) };
        assert!(matches!(disabling.verdict("h", now()), Verdict::Disabled { .. }));
    }

    #[test]
    fn every_status_has_its_verdict() {
        for status in 100..=999 {
            let expected = match status {
                200..=299 => "Delivered",
                300..=399 | 401 | 403 | 404 | 405 | 407 => "Paused",
                410 => "Disabled",
                400 | 406 | 413 | 415 | 422 => "Rejected",
                _ => "Deferred",
            };
            assert!(format!("{:?}", verdict(status)).starts_with(expected), "{status}");
        }
    }

    #[test]
    fn what_may_be_so_for_all_counts_against_the_endpoint() {
        for (status, counts) in
            [(408, true), (409, false), (425, true), (429, true), (500, true), (503, true)]
        {
            let Verdict::Deferred { counts_for_destination, .. } = verdict(status) else {
                panic!("{status}")
            };
            assert_eq!(counts_for_destination, counts, "{status}");
        }
    }

    #[test]
    fn size_says_nothing_of_the_endpoint() {
        for (status, counts) in [(400, true), (406, true), (413, false), (415, true), (422, true)] {
            let Verdict::Rejected { counts_for_destination, park_after, reason } = verdict(status) else {
                panic!("{status} is no refusal")
            };
            assert_eq!((counts_for_destination, park_after), (counts, 3), "{status}");
            assert!(reason.starts_with(&format!("HTTP {status} from app.example.org")), "{reason}");
        }
    }

    #[test]
    fn a_reason_never_carries_what_a_terminal_would_obey() {
        let answer = Answer { location: Some("/a\r\nb".into()), ..answer(308) };
        let Verdict::Paused { reason, .. } = answer.verdict("h", now()) else { panic!("{answer:?}") };
        assert!(reason.contains("/a\\x0D\\x0Ab"), "{reason}");
    }
}
