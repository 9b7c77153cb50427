//! Who has joined a session, in the order in which they have, a part at a time: rule S11. However many there are, a part of
//! them is read by `social_participants_joined` at the cost of that part.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::{error::Error, social::limits::MAX_LISTED_JOINED};

/// Somebody who has joined. Those who have joined at once are in the order that the database gives their identifiers: it is
/// never compared here.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub(crate) struct Joined {
    pub(crate) joined_at: DateTime<Utc>,
    pub(crate) user_id: String,
}

/// A session by its key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    pub(crate) network: &'a str,
    pub(crate) id: Uuid,
}

/// The first ones, or those who come after one of them: at most so many.
///
/// # Errors
/// The database's.
pub(crate) async fn after(
    connection: &mut PgConnection,
    key: Key<'_>,
    after: Option<&Joined>,
    most: usize,
) -> Result<Vec<Joined>, Error> {
    const FIRST: &str = "SELECT joined_at, user_id FROM social_participants
         WHERE network_id = $1 AND session_id = $2 AND joined_at IS NOT NULL
         ORDER BY joined_at, user_id LIMIT $3";
    const AFTER: &str = "SELECT joined_at, user_id FROM social_participants
         WHERE network_id = $1 AND session_id = $2 AND joined_at IS NOT NULL AND (joined_at, user_id) > ($4, $5)
         ORDER BY joined_at, user_id LIMIT $3";
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let part = sqlx::query_as(if after.is_some() { AFTER } else { FIRST }).bind(key.network).bind(key.id).bind(most);
    Ok(match after {
        None => part.fetch_all(connection).await?,
        Some(Joined { joined_at, user_id }) => part.bind(joined_at).bind(user_id).fetch_all(connection).await?,
    })
}

/// The last ones that one list shows, in order.
///
/// # Errors
/// The database's.
pub(crate) async fn last(connection: &mut PgConnection, key: Key<'_>) -> Result<Vec<Joined>, Error> {
    let mut part: Vec<Joined> = sqlx::query_as(
        "SELECT joined_at, user_id FROM social_participants
         WHERE network_id = $1 AND session_id = $2 AND joined_at IS NOT NULL
         ORDER BY joined_at DESC, user_id DESC LIMIT $3",
    )
    .bind(key.network)
    .bind(key.id)
    .bind(MAX_LISTED_JOINED as i64)
    .fetch_all(connection)
    .await?;
    part.reverse();
    Ok(part)
}

/// The first ones that one list shows, of each of these sessions.
///
/// # Errors
/// The database's.
pub(crate) async fn firsts(
    connection: &mut PgConnection,
    keys: impl IntoIterator<Item = Key<'_>>,
) -> Result<HashMap<Uuid, Vec<Joined>>, Error> {
    #[derive(FromRow)]
    struct Row {
        id: Uuid,
        #[sqlx(flatten)]
        joined: Joined,
    }
    let (networks, ids): (Vec<&str>, Vec<Uuid>) = keys.into_iter().map(|key| (key.network, key.id)).unzip();
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT s.id, p.joined_at, p.user_id
         FROM unnest($1::text[], $2::uuid[]) WITH ORDINALITY s (network_id, id, place)
         CROSS JOIN LATERAL (
             SELECT joined_at, user_id FROM social_participants
             WHERE network_id = s.network_id AND session_id = s.id AND joined_at IS NOT NULL
             ORDER BY joined_at, user_id LIMIT $3
         ) p
         ORDER BY s.place, p.joined_at, p.user_id",
    )
    .bind(networks)
    .bind(ids)
    .bind(MAX_LISTED_JOINED as i64)
    .fetch_all(connection)
    .await?;
    let mut firsts: HashMap<Uuid, Vec<Joined>> = HashMap::new();
    for Row { id, joined } in rows {
        firsts.entry(id).or_default().push(joined);
    }
    Ok(firsts)
}

/// Of these users, those who have joined, in order.
///
/// # Errors
/// The database's.
pub(crate) async fn among<'a>(
    connection: &mut PgConnection,
    key: Key<'_>,
    users: impl IntoIterator<Item = &'a String>,
) -> Result<Vec<Joined>, Error> {
    Ok(sqlx::query_as(
        "SELECT joined_at, user_id FROM social_participants
         WHERE network_id = $1 AND session_id = $2 AND user_id = ANY ($3) AND joined_at IS NOT NULL
         ORDER BY joined_at, user_id",
    )
    .bind(key.network)
    .bind(key.id)
    .bind(users.into_iter().collect::<Vec<_>>())
    .fetch_all(connection)
    .await?)
}

/// Some of those who have joined, and who is shown them: readers are among those who are shown, or have not joined.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) shown: Vec<Joined>,
    pub(crate) readers: Vec<String>,
}

/// Divides readers who have joined, in order, among lists: the first list, which is given, the last one, and as many
/// between them as are needed.
///
/// # Errors
/// The database's.
pub(crate) async fn lists(
    connection: &mut PgConnection,
    key: Key<'_>,
    first: Vec<Joined>,
    readers: Vec<Joined>,
) -> Result<Vec<List>, Error> {
    let (of_first, mut others) = divide(readers, &first);
    let mut lists = vec![list(first, of_first)];
    if others.is_empty() {
        return Ok(lists);
    }
    let last = last(&mut *connection, key).await?;
    let (of_last, between) = divide(others, &last);
    others = between;
    while let Some(reader) = others.first() {
        let mut shown = vec![reader.clone()];
        shown.extend(after(&mut *connection, key, Some(reader), MAX_LISTED_JOINED - 1).await?);
        let (of_these, further) = divide(others, &shown);
        lists.push(list(shown, of_these));
        others = further;
    }
    if !of_last.is_empty() {
        lists.push(list(last, of_last));
    }
    Ok(lists)
}

/// Those who are among others, and those who are not.
fn divide(readers: Vec<Joined>, others: &[Joined]) -> (Vec<Joined>, Vec<Joined>) {
    let others: HashSet<&str> = others.iter().map(|other| other.user_id.as_str()).collect();
    readers.into_iter().partition(|reader| others.contains(reader.user_id.as_str()))
}

fn list(shown: Vec<Joined>, readers: Vec<Joined>) -> List {
    List { shown, readers: readers.into_iter().map(|reader| reader.user_id).collect() }
}
