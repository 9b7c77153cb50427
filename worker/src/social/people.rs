//! Sessions with the people who belong to them, as each reader sees them: rules V5, S11.

use std::collections::{HashMap, HashSet};

use shared::api::{
    Avatar3D, UserSimple,
    social::{InvitedUser, SocialSession},
};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::{
    error::Error,
    social::{crowd::Key, session::Row},
};

/// `privacyMode` of those whom only some may know (V5).
const INCOGNITO: i64 = 1;

/// A session and who is invited to it. Those who have joined are read a part at a time: see [`crate::social::crowd`].
#[derive(Clone, Debug)]
pub(crate) struct Party {
    pub(crate) row: Row,
    /// With their roles, in the order in which they were invited.
    pub(crate) invited: Vec<(String, i16)>,
}

/// What a reader sees of incognito users (V5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Sight<'a> {
    /// The owner's and the managers'.
    All,
    /// Of incognito users at most oneself.
    Others(Option<&'a str>),
}

/// Where the part begins that is shown to one who stands in this place of a list of so many, when only `most` of them can
/// be. All whose parts begin with the same are shown the same.
///
/// Of two numbers of which one divides the other, the smaller gives a part of what the larger gives.
pub(crate) fn part_of_place(place: usize, listed: usize, most: usize) -> usize {
    (place / most * most).min(listed.saturating_sub(most))
}

/// At most so many of a list, from there on.
pub(crate) fn part(listed: &[String], start: usize, most: usize) -> &[String] {
    listed.get(start..listed.len().min(start + most)).unwrap_or_default()
}

impl Party {
    /// The sessions of these rows, in their order.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn load(connection: &mut PgConnection, rows: Vec<Row>) -> Result<Vec<Self>, Error> {
        let (networks, ids): (Vec<&str>, Vec<Uuid>) = rows.iter().map(|row| (row.network_id.as_str(), row.id)).unzip();
        let invited: Vec<(Uuid, String, i16)> = sqlx::query_as(
            "SELECT p.session_id, p.user_id, p.role
             FROM unnest($1::text[], $2::uuid[]) s (network_id, id)
             JOIN social_participants p ON p.network_id = s.network_id AND p.session_id = s.id AND p.role IS NOT NULL
             ORDER BY p.invited_no, p.user_id",
        )
        .bind(networks)
        .bind(ids)
        .fetch_all(connection)
        .await?;
        let mut all_invited: HashMap<Uuid, Vec<(String, i16)>> = HashMap::new();
        for (session, user, role) in invited {
            all_invited.entry(session).or_default().push((user, role));
        }
        let party = |row: Row| Self { invited: all_invited.remove(&row.id).unwrap_or_default(), row };
        Ok(rows.into_iter().map(party).collect())
    }

    /// Which session it is.
    pub(crate) fn key(&self) -> Key<'_> {
        Key { network: &self.row.network_id, id: self.row.id }
    }

    /// Who is shown with some of those who have joined.
    pub(crate) fn shown<'a>(&'a self, joined: &'a [String]) -> impl Iterator<Item = &'a str> {
        let invited = self.invited.iter().map(|(user, _)| user.as_str());
        std::iter::once(self.row.owner_id.as_str()).chain(invited).chain(joined.iter().map(String::as_str))
    }

    /// The session as a reader sees it, with some of those who have joined.
    pub(crate) fn session(&self, joined: &[String], sight: Sight<'_>, profiles: &Profiles) -> SocialSession {
        let Row { id, event_id, owner_id, is_valid, created_at, updated_at, content, .. } = self.row.clone();
        SocialSession {
            id: id.to_string(),
            created: created_at.into(),
            updated: updated_at.into(),
            event_id: event_id.map(|id| id.to_string()).unwrap_or_default(),
            owner: profiles.user(&owner_id),
            owner_id,
            room_id: content.room_id,
            prop_id: content.prop_id,
            session_type: content.session_type.into(),
            title: content.title,
            description: content.description,
            start_date: content.time.starts_at.into(),
            duration: content.time.seconds.into(),
            is_recurring: content.time.is_recurring,
            color: content.color.into(),
            is_valid,
            invited_users: self
                .invited
                .iter()
                .map(|(user, role)| InvitedUser { user: profiles.seen(user, sight), role: i64::from(*role) })
                .collect(),
            joined_users: joined.iter().map(|user| profiles.seen(user, sight)).collect(),
        }
    }
}

/// What is shown of users, by id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Profiles(HashMap<String, UserSimple>);

#[derive(Debug, FromRow)]
struct ProfileRow {
    id: String,
    first_name: String,
    last_name: String,
    privacy_mode: i64,
    avatar: String,
    avatar_3d: String,
    company_name: String,
    company_title: String,
}

impl Profiles {
    /// Of these users.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn load<'a>(
        connection: &mut PgConnection,
        users: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, Error> {
        let users: HashSet<&str> = users.into_iter().collect();
        let rows: Vec<ProfileRow> = sqlx::query_as(
            "SELECT id, first_name, last_name, privacy_mode, avatar, avatar_3d, company_name, company_title
             FROM users WHERE id = ANY ($1)",
        )
        .bind(users.into_iter().collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        rows.into_iter().map(|row| Ok((row.id.clone(), user_simple(row)?))).collect::<Result<_, _>>().map(Self)
    }

    /// Whether some of them are incognito.
    pub(crate) fn has_incognito(&self) -> bool {
        self.0.values().any(|user| user.privacy_mode == INCOGNITO)
    }

    fn user(&self, id: &str) -> UserSimple {
        self.0.get(id).cloned().unwrap_or_default()
    }

    fn seen(&self, id: &str, sight: Sight<'_>) -> UserSimple {
        let user = self.user(id);
        if user.privacy_mode != INCOGNITO || sight == Sight::All || sight == Sight::Others(Some(id)) {
            return user;
        }
        UserSimple { privacy_mode: INCOGNITO, ..UserSimple::default() }
    }
}

fn user_simple(row: ProfileRow) -> Result<UserSimple, Error> {
    let avatar_3d = if row.avatar_3d.is_empty() {
        Avatar3D::default()
    } else {
        serde_json::from_str(&row.avatar_3d)
            .map_err(|error| Error::internal(format!("the avatar of user {} cannot be read: {error}", row.id)))?
    };
    Ok(UserSimple {
        id: row.id,
        first_name: row.first_name,
        last_name: row.last_name,
        privacy_mode: row.privacy_mode,
        avatar: row.avatar,
        avatar_3d,
        company_name: row.company_name,
        company_title: row.company_title,
    })
}

#[cfg(test)]
mod tests;
