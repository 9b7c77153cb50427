//! `social:deleteSession`: rule S8.

use shared::api::{
    NoData,
    social::{SessionDeleted, SessionId},
};

use crate::{
    context::Change,
    error::Error,
    object::object_id,
    social::{
        delete_event::delete,
        standing::{Standing, lock_checked},
    },
};

pub(crate) async fn handle(change: &mut Change, request: SessionId) -> Result<NoData, Error> {
    let id = object_id("session", &request.session_id)?;
    lock_checked(change, id, Standing::managers_only).await?;
    let network = change.session().network.clone();
    for (_, members) in delete(change, &network, &[id]).await? {
        change.emit(members, &SessionDeleted(request.clone()))?;
    }
    Ok(NoData)
}
