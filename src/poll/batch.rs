//! What goes together: which messages form a batch, and what that weighs in the memory budget. No I/O.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use crate::ledger::{Attempt, DeliveryId, Due, DueDelivery, MessageId, MessageNumbers, Settled, State};
use crate::message::{
    AccountName, DestinationName, IN_MEMORY, Listing, Mark, Message, Outgoing, Route, Uidl, Verdict, subject,
};
use crate::pop3::Retrieval;

/// Most messages in a batch, but for a destination that takes more at once.
const MESSAGES: usize = 64;

/// Most octets in a batch, by LIST; a larger message goes alone.
const OCTETS: u64 = 4 << 20;

/// What a message counts for whose size the server does not tell.
const UNKNOWN_SIZE: u64 = 64 << 10;

/// The least that a budget can be, in the units of [`weight`]: what one batch weighs at most.
pub const LARGEST_WEIGHT: u32 = 4 << 10;

/// A message that is due, with its number in this session.
#[derive(Debug)]
pub struct Item {
    pub number: u32,
    pub due: Due,
}

impl Item {
    fn octets(&self) -> u64 {
        self.due.size.unwrap_or(UNKNOWN_SIZE)
    }

    /// What it may take of the memory: beyond [`IN_MEMORY`] it is in a file.
    fn in_memory(&self) -> u64 {
        self.octets().min(IN_MEMORY as u64)
    }
}

/// A message on its way: retrieved, identified, and due at these destinations.
#[derive(Debug)]
pub struct Parcel {
    pub id: MessageId,
    pub uidl: Uidl,
    pub message: Message,
    pub deliveries: Vec<DueDelivery>,
}

/// Retrieved together, to be delivered together. The permit gives its memory back when the batch is dropped.
#[derive(Debug)]
pub struct Batch {
    pub opened: Vec<MessageId>,
    /// All that arrived, as the ledger identified it, with the numbers in this session.
    pub retrieved: Vec<(MessageId, u32)>,
    pub parcels: Vec<Parcel>,
    /// How many of them turned out to be known: under another UIDL, or at another address.
    pub known: u64,
    pub permit: OwnedSemaphorePermit,
}

/// One message for one destination.
pub struct Load<'p> {
    pub parcel: &'p Parcel,
    pub delivery: &'p DueDelivery,
    /// It may have been delivered in an unknown past, and the destination could not say.
    pub unverified: bool,
}

impl<'p> Load<'p> {
    pub fn for_route(parcel: &'p Parcel, route: &Route) -> Option<Load<'p>> {
        let delivery = parcel.deliveries.iter().find(|delivery| delivery.destination == route.to)?;
        Some(Load { parcel, delivery, unverified: false })
    }

    pub fn attempt(&self, mark: &Mark) -> Attempt {
        Attempt { delivery: self.delivery.id, mark: mark.clone(), unverified: self.unverified }
    }

    pub fn outgoing(&self, account: &AccountName, mark: Mark) -> Outgoing {
        Outgoing {
            message: self.parcel.message.clone(),
            account: self.delivery.sent_as.as_ref().unwrap_or(account).clone(),
            uidl: self.parcel.uidl.clone(),
            mark,
            attempts: self.delivery.attempts,
        }
    }

    pub fn sent(&self, verdict: Verdict) -> Sent {
        Sent {
            delivery: self.delivery.id,
            uidl: self.parcel.uidl.clone(),
            octets: self.parcel.message.octets(),
            subject: None,
            verdict,
        }
    }
}

/// What a destination said of one message.
#[derive(Debug)]
pub struct Sent {
    pub delivery: DeliveryId,
    pub uidl: Uidl,
    pub octets: u64,
    /// See [`Sent::known_by`].
    pub subject: Option<String>,
    pub verdict: Verdict,
}

impl Sent {
    /// With what people know it by, where it was not delivered.
    pub fn known_by(self, message: &Message) -> Sent {
        let subject = match self.verdict {
            Verdict::Delivered { .. } | Verdict::Last { .. } => None,
            _ => subject(message.head()),
        };
        Sent { subject, ..self }
    }
}

/// The subjects of what was parked.
pub fn subjects(sent: Vec<Sent>, settled: &[Settled]) -> Vec<(DeliveryId, String)> {
    let parked = sent.into_iter().zip(settled).filter(|(_, settled)| settled.state == State::Parked);
    parked.filter_map(|(sent, _)| Some((sent.delivery, sent.subject?))).collect()
}

/// A batch that was sent: what is left to do is the ledger's.
#[derive(Debug)]
pub struct Answered {
    pub opened: Vec<MessageId>,
    pub retrieved: Vec<(MessageId, u32)>,
    /// Octets retrieved.
    pub octets: u64,
    pub sent: Vec<(DestinationName, Vec<Sent>)>,
    /// Destinations whose budget is used up.
    pub spent: Vec<DestinationName>,
}

impl Answered {
    /// Destinations that take nothing more for now.
    pub fn resting(&self) -> impl Iterator<Item = DestinationName> {
        let rests = |sent: &Sent| sent.verdict.for_all().is_some();
        let resting = self.sent.iter().filter(move |(_, sent)| sent.iter().any(rests));
        resting.map(|(destination, _)| destination.clone()).chain(self.spent.iter().cloned())
    }
}

/// How many messages a batch may have, for an account that delivers to these: `None` is one that takes a batch as it is, a
/// number one that takes so many messages at once. With whole rounds of those no place there stays empty while others wait.
pub fn most(at_once: impl Iterator<Item = Option<usize>>) -> usize {
    let at_once: Vec<Option<usize>> = at_once.collect();
    let largest = at_once.iter().copied().flatten().max().unwrap_or(1).max(1);
    match at_once.contains(&None) {
        false if largest > MESSAGES => largest,
        true if largest > MESSAGES => MESSAGES,
        _ => MESSAGES / largest * largest,
    }
}

/// Takes the next batch off the queue: in the server's order, at most `most` messages and 4 MiB. A message that is
/// larger, or that was in a batch that did not end well, goes alone. Messages that are due only at destinations in
/// `resting` are left out. Empty when the queue is.
pub fn next(queue: &mut VecDeque<Item>, most: usize, resting: &[DestinationName]) -> Vec<Item> {
    let (mut items, mut octets) = (Vec::new(), 0);
    while let Some(mut item) = queue.pop_front() {
        item.due.deliveries.retain(|delivery| !resting.contains(&delivery.destination));
        if item.due.deliveries.is_empty() {
            continue;
        }
        octets += item.octets();
        let fits = items.len() < most && octets <= OCTETS && !item.due.alone;
        if !fits && !items.is_empty() {
            queue.push_front(item);
            break;
        }
        items.push(item);
        if !fits {
            break;
        }
    }
    items
}

/// What a batch may take of the memory, in KiB: the unit of the budget.
pub fn weight(items: &[Item]) -> u32 {
    let octets: u64 = items.iter().map(Item::in_memory).sum();
    u32::try_from(octets.div_ceil(1024)).unwrap_or(LARGEST_WEIGHT).clamp(1, LARGEST_WEIGHT)
}

/// What a server may take to send a batch while others wait for memory: a minute, and as long as it needs at 16 KiB/s. No
/// message is larger than `max_size`, whatever LIST says.
pub fn patience(items: &[Item], max_size: u64) -> Duration {
    let octets: u64 = items.iter().map(|item| item.octets().min(max_size)).sum();
    Duration::from_secs(60 + octets / (16 << 10))
}

/// Whether the last message of a batch is shorter than it was listed: it may have ended too early.
pub fn ends_short(items: &[Item], messages: &[(u32, Retrieval)]) -> bool {
    match (items.last().and_then(|item| item.due.size), messages.last()) {
        (Some(listed), Some((_, Retrieval::Message(message)))) => message.octets() < listed,
        _ => false,
    }
}

/// So many messages that are refused together are not at fault.
pub const MANY_REFUSED: usize = 3;

/// The words in which the server refused many messages of a batch: a quota on downloads is used up, say, and when it is
/// not, they can be had.
pub fn common_refusals(messages: &[(u32, Retrieval)]) -> HashSet<String> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for (_, retrieval) in messages {
        if let Retrieval::Refused(refused) = retrieval {
            *counts.entry(&refused.text).or_default() += 1;
        }
    }
    counts.retain(|_, count| *count >= MANY_REFUSED);
    counts.into_keys().map(str::to_owned).collect()
}

/// Finds the numbers that messages have in this session.
///
/// A UIDL may stand for several messages; each of their numbers is given out once.
pub struct Numbers<'l> {
    listing: &'l Listing,
    /// Those that UIDL and size do not tell apart.
    vague: &'l MessageNumbers,
    /// For each row whether its number has been given out.
    given: Vec<bool>,
}

/// Messages by UIDL and size, each by its place among those asked for.
type Wanted<'w> = HashMap<&'w [u8], BTreeMap<Option<u64>, VecDeque<usize>>>;

impl<'l> Numbers<'l> {
    pub fn of(listing: &'l Listing, vague: &'l MessageNumbers) -> Numbers<'l> {
        Numbers { listing, vague, given: vec![false; listing.len()] }
    }

    /// For each of these messages, with their UIDLs and sizes, its number; `None` where the listing has no such message
    /// (any more).
    pub fn take(&mut self, messages: &[(MessageId, &Uidl, Option<u64>)]) -> Vec<Option<u32>> {
        let mut numbers: Vec<Option<u32>> = messages.iter().map(|(id, ..)| self.vague.get(*id)).collect();
        let mut wanted = Wanted::new();
        for (place, (_, uidl, size)) in
            messages.iter().enumerate().filter(|(place, _)| numbers[*place].is_none())
        {
            wanted.entry(uidl.as_bytes()).or_default().entry(*size).or_default().push_back(place);
        }
        if !wanted.is_empty() {
            self.take_wanted(wanted, &mut numbers);
        }
        numbers
    }

    /// It looks through the whole listing, as an index of a large one would take much memory.
    fn take_wanted(&mut self, mut wanted: Wanted<'_>, numbers: &mut [Option<u32>]) {
        for (row, is_given) in self.listing.iter().zip(&mut self.given) {
            if *is_given {
                continue;
            }
            if let Some(sizes) = wanted.get_mut(row.uidl)
                && let Some(place) = first_of_size(sizes, row.size)
            {
                numbers[place] = Some(row.number);
                *is_given = true;
            }
        }
    }
}

/// Takes the first message that may have this size: one that is not known may be any.
fn first_of_size(sizes: &mut BTreeMap<Option<u64>, VecDeque<usize>>, size: Option<u64>) -> Option<usize> {
    let fitting = match size {
        Some(_) => [size, None].into_iter().find(|size| sizes.contains_key(size))?,
        None => *sizes.first_key_value()?.0,
    };
    let mut messages = match sizes.entry(fitting) {
        Entry::Occupied(messages) => messages,
        Entry::Vacant(_) => return None,
    };
    let first = messages.get_mut().pop_front();
    if messages.get().is_empty() {
        messages.remove();
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Listed;

    fn item(number: u32, size: u64, to: &[&str]) -> Item {
        let delivery = |name: &&str| DueDelivery {
            id: DeliveryId(i64::from(number)),
            destination: DestinationName::new(name).unwrap(),
            attempts: 0,
            look_from: None,
            look_in: String::new(),
            sent_as: None,
        };
        let due = Due {
            id: MessageId(i64::from(number)),
            uidl: Uidl::new(b"u"),
            size: Some(size),
            identified: false,
            alone: false,
            deliveries: to.iter().map(delivery).collect(),
        };
        Item { number, due }
    }

    fn numbers(items: &[Item]) -> Vec<u32> {
        items.iter().map(|item| item.number).collect()
    }

    #[test]
    fn a_batch_ends_at_64_messages_or_4_mib() {
        let mut queue: VecDeque<_> = (1..=100).map(|n| item(n, 1000, &["a"])).collect();
        assert_eq!(next(&mut queue, MESSAGES, &[]).len(), 64);
        assert_eq!(next(&mut queue, MESSAGES, &[]).len(), 36);
        assert!(next(&mut queue, MESSAGES, &[]).is_empty());

        let mut queue: VecDeque<_> = (1..=3).map(|n| item(n, 2 << 20, &["a"])).collect();
        assert_eq!(numbers(&next(&mut queue, MESSAGES, &[])), [1, 2]);
        assert_eq!(numbers(&next(&mut queue, MESSAGES, &[])), [3]);
    }

    #[test]
    fn a_batch_fills_every_place_of_a_webhook() {
        let most = |at_once: &[Option<usize>]| most(at_once.iter().copied());
        for (at_once, wanted) in [(1, 64), (8, 64), (20, 60), (21, 63), (50, 50), (64, 64), (256, 256)] {
            assert_eq!(most(&[Some(at_once)]), wanted, "{at_once}");
        }
        assert_eq!(
            (most(&[]), most(&[None]), most(&[None, Some(20)]), most(&[None, Some(256)])),
            (64, 64, 60, 64)
        );
    }

    #[test]
    fn a_large_message_and_a_suspect_go_alone() {
        let mut queue: VecDeque<_> =
            [item(1, 10, &["a"]), item(2, 9 << 20, &["a"]), item(3, 10, &["a"])].into();
        let batches: Vec<_> = (0..3).map(|_| numbers(&next(&mut queue, MESSAGES, &[]))).collect();
        assert_eq!(batches, [[1], [2], [3]]);

        let mut suspect = item(2, 10, &["a"]);
        suspect.due.alone = true;
        let mut queue: VecDeque<_> = [item(1, 10, &["a"]), suspect, item(3, 10, &["a"])].into();
        let batches: Vec<_> = (0..3).map(|_| numbers(&next(&mut queue, MESSAGES, &[]))).collect();
        assert_eq!(batches, [[1], [2], [3]]);
    }

    #[test]
    fn a_resting_destination_holds_up_no_other() {
        let mut queue: VecDeque<_> = [item(1, 10, &["down"]), item(2, 10, &["down", "up"])].into();
        let batch = next(&mut queue, MESSAGES, &[DestinationName::new("down").unwrap()]);
        assert_eq!(numbers(&batch), [2]);
        assert_eq!(batch[0].due.deliveries.len(), 1);
    }

    #[test]
    fn no_batch_outweighs_the_smallest_budget() {
        let mut queue: VecDeque<_> = (1..=64).map(|n| item(n, 65 << 10, &["a"])).collect();
        let batch = next(&mut queue, MESSAGES, &[]);
        assert!(weight(&batch) <= LARGEST_WEIGHT);
        assert_eq!(weight(&[item(1, 100 << 20, &["a"])]), 1024);
        assert_eq!(weight(&[item(1, 0, &["a"])]), 1);
    }

    #[test]
    fn a_slow_server_has_minutes_and_a_claim_of_gigabytes_buys_no_day() {
        let seconds = |items: &[Item]| patience(items, 100 << 20).as_secs();
        assert_eq!(seconds(&[item(1, 10, &["a"])]), 60);
        assert_eq!(seconds(&[item(1, 1 << 20, &["a"]), item(2, 3 << 20, &["a"])]), 60 + 256);
        assert_eq!(seconds(&[item(1, 1 << 40, &["a"])]), 60 + 6400);
    }

    #[test]
    fn bearers_of_one_uidl_each_get_their_number() {
        let mut listing = Listing::default();
        for (number, uidl, size) in [(1, "same", 10), (2, "same", 10), (3, "same", 99), (4, "other", 10)] {
            listing.push(Listed { number, uidl: uidl.as_bytes(), size: Some(size) }).unwrap();
        }
        let (same, gone) = (Uidl::new(b"same"), Uidl::new(b"gone"));
        let take = |numbers: &mut Numbers<'_>, messages: &[(i64, &Uidl, Option<u64>)]| {
            numbers.take(
                &messages.iter().map(|(id, uidl, size)| (MessageId(*id), *uidl, *size)).collect::<Vec<_>>(),
            )
        };
        let none = MessageNumbers::default();
        let mut numbers = Numbers::of(&listing, &none);
        let wanted = [(7, &same, Some(99)), (5, &gone, Some(10)), (8, &same, Some(10))];
        assert_eq!(take(&mut numbers, &wanted), [Some(3), None, Some(1)]);
        assert_eq!(take(&mut numbers, &[(9, &same, Some(10)), (9, &same, Some(10))]), [Some(2), None]);
        let mut numbers = Numbers::of(&listing, &none);
        let wanted = [(7, &same, None), (8, &same, Some(99)), (9, &same, None)];
        assert_eq!(take(&mut numbers, &wanted), [Some(1), Some(3), Some(2)]);

        // Whichever is asked for first, each row gets its own.
        let vague: MessageNumbers = [(MessageId(7), 1), (MessageId(8), 2)].into_iter().collect();
        let mut numbers = Numbers::of(&listing, &vague);
        let wanted = [(8, &same, Some(10)), (9, &same, Some(99)), (7, &same, Some(10))];
        assert_eq!(take(&mut numbers, &wanted), [Some(2), Some(3), Some(1)]);
    }
}
