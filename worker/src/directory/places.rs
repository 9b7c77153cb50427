//! Room and prop lines.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use shared::api::directory::{PropLine, RoomLine};

use crate::{
    directory::{
        apply::{Upsert, Work},
        json, networks, rows, users,
    },
    error::Error,
};

impl Upsert for RoomLine {
    async fn check(work: &mut Work, lines: &[&Self]) -> Result<Vec<Option<String>>, Error> {
        let homes = homes_of_rooms(work, lines.iter().map(|line| line.id.as_str())).await?;
        let networks = networks::known(work, lines.iter().filter_map(|line| line.network_id.as_deref())).await?;
        let named = lines.iter().flat_map(|line| people(line));
        let users = users::known(work, named.map(|(_, user)| user)).await?;
        let verdict = |line: &&Self| {
            let home = homes.get(&line.id).map(String::as_str);
            check_home(line.network_id.as_deref(), home, &networks).or_else(|| {
                let (field, user) = people(line).find(|(_, user)| !users.contains(*user))?;
                Some(format!("{field}: unknown user {user}"))
            })
        };
        Ok(lines.iter().map(verdict).collect())
    }

    async fn write(work: &mut Work, lines: &[&Self]) -> Result<(), Error> {
        let columns = lines
            .iter()
            .map(|line| {
                Ok(RoomColumns {
                    id: &line.id,
                    network_id: line.network_id.as_deref(),
                    title: line.title.as_deref(),
                    thumbnail: json(line.thumbnail.as_ref())?,
                    owner_id: line.owner_id.as_deref(),
                    is_public: line.is_public,
                    viewers: line.viewers.as_deref(),
                })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let columns = rows(&columns)?;
        sqlx::query(
            "INSERT INTO rooms (network_id, id)
             SELECT network_id, id FROM json_populate_recordset(NULL::rooms, $1::json)
             WHERE network_id IS NOT NULL
             ORDER BY id
             ON CONFLICT DO NOTHING",
        )
        .bind(&columns)
        .execute(work.connection())
        .await?;
        let updated = sqlx::query(
            "UPDATE rooms r
             SET title = coalesce(l.title, r.title),
                 thumbnail = coalesce(l.thumbnail, r.thumbnail),
                 owner_id = coalesce(l.owner_id, r.owner_id),
                 is_public = coalesce(l.is_public, r.is_public),
                 viewers = coalesce(l.viewers, r.viewers),
                 updated_at = now(),
                 deleted_at = NULL
             FROM json_populate_recordset(NULL::rooms, $1::json) l
             WHERE r.id = l.id AND r.network_id = coalesce(l.network_id, r.network_id)",
        )
        .bind(&columns)
        .execute(work.connection())
        .await?;
        all_found(updated.rows_affected(), lines.len())
    }
}

/// Whom a room names, each with the field that does.
fn people(line: &RoomLine) -> impl Iterator<Item = (String, &str)> {
    let owner = line.owner_id.iter().filter(|owner| !owner.is_empty()).map(|owner| ("ownerId".to_owned(), owner));
    let viewers = line.viewers.iter().flatten().enumerate().map(|(index, user)| (format!("viewers[{index}]"), user));
    owner.chain(viewers).map(|(field, user)| (field, user.as_str()))
}

#[derive(Debug, Serialize)]
struct RoomColumns<'a> {
    id: &'a str,
    network_id: Option<&'a str>,
    title: Option<&'a str>,
    thumbnail: Option<String>,
    owner_id: Option<&'a str>,
    is_public: Option<bool>,
    viewers: Option<&'a [String]>,
}

impl Upsert for PropLine {
    async fn check(work: &mut Work, lines: &[&Self]) -> Result<Vec<Option<String>>, Error> {
        let homes: HashMap<String, String> = sqlx::query_as::<_, (String, String)>(
            "SELECT id, network_id FROM props WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE",
        )
        .bind(lines.iter().map(|line| line.id.as_str()).collect::<Vec<_>>())
        .fetch_all(work.connection())
        .await?
        .into_iter()
        .collect();
        let rooms = networks_of_rooms(work, lines).await?;
        let verdict = |line: &&Self| match (&line.room_id, homes.get(&line.id)) {
            (None, Some(_)) => None,
            (None, None) => Some("roomId: expected the room of a new prop".to_owned()),
            (Some(room), home) => match (rooms.get(room), home) {
                (None, _) => Some(format!("roomId: unknown room {room}")),
                (Some(network), Some(home)) if network != home => Some(format!("roomId: {room} is in another network")),
                (Some(_), _) => None,
            },
        };
        Ok(lines.iter().map(verdict).collect())
    }

    async fn write(work: &mut Work, lines: &[&Self]) -> Result<(), Error> {
        let rooms = networks_of_rooms(work, lines).await?;
        let columns: Vec<PropColumns<'_>> = lines
            .iter()
            .map(|line| PropColumns {
                id: &line.id,
                network_id: line.room_id.as_ref().and_then(|room| rooms.get(room)).map(String::as_str),
                room_id: line.room_id.as_deref(),
                title: line.title.as_deref(),
            })
            .collect();
        let columns = rows(&columns)?;
        sqlx::query(
            "INSERT INTO props (network_id, id, room_id)
             SELECT network_id, id, room_id FROM json_populate_recordset(NULL::props, $1::json)
             WHERE room_id IS NOT NULL
             ORDER BY id
             ON CONFLICT DO NOTHING",
        )
        .bind(&columns)
        .execute(work.connection())
        .await?;
        let updated = sqlx::query(
            "UPDATE props p
             SET room_id = coalesce(l.room_id, p.room_id),
                 title = coalesce(l.title, p.title),
                 updated_at = now(),
                 deleted_at = NULL
             FROM json_populate_recordset(NULL::props, $1::json) l
             WHERE p.id = l.id AND p.network_id = coalesce(l.network_id, p.network_id)",
        )
        .bind(&columns)
        .execute(work.connection())
        .await?;
        all_found(updated.rows_affected(), lines.len())
    }
}

#[derive(Debug, Serialize)]
struct PropColumns<'a> {
    id: &'a str,
    network_id: Option<&'a str>,
    room_id: Option<&'a str>,
    title: Option<&'a str>,
}

/// The networks of the rooms that the lines name.
async fn networks_of_rooms(work: &mut Work, lines: &[&PropLine]) -> Result<HashMap<String, String>, Error> {
    let rooms: HashSet<&str> = lines.iter().filter_map(|line| line.room_id.as_deref()).collect();
    let networks: Vec<(String, String)> = sqlx::query_as("SELECT id, network_id FROM rooms WHERE id = ANY ($1)")
        .bind(rooms.into_iter().collect::<Vec<_>>())
        .fetch_all(work.connection())
        .await?;
    Ok(networks.into_iter().collect())
}

/// The networks of rooms that are known; locked.
async fn homes_of_rooms<'a>(
    work: &mut Work,
    ids: impl Iterator<Item = &'a str>,
) -> Result<HashMap<String, String>, Error> {
    let homes: Vec<(String, String)> =
        sqlx::query_as("SELECT id, network_id FROM rooms WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE")
            .bind(ids.collect::<Vec<_>>())
            .fetch_all(work.connection())
            .await?;
    Ok(homes.into_iter().collect())
}

/// What is wrong with the network that a line gives to something. It never changes: what refers to it is there only.
pub(super) fn check_home(given: Option<&str>, home: Option<&str>, known: &HashSet<String>) -> Option<String> {
    match (given, home) {
        (None, None) => Some("networkId: expected the network of what is new".to_owned()),
        (Some(given), Some(home)) if given != home => Some("networkId: it is in another network".to_owned()),
        (Some(given), None) if !known.contains(given) => Some(format!("networkId: unknown network {given}")),
        _ => None,
    }
}

/// Fails like a constraint when something has come to be in another network since it was looked for.
pub(super) fn all_found(updated: u64, expected: usize) -> Result<(), Error> {
    if updated == expected as u64 { Ok(()) } else { Err(sqlx::Error::RowNotFound.into()) }
}

pub(super) async fn delete_rooms(work: &mut Work, ids: &[&str]) -> Result<(), Error> {
    sqlx::query("UPDATE rooms SET deleted_at = now() WHERE id = ANY ($1) AND deleted_at IS NULL")
        .bind(ids)
        .execute(work.connection())
        .await?;
    Ok(())
}

pub(super) async fn delete_props(work: &mut Work, ids: &[&str]) -> Result<(), Error> {
    sqlx::query("UPDATE props SET deleted_at = now() WHERE id = ANY ($1) AND deleted_at IS NULL")
        .bind(ids)
        .execute(work.connection())
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_needed_once_and_never_changes() {
        let known = HashSet::from(["demo".to_owned(), "other".to_owned()]);
        assert_eq!(check_home(Some("demo"), None, &known), None);
        assert_eq!(check_home(None, Some("demo"), &known), None);
        assert_eq!(check_home(Some("demo"), Some("demo"), &known), None);
        for (given, home) in [(None, None), (Some("other"), Some("demo")), (Some("nowhere"), None)] {
            let message = check_home(given, home, &known).expect("bad");
            assert!(message.starts_with("networkId: "), "{message}");
        }
    }
}
