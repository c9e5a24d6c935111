//! What is known of so many messages as a mailbox has.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use super::{DeliveryId, MessageId};

/// Messages or deliveries of one account. Their rows were made one after the other, so 64 of them often share a word.
#[derive(Clone, Debug)]
pub struct Ids<I>(BTreeMap<i64, u64>, PhantomData<I>);

pub type MessageIds = Ids<MessageId>;
pub type DeliveryIds = Ids<DeliveryId>;

impl<I> Default for Ids<I> {
    fn default() -> Self {
        Ids(BTreeMap::new(), PhantomData)
    }
}

impl<I: Into<i64>> Ids<I> {
    /// Whether it was not there yet.
    pub fn insert(&mut self, id: I) -> bool {
        let (word, bit) = place(id.into());
        let word = self.0.entry(word).or_default();
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    pub fn contains(&self, id: I) -> bool {
        let (word, bit) = place(id.into());
        self.0.get(&word).is_some_and(|word| word & bit != 0)
    }
}

fn place(id: i64) -> (i64, u64) {
    (id >> 6, 1 << (id & 63))
}

impl From<MessageId> for i64 {
    fn from(MessageId(id): MessageId) -> i64 {
        id
    }
}

impl From<DeliveryId> for i64 {
    fn from(DeliveryId(id): DeliveryId) -> i64 {
        id
    }
}

impl<I: Into<i64>> Extend<I> for Ids<I> {
    fn extend<T: IntoIterator<Item = I>>(&mut self, ids: T) {
        for id in ids {
            self.insert(id);
        }
    }
}

/// The message-numbers of messages, as they are in one session. Each takes 8 bytes: the upper half of an id is shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageNumbers(BTreeMap<i64, Vec<(u32, u32)>>);

impl MessageNumbers {
    pub fn get(&self, id: MessageId) -> Option<u32> {
        let (upper, lower) = halves(id);
        let numbers = self.0.get(&upper)?;
        let at = numbers.binary_search_by_key(&lower, |(lower, _)| *lower).ok()?;
        Some(numbers[at].1)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts in order what was added: not before that is it found.
    pub(super) fn sorted(mut self) -> MessageNumbers {
        for numbers in self.0.values_mut() {
            numbers.sort_unstable();
            numbers.shrink_to_fit();
        }
        self
    }
}

impl Extend<(MessageId, u32)> for MessageNumbers {
    fn extend<I: IntoIterator<Item = (MessageId, u32)>>(&mut self, numbers: I) {
        for (id, number) in numbers {
            let (upper, lower) = halves(id);
            self.0.entry(upper).or_default().push((lower, number));
        }
    }
}

impl FromIterator<(MessageId, u32)> for MessageNumbers {
    fn from_iter<I: IntoIterator<Item = (MessageId, u32)>>(numbers: I) -> MessageNumbers {
        let mut all = MessageNumbers::default();
        all.extend(numbers);
        all.sorted()
    }
}

fn halves(MessageId(id): MessageId) -> (i64, u32) {
    let lower = id & i64::from(u32::MAX);
    (id >> 32, u32::try_from(lower).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_in_it_and_nothing_else() {
        let mut ids = MessageIds::default();
        for id in [1, 63, 64, 65, i64::MAX] {
            assert!(ids.insert(MessageId(id)));
            assert!(!ids.insert(MessageId(id)), "{id} twice");
        }
        let found: Vec<i64> = (0..200).chain([i64::MAX]).filter(|&id| ids.contains(MessageId(id))).collect();
        assert_eq!(found, [1, 63, 64, 65, i64::MAX]);
    }

    #[test]
    fn each_message_has_its_number_in_whatever_order_they_come() {
        let numbers = [(7, 1), (3, 2), (i64::MAX, 3), (7 + (1 << 32), 4), (5, u32::MAX)];
        let of: MessageNumbers = numbers.into_iter().map(|(id, number)| (MessageId(id), number)).collect();
        for (id, number) in numbers {
            assert_eq!(of.get(MessageId(id)), Some(number), "{id}");
        }
        for id in [0, 4, 8, 3 + (1 << 32), i64::MAX - 1] {
            assert_eq!(of.get(MessageId(id)), None, "{id}");
        }
    }
}
