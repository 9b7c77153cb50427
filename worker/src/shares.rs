//! Who may have how many of the pool's connections.
//!
//! Half of the slots of a worker are more than all of its connections: most requests need one only part of their time. So
//! a network whose statements are slow could hold every connection with its half, and all others would wait in vain. A
//! quarter of the connections is always out of reach of any one [`Party`].

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{sync::Semaphore, time::timeout};

use crate::{
    database::{ACQUIRE_TIMEOUT, Lease, Pool, pool_size},
    error::Error,
    slots::Party,
};

/// The shares of all who are worked for.
#[derive(Debug)]
pub(crate) struct Shares {
    pool: Pool,
    /// Beyond so many, those that nobody uses are forgotten.
    most_parties: usize,
    parties: Mutex<HashMap<Party, Arc<Semaphore>>>,
}

/// The connections of one party.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    pool: Pool,
    turns: Arc<Semaphore>,
}

impl Shares {
    /// Of this pool, for at most so many requests at once.
    pub(crate) fn new(pool: Pool, slots: usize) -> Self {
        Self { pool, most_parties: slots.saturating_mul(2), parties: Mutex::default() }
    }

    /// The share of a party.
    pub(crate) fn of(&self, party: &Party) -> Share {
        let mut parties = self.parties.lock().unwrap_or_else(PoisonError::into_inner);
        if parties.len() >= self.most_parties {
            parties.retain(|_, turns| Arc::strong_count(turns) > 1);
        }
        let turns = parties.entry(party.clone()).or_insert_with(|| Arc::new(Semaphore::new(share_limit())));
        Share { pool: self.pool.clone(), turns: turns.clone() }
    }
}

impl Share {
    /// Takes a connection.
    ///
    /// # Errors
    /// 503 when the party's connections stay taken, or the database is away.
    pub(crate) async fn take(&self) -> Result<Lease, Error> {
        let turn = timeout(ACQUIRE_TIMEOUT, self.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Error::unavailable("too much at once of this network")) };
        Ok(Lease::take(&self.pool).await?.in_turn(turn))
    }

    /// Takes a connection and begins a transaction on it.
    ///
    /// # Errors
    /// As [`Share::take`].
    pub(crate) async fn begin(&self) -> Result<Lease, Error> {
        let mut lease = self.take().await?;
        lease.begin_transaction().await?;
        Ok(lease)
    }
}

/// Three quarters of the pool.
fn share_limit() -> usize {
    pool_size() - pool_size() / 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database;

    #[tokio::test]
    async fn what_nobody_uses_is_forgotten_and_a_share_in_use_stays_the_same() {
        let pool = database::pool(&"postgres://localhost/none".parse().expect("a URL"), "test").expect("an address");
        let shares = Shares::new(pool, 2);
        let used = shares.of(&Party::Internal);
        let turn = used.turns.clone().acquire_owned().await.expect("a turn");
        drop(used);
        for network in 0..100 {
            shares.of(&Party::Network(network.to_string()));
        }
        assert_eq!(shares.of(&Party::Internal).turns.available_permits(), share_limit() - 1);
        assert!(shares.parties.lock().expect("no panic").len() <= 4);
        drop(turn);
    }
}
