//! A worker on a real database, asked over the bus as gateways ask it.

mod canary;
mod clock;
mod connect;
mod database;
mod housekeeping;
mod reading;
mod retention;
mod retries;
mod serving;
pub(crate) mod world;
