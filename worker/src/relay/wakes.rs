//! Who has told that a partition's outbox has rows.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use shared::{
    bus::{Bus, Subject},
    internal::{PARTITIONS, Partition},
};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

const _: () = assert!(PARTITIONS as u32 <= u64::BITS, "one bit for each partition");

/// A set of partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Partitions(u64);

impl Partitions {
    pub(super) fn insert(&mut self, partition: Partition) {
        self.0 |= 1 << partition;
    }

    pub(super) fn remove(&mut self, partition: Partition) {
        self.0 &= !(1 << partition);
    }

    pub(super) fn contains(self, partition: Partition) -> bool {
        self.0 & (1 << partition) != 0
    }

    pub(super) fn extend(&mut self, others: Self) {
        self.0 |= others.0;
    }
}

/// Wakes that were heard and not taken yet. However many there are of a partition, they count once, so nothing queues up.
#[derive(Clone, Debug, Default)]
pub(super) struct Wakes(Arc<Heard>);

#[derive(Debug, Default)]
struct Heard {
    partitions: AtomicU64,
    some: Notify,
}

/// Hears the wakes of a partition until it is dropped.
pub(super) type Listener = AbortOnDropHandle<()>;

impl Wakes {
    /// Wakes that come before the bus knows of this, or while it is away, are missed: the relay also looks by itself.
    pub(super) fn listen(&self, bus: &Bus, partition: Partition) -> Listener {
        let (heard, bus) = (self.0.clone(), bus.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            let Ok(mut wakes) = bus.subscribe(Subject::wake(partition)).await else { return };
            while wakes.next().await.is_some() {
                heard.partitions.fetch_or(1 << partition, Ordering::Release);
                heard.some.notify_one();
            }
        }))
    }

    /// Those that were heard since.
    pub(super) fn take(&self) -> Partitions {
        Partitions(self.0.partitions.swap(0, Ordering::Acquire))
    }

    /// Returns when there may be some to take. Cancel safe.
    pub(super) async fn heard(&self) {
        self.0.some.notified().await;
    }
}
