//! `social:inviteUsersToSession`: rules S8, S10.

use shared::api::{NoData, social::InviteUsersToSessionRequest};

use crate::{
    context::Change,
    error::Error,
    object::object_id,
    social::{
        invite::Named,
        news,
        standing::{Standing, lock_checked, look_as_caller, touch},
    },
};

pub(crate) async fn handle(change: &mut Change, request: InviteUsersToSessionRequest) -> Result<NoData, Error> {
    let id = object_id("session", &request.session_id)?;
    // Who may not is told nothing of those whom he names.
    look_as_caller(change, id).await?.managers_only()?;
    let invited = Named::read(&request.users_to_invite)?.resolve(change).await?;
    lock_checked(change, id, Standing::managers_only).await?;
    if invited.write(change, id).await? {
        touch(change, id).await?;
        let network = change.session().network.clone();
        news::tell_all(change, &network, id, &[]).await?;
    }
    Ok(NoData)
}
