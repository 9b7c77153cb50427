//! What is told, to whom, and what each sees: rules S11, V5.

use std::time::Duration;

use harness::{Client, Stack, eventually};
use serde_json::{Value, json};

use super::{
    People, count, create, crowd, event_for, get, in_january, invited, joined, let_join, named, publish, update, users,
    with, yoga,
};

/// The session of the next event, which must tell of one.
async fn told(client: &mut Client) -> Value {
    client.event("social:sessionUpdated").await["data"]["session"].take()
}

#[tokio::test]
async fn s11_owner_invited_joined_and_removed_users_are_told_on_every_pod() {
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    stack.import_all(&crowd(1)).await;
    let mut people = People::of(&stack).await;
    let mut bob = stack.connect_as(1, "bob", "demo", "another").open().await.expect("let in");
    bob.event("user_info").await;
    let mut stranger = stack.client(1, "u0").await;
    let session = create(&mut people.bob, yoga(None), users(&["carol"])).await;
    for client in [&mut people.bob, &mut bob, &mut people.carol] {
        assert_eq!(told(client).await, session);
    }
    people.dave.ask("social:joinSession", named(&session)).await;
    for client in [&mut people.bob, &mut bob, &mut people.carol, &mut people.dave] {
        assert_eq!(joined(&told(client).await), ["dave"]);
    }
    let invite = with(named(&session), json!({"usersToInvite": users(&["alice"])}));
    people.bob.ask("social:inviteUsersToSession", invite).await;
    for client in [&mut people.alice, &mut bob, &mut people.carol, &mut people.dave] {
        assert_eq!(invited(&told(client).await), ["carol", "alice"]);
    }
    // Those who are removed are told of that, and of nothing more.
    let remove = with(named(&session), json!({"usersToInvite": ["alice"]}));
    people.bob.ask("social:deleteUserSessionInvitations", remove).await;
    people.dave.ask("social:declineSessionJoin", named(&session)).await;
    assert_eq!(invited(&told(&mut people.alice).await), ["carol"]);
    for client in [&mut bob, &mut people.carol, &mut people.dave] {
        assert_eq!(invited(&told(client).await), ["carol"]);
        assert_eq!(joined(&told(client).await), [""; 0]);
    }
    people.bob.ask("social:deleteSession", named(&session)).await;
    for client in [&mut bob, &mut people.carol] {
        assert_eq!(client.event("social:sessionDeleted").await["data"], named(&session));
    }
    // A network's events have one order: what comes next for them comes after all of that.
    let last = create(&mut people.bob, yoga(None), users(&["alice", "dave", "u0"])).await;
    for client in [&mut people.alice, &mut people.dave, &mut stranger] {
        assert_eq!(told(client).await, last);
    }
}

/// Dave is incognito. Kim is an admin of the community `club`.
async fn incognito() -> Stack {
    let stack = Stack::builder().gateways(2).start().await;
    let members = ["bob", "carol", "dave"].map(|user| json!({"userId": user, "role": "Participant"}));
    let members: Vec<Value> = members.into_iter().chain([json!({"userId": "kim", "role": "Admin"})]).collect();
    stack
        .import_all(&[
            json!({"kind": "user", "id": "kim", "networkIds": ["demo"]}),
            json!({"kind": "user", "id": "dave", "privacyMode": 1, "lastName": "Dark", "avatar": "d", "companyName": "D",
                "companyTitle": "Boss", "avatar3D": {"assetId": "hat"}}),
            json!({"kind": "community", "id": "club", "networkId": "demo", "members": members}),
        ])
        .await;
    stack
}

#[tokio::test]
async fn v5_incognito_users_are_shown_to_themselves_the_owner_and_managers() {
    let stack = incognito().await;
    let mut people = People::of(&stack).await;
    let mut kim = stack.client(1, "kim").await;
    let event = publish(&mut kim, "community:demo:club", in_january()).await;
    let invite = json!([{"userId": "dave", "role": 2}, {"userId": "kim"}, {"userId": "carol"}]);
    let session = create(&mut people.bob, yoga(Some(&event)), invite).await;
    people.dave.ask("social:joinSession", named(&session)).await;
    let whole = json!({"id": "dave", "firstName": "dave", "lastName": "Dark", "privacyMode": 1, "avatar": "d",
        "avatar3D": {"assetId": "hat", "assetSkins": {}, "avatarUrl": "", "avatarUserId": ""},
        "companyName": "D", "companyTitle": "Boss"});
    let masked = json!({"id": "", "firstName": "", "lastName": "", "privacyMode": 1, "avatar": "", "companyName": "",
        "companyTitle": ""});
    let shown = |session: &Value| json!([session["invitedUsers"][0], session["joinedUsers"]]);
    let as_whole = json!([{"user": whole, "role": 2}, [whole]]);
    let as_masked = json!([{"user": masked, "role": 2}, [masked]]);

    // In answers; alice manages the network.
    let everyone = [
        (&mut people.bob, &as_whole),
        (&mut people.alice, &as_whole),
        (&mut kim, &as_whole),
        (&mut people.dave, &as_whole),
        (&mut people.carol, &as_masked),
    ];
    for (client, expected) in everyone {
        assert_eq!(&shown(&get(client, &session).await), expected);
        let mut listed = client.ask("social:getSessions", json!({"eventId": event["id"]})).await;
        assert_eq!(&shown(&listed["sessions"][0].take()), expected);
        let mut at_the_stage = client.ask("social:getPropSessions", json!({"roomId": "stage", "propId": ""})).await;
        assert_eq!(&shown(&at_the_stage["sessions"][0].take()), expected);
    }
    // In events, where he sees himself like the others do.
    let everyone = [
        (&mut people.bob, &as_whole),
        (&mut kim, &as_whole),
        (&mut people.dave, &as_masked),
        (&mut people.carol, &as_masked),
    ];
    for (client, expected) in everyone {
        told(client).await;
        let event = client.event("social:sessionUpdated").await;
        assert_eq!(&shown(&event["data"]["session"]), expected);
    }
    assert_eq!(
        count(&stack, "SELECT count(*) FROM event_log WHERE network_id = 'demo'").await,
        4,
        "two texts of two changes"
    );
    // An incognito owner is known as the owner, and not as one who has joined.
    let own = create(&mut people.dave, yoga(Some(&event)), json!([])).await;
    people.dave.ask("social:joinSession", named(&own)).await;
    let seen = get(&mut people.carol, &own).await;
    assert_eq!(json!([seen["ownerId"], seen["owner"], seen["joinedUsers"]]), json!(["dave", whole, [masked]]));
}

#[tokio::test]
async fn s11_five_hundred_of_those_who_joined_are_listed_the_reader_among_them() {
    const JOINED: usize = 620;
    let stack = Stack::builder().gateways(2).start().await;
    stack.import_all(&crowd(JOINED)).await;
    let mut people = People::of(&stack).await;
    let session = create(&mut people.bob, yoga(None), users(&["carol", "u600"])).await;
    let names: Vec<String> = (0..JOINED).map(|n| format!("u{n}")).collect();
    sqlx::query("DELETE FROM social_participants WHERE user_id = 'u600'")
        .execute(&mut stack.database().await)
        .await
        .expect("gone");
    let_join(&stack, &session, &names).await;
    let mut first = stack.client(0, "u3").await;
    let mut last = stack.client(1, "u610").await;
    for (client, expected) in [
        (&mut people.bob, &names[..500]),
        (&mut people.carol, &names[..500]),
        (&mut first, &names[..500]),
        (&mut last, &names[120..]),
    ] {
        assert_eq!(joined(&get(client, &session).await), expected);
    }
    for client in [&mut people.bob, &mut people.carol] {
        told(client).await;
    }
    update(&mut people.bob, &session, json!({"title": "Mass yoga"})).await;
    for (client, expected) in [
        (&mut people.bob, &names[..500]),
        (&mut people.carol, &names[..500]),
        (&mut first, &names[..500]),
        (&mut last, &names[120..]),
    ] {
        assert_eq!(joined(&told(client).await), expected);
    }
    assert_eq!(count(&stack, "SELECT count(*) FROM event_log WHERE payload LIKE '%Mass yoga%'").await, 2);
}

#[tokio::test]
async fn s11_what_would_be_too_large_lists_fewer_of_those_who_joined() {
    let stack = Stack::builder().start().await;
    let long = "é".repeat(900);
    let lines: Vec<Value> = crowd(400).into_iter().map(|line| with(line, json!({"companyName": long}))).collect();
    stack.import_all(&lines).await;
    let mut people = People::of(&stack).await;
    let session = create(&mut people.bob, yoga(None), json!([])).await;
    let names: Vec<String> = (0..400).map(|n| format!("u{n}")).collect();
    let_join(&stack, &session, &names).await;
    let mut last = stack.client(0, "u399").await;
    update(&mut people.bob, &session, json!({"title": "Mass yoga"})).await;
    for seen in [told(&mut last).await, get(&mut last, &session).await] {
        assert_eq!(joined(&seen), names[150..]);
    }
}

#[tokio::test]
async fn s11_in_a_session_of_more_than_a_hundred_joins_are_told_to_those_who_merely_joined_now_and_then() {
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    stack.import_all(&crowd(110)).await;
    let mut people = People::of(&stack).await;
    let event = event_for(&mut people.alice, 0).await;
    let session = create(&mut people.bob, yoga(Some(&event)), users(&["carol"])).await;
    let names: Vec<String> = (0..99).map(|n| format!("u{n}")).collect();
    let_join(&stack, &session, &names).await;
    told(&mut people.bob).await;
    told(&mut people.carol).await;
    let mut merely = stack.client(1, "u0").await;
    let mut away = stack.client(0, "u1").await;

    // The hundredth is told to everyone, and so is the first of more, as nobody has been told lately.
    let mut joiners = Vec::new();
    for n in 99..106 {
        joiners.push(stack.client(n % 2, &format!("u{n}")).await);
    }
    let mut last_id = Value::Null;
    for (n, joiner) in joiners[..2].iter_mut().enumerate() {
        joiner.ask("social:joinSession", named(&session)).await;
        for client in [&mut merely, &mut away] {
            let event = client.event("social:sessionUpdated").await;
            assert_eq!(joined(&event["data"]["session"]).len(), 100 + n);
            last_id = event["eventId"].clone();
        }
    }
    // From then on only the owner, the invited and those whom it concerns are told at once.
    away.close().await;
    let begun = tokio::time::Instant::now();
    for joiner in &mut joiners[2..] {
        joiner.ask("social:joinSession", named(&session)).await;
    }
    people.dave.ask("social:joinSession", named(&session)).await;
    people.dave.ask("social:declineSessionJoin", named(&session)).await;
    for client in [&mut people.bob, &mut people.carol] {
        for expected in [100, 101, 102, 103, 104, 105, 106, 107, 106] {
            assert_eq!(joined(&told(client).await).len(), expected);
        }
    }
    assert_eq!(joined(&told(&mut people.dave).await).len(), 107);
    assert_eq!(joined(&told(&mut people.dave).await).len(), 106);
    for (n, joiner) in joiners[2..].iter_mut().enumerate() {
        assert_eq!(joined(&told(joiner).await).len(), 102 + n, "what concerns him");
    }
    merely.no_event().await;
    // What waits survives whoever was to tell it.
    for worker in &stack.workers {
        worker.restart().await;
    }
    let newest = told(&mut merely).await;
    assert!(begun.elapsed() > Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(joined(&newest).len(), 106, "once, with the newest state");

    // Any other change is told at once, with everything that waited.
    people.dave.ask("social:joinSession", named(&session)).await;
    update(&mut people.bob, &session, json!({"title": "Mass yoga"})).await;
    let renamed = told(&mut merely).await;
    assert_eq!((renamed["title"].as_str(), joined(&renamed).len()), (Some("Mass yoga"), 107));
    assert_eq!(count(&stack, "SELECT count(*) FROM social_news WHERE is_pending").await, 0);

    // Who was away misses nothing of what he was to be told.
    let mut back = stack.connect(1, "u1").last_event_id(last_id.as_str().expect("an id")).open().await.expect("let in");
    back.event("user_info").await;
    assert_eq!(told(&mut back).await, newest);
    assert_eq!(told(&mut back).await, renamed);
    back.no_event().await;
}

#[tokio::test]
async fn s11_news_that_wait_are_told_once_whoever_looks() {
    let stack = Stack::builder().workers(2).start().await;
    stack.import_all(&crowd(120)).await;
    let mut people = People::of(&stack).await;
    let session = create(&mut people.bob, yoga(None), json!([])).await;
    let names: Vec<String> = (0..110).map(|n| format!("u{n}")).collect();
    let_join(&stack, &session, &names).await;
    let mut merely = stack.client(0, "u0").await;
    for _ in 0..5 {
        // Told just now, as far as the database knows; a join that waits; and then the time has come.
        for (client, endpoint) in [(&mut people.dave, "social:joinSession"), (&mut people.carol, "social:joinSession")]
        {
            client.ask(endpoint, named(&session)).await;
        }
        told(&mut merely).await;
        let due = "UPDATE social_news SET told_at = told_at - interval '10 s'";
        sqlx::query(due).execute(&mut stack.database().await).await.expect("due");
        assert_eq!(joined(&told(&mut merely).await).len(), 112);
        eventually!(count(&stack, "SELECT count(*) FROM social_news WHERE is_pending").await, |waiting| *waiting == 0);
        let later = "UPDATE social_news SET told_at = now() - interval '1 h'";
        sqlx::query(later).execute(&mut stack.database().await).await.expect("later");
        for client in [&mut people.dave, &mut people.carol] {
            client.ask("social:declineSessionJoin", named(&session)).await;
        }
        told(&mut merely).await;
        sqlx::query(due).execute(&mut stack.database().await).await.expect("due");
        assert_eq!(joined(&told(&mut merely).await).len(), 110);
        sqlx::query(later).execute(&mut stack.database().await).await.expect("later");
    }
    merely.no_event().await;
}
