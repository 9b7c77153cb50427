//! Social sessions: rules S4, S5, S7, S8.

use harness::Stack;
use serde_json::{Value, json};

use super::{
    People, code, create, event_for, get, invited, joined, named, named_event, refused, update, users, with, yoga,
};

#[tokio::test]
async fn s4_what_is_beyond_a_limit_is_400_and_names_the_field() {
    let stack = Stack::builder().start().await;
    let mut alice = stack.client(0, "alice").await;
    let event = event_for(&mut alice, 0).await;
    let made = create(&mut alice, yoga(Some(&event)), json!([])).await;
    for (changes, field) in [
        (json!({"title": ""}), "title"),
        (json!({"title": "é".repeat(256)}), "title"),
        (json!({"description": "é".repeat(10_001)}), "description"),
        (json!({"duration": 0}), "duration"),
        (json!({"duration": 31 * 24 * 3600 + 1}), "duration"),
        (json!({"duration": "1 hour"}), "duration"),
        (json!({"startDate": "soon"}), "startDate"),
        (json!({"sessionType": 3}), "sessionType"),
        (json!({"sessionType": -1}), "sessionType"),
        (json!({"color": {"r": "red"}}), "color.r"),
        // The session lies within its event.
        (json!({"startDate": "2029-12-31T23:59:59Z"}), "startDate"),
        (json!({"startDate": "2030-01-31T23:00:01Z"}), "duration"),
        (json!({"startDate": "2030-01-31T23:00:01Z", "isRecurring": true}), "duration"),
    ] {
        let session = with(yoga(Some(&event)), changes.clone());
        let (code, message) = refused(&mut alice, "social:createSession", json!({"session": session})).await;
        let expected = format!("data.session.{field}: ");
        assert!(code == 400 && message.starts_with(&expected), "{changes}: {code} {message}");
        let request = json!({"session": with(changes.clone(), json!({"id": made["id"]}))});
        let (code, message) = refused(&mut alice, "social:updateSession", request).await;
        assert!(code == 400 && message.starts_with(&expected), "{changes}: {code} {message}");
    }
    for (session, field) in [
        (with(yoga(None), json!({"roomId": ""})), "roomId"),
        (with(yoga(None), json!({"startDate": null})), "startDate"),
        (with(yoga(None), json!({"duration": null})), "duration"),
        (with(yoga(None), json!({"title": null})), "title"),
    ] {
        let (code, message) = refused(&mut alice, "social:createSession", json!({"session": session})).await;
        assert!(code == 400 && message.starts_with(&format!("data.session.{field}: ")), "{session}: {message}");
    }
    let longest = json!({
        "title": "é".repeat(255), "description": "é".repeat(10_000), "startDate": "1999-12-31T23:00:00Z",
        "duration": 31 * 24 * 3600,
    });
    create(&mut alice, with(yoga(None), longest), json!([])).await;
    let whole = json!({"startDate": "2030-01-01T00:00:00Z", "duration": 31 * 24 * 3600});
    create(&mut alice, with(yoga(Some(&event)), whole), json!([])).await;
}

#[tokio::test]
async fn s4_a_session_stands_in_its_room_or_its_events_or_at_a_prop() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let event = event_for(&mut people.alice, 0).await;
    let place = |session: &Value| json!([session["roomId"], session["propId"]]);
    for (session, room, prop) in [
        (yoga(Some(&event)), "stage", ""),
        (with(yoga(Some(&event)), json!({"propId": "screen"})), "stage", "screen"),
        (with(yoga(Some(&event)), json!({"roomId": "lobby", "propId": "table"})), "lobby", "table"),
        (yoga(None), "lobby", ""),
    ] {
        let session = create(&mut people.bob, session, json!([])).await;
        assert_eq!(place(&session), json!([room, prop]));
    }
    for (changes, expected) in [
        (json!({"roomId": "attic"}), 802),
        (json!({"propId": "screen"}), 404),
        (json!({"propId": "nothing"}), 404),
        (json!({"eventId": "nothing"}), 404),
    ] {
        let request = json!({"session": with(yoga(None), changes)});
        assert_eq!(refused(&mut people.bob, "social:createSession", request).await.0, expected);
    }

    let session = create(&mut people.bob, with(yoga(Some(&event)), json!({"propId": "screen"})), json!([])).await;
    let same = update(&mut people.bob, &session, json!({"roomId": "", "eventId": event["id"]})).await;
    assert_eq!(same, session, "empty is the event's");
    let moved = update(&mut people.bob, &session, json!({"roomId": "lobby"})).await;
    assert_eq!(place(&moved), json!(["lobby", ""]), "another room has other props");
    let back = update(&mut people.bob, &session, json!({"roomId": "", "propId": "screen"})).await;
    assert_eq!(place(&back), json!(["stage", "screen"]));
    for (changes, expected) in [
        (json!({"roomId": "attic"}), (802, "room not found")),
        (json!({"propId": "table"}), (404, "prop not found")),
        (json!({"eventId": session["id"]}), (400, "data.session.eventId: a session stays in its event")),
    ] {
        let request = json!({"session": with(changes, json!({"id": session["id"]}))});
        let found = refused(&mut people.bob, "social:updateSession", request).await;
        assert_eq!((found.0, found.1.as_str()), expected);
    }
}

#[tokio::test]
async fn the_servers_fields_are_the_servers() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    let theirs = json!({
        "id": "0190b6f0-7a3c-7c1e-8000-000000000000", "created": "2001-01-01T00:00:00Z", "ownerId": "alice",
        "updated": "2001-01-01T00:00:00Z", "isValid": false,
    });
    let session = create(&mut bob, with(yoga(None), theirs.clone()), json!([])).await;
    let kept = ["id", "created", "updated", "ownerId", "isValid"];
    for field in kept {
        assert_ne!(session[field], theirs[field], "{field}");
    }
    let echo = with(session.clone(), json!({"created": "2001-01-01T00:00:00Z", "ownerId": "alice", "isValid": false}));
    assert_eq!(update(&mut bob, &session, echo).await, session, "what a client sends back changes nothing");
}

#[tokio::test]
async fn what_changes_nothing_is_not_told() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let session = create(&mut people.bob, yoga(None), users(&["carol"])).await;
    people.carol.ask("social:joinSession", named(&session)).await;
    people.carol.event("social:sessionUpdated").await;
    let whole = people.carol.event("social:sessionUpdated").await["data"]["session"].take();

    assert_eq!(update(&mut people.bob, &session, json!({"title": "Yoga", "duration": 3600})).await, whole);
    people.carol.ask("social:joinSession", named(&session)).await;
    people.dave.ask("social:declineSessionJoin", named(&session)).await;
    let invite = with(named(&session), json!({"usersToInvite": users(&["carol"])}));
    people.bob.ask("social:inviteUsersToSession", invite).await;
    let remove = with(named(&session), json!({"usersToInvite": ["dave", "nobody"]}));
    people.bob.ask("social:deleteUserSessionInvitations", remove).await;
    assert_eq!(get(&mut people.carol, &session).await, whole);

    // A network's events have one order: what comes next is the next.
    let renamed = update(&mut people.bob, &session, json!({"title": "Tai chi"})).await;
    assert_eq!(people.carol.event("social:sessionUpdated").await["data"]["session"], renamed);
    assert_eq!(renamed, with(whole.clone(), json!({"title": "Tai chi", "updated": renamed["updated"]})));
    assert_ne!(renamed["updated"], whole["updated"]);
}

#[tokio::test]
async fn s7_join_and_decline_are_idempotent_and_possible_again() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let session = create(&mut people.bob, yoga(None), users(&["carol"])).await;
    for _ in 0..2 {
        for _ in 0..2 {
            people.carol.ask("social:joinSession", named(&session)).await;
            assert_eq!(joined(&get(&mut people.dave, &session).await), ["carol"]);
        }
        for _ in 0..2 {
            people.carol.ask("social:declineSessionJoin", named(&session)).await;
            let now = get(&mut people.dave, &session).await;
            assert_eq!((joined(&now), invited(&now)), (vec![], vec![]), "the invitation is gone with the join");
        }
    }
    // Joining keeps an invitation, and the owner keeps his session.
    let invite = with(named(&session), json!({"usersToInvite": users(&["carol"])}));
    people.bob.ask("social:inviteUsersToSession", invite).await;
    for client in [&mut people.carol, &mut people.bob] {
        client.ask("social:joinSession", named(&session)).await;
    }
    let now = get(&mut people.dave, &session).await;
    assert_eq!((invited(&now), joined(&now)), (vec!["carol".to_owned()], vec!["carol".to_owned(), "bob".to_owned()]));
    people.bob.ask("social:declineSessionJoin", named(&session)).await;
    let now = get(&mut people.bob, &session).await;
    assert_eq!((now["ownerId"].as_str(), joined(&now)), (Some("bob"), vec!["carol".to_owned()]));
}

#[tokio::test]
async fn s7_who_declines_a_private_session_does_not_know_it_any_more() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let session = create(&mut people.bob, with(yoga(None), json!({"sessionType": 1})), users(&["carol"])).await;
    people.carol.ask("social:joinSession", named(&session)).await;
    people.carol.ask("social:declineSessionJoin", named(&session)).await;
    for endpoint in ["social:getSession", "social:joinSession", "social:declineSessionJoin"] {
        assert_eq!(refused(&mut people.carol, endpoint, named(&session)).await.0, 404, "{endpoint}");
    }
    for _ in 0..3 {
        people.carol.event("social:sessionUpdated").await;
    }
    update(&mut people.bob, &session, json!({"title": "Secret"})).await;
    let last = create(&mut people.bob, yoga(None), users(&["carol"])).await;
    let told = people.carol.event("social:sessionUpdated").await;
    assert_eq!(told["data"]["session"], last, "nor is told of it");
}

#[tokio::test]
async fn s7_nobody_joins_what_is_over() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let past = json!({"startDate": "2020-01-02T10:00:00Z"});
    let single = create(&mut people.bob, with(yoga(None), past.clone()), json!([])).await;
    let weekly = with(past.clone(), json!({"isRecurring": true}));
    let endless = create(&mut people.bob, with(yoga(None), weekly.clone()), json!([])).await;
    let january = json!({"startDate": "2020-01-01T00:00:00Z", "endDate": "2020-02-01T00:00:00Z"});
    let ended = super::publish(&mut people.alice, "network:demo", with(super::in_january(), january)).await;
    let ended = create(&mut people.bob, with(yoga(Some(&ended)), weekly), json!([])).await;
    for (session, expected) in [(&single, 409), (&endless, 0), (&ended, 409)] {
        assert_eq!(code(&mut people.dave, "social:joinSession", named(session)).await, expected);
        assert_eq!(code(&mut people.dave, "social:declineSessionJoin", named(session)).await, 0);
    }
    // As its last occurrence counts, a longer event opens it again, and a shorter one closes it.
    let request = |end: &str| json!({"eventId": ended["eventId"], "event": {"endDate": end}});
    for (end, expected) in [("2099-01-01T00:00:00Z", 0), ("2020-02-01T00:00:00Z", 409)] {
        people.alice.ask("social:updateEvent", request(end)).await;
        assert_eq!(code(&mut people.carol, "social:joinSession", named(&ended)).await, expected);
    }
}

#[tokio::test]
async fn s5_an_open_slot_is_taken_once_and_open_again_when_its_taker_declines() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let slot = create(&mut people.bob, with(yoga(None), json!({"sessionType": 2})), users(&["carol"])).await;
    people.bob.ask("social:joinSession", named(&slot)).await;
    people.dave.ask("social:joinSession", named(&slot)).await;
    assert_eq!(
        refused(&mut people.carol, "social:joinSession", named(&slot)).await,
        (409, "the slot is taken".to_owned())
    );
    people.dave.ask("social:joinSession", named(&slot)).await;
    people.dave.ask("social:declineSessionJoin", named(&slot)).await;
    people.carol.ask("social:joinSession", named(&slot)).await;
    assert_eq!(refused(&mut people.dave, "social:joinSession", named(&slot)).await.0, 409);
    assert_eq!(joined(&get(&mut people.dave, &slot).await), ["bob", "carol"]);
}

#[tokio::test]
async fn s5_when_the_type_changes_those_who_joined_count_as_invited() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let session = create(&mut people.bob, yoga(None), json!([{"userId": "alice", "role": 2}])).await;
    for client in [&mut people.bob, &mut people.dave, &mut people.carol] {
        client.ask("social:joinSession", named(&session)).await;
    }
    let slot = json!({"session": {"id": session["id"], "sessionType": 2}});
    assert_eq!(refused(&mut people.bob, "social:updateSession", slot).await.0, 409, "two have joined beside the owner");
    let private = update(&mut people.bob, &session, json!({"sessionType": 1})).await;
    assert_eq!(invited(&private), ["alice", "dave", "carol"]);
    assert_eq!(joined(&private), ["bob", "dave", "carol"]);
    people.carol.ask("social:declineSessionJoin", named(&session)).await;
    let slot = update(&mut people.bob, &session, json!({"sessionType": 2})).await;
    assert_eq!(
        (invited(&slot), joined(&slot)),
        (vec!["alice".into(), "dave".into()], vec!["bob".into(), "dave".into()])
    );
    assert_eq!(slot["invitedUsers"][0]["role"], 2);
    let public = update(&mut people.bob, &session, json!({"sessionType": 0})).await;
    assert_eq!(invited(&public), ["alice", "dave"]);
}

#[tokio::test]
async fn s8_removing_an_invitation_to_a_private_session_ends_the_join_as_well() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    for (session_type, still_joined, still_sees) in [(0, vec!["carol"], 0), (1, vec![], 404)] {
        let session = with(yoga(None), json!({"sessionType": session_type}));
        let session = create(&mut people.bob, session, users(&["carol", "dave"])).await;
        people.carol.ask("social:joinSession", named(&session)).await;
        let remove = with(named(&session), json!({"usersToInvite": ["carol"]}));
        people.bob.ask("social:deleteUserSessionInvitations", remove).await;
        let now = get(&mut people.dave, &session).await;
        assert_eq!(
            (invited(&now), joined(&now)),
            (vec!["dave".to_owned()], still_joined.iter().map(ToString::to_string).collect())
        );
        assert_eq!(code(&mut people.carol, "social:getSession", named(&session)).await, still_sees);
        let own = with(named(&session), json!({"usersToInvite": ["dave"]}));
        people.dave.ask("social:deleteUserSessionInvitations", own).await;
        assert_eq!(invited(&get(&mut people.bob, &session).await), [""; 0]);
        for _ in 0..3 {
            people.carol.event("social:sessionUpdated").await;
        }
    }
}

#[tokio::test]
async fn s8_moving_a_session_keeps_those_who_joined() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let event = event_for(&mut people.alice, 0).await;
    let session = create(&mut people.bob, yoga(Some(&event)), users(&["carol"])).await;
    people.dave.ask("social:joinSession", named(&session)).await;
    let moved =
        update(&mut people.alice, &session, json!({"startDate": "2030-01-05T10:00:00Z", "roomId": "lobby"})).await;
    assert_eq!((joined(&moved), invited(&moved)), (vec!["dave".to_owned()], vec!["carol".to_owned()]));
    people.dave.event("social:sessionUpdated").await;
    assert_eq!(people.dave.event("social:sessionUpdated").await["data"]["session"], moved);
}

#[tokio::test]
async fn a_session_without_its_room_or_prop_is_invalid_and_still_usable() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let session = create(&mut people.bob, with(yoga(None), json!({"propId": "table"})), json!([])).await;
    for (kind, id) in [("prop", "table"), ("room", "lobby")] {
        stack.import_all(&[json!({"kind": kind, "id": id, "deleted": true})]).await;
        assert_eq!(get(&mut people.dave, &session).await["isValid"], false, "{kind}");
        people.dave.ask("social:joinSession", named(&session)).await;
        people.dave.ask("social:declineSessionJoin", named(&session)).await;
        assert_eq!(update(&mut people.bob, &session, json!({"title": kind})).await["isValid"], false);
        stack.import_all(&[json!({"kind": kind, "id": id})]).await;
        assert_eq!(get(&mut people.dave, &session).await["isValid"], true);
    }
    people.bob.ask("social:deleteSession", named(&session)).await;
    assert_eq!(refused(&mut people.bob, "social:getSession", named(&session)).await.0, 404);
}

#[tokio::test]
async fn s4_sessions_are_listed_by_start_and_those_that_ended_longest_ago_are_left_out() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let event = event_for(&mut people.alice, 0).await;
    // Eleven hundred, each a minute after the one before it; those with odd numbers last a day longer.
    sqlx::query(
        "WITH made AS (
             INSERT INTO social_sessions (network_id, id, event_id, owner_id, owner_name, room_id, prop_id, session_type, title,
                 description, color_r, color_g, color_b, color_a, starts_at, seconds, is_recurring, local_start, time_zone,
                 ends_at)
             SELECT 'demo', gen_random_uuid(), $1::uuid, 'bob', 'Bob', 'lobby', '', 0, n::text, '', 0, 0, 0, 0, s, d, false,
                 s AT TIME ZONE 'UTC', 'UTC', s + d * interval '1 second'
             FROM generate_series(1, 1100) n,
                 LATERAL (SELECT '2030-01-01'::timestamptz + n * interval '1 minute' AS s, 60 + n % 2 * 86400 AS d) t
             RETURNING *)
         INSERT INTO social_participants (network_id, session_id, user_id, is_owner, event_id, starts_at, ends_at)
         SELECT network_id, id, owner_id, true, event_id, starts_at, ends_at FROM made",
    )
    .bind(event["id"].as_str().expect("an id"))
    .execute(&mut stack.database().await)
    .await
    .expect("many sessions");
    let mut answer = people.dave.ask("social:getSessions", named_event(&event)).await;
    let titles = |sessions: &Value| -> Vec<u32> {
        let title = |session: &Value| session["title"].as_str().expect("a title").parse().expect("a number");
        sessions.as_array().expect("a list").iter().map(title).collect()
    };
    let mut by_end: Vec<u32> = (1..=1100).collect();
    by_end.sort_by_key(|n| std::cmp::Reverse((n + n % 2 * 1440, *n)));
    let mut expected = by_end[..1000].to_vec();
    expected.sort_unstable();
    assert_eq!(titles(&answer["sessions"].take()), expected);

    let long = "UPDATE social_sessions SET description = repeat('é', 10000)";
    sqlx::query(long).execute(&mut stack.database().await).await.expect("large sessions");
    let mut answer = people.dave.ask("social:getSessions", named_event(&event)).await;
    let listed = titles(&answer["sessions"].take());
    assert!((30..39).contains(&listed.len()), "as many as fit: {}", listed.len());
    let mut expected = by_end[..listed.len()].to_vec();
    expected.sort_unstable();
    assert_eq!(listed, expected);
}
