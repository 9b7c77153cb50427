//! Users who leave: rule S3.

use harness::{Stack, eventually};
use serde_json::{Value, json};

use super::{People, count, create, event_for, get, invited, joined, named, refused, users, with, yoga};

fn deleted(user: &str) -> Value {
    json!({"kind": "user", "id": user, "deleted": true})
}

/// Sessions with carol: dave's own, over and to come, and bob's, over and to come, which he has joined.
struct Four {
    own: [Value; 2],
    others: [Value; 2],
}

impl Four {
    async fn of(people: &mut People) -> Self {
        let past = json!({"startDate": "2020-01-02T10:00:00Z"});
        let endless = with(with(yoga(None), past.clone()), json!({"isRecurring": true}));
        let own = [
            create(&mut people.dave, with(yoga(None), past.clone()), users(&["carol"])).await,
            create(&mut people.dave, endless, users(&["carol"])).await,
        ];
        let others = [
            create(&mut people.bob, with(yoga(None), past), users(&["dave", "carol"])).await,
            create(&mut people.bob, yoga(None), users(&["carol"])).await,
        ];
        people.dave.ask("social:joinSession", named(&others[1])).await;
        for _ in 0..5 {
            people.carol.event("social:sessionUpdated").await;
        }
        Self { own, others }
    }

    /// What holds when dave has left, and what carol has been told.
    async fn are_without_dave(&self, people: &mut People) {
        let mut told = Vec::new();
        for _ in 0..3 {
            told.push(people.carol.next_event().await);
        }
        let about = |session: &Value| {
            let id = &session["id"];
            let event =
                told.iter().find(|event| event["data"]["sessionId"] == *id || event["data"]["session"]["id"] == *id);
            event.unwrap_or_else(|| panic!("nothing was told about {id}: {told:?}"))
        };
        let [over, to_come] = &self.own;
        assert_eq!(
            (&about(to_come)["event"], &about(to_come)["data"]),
            (&json!("social:sessionDeleted"), &named(to_come))
        );
        assert_eq!(refused(&mut people.carol, "social:getSession", named(to_come)).await.0, 404);
        assert_eq!(get(&mut people.carol, over).await, *over, "what is over is kept");
        for session in &self.others {
            let now = get(&mut people.carol, session).await;
            assert_eq!((invited(&now), joined(&now)), (vec!["carol".to_owned()], vec![]));
            assert_eq!(about(session)["event"], "social:sessionUpdated");
            assert_eq!(about(session)["data"]["session"], now);
        }
    }
}

#[tokio::test]
async fn s3_a_deleted_user_takes_his_sessions_along() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let four = Four::of(&mut people).await;
    stack.import_all(&[deleted("dave")]).await;
    assert_eq!(people.dave.closed().await, Some(4502));
    four.are_without_dave(&mut people).await;
}

#[tokio::test]
async fn s3_a_user_who_is_taken_off_a_network_leaves_its_sessions() {
    let stack = Stack::builder().start().await;
    stack
        .import_all(&[
            json!({"kind": "network", "id": "other"}),
            json!({"kind": "user", "id": "dave", "networkIds": ["demo", "other"]}),
            json!({"kind": "room", "id": "garage", "networkId": "other", "isPublic": true}),
        ])
        .await;
    let mut people = People::of(&stack).await;
    let mut elsewhere = stack.connect_as(0, "dave", "other", "elsewhere").open().await.expect("let in");
    let kept = create(&mut elsewhere, with(yoga(None), json!({"roomId": "garage"})), json!([])).await;
    let four = Four::of(&mut people).await;
    stack.import_all(&[json!({"kind": "user", "id": "dave", "networkIds": ["other"]})]).await;
    assert_eq!(people.dave.closed().await, Some(4502));
    four.are_without_dave(&mut people).await;
    assert_eq!(get(&mut elsewhere, &kept).await, kept, "nothing changes elsewhere");
}

#[tokio::test]
async fn s3_a_user_who_returns_finds_no_session_that_he_was_taken_off() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let event = event_for(&mut people.alice, 1).await;
    let private = with(yoga(Some(&event)), json!({"sessionType": 1}));
    let session = create(&mut people.bob, private, users(&["dave", "carol"])).await;
    people.dave.ask("social:joinSession", named(&session)).await;
    stack.import_all(&[deleted("dave"), json!({"kind": "user", "id": "dave"})]).await;
    assert_eq!(people.dave.closed().await, Some(4502));
    let mut dave = stack.client(0, "dave").await;
    assert_eq!(refused(&mut dave, "social:getSession", named(&session)).await.0, 404);
    people.carol.ask("social:joinSession", named(&session)).await;
}

#[tokio::test]
async fn s3_nobody_has_too_many_sessions_to_leave() {
    const SESSIONS: i64 = 1_000;
    let stack = Stack::builder().start().await;
    let mut database = stack.database().await;
    sqlx::query(
        "WITH made AS (
             INSERT INTO social_sessions (network_id, id, owner_id, owner_name, room_id, prop_id, session_type, title,
                 description, color_r, color_g, color_b, color_a, starts_at, seconds, is_recurring, local_start, time_zone,
                 ends_at)
             SELECT 'demo', gen_random_uuid(), CASE n % 2 WHEN 0 THEN 'dave' ELSE 'bob' END, '', 'lobby', '', 0, 'Yoga', '',
                 0, 0, 0, 0, '2099-01-01', 60, false, '2099-01-01', 'UTC', '2099-01-01 00:01'
             FROM generate_series(1, $1) n
             RETURNING *)
         INSERT INTO social_participants (network_id, session_id, user_id, is_owner, role, invited_no, starts_at, ends_at)
         SELECT network_id, id, user_id, owner_id = user_id, CASE WHEN owner_id <> user_id THEN 0 END,
             CASE WHEN owner_id <> user_id THEN position END, starts_at, ends_at
         FROM made, unnest('{bob,carol,dave}'::text[]) WITH ORDINALITY p (user_id, position)",
    )
    .bind(SESSIONS)
    .execute(&mut database)
    .await
    .expect("many sessions");
    stack.import_all(&[deleted("dave")]).await;
    // He may not be back before he is gone: then his line is bad.
    eventually!(stack.import(&[json!({"kind": "user", "id": "dave"})]).await, |answer| {
        let is_back = answer["applied"] == 1;
        let message = answer["errors"][0]["message"].as_str().unwrap_or_default();
        assert!(is_back || message.starts_with("id: "), "{answer}");
        is_back
    });
    assert_eq!(count(&stack, "SELECT count(*) FROM social_participants WHERE user_id = 'dave'").await, 0);
    assert_eq!(count(&stack, "SELECT count(*) FROM social_sessions").await, SESSIONS / 2);
    eventually!(count(&stack, "SELECT count(*) FROM event_recipients WHERE user_id = 'carol'").await, |told| {
        *told == SESSIONS
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_who_joins_or_is_invited_while_he_leaves_is_gone_in_the_end() {
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    let mut people = People::of(&stack).await;
    for round in 0..8 {
        let session = create(&mut people.bob, yoga(None), json!([])).await;
        let mut dave = stack.connect_as(1, "dave", "demo", &round.to_string()).open().await.expect("let in");
        dave.send("social:joinSession", named(&session), None).await;
        let invite = with(named(&session), json!({"usersToInvite": users(&["dave"])}));
        let inviting = people.bob.call("social:inviteUsersToSession", invite);
        let leaving = [deleted("dave")];
        let (invited, _) = tokio::join!(inviting, stack.import_all(&leaving));
        let code = &invited["error"]["code"];
        assert!(*code == 0 || *code == 404, "{invited}");
        assert_eq!(
            count(&stack, "SELECT count(*) FROM social_participants WHERE user_id = 'dave'").await,
            0,
            "{round}"
        );
        stack.import_all(&[json!({"kind": "user", "id": "dave"})]).await;
    }
}

#[tokio::test]
async fn s3_who_is_just_leaving_is_waited_for_and_belongs_to_nothing_new() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let session = create(&mut people.bob, yoga(None), json!([])).await;
    let mut leaving = stack.database().await;
    sqlx::raw_sql("BEGIN; DELETE FROM members WHERE user_id = 'dave'").execute(&mut leaving).await.expect("leaving");
    let request = json!({"session": yoga(None), "usersToInvite": []});
    let join = people.dave.send("social:joinSession", named(&session), None).await;
    let own = people.dave.send("social:createSession", request, None).await;
    let invite = with(named(&session), json!({"usersToInvite": users(&["dave"])}));
    let invite = people.bob.send("social:inviteUsersToSession", invite, None).await;
    eventually!(count(&stack, super::places::WAITING).await, |waiting| *waiting == 3);
    sqlx::raw_sql("COMMIT").execute(&mut leaving).await.expect("gone");
    // Done afresh they do not even see the session any more.
    for id in [join, own] {
        let answer = people.dave.answer(id).await;
        assert!([401, 404, 803].contains(&answer["error"]["code"].as_u64().expect("a code")), "{answer}");
    }
    assert_eq!(people.bob.answer(invite).await["error"]["message"], "invited user dave not found");
    assert_eq!(count(&stack, "SELECT count(*) FROM social_participants WHERE user_id = 'dave'").await, 0);
}
