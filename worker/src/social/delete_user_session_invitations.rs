//! `social:deleteUserSessionInvitations`: rules S8, S10.

use shared::api::{NoData, social::DeleteUserSessionInvitationsRequest};
use uuid::Uuid;

use crate::{
    context::Change,
    error::Error,
    object::object_id,
    social::{
        address::Address,
        news, outsiders,
        session::PRIVATE,
        standing::{Standing, lock_checked, touch},
    },
};

pub(crate) async fn handle(change: &mut Change, request: DeleteUserSessionInvitationsRequest) -> Result<NoData, Error> {
    let id = object_id("session", &request.session_id)?;
    let session = change.session().clone();
    let users = request.users_to_invite;
    let is_ones_own = users.iter().all(|user| *user == session.user);
    let may = |standing: &Standing| if is_ones_own { Ok(()) } else { standing.managers_only() };
    let standing = lock_checked(change, id, may).await?;
    if standing.manages {
        // The text may be a user's id as well.
        let addresses: Vec<Address> = users.iter().filter_map(|text| Address::of_any_kind(text)).collect();
        outsiders::remove(change, id, &addresses).await?;
    }
    let removed = remove(change, id, &users, standing.content.session_type == PRIVATE).await?;
    if !removed.is_empty() {
        touch(change, id).await?;
        news::tell_all(change, &session.network, id, &removed).await?;
    }
    Ok(NoData)
}

/// Takes invitations back, and returns whose. Those who are not invited stay as they are.
async fn remove(change: &mut Change, id: Uuid, users: &[String], is_private: bool) -> Result<Vec<String>, Error> {
    let network = change.session().network.clone();
    // What is left of a private session without an invitation is nothing.
    Ok(sqlx::query_scalar(
        "WITH gone AS (
             DELETE FROM social_participants
             WHERE network_id = $1 AND session_id = $2 AND user_id = ANY ($3) AND role IS NOT NULL
                 AND ($4 OR joined_at IS NULL)
             RETURNING user_id
         ), stay AS (
             UPDATE social_participants SET role = NULL, invited_no = NULL
             WHERE network_id = $1 AND session_id = $2 AND user_id = ANY ($3) AND role IS NOT NULL
                 AND NOT ($4 OR joined_at IS NULL)
             RETURNING user_id
         )
         SELECT user_id FROM gone UNION ALL SELECT user_id FROM stay ORDER BY user_id",
    )
    .bind(network)
    .bind(id)
    .bind(users)
    .bind(is_private)
    .fetch_all(change.connection())
    .await?)
}
