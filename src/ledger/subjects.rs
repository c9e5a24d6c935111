//! Subjects of parked messages, which people know them by: kept only where the config asks for it, and only while they are
//! parked (a trigger of migration 0007 sees to that).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::{DeliveryId, Error, Ledger, Outlives};

/// Whether the config asks for them now. Polls under way may have begun when it did not, or did.
pub type Wanted = Arc<AtomicBool>;

impl Ledger {
    /// What the config says of them from now on. Where it does not ask for them, those that are there are forgotten.
    pub async fn show_subjects(&self, wanted: bool) -> Result<(), Error> {
        self.subjects.store(wanted, Ordering::Relaxed);
        if wanted {
            return Ok(());
        }
        let sql = "UPDATE deliveries SET subject = NULL WHERE subject IS NOT NULL";
        self.write(Outlives::Process, move |connection| {
            Box::pin(async move {
                sqlx::query(sql).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    pub fn shows_subjects(&self) -> bool {
        self.subjects.load(Ordering::Relaxed)
    }

    /// Keeps the subjects of these deliveries, as far as they are parked and subjects are wanted.
    pub async fn keep_subjects(&self, subjects: Vec<(DeliveryId, String)>) -> Result<(), Error> {
        if subjects.is_empty() {
            return Ok(());
        }
        let subjects: Value = subjects.iter().map(|(id, subject)| json!([id.0, subject])).collect();
        let sql = "
            UPDATE deliveries SET subject = j.value ->> 1 FROM json_each($1) j
            WHERE deliveries.id = j.value ->> 0 AND deliveries.state = 'parked'";
        let wanted = Arc::clone(&self.subjects);
        self.write(Outlives::Process, move |connection| {
            Box::pin(async move {
                // Asked here, where one thing comes after the other: else one could come after all were forgotten.
                if wanted.load(Ordering::Relaxed) {
                    sqlx::query(sql).bind(subjects.to_string()).execute(connection).await?;
                }
                Ok(())
            })
        })
        .await
    }
}
