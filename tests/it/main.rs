//! Tests of more than one part, one file for each promise of the system.

mod bus;
mod canary;
mod directory;
mod end_to_end;
mod hostile;
mod ics;
mod meeting;
mod outage;
mod overload;
mod presence;
mod relay;
mod relay_killed;
mod replay;
mod retries;
mod rolling;
mod servers;
mod session;
mod slow;
mod social;
mod wire;
mod worker;
