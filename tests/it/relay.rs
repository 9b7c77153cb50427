//! From a change's outbox to what gateways hear: nothing is lost, repeated or out of order, whoever dies.

mod bound;
mod dying;
mod moving;
mod sharing;
mod telling;
mod world;
