//! Tests of more than one part, one file for each promise of the system.

mod bus;
mod directory;
mod end_to_end;
mod files;
mod ics;
mod manifests;
mod meeting;
mod presence;
mod relay;
mod relay_killed;
mod replay;
mod retries;
mod servers;
mod session;
mod slow;
mod social;
mod wire;
mod worker;
