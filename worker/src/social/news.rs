//! What those who belong to a session are told of it: rules V5, S11.
//!
//! Everything here is called under the session's lock, after the change that is told (I1). Texts differ by what a reader may
//! know of incognito users and, where more have joined than are listed, by the part of them that he belongs to; who sees the
//! same receives the same row of the outbox.

mod pending;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use shared::api::{
    MAX_EVENT_BYTES,
    social::{SessionData, SessionUpdated, SocialSession},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    context::{Change, json_bytes},
    error::Error,
    social::{
        limits::{LISTED_JOINED, MANY_JOINED, MAX_LISTED_JOINED},
        people::{Party, Profiles, Sight},
        reading,
    },
};

pub(crate) use pending::run;

/// Tells everyone who belongs to the session how it is now, and `removed`, who belonged to it before.
///
/// # Errors
/// 413 when the invited alone are too large for an event.
pub(crate) async fn tell_all<C>(
    change: &mut Change<C>,
    network: &str,
    id: Uuid,
    removed: &[String],
) -> Result<(), Error> {
    let party = load(change.connection(), network, id).await?;
    if party.joined.len() >= MANY_JOINED {
        pending::forget(change.connection(), network, id).await?;
    }
    tell(change, &party, everyone(&party, removed)).await
}

/// Tells that some have joined or declined, as [`tell_all`]; where there are many, those who merely joined are told later.
///
/// # Errors
/// As [`tell_all`].
pub(crate) async fn tell_of_joins<C>(
    change: &mut Change<C>,
    network: &str,
    id: Uuid,
    concerned: &[String],
) -> Result<(), Error> {
    let party = load(change.connection(), network, id).await?;
    // As many as there were when one of them has declined, too.
    let most = party.joined.len() + concerned.iter().filter(|user| !party.joined.contains(user)).count();
    let is_everyones = most <= MANY_JOINED || pending::is_due(change.connection(), network, id).await?;
    let recipients = if is_everyones { everyone(&party, concerned) } else { at_once(&party, concerned) };
    tell(change, &party, recipients).await
}

async fn load(connection: &mut PgConnection, network: &str, id: Uuid) -> Result<Party, Error> {
    let row = reading::row(connection, network, id).await?;
    Party::load(connection, vec![row]).await?.pop().ok_or_else(|| Error::not_found("session"))
}

fn everyone(party: &Party, others: &[String]) -> BTreeSet<String> {
    let mut recipients = at_once(party, others);
    recipients.extend(party.joined.iter().cloned());
    recipients
}

/// All but those who merely joined.
fn at_once(party: &Party, concerned: &[String]) -> BTreeSet<String> {
    let invited = party.invited.iter().map(|(user, _)| user);
    std::iter::once(&party.row.owner_id).chain(invited).chain(concerned).cloned().collect()
}

/// Those who merely joined.
fn merely_joined(party: &Party) -> BTreeSet<String> {
    let at_once = at_once(party, &[]);
    party.joined.iter().filter(|user| !at_once.contains(*user)).cloned().collect()
}

async fn tell<C>(change: &mut Change<C>, party: &Party, recipients: BTreeSet<String>) -> Result<(), Error> {
    let places: HashMap<&str, usize> = party.joined.iter().map(String::as_str).zip(0..).collect();
    let place = |user: &str| places.get(user).copied().unwrap_or(0);
    let windows: HashSet<_> =
        recipients.iter().map(|user| party.window_of_place(place(user), MAX_LISTED_JOINED)).collect();
    let shown: HashSet<&str> = windows.iter().flat_map(|window| party.shown(window.clone())).collect();
    let profiles = Profiles::load(change.connection(), shown).await?;
    // Who sees them matters only where there are some.
    let knowing =
        if profiles.has_incognito() { knowing(change.connection(), party, &recipients).await? } else { HashSet::new() };

    for most in LISTED_JOINED {
        let mut readers: BTreeMap<(usize, Sight<'_>), Vec<&String>> = BTreeMap::new();
        for user in &recipients {
            let sight = if knowing.contains(user) { Sight::All } else { Sight::Others(None) };
            readers.entry((party.window_of_place(place(user), most).start, sight)).or_default().push(user);
        }
        // Very long names make more texts, each of fewer people. What still does not fit is refused below.
        let is_too_large = |&(start, sight)| is_too_large(&text(party, start, most, sight, &profiles));
        if most > 1 && readers.keys().map(is_too_large).collect::<Result<Vec<_>, _>>()?.contains(&true) {
            continue;
        }
        let is_many = readers.len() > 2;
        for ((start, sight), readers) in readers {
            let data = SessionData { session: text(party, start, most, sight, &profiles) };
            change.emit_in(&party.row.network_id, readers.into_iter().cloned(), &SessionUpdated(data))?;
            if is_many {
                // However many have joined, the event of a few of them is held at once.
                change.write_events().await?;
            }
        }
        break;
    }
    Ok(())
}

fn is_too_large(session: &SocialSession) -> Result<bool, Error> {
    /// What stands around it.
    const ENVELOPE_BYTES: usize = 64;
    Ok(json_bytes(session)? + ENVELOPE_BYTES > MAX_EVENT_BYTES)
}

fn text(party: &Party, start: usize, most: usize, sight: Sight<'_>, profiles: &Profiles) -> SocialSession {
    party.session(&(start..party.joined.len().min(start + most)), sight, profiles)
}

/// Of these users, those who see incognito users: the owner, and the event's managers.
async fn knowing(
    connection: &mut PgConnection,
    party: &Party,
    users: &BTreeSet<String>,
) -> Result<HashSet<String>, Error> {
    let mut knowing = HashSet::from([party.row.owner_id.clone()]);
    if let Some(event) = party.row.event_id {
        let managers: Vec<String> = sqlx::query_scalar(
            "SELECT user_id FROM social_event_rights
             WHERE network_id = $1 AND event_id = $2 AND user_id = ANY ($3) AND manages",
        )
        .bind(&party.row.network_id)
        .bind(event)
        .bind(users.iter().collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        knowing.extend(managers);
    }
    Ok(knowing)
}
