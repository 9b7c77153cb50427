//! Brings one socket from where it begins to listen to where its network's stream is.

use std::{sync::Arc, time::Duration};

use metrics::counter;
use shared::{
    api::Close,
    internal::{Position, ReadPage},
};

use super::{
    Member, Signal, Start,
    log::{Attach, FRAME_BYTES},
};
use crate::{hub::Socket, transport::PushedEvent};

/// How long to wait after a question that nobody answered.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Queues everything that the socket's user has missed since `start`, then attaches the socket, so that it lacks nothing and
/// gets nothing twice (I8). Returns early when the socket is ending. `head` is that of its `user_info`.
pub async fn catch_up(member: &Member, start: Start, head: Position) {
    let socket = &member.socket;
    let mut cursor = start.cursor;
    if start.resync {
        counter!("convene_resyncs_total").increment(1);
        socket.outbox.push([socket.protocol.resync_required()]);
    }
    while socket.outbox.ending().is_none() {
        let attached = member.stream.lock().try_attach(socket, cursor);
        match attached {
            Attach::Done => return,
            Attach::OtherEpoch => {
                if !is_of_the_streams_epoch(member, socket).await {
                    return;
                }
            }
            Attach::Page => cursor = read_page(member, socket, cursor, head).await,
        }
    }
}

/// Queues one page and returns the cursor behind it.
async fn read_page(member: &Member, socket: &Socket, cursor: Position, head: Position) -> Position {
    socket.outbox.below_half().await;
    counter!("convene_event_page_reads_total").increment(1);
    let (network, user) = (member.stream.network.clone(), socket.session.user.clone());
    let page = match member.streams.workers.ask(&ReadPage { network, user, after: cursor }).await {
        Ok(page) => page,
        Err(error) => {
            tracing::debug!(%error, "no answer about a page of events");
            tokio::time::sleep(ASK_AGAIN).await;
            return cursor;
        }
    };
    if *page.epoch != *socket.epoch {
        socket.end(Close::NetworkReset);
        return cursor;
    }
    if page.trimmed > cursor {
        counter!("convene_resyncs_total").increment(1);
        socket.outbox.push([socket.protocol.resync_required()]);
        return head.max(page.trimmed);
    }
    let events: Vec<Arc<PushedEvent>> = page
        .events
        .into_iter()
        .map(|event| Arc::new(PushedEvent::new(&page.epoch, event.position, event.body, event.trace_parent)))
        .collect();
    counter!("convene_events_replayed_total").increment(events.len() as u64);
    for event in &events {
        // A page may be more than the socket's queue takes, and a client that reads all the time is not slow.
        socket.outbox.room_for(event.data.get().len() + FRAME_BYTES).await;
        socket.push_events([event]);
    }
    page.through.max(cursor)
}

/// Waits until the stream has read its epoch anew. When the socket's is still another one, that one is over.
async fn is_of_the_streams_epoch(member: &Member, socket: &Socket) -> bool {
    let mut read = member.stream.epoch_read.subscribe();
    // The first reading may have been under way before the socket came with a newer epoch; the second was not.
    let mut readings = 0;
    while readings < 2 && socket.outbox.ending().is_none() {
        let _ = member.stream.signals.try_send(Signal::Ask);
        if tokio::time::timeout(2 * ASK_AGAIN, read.changed()).await.is_ok() {
            readings += 1;
        }
        if *member.stream.lock().epoch() == socket.epoch {
            return true;
        }
    }
    socket.end(Close::NetworkReset);
    false
}
