//! What follows from a user's profile for each of his networks: the columns of `members`.

use serde::Serialize;
use shared::api::user::UserRole;

use crate::social::address::folded_email;

/// The permission that makes a manager of the network that its role targets (V3).
const MANAGE: &str = "network.manage";

/// A row of `members`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Member<'a> {
    pub(crate) network_id: &'a str,
    pub(crate) user_id: &'a str,
    pub(crate) is_manager: bool,
    pub(crate) verified_email: Option<String>,
}

/// Whether a user manages a network (V3).
pub(crate) fn is_manager(network: &str, is_admin: bool, roles: &[UserRole]) -> bool {
    let manages = |role: &UserRole| {
        role.target_type == "network"
            && role.target_id == network
            && role.permissions.iter().any(|permission| permission == MANAGE)
    };
    is_admin || roles.iter().any(manages)
}

/// A proven e-mail address as it is compared: see [`folded_email`]. `None` when there is none, or it is not proven.
pub(crate) fn verified_email(email: &str, is_verified: bool) -> Option<String> {
    (is_verified && !email.trim().is_empty()).then(|| folded_email(email))
}

/// Whether two texts are one e-mail address: see [`folded_email`].
pub(crate) fn is_same_email(one: &str, other: &str) -> bool {
    folded_email(one) == folded_email(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(target_type: &str, target_id: &str, permission: &str) -> UserRole {
        UserRole {
            target_type: target_type.to_owned(),
            target_id: target_id.to_owned(),
            permissions: vec!["room.view".to_owned(), permission.to_owned()],
            ..UserRole::default()
        }
    }

    #[test]
    fn a_manager_manages_the_network_that_the_role_targets() {
        assert!(is_manager("demo", false, &[role("room", "x", "y"), role("network", "demo", MANAGE)]));
        for other in [
            role("network", "other", MANAGE),
            role("room", "demo", MANAGE),
            role("", "", MANAGE),
            role("network", "demo", "network.view"),
        ] {
            assert!(!is_manager("demo", false, &[other]));
        }
        assert!(is_manager("demo", true, &[]), "permissions.admin");
    }

    #[test]
    fn an_address_counts_when_it_is_proven() {
        assert_eq!(verified_email("Élise@Example.ORG ", true).as_deref(), Some("élise@example.org"));
        assert_eq!(verified_email("elise@Münch.example", true).as_deref(), Some("elise@xn--mnch-0ra.example"));
        assert_eq!(verified_email("elise@example.org", false), None);
        assert_eq!(verified_email(" ", true), None);
    }

    #[test]
    fn the_same_address_in_other_letters_is_the_same() {
        for (one, other) in [
            ("Élise@Example.ORG ", "élise@example.org"),
            ("x@münchen.example", "X@xn--mnchen-3ya.example"),
            ("", " "),
            ("Nobody", " nobody"),
            ("a", "a"),
        ] {
            assert!(is_same_email(one, other) && is_same_email(other, one), "{one:?} {other:?}");
        }
        for (one, other) in
            [("a@example.org", "b@example.org"), ("a@example.org", "a@example.com"), ("a@example.org", "")]
        {
            assert!(!is_same_email(one, other) && !is_same_email(other, one), "{one:?} {other:?}");
        }
    }
}
