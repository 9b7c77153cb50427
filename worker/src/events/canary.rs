//! `internal.events.canary`: an event for the pod that asks, on the way of all events.

use shared::internal::{Canary, Empty, PARTITIONS, SendCanary};

use crate::{
    context::{Change, Gateway, to_json},
    directory::new_epoch,
    error::Error,
    outbox,
};

/// Leaves a canary in the outbox, and takes old ones out of the log.
///
/// # Errors
/// 400 for a partition that there is not, and the database's.
pub(crate) async fn handle(change: &mut Change<Gateway>, request: SendCanary) -> Result<Empty, Error> {
    let SendCanary { partition, pod, number } = request;
    if partition >= PARTITIONS {
        return Err(Error::bad_request("partition", format_args!("there are {PARTITIONS}")));
    }
    let payload = to_json(&Canary { number })?;
    sqlx::query(include_str!("canary.sql"))
        .bind(SendCanary::network(partition))
        .bind(partition.cast_signed())
        .bind(new_epoch())
        .bind(pod.as_str())
        .bind(SendCanary::EVENT)
        .bind(&payload)
        .bind(outbox::size(&[pod.as_str()], &payload))
        .execute(change.connection())
        .await?;
    change.wake(partition);
    Ok(Empty {})
}
