//! Meetings, as clients see them: rules M1 to M11, A1 to A8 and V1 to V6. What has more to it than one answer is in
//! `meeting/`.

mod across;
mod answers;
mod availability;
mod concurrency;
mod counts;
mod deprecated;
mod events;
mod listing;
mod rights;
mod slots;
mod validity;

use harness::{Client, Stack};
use serde_json::{Value, json};

/// The sockets of everyone in `demo`: alice (who manages it), bob, carol and dave.
pub(crate) struct People {
    pub(crate) alice: Client,
    pub(crate) bob: Client,
    pub(crate) carol: Client,
    pub(crate) dave: Client,
}

impl People {
    pub(crate) async fn of(stack: &Stack) -> Self {
        let client = |user| Box::pin(stack.client(0, user));
        let (alice, bob, carol, dave) = tokio::join!(client("alice"), client("bob"), client("carol"), client("dave"));
        Self { alice, bob, carol, dave }
    }
}

/// A meeting in the lobby on 1 January 2030, from 10 to 11 o'clock.
pub(crate) fn in_the_lobby(invited: &[&str]) -> Value {
    json!({
        "sourceType": "room", "sourceIds": ["lobby"], "subject": "Plans", "description": "For the year",
        "color": {"r": 1, "g": 0.5, "b": 0, "a": 1}, "invitedUserIds": invited,
        "startDate": "2030-01-01T10:00:00Z", "endDate": "2030-01-01T11:00:00Z",
    })
}

/// `data` with other values.
pub(crate) fn with(mut data: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else { panic!("{changes} is no object") };
    for (field, value) in changes {
        data[field] = value;
    }
    data
}

/// Creates a meeting and returns it.
pub(crate) async fn create(client: &mut Client, data: Value) -> Value {
    client.ask("meeting:createMeeting", data).await["meeting"].take()
}

/// The next event, which has this name and is about a meeting in a room or at a prop, and the deprecated one that comes
/// right after it (M11).
pub(crate) async fn told_twice(client: &mut Client, name: &str) -> [Value; 2] {
    let event = client.event(name).await;
    let is_gone = name == "meeting:onMeetingDeleted";
    let companion = client.event(if is_gone { "meeting:meetingDeleted" } else { "meeting:meetingUpdated" }).await;
    let (id, companion_id) = if is_gone {
        (&event["data"]["meetingId"], &companion["data"]["meetingId"])
    } else {
        (&event["data"]["meeting"]["meetingId"], &companion["data"]["meeting"]["id"])
    };
    assert!(id.is_string() && id == companion_id, "about one meeting: {event} {companion}");
    [event, companion]
}

/// Code and message of what must fail.
pub(crate) async fn refused(client: &mut Client, endpoint: &str, data: Value) -> (u64, String) {
    let answer = client.call(endpoint, data).await;
    assert_eq!(answer["error"]["status"], true, "{endpoint}: {answer}");
    assert_eq!(answer.get("data"), None, "no data beside an error");
    let code = answer["error"]["code"].as_u64().expect("a code");
    (code, answer["error"]["message"].as_str().expect("a message").to_owned())
}

/// The code of the answer, 0 when it is good.
pub(crate) async fn code(client: &mut Client, endpoint: &str, data: Value) -> u64 {
    client.call(endpoint, data).await["error"]["code"].as_u64().expect("a code")
}

/// The request that names a meeting.
pub(crate) fn named(meeting: &Value) -> Value {
    json!({"meetingId": meeting["meetingId"]})
}

/// The participants' statuses, in order.
pub(crate) async fn statuses(stack: &Stack, meeting: &Value) -> Vec<(String, String)> {
    sqlx::query_as("SELECT user_id, status FROM meeting_participants WHERE meeting_id = $1::uuid ORDER BY position")
        .bind(meeting["meetingId"].as_str().expect("an id"))
        .fetch_all(&mut stack.database().await)
        .await
        .expect("the participants")
}

#[tokio::test]
async fn a_created_meeting_is_answered_whole() {
    let stack = Stack::builder().start().await;
    let mut alice = stack.client(0, "alice").await;
    let answer = alice.call("meeting:createMeeting", in_the_lobby(&["bob"])).await;
    let meeting = &answer["data"]["meeting"];
    let expected = json!({
        "id": answer["id"],
        "endpoint": "meeting:createMeeting",
        "data": {"meeting": {
            "meetingId": meeting["meetingId"], "created": meeting["created"],
            "subject": "Plans", "description": "For the year",
            "color": {"r": 1.0, "g": 0.5, "b": 0.0, "a": 1.0}, "isValid": true,
            "organizerId": "alice", "participantIds": ["alice", "bob"],
            "sourceString": "room:demo:lobby", "sourceType": "room", "sourcePk": "lobby", "networkId": "demo",
            "startDate": "2030-01-01T10:00:00Z", "endDate": "2030-01-01T11:00:00Z",
        }},
        "error": {"status": false, "code": 0, "message": ""},
    });
    assert_eq!(answer, expected);
    let id = uuid::Uuid::parse_str(meeting["meetingId"].as_str().expect("an id")).expect("a UUID");
    assert_eq!(id.get_version_num(), 7);
    let got = alice.ask("meeting:getMeeting", named(meeting)).await;
    assert_eq!(got, json!({"meeting": meeting}));
}

#[tokio::test]
async fn m1_the_source_says_where_a_meeting_is() {
    let stack = Stack::builder().start().await;
    let mut alice = stack.client(0, "alice").await;
    for (source_type, ids, pk) in [
        ("room", json!(["lobby"]), "lobby"),
        ("prop", json!(["lobby", "table"]), "lobby:table"),
        ("prop", json!(["stage+screen"]), "stage:screen"),
        ("group", json!(["team"]), "team"),
        ("direct", json!(["carol"]), "carol"),
    ] {
        let data = with(in_the_lobby(&[]), json!({"sourceType": source_type, "sourceIds": ids}));
        let meeting = create(&mut alice, data).await;
        let source = [&meeting["sourceType"], &meeting["sourcePk"], &meeting["sourceString"]];
        assert_eq!(source, [source_type, pk, &format!("{source_type}:demo:{pk}")]);
    }
    let oneself = with(in_the_lobby(&[]), json!({"sourceType": "direct", "sourceIds": ["alice"]}));
    assert_eq!(refused(&mut alice, "meeting:createMeeting", oneself).await.0, 400);
}

#[tokio::test]
async fn m2_the_organizer_has_accepted_and_the_others_have_received() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    let direct = json!({"sourceType": "direct", "sourceIds": ["dave"]});
    let group = json!({"sourceType": "group", "sourceIds": ["team"]});
    for (data, participants) in [
        (in_the_lobby(&[]), vec!["bob"]),
        (in_the_lobby(&["carol", "bob", "alice", "carol"]), vec!["bob", "carol", "alice"]),
        (with(in_the_lobby(&["carol", "dave"]), direct.clone()), vec!["bob", "dave", "carol"]),
        (with(in_the_lobby(&[]), direct), vec!["bob", "dave"]),
        (with(in_the_lobby(&[]), group.clone()), vec!["bob", "alice"]),
        (with(in_the_lobby(&["dave"]), group), vec!["bob", "dave"]),
    ] {
        let meeting = create(&mut bob, data).await;
        assert_eq!(meeting["participantIds"], json!(participants));
        let statuses = statuses(&stack, &meeting).await;
        let expected: Vec<(String, String)> = participants
            .into_iter()
            .map(|user| (user.to_owned(), if user == "bob" { "accepted" } else { "received" }.to_owned()))
            .collect();
        assert_eq!(statuses, expected);
    }
}

#[tokio::test]
async fn m2_an_unknown_invited_user_fails_the_whole_call_and_is_named() {
    let stack = Stack::builder().start().await;
    stack
        .import_all(&[
            json!({"kind": "network", "id": "other"}),
            json!({"kind": "user", "id": "stranger", "networkIds": ["other"]}),
            json!({"kind": "user", "id": "late", "networkIds": ["demo"]}),
            json!({"kind": "user", "id": "late", "deleted": true}),
        ])
        .await;
    let mut people = People::of(&stack).await;
    let direct = |user: &str| with(in_the_lobby(&[]), json!({"sourceType": "direct", "sourceIds": [user]}));
    for (data, name) in [
        (in_the_lobby(&["bob", "nobody"]), "nobody"),
        (in_the_lobby(&["bob", "no:body"]), "no:body"),
        (in_the_lobby(&["stranger", "bob"]), "stranger"),
        (in_the_lobby(&["late"]), "late"),
        (direct("stranger"), "stranger"),
        (direct("nobody"), "nobody"),
    ] {
        let (code, message) = refused(&mut people.alice, "meeting:createMeeting", data).await;
        assert_eq!(code, 404);
        assert!(message.contains(name), "{message}");
    }
    let meetings: i64 = sqlx::query_scalar("SELECT count(*) FROM meetings")
        .fetch_one(&mut stack.database().await)
        .await
        .expect("a count");
    assert_eq!(meetings, 0);
    let good = create(&mut people.alice, in_the_lobby(&["bob"])).await;
    let first = people.bob.event("meeting:onMeetingCreated").await;
    assert_eq!(first["data"]["meeting"], good, "nothing was pushed before");
}

#[tokio::test]
async fn m3_what_is_beyond_a_limit_is_400_and_names_the_field() {
    let stack = Stack::builder().start().await;
    let mut alice = stack.client(0, "alice").await;
    let many: Vec<String> = (0..101).map(|n| format!("u{n}")).collect();
    for (changes, field) in [
        (json!({"subject": ""}), "data.subject"),
        (json!({"subject": "é".repeat(256)}), "data.subject"),
        (json!({"description": "é".repeat(10_001)}), "data.description"),
        (json!({"startDate": null}), "data.startDate"),
        (json!({"endDate": "0001-01-01T00:00:00Z"}), "data.endDate"),
        (json!({"endDate": "2030-01-01T10:00:00Z"}), "data.endDate"),
        (json!({"endDate": "2030-02-01T10:00:00.000001Z"}), "data.endDate"),
        (json!({"startDate": "tomorrow"}), "data.startDate"),
        (json!({"invitedUserIds": many}), "data.invitedUserIds"),
        (json!({"invitedUserIds": "bob"}), "data.invitedUserIds"),
        (json!({"color": {"r": "red"}}), "data.color.r"),
        (json!({"sourceType": "roof"}), "data.sourceType"),
        (json!({"sourceIds": []}), "data.sourceIds"),
        (json!({"subject": "a\u{0}b"}), "data.subject"),
    ] {
        let data = with(in_the_lobby(&[]), changes.clone());
        let (code, message) = refused(&mut alice, "meeting:createMeeting", data).await;
        assert_eq!(code, 400, "{changes}: {message}");
        assert!(message.starts_with(&format!("{field}: ")), "{changes}: {message}");
    }
    let longest = json!({
        "subject": "é".repeat(255), "description": "é".repeat(10_000),
        "startDate": "1815-06-18T11:35:00Z", "endDate": "1815-07-19T11:35:00Z",
    });
    create(&mut alice, with(in_the_lobby(&[]), longest)).await;
}

#[tokio::test]
async fn m3_a_group_of_more_than_a_hundred_others_is_not_invited_whole() {
    let stack = Stack::builder().start().await;
    let users = (0..101).map(|n| json!({"kind": "user", "id": format!("u{n}"), "networkIds": ["demo"]}));
    let crowd = |count| {
        let members: Vec<Value> =
            (0..count).map(|n| json!({"userId": format!("u{n}"), "role": "Participant"})).collect();
        let members: Vec<Value> = std::iter::once(json!({"userId": "alice", "role": "Admin"})).chain(members).collect();
        json!({"kind": "group", "id": "crowd", "networkId": "demo", "members": members})
    };
    stack.import_all(&users.chain([crowd(101)]).collect::<Vec<_>>()).await;
    let mut alice = stack.client(0, "alice").await;
    let data = with(in_the_lobby(&[]), json!({"sourceType": "group", "sourceIds": ["crowd"]}));
    let (code, message) = refused(&mut alice, "meeting:createMeeting", data.clone()).await;
    assert_eq!((code, message.starts_with("data.invitedUserIds: ")), (400, true), "{message}");
    stack.import_all(&[crowd(100)]).await;
    let meeting = create(&mut alice, data).await;
    assert_eq!(meeting["participantIds"].as_array().map(Vec::len), Some(101));
}

#[tokio::test]
async fn timestamps_are_kept_to_the_microsecond_and_told_in_utc() {
    let stack = Stack::builder().start().await;
    let mut alice = stack.client(0, "alice").await;
    let times = json!({
        "startDate": "2030-01-01T10:00:00.123456789+02:00[Europe/Helsinki]", "endDate": "2030-01-01T10:00:00.5+02:00",
    });
    let meeting = create(&mut alice, with(in_the_lobby(&[]), times)).await;
    let told = [&meeting["startDate"], &meeting["endDate"]];
    assert_eq!(told, ["2030-01-01T08:00:00.123456Z", "2030-01-01T08:00:00.5Z"]);
    assert_eq!(alice.ask("meeting:getMeeting", named(&meeting)).await["meeting"], meeting);
}
