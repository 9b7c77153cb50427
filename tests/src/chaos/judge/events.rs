//! What each socket received, held against the log.

use std::sync::Arc;

use super::log::{Log, Logged};
use crate::chaos::{
    leg::{Record, position},
    session::Session,
    tally::Tally,
};

/// How many events were received.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::chaos) struct Received {
    /// Moved after the socket was opened.
    pub(in crate::chaos) live: u64,
    pub(in crate::chaos) replayed: u64,
    pub(in crate::chaos) resyncs: u64,
    /// That a socket was told.
    pub(in crate::chaos) sockets: u64,
}

/// Every socket received, from where it began, exactly what the log has for its user, in that order, and an open one all of
/// it. As every socket begins where the session had got to, the session has each event once.
pub(super) fn judge(sessions: &[Arc<Session>], log: &Log, tally: &Tally) -> Received {
    let mut received = Received::default();
    for session in sessions {
        let key = (session.network.clone(), session.user.clone());
        let of_user = log.of_user.get(&key).map_or(&[][..], Vec::as_slice);
        let epoch = log.epochs.get(&session.network).map_or("", String::as_str);
        for leg in session.legs() {
            let record = leg.record();
            received.sockets += 1;
            received.resyncs += u64::from(record.resyncs);
            if let Err(what) = check(&record, of_user, epoch, &mut received) {
                tally.blame(format!("{session}, a socket on gateway {}: {what}", record.gateway));
            }
        }
    }
    received
}

fn check(record: &Record, of_user: &[Logged], epoch: &str, received: &mut Received) -> Result<(), String> {
    let Some(place) = &record.place else {
        return if record.events.is_empty() { Ok(()) } else { Err("events came before user_info".to_owned()) };
    };
    // Nothing is trimmed and no network is reset here.
    if record.resyncs > 0 {
        return Err(format!("resyncRequired, although {:?} is known", record.sent));
    }
    if record.sent.as_ref().is_some_and(|sent| sent != place) {
        return Err(format!("user_info begins at {place} and not at {:?}", record.sent));
    }
    let (its_epoch, start) = position(place);
    if its_epoch != epoch {
        return Err(format!("user_info is of the epoch {its_epoch} and not of {epoch}"));
    }
    let expected = &of_user[of_user.partition_point(|logged| logged.seen.position <= start)..];
    for (number, seen) in record.events.iter().enumerate() {
        match expected.get(number) {
            Some(logged) if logged.seen == *seen => {
                if logged.moved_at < record.opened {
                    received.replayed += 1;
                } else {
                    received.live += 1;
                }
            }
            Some(logged) => {
                let logged = logged.seen;
                return Err(format!("event {number} after {start} was {seen:?} and not {logged:?}"));
            }
            None => return Err(format!("event {number} after {start}, {seen:?}, is none of the user's")),
        }
    }
    if record.end.is_none() && record.events.len() < expected.len() {
        return Err(format!("received {} of {} events after {start}", record.events.len(), expected.len()));
    }
    Ok(())
}
