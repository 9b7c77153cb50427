//! People outside: those whose address no user of the network has proven. Rules S10, I2.
//!
//! Their invitations, and what is to be sent to them, stand in the database; so nothing is lost with a worker, and what cannot
//! be sent yet waits there.
//!
//! | module | holds |
//! | --- | --- |
//! | `invite` | keeping an invitation, and how many there may be |
//! | `claim`, `proof` | whose it becomes: by its link, or because an address is proven |
//! | `cancel` | what is sent when a session is deleted |
//! | `queue` | what is due, and what has become of it |
//! | `post`, `smtp`, `sms` | sending |
//! | `token`, `occasion`, `words`, `calendar`, `letter` | what is sent |

mod calendar;
mod cancel;
mod claim;
mod invite;
mod letter;
mod occasion;
mod post;
mod queue;
mod sms;
mod smtp;
mod token;
mod words;

pub(crate) mod proof;

use std::sync::Arc;

use shared::lifecycle::Shutdown;

use crate::context::Context;

pub(crate) use cancel::cancel;
pub(crate) use claim::{claim, is_good, remove};
pub(crate) use invite::invite;
pub(crate) use occasion::Occasion;
pub(crate) use token::Token;

/// Sends what is due and claims what was proven, until it is to drain.
pub(crate) async fn run(context: Arc<Context>, shutdown: Shutdown) {
    tokio::join!(post::run(context.clone(), shutdown.clone()), proof::run(context, shutdown));
}
