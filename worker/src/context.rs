//! What a handler is given: the caller, the database and, for a change, a place for its events.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, atomic::AtomicI64},
};

use serde::Serialize;
use shared::{
    api::{Event, MAX_EVENT_BYTES},
    bus::Bus,
    internal::{Control, Partition, Session},
    presence::Presence,
};
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};

use crate::{
    config::Config,
    database::{Lease, Pool},
    error::Error,
    outbox::{self, Emission},
    zones::Zones,
};

/// What every request of this worker shares.
#[derive(Clone, Debug)]
pub struct Context {
    /// Connections to PostgreSQL, for requests and what is done in their manner.
    pub(crate) pool: Pool,
    /// The connection to PostgreSQL of what runs beside them.
    pub(crate) background: Pool,
    /// The bus.
    pub bus: Bus,
    /// Where sockets are.
    pub presence: Presence,
    /// The settings.
    pub config: Arc<Config>,
    /// The zone data.
    pub(crate) zones: Zones,
    /// How many sessions are still to be looked at with newer zone data (S9); negative where that is not counted.
    pub(crate) series_waiting: Arc<AtomicI64>,
}

/// A caller that is no client: a gateway of ours, for itself.
#[derive(Clone, Copy, Debug)]
pub struct Gateway;

/// A request that changes nothing. `C` is who asks: a client's [`Session`], or a [`Gateway`].
#[derive(Debug)]
pub struct Read<C = Session> {
    context: Arc<Context>,
    caller: C,
    lease: Lease,
}

impl<C> Read<C> {
    pub(crate) fn new(context: Arc<Context>, caller: C, lease: Lease) -> Self {
        Self { context, caller, lease }
    }

    pub(crate) fn into_lease(self) -> Lease {
        self.lease
    }

    /// What every request shares.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// A connection outside of any transaction: statements that must agree with each other need a [`Read::snapshot`].
    pub fn connection(&mut self) -> &mut PgConnection {
        self.lease.connection()
    }

    /// A transaction whose statements all see what was committed when the first of them began. There is nothing in it to
    /// commit.
    ///
    /// # Errors
    /// The database's.
    pub async fn snapshot(&mut self) -> Result<Transaction<'_, Postgres>, Error> {
        Ok(self.lease.connection().begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?)
    }
}

impl Read<Session> {
    /// Who asks.
    pub fn session(&self) -> &Session {
        &self.caller
    }
}

/// A request that changes something, in one transaction. `C` is who asks: a client's [`Session`], or a [`Gateway`].
///
/// What it emits is written into the outbox right before the commit, in order. So emit under the lock of the object that
/// the events are about: then its events are in the order of its commits (I1).
#[derive(Debug)]
pub struct Change<C = Session> {
    context: Arc<Context>,
    caller: C,
    /// With a transaction begun.
    lease: Lease,
    effects: Effects,
}

/// What follows from a change beyond its own rows.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Into the outbox, before the commit.
    pub(crate) emissions: Vec<Emission>,
    /// Whose outboxes have rows of this change already.
    pub(crate) partitions: BTreeSet<Partition>,
    /// To all gateways, after the commit.
    pub(crate) announcements: Vec<Control>,
}

/// A part of a change that can be undone alone; see [`Change::savepoint`].
#[derive(Debug)]
#[must_use = "release it or roll back to it"]
pub struct Savepoint {
    emissions: usize,
    announcements: usize,
}

impl<C> Change<C> {
    pub(crate) fn new(context: Arc<Context>, caller: C, lease: Lease) -> Self {
        Self { context, caller, lease, effects: Effects::default() }
    }

    pub(crate) fn into_parts(self) -> (Lease, Effects) {
        (self.lease, self.effects)
    }

    /// What every request shares.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The transaction's connection. A statement that failed ends the transaction: pass its error on, or make a
    /// [`Change::savepoint`] before it.
    pub fn connection(&mut self) -> &mut PgConnection {
        self.lease.connection()
    }

    /// Sends an event to users of a network, when the change is committed. No recipient: nothing is sent.
    ///
    /// # Errors
    /// 413 when the event is larger than [`MAX_EVENT_BYTES`].
    pub fn emit_in<E: Event>(
        &mut self,
        network: &str,
        recipients: impl IntoIterator<Item = String>,
        event: &E,
    ) -> Result<(), Error> {
        let recipients: Vec<String> = recipients.into_iter().collect();
        if recipients.is_empty() {
            return Ok(());
        }
        let payload = to_json(event)?;
        if payload.len() > MAX_EVENT_BYTES {
            let message = format!("{} would have {} bytes, the limit is {MAX_EVENT_BYTES}", E::NAME, payload.len());
            return Err(Error::too_large(message));
        }
        self.effects.emissions.push(Emission { network: network.to_owned(), recipients, name: E::NAME, payload });
        Ok(())
    }

    /// Writes what was emitted so far into the outbox now rather than at the end, so that a change of very many objects
    /// holds the events of a few of them only. Not after a [`Change::savepoint`] that came after an emission.
    ///
    /// # Errors
    /// The database's.
    pub async fn write_events(&mut self) -> Result<(), Error> {
        let partitions = outbox::insert(self.lease.connection(), &self.effects.emissions).await?;
        self.effects.partitions.extend(partitions);
        self.effects.emissions.clear();
        Ok(())
    }

    /// Wakes the relay of a partition after the commit, for a row that the handler itself has left in the outbox.
    pub(crate) fn wake(&mut self, partition: Partition) {
        self.effects.partitions.insert(partition);
    }

    /// Tells every gateway something about its sockets, after the commit. It may be lost: gateways ask again at each
    /// beat.
    pub fn announce(&mut self, control: Control) {
        self.effects.announcements.push(control);
    }

    /// Begins a part that can fail alone.
    ///
    /// # Errors
    /// The database's.
    pub async fn savepoint(&mut self) -> Result<Savepoint, Error> {
        sqlx::query("SAVEPOINT part").execute(self.lease.connection()).await?;
        Ok(Savepoint { emissions: self.effects.emissions.len(), announcements: self.effects.announcements.len() })
    }

    /// Keeps what was done since.
    ///
    /// # Errors
    /// The database's.
    pub async fn release(&mut self, _savepoint: Savepoint) -> Result<(), Error> {
        sqlx::query("RELEASE SAVEPOINT part").execute(self.lease.connection()).await?;
        Ok(())
    }

    /// Undoes what was done since, events and announcements included.
    ///
    /// # Errors
    /// The database's.
    pub async fn roll_back_to(&mut self, savepoint: Savepoint) -> Result<(), Error> {
        sqlx::raw_sql("ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part").execute(self.lease.connection()).await?;
        self.effects.emissions.truncate(savepoint.emissions);
        self.effects.announcements.truncate(savepoint.announcements);
        Ok(())
    }
}

impl Change<Session> {
    /// Who asks.
    pub fn session(&self) -> &Session {
        &self.caller
    }

    /// Sends an event to users of the caller's network, when the change is committed. No recipient: nothing is sent.
    ///
    /// # Errors
    /// 413 when the event is larger than [`MAX_EVENT_BYTES`].
    pub fn emit<E: Event>(&mut self, recipients: impl IntoIterator<Item = String>, event: &E) -> Result<(), Error> {
        let network = self.caller.network.clone();
        self.emit_in(&network, recipients, event)
    }
}

/// JSON of one of our own types.
pub(crate) fn to_json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::internal(format!("an answer cannot be written: {error}")))
}

/// How many bytes a value has as JSON.
///
/// # Errors
/// It cannot be written.
pub(crate) fn json_bytes(value: &impl Serialize) -> Result<usize, Error> {
    let mut bytes = ByteCount(0);
    serde_json::to_writer(&mut bytes, value)
        .map_err(|error| Error::internal(format!("what is sent cannot be written: {error}")))?;
    Ok(bytes.0)
}

/// Counts what is written to it.
struct ByteCount(usize);

impl io::Write for ByteCount {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
