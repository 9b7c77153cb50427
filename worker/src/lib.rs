//! The worker: knows the business rules and PostgreSQL, holds no socket and no state between requests.
//!
//! | module | holds |
//! | --- | --- |
//! | [`router`] | from a method to its handler; the macro of the namespaces' tables |
//! | `meeting`, `social`, `user`, `directory`, `events` | the namespaces: a table of handlers, and a file for each |
//! | [`context`] | what a handler is given: [`context::Change`], [`context::Read`] |
//! | [`error`] | why a request was not done |
//! | [`outbox`] | where a change leaves its events |
//! | [`relay`] | moves them into the log, tells the gateways |
//! | [`retention`] | removes what has been kept long enough |
//! | [`config`] | the settings |

pub mod config;
pub mod context;
pub mod error;
pub mod outbox;
pub mod relay;
pub mod retention;
pub mod router;

mod directory;
mod events;
mod meeting;
mod social;
mod user;

pub use config::Config;
