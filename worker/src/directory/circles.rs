//! Group and community lines: what has members.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use shared::api::directory::{CommunityLine, GroupLine, Member};

use crate::{
    directory::{
        apply::{Upsert, Work},
        networks,
        places::{all_found, check_home},
        rows, users,
    },
    error::Error,
};

impl Upsert for GroupLine {
    async fn check(work: &mut Work, lines: &[&Self]) -> Result<Vec<Option<String>>, Error> {
        check(work, lines).await
    }

    async fn write(work: &mut Work, lines: &[&Self]) -> Result<(), Error> {
        write(work, lines).await
    }
}

impl Upsert for CommunityLine {
    async fn check(work: &mut Work, lines: &[&Self]) -> Result<Vec<Option<String>>, Error> {
        check(work, lines).await
    }

    async fn write(work: &mut Work, lines: &[&Self]) -> Result<(), Error> {
        write(work, lines).await
    }
}

pub(super) async fn delete_groups(work: &mut Work, ids: &[&str]) -> Result<(), Error> {
    sqlx::query("UPDATE groups SET deleted_at = now() WHERE id = ANY ($1) AND deleted_at IS NULL")
        .bind(ids)
        .execute(work.connection())
        .await?;
    Ok(())
}

pub(super) async fn delete_communities(work: &mut Work, ids: &[&str]) -> Result<(), Error> {
    sqlx::query("UPDATE communities SET deleted_at = now() WHERE id = ANY ($1) AND deleted_at IS NULL")
        .bind(ids)
        .execute(work.connection())
        .await?;
    Ok(())
}

/// What groups and communities have in common.
trait Circle: Sync {
    const STATEMENTS: Statements;

    fn id(&self) -> &str;
    fn network(&self) -> Option<&str>;
    fn title(&self) -> Option<&str>;
    fn join_policy(&self) -> Option<&str>;
    fn members(&self) -> Option<&[Member]>;
}

/// The same for the tables of either.
struct Statements {
    /// Locks those of some ids; returns id and network.
    lock: &'static str,
    /// Makes rows for those that are new, of JSON rows.
    make: &'static str,
    /// Writes what lines say, of JSON rows; returns id and network.
    update: &'static str,
    /// Removes all members, of networks and ids.
    empty: &'static str,
    /// Adds members, of JSON rows.
    fill: &'static str,
}

impl Circle for GroupLine {
    const STATEMENTS: Statements = Statements {
        lock: "SELECT id, network_id FROM groups WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE",
        make: "INSERT INTO groups (network_id, id)
            SELECT network_id, id FROM json_populate_recordset(NULL::groups, $1::json)
            WHERE network_id IS NOT NULL
            ORDER BY id
            ON CONFLICT DO NOTHING",
        update: "UPDATE groups g
            SET title = coalesce(l.title, g.title), updated_at = now(), deleted_at = NULL
            FROM json_populate_recordset(NULL::groups, $1::json) l
            WHERE g.id = l.id AND g.network_id = coalesce(l.network_id, g.network_id)
            RETURNING g.id, g.network_id",
        empty: "DELETE FROM group_members m USING unnest($1::text[], $2::text[]) g (network_id, id)
            WHERE m.network_id = g.network_id AND m.group_id = g.id",
        fill: "INSERT INTO group_members (network_id, group_id, user_id, role, position)
            SELECT network_id, circle_id, user_id, role, position
            FROM json_to_recordset($1::json)
                AS m (network_id text, circle_id text, user_id text, role text, position integer)",
    };

    fn id(&self) -> &str {
        &self.id
    }

    fn network(&self) -> Option<&str> {
        self.network_id.as_deref()
    }

    fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    fn join_policy(&self) -> Option<&str> {
        None
    }

    fn members(&self) -> Option<&[Member]> {
        self.members.as_deref()
    }
}

impl Circle for CommunityLine {
    const STATEMENTS: Statements = Statements {
        lock: "SELECT id, network_id FROM communities WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE",
        make: "INSERT INTO communities (network_id, id)
            SELECT network_id, id FROM json_populate_recordset(NULL::communities, $1::json)
            WHERE network_id IS NOT NULL
            ORDER BY id
            ON CONFLICT DO NOTHING",
        update: "UPDATE communities c
            SET title = coalesce(l.title, c.title), join_policy = coalesce(l.join_policy, c.join_policy),
                updated_at = now(), deleted_at = NULL
            FROM json_populate_recordset(NULL::communities, $1::json) l
            WHERE c.id = l.id AND c.network_id = coalesce(l.network_id, c.network_id)
            RETURNING c.id, c.network_id",
        empty: "DELETE FROM community_members m USING unnest($1::text[], $2::text[]) c (network_id, id)
            WHERE m.network_id = c.network_id AND m.community_id = c.id",
        fill: "INSERT INTO community_members (network_id, community_id, user_id, role, position)
            SELECT network_id, circle_id, user_id, role, position
            FROM json_to_recordset($1::json)
                AS m (network_id text, circle_id text, user_id text, role text, position integer)",
    };

    fn id(&self) -> &str {
        &self.id
    }

    fn network(&self) -> Option<&str> {
        self.network_id.as_deref()
    }

    fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    fn join_policy(&self) -> Option<&str> {
        self.join_policy.as_deref()
    }

    fn members(&self) -> Option<&[Member]> {
        self.members.as_deref()
    }
}

async fn check<C: Circle>(work: &mut Work, lines: &[&C]) -> Result<Vec<Option<String>>, Error> {
    let homes: Vec<(String, String)> = sqlx::query_as(C::STATEMENTS.lock)
        .bind(lines.iter().map(|line| line.id()).collect::<Vec<_>>())
        .fetch_all(work.connection())
        .await?;
    let homes: HashMap<String, String> = homes.into_iter().collect();
    let networks = networks::known(work, lines.iter().filter_map(|line| line.network())).await?;
    let members = lines.iter().flat_map(|line| line.members().into_iter().flatten());
    let users = users::known(work, members.map(|member| member.user_id.as_str())).await?;
    let verdict = |line: &&C| {
        let home = homes.get(line.id()).map(String::as_str);
        check_home(line.network(), home, &networks).or_else(|| check_members(line.members()?, &users))
    };
    Ok(lines.iter().map(verdict).collect())
}

async fn write<C: Circle>(work: &mut Work, lines: &[&C]) -> Result<(), Error> {
    let columns = rows(&columns(lines))?;
    sqlx::query(C::STATEMENTS.make).bind(&columns).execute(work.connection()).await?;
    let homes: Vec<(String, String)> =
        sqlx::query_as(C::STATEMENTS.update).bind(&columns).fetch_all(work.connection()).await?;
    all_found(homes.len() as u64, lines.len())?;
    let memberships = Memberships::of(lines, &homes.into_iter().collect());
    sqlx::query(C::STATEMENTS.empty)
        .bind(&memberships.networks)
        .bind(&memberships.circles)
        .execute(work.connection())
        .await?;
    sqlx::query(C::STATEMENTS.fill).bind(rows(&memberships.members)?).execute(work.connection()).await?;
    Ok(())
}

fn check_members(members: &[Member], known: &HashSet<String>) -> Option<String> {
    let mut named = HashSet::new();
    members.iter().enumerate().find_map(|(index, Member { user_id, .. })| {
        let what = if !known.contains(user_id) {
            "unknown user"
        } else if !named.insert(user_id) {
            "named twice:"
        } else {
            return None;
        };
        Some(format!("members[{index}].userId: {what} {user_id}"))
    })
}

#[derive(Debug, Serialize)]
struct Columns<'a> {
    id: &'a str,
    network_id: Option<&'a str>,
    title: Option<&'a str>,
    join_policy: Option<&'a str>,
}

fn columns<'a, C: Circle>(lines: &[&'a C]) -> Vec<Columns<'a>> {
    let columns = |line: &'a C| Columns {
        id: line.id(),
        network_id: line.network(),
        title: line.title(),
        join_policy: line.join_policy(),
    };
    lines.iter().copied().map(columns).collect()
}

/// The members of those circles whose lines list them.
#[derive(Debug)]
struct Memberships<'a> {
    /// The circles' networks, in the order of `circles`.
    networks: Vec<String>,
    circles: Vec<&'a str>,
    members: Vec<Membership<'a>>,
}

#[derive(Debug, Serialize)]
struct Membership<'a> {
    network_id: String,
    circle_id: &'a str,
    user_id: &'a str,
    role: &'a str,
    position: usize,
}

impl<'a> Memberships<'a> {
    fn of<C: Circle>(lines: &[&'a C], homes: &HashMap<String, String>) -> Self {
        let mut memberships = Self { networks: Vec::new(), circles: Vec::new(), members: Vec::new() };
        for &line in lines {
            let (Some(members), Some(network)) = (line.members(), homes.get(line.id())) else { continue };
            memberships.networks.push(network.clone());
            memberships.circles.push(line.id());
            memberships.members.extend(members.iter().enumerate().map(|(position, member)| Membership {
                network_id: network.clone(),
                circle_id: line.id(),
                user_id: &member.user_id,
                role: &member.role,
                position,
            }));
        }
        memberships
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_known_and_named_once() {
        let known = HashSet::from(["alice".to_owned(), "bob".to_owned()]);
        let members = |ids: &[&str]| -> Vec<Member> {
            ids.iter().map(|id| Member { user_id: (*id).to_owned(), role: String::new() }).collect()
        };
        assert_eq!(check_members(&members(&["alice", "bob"]), &known), None);
        let unknown = check_members(&members(&["alice", "zoe"]), &known);
        assert_eq!(unknown.as_deref(), Some("members[1].userId: unknown user zoe"));
        let twice = check_members(&members(&["alice", "bob", "alice"]), &known);
        assert_eq!(twice.as_deref(), Some("members[2].userId: named twice: alice"));
    }
}
