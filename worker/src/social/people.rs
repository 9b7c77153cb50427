//! Sessions with the people who belong to them, as each reader sees them: rules V5, S11.

use std::collections::{HashMap, HashSet};

use shared::api::{
    Avatar3D, UserSimple,
    social::{InvitedUser, SocialSession},
};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::{error::Error, social::session::Row};

/// `privacyMode` of those whom only some may know (V5).
const INCOGNITO: i64 = 1;

/// A session and who belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Party {
    pub(crate) row: Row,
    /// With their roles, in the order in which they were invited.
    pub(crate) invited: Vec<(String, i16)>,
    /// In the order in which they have joined.
    pub(crate) joined: Vec<String>,
}

/// A part of those who have joined, which is shown to some readers.
pub(crate) type Window = std::ops::Range<usize>;

/// What a reader sees of incognito users (V5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Sight<'a> {
    /// The owner's and the managers'.
    All,
    /// Of incognito users at most oneself.
    Others(Option<&'a str>),
}

#[derive(Debug, FromRow)]
struct Person {
    session_id: Uuid,
    user_id: String,
    role: Option<i16>,
    invited_no: Option<i32>,
    has_joined: bool,
}

impl Party {
    /// The sessions of these rows, in their order.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn load(connection: &mut PgConnection, rows: Vec<Row>) -> Result<Vec<Self>, Error> {
        let (networks, ids): (Vec<&str>, Vec<Uuid>) = rows.iter().map(|row| (row.network_id.as_str(), row.id)).unzip();
        let people: Vec<Person> = sqlx::query_as(
            "SELECT p.session_id, p.user_id, p.role, p.invited_no, p.joined_at IS NOT NULL AS has_joined
             FROM unnest($1::text[], $2::uuid[]) s (network_id, id)
             JOIN social_participants p ON p.network_id = s.network_id AND p.session_id = s.id
             ORDER BY p.joined_at, p.user_id",
        )
        .bind(networks)
        .bind(ids)
        .fetch_all(connection)
        .await?;
        let mut all_invited: HashMap<Uuid, Vec<(Option<i32>, String, i16)>> = HashMap::new();
        let mut all_joined: HashMap<Uuid, Vec<String>> = HashMap::new();
        for Person { session_id, user_id, role, invited_no, has_joined } in people {
            if let Some(role) = role {
                all_invited.entry(session_id).or_default().push((invited_no, user_id.clone(), role));
            }
            if has_joined {
                all_joined.entry(session_id).or_default().push(user_id);
            }
        }
        let party = |row: Row| {
            let mut invited = all_invited.remove(&row.id).unwrap_or_default();
            invited.sort_unstable();
            let invited = invited.into_iter().map(|(_, user, role)| (user, role)).collect();
            Self { invited, joined: all_joined.remove(&row.id).unwrap_or_default(), row }
        };
        Ok(rows.into_iter().map(party).collect())
    }

    /// Which of those who have joined are shown to one of them, or to somebody else: at most so many, himself among them.
    /// All whose windows begin with the same are shown the same.
    pub(crate) fn window(&self, reader: &str, most: usize) -> Window {
        let place = self.joined.iter().position(|user| user == reader).unwrap_or(0);
        self.window_of_place(place, most)
    }

    /// As [`Party::window`], of the one who has joined in that place.
    ///
    /// Of two numbers of which one divides the other, the smaller gives a part of what the larger gives.
    pub(crate) fn window_of_place(&self, place: usize, most: usize) -> Window {
        let start = (place / most * most).min(self.joined.len().saturating_sub(most));
        start..self.joined.len().min(start + most)
    }

    /// Who is shown with a window.
    pub(crate) fn shown(&self, window: Window) -> impl Iterator<Item = &str> {
        let invited = self.invited.iter().map(|(user, _)| user.as_str());
        let joined = self.joined.get(window).into_iter().flatten().map(String::as_str);
        std::iter::once(self.row.owner_id.as_str()).chain(invited).chain(joined)
    }

    /// The session as a reader sees it.
    pub(crate) fn session(&self, window: &Window, sight: Sight<'_>, profiles: &Profiles) -> SocialSession {
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
            joined_users: self
                .joined
                .get(window.clone())
                .into_iter()
                .flatten()
                .map(|user| profiles.seen(user, sight))
                .collect(),
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
