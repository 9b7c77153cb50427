//! People outside: those whose address no user of the network has proven. Rules S10, I2.
//!
//! Their invitations, and what is to be sent to them, stand in the database; so nothing is lost with a worker, and what cannot
//! be sent yet waits there.
//!
//! | module | holds |
//! | --- | --- |
//! | `invite` | keeping an invitation, and how many there may be |
//! | `claim`, `proof` | whose it becomes: by its link, or because an address is proven |
//! | `moved`, `cancel` | what is sent when a session moves, is deleted, or an invitation is taken back |
//! | `queue` | what is due, and what has become of it |
//! | `post`, `smtp`, `sms`, `ending` | sending, and what is not sent |
//! | `token`, `occasion`, `words`, `calendar`, `letter` | what is sent |

mod calendar;
mod cancel;
mod claim;
mod ending;
mod invite;
mod letter;
mod moved;
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

pub(crate) use cancel::{cancel, remove};
pub(crate) use claim::{claim, is_good};
pub(crate) use ending::{End, Unsent};
pub(crate) use invite::invite;
pub(crate) use moved::moved;
pub(crate) use occasion::Occasion;
pub(crate) use token::Token;
pub(crate) use words::News;

/// Sends what is due and claims what was proven, until it is to drain.
pub(crate) async fn run(context: Arc<Context>, shutdown: Shutdown) {
    tokio::join!(post::run(context.clone(), shutdown.clone()), proof::run(context, shutdown));
}
