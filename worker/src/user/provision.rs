//! Users who are seen for the first time, made known from the claims of their token.

use shared::{
    api::timestamp::zone_named,
    internal::{ProfileClaims, Session},
};
use sqlx::PgConnection;

use crate::{directory::member::verified_email, social::address::older_email};

/// A claim with more characters says nothing. The longest e-mail address has 254.
const MOST_CHARACTERS: usize = 1000;

/// What keeps a proven e-mail address one user's in a network.
pub(super) const PROVEN_ONCE: &str = "members_by_verified_email";

/// Makes a user known in the network of his session, in one statement. Returns whether it was this call that did: of
/// several at once one is, and a user who is known already, deleted or of another network, stays as he is.
///
/// # Errors
/// The database's; a violation of [`PROVEN_ONCE`] when another user of the network has proven the same address.
pub(super) async fn provision(
    connection: &mut PgConnection,
    session: &Session,
    claims: &ProfileClaims,
) -> sqlx::Result<bool> {
    let email = email(&claims.email);
    let mut proven = verified_email(email.unwrap_or_default(), claims.email_verified);
    let older = proven.as_deref().and_then(older_email);
    if let Some(older) = &older
        && is_proven(connection, &session.network, older).await?
    {
        proven = None;
    }
    let inserted = sqlx::query(
        "WITH new_user AS (
             INSERT INTO users (id, network_ids, first_name, last_name, email, email_verified, phone_number,
                                phone_verified, avatar, time_zone)
             VALUES ($2, ARRAY[$1], $3, $4, $5, $6::text IS NOT NULL, $7, false, $8, $9)
             ON CONFLICT DO NOTHING
             RETURNING id
         ), proof AS (
             -- S10: what the address is invited to is claimed right after the commit.
             INSERT INTO social_provers (network_id, user_id)
             SELECT $1, id FROM new_user
             WHERE EXISTS (
                 SELECT FROM social_outsiders
                 WHERE network_id = $1 AND kind = 0 AND address IN ($6, $10) AND expires_at > statement_timestamp())
             ON CONFLICT DO NOTHING
         )
         INSERT INTO members (network_id, user_id, verified_email) SELECT $1, id, $6 FROM new_user",
    )
    .bind(&session.network)
    .bind(&session.user)
    .bind(text(&claims.given_name))
    .bind(text(&claims.family_name))
    .bind(email.unwrap_or_default())
    .bind(proven)
    .bind(text(&claims.phone_number))
    .bind(text(&claims.picture))
    .bind(zone(&claims.zoneinfo))
    .bind(older)
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() > 0)
}

/// Whether a user of the network has proven an address that stands there in its older form, which [`PROVEN_ONCE`] does not see.
async fn is_proven(connection: &mut PgConnection, network: &str, older: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM members WHERE network_id = $1 AND verified_email = $2)")
        .bind(network)
        .bind(older)
        .fetch_one(connection)
        .await
}

/// A text that can be kept, else nothing.
fn text(claim: &str) -> &str {
    let is_fitting = claim.chars().take(MOST_CHARACTERS + 1).count() <= MOST_CHARACTERS && !claim.contains('\0');
    if is_fitting { claim } else { "" }
}

/// The address, if it is one.
fn email(claim: &str) -> Option<&str> {
    let claim = text(claim).trim();
    let (local, domain) = claim.rsplit_once('@')?;
    let is_fitting = |c: char| !c.is_whitespace() && !c.is_control();
    (!local.is_empty() && !domain.is_empty() && claim.len() <= 254 && claim.chars().all(is_fitting)).then_some(claim)
}

/// The zone's name, if there is such a zone.
fn zone(claim: &str) -> String {
    let zone = if claim.is_empty() { None } else { zone_named(claim) };
    zone.and_then(|zone| zone.iana_name().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_that_make_no_sense_are_nothing() {
        assert_eq!(email(" Alice@example.org "), Some("Alice@example.org"));
        for claim in ["", "alice", "@example.org", "alice@", "a b@example.org", "a\0@example.org"] {
            assert_eq!(email(claim), None, "{claim:?}");
        }
        assert_eq!(email(&format!("{}@example.org", "a".repeat(250))), None);
        assert_eq!(zone("europe/berlin"), "Europe/Berlin");
        for claim in ["", "Berlin", "../etc/passwd", "Europe/Berlin\0"] {
            assert_eq!(zone(claim), "", "{claim:?}");
        }
        assert_eq!(text(&"ж".repeat(1000)).chars().count(), 1000);
        assert_eq!(text(&"ж".repeat(1001)), "");
    }
}
