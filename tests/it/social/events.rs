//! Social events: rules S1 to S3.

use harness::Stack;
use serde_json::{Value, json};

use super::{People, create, event_for, get, in_january, named, named_event, publish, refused, with, yoga};

/// An event's changes as the request that makes them.
fn change(event: &Value, changes: Value) -> Value {
    let mut request = named_event(event);
    request["event"] = changes;
    request
}

#[tokio::test]
async fn s1_a_malformed_source_is_400_and_an_unknown_one_404() {
    let stack = Stack::builder().start().await;
    stack
        .import_all(&[
            json!({"kind": "network", "id": "other"}),
            json!({"kind": "community", "id": "abroad", "networkId": "other", "joinPolicy": "OpenForAll"}),
            json!({"kind": "community", "id": "gone", "networkId": "demo", "joinPolicy": "OpenForAll"}),
            json!({"kind": "community", "id": "gone", "deleted": true}),
        ])
        .await;
    let mut alice = stack.client(0, "alice").await;
    for (source, expected) in [
        ("", 400),
        ("demo", 400),
        ("network:demo:garden", 400),
        ("community:demo", 400),
        ("room:lobby", 400),
        ("network:other", 404),
        ("network:nowhere", 404),
        ("community:demo:nowhere", 404),
        ("community:other:garden", 404),
        ("community:other:abroad", 404),
        ("community:demo:abroad", 404),
        ("community:demo:gone", 404),
    ] {
        for (endpoint, data) in [
            ("social:createEvent", json!({"source": source, "event": in_january()})),
            ("social:getEvents", json!({"source": source})),
        ] {
            let (code, message) = refused(&mut alice, endpoint, data).await;
            assert_eq!(code, expected, "{endpoint} {source}: {message}");
            assert!(code != 400 || message.starts_with("data.source: "), "{message}");
        }
    }
}

#[tokio::test]
async fn s2_what_is_beyond_a_limit_is_400_and_names_the_field() {
    let stack = Stack::builder().start().await;
    let mut alice = stack.client(0, "alice").await;
    let event = event_for(&mut alice, 0).await;
    let large = "x".repeat(64 * 1024);
    for (changes, field) in [
        (json!({"title": ""}), "data.event.title"),
        (json!({"title": "é".repeat(256)}), "data.event.title"),
        (json!({"endDate": "2030-01-01T00:00:00Z"}), "data.event.endDate"),
        (json!({"startDate": "2030-02-01T00:00:00Z"}), "data.event.endDate"),
        (json!({"participantLimit": -1}), "data.event.participantLimit"),
        (json!({"participantLimit": 1.5}), "data.event.participantLimit"),
        (json!({"price": -0.01}), "data.event.price"),
        (json!({"price": "free"}), "data.event.price"),
        (json!({"customData": [1]}), "data.event.customData"),
        (json!({"customData": {"x": large}}), "data.event.customData"),
    ] {
        let created = json!({"source": "network:demo", "event": with(in_january(), changes.clone())});
        let (code, message) = refused(&mut alice, "social:createEvent", created).await;
        assert!(code == 400 && message.starts_with(&format!("{field}: ")), "{changes}: {code} {message}");
        let (code, message) = refused(&mut alice, "social:updateEvent", change(&event, changes.clone())).await;
        assert!(code == 400 && message.starts_with(&format!("{field}: ")), "{changes}: {code} {message}");
    }
    for field in ["startDate", "endDate"] {
        let request = json!({"source": "network:demo", "event": with(in_january(), json!({field: null}))});
        let (code, message) = refused(&mut alice, "social:createEvent", request).await;
        assert!(code == 400 && message.starts_with(&format!("data.event.{field}: ")), "{message}");
    }
    let forms = json!({"source": "network:demo", "event": in_january(), "formSchema": {"x": large}});
    let (code, message) = refused(&mut alice, "social:createEvent", forms).await;
    assert!(code == 400 && message.starts_with("data.formSchema: "), "{message}");
    // 64 KiB together, to the byte.
    let [custom, schema] = [json!({"x": "y".repeat(32 * 1024 - 8)}), json!({"x": "y".repeat(32 * 1024 - 8)})];
    let longest = json!({"title": "é".repeat(255), "customData": custom, "price": 0, "participantLimit": 1});
    let request = json!({"source": "network:demo", "event": with(in_january(), longest), "formSchema": schema});
    let made = alice.ask("social:createEvent", request.clone()).await;
    assert_eq!(made["event"]["customData"], custom);
    let more = with(request, json!({"formSchema": {"x": "y".repeat(32 * 1024 - 7)}}));
    assert_eq!(refused(&mut alice, "social:createEvent", more).await.0, 400);
}

#[tokio::test]
async fn v4_an_events_room_is_one_that_its_manager_may_use() {
    let stack = Stack::builder().start().await;
    let admin = json!([{"userId": "bob", "role": "Admin"}]);
    stack
        .import_all(&[
            json!({"kind": "room", "id": "vault", "networkId": "demo", "ownerId": "carol"}),
            json!({"kind": "community", "id": "garden", "members": admin}),
        ])
        .await;
    let mut bob = stack.client(0, "bob").await;
    let in_room =
        |room: &str| json!({"source": "community:demo:garden", "event": with(in_january(), json!({"roomId": room}))});
    assert_eq!(refused(&mut bob, "social:createEvent", in_room("attic")).await.0, 802);
    assert_eq!(refused(&mut bob, "social:createEvent", in_room("vault")).await.0, 803);
    let event = bob.ask("social:createEvent", in_room("")).await["event"].take();
    assert_eq!(refused(&mut bob, "social:updateEvent", change(&event, json!({"roomId": "vault"}))).await.0, 803);
    let moved = bob.ask("social:updateEvent", change(&event, json!({"roomId": "lobby"}))).await;
    assert_eq!(moved["event"]["roomId"], "lobby");
}

#[tokio::test]
async fn in_an_update_what_is_missing_or_unset_stays_and_what_is_given_replaces_the_whole() {
    let stack = Stack::builder().start().await;
    let mut alice = stack.client(0, "alice").await;
    let request = json!({"source": "network:demo", "event": in_january(), "formSchema": {"a": 1}});
    let event = alice.ask("social:createEvent", request).await["event"].take();
    let unset = json!({"startDate": "0001-01-01T00:00:00Z", "endDate": null, "title": null});
    let same = alice.ask("social:updateEvent", change(&event, unset)).await["event"].take();
    assert_eq!(same, event, "not even updated has changed");
    let changed = json!({"description": "", "customData": {"z": 1}, "participantLimit": 7, "roomId": ""});
    let after = alice.ask("social:updateEvent", change(&event, changed.clone())).await["event"].take();
    let expected = with(with(event.clone(), changed), json!({"updated": after["updated"]}));
    assert_eq!(after, expected);
    assert_ne!(after["updated"], event["updated"]);
    let schema = with(named_event(&event), json!({"formSchema": {}}));
    assert_eq!(alice.ask("social:updateEvent", schema).await["event"]["formSchema"], json!({}));
}

#[tokio::test]
async fn s2_publishing_twice_is_fine_and_there_is_no_way_back() {
    let stack = Stack::builder().start().await;
    let mut alice = stack.client(0, "alice").await;
    let event = event_for(&mut alice, 0).await;
    assert_eq!(event["status"], 1);
    let again = alice.ask("social:publishEvent", named_event(&event)).await;
    assert_eq!(again["event"], event);
    let draft = change(&event, json!({"status": 0}));
    assert_eq!(alice.ask("social:updateEvent", draft).await["event"]["status"], 1);
}

#[tokio::test]
async fn s1_events_are_listed_by_start_and_those_that_ended_longest_ago_are_left_out() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    // Twelve hundred, each a day after the one before it; those with odd numbers end a year later.
    sqlx::query(
        "INSERT INTO social_events (network_id, id, community_id, creator_id, is_published, title, description, starts_at,
             ends_at, preview_resource_id, room_id, participant_limit, price, custom_data, form_schema)
         SELECT 'demo', gen_random_uuid(), '', 'alice', true, n::text, '', '2020-01-01'::timestamptz + n * interval '1 day',
             '2020-01-02'::timestamptz + (n + n % 2 * 365) * interval '1 day', '', '', 0, 0, '{}', '{}'
         FROM generate_series(1, 1200) n",
    )
    .execute(&mut stack.database().await)
    .await
    .expect("many events");
    let mut answer = bob.ask("social:getEvents", json!({"source": "network:demo"})).await;
    let titles = |events: &Value| -> Vec<u32> {
        let title = |event: &Value| event["title"].as_str().expect("a title").parse().expect("a number");
        events.as_array().expect("a list").iter().map(title).collect()
    };
    let listed = titles(&answer["events"].take());
    let mut by_end: Vec<u32> = (1..=1200).collect();
    by_end.sort_by_key(|n| std::cmp::Reverse((n + n % 2 * 365, *n)));
    let mut expected = by_end[..1000].to_vec();
    expected.sort_unstable();
    assert_eq!(listed, expected);

    // Large ones: as many as fit.
    sqlx::query("UPDATE social_events SET custom_data = jsonb_build_object('x', repeat('y', 60000))::text")
        .execute(&mut stack.database().await)
        .await
        .expect("large events");
    let mut answer = bob.ask("social:getEvents", json!({"source": "network:demo"})).await;
    let mut expected = by_end[..13].to_vec();
    expected.sort_unstable();
    assert_eq!(titles(&answer["events"].take()), expected);
}

#[tokio::test]
async fn s4_an_event_does_not_move_away_from_its_sessions() {
    let stack = Stack::builder().start().await;
    let mut alice = stack.client(0, "alice").await;
    let event = event_for(&mut alice, 0).await;
    create(&mut alice, yoga(Some(&event)), json!([])).await;
    for (changes, expected) in [
        (json!({"startDate": "2030-01-02T10:00:00Z", "endDate": "2030-01-02T11:00:00Z"}), 0),
        (json!({"startDate": "2030-01-02T10:00:00.000001Z"}), 409),
        (json!({"endDate": "2030-01-02T10:59:59.999999Z"}), 409),
        (json!({"startDate": "2030-01-02T09:00:00Z"}), 0),
        (json!({"startDate": "2030-01-03T00:00:00Z", "endDate": "2030-02-01T00:00:00Z"}), 409),
    ] {
        assert_eq!(
            super::code(&mut alice, "social:updateEvent", change(&event, changes.clone())).await,
            expected,
            "{changes}"
        );
    }
}

#[tokio::test]
async fn s3_a_deleted_event_takes_its_sessions_along_and_each_is_told() {
    const MANY: usize = 230;
    let stack = Stack::builder().gateways(2).workers(2).gateway_arg("--rate-limit=10000").start().await;
    let mut people = People::of(&stack).await;
    let mut carol = stack.client(1, "carol").await;
    let event = event_for(&mut people.alice, 0).await;
    let kept = publish(&mut people.alice, "community:demo:garden", in_january()).await;
    let kept = create(&mut people.alice, yoga(Some(&kept)), super::users(&["carol"])).await;
    let mut sessions = Vec::new();
    for n in 0..MANY {
        let session = create(&mut people.bob, yoga(Some(&event)), json!([{"userId": "carol"}])).await;
        sessions.push(session["id"].as_str().expect("an id").to_owned());
        if n == 0 {
            people.dave.ask("social:joinSession", named(&session)).await;
        }
    }
    people.alice.ask("social:deleteEvent", named_event(&event)).await;
    let mut told = Vec::new();
    while told.len() < MANY {
        let event = carol.next_event().await;
        if event["event"] == "social:sessionDeleted" {
            assert_eq!(event["data"].as_object().map(serde_json::Map::len), Some(1), "{event}");
            told.push(event["data"]["sessionId"].as_str().expect("an id").to_owned());
        }
    }
    told.sort_unstable();
    sessions.sort_unstable();
    assert_eq!(told, sessions);
    people.dave.event("social:sessionUpdated").await;
    people.dave.event("social:sessionDeleted").await;
    people.dave.no_event().await;
    assert_eq!(refused(&mut people.bob, "social:getEvent", named_event(&event)).await.0, 404);
    assert_eq!(refused(&mut people.alice, "social:deleteEvent", named_event(&event)).await.0, 404);
    for session in &sessions[..3] {
        assert_eq!(refused(&mut people.bob, "social:getSession", json!({"sessionId": session})).await.0, 404);
    }
    assert_eq!(super::count(&stack, "SELECT count(*) FROM social_participants").await, 2);
    get(&mut people.bob, &kept).await;
}
