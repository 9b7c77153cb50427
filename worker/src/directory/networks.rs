//! Network lines.

use std::collections::HashSet;

use serde::Serialize;
use shared::{
    api::{Timestamp, directory::NetworkLine},
    internal::Control,
};

use crate::{
    directory::{
        apply::{Upsert, Work},
        json, new_epoch, partition_of, rows,
    },
    error::Error,
};

/// Of these networks, those that are known.
pub(super) async fn known<'a>(
    work: &mut Work,
    ids: impl IntoIterator<Item = &'a str>,
) -> Result<HashSet<String>, Error> {
    let ids: HashSet<&str> = ids.into_iter().collect();
    let known: Vec<String> = sqlx::query_scalar("SELECT id FROM networks WHERE id = ANY ($1)")
        .bind(ids.into_iter().collect::<Vec<_>>())
        .fetch_all(work.connection())
        .await?;
    Ok(known.into_iter().collect())
}

impl Upsert for NetworkLine {
    async fn check(work: &mut Work, lines: &[&Self]) -> Result<Vec<Option<String>>, Error> {
        let parents = || lines.iter().filter_map(|line| line.parent_network_id.as_deref()).filter(|id| !id.is_empty());
        let known = known(work, parents()).await?;
        let verdict = |line: &&Self| {
            let parent = line.parent_network_id.as_ref().filter(|id| !id.is_empty())?;
            (!known.contains(parent)).then(|| format!("parentNetworkId: unknown network {parent}"))
        };
        Ok(lines.iter().map(verdict).collect())
    }

    async fn write(work: &mut Work, lines: &[&Self]) -> Result<(), Error> {
        let columns = lines.iter().map(|line| Columns::of(line)).collect::<Result<Vec<_>, _>>()?;
        let columns = rows(&columns)?;
        sqlx::query(
            "INSERT INTO networks (id, partition, epoch)
             SELECT id, partition, epoch FROM json_populate_recordset(NULL::networks, $1::json)
             ORDER BY id
             ON CONFLICT DO NOTHING",
        )
        .bind(&columns)
        .execute(work.connection())
        .await?;
        sqlx::query(
            "UPDATE networks n
             SET full_name = coalesce(l.full_name, n.full_name),
                 type = coalesce(l.type, n.type),
                 thumbnail = coalesce(l.thumbnail, n.thumbnail),
                 parent_network_id = coalesce(l.parent_network_id, n.parent_network_id),
                 state = coalesce(l.state, n.state),
                 defaults = coalesce(l.defaults, n.defaults),
                 presentation_domain = coalesce(l.presentation_domain, n.presentation_domain),
                 studio_domain = coalesce(l.studio_domain, n.studio_domain),
                 share_domain = coalesce(l.share_domain, n.share_domain),
                 load_balancer_url = coalesce(l.load_balancer_url, n.load_balancer_url),
                 created_at = coalesce(l.created_at, n.created_at),
                 updated_at = coalesce(l.updated_at, now()),
                 deleted_at = NULL
             FROM json_populate_recordset(NULL::networks, $1::json) l
             WHERE n.id = l.id",
        )
        .bind(&columns)
        .execute(work.connection())
        .await?;
        Ok(())
    }
}

/// Nobody enters a deleted network: its sockets are told that it was reset, and find no way back.
pub(super) async fn delete(work: &mut Work, ids: &[&str]) -> Result<(), Error> {
    for &id in ids {
        let epoch = new_epoch();
        let deleted =
            sqlx::query("UPDATE networks SET deleted_at = now(), epoch = $2 WHERE id = $1 AND deleted_at IS NULL")
                .bind(id)
                .bind(&epoch)
                .execute(work.connection())
                .await?;
        if deleted.rows_affected() > 0 {
            work.announce(Control::NetworkReset { network: id.to_owned(), epoch });
        }
    }
    Ok(())
}

#[derive(Debug, Serialize)]
struct Columns<'a> {
    id: &'a str,
    partition: i16,
    epoch: String,
    full_name: Option<&'a str>,
    r#type: Option<&'a str>,
    thumbnail: Option<&'a str>,
    parent_network_id: Option<&'a str>,
    state: Option<String>,
    defaults: Option<String>,
    presentation_domain: Option<&'a str>,
    studio_domain: Option<&'a str>,
    share_domain: Option<&'a str>,
    load_balancer_url: Option<&'a str>,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
}

impl<'a> Columns<'a> {
    fn of(line: &'a NetworkLine) -> Result<Self, Error> {
        Ok(Self {
            id: &line.id,
            partition: partition_of(&line.id),
            epoch: new_epoch(),
            full_name: line.full_name.as_deref(),
            r#type: line.network_type.as_deref(),
            thumbnail: line.thumbnail.as_deref(),
            parent_network_id: line.parent_network_id.as_deref(),
            state: json(line.state.as_ref())?,
            defaults: json(line.defaults.as_ref())?,
            presentation_domain: line.presentation_domain.as_deref(),
            studio_domain: line.studio_domain.as_deref(),
            share_domain: line.share_domain.as_deref(),
            load_balancer_url: line.load_balancer_url.as_deref(),
            created_at: Some(line.created).filter(|created| created.is_set()),
            updated_at: Some(line.updated).filter(|updated| updated.is_set()),
        })
    }
}
