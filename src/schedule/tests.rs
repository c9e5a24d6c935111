use chrono::{Datelike, TimeDelta, Timelike};
use proptest::prelude::*;

use super::*;

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn cron(text: &str, zone: Tz) -> Schedule {
    Schedule::cron(text, zone).unwrap()
}

/// The next `count` polls after `from`, each after the one before, as the clock on the wall in Berlin shows them.
fn in_berlin(text: &str, from: &str, count: usize) -> Vec<String> {
    let schedule = cron(text, Tz::Europe__Berlin);
    let mut now = utc(from);
    let mut polls = Vec::new();
    for _ in 0..count {
        now = schedule.next(now, &Recent::default(), 0.5);
        polls.push(now.with_timezone(&Tz::Europe__Berlin).format("%d %H:%M%:::z").to_string());
    }
    polls
}

#[test]
fn an_interval_is_kept_and_never_undercut() {
    let now = utc("2026-11-24T12:00:00Z");
    let every = |seconds, jitter| {
        let schedule = Schedule::Every(Duration::from_secs(seconds));
        (schedule.next(now, &Recent::default(), jitter) - now).num_milliseconds()
    };
    assert_eq!(every(300, 0.0), 300_000);
    assert_eq!(every(300, 0.5), 315_000);
    assert_eq!(every(5, 0.5), 5250);
    assert_eq!(every(86_400, 0.5), 86_430_000, "at most a minute late");
}

#[test]
fn auto_follows_the_mail() {
    let now = utc("2026-11-24T12:00:00Z");
    let wait = |last_mail: Option<i64>, first_poll: Option<i64>| {
        let ago = |minutes: Option<i64>| minutes.map(|minutes| now - TimeDelta::minutes(minutes));
        let recent = Recent { last_mail: ago(last_mail), first_poll: ago(first_poll) };
        (Schedule::Auto.next(now, &recent, 0.0) - now).num_seconds()
    };
    assert_eq!(wait(None, None), 5 * 60, "a new account");
    assert_eq!(wait(None, Some(10)), 5 * 60);
    assert_eq!(wait(None, Some(7 * 24 * 60)), 59 * 60);
    assert_eq!(wait(Some(0), Some(10_000)), 2 * 60);
    assert_eq!(wait(Some(24), Some(10_000)), 2 * 60);
    assert_eq!(wait(Some(120), Some(10_000)), 10 * 60);
    assert_eq!(wait(Some(100_000), Some(100_000)), 59 * 60);
    assert_eq!(wait(Some(-600), None), 2 * 60, "a clock that was set back");
}

proptest! {
    #[test]
    fn auto_is_between_two_minutes_and_an_hour(
        last_mail in proptest::option::of(-100_000_i64..100_000_000),
        first_poll in proptest::option::of(-100_000_i64..100_000_000),
        jitter in 0.0..1.0,
    ) {
        let now = utc("2026-11-24T12:00:00Z");
        let ago = |seconds: Option<i64>| seconds.map(|seconds| now - TimeDelta::seconds(seconds));
        let recent = Recent { last_mail: ago(last_mail), first_poll: ago(first_poll) };
        let wait = Schedule::Auto.next(now, &recent, jitter) - now;
        prop_assert!(wait >= TimeDelta::minutes(2) && wait <= TimeDelta::hours(1), "{wait}");
        prop_assert!(wait <= TimeDelta::from_std(Schedule::Auto.longest(now)).unwrap());
    }
}

#[test]
fn cron_reads_as_crontab_does() {
    // 24 November 2026 is a Tuesday.
    let next = |text| cron(text, Tz::UTC).next(utc("2026-11-24T12:00:00Z"), &Recent::default(), 0.9);
    assert_eq!(next("*/10 8-18 * * 1-5"), utc("2026-11-24T12:10:00Z"));
    assert_eq!(next("0 12 * * *"), utc("2026-11-25T12:00:00Z"), "later than now");
    assert_eq!(next("0 0 * * 0"), next("0 0 * * 7"));
    assert_eq!(next("0 0 * * sun"), utc("2026-11-29T00:00:00Z"));
    assert_eq!(next("0 0 13 * 5"), utc("2026-11-27T00:00:00Z"), "day of month OR day of week");
    assert_eq!(next("0 0 29 2 *"), utc("2028-02-29T00:00:00Z"));
    assert_eq!(next("@daily"), utc("2026-11-25T00:00:00Z"));
    for text in [
        "",
        "* * * *",
        "* * * * * *",
        "* * * * 8",
        "60 * * * *",
        "* * 0 * *",
        "@often",
        "0 0 31 4 *",
        "\u{e9} * * * *",
    ] {
        assert!(Schedule::cron(text, Tz::UTC).is_err(), "{text}");
    }
}

#[test]
fn cron_is_right_when_clocks_go_forward() {
    // On 29 March 2026 02:00 is followed by 03:00.
    assert_eq!(in_berlin("30 2 * * *", "2026-03-28T12:00:00Z", 2), ["29 03:00+02", "30 02:30+02"]);
    assert_eq!(in_berlin("0 2 * * *", "2026-03-28T12:00:00Z", 2), ["29 03:00+02", "30 02:00+02"]);
    let every_half_hour = ["29 01:30+01", "29 03:00+02", "29 03:30+02"];
    assert_eq!(in_berlin("*/30 * * * *", "2026-03-29T00:00:00Z", 3), every_half_hour);
}

#[test]
fn cron_is_right_when_clocks_go_back() {
    // On 25 October 2026 03:00 is followed by 02:00.
    assert_eq!(in_berlin("30 2 * * *", "2026-10-24T12:00:00Z", 2), ["25 02:30+02", "26 02:30+01"]);
    let every_half_hour = ["25 02:00+02", "25 02:30+02", "25 02:00+01", "25 02:30+01", "25 03:00+01"];
    assert_eq!(in_berlin("*/30 * * * *", "2026-10-24T23:30:00Z", 5), every_half_hour);
}

#[test]
fn the_text_changes_with_the_schedule_only() {
    let texts = [
        Schedule::Every(Duration::from_secs(300)).text(),
        Schedule::Every(Duration::from_secs(301)).text(),
        Schedule::Auto.text(),
        cron("0 * * * *", Tz::UTC).text(),
        cron("1 * * * *", Tz::UTC).text(),
        cron("0 * * * *", Tz::Europe__Berlin).text(),
    ];
    assert_eq!(texts[0], "every 300s");
    assert_eq!(texts[5], "cron 0 * * * * Europe/Berlin");
    assert_eq!(texts.iter().collect::<std::collections::BTreeSet<_>>().len(), texts.len());
}

#[test]
fn retries_end() {
    let seconds = |failures| retry_after(failures, 0.5).map(|wait| wait.as_secs_f64().round());
    let hour = 3600.0;
    let all =
        [5.0, 300.0, 1800.0, 2.0 * hour, 5.0 * hour, 10.0 * hour, 14.0 * hour, 20.0 * hour, 24.0 * hour];
    for (failures, expected) in (1..).zip(all) {
        assert_eq!(seconds(failures), Some(expected));
        assert!(retry_after(failures, 0.0).unwrap().as_secs_f64() >= expected * 0.799);
        assert!(retry_after(failures, 0.999).unwrap().as_secs_f64() <= expected * 1.201);
    }
    assert_eq!(seconds(10), None);
    assert_eq!(seconds(u32::MAX), None);
    assert_eq!(seconds(0), Some(5.0));
}

#[test]
fn trouble_is_backed_off_from_by_its_class() {
    let after = |trouble, failures| back_off(trouble, failures, Duration::ZERO, 0.0).as_secs();
    assert_eq!([1, 2, 50].map(|n| after(Trouble::Refused, n)), [3600; 3]);
    assert_eq!([1, 2, 3, 4, 5, 50].map(|n| after(Trouble::InUse, n)), [60, 120, 240, 480, 600, 600]);
    assert_eq!(after(Trouble::LoginDelay(Duration::from_secs(900)), 3), 900);
    assert_eq!(after(Trouble::LoginDelay(Duration::MAX), 1), 6 * 3600, "a server cannot end an account");
    assert_eq!([1, 2, 9, 10, u32::MAX].map(|n| after(Trouble::Network, n)), [60, 120, 15360, 21600, 21600]);
    assert_eq!(after(Trouble::Certificate, 1), 900);
    assert_eq!(after(Trouble::Protocol, 1), 300);
    assert_eq!([1, 20].map(|n| after(Trouble::Local, n)), [60, 3600]);
    let day = Duration::from_secs(86_400);
    assert_eq!(back_off(Trouble::Network, 1, day, 0.9), day, "never sooner than the regular poll");
    assert_eq!(back_off(Trouble::Network, 99, Duration::ZERO, 0.99), LONGEST_BACK_OFF);
}

/// A field of a crontab line over `low` to `high`, and the values it stands for.
fn field(low: u32, high: u32) -> impl Strategy<Value = (String, Vec<u32>)> {
    prop_oneof![
        2 => Just(("*".to_owned(), (low..=high).collect())),
        1 => (low..=high).prop_map(|value| (value.to_string(), vec![value])),
        1 => (2..=high / 2).prop_map(move |step| (format!("*/{step}"), (low..=high).step_by(step as usize).collect())),
        1 => (low..=high, low..=high).prop_map(|(a, b)| {
            let (from, to) = (a.min(b), a.max(b));
            (format!("{from}-{to}"), (from..=to).collect())
        }),
        1 => (low..=high, low..=high).prop_map(|(a, b)| (format!("{a},{b}"), vec![a, b])),
    ]
}

proptest! {
    /// Against trying every minute: the date arithmetic is chrono's, the meaning of the fields is crontab(5)'s.
    #[test]
    fn cron_agrees_with_trying_every_minute(
        minutes in field(0, 59),
        hours in field(0, 23),
        days in field(1, 31),
        weekdays in field(0, 6),
        start in 0..2_000_000_000_i64,
    ) {
        let schedule = cron(&format!("{} {} {} * {}", minutes.0, hours.0, days.0, weekdays.0), Tz::UTC);
        let now = DateTime::from_timestamp(start, 0).unwrap();
        let (any_day, any_weekday) = (days.0.starts_with('*'), weekdays.0.starts_with('*'));
        let matches = |time: DateTime<Utc>| {
            let day = days.1.contains(&time.day());
            let weekday = weekdays.1.contains(&time.weekday().num_days_from_sunday());
            // crontab(5): either is enough, unless one of them begins with a star.
            let date = if any_day || any_weekday { day && weekday } else { day || weekday };
            minutes.1.contains(&time.minute()) && hours.1.contains(&time.hour()) && date
        };
        let minute = now.with_second(0).unwrap();
        let brute = (1..80 * 1440).map(|n| minute + TimeDelta::minutes(n)).find(|time| matches(*time));
        let next = schedule.next(now, &Recent::default(), 0.0);
        match brute {
            Some(time) => prop_assert_eq!(next, time),
            None => prop_assert!(next >= minute + TimeDelta::minutes(80 * 1440)),
        }
    }

    #[test]
    fn the_next_poll_is_later_than_now_and_within_the_longest_wait(
        minutes in field(0, 59), hours in field(0, 23), start in 0..4_000_000_000_i64, jitter in 0.0..1.0_f64,
        seconds in 5..100_000_u64, quiet in -1_000_000..1_000_000_i64,
    ) {
        let now = DateTime::from_timestamp(start, 500_000_000).unwrap();
        let recent = Recent { last_mail: Some(now + TimeDelta::seconds(quiet)), first_poll: None };
        for schedule in [
            Schedule::Every(Duration::from_secs(seconds)),
            Schedule::Auto,
            cron(&format!("{} {} * * *", minutes.0, hours.0), Tz::America__New_York),
        ] {
            let wait = schedule.next(now, &recent, jitter) - now;
            prop_assert!(wait > TimeDelta::zero(), "{}", schedule.text());
            prop_assert!(wait.to_std().unwrap() <= schedule.longest(now), "{}", schedule.text());
        }
    }

    #[test]
    fn any_cron_text_is_survived(text in "\\PC{0,30}|[0-9*/,LW#?@+a-z -]{1,30}") {
        if let Ok(schedule) = Schedule::cron(&text, Tz::Europe__Berlin) {
            let now = utc("2026-11-24T12:00:00Z");
            prop_assert!(schedule.next(now, &Recent::default(), 0.0) > now);
        }
    }
}
