//! Places, and many hands reaching for them at once: rules S5, S6.

use std::collections::BTreeMap;

use futures::future::join_all;
use harness::{Client, Stack, eventually};
use serde_json::{Value, json};

use super::{People, code, count, create, crowd, event_for, get, joined, named, refused, update, with, yoga};

const TAKEN: &str =
    "SELECT count(DISTINCT user_id) FROM social_participants WHERE joined_at IS NOT NULL AND NOT is_owner";

/// How many wait for a user's row of `members`.
pub(super) const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FROM members%FOR KEY SHARE'";

fn limit(event: &Value, limit: u32) -> Value {
    json!({"eventId": event["id"], "event": {"participantLimit": limit}})
}

#[tokio::test]
async fn s6_different_users_count_once_and_an_owner_not_in_his_own_session() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let event = event_for(&mut people.alice, 2).await;
    let bobs = create(&mut people.bob, yoga(Some(&event)), super::users(&["alice"])).await;
    let carols = create(&mut people.carol, yoga(Some(&event)), json!([])).await;
    let full = (409, "all places of the event are taken".to_owned());
    // Owners in their own sessions take no place, and in each other's they do.
    people.bob.ask("social:joinSession", named(&bobs)).await;
    people.carol.ask("social:joinSession", named(&carols)).await;
    people.dave.ask("social:joinSession", named(&bobs)).await;
    people.dave.ask("social:joinSession", named(&carols)).await;
    people.bob.ask("social:joinSession", named(&carols)).await;
    assert_eq!(
        refused(&mut people.alice, "social:joinSession", named(&bobs)).await,
        full,
        "an invitation holds no place"
    );
    // Again is fine, also when it is full.
    people.dave.ask("social:joinSession", named(&bobs)).await;
    // Of two joins one is not enough to free the place.
    people.dave.ask("social:declineSessionJoin", named(&bobs)).await;
    assert_eq!(refused(&mut people.alice, "social:joinSession", named(&bobs)).await, full);
    people.dave.ask("social:joinSession", named(&bobs)).await;
    for session in [&bobs, &carols] {
        people.dave.ask("social:declineSessionJoin", named(session)).await;
    }
    people.alice.ask("social:joinSession", named(&bobs)).await;
    assert_eq!(refused(&mut people.dave, "social:joinSession", named(&carols)).await, full);
    people.carol.ask("social:declineSessionJoin", named(&carols)).await;
    people.carol.ask("social:joinSession", named(&carols)).await;
    people.carol.ask("social:declineSessionJoin", named(&carols)).await;
    assert_eq!(
        refused(&mut people.dave, "social:joinSession", named(&carols)).await,
        full,
        "an owner has no place to free"
    );
}

#[tokio::test]
async fn s6_whatever_ends_a_join_frees_its_place() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let event = event_for(&mut people.alice, 1).await;
    let session = create(&mut people.bob, yoga(Some(&event)), json!([])).await;
    let private = with(yoga(Some(&event)), json!({"sessionType": 1}));
    let private = create(&mut people.bob, private, super::users(&["carol"])).await;
    let other = create(&mut people.bob, yoga(Some(&event)), json!([])).await;
    let is_full = async |people: &mut People| -> bool {
        let found = code(&mut people.alice, "social:joinSession", named(&session)).await;
        if found == 0 {
            people.alice.ask("social:declineSessionJoin", named(&session)).await;
        }
        found == 409
    };
    assert!(!is_full(&mut people).await);
    people.carol.ask("social:joinSession", named(&private)).await;
    assert!(is_full(&mut people).await);
    let remove = with(named(&private), json!({"usersToInvite": ["carol"]}));
    people.bob.ask("social:deleteUserSessionInvitations", remove).await;
    assert!(!is_full(&mut people).await, "removed from a private session");
    people.carol.ask("social:joinSession", named(&other)).await;
    assert!(is_full(&mut people).await);
    people.bob.ask("social:deleteSession", named(&other)).await;
    assert!(!is_full(&mut people).await, "the session is deleted");
    people.dave.ask("social:joinSession", named(&session)).await;
    assert!(is_full(&mut people).await);
    stack.import_all(&[json!({"kind": "user", "id": "dave", "deleted": true})]).await;
    assert!(!is_full(&mut people).await, "the user is deleted");
    people.carol.ask("social:joinSession", named(&session)).await;
    update(&mut people.bob, &session, json!({"sessionType": 1})).await;
    let mut alice = stack.client(0, "alice").await;
    assert_eq!(code(&mut alice, "social:joinSession", named(&session)).await, 409, "another type frees nothing");
}

#[tokio::test]
async fn s6_lowering_the_limit_removes_nobody() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let event = event_for(&mut people.alice, 0).await;
    let session = create(&mut people.bob, yoga(Some(&event)), json!([])).await;
    for client in [&mut people.carol, &mut people.dave] {
        client.ask("social:joinSession", named(&session)).await;
    }
    people.alice.ask("social:updateEvent", limit(&event, 1)).await;
    assert_eq!(joined(&get(&mut people.bob, &session).await), ["carol", "dave"]);
    people.dave.ask("social:declineSessionJoin", named(&session)).await;
    assert_eq!(code(&mut people.dave, "social:joinSession", named(&session)).await, 409);
    people.alice.ask("social:updateEvent", limit(&event, 2)).await;
    people.dave.ask("social:joinSession", named(&session)).await;
    assert_eq!(code(&mut people.alice, "social:joinSession", named(&session)).await, 409);
    people.alice.ask("social:updateEvent", limit(&event, 0)).await;
    people.alice.ask("social:joinSession", named(&session)).await;
}

/// Sockets of `u0` and so on, spread over two gateways.
async fn sockets(stack: &Stack, count: usize) -> Vec<Client> {
    stack.import_all(&crowd(count)).await;
    let mut sockets = Vec::new();
    // Not more handshakes at once than a gateway takes.
    for users in (0..count).collect::<Vec<_>>().chunks(40) {
        let names: Vec<(usize, String)> = users.iter().map(|n| (n % 2, format!("u{n}"))).collect();
        sockets.extend(join_all(names.iter().map(|(gateway, user)| stack.client(*gateway, user))).await);
    }
    sockets
}

/// Sends the same request from everybody at once; how often each code was answered.
async fn at_once(clients: &mut [Client], endpoint: &str, data: impl Fn(usize) -> Value) -> BTreeMap<u64, usize> {
    let calls = clients.iter_mut().enumerate().map(|(n, client)| code(client, endpoint, data(n)));
    let mut codes = BTreeMap::new();
    for code in join_all(calls).await {
        *codes.entry(code).or_default() += 1;
    }
    codes
}

#[tokio::test(flavor = "multi_thread")]
async fn s6_two_hundred_who_reach_for_ten_places_over_all_pods_take_exactly_ten() {
    const USERS: usize = 200;
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    let mut clients = sockets(&stack, USERS).await;
    let mut alice = stack.client(0, "alice").await;
    for round in 0..5 {
        let event = event_for(&mut alice, 10).await;
        let mut sessions = Vec::new();
        for _ in 0..3 {
            sessions.push(create(&mut alice, yoga(Some(&event)), json!([])).await);
        }
        let session = |n: usize| named(&sessions[n % 3]);
        let codes = at_once(&mut clients, "social:joinSession", session).await;
        assert_eq!(codes, BTreeMap::from([(0, 10), (409, USERS - 10)]), "round {round}");
        assert_eq!(count(&stack, TAKEN).await, 10);

        // A place that is declined is taken again by exactly one.
        let mut takers = Vec::new();
        for session in &sessions {
            takers.extend(joined(&get(&mut alice, session).await).into_iter().map(|user| (user, session.clone())));
        }
        let (user, left) = takers.first().expect("ten");
        let user: usize = user[1..].parse().expect("a number");
        clients[user].ask("social:declineSessionJoin", named(left)).await;
        let again = |n: usize| if n == user { json!({"sessionId": "nothing"}) } else { session(n) };
        let codes = at_once(&mut clients, "social:joinSession", again).await;
        assert_eq!(codes, BTreeMap::from([(0, 10), (404, 1), (409, USERS - 11)]), "nine of before, and one");
        assert_eq!(count(&stack, TAKEN).await, 10);
        alice.ask("social:deleteEvent", super::named_event(&event)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s5_two_hundred_who_reach_for_an_open_slot_over_all_pods_take_it_once() {
    const USERS: usize = 200;
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    let mut clients = sockets(&stack, USERS).await;
    let mut alice = stack.client(0, "alice").await;
    for round in 0..5 {
        let slot = create(&mut alice, with(yoga(None), json!({"sessionType": 2})), json!([])).await;
        let one = BTreeMap::from([(0, 1), (409, USERS - 1)]);
        assert_eq!(at_once(&mut clients, "social:joinSession", |_| named(&slot)).await, one, "round {round}");
        let taker = joined(&get(&mut alice, &slot).await);
        assert_eq!(taker.len(), 1);
        // While its taker declines, the others go on reaching for it.
        let user: usize = taker[0][1..].parse().expect("a number");
        let (before, rest) = clients.split_at_mut(user);
        let (taker, after) = rest.split_first_mut().expect("the taker");
        let declining = taker.ask("social:declineSessionJoin", named(&slot));
        let reaching =
            join_all(before.iter_mut().chain(after).map(|client| code(client, "social:joinSession", named(&slot))));
        let (_, codes) = tokio::join!(declining, reaching);
        let taken = codes.iter().filter(|code| **code == 0).count();
        assert!(taken <= 1 && codes.iter().all(|code| [0, 409].contains(code)), "round {round}: {codes:?}");
        assert_eq!(joined(&get(&mut alice, &slot).await).len(), taken);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s6_a_limit_that_comes_and_goes_while_users_join_is_kept_whenever_it_is_there() {
    const USERS: usize = 60;
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    let mut clients = sockets(&stack, USERS).await;
    let mut alice = stack.client(0, "alice").await;
    for round in 0..5 {
        let event = event_for(&mut alice, 0).await;
        let session = create(&mut alice, yoga(Some(&event)), json!([])).await;
        let mut joining = Box::pin(at_once(&mut clients, "social:joinSession", |_| named(&session)));
        // In the order of commits: joins without a limit, the limit, and after it nobody beyond it.
        let limiting = async {
            let limited = alice.ask("social:updateEvent", limit(&event, 20)).await;
            assert_eq!(limited["event"]["participantLimit"], 20);
            count(&stack, TAKEN).await
        };
        let (codes, at_the_limit) = tokio::join!(&mut joining, limiting);
        drop(joining);
        let taken = count(&stack, TAKEN).await;
        assert_eq!(codes.get(&0).copied().unwrap_or(0) as i64, taken, "round {round}: {codes:?}");
        assert!(taken <= at_the_limit.max(20), "round {round}: {taken}, {at_the_limit} when it was limited");
        assert_eq!(code(&mut clients[0], "social:declineSessionJoin", named(&session)).await, 0);
        alice.ask("social:deleteEvent", super::named_event(&event)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s6_a_limit_that_comes_between_the_look_and_the_lock_is_kept() {
    const USERS: usize = 12;
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    let mut clients = sockets(&stack, USERS).await;
    let mut alice = stack.client(0, "alice").await;
    for round in 0..3 {
        let event = event_for(&mut alice, 0).await;
        let mut sessions = Vec::new();
        for _ in 0..USERS {
            sessions.push(create(&mut alice, yoga(Some(&event)), json!([])).await);
        }
        // They have looked, and wait for their own rows of `members` before they lock anything else.
        let mut blocker = stack.database().await;
        let hold = "BEGIN; SELECT FROM members WHERE user_id LIKE 'u%' ORDER BY user_id FOR UPDATE";
        sqlx::raw_sql(hold).execute(&mut blocker).await.expect("held");
        let joining = at_once(&mut clients, "social:joinSession", |n| named(&sessions[n]));
        let limiting = async {
            // Each gives up after 200 ms and looks again, so of many some are always between two looks. Two that have looked
            // before the limit would be one too many.
            eventually!(count(&stack, WAITING).await, |waiting| *waiting >= USERS as i64 / 2);
            alice.ask("social:updateEvent", limit(&event, 1)).await;
            sqlx::raw_sql("COMMIT").execute(&mut blocker).await.expect("released");
        };
        let (codes, ()) = tokio::join!(joining, limiting);
        assert_eq!(codes, BTreeMap::from([(0, 1), (409, USERS - 1)]), "round {round}");
        alice.ask("social:deleteEvent", super::named_event(&event)).await;
    }
}
