//! What becomes of meetings when their source or their people go: rule M7.

use harness::{Stack, eventually};
use serde_json::{Value, json};

use super::{People, create, in_the_lobby, named, refused, told_twice, with};

fn deleted(kind: &str, id: &str) -> Value {
    json!({"kind": kind, "id": id, "deleted": true})
}

#[tokio::test]
async fn m7_a_meeting_is_invalid_while_its_source_is_deleted() {
    let stack = Stack::builder().start().await;
    let mut alice = stack.client(0, "alice").await;
    for (source_type, ids, kind, id) in [
        ("room", json!(["lobby"]), "room", "lobby"),
        ("prop", json!(["lobby+table"]), "prop", "table"),
        ("prop", json!(["lobby+table"]), "room", "lobby"),
        ("group", json!(["team"]), "group", "team"),
        ("direct", json!(["dave"]), "user", "dave"),
    ] {
        let data = with(in_the_lobby(&[]), json!({"sourceType": source_type, "sourceIds": ids}));
        let meeting = create(&mut alice, data.clone()).await;
        let mut is_valid =
            async || alice.ask("meeting:getMeeting", named(&meeting)).await["meeting"]["isValid"].clone();
        assert_eq!(is_valid().await, true);
        stack.import_all(&[deleted(kind, id)]).await;
        assert_eq!(is_valid().await, false, "{source_type} without its {kind}");
        stack.import_all(&[json!({"kind": kind, "id": id})]).await;
        assert_eq!(is_valid().await, true, "{source_type} with its {kind} again");
    }
}

#[tokio::test]
async fn m7_an_invalid_meeting_can_be_answered_changed_and_deleted() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let meeting = create(&mut people.bob, in_the_lobby(&["carol"])).await;
    stack.import_all(&[deleted("room", "lobby")]).await;
    people.carol.ask("meeting:acceptMeetingRequest", named(&meeting)).await;
    let update = with(named(&meeting), json!({"subject": "Homeless plans"}));
    let updated = people.bob.ask("meeting:updateMeeting", update).await;
    assert_eq!(updated["meeting"]["isValid"], false);
    let again = refused(&mut people.bob, "meeting:createMeeting", in_the_lobby(&[])).await;
    assert_eq!(again.0, 802, "but nothing new is made there");
    people.bob.ask("meeting:deleteMeeting", named(&meeting)).await;

    // Of the deleted room itself nothing is pushed.
    told_twice(&mut people.carol, "meeting:onMeetingCreated").await;
    let [answered, deprecated] = told_twice(&mut people.carol, "meeting:onMeetingUpdated").await;
    assert_eq!(answered["data"]["meeting"], with(meeting.clone(), json!({"isValid": false})));
    assert_eq!(deprecated["data"]["meeting"]["isValid"], false);
    let [changed, deprecated] = told_twice(&mut people.carol, "meeting:onMeetingUpdated").await;
    assert_eq!(changed["data"], updated);
    assert_eq!(deprecated["data"]["meeting"]["subject"], "Homeless plans");
    told_twice(&mut people.carol, "meeting:onMeetingDeleted").await;
}

/// A past and a future meeting that dave organizes, and one of each that bob organizes with dave, all with carol.
struct Four {
    own: [Value; 2],
    others: [Value; 2],
}

impl Four {
    async fn of(people: &mut People) -> Self {
        let past = json!({"startDate": "2020-01-01T10:00:00Z", "endDate": "2020-01-01T11:00:00Z"});
        let future = in_the_lobby(&["dave", "carol"]);
        Self {
            own: [
                create(&mut people.dave, with(future.clone(), past.clone())).await,
                create(&mut people.dave, future.clone()).await,
            ],
            others: [create(&mut people.bob, with(future.clone(), past)).await, create(&mut people.bob, future).await],
        }
    }

    /// What holds when dave has left, and what carol has been told.
    async fn are_without_dave(&self, people: &mut People) {
        for _ in 0..4 {
            told_twice(&mut people.carol, "meeting:onMeetingCreated").await;
        }
        let mut told: Vec<Value> = Vec::new();
        for name in ["meeting:onMeetingDeleted", "meeting:onMeetingUpdated", "meeting:onMeetingUpdated"] {
            let [event, deprecated] = told_twice(&mut people.carol, name).await;
            told.push(event);
            if name == "meeting:onMeetingUpdated" {
                let invited = &deprecated["data"]["meeting"]["invitedUsers"];
                assert_eq!(invited.as_array().map(Vec::len), Some(1), "{invited}");
                assert_eq!(invited[0]["user"]["id"], "carol");
            }
        }
        let about = |id: &Value| {
            let event = told
                .iter()
                .find(|event| event["data"]["meetingId"] == *id || event["data"]["meeting"]["meetingId"] == *id);
            let event = event.unwrap_or_else(|| panic!("nothing was told about {id}: {told:?}"));
            (event["event"].as_str().expect("a name"), event["data"].clone())
        };
        let [ended, planned] = &self.own;
        assert_eq!(about(&planned["meetingId"]), ("meeting:onMeetingDeleted", named(planned)));
        for meeting in &self.others {
            let left = json!({"meeting": with(meeting.clone(), json!({"participantIds": ["bob", "carol"]}))});
            assert_eq!(about(&meeting["meetingId"]), ("meeting:onMeetingUpdated", left.clone()));
            assert_eq!(people.carol.ask("meeting:getMeeting", named(meeting)).await, left);
        }
        assert_eq!(refused(&mut people.carol, "meeting:getMeeting", named(planned)).await.0, 404);
        assert_eq!(
            people.carol.ask("meeting:getMeeting", named(ended)).await["meeting"],
            *ended,
            "what is over is kept"
        );
    }
}

#[tokio::test]
async fn m7_a_deleted_user_takes_his_plans_along() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let four = Four::of(&mut people).await;
    stack.import_all(&[deleted("user", "dave")]).await;
    assert_eq!(people.dave.closed().await, Some(4502));
    four.are_without_dave(&mut people).await;
}

#[tokio::test]
async fn m7_a_user_who_is_taken_off_a_network_leaves_its_meetings() {
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
    let garage = with(in_the_lobby(&[]), json!({"sourceIds": ["garage"]}));
    let kept = create(&mut elsewhere, garage).await;
    let four = Four::of(&mut people).await;
    stack.import_all(&[json!({"kind": "user", "id": "dave", "networkIds": ["other"]})]).await;
    assert_eq!(people.dave.closed().await, Some(4502));
    four.are_without_dave(&mut people).await;
    assert_eq!(elsewhere.ask("meeting:getMeeting", named(&kept)).await["meeting"], kept, "nothing changes elsewhere");
}

#[tokio::test]
async fn m7_a_user_who_returns_finds_no_meeting_that_he_was_taken_off() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let meeting = create(&mut people.bob, in_the_lobby(&["dave"])).await;
    stack.import_all(&[deleted("user", "dave")]).await;
    assert_eq!(people.dave.closed().await, Some(4502));
    stack.import_all(&[json!({"kind": "user", "id": "dave"})]).await;
    let mut dave = stack.client(0, "dave").await;
    assert_eq!(refused(&mut dave, "meeting:getMeeting", named(&meeting)).await.0, 404);
    let direct = with(in_the_lobby(&[]), json!({"sourceType": "direct", "sourceIds": ["dave"]}));
    create(&mut people.bob, direct).await;
}

#[tokio::test]
async fn m7_nobody_has_too_many_meetings_to_leave() {
    const MEETINGS: i64 = 3_000;
    let stack = Stack::builder().start().await;
    let mut database = stack.database().await;
    sqlx::query(
        "WITH made AS (
             INSERT INTO meetings (network_id, id, organizer_id, source_type, room_id, starts_at, ends_at, subject,
                                   description, color_r, color_g, color_b, color_a)
             SELECT 'demo', gen_random_uuid(), 'bob', 'room', 'lobby', now(), now() + '1 hour', 'Plans', '', 0, 0, 0, 0
             FROM generate_series(1, $1)
             RETURNING *)
         INSERT INTO meeting_participants (network_id, meeting_id, user_id, status, position, starts_at, ends_at)
         SELECT network_id, id, user_id, 'accepted', position, starts_at, ends_at
         FROM made, unnest('{bob,carol,dave}'::text[]) WITH ORDINALITY p (user_id, position)",
    )
    .bind(MEETINGS)
    .execute(&mut database)
    .await
    .expect("many meetings");

    stack.import_all(&[deleted("user", "dave")]).await;
    // He may not be back before he is gone: then his line is bad.
    eventually!(stack.import(&[json!({"kind": "user", "id": "dave"})]).await, |answer| {
        let is_back = answer["applied"] == 1;
        let message = answer["errors"][0]["message"].as_str().unwrap_or_default();
        assert!(is_back || message.starts_with("id: "), "{answer}");
        is_back
    });
    let count = async |database: &mut sqlx::PgConnection, query: &'static str| -> i64 {
        sqlx::query_scalar(query).fetch_one(database).await.expect("a count")
    };
    assert_eq!(count(&mut database, "SELECT count(*) FROM meeting_participants WHERE user_id = 'dave'").await, 0);
    assert_eq!(count(&mut database, "SELECT count(*) FROM meeting_participants").await, 2 * MEETINGS);
    eventually!(count(&mut database, "SELECT count(*) FROM event_recipients WHERE user_id = 'carol'").await, |told| {
        *told == 2 * MEETINGS
    });
}
