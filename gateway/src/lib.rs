//! The gateway: holds sockets and knows the wire.

pub mod auth;
