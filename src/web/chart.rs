//! Columns for the eye, as SVG that is made here, with the same in words.

use std::collections::BTreeMap;

use chrono::{DateTime, Local, NaiveDate, TimeDelta, Utc};

use super::words::{counted, measured};
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
    /// What the highest column stands for; empty where there is none.
    pub highest: String,
    /// Where the row begins and where it ends.
    pub ends: Option<(String, String)>,
    pub columns: Vec<Column>,
}

/// One column before it is drawn.
struct Value {
    height: u64,
    at: String,
    words: String,
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
        let values = per_day.iter().map(|(day, number)| Value {
            height: *number,
            at: day.format("%-d %b").to_string(),
            words: messages(*number),
        });
        Chart::of("days", format!("Messages a day, in the last {days} days"), words, values.collect())
    }

    /// How long polls took; `polls` begins with the newest.
    pub fn of_durations(polls: &[Poll]) -> Chart {
        let took = |poll: &Poll| {
            Some(Value {
                height: u64::try_from(poll.took.num_milliseconds()).unwrap_or(0),
                at: poll.started?.with_timezone(&Local).format("%-d %b %H:%M").to_string(),
                words: measured(poll.took),
            })
        };
        let values: Vec<Value> = polls.iter().rev().filter_map(took).collect();
        let words = match values.iter().max_by_key(|value| value.height) {
            Some(longest) => format!("The longest is that of {}: {}.", longest.at, longest.words),
            None => "There was none.".into(),
        };
        let title = match values.len() {
            1 => "How long the last check took".to_owned(),
            count => format!("How long the last {count} checks took"),
        };
        Chart::of("durations", title, words, values)
    }

    fn of(id: &'static str, title: String, words: String, values: Vec<Value>) -> Chart {
        let highest = values.iter().max_by_key(|value| value.height).filter(|value| value.height > 0);
        let highest = highest.map(|value| value.words.clone()).unwrap_or_default();
        let ends = values.first().zip(values.last()).filter(|_| values.len() >= FEWEST);
        let ends = ends.map(|(first, last)| (first.at.clone(), last.at.clone()));
        Chart { id, title, words, highest, ends, columns: columns(values) }
    }
}

/// Where there are fewer columns than these, they get no broader: they would look like much.
const FEWEST: usize = 12;

/// The highest fills the drawing, and one that is more than nothing can be seen.
fn columns(values: Vec<Value>) -> Vec<Column> {
    let highest = values.iter().map(|value| value.height).max().unwrap_or(0).max(1);
    let room = WIDTH / (values.len().max(FEWEST) as u64);
    let column = |(n, value): (usize, Value)| {
        let height = u128::from(value.height) * u128::from(HEIGHT) / u128::from(highest);
        let height = u64::try_from(height).unwrap_or(HEIGHT);
        let height = if value.height > 0 { height.max(2) } else { 0 };
        let label = format!("{}: {}", value.at, value.words);
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
        let today = now.with_timezone(&Local).format("%-d %b").to_string();
        assert_eq!((chart.highest.as_str(), chart.ends.unwrap().1), ("8 messages", today));
        let empty = Chart::of_days(&[], 30, now);
        assert_eq!((empty.words.as_str(), empty.highest.as_str()), ("None came.", ""));
    }

    #[test]
    fn columns_stay_within_the_drawing() {
        let value = |n: u64| Value { height: n << 40, at: String::new(), words: String::new() };
        for length in [0, 1, 50, 599, 600] {
            let drawn = columns((0..length).map(value).collect());
            let right = drawn.last().map_or(0, |column| column.x + column.width);
            assert!(right <= WIDTH && drawn.iter().all(|column| column.height <= HEIGHT), "{length}");
        }
    }
}
