//! Gmail's labels (its extension X-GM-EXT-1): what a message is shown under, beside the folder that it was stored in.

use super::{Error, Mailbox, Session};

/// Most messages labelled by one command: a line has an end for servers too.
const AT_ONCE: usize = 256;

impl Session {
    /// Adds labels, which bear the names of folders, to messages of one folder. To those that have them nothing happens.
    ///
    /// # Errors
    /// [`Error::Refused`], and those that end the session.
    pub async fn add_labels(
        &mut self,
        mailbox: &Mailbox,
        uids: &[u32],
        labels: &[Mailbox],
    ) -> Result<(), Error> {
        if uids.is_empty() || labels.is_empty() {
            return Ok(());
        }
        self.select(mailbox).await?;
        let stored = self.store_labels(uids, labels).await;
        if !matches!(stored, Ok(()) | Err(Error::Refused { .. })) {
            return stored;
        }
        self.unselect().await?;
        stored
    }

    async fn store_labels(&mut self, uids: &[u32], labels: &[Mailbox]) -> Result<(), Error> {
        let labels: Vec<&str> = labels.iter().map(Mailbox::as_str).collect();
        for uids in uids.chunks(AT_ONCE) {
            let set = uids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            let command = format!("UID STORE {set} +X-GM-LABELS ({})", labels.join(" "));
            self.run_unread("STORE", &command).await?;
        }
        Ok(())
    }

    async fn select(&mut self, mailbox: &Mailbox) -> Result<(), Error> {
        self.run("SELECT", &format!("SELECT {}", mailbox.as_str()), |_| {}).await.map(drop)
    }

    /// Leaves the folder without an expunge, which CLOSE would bring. Who cannot do that stays in it, which does no harm.
    async fn unselect(&mut self) -> Result<(), Error> {
        if !self.capabilities().unselect {
            return Ok(());
        }
        self.run("UNSELECT", "UNSELECT", |_| {}).await.map(drop)
    }
}
