//! `internal.user.connect`: everything that a gateway must know before it accepts an upgrade.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use shared::{
    api::{
        Timestamp, from_json, is_identifier,
        user::{Network, Permissions, User, UserInfo},
    },
    internal::{Connect, Connected, NoSession, Partition, ProfileClaims, Session},
};
use sqlx::{Connection as _, FromRow, PgConnection, Row as _, postgres::PgRow};

use super::provision;
use crate::{
    context::{Gateway, Read, to_json},
    error::Error,
};

/// Reads a session's network, user and counts, and draws its fence. A user who was never seen is made known first, from
/// the token's claims, where `auto-provision` is on.
///
/// # Errors
/// 401 with a [`NoSession`] when the network is unknown, the user is not of it, or the session was revoked.
pub(crate) async fn handle(read: &mut Read<Gateway>, request: Connect) -> Result<Connected, Error> {
    let Connect { session, claims } = request;
    if !is_identifier(&session.network) || !is_identifier(&session.user) || session.sid.contains('\0') {
        return Err(NoSession::NotOfNetwork.into());
    }
    let may_provision = read.context().config.auto_provision;
    let connection = read.connection();
    let mut found = look(connection, &session).await?;
    let mut is_new = false;
    if !found.is_known && !found.is_revoked && may_provision {
        (found, is_new) = provision(connection, &session, &claims).await?;
    }
    if found.is_revoked {
        return Err(NoSession::Revoked.into());
    }
    if !found.is_member {
        return Err(NoSession::NotOfNetwork.into());
    }
    let user_info = UserInfo { is_new, ..found.user_info };
    let user_info = RawValue::from_string(to_json(&user_info)?)
        .map_err(|error| Error::internal(format!("user_info is no JSON: {error}")))?;
    Ok(Connected {
        user_info,
        partition: found.partition,
        epoch: found.epoch,
        head: found.head.cast_unsigned(),
        fence: found.fence.cast_unsigned(),
    })
}

/// Makes the user known and looks again, in one transaction: who was made known must be told that he is new.
async fn provision(
    connection: &mut PgConnection,
    session: &Session,
    claims: &ProfileClaims,
) -> Result<(Found, bool), Error> {
    let mut claims = claims.clone();
    loop {
        let mut transaction = connection.begin().await?;
        let is_new = match provision::provision(&mut transaction, session, &claims).await {
            Err(sqlx::Error::Database(error)) if error.constraint() == Some(provision::PROVEN_ONCE) => {
                transaction.rollback().await?;
                claims.email_verified = false;
                continue;
            }
            outcome => outcome?,
        };
        let found = look(&mut transaction, session).await?;
        transaction.commit().await.map_err(Error::InDoubt)?;
        return Ok((found, is_new));
    }
}

async fn look(connection: &mut PgConnection, session: &Session) -> Result<Found, Error> {
    let row = sqlx::query(include_str!("connect.sql"))
        .bind(&session.network)
        .bind(&session.user)
        .bind(&session.sid)
        .fetch_optional(connection)
        .await?
        .ok_or(NoSession::UnknownNetwork)?;
    let mut found = Found::from_row(&row)?;
    found.user_info.network.id = session.network.clone();
    if found.is_known {
        found.user_info.user = user(&row)?;
        found.user_info.user_settings = json(&row, "settings")?;
    }
    Ok(found)
}

/// What the statement has found.
struct Found {
    is_known: bool,
    is_member: bool,
    is_revoked: bool,
    user_info: UserInfo,
    partition: Partition,
    epoch: String,
    head: i64,
    fence: i64,
}

impl FromRow<'_, PgRow> for Found {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            is_known: row.try_get("is_known")?,
            is_member: row.try_get("is_member")?,
            is_revoked: row.try_get("is_revoked")?,
            user_info: UserInfo {
                user: User::default(),
                network: Network {
                    id: String::new(),
                    created: timestamp(row, "network_created_at")?,
                    updated: timestamp(row, "network_updated_at")?,
                    full_name: row.try_get("network_full_name")?,
                    kind: row.try_get("network_type")?,
                    thumbnail: row.try_get("network_thumbnail")?,
                    parent_network_id: row.try_get("network_parent_id")?,
                },
                network_state: json(row, "network_state")?,
                network_defaults: json(row, "network_defaults")?,
                presentation_domain: row.try_get("network_presentation_domain")?,
                studio_domain: row.try_get("network_studio_domain")?,
                share_domain: row.try_get("network_share_domain")?,
                load_balancer_url: row.try_get("network_load_balancer_url")?,
                ..UserInfo::default()
            },
            partition: row.try_get::<i16, _>("network_partition")?.cast_unsigned(),
            epoch: row.try_get("network_epoch")?,
            head: row.try_get("head")?,
            fence: row.try_get("fence")?,
        })
    }
}

/// The columns of `users`, and the counts.
fn user(row: &PgRow) -> sqlx::Result<User> {
    Ok(User {
        id: row.try_get("id")?,
        created: timestamp(row, "created_at")?,
        updated: timestamp(row, "updated_at")?,
        company_name: row.try_get("company_name")?,
        company_title: row.try_get("company_title")?,
        first_name: row.try_get("first_name")?,
        last_name: row.try_get("last_name")?,
        birthday: row.try_get("birthday")?,
        hometown: row.try_get("hometown")?,
        education: row.try_get("education")?,
        zip_code: row.try_get("zip_code")?,
        description: row.try_get("description")?,
        link_url: row.try_get("link_url")?,
        privacy_mode: row.try_get("privacy_mode")?,
        avatar: row.try_get("avatar")?,
        avatar_3d: json(row, "avatar_3d")?,
        params: json(row, "params")?,
        identity_type: row.try_get("identity_type")?,
        identity_name: row.try_get("identity_name")?,
        z_address: row.try_get("z_address")?,
        public_room_count: row.try_get("public_room_count")?,
        contact_count: row.try_get("contact_count")?,
        pending_contact_count: row.try_get("pending_contact_count")?,
        new_invitations_count: row.try_get("new_invitations_count")?,
        pending_request_count: row.try_get("pending_request_count")?,
        new_notifications_count: row.try_get("new_notifications_count")?,
        ideal_match_count: row.try_get("ideal_match_count")?,
        email: row.try_get("email")?,
        email_verified: row.try_get("email_verified")?,
        phone_number: row.try_get("phone_number")?,
        permissions: Permissions { admin: row.try_get("is_admin")?, developer: row.try_get("is_developer")? },
        user_roles: json(row, "user_roles")?,
    })
}

fn timestamp(row: &PgRow, column: &str) -> sqlx::Result<Timestamp> {
    Ok(Timestamp::from(row.try_get::<DateTime<Utc>, _>(column)?))
}

/// A column that keeps the directory's JSON as text; empty: nothing is set.
fn json<T: DeserializeOwned>(row: &PgRow, column: &'static str) -> sqlx::Result<T> {
    let text: String = row.try_get(column)?;
    from_json(column, &text)
        .map_err(|error| sqlx::Error::ColumnDecode { index: column.to_owned(), source: error.into() })
}
