//! The beat: every few seconds a pod says that its sockets live, and learns which of them should not.
//!
//! Whatever control message was lost, the beat makes good: a session that a newer socket has, one that was revoked, a user
//! who has left.

use std::{sync::Arc, time::Duration};

use metrics::counter;
use shared::{api::Close, internal::CheckSessions, presence::Renewal};

use crate::{Gateway, hub::Socket};

/// Beats until the process stops.
pub async fn run(gateway: Arc<Gateway>) {
    let mut disturbances = gateway.control.disturbances();
    loop {
        beat(&gateway).await;
        // Pods that were started together do not beat together.
        let pause = gateway.beat.mul_f64(rand::random_range(0.9..=1.0));
        tokio::select! {
            () = gateway.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => (),
            // A control message may have been lost: look at once, but not for each of many.
            _ = disturbances.changed() => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

async fn beat(gateway: &Gateway) {
    let outage = &gateway.outages.announcements;
    match gateway.presence.announce(&gateway.pod).await {
        Ok(()) => drop(outage.worked()),
        Err(error) => {
            if let Some(seconds) = outage.failed(&error) {
                tracing::warn!(%error, seconds, "this pod could not say that it lives");
            }
        }
    }
    let sockets = gateway.hub.select(|socket| socket.outbox.ending().is_none());
    for sockets in sockets.chunks(CheckSessions::MOST) {
        renew(gateway, sockets).await;
        check(gateway, sockets).await;
    }
}

async fn renew(gateway: &Gateway, sockets: &[Arc<Socket>]) {
    let entries = sockets.iter().map(|socket| socket.entry(&gateway.pod)).collect();
    match gateway.presence.renew(entries).await {
        Ok(renewals) => {
            gateway.outages.renewals.worked();
            for (socket, renewal) in sockets.iter().zip(renewals) {
                if renewal == Renewal::Lost {
                    counter!("convene_sessions_lost_total").increment(1);
                    socket.end(Close::Replaced);
                }
            }
        }
        // Open sockets go on; their entries are claimed again when presence is back.
        Err(error) => {
            if let Some(seconds) = gateway.outages.renewals.failed(&error) {
                tracing::warn!(%error, seconds, "sessions could not be renewed");
            }
        }
    }
}

async fn check(gateway: &Gateway, sockets: &[Arc<Socket>]) {
    let sessions = sockets.iter().map(|socket| socket.session.clone()).collect();
    match gateway.workers.ask(&CheckSessions { sessions }).await {
        Ok(answer) => {
            for socket in answer.ended.into_iter().filter_map(|index| sockets.get(index)) {
                socket.end(Close::Revoked);
            }
        }
        Err(error) => tracing::debug!(%error, "sessions could not be checked"),
    }
}
