//! `internal.events.heads`: the newest positions of networks.

use shared::internal::{Head, Heads, ReadHeads};

use crate::{
    context::{Gateway, Read},
    error::Error,
};

/// Reads the heads; networks that nobody knows are left out.
///
/// # Errors
/// 400 for more than [`ReadHeads::MOST`], and the database's.
pub(crate) async fn handle(read: &mut Read<Gateway>, request: ReadHeads) -> Result<Heads, Error> {
    if request.networks.len() > ReadHeads::MOST {
        return Err(Error::bad_request("networks", format_args!("more than {}", ReadHeads::MOST)));
    }
    let heads: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT n.id, n.epoch, coalesce((SELECT max(position) FROM event_log WHERE network_id = n.id), 0)
         FROM networks n
         WHERE n.id = ANY ($1)",
    )
    .bind(request.networks)
    .fetch_all(read.connection())
    .await?;
    let heads = heads.into_iter().map(|(network, epoch, head)| Head { network, epoch, head: head.cast_unsigned() });
    Ok(Heads { heads: heads.collect() })
}
