//! The harness: what the tests of more than one part stand on.

pub mod eventually;
pub mod process;
pub mod servers;

pub use servers::{Isolated, Server, Servers};
