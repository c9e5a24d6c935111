//! What the polls of an account have brought.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::Shared;
use super::answers::{Refusal, account_name, html};
use super::chart::Chart;
use super::overview::is_configured;
use super::words::{When, count, measured, octets, shown};
use crate::ledger::Poll;

/// Polls on one page.
const ON_A_PAGE: u32 = 50;

/// Days in the chart.
const DAYS: i64 = 30;

#[derive(Deserialize)]
pub struct From {
    /// Only polls before this one.
    before: Option<i64>,
}

#[derive(Template)]
#[template(path = "history.html")]
struct HistoryPage {
    name: String,
    charts: Vec<Chart>,
    rows: Vec<Row>,
    /// The oldest poll here, where there are older ones.
    older: Option<i64>,
    is_newest: bool,
}

struct Row {
    started: Option<When>,
    took: String,
    new: String,
    delivered: String,
    deleted: String,
    size: String,
    error: String,
}

pub async fn page(
    State(page): Shared,
    Path(account): Path<String>,
    Query(from): Query<From>,
) -> Result<Response, Refusal> {
    let account = account_name(&account)?;
    let report = page.house.visitor.report();
    if !is_configured(&page.house.configured.borrow(), account.as_str()) {
        // One that has left the config is still known to the ledger.
        report.must_know(&account).await?;
    }
    // One more than is shown tells whether there are older ones.
    let mut polls = report.history(Some(&account), from.before, ON_A_PAGE + 1).await?;
    let has_older = polls.len() > ON_A_PAGE as usize;
    polls.truncate(ON_A_PAGE as usize);
    let now = Utc::now();
    let mut charts = Vec::new();
    if from.before.is_none() {
        let arrivals = report.arrivals(&account, now - TimeDelta::days(DAYS)).await?;
        charts = vec![Chart::of_days(&arrivals, DAYS, now), Chart::of_durations(&polls)];
    }
    let older = polls.last().map(|poll| poll.id).filter(|_| has_older);
    let rows = polls.iter().map(|poll| Row::of(poll, now)).collect();
    let name = account.to_string();
    Ok(html(&HistoryPage { name, charts, rows, older, is_newest: from.before.is_none() }))
}

impl Row {
    fn of(poll: &Poll, now: DateTime<Utc>) -> Row {
        Row {
            started: poll.started.map(|at| When::relative(at, now)),
            took: measured(poll.took),
            new: count(poll.new),
            delivered: count(poll.delivered),
            deleted: count(poll.deleted),
            size: octets(poll.bytes),
            error: poll.error.as_deref().map(shown).unwrap_or_default(),
        }
    }
}
