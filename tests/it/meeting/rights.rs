//! Who may do what: rules M4, M5, M6, V1, V2, V4.

use futures::future::BoxFuture;
use harness::{Client, Stack};
use serde_json::{Value, json};

use super::{code, create, in_the_lobby, named, refused, with};

/// Everyone who can stand in some relation to a meeting that bob organizes, with carol and erin invited; erin has declined.
struct Cast {
    /// Manages the network and takes no part.
    manager: Client,
    organizer: Client,
    participant: Client,
    declined: Client,
    /// Of the network.
    stranger: Client,
    /// Manages another network.
    foreigner: Client,
    /// The organizer, in a session of the other network.
    organizer_elsewhere: Client,
    meeting: Value,
}

impl Cast {
    fn of(stack: &Stack) -> BoxFuture<'_, Self> {
        Box::pin(async move {
            let manage =
                json!([{"id": "r", "targetType": "network", "targetId": "other", "permissions": ["network.manage"]}]);
            stack
                .import_all(&[
                    json!({"kind": "network", "id": "other"}),
                    json!({"kind": "user", "id": "erin", "networkIds": ["demo"]}),
                    json!({"kind": "user", "id": "bob", "networkIds": ["demo", "other"]}),
                    json!({"kind": "user", "id": "frank", "networkIds": ["other"], "userRoles": manage}),
                ])
                .await;
            let other = async |user: &str| {
                let mut client =
                    stack.connect_as(0, user, "other", &format!("other-{user}")).open().await.expect("let in");
                client.event("user_info").await;
                client
            };
            let client = |user| Box::pin(stack.client(0, user));
            let mut organizer = client("bob").await;
            let mut declined = client("erin").await;
            let meeting = create(&mut organizer, in_the_lobby(&["carol", "erin"])).await;
            declined.ask("meeting:declineMeetingRequest", named(&meeting)).await;
            Self {
                manager: client("alice").await,
                organizer,
                participant: client("carol").await,
                declined,
                stranger: client("dave").await,
                foreigner: other("frank").await,
                organizer_elsewhere: other("bob").await,
                meeting,
            }
        })
    }

    /// What everyone is answered, in the order of the fields; the organizer last.
    async fn codes(&mut self, endpoint: &str, data: Value) -> [u64; 7] {
        [
            code(&mut self.manager, endpoint, data.clone()).await,
            code(&mut self.participant, endpoint, data.clone()).await,
            code(&mut self.declined, endpoint, data.clone()).await,
            code(&mut self.stranger, endpoint, data.clone()).await,
            code(&mut self.foreigner, endpoint, data.clone()).await,
            code(&mut self.organizer_elsewhere, endpoint, data.clone()).await,
            code(&mut self.organizer, endpoint, data).await,
        ]
    }
}

#[tokio::test]
async fn m6_participants_and_managers_read_a_meeting_and_nobody_else() {
    let stack = Stack::builder().start().await;
    let mut cast = Cast::of(&stack).await;
    let data = named(&cast.meeting);
    for endpoint in ["meeting:getMeeting", "meeting:get"] {
        assert_eq!(cast.codes(endpoint, data.clone()).await, [0, 0, 0, 404, 404, 404, 0], "{endpoint}");
    }
}

#[tokio::test]
async fn m4_only_the_organizer_updates() {
    let stack = Stack::builder().start().await;
    let mut cast = Cast::of(&stack).await;
    let data = with(named(&cast.meeting), json!({"subject": "Other plans", "meeting": {"subject": "Yet others"}}));
    for endpoint in ["meeting:updateMeeting", "meeting:update"] {
        assert_eq!(cast.codes(endpoint, data.clone()).await, [403, 403, 403, 404, 404, 404, 0], "{endpoint}");
    }
}

#[tokio::test]
async fn m4_only_the_organizer_deletes() {
    let stack = Stack::builder().start().await;
    let mut cast = Cast::of(&stack).await;
    for endpoint in ["meeting:deleteMeeting", "meeting:delete"] {
        let data = named(&cast.meeting);
        assert_eq!(cast.codes(endpoint, data.clone()).await, [403, 403, 403, 404, 404, 404, 0], "{endpoint}");
        assert_eq!(cast.codes("meeting:getMeeting", data.clone()).await, [404; 7], "it is gone for everyone");
        assert_eq!(cast.codes("meeting:get", data).await, [404; 7]);
        cast.meeting = create(&mut cast.organizer, in_the_lobby(&["carol", "erin"])).await;
    }
}

#[tokio::test]
async fn m5_participants_answer_and_nobody_else_does() {
    let stack = Stack::builder().start().await;
    let mut cast = Cast::of(&stack).await;
    let data = named(&cast.meeting);
    for endpoint in ["meeting:acceptMeetingRequest", "meeting:declineMeetingRequest", "meeting:acceptMeetingRequest"] {
        assert_eq!(cast.codes(endpoint, data.clone()).await, [403, 0, 0, 404, 404, 404, 409], "{endpoint}");
    }
}

#[tokio::test]
async fn a_meeting_that_cannot_exist_is_one_that_does_not() {
    let stack = Stack::builder().start().await;
    let mut alice = stack.client(0, "alice").await;
    let endpoints = [
        "getMeeting",
        "updateMeeting",
        "deleteMeeting",
        "acceptMeetingRequest",
        "declineMeetingRequest",
        "get",
        "update",
        "delete",
    ];
    for endpoint in endpoints {
        for id in [" ", "lobby", "0190b6f0-7a3c-7c1e-8000-000000000000", "0190B6F0-7A3C-7C1E-8000-000000000000"] {
            let answer = refused(&mut alice, &format!("meeting:{endpoint}"), json!({"meetingId": id})).await;
            assert_eq!(answer, (404, "meeting not found".to_owned()), "{endpoint} {id}");
        }
    }
}

/// Places to meet at, each with the code that bob is answered there. Alice manages the network.
pub(super) fn places() -> Vec<(&'static str, Value, u64)> {
    vec![
        ("room", json!(["lobby"]), 0),
        ("room", json!(["owned"]), 0),
        ("room", json!(["shown"]), 0),
        ("room", json!(["closed"]), 803),
        ("room", json!(["gone"]), 802),
        ("room", json!(["elsewhere"]), 802),
        ("room", json!(["nowhere"]), 802),
        ("room", json!(["no where"]), 802),
        ("prop", json!(["lobby", "table"]), 0),
        ("prop", json!(["shown+lamp"]), 0),
        ("prop", json!(["closed", "safe"]), 803),
        ("prop", json!(["gone", "chair"]), 802),
        ("prop", json!(["elsewhere", "desk"]), 802),
        ("prop", json!(["lobby", "desk"]), 404),
        ("prop", json!(["lobby", "screen"]), 404),
        ("prop", json!(["lobby", "broken"]), 404),
        ("prop", json!(["lobby", "nothing"]), 404),
        ("prop", json!(["lobby+ta+ble"]), 404),
        ("group", json!(["team"]), 0),
        ("group", json!(["secret"]), 404),
        ("group", json!(["dissolved"]), 404),
        ("group", json!(["foreign"]), 404),
        ("group", json!(["none"]), 404),
        ("direct", json!(["dave"]), 0),
        ("direct", json!(["stranger"]), 404),
        ("direct", json!(["nobody"]), 404),
    ]
}

pub(super) async fn build_places(stack: &Stack) {
    let bob = json!([{"userId": "bob", "role": "Admin"}]);
    stack
        .import_all(&[
            json!({"kind": "network", "id": "other"}),
            json!({"kind": "user", "id": "stranger", "networkIds": ["other"]}),
            json!({"kind": "room", "id": "owned", "networkId": "demo", "ownerId": "bob"}),
            json!({"kind": "room", "id": "shown", "networkId": "demo", "ownerId": "carol", "viewers": ["dave", "bob"]}),
            json!({"kind": "room", "id": "closed", "networkId": "demo", "ownerId": "carol", "viewers": ["dave"]}),
            json!({"kind": "room", "id": "gone", "networkId": "demo", "isPublic": true}),
            json!({"kind": "room", "id": "elsewhere", "networkId": "other", "isPublic": true}),
            json!({"kind": "prop", "id": "lamp", "roomId": "shown"}),
            json!({"kind": "prop", "id": "safe", "roomId": "closed"}),
            json!({"kind": "prop", "id": "chair", "roomId": "gone"}),
            json!({"kind": "prop", "id": "desk", "roomId": "elsewhere"}),
            json!({"kind": "prop", "id": "broken", "roomId": "lobby"}),
            json!({"kind": "prop", "id": "broken", "deleted": true}),
            json!({"kind": "room", "id": "gone", "deleted": true}),
            json!({"kind": "group", "id": "secret", "networkId": "demo", "members": [{"userId": "carol", "role": "Admin"}]}),
            json!({"kind": "group", "id": "dissolved", "networkId": "demo", "members": bob}),
            json!({"kind": "group", "id": "dissolved", "deleted": true}),
            json!({"kind": "group", "id": "foreign", "networkId": "other", "members": bob}),
        ])
        .await;
}

#[tokio::test]
async fn v4_one_meets_where_one_may() {
    let stack = Stack::builder().start().await;
    build_places(&stack).await;
    let mut bob = stack.client(0, "bob").await;
    for (source_type, ids, expected) in places() {
        let data = with(in_the_lobby(&[]), json!({"sourceType": source_type, "sourceIds": ids}));
        assert_eq!(code(&mut bob, "meeting:createMeeting", data).await, expected, "{source_type} {ids}");
    }
}

#[tokio::test]
async fn v4_managers_use_every_room_but_no_group_that_they_are_not_of() {
    let stack = Stack::builder().start().await;
    build_places(&stack).await;
    stack.import_all(&[json!({"kind": "user", "id": "dave", "permissions": {"admin": true}})]).await;
    for user in ["alice", "dave"] {
        let mut manager = stack.client(0, user).await;
        let mut at = async |source_type: &str, ids: &[&str]| {
            let data = with(in_the_lobby(&[]), json!({"sourceType": source_type, "sourceIds": ids}));
            code(&mut manager, "meeting:createMeeting", data).await
        };
        assert_eq!(at("room", &["closed"]).await, 0, "{user}");
        assert_eq!(at("prop", &["closed", "safe"]).await, 0, "{user}");
        assert_eq!(at("room", &["elsewhere"]).await, 802, "{user}");
        assert_eq!(at("group", &["secret"]).await, 404, "{user}");
    }
}

#[tokio::test]
async fn v4_those_who_are_invited_need_no_right_to_the_place() {
    let stack = Stack::builder().start().await;
    build_places(&stack).await;
    let mut carol = stack.client(0, "carol").await;
    let mut bob = stack.client(0, "bob").await;
    let meeting = create(&mut carol, with(in_the_lobby(&["bob"]), json!({"sourceIds": ["closed"]}))).await;
    assert_eq!(bob.ask("meeting:getMeeting", named(&meeting)).await["meeting"], meeting);
    bob.ask("meeting:acceptMeetingRequest", named(&meeting)).await;
}
