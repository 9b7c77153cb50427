//! Sending what is due: rule S10. Every worker that serves `social` does, each message being one worker's at a time; a bounded
//! number is under way at once.
//!
//! | metric | what |
//! | --- | --- |
//! | `convene_messages_waiting` | to be sent or being sent, by `channel` |
//! | `convene_messages_sent_total` | by `channel` and `what` |
//! | `convene_messages_failed_total` | attempts that are to be made again, by `channel` |
//! | `convene_messages_given_up_total` | refused for good, or in vain for a day, by `channel` and `what` |

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use shared::{lifecycle::Shutdown, telemetry::Outage};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Outside,
    context::Context,
    database::Pool,
    social::{
        address::{EMAIL, PHONE},
        outsiders::{
            letter::{Says, Sender},
            queue::{self, Content, Outcome, Parcel},
            sms::{Message, Webhook},
            smtp::Server,
            words,
        },
    },
};

/// So many messages of each channel a worker sends at once.
const MOST_AT_ONCE: usize = 8;

/// How often a worker looks for what is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// An attempt takes at most so long. Some mail servers think long before they say yes, and whoever does not wait sends twice.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(90);

/// Pause after the first failure; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// The longest time between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Pauses before what has become of an attempt is written once more, where the database is away.
const FINISH_PAUSES: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(9)];

/// How often it is counted what waits.
const COUNT_EVERY: Duration = Duration::from_secs(15);

/// Why something was not sent.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) verdict: Verdict,
    /// For the log: no address, no link, nothing that another server has written.
    pub(super) why: String,
}

/// Whether it is worth another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    NotNow,
    Never,
}

/// How one kind of address is reached.
#[derive(Clone, Debug)]
enum Channel {
    Mail { server: Server, sender: Sender },
    Phone { webhook: Webhook, public_url: String },
}

/// Sends what is due, until it is to drain; then what is under way is finished.
pub(crate) async fn run(context: Arc<Context>, shutdown: Shutdown) {
    let Outside { smtp_url, smtp_from, sms_webhook_url, sms_webhook_secret, public_url } = &context.config.outside;
    let public_url = public_url.as_ref().map(|url| url.as_str().to_owned());
    let mail = match (smtp_url, smtp_from, &public_url) {
        (Some(url), Some(from), Some(public_url)) => Server::new(url).map(|server| {
            let sender = Sender { from: from.clone(), public_url: public_url.clone() };
            Some(Channel::Mail { server, sender })
        }),
        _ => Ok(None),
    };
    let phone = match (sms_webhook_url, sms_webhook_secret, &public_url) {
        (Some(url), Some(secret), Some(public_url)) => {
            Webhook::new(url, secret).map(|webhook| Some(Channel::Phone { webhook, public_url: public_url.clone() }))
        }
        _ => Ok(None),
    };
    // What cannot be sent waits, and is counted.
    let usable = |channel: anyhow::Result<Option<Channel>>| {
        channel.unwrap_or_else(|error| {
            tracing::error!(error = format!("{error:#}"), "nothing can be sent to people outside");
            None
        })
    };
    let channels = [usable(mail), usable(phone)].into_iter().flatten();
    let delivering = channels.map(|channel| deliver(&context.pool, channel, &shutdown.drain));
    let work = async {
        tokio::join!(futures::future::join_all(delivering), count(&context.pool, &shutdown.drain));
    };
    tokio::select! {
        () = shutdown.stop.cancelled() => {}
        () = work => {}
    }
}

async fn deliver(pool: &Pool, channel: Channel, drain: &CancellationToken) {
    let mut under_way = JoinSet::new();
    let outage = Outage::new();
    while !drain.is_cancelled() {
        match queue::take(pool, channel.kind(), MOST_AT_ONCE - under_way.len()).await {
            Ok(parcels) => {
                outage.worked();
                for parcel in parcels {
                    under_way.spawn(attempt(pool.clone(), channel.clone(), parcel));
                }
            }
            // It is still due the next time.
            Err(error) => {
                if let Some(seconds) = outage.failed(&error) {
                    tracing::warn!(%error, seconds, "cannot look for what is to be sent");
                }
            }
        }
        tokio::select! {
            () = drain.cancelled() => {}
            () = sleep(LOOK_EVERY.mul_f64(rand::random_range(0.5..1.5))), if under_way.len() < MOST_AT_ONCE => {}
            Some(_) = under_way.join_next() => {}
        }
    }
    while under_way.join_next().await.is_some() {}
}

async fn attempt(pool: Pool, channel: Channel, parcel: Parcel) {
    let outcome = match timeout(ATTEMPT_TIMEOUT, channel.send(&parcel)).await {
        Ok(sent) => sent,
        Err(_) => Err(Failure { verdict: Verdict::NotNow, why: "no answer in time".to_owned() }),
    };
    let (name, what, session) = (channel.name(), what(&parcel), parcel.session_id());
    let attempts = parcel.attempts();
    let outcome = match outcome {
        Ok(()) => {
            metrics::counter!("convene_messages_sent_total", "channel" => name, "what" => what).increment(1);
            Outcome::Sent
        }
        Err(failure) if failure.verdict == Verdict::Never || parcel.is_last_attempt() => {
            metrics::counter!("convene_messages_given_up_total", "channel" => name, "what" => what).increment(1);
            let why = failure.why;
            tracing::warn!(channel = name, what, %session, attempts, why, "a message to somebody outside is given up");
            Outcome::GivenUp
        }
        Err(failure) => {
            metrics::counter!("convene_messages_failed_total", "channel" => name).increment(1);
            let why = failure.why;
            tracing::info!(channel = name, what, %session, attempts, why, "a message to somebody outside is not sent yet");
            Outcome::Later(pause(attempts).mul_f64(rand::random_range(0.75..1.25)))
        }
    };
    let mut pauses = FINISH_PAUSES.into_iter();
    while let Err(error) = queue::finish(&pool, &parcel, outcome).await {
        let Some(pause) = pauses.next() else {
            return tracing::warn!(%error, %session, "what has become of a message is forgotten: it is sent again");
        };
        sleep(pause).await;
    }
}

impl Channel {
    fn kind(&self) -> i16 {
        match self {
            Self::Mail { .. } => EMAIL,
            Self::Phone { .. } => PHONE,
        }
    }

    fn name(&self) -> &'static str {
        name(self.kind())
    }

    async fn send(&self, parcel: &Parcel) -> Result<(), Failure> {
        let never = || Failure { verdict: Verdict::Never, why: "it cannot be written".to_owned() };
        let (now, occasion) = (Utc::now(), &parcel.occasion);
        match (self, &parcel.content) {
            (Self::Mail { server, sender }, content) => {
                let link;
                let says = match content {
                    Content::Invitation { token, .. } => {
                        link = self.link(parcel, &token.reveal());
                        Says::Invited { link: &link }
                    }
                    Content::Cancellation => Says::Cancelled,
                };
                let mail = sender.write(parcel.address(), parcel.message_id(), says, occasion, now);
                server.send(mail.map_err(|_| never())?).await
            }
            (Self::Phone { webhook, .. }, Content::Invitation { token, .. }) => {
                let link = self.link(parcel, &token.reveal());
                let text = words::short_invitation(occasion, &link, now);
                webhook.send(&Message { to: parcel.address(), text: &text, link: &link }).await
            }
            // Nobody is called about what is no more.
            (Self::Phone { .. }, Content::Cancellation) => Err(never()),
        }
    }

    /// Where an invitation is read, and what claims it.
    fn link(&self, parcel: &Parcel, token: &str) -> String {
        let (Self::Mail { sender: Sender { public_url, .. }, .. } | Self::Phone { public_url, .. }) = self;
        format!("{public_url}/api/v0/resource/sessionInvitation/{}?invitation={token}", parcel.session_id())
    }
}

fn name(kind: i16) -> &'static str {
    if kind == EMAIL { "mail" } else { "phone" }
}

fn what(parcel: &Parcel) -> &'static str {
    match parcel.content {
        Content::Invitation { .. } => "invitation",
        Content::Cancellation => "cancellation",
    }
}

/// After so many attempts have failed.
fn pause(attempts: u32) -> Duration {
    LONGEST_PAUSE.min(FIRST_PAUSE.saturating_mul(1 << attempts.saturating_sub(1).min(16)))
}

async fn count(pool: &Pool, drain: &CancellationToken) {
    loop {
        // What cannot be counted now is counted the next time.
        if let Ok(waiting) = queue::waiting(pool).await {
            for kind in [EMAIL, PHONE] {
                let waiting = waiting.get(&kind).copied().unwrap_or_default();
                metrics::gauge!("convene_messages_waiting", "channel" => name(kind)).set(waiting as f64);
            }
        }
        tokio::select! {
            () = drain.cancelled() => return,
            () = sleep(COUNT_EVERY) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour() {
        let seconds: Vec<u64> = (1..=13).map(|attempts| pause(attempts).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}
