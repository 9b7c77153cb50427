//! User lines, and what follows from them: of which networks a user is, and what becomes of one who leaves.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use shared::{
    api::{Avatar3D, CustomMap, Timestamp, directory::UserLine, user::UserRole},
    internal::Control,
};
use sqlx::FromRow;

use crate::{
    directory::{
        apply::{Upsert, Work},
        json,
        leaving::{self, Leaver},
        member::{Member, is_manager, is_same_email, verified_email},
        networks, rows,
    },
    error::Error,
    social::{
        address::{folded_email, older_email},
        outsiders::proof::{self, Prover},
    },
};

/// Of these users, those that are known.
pub(super) async fn known<'a>(
    work: &mut Work,
    ids: impl IntoIterator<Item = &'a str>,
) -> Result<HashSet<String>, Error> {
    let ids: HashSet<&str> = ids.into_iter().collect();
    let known: Vec<String> = sqlx::query_scalar("SELECT id FROM users WHERE id = ANY ($1)")
        .bind(ids.into_iter().collect::<Vec<_>>())
        .fetch_all(work.connection())
        .await?;
    Ok(known.into_iter().collect())
}

impl Upsert for UserLine {
    async fn check(work: &mut Work, lines: &[&Self]) -> Result<Vec<Option<String>>, Error> {
        let named = lines.iter().flat_map(|line| line.network_ids.iter().flatten().map(String::as_str));
        let networks = networks::known(work, named).await?;
        let ids: Vec<&str> = lines.iter().map(|line| line.id.as_str()).collect();
        let before: HashMap<String, Proven> = sqlx::query_as(
            "SELECT id, network_ids, email, email_verified FROM users WHERE id = ANY ($1)
             ORDER BY id FOR NO KEY UPDATE",
        )
        .bind(&ids)
        .fetch_all(work.connection())
        .await?
        .into_iter()
        .map(|proven: Proven| (proven.id.clone(), proven))
        .collect();
        let leaving = leaving::still_leaving(work, &ids).await?;

        // Networks and proven addresses as they will be, and who has those addresses now.
        let claims: Vec<Claims<'_>> = lines.iter().map(|line| Claims::of(line, before.get(&line.id))).collect();
        let holders = holders(work, &claims).await?;
        let mut claimed = HashSet::new();
        let verdict = |(line, claims): (&&Self, &Claims<'_>)| {
            let is_first = claims.addresses().filter(|address| !claimed.insert(address.clone())).count() == 0;
            let mut given = line.network_ids.iter().flatten().enumerate();
            if let Some((index, network)) = given.find(|(_, network)| !networks.contains(*network)) {
                return Some(format!("networkIds[{index}]: unknown network {network}"));
            }
            let is_held = |address| holders.get(&address).is_some_and(|holder| *holder != line.id);
            if !is_first || claims.addresses().any(is_held) {
                return Some("email: another user of the network has proven this address".to_owned());
            }
            let leaving = leaving.get(&line.id)?.iter().find(|network| claims.networks.contains(network.as_str()))?;
            Some(format!("id: the user is still being taken off the network {leaving}, send the line again later"))
        };
        Ok(lines.iter().zip(&claims).map(verdict).collect())
    }

    async fn write(work: &mut Work, lines: &[&Self]) -> Result<(), Error> {
        sqlx::query("INSERT INTO users (id) SELECT id FROM unnest($1::text[]) id ORDER BY id ON CONFLICT DO NOTHING")
            .bind(lines.iter().map(|line| line.id.as_str()).collect::<Vec<_>>())
            .execute(work.connection())
            .await?;
        let before = emails(work, lines).await?;
        let columns = lines
            .iter()
            .map(|line| Columns::of(line, email_verified(line, before.get(&line.id).map_or("", String::as_str))))
            .collect::<Result<Vec<_>, _>>()?;
        let columns = rows(&columns)?;
        let users: Vec<Profile> =
            sqlx::query_as(include_str!("users.sql")).bind(&columns).fetch_all(work.connection()).await?;
        let members = members(&users)?;
        let leavers = leavers(work, &users).await?;
        sqlx::query(
            "INSERT INTO members AS m (network_id, user_id, is_manager, verified_email)
             SELECT network_id, user_id, is_manager, verified_email
             FROM json_populate_recordset(NULL::members, $1::json)
             ORDER BY network_id, user_id
             ON CONFLICT (network_id, user_id) DO UPDATE
             SET is_manager = excluded.is_manager, verified_email = excluded.verified_email
             WHERE (m.is_manager, m.verified_email) IS DISTINCT FROM (excluded.is_manager, excluded.verified_email)",
        )
        .bind(rows(&members)?)
        .execute(work.connection())
        .await?;
        remove(work, leavers).await?;
        let prover = |member: &Member<'_>| Prover {
            network_id: member.network_id.to_owned(),
            user_id: member.user_id.to_owned(),
        };
        proof::begin(work, &members.iter().map(prover).collect::<Vec<_>>()).await
    }
}

/// A deleted user is of no network. His profile stays, so that the next line finds it.
pub(super) async fn delete(work: &mut Work, ids: &[&str]) -> Result<(), Error> {
    sqlx::query(
        "WITH leaving AS (SELECT id FROM users WHERE id = ANY ($1) AND deleted_at IS NULL ORDER BY id FOR UPDATE)
         UPDATE users u SET deleted_at = now() FROM leaving l WHERE u.id = l.id",
    )
    .bind(ids)
    .execute(work.connection())
    .await?;
    let leavers = memberships(work, ids).await?;
    remove(work, leavers).await
}

/// Of which networks these users are; nobody else changes it once their rows of `users` are locked.
async fn memberships(work: &mut Work, users: &[&str]) -> Result<Vec<Leaver>, Error> {
    Ok(sqlx::query_as("SELECT network_id, user_id FROM members WHERE user_id = ANY ($1) ORDER BY network_id, user_id")
        .bind(users)
        .fetch_all(work.connection())
        .await?)
}

/// Those who are of a network that their profile does not name any more.
async fn leavers(work: &mut Work, users: &[Profile]) -> Result<Vec<Leaver>, Error> {
    let named: HashMap<&str, &Vec<String>> = users.iter().map(|user| (user.id.as_str(), &user.network_ids)).collect();
    let mut leavers = memberships(work, &named.keys().copied().collect::<Vec<_>>()).await?;
    leavers.retain(|leaver| named.get(leaver.user_id.as_str()).is_some_and(|now| !now.contains(&leaver.network_id)));
    Ok(leavers)
}

/// Takes users off networks, with what follows for their meetings (M7), their sessions (S3) and their sockets.
async fn remove(work: &mut Work, leavers: Vec<Leaver>) -> Result<(), Error> {
    if leavers.is_empty() {
        return Ok(());
    }
    let (networks, users): (Vec<&str>, Vec<&str>) =
        leavers.iter().map(|leaver| (leaver.network_id.as_str(), leaver.user_id.as_str())).unzip();
    // Locked in order: a meeting that is just being made with some of them locks their rows as well.
    sqlx::query(
        "WITH leaving AS (
             SELECT m.network_id, m.user_id
             FROM unnest($1::text[], $2::text[]) l (network_id, user_id)
             JOIN members m ON m.network_id = l.network_id AND m.user_id = l.user_id
             ORDER BY m.network_id, m.user_id
             FOR UPDATE OF m
         )
         DELETE FROM members m USING leaving l WHERE m.network_id = l.network_id AND m.user_id = l.user_id",
    )
    .bind(networks)
    .bind(users)
    .execute(work.connection())
    .await?;
    leaving::begin(work, &leavers).await?;
    let mut networks_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Leaver { network_id, user_id } in leavers {
        networks_of.entry(user_id).or_default().push(network_id);
    }
    for (user, networks) in networks_of {
        work.announce(Control::UserLeft { user, networks });
    }
    Ok(())
}

/// What decides which address a user has proven, and where.
#[derive(Debug, FromRow)]
struct Proven {
    id: String,
    network_ids: Vec<String>,
    email: String,
    email_verified: bool,
}

/// What a line says of whether the user's e-mail is proven; `None`: as it was. Nobody has proven an address that comes
/// without a word of it.
fn email_verified(line: &UserLine, before: &str) -> Option<bool> {
    let is_another = line.email.as_ref().is_some_and(|email| !is_same_email(email, before));
    line.email_verified.or(is_another.then_some(false))
}

/// The e-mails, before they are written, of users whose lines give one and do not say whether it is proven.
async fn emails(work: &mut Work, lines: &[&UserLine]) -> Result<HashMap<String, String>, Error> {
    let in_question = lines.iter().filter(|line| line.email.is_some() && line.email_verified.is_none());
    let ids: Vec<&str> = in_question.map(|line| line.id.as_str()).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    // Locked: a user whom his token has just made known has a row that no check has seen.
    let emails: Vec<(String, String)> =
        sqlx::query_as("SELECT id, email FROM users WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE")
            .bind(ids)
            .fetch_all(work.connection())
            .await?;
    Ok(emails.into_iter().collect())
}

/// What a line makes of a user that others of his networks must not have as well.
#[derive(Debug)]
struct Claims<'a> {
    networks: HashSet<&'a str>,
    email: Option<String>,
}

/// A network, and a proven e-mail address in it.
type Address = (String, String);

impl<'a> Claims<'a> {
    fn of(line: &'a UserLine, before: Option<&'a Proven>) -> Self {
        let email_before = before.map_or("", |before| before.email.as_str());
        let email = line.email.as_deref().unwrap_or(email_before);
        let is_verified =
            email_verified(line, email_before).or(before.map(|before| before.email_verified)).unwrap_or_default();
        let networks = line.network_ids.as_ref().or(before.map(|before| &before.network_ids));
        Self {
            networks: networks.into_iter().flatten().map(String::as_str).collect(),
            email: verified_email(email, is_verified),
        }
    }

    fn addresses(&self) -> impl Iterator<Item = Address> {
        let email = self.email.iter();
        email.flat_map(|email| self.networks.iter().map(|&network| (network.to_owned(), email.clone())))
    }
}

/// Who has proven these addresses.
async fn holders(work: &mut Work, claims: &[Claims<'_>]) -> Result<HashMap<Address, String>, Error> {
    let forms = |(network, email): Address| {
        let older = older_email(&email).map(|older| (network.clone(), older));
        [(network, email)].into_iter().chain(older)
    };
    let (networks, emails): (Vec<String>, Vec<String>) =
        claims.iter().flat_map(Claims::addresses).flat_map(forms).unzip();
    if networks.is_empty() {
        return Ok(HashMap::new());
    }
    let holders: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT m.network_id, m.verified_email, m.user_id
         FROM unnest($1::text[], $2::text[]) c (network_id, email)
         JOIN members m ON m.network_id = c.network_id AND m.verified_email = c.email",
    )
    .bind(networks)
    .bind(emails)
    .fetch_all(work.connection())
    .await?;
    Ok(holders.into_iter().map(|(network, email, user)| ((network, folded_email(&email)), user)).collect())
}

/// What `users.sql` returns: everything that `members` follows from, as it is now.
#[derive(Debug, FromRow)]
struct Profile {
    id: String,
    network_ids: Vec<String>,
    email: String,
    email_verified: bool,
    is_admin: bool,
    user_roles: String,
}

/// The users' rows of `members`.
fn members(users: &[Profile]) -> Result<Vec<Member<'_>>, Error> {
    let mut members = Vec::new();
    for user in users {
        let roles: Vec<UserRole> = serde_json::from_str(&user.user_roles)
            .map_err(|error| Error::internal(format!("the roles of user {} cannot be read: {error}", user.id)))?;
        let verified_email = verified_email(&user.email, user.email_verified);
        let networks: HashSet<&str> = user.network_ids.iter().map(String::as_str).collect();
        members.extend(networks.into_iter().map(|network_id| Member {
            network_id,
            user_id: &user.id,
            is_manager: is_manager(network_id, user.is_admin, &roles),
            verified_email: verified_email.clone(),
        }));
    }
    Ok(members)
}

/// The columns that a line gives, or that follow from it.
#[derive(Debug, Serialize)]
struct Columns<'a> {
    id: &'a str,
    network_ids: Option<&'a [String]>,
    first_name: Option<&'a str>,
    last_name: Option<&'a str>,
    company_name: Option<&'a str>,
    company_title: Option<&'a str>,
    birthday: Option<&'a str>,
    hometown: Option<&'a str>,
    education: Option<&'a str>,
    zip_code: Option<&'a str>,
    description: Option<&'a str>,
    link_url: Option<&'a str>,
    privacy_mode: Option<i64>,
    avatar: Option<&'a str>,
    avatar_3d: Option<String>,
    params: Option<&'a str>,
    identity_type: Option<i64>,
    identity_name: Option<&'a str>,
    z_address: Option<&'a str>,
    contact_count: Option<i64>,
    pending_contact_count: Option<i64>,
    new_notifications_count: Option<i64>,
    ideal_match_count: Option<i64>,
    email: Option<&'a str>,
    email_verified: Option<bool>,
    phone_number: Option<&'a str>,
    facebook: Option<&'a [String]>,
    time_zone: Option<&'a str>,
    is_admin: Option<bool>,
    is_developer: Option<bool>,
    user_roles: Option<String>,
    settings: Option<String>,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
}

impl<'a> Columns<'a> {
    fn of(line: &'a UserLine, email_verified: Option<bool>) -> Result<Self, Error> {
        let avatar_3d = match &line.avatar_3d {
            Some(avatar) if Avatar3D::is_empty(avatar) => Some(String::new()),
            avatar => json(avatar.as_ref())?,
        };
        Ok(Self {
            id: &line.id,
            network_ids: line.network_ids.as_deref(),
            first_name: line.first_name.as_deref(),
            last_name: line.last_name.as_deref(),
            company_name: line.company_name.as_deref(),
            company_title: line.company_title.as_deref(),
            birthday: line.birthday.as_deref(),
            hometown: line.hometown.as_deref(),
            education: line.education.as_deref(),
            zip_code: line.zip_code.as_deref(),
            description: line.description.as_deref(),
            link_url: line.link_url.as_deref(),
            privacy_mode: line.privacy_mode,
            avatar: line.avatar.as_deref(),
            avatar_3d,
            params: line.params.as_ref().map(CustomMap::as_str),
            identity_type: line.identity_type,
            identity_name: line.identity_name.as_deref(),
            z_address: line.z_address.as_deref(),
            contact_count: line.contact_count,
            pending_contact_count: line.pending_contact_count,
            new_notifications_count: line.new_notifications_count,
            ideal_match_count: line.ideal_match_count,
            email: line.email.as_deref(),
            email_verified,
            phone_number: line.phone_number.as_deref(),
            facebook: line.facebook.as_deref(),
            time_zone: line.time_zone.as_deref(),
            is_admin: line.permissions.as_ref().map(|permissions| permissions.admin),
            is_developer: line.permissions.as_ref().map(|permissions| permissions.developer),
            user_roles: json(line.user_roles.as_ref())?,
            settings: json(line.user_settings.as_ref())?,
            created_at: Some(line.created).filter(|created| created.is_set()),
            updated_at: Some(line.updated).filter(|updated| updated.is_set()),
        })
    }
}
