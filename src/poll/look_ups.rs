//! Asking before sending again: after a lost answer, and after a past that the ledger may not know.

use std::collections::{BTreeMap, BTreeSet};

use tracing::info;

use crate::destination::Destination;
use crate::ledger::{self, DeliveryId, LookUp};
use crate::message::{DestinationName, Found, Mark, Route, Sought, Verdict};

use super::batch::{Load, Sent};
use super::{Delivered, Failure, Poll};

/// After so many attempts a destination that takes mail and lets nobody look gets it all the same, and the ledger says
/// so.
const BLIND: u32 = 3;

impl Poll<'_> {
    /// Asks the destinations about deliveries whose answer was lost. It needs no POP3 session.
    pub(super) async fn look_up(&mut self) -> Result<(), Failure> {
        let due = self.context.ledger.look_ups_due(&self.account.name, self.now()).await?;
        let mut groups: BTreeMap<(DestinationName, String), Vec<LookUp>> = BTreeMap::new();
        for look_up in due {
            groups
                .entry((look_up.destination.clone(), look_up.mark.folder.clone()))
                .or_default()
                .push(look_up);
        }
        for ((name, _), look_ups) in groups {
            let Some(destination) = self.context.destinations.get(&name) else { continue };
            let marks: Vec<Mark> = look_ups.iter().map(|look_up| look_up.mark.clone()).collect();
            let mut taken: Vec<(u32, u32)> =
                look_ups.iter().flat_map(|look_up| look_up.taken.clone()).collect();
            taken.sort_unstable();
            taken.dedup();
            let route = self.account.settings.routes.iter().find(|route| route.to == name);
            let found = destination.look_up(route, &marks, &taken).await;
            let found = look_ups.iter().map(|look_up| look_up.delivery).zip(found).collect();
            let settled = self
                .context
                .ledger
                .settle_look_ups(found, self.account.settings.leave_copy, self.now())
                .await?;
            for settled in &settled {
                let (verdict, text) = (settled.state.as_str(), &settled.text);
                info!(account = %self.account.name, destination = %name, delivery = %settled.delivery, verdict, text, "look-up");
            }
            self.note(Delivered { settled, ..Delivered::default() });
        }
        Ok(())
    }

    /// Deliveries that an earlier life of the ledger may have made are looked for before they are made again.
    pub(super) async fn find_past<'p>(
        &self,
        route: &Route,
        destination: &Destination,
        load: Vec<Load<'p>>,
        marks: Vec<Mark>,
    ) -> Result<(Vec<Sent>, Vec<Load<'p>>, Vec<Mark>), ledger::Error> {
        let past_of = |(load, mark): (&Load<'_>, &Mark)| {
            let (uid_validity, uid_next) = load.delivery.look_from?;
            // What is known is where one folder was; another one is looked through from its start.
            let (uid_validity, uid_next) =
                if mark.folder == load.delivery.look_in { (uid_validity, uid_next) } else { (0, 1) };
            Some(Mark { uid_validity, uid_next, ..mark.clone() })
        };
        let past: Vec<Option<Mark>> = load.iter().zip(&marks).map(past_of).collect();
        if past.iter().all(Option::is_none) {
            return Ok((Vec::new(), load, marks));
        }
        let mut found: Vec<Option<Found>> = vec![None; past.len()];
        for folder in marks.iter().map(|mark| &mark.folder).collect::<BTreeSet<_>>() {
            let theirs = past.iter().enumerate().filter_map(|(n, past)| Some((n, past.as_ref()?)));
            let (places, asked): (Vec<usize>, Vec<Mark>) =
                theirs.filter(|(_, past)| past.folder == *folder).map(|(n, past)| (n, past.clone())).unzip();
            let Some(validity) = places.first().map(|&n| marks[n].uid_validity) else { continue };
            let taken = self.taken(&route.to, folder, validity).await?;
            let deliveries: Vec<DeliveryId> = places.iter().map(|&n| load[n].delivery.id).collect();
            let twins = self.context.ledger.twins(&deliveries, folder, validity).await?;
            let sought: Vec<Sought> =
                asked.into_iter().zip(twins).map(|(mark, twins)| Sought { mark, twins }).collect();
            let answers = destination.look_for_past(&sought, taken).await;
            let is_there = |found: &Found| matches!(found, Found::Found { .. } | Found::Changed { .. });
            let elsewhere = places.iter().zip(&answers).filter(|(_, found)| is_there(found));
            let elsewhere = elsewhere.map(|(&n, _)| &load[n].delivery).filter(|it| it.look_in != *folder);
            let elsewhere: Vec<DeliveryId> = elsewhere.map(|delivery| delivery.id).collect();
            if !elsewhere.is_empty() {
                self.context.ledger.found_in(&elsewhere, folder).await?;
            }
            for (n, answer) in places.into_iter().zip(answers) {
                found[n] = Some(answer);
            }
        }
        let (mut sent, mut rest, mut rest_marks) = (Vec::new(), Vec::new(), Vec::new());
        for ((mut load, mark), found) in load.into_iter().zip(marks).zip(found) {
            load.unverified = matches!(found, Some(Found::CannotSay { .. }));
            match found {
                Some(Found::Found { receipt } | Found::Changed { receipt, .. }) => {
                    sent.push(load.sent(Verdict::Delivered { receipt }));
                }
                Some(Found::Unreachable { reason }) => {
                    sent.push(load.sent(Verdict::Unreachable { reason, retry_after: None }));
                }
                Some(Found::CannotSay { reason }) if load.delivery.attempts < BLIND => {
                    let (retry_after, counts_for_destination) = (None, false);
                    sent.push(load.sent(Verdict::Deferred { reason, retry_after, counts_for_destination }));
                }
                Some(Found::CannotSay { .. } | Found::Absent) | None => {
                    rest.push(load);
                    rest_marks.push(mark);
                }
            }
        }
        Ok((sent, rest, rest_marks))
    }

    /// UIDs in a folder that the ledger knows: they are no unknown past.
    async fn taken(
        &self,
        to: &DestinationName,
        folder: &str,
        uid_validity: u32,
    ) -> Result<&[u32], ledger::Error> {
        let Some(taken) = self.taken.get(to).and_then(|folders| folders.get(folder)) else { return Ok(&[]) };
        let ask = || self.context.ledger.taken(to, folder, uid_validity, 1);
        Ok(taken.get_or_try_init(ask).await?)
    }
}
