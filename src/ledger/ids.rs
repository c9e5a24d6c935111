//! Sets of messages that may be as large as a mailbox.

use std::collections::BTreeMap;

use super::MessageId;

/// Messages of one account. Their rows were made one after the other, so 64 of them often share a word.
#[derive(Clone, Debug, Default)]
pub struct MessageIds(BTreeMap<i64, u64>);

impl MessageIds {
    /// Whether it was not there yet.
    pub fn insert(&mut self, id: MessageId) -> bool {
        let (word, bit) = place(id);
        let word = self.0.entry(word).or_default();
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    pub fn contains(&self, id: MessageId) -> bool {
        let (word, bit) = place(id);
        self.0.get(&word).is_some_and(|word| word & bit != 0)
    }
}

fn place(MessageId(id): MessageId) -> (i64, u64) {
    (id >> 6, 1 << (id & 63))
}

impl Extend<MessageId> for MessageIds {
    fn extend<I: IntoIterator<Item = MessageId>>(&mut self, ids: I) {
        for id in ids {
            self.insert(id);
        }
    }
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
}
