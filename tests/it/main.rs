//! Tests of more than one part, one file for each promise of the system.

mod broken_off;
mod bus;
mod claims;
mod directory;
mod end_to_end;
mod ics;
mod late;
mod lossy_bus;
mod meeting;
mod presence;
mod record;
mod relay;
mod relay_faults;
mod replay;
mod retries;
mod servers;
mod session;
mod slow;
mod social;
mod stopped;
mod wire;
mod worker;
