//! Social events and sessions, as clients see them: rules S1 to S11, V1 to V6 and U1. What they share is here; see
//! `social/`.

mod busy;
mod download;
mod events;
mod invitations;
mod leaving;
mod news;
pub(crate) mod outsiders;
mod places;
mod retries;
mod rights;
mod sessions;
mod thousands;
mod times;
mod zone_data;

use harness::{Client, Stack};
use serde_json::{Value, json};

pub(crate) use crate::meeting::{People, code, refused, with};

/// An event of the network in January 2030.
pub(crate) fn in_january() -> Value {
    json!({
        "title": "Winter", "description": "A month", "startDate": "2030-01-01T00:00:00Z",
        "endDate": "2030-02-01T00:00:00Z", "previewResourceId": "r1", "roomId": "stage", "participantLimit": 0,
        "price": 9.5, "customData": {"venue": "Hall 2"},
    })
}

/// Creates an event of a source and publishes it.
pub(crate) async fn publish(manager: &mut Client, source: &str, event: Value) -> Value {
    let draft = manager.ask("social:createEvent", json!({"source": source, "event": event})).await;
    manager.ask("social:publishEvent", named_event(&draft["event"])).await["event"].take()
}

/// A published event of `demo` in January 2030 for so many; 0: for all.
pub(crate) async fn event_for(manager: &mut Client, limit: u32) -> Value {
    publish(manager, "network:demo", with(in_january(), json!({"participantLimit": limit}))).await
}

/// The request that names an event.
pub(crate) fn named_event(event: &Value) -> Value {
    json!({"eventId": event["id"]})
}

/// The request that names a session.
pub(crate) fn named(session: &Value) -> Value {
    json!({"sessionId": session["id"]})
}

/// A public session on 2 January 2030 from 10 to 11, in the lobby or in an event.
pub(crate) fn yoga(event: Option<&Value>) -> Value {
    let session = json!({
        "title": "Yoga", "description": "Bring a mat", "startDate": "2030-01-02T10:00:00Z", "duration": 3600,
        "color": {"r": 1, "g": 0.5, "b": 0, "a": 1},
    });
    match event {
        Some(event) => with(session, json!({"eventId": event["id"]})),
        None => with(session, json!({"roomId": "lobby"})),
    }
}

/// Users to invite, as attendees.
pub(crate) fn users(ids: &[&str]) -> Value {
    ids.iter().map(|id| json!({"userId": id})).collect()
}

/// Creates a session and returns it.
pub(crate) async fn create(client: &mut Client, session: Value, invited: Value) -> Value {
    let request = json!({"session": session, "usersToInvite": invited});
    client.ask("social:createSession", request).await["session"].take()
}

/// The session as the client sees it now.
pub(crate) async fn get(client: &mut Client, session: &Value) -> Value {
    client.ask("social:getSession", named(session)).await["session"].take()
}

/// Changes a session.
pub(crate) async fn update(client: &mut Client, session: &Value, changes: Value) -> Value {
    let request = json!({"session": with(changes, json!({"id": session["id"]}))});
    client.ask("social:updateSession", request).await["session"].take()
}

/// Ids of a session's `joinedUsers`.
pub(crate) fn joined(session: &Value) -> Vec<String> {
    ids(session["joinedUsers"].as_array().expect("a list").iter())
}

/// Ids of a session's `invitedUsers`.
pub(crate) fn invited(session: &Value) -> Vec<String> {
    ids(session["invitedUsers"].as_array().expect("a list").iter().map(|invited| &invited["user"]))
}

fn ids<'a>(users: impl Iterator<Item = &'a Value>) -> Vec<String> {
    users.map(|user| user["id"].as_str().expect("an id").to_owned()).collect()
}

/// Lines of users `u0` and so on.
pub(crate) fn crowd(count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({"kind": "user", "id": format!("u{n}"), "networkIds": ["demo"]})).collect()
}

/// Lets users join in the database, as it would be after each had joined.
pub(crate) async fn let_join(stack: &Stack, session: &Value, users: &[String]) {
    sqlx::query(
        "INSERT INTO social_participants (network_id, session_id, user_id, is_owner, joined_at, event_id, starts_at, ends_at)
         SELECT network_id, id, u.user_id, false, now() + place * interval '1 microsecond', event_id, starts_at, ends_at
         FROM social_sessions, unnest($2::text[]) WITH ORDINALITY u (user_id, place) WHERE id = $1::uuid",
    )
    .bind(session["id"].as_str().expect("an id"))
    .bind(users)
    .execute(&mut stack.database().await)
    .await
    .expect("they join");
}

/// A number from the database.
pub(crate) async fn count(stack: &Stack, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(&mut stack.database().await).await.expect(query)
}

#[tokio::test]
async fn a_created_event_is_answered_whole() {
    let stack = Stack::builder().start().await;
    let mut alice = stack.client(0, "alice").await;
    let request = json!({"source": "network:demo", "event": in_january(), "formSchema": {"b": 1.10, "a": []}});
    let answer = alice.call("social:createEvent", request).await;
    let event = &answer["data"]["event"];
    let expected = json!({
        "id": answer["id"],
        "endpoint": "social:createEvent",
        "data": {"event": {
            "id": event["id"], "created": event["created"], "updated": event["created"],
            "sourceString": "network:demo", "sourceType": "network", "sourcePk": "demo", "networkId": "demo",
            "title": "Winter", "description": "A month",
            "startDate": "2030-01-01T00:00:00Z", "endDate": "2030-02-01T00:00:00Z",
            "previewResourceId": "r1", "roomId": "stage", "participantLimit": 0, "price": 9.5,
            "customData": {"venue": "Hall 2"}, "status": 0, "formSchema": {"b": 1.10, "a": []},
        }},
        "error": {"status": false, "code": 0, "message": ""},
    });
    assert_eq!(answer, expected);
    let id = uuid::Uuid::parse_str(event["id"].as_str().expect("an id")).expect("a UUID");
    assert_eq!(id.get_version_num(), 7);
    assert_eq!(alice.ask("social:getEvent", named_event(event)).await, json!({"event": event}));
    let garden = json!({"source": "community:demo:garden", "event": in_january()});
    let garden = alice.ask("social:createEvent", garden).await;
    let source = ["sourceString", "sourceType", "sourcePk"].map(|field| garden["event"][field].clone());
    assert_eq!(json!(source), json!(["community:demo:garden", "community", "garden"]));
}

#[tokio::test]
async fn a_created_session_is_answered_whole() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let event = event_for(&mut people.alice, 0).await;
    let invite = json!([{"userId": "carol", "role": 1}]);
    let request = json!({"session": yoga(Some(&event)), "usersToInvite": invite});
    let answer = people.bob.call("social:createSession", request).await;
    let session = &answer["data"]["session"];
    let user = |id: &str| {
        json!({"id": id, "firstName": id, "lastName": "", "privacyMode": 0, "avatar": "", "companyName": "",
            "companyTitle": ""})
    };
    let expected = json!({
        "id": answer["id"],
        "endpoint": "social:createSession",
        "data": {"session": {
            "id": session["id"], "created": session["created"], "updated": session["created"],
            "eventId": event["id"], "ownerId": "bob", "roomId": "stage", "propId": "", "sessionType": 0,
            "title": "Yoga", "description": "Bring a mat", "startDate": "2030-01-02T10:00:00Z", "duration": 3600,
            "isRecurring": false, "color": {"r": 1.0, "g": 0.5, "b": 0.0, "a": 1.0}, "isValid": true,
            "owner": user("bob"), "invitedUsers": [{"user": user("carol"), "role": 1}], "joinedUsers": [],
        }},
        "error": {"status": false, "code": 0, "message": ""},
    });
    assert_eq!(answer, expected);
    let told = people.carol.event("social:sessionUpdated").await;
    assert_eq!(told["data"], answer["data"]);
    assert_eq!(get(&mut people.dave, session).await, *session);
    people.dave.ask("social:joinSession", named(session)).await;
    assert_eq!(joined(&get(&mut people.carol, session).await), ["dave"]);
}
