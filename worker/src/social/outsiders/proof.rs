//! Invitations that are claimed because the directory says that a user has proven their address: rule S10. At once, in the
//! transaction that says so; bit by bit where there are very many.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use shared::{lifecycle::Shutdown, telemetry::Outage};
use sqlx::FromRow;
use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    context::{Change, Context, Gateway},
    database::Lease,
    error::Error,
    social::{
        address::forms,
        invite::{highest, invite_users},
        news,
    },
};

/// A user of a network who may have proven addresses.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub(crate) struct Prover {
    pub(crate) network_id: String,
    pub(crate) user_id: String,
}

/// So many invitations are claimed at once, and told session by session.
const PORTION: usize = 100;

/// A request claims so many portions itself.
const PORTIONS_AT_ONCE: usize = 4;

/// How often a worker looks for what was left.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One transaction goes on with at most so many users.
const MOST_PROVERS: i64 = 100;

/// So many invitations at most are looked at once more by one statement.
const MOST_RECHECKED: i64 = 1000;

/// Claims what the users are invited to by addresses that they have proven, or remembers that it is still to be done. Their
/// rows of `members` are locked.
///
/// # Errors
/// The database's.
pub(crate) async fn begin<C>(change: &mut Change<C>, provers: &[Prover]) -> Result<(), Error> {
    if claim(change, provers, PORTIONS_AT_ONCE).await? {
        return Ok(());
    }
    let (networks, users) = columns(provers);
    sqlx::query(
        "INSERT INTO social_provers (network_id, user_id) SELECT * FROM unnest($1::text[], $2::text[])
         ON CONFLICT DO NOTHING",
    )
    .bind(networks)
    .bind(users)
    .execute(change.connection())
    .await?;
    Ok(())
}

/// Addresses that users have proven, each in all [`forms`], at the same places.
#[derive(Debug, Default)]
struct Proven {
    networks: Vec<String>,
    users: Vec<String>,
    kinds: Vec<i16>,
    addresses: Vec<String>,
}

impl Proven {
    async fn read<C>(change: &mut Change<C>, provers: &[Prover]) -> Result<Self, Error> {
        let (networks, users) = columns(provers);
        let rows: Vec<(String, String, i16, String)> = sqlx::query_as(include_str!("provers.sql"))
            .bind(networks)
            .bind(users)
            .fetch_all(change.connection())
            .await?;
        let mut proven = Self::default();
        for (network, user, kind, address) in rows {
            for form in forms(kind, &address) {
                proven.networks.push(network.clone());
                proven.users.push(user.clone());
                proven.kinds.push(kind);
                proven.addresses.push(form);
            }
        }
        Ok(proven)
    }
}

/// Claims so many portions. Returns whether that is all.
async fn claim<C>(change: &mut Change<C>, provers: &[Prover], portions: usize) -> Result<bool, Error> {
    let proven = Proven::read(change, provers).await?;
    if proven.addresses.is_empty() {
        return Ok(true);
    }
    for _ in 0..portions {
        let found: Vec<(String, Uuid, i16, String, String)> = sqlx::query_as(include_str!("proven.sql"))
            .bind(&proven.networks)
            .bind(&proven.users)
            .bind(&proven.kinds)
            .bind(&proven.addresses)
            .bind(PORTION as i64)
            .fetch_all(change.connection())
            .await?;
        let count = found.len();
        let mut sessions: BTreeMap<(String, Uuid), Holders> = BTreeMap::new();
        for (network, session, kind, address, user) in found {
            // Where several have proven the same, the first of them has it.
            sessions.entry((network, session)).or_default().entry((kind, address)).or_insert(user);
        }
        give(change, sessions).await?;
        if count < PORTION {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Kinds and addresses, and who has proven each.
type Holders = BTreeMap<(i16, String), String>;

async fn give<C>(change: &mut Change<C>, sessions: BTreeMap<(String, Uuid), Holders>) -> Result<(), Error> {
    if sessions.is_empty() {
        return Ok(());
    }
    let (networks, ids): (Vec<&str>, Vec<Uuid>) =
        sessions.keys().map(|(network, session)| (network.as_str(), *session)).unzip();
    // In order, and before anything of the sessions is read that others change: they are waited for.
    sqlx::query(
        "SELECT FROM social_sessions
         WHERE (network_id, id) IN (SELECT * FROM unnest($1::text[], $2::uuid[]))
         ORDER BY network_id, id
         FOR UPDATE",
    )
    .bind(networks)
    .bind(ids)
    .execute(change.connection())
    .await?;
    for ((network, id), holders) in sessions {
        give_one(change, &network, id, &holders).await?;
    }
    Ok(())
}

async fn give_one<C>(change: &mut Change<C>, network: &str, id: Uuid, holders: &Holders) -> Result<(), Error> {
    let (kinds, addresses): (Vec<i16>, Vec<&str>) =
        holders.keys().map(|(kind, address)| (*kind, address.as_str())).unzip();
    // What was claimed or taken back meanwhile is not found any more.
    let claimed: Vec<(i16, String, i16)> = sqlx::query_as(
        "DELETE FROM social_outsiders
         WHERE network_id = $1 AND session_id = $2
             AND (kind, address) IN (SELECT * FROM unnest($3::smallint[], $4::text[]))
         RETURNING kind, address, role",
    )
    .bind(network)
    .bind(id)
    .bind(kinds)
    .bind(addresses)
    .fetch_all(change.connection())
    .await?;
    let users = claimed
        .into_iter()
        .filter_map(|(kind, address, role)| Some((holders.get(&(kind, address))?.clone(), role)))
        .collect();
    if !invite_users(change, network, id, &highest(users)).await? {
        return Ok(());
    }
    sqlx::query("UPDATE social_sessions SET updated_at = statement_timestamp() WHERE network_id = $1 AND id = $2")
        .bind(network)
        .bind(id)
        .execute(change.connection())
        .await?;
    match news::tell_all(change, network, id, &[]).await {
        // Nobody of whom the directory tells can help it that a session is too large to be told.
        Err(Error::Told(error)) => tracing::warn!(session = %id, %error, "who claimed an invitation is not told"),
        outcome => outcome?,
    }
    change.write_events().await
}

/// Claims what is left, until it is to drain.
pub(crate) async fn run(context: Arc<Context>, shutdown: Shutdown) {
    let outage = Outage::new();
    let work = async {
        loop {
            sleep(LOOK_EVERY.mul_f64(rand::random_range(0.5..1.5))).await;
            // Anything that fails is still there the next time.
            let outcome = async {
                recheck(&context).await?;
                while claim_some(&context).await? {}
                Ok::<_, Error>(())
            };
            match outcome.await {
                Ok(()) => drop(outage.worked()),
                Err(error) => {
                    if let Some(seconds) = outage.failed(&error) {
                        tracing::warn!(%error, seconds, "cannot claim the invitations of proven addresses");
                    }
                }
            }
        }
    };
    shutdown.work_until_drained(work).await;
}

/// Finds who has proven an address just when it was invited, neither transaction seeing the other.
async fn recheck(context: &Context) -> Result<(), Error> {
    let mut lease = Lease::begin(&context.pool).await?;
    let checked: Vec<(String, i16, String)> = sqlx::query_as(
        "UPDATE social_outsiders SET recheck_at = NULL
         WHERE (network_id, session_id, kind, address) IN (
             SELECT network_id, session_id, kind, address FROM social_outsiders
             WHERE recheck_at <= statement_timestamp()
             ORDER BY recheck_at LIMIT $1 FOR UPDATE SKIP LOCKED)
         RETURNING network_id, kind, address",
    )
    .bind(MOST_RECHECKED)
    .fetch_all(lease.connection())
    .await?;
    if checked.is_empty() {
        lease.roll_back().await?;
        return Ok(());
    }
    let (mut networks, mut kinds, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
    for (network, kind, address) in checked {
        for form in forms(kind, &address) {
            networks.push(network.clone());
            kinds.push(kind);
            addresses.push(form);
        }
    }
    sqlx::query(include_str!("recheck.sql"))
        .bind(networks)
        .bind(kinds)
        .bind(addresses)
        .execute(lease.connection())
        .await?;
    lease.commit().await?;
    Ok(())
}

/// One portion of what is left, in one transaction. Returns whether there was anything.
async fn claim_some(context: &Arc<Context>) -> Result<bool, Error> {
    let mut lease = Lease::begin(&context.pool).await?;
    let provers: Vec<Prover> = sqlx::query_as(
        "SELECT network_id, user_id FROM social_provers ORDER BY noted_at LIMIT $1 FOR UPDATE SKIP LOCKED",
    )
    .bind(MOST_PROVERS)
    .fetch_all(lease.connection())
    .await?;
    if provers.is_empty() {
        lease.roll_back().await?;
        return Ok(false);
    }
    let mut change = Change::new(context.clone(), Gateway, lease);
    let (networks, users) = columns(&provers);
    // Nobody of them leaves the network meanwhile. Who has left has nothing to claim.
    sqlx::query(
        "SELECT FROM members WHERE (network_id, user_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
         ORDER BY network_id, user_id
         FOR KEY SHARE",
    )
    .bind(&networks)
    .bind(&users)
    .execute(change.connection())
    .await?;
    if claim(&mut change, &provers, 1).await? {
        sqlx::query(
            "DELETE FROM social_provers WHERE (network_id, user_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))",
        )
        .bind(networks)
        .bind(users)
        .execute(change.connection())
        .await?;
    }
    // The events are in the outbox; relays look there every second.
    let (lease, _) = change.into_parts();
    lease.commit().await?;
    Ok(true)
}

fn columns(provers: &[Prover]) -> (Vec<&str>, Vec<&str>) {
    provers.iter().map(|prover| (prover.network_id.as_str(), prover.user_id.as_str())).unzip()
}
