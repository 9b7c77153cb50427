//! `internal.directory.resetNetwork`: a new epoch. The gateway that asks tells the others.

use chrono::{DateTime, Utc};
use shared::{
    api::is_identifier,
    internal::{NetworkReset, ResetNetwork},
};

use crate::{
    directory::{apply::Work, new_epoch},
    error::Error,
};

pub(crate) async fn handle(work: &mut Work, request: ResetNetwork) -> Result<NetworkReset, Error> {
    // Networks of canaries have no clients to be sent back.
    if !is_identifier(&request.network) {
        return Err(Error::not_found("network"));
    }
    let epoch = new_epoch();
    let at: Option<DateTime<Utc>> = sqlx::query_scalar(
        "UPDATE networks SET epoch = $2 WHERE id = $1 AND deleted_at IS NULL RETURNING statement_timestamp()",
    )
    .bind(request.network)
    .bind(&epoch)
    .fetch_optional(work.connection())
    .await?;
    let at = at.ok_or_else(|| Error::not_found("network"))?;
    Ok(NetworkReset { epoch, at: at.into() })
}
