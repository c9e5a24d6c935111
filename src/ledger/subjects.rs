//! Subjects of parked messages, which people know them by: kept only where the config asks for it, and only while they are
//! parked.

use serde_json::{Value, json};

use super::{DeliveryId, Error, Ledger, Outlives};

impl Ledger {
    /// Keeps the subjects of these deliveries, as far as they are parked.
    pub async fn keep_subjects(&self, subjects: Vec<(DeliveryId, String)>) -> Result<(), Error> {
        if subjects.is_empty() {
            return Ok(());
        }
        let subjects: Value = subjects.iter().map(|(id, subject)| json!([id.0, subject])).collect();
        let sql = "
            UPDATE deliveries SET subject = j.value ->> 1 FROM json_each($1) j
            WHERE deliveries.id = j.value ->> 0 AND deliveries.state = 'parked'";
        self.write(Outlives::Process, move |connection| {
            Box::pin(async move {
                sqlx::query(sql).bind(subjects.to_string()).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    /// The config does not ask for them any more.
    pub async fn forget_subjects(&self) -> Result<(), Error> {
        // By account, as the index of the states is.
        let sql = "
            UPDATE deliveries SET subject = NULL
            WHERE account IN (SELECT id FROM accounts) AND state = 'parked' AND subject IS NOT NULL";
        self.write(Outlives::Process, move |connection| {
            Box::pin(async move {
                sqlx::query(sql).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }
}
