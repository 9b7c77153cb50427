//! Sending what is due: rule S10. Every worker that serves `social` does, each message being one worker's at a time; a bounded
//! number is under way at once.
//!
//! | metric | what |
//! | --- | --- |
//! | `convene_messages_waiting` | to be sent or being sent, by `channel` |
//! | `convene_messages_sent_total` | by `channel` and `what` |
//! | `convene_messages_failed_total` | attempts that are to be made again, by `channel` |
//! | those of `ending` | what is not sent |

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use shared::{lifecycle::Shutdown, telemetry::Outage};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{InvitationUrl, Outside},
    context::Context,
    database::Pool,
    social::{
        address::{EMAIL, PHONE},
        outsiders::{
            ending::{End, channel},
            letter::Sender,
            queue::{self, Content, Invitation, Outcome, Parcel, Written},
            sms::{Message, Webhook},
            smtp::Server,
            words::{self, Link},
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
struct Channel {
    by: By,
    /// Where people reach us.
    public_url: String,
    /// Where the application receives people.
    invitation_url: Option<InvitationUrl>,
    /// Between two invitations of an address to a session.
    pause: Duration,
}

#[derive(Clone, Debug)]
enum By {
    Mail { server: Server, sender: Sender },
    Phone { webhook: Webhook },
}

/// Sends what is due, until it is to drain; then what is under way is finished.
pub(crate) async fn run(context: Arc<Context>, shutdown: Shutdown) {
    let channels = channels(&context.config.outside);
    let delivering = channels.map(|channel| deliver(&context, channel, &shutdown.drain));
    let work = async {
        tokio::join!(futures::future::join_all(delivering), count(&context.pool, &shutdown.drain));
    };
    tokio::select! {
        () = shutdown.stop.cancelled() => {}
        () = work => {}
    }
}

/// Those that the settings make; what is for another one waits, and is counted.
fn channels(outside: &Outside) -> impl Iterator<Item = Channel> {
    let public_url = outside.public_url.as_ref().map(|url| url.as_str().to_owned());
    let mail = match (&outside.smtp_url, &outside.smtp_from, &public_url) {
        (Some(url), Some(from), Some(public_url)) => Some(Server::new(url).map(|server| {
            let sender = Sender { from: from.clone(), public_url: public_url.clone() };
            By::Mail { server, sender }
        })),
        _ => None,
    };
    let phone = match (&outside.sms_webhook_url, &outside.sms_webhook_secret) {
        (Some(url), Some(secret)) => Some(Webhook::new(url, secret).map(|webhook| By::Phone { webhook })),
        _ => None,
    };
    [mail, phone].into_iter().flatten().filter_map(move |by| {
        let public_url = public_url.clone()?;
        let by = by
            .inspect_err(|error| tracing::error!(error = format!("{error:#}"), "nothing can be sent to people outside"))
            .ok()?;
        let (invitation_url, pause) = (outside.invitation_url.clone(), outside.invitation_pause);
        Some(Channel { by, public_url, invitation_url, pause })
    })
}

async fn deliver(context: &Context, channel: Channel, drain: &CancellationToken) {
    let mut under_way = JoinSet::new();
    let outage = Outage::new();
    while !drain.is_cancelled() {
        match queue::take(context, channel.kind(), MOST_AT_ONCE - under_way.len()).await {
            Ok(parcels) => {
                outage.worked();
                for parcel in parcels {
                    under_way.spawn(attempt(context.pool.clone(), channel.clone(), parcel));
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
    let (name, what, session) = (channel.name(), parcel.news().name(), parcel.session_id());
    let attempts = parcel.attempts();
    let mut unsent = None;
    let outcome = match outcome {
        Ok(()) => {
            metrics::counter!("convene_messages_sent_total", "channel" => name, "what" => what).increment(1);
            Outcome::Sent
        }
        Err(failure) if failure.verdict == Verdict::Never || parcel.is_last_attempt() => {
            unsent = Some(parcel.unsent(End::GivenUp(failure.why)));
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
    let written = loop {
        match queue::finish(&pool, &parcel, outcome, channel.pause).await {
            Ok(written) => break written,
            Err(error) => {
                let Some(pause) = pauses.next() else {
                    return tracing::warn!(%error, %session, "what has become of a message is forgotten: it is sent again");
                };
                sleep(pause).await;
            }
        }
    };
    match written {
        Written::Done => {}
        Written::Withdrawn => {
            unsent = Some(parcel.unsent(End::Withdrawn("the session was deleted, or the invitation taken back")));
        }
        // It is another attempt's to say.
        Written::Lost => unsent = None,
    }
    if let Some(unsent) = unsent {
        unsent.note();
    }
}

impl Channel {
    fn kind(&self) -> i16 {
        match self.by {
            By::Mail { .. } => EMAIL,
            By::Phone { .. } => PHONE,
        }
    }

    fn name(&self) -> &'static str {
        channel(self.kind())
    }

    async fn send(&self, parcel: &Parcel) -> Result<(), Failure> {
        let (now, news, occasion) = (Utc::now(), parcel.news(), &parcel.occasion);
        let url;
        let link = match &parcel.content {
            Content::Invitation(invitation) => {
                url = self.link(parcel, invitation);
                let is_application = self.invitation_url.is_some();
                Some(Link { url: &url, is_application, expires_at: invitation.expires_at })
            }
            Content::Cancellation { .. } => None,
        };
        match &self.by {
            By::Mail { server, sender } => {
                let mail = sender.write(parcel.address(), parcel.message_id(), news, link, occasion, now);
                let unwritable = |_| Failure { verdict: Verdict::Never, why: "it cannot be written".to_owned() };
                server.send(mail.map_err(unwritable)?).await
            }
            By::Phone { webhook } => {
                let text = words::short(occasion, news, link, now);
                let link = link.map_or("", |link| link.url);
                webhook.send(&Message { to: parcel.address(), text: &text, link }).await
            }
        }
    }

    /// What claims an invitation: where the application receives people, else where the calendar file is read.
    fn link(&self, parcel: &Parcel, invitation: &Invitation) -> String {
        let (session, token) = (parcel.session_id(), invitation.token.reveal());
        match &self.invitation_url {
            Some(url) => url.link(session, &token),
            None => format!("{}/api/v0/resource/sessionInvitation/{session}?invitation={token}", self.public_url),
        }
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
                metrics::gauge!("convene_messages_waiting", "channel" => channel(kind)).set(waiting as f64);
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
