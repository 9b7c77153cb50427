//! What the gateway and the worker must agree on, and nothing else.
//!
//! | module | holds |
//! | --- | --- |
//! | [`api`] | the contract with clients: tables of endpoints and events, their types, the codes |
//! | [`internal`] | what gateways and workers say to each other and no client ever sees |
//! | [`bus`] | request, serve, publish, subscribe; NATS or in-process; every subject |
//! | [`pod`] | which start of which process is meant |
//! | [`presence`] | which pod holds which session's socket; Redis or in-process |
//! | [`config`] | settings that both processes have, and how a bad one is reported |
//! | [`telemetry`], [`metrics`] | logs, traces and numbers |
//! | [`http`] | serving HTTP to strangers: what a connection may cost before it is upgraded |
//! | [`lifecycle`] | from a signal to a soft and a hard shutdown |
//! | [`probe`] | asking a process how it is |

pub mod api;
pub mod bus;
pub mod config;
pub mod http;
pub mod internal;
pub mod lifecycle;
pub mod metrics;
pub mod pod;
pub mod presence;
pub mod probe;
pub mod telemetry;
