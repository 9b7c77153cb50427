use chrono::{DateTime, Utc};

use super::*;
use crate::social::{
    limits::LISTED_JOINED,
    session::{Content, Time},
};

fn party(joined: usize) -> Party {
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
        joined: (0..joined).map(|n| format!("u{n}")).collect(),
    }
}

fn profiles() -> Profiles {
    let user = |id: &str, privacy_mode| UserSimple { id: id.to_owned(), privacy_mode, ..UserSimple::default() };
    Profiles(["alice", "bob", "carol"].map(|id| (id.to_owned(), user(id, i64::from(id == "bob")))).into())
}

#[test]
fn s11_everyone_who_has_joined_is_among_those_whom_he_is_shown() {
    for joined in [0, 1, 499, 500, 501, 600, 999, 1000, 1001, 1730] {
        let party = party(joined);
        for most in LISTED_JOINED {
            let mut starts = HashSet::new();
            for place in 0..joined {
                let window = party.window_of_place(place, most);
                assert!(window.contains(&place) && window.len() == most.min(joined), "{place} of {joined}: {window:?}");
                starts.insert(window.start);
            }
            assert_eq!(starts.len(), joined.div_ceil(most), "no more texts than needed");
            assert_eq!(party.window("a stranger", most), 0..most.min(joined));
        }
    }
}

#[test]
fn whom_a_smaller_window_shows_a_larger_one_shows() {
    for joined in [1, 300, 501, 630, 777, 1300] {
        let party = party(joined);
        for place in 0..joined {
            for pair in LISTED_JOINED.windows(2) {
                let [large, small] = [pair[0], pair[1]].map(|most| party.window_of_place(place, most));
                assert!(
                    large.start <= small.start && small.end <= large.end,
                    "{place} of {joined}: {small:?} {large:?}"
                );
            }
        }
    }
}

#[test]
fn v5_incognito_users_are_shown_to_the_owner_managers_and_themselves() {
    let (party, profiles) = (party(0), profiles());
    assert!(profiles.has_incognito());
    let invited = |sight| {
        let session = party.session(&(0..0), sight, &profiles);
        session.invited_users.into_iter().map(|invited| (invited.user.id, invited.role)).collect::<Vec<_>>()
    };
    let whole = vec![("bob".to_owned(), 1), ("carol".to_owned(), 0)];
    let without_bob = vec![(String::new(), 1), ("carol".to_owned(), 0)];
    assert_eq!(invited(Sight::All), whole);
    assert_eq!(invited(Sight::Others(Some("bob"))), whole);
    assert_eq!(invited(Sight::Others(Some("carol"))), without_bob);
    assert_eq!(invited(Sight::Others(None)), without_bob);
}
