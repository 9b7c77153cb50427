//! Tests of more than one part, one file for each promise of the system.

mod bus;
mod servers;
