//! The networks of a partition that moved lately, and how their heads are told.

use std::{collections::HashMap, time::Duration};

use shared::internal::{Head, Heads, Position};
use tokio::time::Instant;

use super::chunk::{self, chunks};

/// For so long after its last move a network's head is repeated.
pub(super) const RECENT: Duration = Duration::from_secs(60);

/// By network.
#[derive(Debug, Default)]
pub(super) struct Recent(HashMap<String, Place>);

#[derive(Debug)]
struct Place {
    epoch: String,
    head: Position,
    until: Instant,
}

impl Recent {
    /// The network moved, `ago` before `now`.
    pub(super) fn note(&mut self, head: Head, now: Instant, ago: Duration) {
        let until = now + RECENT.saturating_sub(ago);
        self.0.insert(head.network, Place { epoch: head.epoch, head: head.head, until });
    }

    /// A network's epoch as it is now. Unknown networks do not matter.
    pub(super) fn set_epoch(&mut self, network: &str, epoch: &str) {
        if let Some(place) = self.0.get_mut(network)
            && place.epoch != epoch
        {
            epoch.clone_into(&mut place.epoch);
        }
    }

    pub(super) fn forget_older(&mut self, now: Instant) {
        self.0.retain(|_, place| place.until > now);
    }

    pub(super) fn networks(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// What to publish: one message at least, as hearing nothing means that nobody relays.
    pub(super) fn messages(&self) -> Vec<Heads> {
        let heads: Vec<Head> = self
            .0
            .iter()
            .map(|(network, place)| Head { network: network.clone(), epoch: place.epoch.clone(), head: place.head })
            .collect();
        let bytes = |head: &Head| chunk::text_bytes(&head.network) + chunk::text_bytes(&head.epoch) + 64;
        let mut messages: Vec<Heads> =
            chunks(&heads, bytes).into_iter().map(|heads| Heads { heads: heads.to_vec() }).collect();
        if messages.is_empty() {
            messages.push(Heads::default());
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(network: &str, head: Position) -> Head {
        Head { network: network.to_owned(), epoch: "e".to_owned(), head }
    }

    #[test]
    fn a_head_is_told_for_a_minute_after_the_last_move() {
        let start = Instant::now();
        let mut recent = Recent::default();
        recent.note(head("demo", 1), start, Duration::ZERO);
        recent.note(head("old", 5), start, Duration::from_secs(59));
        recent.note(head("demo", 2), start + Duration::from_secs(30), Duration::ZERO);
        recent.forget_older(start + Duration::from_secs(89));
        assert_eq!(recent.messages(), [Heads { heads: vec![head("demo", 2)] }]);
        recent.forget_older(start + Duration::from_secs(91));
        assert_eq!(recent.messages(), [Heads::default()], "silence would mean that nobody relays");
    }

    #[test]
    fn a_network_that_was_reset_is_told_with_its_new_epoch() {
        let mut recent = Recent::default();
        recent.note(head("demo", 3), Instant::now(), Duration::ZERO);
        recent.set_epoch("demo", "f");
        recent.set_epoch("unknown", "f");
        let told = Head { epoch: "f".to_owned(), ..head("demo", 3) };
        assert_eq!(recent.messages(), [Heads { heads: vec![told] }]);
    }

    #[test]
    fn very_many_heads_go_in_several_messages() {
        let mut recent = Recent::default();
        for number in 0..20_000 {
            recent.note(head(&format!("network-{number}"), number), Instant::now(), Duration::ZERO);
        }
        let messages = recent.messages();
        assert_eq!(messages.iter().map(|heads| heads.heads.len()).sum::<usize>(), 20_000);
        for heads in messages {
            assert!(serde_json::to_vec(&heads).expect("JSON").len() <= chunk::MOST_BYTES);
        }
    }
}
