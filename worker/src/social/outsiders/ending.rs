//! Messages that end without having been sent: each is counted and logged once, with its session, never with the address.
//!
//! | metric | what |
//! | --- | --- |
//! | `convene_messages_given_up_total` | somebody was to be told and is not, by `channel` and `what` |
//! | `convene_messages_withdrawn_total` | nobody is to be told any more, by `channel` and `what` |

use uuid::Uuid;

use crate::social::{address::EMAIL, outsiders::words::News};

/// A message that is not sent.
#[derive(Clone, Debug)]
pub(crate) struct Unsent {
    /// As the database names kinds of addresses.
    pub(crate) kind: i16,
    pub(crate) news: News,
    pub(crate) session: Uuid,
    /// How often it was tried.
    pub(crate) attempts: u32,
    pub(crate) end: End,
}

/// Why a message is not sent. For the log: no address, no link, nothing that another server has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    GivenUp(String),
    Withdrawn(&'static str),
}

impl Unsent {
    /// Counts and logs it.
    pub(crate) fn note(&self) {
        let Self { kind, news, session, attempts, end } = self;
        let (channel, what) = (channel(*kind), news.name());
        match end {
            End::GivenUp(why) => {
                metrics::counter!("convene_messages_given_up_total", "channel" => channel, "what" => what).increment(1);
                tracing::warn!(channel, what, %session, attempts, why, "a message to somebody outside is given up");
            }
            End::Withdrawn(why) => {
                metrics::counter!("convene_messages_withdrawn_total", "channel" => channel, "what" => what)
                    .increment(1);
                tracing::info!(channel, what, %session, attempts, why, "a message to somebody outside is not needed any more");
            }
        }
    }
}

/// How metrics and logs name a kind of addresses.
pub(super) fn channel(kind: i16) -> &'static str {
    if kind == EMAIL { "mail" } else { "phone" }
}
