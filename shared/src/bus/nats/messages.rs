//! One subscription to NATS, and how it is left without losing a message.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use async_nats::{HeaderMap, Subscriber};
use futures::{Stream as _, StreamExt as _};
use tokio::sync::mpsc;

use super::Inbox;
use crate::bus::{HeaderName, Headers, Message, ReplyTo, Source};

/// How many messages are between the task that drains a subscription and whoever takes them.
const DRAIN_CAPACITY: usize = 64;

/// A subscription's messages.
pub(super) enum Messages {
    Live(Subscriber, Inbox),
    Draining(mpsc::Receiver<Message>),
    Ended,
}

impl Source for Messages {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Message>> {
        match self {
            Self::Live(subscriber, _) => Pin::new(subscriber).poll_next(context).map(|message| message.map(from_nats)),
            Self::Draining(messages) => messages.poll_recv(context),
            Self::Ended => Poll::Ready(None),
        }
    }

    fn stop(&mut self) {
        *self = match mem::replace(self, Self::Ended) {
            Self::Live(subscriber, inbox) => {
                let (sender, messages) = mpsc::channel(DRAIN_CAPACITY);
                tokio::spawn(drain(subscriber, inbox, sender));
                Self::Draining(messages)
            }
            stopped => stopped,
        };
    }
}

/// Ends the subscription at the server first, and here when everything that the server had sent by then has arrived.
///
/// async-nats' own drain forgets the subscription at the next thing that happens on the connection, and then throws away
/// what is still under way, which for a member of a queue group are requests that nobody else answers.
async fn drain(mut subscriber: Subscriber, inbox: Inbox, messages: mpsc::Sender<Message>) {
    // To async-nats this is "after so many more"; to the server, which reads nine digits at most, it is "now". One that read
    // more would go on until the subscription is ended here.
    if subscriber.unsubscribe_after(u64::MAX).await.is_ok() {
        let mut left = Box::pin(inbox.round_trip());
        loop {
            let message = tokio::select! {
                biased;
                _ = &mut left => break,
                message = subscriber.next() => message,
            };
            let Some(message) = message else { return };
            if messages.send(from_nats(message)).await.is_err() {
                return;
            }
        }
    }
    // Fails when the connection was closed for good, which ends it as well.
    let _ = subscriber.unsubscribe().await;
    while let Some(message) = subscriber.next().await {
        if messages.send(from_nats(message)).await.is_err() {
            return;
        }
    }
}

/// A message as it was received.
pub(super) fn from_nats(message: async_nats::Message) -> Message {
    Message {
        subject: message.subject.into_string(),
        headers: message.headers.as_ref().map(headers_from_nats).unwrap_or_default(),
        payload: message.payload,
        reply: message.reply.map(|subject| ReplyTo(subject.into_string())),
    }
}

fn headers_from_nats(map: &HeaderMap) -> Headers {
    HeaderName::ALL.iter().fold(Headers::new(), |headers, name| match map.get(name.as_str()) {
        // One with a control character is none of ours.
        Some(value) => headers.clone().with(*name, value.as_str()).unwrap_or(headers),
        None => headers,
    })
}
