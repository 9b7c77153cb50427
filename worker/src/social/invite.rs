//! Who is invited to a session: rules S6, S10.

use std::collections::{BTreeMap, HashSet};

use shared::api::social::Invitation;
use uuid::Uuid;

use crate::{
    context::Change,
    error::Error,
    social::{address::Address, limits::MAX_INVITED, outsiders, standing::lock_members},
};

/// Whom a request invites, as it names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    /// User and role.
    users: Vec<(String, i16)>,
    /// Address and role.
    addresses: Vec<(Address, i16)>,
}

/// Whom a request invites, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Invited {
    /// Those who are named by their ids first.
    users: Vec<(String, i16)>,
    /// Addresses that no user of the network has proven.
    outsiders: Vec<(Address, i16)>,
}

impl Named {
    /// Reads `usersToInvite`.
    ///
    /// # Errors
    /// 400, naming the field.
    pub(crate) fn read(invitations: &[Invitation]) -> Result<Self, Error> {
        let mut named = Self::default();
        for (index, invitation) in invitations.iter().enumerate() {
            let Invitation { user_id, facebook, emails, phones, role } = invitation;
            let field = |name: &str| format!("data.usersToInvite[{index}].{name}");
            let role = i16::try_from(*role).ok().filter(|role| (0..=2).contains(role)).ok_or_else(|| {
                Error::bad_request(field("role"), "expected 0 (attendee), 1 (presenter) or 2 (panelist)")
            })?;
            if user_id.is_empty() && facebook.is_empty() && emails.is_empty() && phones.is_empty() {
                return Err(Error::bad_request(field("userId"), "expected a user or an address"));
            }
            if !user_id.is_empty() {
                named.users.push((user_id.clone(), role));
            }
            if !facebook.is_empty() {
                named.addresses.push((Address::facebook(&field("facebook"), facebook)?, role));
            }
            for (place, email) in emails.iter().enumerate() {
                named.addresses.push((Address::email(&field(&format!("emails[{place}]")), email)?, role));
            }
            for (place, phone) in phones.iter().enumerate() {
                named.addresses.push((Address::phone(&field(&format!("phones[{place}]")), phone)?, role));
            }
        }
        Ok(named)
    }

    /// Finds the users, and locks their rows of `members` and the caller's until the commit. So it comes before any other
    /// lock.
    ///
    /// # Errors
    /// 401 when the caller left, 404 for a user who is not of the network.
    pub(crate) async fn resolve(self, change: &mut Change) -> Result<Invited, Error> {
        let caller = change.session().user.clone();
        let holders = holders(change, &self.addresses).await?;
        let mut outsiders = Vec::new();
        let mut wanted = self.users.clone();
        for (address, role) in self.addresses {
            match holders.get(&address) {
                Some(users) => wanted.extend(users.iter().map(|user| (user.clone(), role))),
                None => outsiders.push((address, role)),
            }
        }
        let ids: Vec<&str> = wanted.iter().map(|(user, _)| user.as_str()).chain([caller.as_str()]).collect();
        let present: HashSet<String> = lock_members(change, &ids).await?.into_iter().collect();
        if !present.contains(&caller) {
            return Err(Error::unauthorized("the user is not of the network any more"));
        }
        if let Some((user, _)) = self.users.iter().find(|(user, _)| !present.contains(user)) {
            // What is no identifier may be of any length.
            let name: String = user.chars().take(128).collect();
            return Err(Error::not_found(format!("invited user {name}")));
        }
        wanted.retain(|(user, _)| present.contains(user));
        Ok(Invited { users: highest(wanted), outsiders: highest(outsiders) })
    }
}

/// Each of them once, with the highest of his roles, where he was named first.
pub(crate) fn highest<T: Clone + Ord>(wanted: Vec<(T, i16)>) -> Vec<(T, i16)> {
    let mut places: BTreeMap<T, usize> = BTreeMap::new();
    let mut invited: Vec<(T, i16)> = Vec::new();
    for (whom, role) in wanted {
        match places.get(&whom).and_then(|place| invited.get_mut(*place)) {
            Some((_, known)) if rank(role) > rank(*known) => *known = role,
            Some(_) => {}
            None => {
                places.insert(whom.clone(), invited.len());
                invited.push((whom, role));
            }
        }
    }
    invited
}

/// Presenter over panelist over attendee. The statement below says the same.
fn rank(role: i16) -> i16 {
    (3 - role) % 3
}

/// Users of the caller's network who have proven these addresses.
async fn holders(change: &mut Change, addresses: &[(Address, i16)]) -> Result<BTreeMap<Address, Vec<String>>, Error> {
    let mut holders: BTreeMap<Address, Vec<String>> = BTreeMap::new();
    if addresses.is_empty() {
        return Ok(holders);
    }
    let mut places: Vec<i64> = Vec::new();
    let mut kinds: Vec<i16> = Vec::new();
    let mut texts: Vec<String> = Vec::new();
    for (place, (address, _)) in (0..).zip(addresses) {
        for form in address.forms() {
            places.push(place);
            kinds.push(address.kind());
            texts.push(form);
        }
    }
    let network = change.session().network.clone();
    // Several users may have proven the same phone or account: all of them are meant.
    let found: Vec<(i64, String)> = sqlx::query_as(
        "WITH a AS (SELECT * FROM unnest($2::smallint[], $3::text[], $4::bigint[]) AS a (kind, address, place))
         SELECT a.place, m.user_id
         FROM a JOIN members m ON m.network_id = $1 AND m.verified_email = a.address
         WHERE a.kind = 0
         UNION ALL
         SELECT a.place, m.user_id
         FROM a JOIN users u ON e164(u.phone_number) = a.address AND u.phone_verified
         JOIN members m ON m.network_id = $1 AND m.user_id = u.id
         WHERE a.kind = 1
         UNION ALL
         SELECT a.place, m.user_id
         FROM a JOIN users u ON u.facebook @> ARRAY[a.address]
         JOIN members m ON m.network_id = $1 AND m.user_id = u.id
         WHERE a.kind = 2
         ORDER BY 1, 2",
    )
    .bind(network)
    .bind(kinds)
    .bind(texts)
    .bind(places)
    .fetch_all(change.connection())
    .await?;
    for (place, user) in found {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        if let Some((address, _)) = addresses.get(place) {
            let users = holders.entry(address.clone()).or_default();
            if !users.contains(&user) {
                users.push(user);
            }
        }
    }
    Ok(holders)
}

impl Invited {
    /// Invites them to a session that is locked. Returns whether that changed anything that is shown of it.
    ///
    /// # Errors
    /// 409 when more than [`MAX_INVITED`] would be invited (S6), or too many outsiders by the caller (S10).
    pub(crate) async fn write(&self, change: &mut Change, id: Uuid) -> Result<bool, Error> {
        let network = change.session().network.clone();
        let is_changed = invite_users(change, &network, id, &self.users).await?;
        outsiders::invite(change, id, &self.outsiders).await?;
        if is_changed || !self.outsiders.is_empty() {
            check_invited(change, &network, id).await?;
        }
        Ok(is_changed)
    }
}

/// Invites users, each named once, to a session that is locked. Its owner is passed over. Returns whether that changed
/// anything.
///
/// # Errors
/// The database's.
pub(crate) async fn invite_users<C>(
    change: &mut Change<C>,
    network: &str,
    id: Uuid,
    users: &[(String, i16)],
) -> Result<bool, Error> {
    if users.is_empty() {
        return Ok(false);
    }
    let (users, roles): (Vec<&str>, Vec<i16>) = users.iter().map(|(user, role)| (user.as_str(), *role)).unzip();
    let changed = sqlx::query(
        "INSERT INTO social_participants AS p (network_id, session_id, user_id, is_owner, role, invited_no, event_id,
                                               starts_at, ends_at)
         SELECT s.network_id, s.id, w.user_id, false, w.role,
                (SELECT coalesce(max(o.invited_no), 0) FROM social_participants o
                 WHERE o.network_id = $1 AND o.session_id = $2) + w.place,
                s.event_id, s.starts_at, s.ends_at
         FROM unnest($3::text[], $4::smallint[]) WITH ORDINALITY AS w (user_id, role, place)
         JOIN social_sessions s ON s.network_id = $1 AND s.id = $2 AND s.owner_id <> w.user_id
         ON CONFLICT (network_id, session_id, user_id) DO UPDATE
         SET role = excluded.role, invited_no = coalesce(p.invited_no, excluded.invited_no)
         -- The higher role wins: presenter, panelist, attendee.
         WHERE p.role IS NULL OR (3 - excluded.role) % 3 > (3 - p.role) % 3",
    )
    .bind(network)
    .bind(id)
    .bind(users)
    .bind(roles)
    .execute(change.connection())
    .await?;
    Ok(changed.rows_affected() > 0)
}

/// Lets pass a session with so many invited as there may be, outsiders included: who claims an invitation makes them no more.
///
/// # Errors
/// 409.
pub(crate) async fn check_invited(change: &mut Change, network: &str, id: Uuid) -> Result<(), Error> {
    let invited: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM social_participants
                 WHERE network_id = $1 AND session_id = $2 AND role IS NOT NULL)
              + (SELECT count(*) FROM social_outsiders
                 WHERE network_id = $1 AND session_id = $2 AND expires_at > statement_timestamp())",
    )
    .bind(network)
    .bind(id)
    .fetch_one(change.connection())
    .await?;
    if invited > MAX_INVITED as i64 {
        return Err(Error::conflict(format!("at most {MAX_INVITED} are invited to a session")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s10_the_higher_role_wins_wherever_it_stands() {
        let wanted = |roles: &[i16]| roles.iter().map(|role| ("bob".to_owned(), *role)).collect();
        for (roles, highest_role) in
            [(vec![0, 2, 1], 1), (vec![1, 2], 1), (vec![2, 0], 2), (vec![0], 0), (vec![0, 2], 2)]
        {
            assert_eq!(highest(wanted(&roles)), [("bob".to_owned(), highest_role)], "{roles:?}");
        }
        let order = highest(vec![("zoe".to_owned(), 0), ("bob".to_owned(), 0), ("zoe".to_owned(), 2)]);
        assert_eq!(order, [("zoe".to_owned(), 2), ("bob".to_owned(), 0)]);
    }

    #[test]
    fn what_is_wrong_is_named_as_the_client_wrote_it() {
        let bob = Invitation { user_id: "bob".to_owned(), ..Invitation::default() };
        for (wrong, field) in [
            (Invitation::default(), "userId"),
            (Invitation { role: 3, ..bob.clone() }, "role"),
            (Invitation { role: -1, ..bob.clone() }, "role"),
            (Invitation { facebook: "bob".to_owned(), ..bob.clone() }, "facebook"),
            (Invitation { emails: vec!["bob@example.org".to_owned(), "bob".to_owned()], ..bob.clone() }, "emails[1]"),
            (Invitation { phones: vec!["030 12345".to_owned()], ..bob.clone() }, "phones[0]"),
        ] {
            let error = Named::read(&[bob.clone(), wrong]).expect_err(field).to_string();
            assert!(error.starts_with(&format!("400 data.usersToInvite[1].{field}: ")), "{error}");
        }
    }
}
