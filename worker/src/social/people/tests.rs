use chrono::{DateTime, Utc};

use super::*;
use crate::social::{
    limits::LISTED_JOINED,
    session::{Content, Time},
};

fn party() -> Party {
    let content = Content {
        room_id: "lobby".to_owned(),
        prop_id: String::new(),
        session_type: 0,
        title: "Yoga".to_owned(),
        description: String::new(),
        color: shared::api::Rgba::default().into(),
        time: Time {
            starts_at: DateTime::UNIX_EPOCH,
            seconds: 60,
            is_recurring: false,
            local_start: DateTime::<Utc>::UNIX_EPOCH.naive_utc(),
            time_zone: "UTC".to_owned(),
            ends_at: None,
        },
    };
    Party {
        row: Row {
            network_id: "demo".to_owned(),
            id: Uuid::nil(),
            event_id: None,
            owner_id: "alice".to_owned(),
            is_valid: true,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
            content,
        },
        invited: vec![("bob".to_owned(), 1), ("carol".to_owned(), 0)],
    }
}

fn profiles() -> Profiles {
    let user = |id: &str, privacy_mode| UserSimple { id: id.to_owned(), privacy_mode, ..UserSimple::default() };
    Profiles(["alice", "bob", "carol"].map(|id| (id.to_owned(), user(id, i64::from(id == "bob")))).into())
}

#[test]
fn s11_everyone_who_has_joined_is_among_those_whom_he_is_shown() {
    for listed in [0, 1, 4, 130, 499, 500] {
        let users: Vec<String> = (0..listed).map(|n| n.to_string()).collect();
        for most in LISTED_JOINED {
            let mut starts = HashSet::new();
            for (place, user) in users.iter().enumerate() {
                let start = part_of_place(place, listed, most);
                let shown = part(&users, start, most);
                assert!(shown.contains(user) && shown.len() == most.min(listed), "{place} of {listed}: {shown:?}");
                starts.insert(start);
            }
            assert_eq!(starts.len(), listed.div_ceil(most), "no more texts than needed");
        }
    }
}

#[test]
fn v5_incognito_users_are_shown_to_the_owner_managers_and_themselves() {
    let (party, profiles) = (party(), profiles());
    assert!(profiles.has_incognito());
    let invited = |sight| {
        let session = party.session(&[], sight, &profiles);
        session.invited_users.into_iter().map(|invited| (invited.user.id, invited.role)).collect::<Vec<_>>()
    };
    let whole = vec![("bob".to_owned(), 1), ("carol".to_owned(), 0)];
    let without_bob = vec![(String::new(), 1), ("carol".to_owned(), 0)];
    assert_eq!(invited(Sight::All), whole);
    assert_eq!(invited(Sight::Others(Some("bob"))), whole);
    assert_eq!(invited(Sight::Others(Some("carol"))), without_bob);
    assert_eq!(invited(Sight::Others(None)), without_bob);
}
