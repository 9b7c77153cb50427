//! `social:getSession`: rules S4, S5, V5.

use shared::api::social::{SessionData, SessionId};

use crate::{
    context::Read,
    error::Error,
    object::object_id,
    social::{reading, standing::look},
};

pub(crate) async fn handle(read: &mut Read, request: SessionId) -> Result<SessionData, Error> {
    let id = object_id("session", &request.session_id)?;
    let session = read.session().clone();
    let zones = read.context().zones.clone();
    let mut snapshot = read.snapshot().await?;
    let standing = look(&mut snapshot, &session.network, &session.user, id).await?;
    let seen = reading::read_one(&mut snapshot, &zones, &session, id, standing.manages).await?;
    snapshot.rollback().await?;
    Ok(SessionData { session: seen })
}
