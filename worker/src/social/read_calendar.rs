//! The calendar file of a session, for those who download it: rules I1 to I3. Gateways ask, for readers who have a session or
//! the link of an invitation.

use chrono::Utc;
use shared::internal::{CalendarFile, NoSession, ReadCalendar, Session};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    context::{Gateway, Read},
    error::Error,
    ics::{Attendee, Method, Person},
    object::object_id,
    social::{
        address::EMAIL,
        outsiders::{Occasion, Token},
    },
};

pub(crate) async fn handle(read: &mut Read<Gateway>, request: ReadCalendar) -> Result<CalendarFile, Error> {
    let zones = read.context().zones.clone();
    let connection = read.connection();
    let user = match &request.reader {
        Some(session) => User::of(connection, session).await?,
        // Gateways ask this of nobody.
        None => Err(NoSession::NotOfNetwork),
    };
    let user = match user {
        Ok(user) => Some(user),
        Err(_) if !request.invitation.is_empty() => None,
        Err(reason) => return Err(reason.into()),
    };
    let not_found = || Error::not_found("session");
    let id = object_id("session", &request.session_id)?;
    let mut reader = match (user, &request.reader) {
        (Some(user), Some(session)) => user.reader(connection, session, id).await?,
        _ => None,
    };
    if reader.is_none() {
        reader = Reader::by_link(connection, id, &request.invitation).await?;
    }
    let reader = reader.ok_or_else(not_found)?;
    let occasion = Occasion::load(connection, &zones, &[&reader.network], &[id]).await?.pop().ok_or_else(not_found)?;
    let outside = &read.context().config.outside;
    let url = outside.public_url.as_ref().map_or("", |url| url.as_str());
    let method = reader.method();
    let text = occasion.file(method, &outside.organizer(), url, Utc::now());
    Ok(CalendarFile { method: method.name().to_owned(), text })
}

/// A user of the network whose session is good.
#[derive(Debug)]
struct User {
    verified_email: Option<String>,
    name: String,
}

impl User {
    /// The user, or why his session lets nobody in.
    async fn of(connection: &mut PgConnection, session: &Session) -> Result<Result<Self, NoSession>, Error> {
        let found: Option<(bool, bool, Option<String>, Option<String>)> = sqlx::query_as(
            "SELECT EXISTS (SELECT FROM revoked_sessions r
                            WHERE r.sid = $3 AND r.revoked_at > now() - interval '30 days'),
                    u.id IS NOT NULL, m.verified_email, trim(u.first_name || ' ' || u.last_name)
             FROM networks n
             LEFT JOIN members m ON m.network_id = n.id AND m.user_id = $2
             LEFT JOIN users u ON u.id = m.user_id
             WHERE n.id = $1 AND n.deleted_at IS NULL",
        )
        .bind(&session.network)
        .bind(&session.user)
        .bind(&session.sid)
        .fetch_optional(connection)
        .await?;
        Ok(match found {
            None => Err(NoSession::UnknownNetwork),
            Some((true, ..)) => Err(NoSession::Revoked),
            Some((_, false, ..)) => Err(NoSession::NotOfNetwork),
            Some((_, _, verified_email, name)) => Ok(Self { verified_email, name: name.unwrap_or_default() }),
        })
    }

    /// I1: the owner, those who are invited or have joined, and whoever sees a public session.
    async fn reader(self, connection: &mut PgConnection, session: &Session, id: Uuid) -> Result<Option<Reader>, Error> {
        let standing: Option<(bool, bool)> = sqlx::query_as(
            "SELECT s.owner_id = $2, r.joined_at IS NOT NULL
             FROM social_session_rights r
             JOIN social_sessions s ON s.network_id = r.network_id AND s.id = r.session_id
             WHERE r.network_id = $1 AND r.user_id = $2 AND r.session_id = $3 AND r.sees
                 AND (s.owner_id = $2 OR r.role IS NOT NULL OR r.joined_at IS NOT NULL OR s.session_type = 0)",
        )
        .bind(&session.network)
        .bind(&session.user)
        .bind(id)
        .fetch_optional(connection)
        .await?;
        Ok(standing.map(|(is_owner, has_joined)| Reader {
            network: session.network.clone(),
            address: self.verified_email,
            name: self.name,
            is_owner,
            has_joined,
        }))
    }
}

/// Somebody who may have the file.
#[derive(Debug, Default)]
struct Reader {
    network: String,
    /// An e-mail address that is the reader's, if one is known to be.
    address: Option<String>,
    name: String,
    is_owner: bool,
    has_joined: bool,
}

impl Reader {
    /// Whoever has the link of an invitation that is still open. Reading uses nothing up (S10).
    async fn by_link(connection: &mut PgConnection, id: Uuid, invitation: &str) -> Result<Option<Self>, Error> {
        let Some(token) = Token::read(invitation) else { return Ok(None) };
        let found: Option<(String, Option<String>)> = sqlx::query_as(
            "SELECT network_id, CASE WHEN kind = $3 THEN address END
             FROM social_outsiders
             WHERE token_hashes @> ARRAY[$2] AND session_id = $1 AND expires_at > statement_timestamp()",
        )
        .bind(id)
        .bind(token.hash())
        .bind(EMAIL)
        .fetch_optional(connection)
        .await?;
        Ok(found.map(|(network, address)| Self { network, address, ..Self::default() }))
    }

    /// I2.
    fn method(&self) -> Method<'_> {
        match &self.address {
            Some(address) => Method::Request(Attendee {
                person: Person { name: &self.name, address },
                is_owner: self.is_owner,
                has_joined: self.is_owner || self.has_joined,
            }),
            None => Method::Publish,
        }
    }
}
