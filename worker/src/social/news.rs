//! What those who belong to a session are told of it: rules V5, S11.
//!
//! Everything here is called under the session's lock, after the change that is told (I1). Texts differ by what a reader may
//! know of incognito users and, where more have joined than are listed, by the part of them that he belongs to; who sees the
//! same receives the same row of the outbox.
//!
//! A join costs the same however many have joined before: those to whom it is told at once are few, and what each of them is
//! shown is read without the others. Everyone is told some at a time: by the change itself where the rules say so, else by
//! `pending`.

mod pending;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use shared::api::{
    MAX_EVENT_BYTES,
    social::{SessionData, SessionUpdated, SocialSession},
};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::{
    context::{Change, json_bytes},
    error::Error,
    social::{
        crowd::{self, Joined},
        limits::{LISTED_JOINED, MANY_JOINED, MAX_LISTED_JOINED, TOLD_AT_ONCE},
        people::{Party, Profiles, Sight, part, part_of_place},
        session::Row,
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
    let (party, first) = load(change, network, id, TOLD_AT_ONCE).await?;
    let at_once = at_once(&party, removed);
    let step = Step::with(change.connection(), &party, true, first).await?;
    let is_many = step.joined.len() >= MANY_JOINED;
    let mut next = step.next();
    let later = match next {
        Some(_) => crowd::among(change.connection(), party.key(), &at_once).await?,
        None => Vec::new(),
    };
    let joined: HashSet<&str> = step.joined.iter().chain(&later).map(|joined| joined.user_id.as_str()).collect();
    let others = at_once.iter().filter(|user| !joined.contains(user.as_str())).cloned().collect();
    step.tell(change, &party, others, |_| true).await?;
    while let Some(last) = next {
        let step = Step::after(change.connection(), &party, Some(&last)).await?;
        step.tell(change, &party, BTreeSet::new(), |_| true).await?;
        next = step.next();
    }
    if is_many {
        pending::forget(change.connection(), network, id).await?;
    }
    Ok(())
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
    let (party, mut first) = load(change, network, id, MAX_LISTED_JOINED + 1).await?;
    let mut readers = at_once(&party, concerned);
    if first.len() <= MAX_LISTED_JOINED {
        let listed: Vec<String> = first.into_iter().map(|joined| joined.user_id).collect();
        // As many as there were when one of them has declined, too.
        let most = listed.len() + concerned.iter().filter(|user| !listed.contains(user)).count();
        if most <= MANY_JOINED || pending::is_due(change.connection(), network, id).await? {
            readers.extend(listed.iter().cloned());
        }
        return tell(change, &party, &listed, readers).await;
    }
    pending::put_off(change.connection(), network, id).await?;
    first.truncate(MAX_LISTED_JOINED);
    let joined = crowd::among(change.connection(), party.key(), &readers).await?;
    for reader in &joined {
        readers.remove(&reader.user_id);
    }
    for list in crowd::lists(change.connection(), party.key(), first, joined).await? {
        let listed: Vec<String> = list.shown.into_iter().map(|joined| joined.user_id).collect();
        // Who has not joined is shown the first ones.
        let readers = std::mem::take(&mut readers).into_iter().chain(list.readers).collect();
        tell(change, &party, &listed, readers).await?;
    }
    Ok(())
}

/// The session, who is invited to it, and the first ones who have joined, in one statement.
async fn load<C>(change: &mut Change<C>, network: &str, id: Uuid, most: usize) -> Result<(Party, Vec<Joined>), Error> {
    #[derive(FromRow)]
    struct Loaded {
        #[sqlx(flatten)]
        row: Row,
        invited: Vec<String>,
        roles: Vec<i16>,
        joined: Vec<String>,
        joined_at: Vec<DateTime<Utc>>,
    }
    let loaded: Loaded = sqlx::query_as(
        "SELECT d.*,
                ARRAY(SELECT user_id FROM social_participants
                      WHERE network_id = $1 AND session_id = $2 AND role IS NOT NULL
                      ORDER BY invited_no, user_id) AS invited,
                ARRAY(SELECT role FROM social_participants
                      WHERE network_id = $1 AND session_id = $2 AND role IS NOT NULL
                      ORDER BY invited_no, user_id) AS roles,
                ARRAY(SELECT user_id FROM social_participants
                      WHERE network_id = $1 AND session_id = $2 AND joined_at IS NOT NULL
                      ORDER BY joined_at, user_id LIMIT $3) AS joined,
                ARRAY(SELECT joined_at FROM social_participants
                      WHERE network_id = $1 AND session_id = $2 AND joined_at IS NOT NULL
                      ORDER BY joined_at, user_id LIMIT $3) AS joined_at
         FROM social_session_details d
         WHERE d.network_id = $1 AND d.id = $2",
    )
    .bind(network)
    .bind(id)
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .fetch_optional(change.connection())
    .await?
    .ok_or_else(|| Error::not_found("session"))?;
    let row = loaded.row.shown(&change.context().zones);
    let joined = loaded.joined.into_iter().zip(loaded.joined_at);
    let joined = joined.map(|(user_id, joined_at)| Joined { joined_at, user_id }).collect();
    Ok((Party { row, invited: loaded.invited.into_iter().zip(loaded.roles).collect() }, joined))
}

/// All but those who merely joined.
fn at_once(party: &Party, concerned: &[String]) -> BTreeSet<String> {
    let invited = party.invited.iter().map(|(user, _)| user);
    std::iter::once(&party.row.owner_id).chain(invited).chain(concerned).cloned().collect()
}

/// Some of those who have joined, told at once: each the five hundred among which he is.
struct Step {
    is_first: bool,
    joined: Vec<Joined>,
    /// What the last ones are shown, when they are fewer than a list and not the first.
    last: Option<Vec<String>>,
}

impl Step {
    /// The first ones, or those who come after one of them.
    async fn after(connection: &mut PgConnection, party: &Party, after: Option<&Joined>) -> Result<Self, Error> {
        let joined = crowd::after(&mut *connection, party.key(), after, TOLD_AT_ONCE).await?;
        Self::with(connection, party, after.is_none(), joined).await
    }

    async fn with(
        connection: &mut PgConnection,
        party: &Party,
        is_first: bool,
        joined: Vec<Joined>,
    ) -> Result<Self, Error> {
        let has_rest = !joined.len().is_multiple_of(MAX_LISTED_JOINED);
        let last = if has_rest && (!is_first || joined.len() > MAX_LISTED_JOINED) {
            let last = crowd::last(connection, party.key()).await?;
            Some(last.into_iter().map(|joined| joined.user_id).collect())
        } else {
            None
        };
        Ok(Self { is_first, joined, last })
    }

    /// The last of them, when others may come after him.
    fn next(&self) -> Option<Joined> {
        self.joined.last().filter(|_| self.joined.len() == TOLD_AT_ONCE).cloned()
    }

    /// Tells those of them whom `is_told` names; and others, who have not joined, with the first of all.
    async fn tell<C>(
        &self,
        change: &mut Change<C>,
        party: &Party,
        mut others: BTreeSet<String>,
        is_told: impl Fn(&str) -> bool,
    ) -> Result<(), Error> {
        if self.joined.is_empty() && self.is_first {
            return tell(change, party, &[], others).await;
        }
        let is_many = self.joined.len() > 2 * MAX_LISTED_JOINED;
        for joined in self.joined.chunks(MAX_LISTED_JOINED) {
            let users: Vec<String> = joined.iter().map(|joined| joined.user_id.clone()).collect();
            let mut readers = std::mem::take(&mut others);
            readers.extend(users.iter().filter(|user| is_told(user)).cloned());
            let listed = self.last.as_ref().filter(|_| users.len() < MAX_LISTED_JOINED).unwrap_or(&users);
            tell(change, party, listed, readers).await?;
            if is_many {
                // However many have joined, the event of a few of them is held at once.
                change.write_events().await?;
            }
        }
        Ok(())
    }
}

/// Tells readers how the session is. Those who have joined are all among those who are `listed`.
async fn tell<C>(
    change: &mut Change<C>,
    party: &Party,
    listed: &[String],
    readers: BTreeSet<String>,
) -> Result<(), Error> {
    if readers.is_empty() {
        return Ok(());
    }
    let places: HashMap<&str, usize> = listed.iter().map(String::as_str).zip(0..).collect();
    let place = |user: &str| places.get(user).copied().unwrap_or(0);
    let profiles = Profiles::load(change.connection(), party.shown(listed)).await?;
    // Who sees them matters only where there are some.
    let knowing =
        if profiles.has_incognito() { knowing(change.connection(), party, &readers).await? } else { HashSet::new() };

    for most in LISTED_JOINED {
        let mut texts: BTreeMap<(usize, Sight<'_>), Vec<&String>> = BTreeMap::new();
        for user in &readers {
            let sight = if knowing.contains(user) { Sight::All } else { Sight::Others(None) };
            texts.entry((part_of_place(place(user), listed.len(), most), sight)).or_default().push(user);
        }
        let text = |&(start, sight): &(usize, _)| party.session(part(listed, start, most), sight, &profiles);
        // Very long names make more texts, each of fewer people. What still does not fit is refused below.
        let is_too_large = |key| is_too_large(&text(key));
        if most > 1 && texts.keys().map(is_too_large).collect::<Result<Vec<_>, _>>()?.contains(&true) {
            continue;
        }
        let is_many = texts.len() > 2;
        for (key, readers) in texts {
            let data = SessionData { session: text(&key) };
            change.emit_in(&party.row.network_id, readers.into_iter().cloned(), &SessionUpdated(data))?;
            if is_many {
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
