//! Which ways of a provider a peer of the tests plays, what it shares with others, and by which dialog or test that is
//! shown.

use super::{Login, Provider, Trial};
use crate::net::Tls;

/// What was tried that holds for `provider` as for others.
pub fn shared(provider: &Provider) -> Vec<Trial> {
    let takes_password = !matches!(provider.login, Login::OAuthOnly(_));
    let has_steps = matches!(provider.login, Login::AppPassword(_)) || provider.enable.is_some();
    let has_pop3 = provider.no_pop3.is_none();
    let pop3 = |tls| takes_password && provider.pop3.first().is_some_and(|server| server.tls == tls);
    let trials = [
        (pop3(Tls::Implicit), POP3_TLS),
        (pop3(Tls::StartTls), POP3_STARTTLS),
        (has_pop3 && !provider.domains.is_empty(), OFFERED),
        (has_pop3 && takes_password && has_steps, STEPS),
        (!has_pop3, NO_POP3),
        (takes_password && !provider.imap.is_empty(), IMAP_TLS),
    ];
    trials.into_iter().filter(|(holds, _)| *holds).map(|(_, trial)| trial).collect()
}

const POP3_TLS: Trial = trial(
    "POP3 with TLS and a password, at a real Dovecot",
    &["pop3::real::lists_retrieves_and_deletes_over_tls", "pop3::real::a_wrong_password_is_refused"],
);

const POP3_STARTTLS: Trial = trial(
    "POP3 with STARTTLS and a password, at a real Dovecot",
    &["pop3::real::lists_retrieves_and_deletes_over_tls"],
);

const OFFERED: Trial = trial(
    "its server, encryption and form of user, offered for its addresses",
    &["setup::looking_up::what_is_known_of_each_provider_is_offered"],
);

const STEPS: Trial = trial(
    "a refused password: what to do there first is said",
    &["faults::quirks::sources::a_refused_password_says_what_its_provider_wants"],
);

const NO_POP3: Trial = trial(
    "its addresses, which cannot be polled: why is said to whoever adds one",
    &["setup::looking_up::what_is_known_of_each_provider_is_offered"],
);

const IMAP_TLS: Trial = trial(
    "as a destination: IMAP with TLS and a password, at a real Dovecot",
    &["imap_folder::real::every_way_to_connect_is_verified_and_works"],
);

const fn trial(way: &'static str, by: &'static [&'static str]) -> Trial {
    Trial { way, by }
}

pub const GMAIL: &[Trial] = &[
    trial(
        "a mailbox that is shown in slices, and hides after QUIT what was retrieved",
        &[
            "quirks/Q38-retrieved-is-hidden",
            "faults::slices::the_first_import_takes_slice_after_slice_and_then_what_is_recent",
            "faults::slices::a_session_that_breaks_anywhere_hides_no_slice",
            "faults::slices::a_server_that_hides_late_ends_no_import",
            "faults::slices::what_is_hidden_before_it_is_delivered_is_parked",
        ],
    ),
    trial(
        "`recent:` before the user",
        &[
            "faults::slices::as_often_as_the_server_allows_recent_mail_and_old_mail_come_in_turn",
            "faults::slices::with_the_ledger_lost_what_is_recent_is_not_doubled",
        ],
    ),
    trial("one's own sent mail among the rest", &["quirks/Q38-own-mail-is-shown"]),
    trial(
        "a day's quota of downloads",
        &["faults::slices::what_may_not_be_retrieved_today_is_carried_tomorrow", "quirks/Q40-download-quota"],
    ),
    trial(
        "as a destination: messages with one Message-ID put together, its size limit, sessions that end, a day's quota",
        &[
            "gmail_folder::what_gmail_puts_together_is_delivered_and_has_the_labels_of_both",
            "gmail_folder::a_different_message_that_gmail_would_swallow_stays_at_its_source",
            "gmail_folder::a_budget_that_is_used_up_pauses_and_goes_on_by_itself",
            "quirks/D04-same-message-id",
            "quirks/D05-append-limit",
            "quirks/D07-session-expired",
        ],
    ),
    trial(
        "as a destination by its API: labels, quotas, uploads in pieces, what it never takes",
        &[
            "gmail::mail_is_imported_under_the_labels_of_its_account_once_somebody_has_signed_in",
            "gmail::a_large_message_goes_in_pieces_that_take_no_memory_and_on_where_the_line_was_cut",
            "gmail::who_is_told_to_come_later_comes_later_and_loses_nothing",
            "gmail::what_gmail_never_takes_is_parked_with_its_words_and_stays_at_its_source",
            "gmail::a_lost_answer_leads_to_no_second_copy",
        ],
    ),
    trial(
        "OAuth at a real Dovecot, by the browser, with an identity provider of the tests",
        &[
            "oauth::a_browser_on_this_machine_comes_back_by_itself",
            "oauth::what_a_browser_elsewhere_landed_at_can_be_pasted",
            "oauth::mail_is_carried_into_a_folder_that_is_opened_by_oauth",
        ],
    ),
];

pub const MICROSOFT: &[Trial] = &[
    trial(
        "a token in a line of its own, and of several KiB",
        &[
            "oauth::dialogs::pop3_shows_a_token_in_a_line_of_its_own",
            "oauth::dialogs::a_token_of_16_kib_is_shown_whole",
        ],
    ),
    trial(
        "notices in the place of messages, which are delivered and never deleted",
        &["quirks/Q37-a-notice-instead-of-the-message", "quirks/Q37-a-notice-is-never-deleted"],
    ),
    trial(
        "messages that it lists and cannot hand out, sizes of its own, an empty answer to DELE",
        &[
            "quirks/Q36-message-that-cannot-be-had",
            "quirks/Q20-sizes-are-hints",
            "quirks/Q23-no-line-end-before-the-dot",
            "quirks/Q28-empty-answer-to-dele",
        ],
    ),
    trial(
        "POP3 that hangs up at the tenth error: messages that cannot be had hold up no other, and a command that it refuses is \
         not repeated for each message",
        &[
            "faults::quirks::sources::exchange_hangs_up_at_the_tenth_message_that_it_cannot_hand_out",
            "faults::quirks::sources::a_command_that_exchange_refuses_is_not_repeated_for_each_message",
        ],
    ),
    trial(
        "POP3 that is throttled or unavailable for a while: it rests, longer each time, and no message is parked",
        BUSY,
    ),
    trial(
        "as a destination: pauses that it asks for, BAD to what it does not like, a connection that ends at the tenth error",
        &[
            "quirks/D07-throttled",
            "quirks/D08-bad-for-one-message",
            "quirks/D08-bad-for-all",
            "quirks/D16-over-quota",
            "faults::quirks::providers::a_destination_that_hangs_up_after_ten_errors_gets_all_that_it_takes",
        ],
    ),
    trial(
        "OAuth at a real Dovecot, by a code, with an identity provider of the tests",
        &[
            "oauth::mail_is_carried_from_an_account_that_is_opened_by_a_code",
            "oauth::adding::an_account_is_added_by_a_code_and_changed_without_a_password",
            "faults::tokens::no_poll_fails_of_a_token_however_short_it_lives",
        ],
    ),
];

const BUSY: &[&str] = &["faults::quirks::sources::a_server_that_asks_for_patience_gets_it"];

pub const YAHOO: &[Trial] = &[
    trial(
        "the password of the account instead of an app password: refused, and tried once an hour; too many tries are no wrong \
         password",
        &["faults::quirks::sources::yahoo_refuses_another_password_and_too_many_tries"],
    ),
    trial("POP3 that has trouble for a while: it rests, longer each time, and no message is parked", BUSY),
    trial(
        "a listing of the newest messages alone, as that of its IMAP is",
        &["faults::quirks::sources::of_a_mailbox_that_lists_the_newest_alone_all_comes_as_the_newest_go"],
    ),
    trial(
        "as a destination: a rate that it calls a limit, too many connections, a last line that needs its end",
        &[
            "quirks/D06-limit-that-is-no-size",
            "quirks/D17-too-many-connections",
            "quirks/D12-line-ends-and-nul",
        ],
    ),
];

pub const AOL: &[Trial] = &[trial(
    "a wrong password: it refuses and hangs up at once",
    &["quirks/Q41-a-wrong-password-and-no-good-bye"],
)];

pub const GMX: &[Trial] = &[trial(
    "a wrong password, tried once an hour: who tries more often is locked out for a while",
    &["faults::quirks::sources::a_refused_password_is_tried_once_an_hour"],
)];

/// Tiscali's and Fastweb's entries in the database that mail programs share ask for CRAM-MD5 or APOP.
pub const ENCRYPTED_PASSWORD: &[Trial] = &[trial(
    "a server that offers CRAM-MD5 or APOP alone: no password is sent, and that is said",
    &["hostile/A10-pop3-only-cram-md5", "hostile/A10-pop3-apop"],
)];

pub const COMCAST: &[Trial] =
    &[trial("TOP that cuts short: no mail is retrieved or deleted by it", &["quirks/Q22-top-is-cut-short"])];

pub const YANDEX: &[Trial] = &[trial(
    "deletions that are taken and have no effect: noticed, and said once",
    &["faults::quirks::providers::deletions_without_effect_are_noticed_and_said_once"],
)];

pub const WEB_DE: &[Trial] = &[trial(
    "logins within 15 minutes, refused as if the password were wrong",
    &[
        "faults::quirks::a_provider_that_wants_time_between_logins_gets_it",
        "faults::quirks::a_login_that_may_have_come_too_soon_is_no_wrong_password",
        "faults::quirks::a_message_over_max_size_is_counted_and_makes_nobody_log_in_too_soon",
    ],
)];

pub const PROTON: &[Trial] = &[trial(
    "its Bridge as a destination: STARTTLS on this machine, a certificate that its pin alone vouches for, UIDs that it does not tell",
    &["faults::quirks::providers::a_bridge_on_this_machine_is_known_by_its_pin", "quirks/D02-no-appenduid"],
)];
