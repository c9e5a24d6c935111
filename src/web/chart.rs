//! Columns for the eye, as SVG that is made here, with the same in words.

use std::collections::BTreeMap;

use chrono::{DateTime, Local, NaiveDate, TimeDelta, Utc};

use super::words::{counted, span};
use crate::ledger::{Arrivals, Poll};

/// In the units of the drawing.
const WIDTH: u64 = 600;
const HEIGHT: u64 = 100;

/// A row of columns, the oldest at the left.
pub struct Chart {
    /// Part of the ids of its elements.
    pub id: &'static str,
    pub title: String,
    /// What it shows, for who does not see it.
    pub words: String,
    pub columns: Vec<Column>,
}

pub struct Column {
    pub x: u64,
    pub y: u64,
    pub width: u64,
    pub height: u64,
    pub label: String,
}

impl Chart {
    /// Messages a day, in the days of this machine.
    pub fn of_days(arrivals: &[Arrivals], days: i64, now: DateTime<Utc>) -> Chart {
        let today = now.with_timezone(&Local).date_naive();
        let mut per_day: BTreeMap<NaiveDate, u64> =
            (0..days).map(|ago| (today - TimeDelta::days(ago), 0)).collect();
        for arrivals in arrivals {
            let day = arrivals.from.with_timezone(&Local).date_naive();
            // The first day is seen in part only.
            per_day.entry(day).and_modify(|sum| *sum += arrivals.messages);
        }
        let messages = |number| counted(number, "message", "messages");
        let all = per_day.values().sum();
        let words = match per_day.iter().max_by_key(|(_, number)| **number) {
            Some((day, most)) if *most > 0 => {
                format!("{} in all, most on {}: {}.", messages(all), day.format("%-d %b"), messages(*most))
            }
            _ => "None came.".into(),
        };
        let values = per_day
            .iter()
            .map(|(day, number)| (*number, format!("{}: {}", day.format("%-d %b"), messages(*number))));
        let title = format!("Messages a day, in the last {days} days");
        Chart { id: "days", title, words, columns: columns(values.collect()) }
    }

    /// How long polls took; `polls` begins with the newest.
    pub fn of_durations(polls: &[Poll]) -> Chart {
        let took = |poll: &Poll| {
            let took = poll.ended? - poll.started?;
            let seconds = u64::try_from(took.num_seconds()).unwrap_or(0);
            let at = poll.started?.with_timezone(&Local).format("%-d %b %H:%M");
            Some((seconds, format!("{at}: {}", span(took))))
        };
        let values: Vec<(u64, String)> = polls.iter().rev().filter_map(took).collect();
        let words = match values.iter().max_by_key(|(seconds, _)| *seconds) {
            Some((_, longest)) => format!("The longest is that of {longest}."),
            None => "There was none.".into(),
        };
        let title = format!("How long the last {} took", counted(values.len() as u64, "check", "checks"));
        Chart { id: "durations", title, words, columns: columns(values) }
    }
}

/// The highest fills the drawing, and one that is more than nothing can be seen.
fn columns(values: Vec<(u64, String)>) -> Vec<Column> {
    let highest = values.iter().map(|(value, _)| *value).max().unwrap_or(0).max(1);
    let room = WIDTH / (values.len().max(1) as u64);
    let column = |(n, (value, label)): (usize, (u64, String))| {
        let height = u128::from(value) * u128::from(HEIGHT) / u128::from(highest);
        let height = u64::try_from(height).unwrap_or(HEIGHT);
        let height = if value > 0 { height.max(2) } else { 0 };
        Column { x: n as u64 * room, y: HEIGHT - height, width: (room * 4 / 5).max(1), height, label }
    };
    values.into_iter().enumerate().map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_without_mail_have_a_place_and_no_height() {
        let now = Utc::now();
        let arrivals = [(0, 4), (0, 4), (3, 1)]
            .map(|(days, messages)| Arrivals { from: now - TimeDelta::days(days), messages });
        let chart = Chart::of_days(&arrivals, 30, now);
        let heights: Vec<u64> = chart.columns.iter().rev().take(5).map(|column| column.height).collect();
        assert_eq!((chart.columns.len(), heights), (30, vec![100, 0, 0, 12, 0]));
        assert!(chart.words.starts_with("9 messages in all, most on "), "{}", chart.words);
        assert_eq!(Chart::of_days(&[], 30, now).words, "None came.");
    }

    #[test]
    fn columns_stay_within_the_drawing() {
        for length in [0, 1, 50, 599, 600] {
            let drawn = columns((0..length).map(|n| (n << 40, String::new())).collect());
            let right = drawn.last().map_or(0, |column| column.x + column.width);
            assert!(right <= WIDTH && drawn.iter().all(|column| column.height <= HEIGHT), "{length}");
        }
    }
}
