//! What must be given, and not empty (the contract's "Identifiers") or blank (V6). Walks every string of every endpoint that
//! the documents show, so that no endpoint is forgotten.

use std::collections::BTreeSet;

use harness::{Client, Stack};
use serde_json::{Value, json};
use shared::api::{meeting, social};

use crate::{
    hostile::{
        strings,
        texts::{request, shapes},
    },
    meeting::{create, in_the_lobby, with},
    social::{in_january, publish, yoga},
};

/// Identifiers that may be empty: there is none then, or they are the server's.
const MAY_BE_EMPTY: [(&str, &str); 24] = [
    ("meeting:create", "meeting.propId"),
    ("meeting:update", "meeting.propId"),
    ("meeting:checkPropHasMeetingsOrSocialSessions", "propId"),
    ("meeting:getTimeSlotsForMeeting", "users[0].roomful"),
    ("meeting:getMeetingTimeSlotsForMonth", "users[0].roomful"),
    ("social:createEvent", "event.previewResourceId"),
    ("social:createEvent", "event.roomId"),
    ("social:updateEvent", "event.previewResourceId"),
    ("social:updateEvent", "event.roomId"),
    ("social:createSession", "session.id"),
    ("social:createSession", "session.ownerId"),
    ("social:createSession", "session.eventId"),
    ("social:createSession", "session.roomId"),
    ("social:createSession", "session.propId"),
    // With an address beside it.
    ("social:createSession", "usersToInvite[0].userId"),
    ("social:createSession", "usersToInvite[0].facebook"),
    ("social:updateSession", "session.ownerId"),
    ("social:updateSession", "session.eventId"),
    ("social:updateSession", "session.roomId"),
    ("social:updateSession", "session.propId"),
    ("social:getPropSessions", "propId"),
    ("social:inviteUsersToSession", "usersToInvite[0].userId"),
    ("social:inviteUsersToSession", "usersToInvite[0].facebook"),
    ("social:joinSession", "invitation"),
];

/// Needed where it is given: without it, the old one stays.
const STAYS: [(&str, &str); 1] = [("meeting:update", "meeting.roomId")];

/// Identifiers that are looked for and not found, rather than 404.
const ONLY_SOUGHT: [(&str, &str); 3] = [
    ("meeting:listUserMeetings", "sourceIds[0]"),
    ("meeting:checkPropHasMeetingsOrSocialSessions", "roomId"),
    ("social:deleteUserSessionInvitations", "usersToInvite[0]"),
];

/// Strings that name nothing, by field.
const NO_IDENTIFIERS: [&str; 9] =
    ["subject", "title", "description", "status", "sourceType", "source", "email", "emails", "phones"];

/// Texts with nothing in them that can be seen.
const BLANK: [&str; 8] = [
    "",
    " ",
    "\t\r\n\u{b}\u{c}",
    "\u{85}\u{a0}\u{1680}\u{2003}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}",
    "\u{200b}",
    " \u{200c}\u{200d}\u{2060}\u{feff}",
    "\u{ad}\u{34f}\u{61c}\u{115f}\u{180e}\u{3164}\u{fe0f}\u{e0020}",
    "\u{1}\u{1b}\u{7f}",
];

/// `/a/0/b` as messages name it: `a[0].b`.
fn written(pointer: &str) -> String {
    pointer.split('/').skip(1).fold(String::new(), |path, part| match part.parse::<usize>() {
        Ok(index) => format!("{path}[{index}]"),
        Err(_) if path.is_empty() => part.to_owned(),
        Err(_) => format!("{path}.{part}"),
    })
}

/// The field that a path ends with, list or not.
fn field(path: &str) -> &str {
    let path = path.trim_end_matches("[0]");
    path.rsplit('.').next().unwrap_or(path)
}

/// A good request for each endpoint, and something for it to be about.
struct Requests {
    client: Client,
    good: Value,
    shapes: Value,
}

impl Requests {
    async fn of(stack: &Stack) -> Self {
        let mut client = stack.client(0, "alice").await;
        let meeting = create(&mut client, in_the_lobby(&["bob"])).await;
        let event = publish(&mut client, "network:demo", in_january()).await;
        let session = crate::social::create(&mut client, yoga(Some(&event)), json!([])).await;
        let good = json!({
            "meetingId": meeting["meetingId"], "eventId": event["id"], "sessionId": session["id"], "id": session["id"],
            "roomId": "lobby", "propId": "table", "sourceType": "room", "sourceIds": ["lobby"],
            "source": "network:demo", "subject": "S", "title": "T", "description": "D", "status": "Available",
            "startDate": "2030-01-02T10:00:00Z", "endDate": "2030-01-02T11:00:00Z",
            "localDate": "2030-01-02T12:00:00Z", "duration": 3600, "size": 1, "dates": [], "invitedUserIds": ["bob"],
            "users": [{"roomful": "bob", "email": ""}], "customData": {}, "formSchema": {},
        });
        Self { client, good, shapes: shapes() }
    }

    fn of_endpoint(&self, endpoint: &str) -> Value {
        let mut good = self.good.clone();
        let guest =
            json!({"userId": "bob", "facebook": "app:ann", "emails": ["ann@example.com"], "phones": ["+4930123456"]});
        good["usersToInvite"] = if endpoint.contains("delete") { json!(["bob"]) } else { json!([guest]) };
        if endpoint.contains("Event") {
            good["startDate"] = json!("2030-01-01T00:00:00Z");
            good["endDate"] = json!("2030-02-01T00:00:00Z");
        }
        if endpoint.contains("update") {
            let unset = json!({"startDate": null, "endDate": null, "duration": null, "sessionType": null});
            good = with(good, unset);
        }
        let mut data = request(&self.shapes["requests"][endpoint]["request"]["data"], &good);
        if endpoint == "social:joinSession" {
            // Not of the documents.
            data["invitation"] = json!("a token");
        }
        data
    }

    /// Code and message of the answer.
    async fn call(&mut self, endpoint: &str, data: &Value) -> (u64, String) {
        let answer = self.client.call(endpoint, data.clone()).await;
        let code = answer["error"]["code"].as_u64().expect("a code");
        (code, answer["error"]["message"].as_str().expect("a message").to_owned())
    }
}

/// `data` without what stands there; in a list, `null`.
fn without(mut data: Value, pointer: &str) -> Value {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    match data.pointer_mut(parent).expect("what holds it") {
        Value::Object(fields) => {
            fields.remove(name).expect("a field");
        }
        _ => *data.pointer_mut(pointer).expect("an item") = Value::Null,
    }
    data
}

fn replaced(mut data: Value, pointer: &str, text: &str) -> Value {
    *data.pointer_mut(pointer).expect("a string") = json!(text);
    data
}

fn endpoints() -> Vec<&'static str> {
    meeting::ENDPOINTS.iter().chain(social::ENDPOINTS).map(|row| row.name).collect()
}

async fn unlimited() -> Stack {
    Stack::builder().gateway_arg("--rate-limit=100000").gateway_arg("--rate-burst=100000").start().await
}

#[tokio::test]
async fn an_identifier_that_is_needed_is_named_when_it_is_empty_or_missing() {
    let stack = unlimited().await;
    let mut requests = Requests::of(&stack).await;
    let (mut needed, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for endpoint in endpoints() {
        let good = requests.of_endpoint(endpoint);
        let mut pointers = Vec::new();
        strings(&good, "", &mut pointers);
        for pointer in pointers {
            let path = written(&pointer);
            let name = field(&path);
            // Timestamps are strings as well.
            if NO_IDENTIFIERS.contains(&name)
                || name.ends_with("Date")
                || name.ends_with("DateNow")
                || name.ends_with("ated")
            {
                continue;
            }
            let is_identifier = name == "id" || name.ends_with("Id") || name.ends_with("Ids");
            let is_named = ["usersToInvite", "roomful", "invitation", "facebook"].contains(&name);
            assert!(is_identifier || is_named, "{endpoint} {path}: what is it?");
            if MAY_BE_EMPTY.contains(&(endpoint, &path)) {
                let mut good = good.clone();
                if path == "session.roomId" {
                    // The prop would be of another room, or of none.
                    good["session"]["propId"] = json!("");
                }
                for data in [replaced(good.clone(), &pointer, ""), without(good.clone(), &pointer)] {
                    let (code, message) = requests.call(endpoint, &data).await;
                    assert_ne!(code, 400, "{endpoint} {path}: {message}");
                }
                seen.insert((endpoint, path));
                continue;
            }
            let mut refused = vec![replaced(good.clone(), &pointer, "")];
            if STAYS.contains(&(endpoint, &path)) {
                assert_eq!(requests.call(endpoint, &without(good.clone(), &pointer)).await.0, 0, "{endpoint} {path}");
            } else {
                refused.push(without(good.clone(), &pointer));
                if !path.ends_with(']') {
                    let mut null = good.clone();
                    *null.pointer_mut(&pointer).expect("a field") = Value::Null;
                    refused.push(null);
                }
            }
            for data in refused {
                let (code, message) = requests.call(endpoint, &data).await;
                assert_eq!(code, 400, "{endpoint} {path}: {message}");
                assert!(message.starts_with(&format!("data.{path}: ")), "{endpoint} {path}: {message}");
            }
            // One that cannot exist is one that does not.
            for text in ["no:such", " ", &"x".repeat(129)] {
                let (code, message) = requests.call(endpoint, &replaced(good.clone(), &pointer, text)).await;
                let expected: &[u64] = if ONLY_SOUGHT.contains(&(endpoint, &path)) { &[0] } else { &[404, 802] };
                assert!(expected.contains(&code), "{endpoint} {path} {text:?}: {code} {message}");
            }
            needed.insert((endpoint, path));
        }
        if let Some(container) = good.as_object().and_then(|fields| fields.keys().find(|name| good[*name].is_object()))
        {
            // Nor is one forgotten where all that is around it is missing.
            let (code, _) = requests.call(endpoint, &without(good.clone(), &format!("/{container}"))).await;
            let holds_one =
                needed.iter().any(|(of, path)| *of == endpoint && path.starts_with(&format!("{container}.")));
            let stays = STAYS.iter().any(|(of, _)| *of == endpoint);
            assert!(!holds_one || stays || code == 400, "{endpoint} without {container}: {code}");
        }
        let (code, message) = requests.call(endpoint, &json!({})).await;
        let needs_one = needed.iter().any(|(of, path)| *of == endpoint && !path.ends_with(']'));
        assert!(!needs_one || code == 400, "{endpoint} without anything: {code} {message}");
    }
    let all: BTreeSet<_> = MAY_BE_EMPTY.iter().map(|(endpoint, path)| (*endpoint, (*path).to_owned())).collect();
    assert_eq!(seen, all, "what may be empty is there");
    assert_eq!(needed.len(), 29, "{needed:#?}");
    let meeting = requests.good["meetingId"].clone();
    requests.client.ask("meeting:getMeeting", json!({"meetingId": meeting})).await;
}

#[tokio::test]
async fn an_empty_one_of_several_identifiers_is_named_by_its_place() {
    let stack = unlimited().await;
    let mut alice = stack.client(0, "alice").await;
    let range = json!({"startDate": "2030-01-01T00:00:00Z", "endDate": "2030-01-02T00:00:00Z"});
    let list =
        |source_type: &str, ids: &[&str]| with(range.clone(), json!({"sourceType": source_type, "sourceIds": ids}));
    let new = |changes: Value| with(in_the_lobby(&[]), changes);
    for (endpoint, data, path) in [
        ("meeting:createMeeting", new(json!({"invitedUserIds": ["bob", ""]})), "data.invitedUserIds[1]"),
        ("meeting:createMeeting", new(json!({"sourceType": "prop", "sourceIds": ["lobby", ""]})), "data.sourceIds[1]"),
        ("meeting:createMeeting", new(json!({"sourceType": "prop", "sourceIds": ["", "table"]})), "data.sourceIds[0]"),
        ("meeting:createMeeting", new(json!({"sourceType": "prop", "sourceIds": ["lobby+"]})), "data.sourceIds[0]"),
        ("meeting:createMeeting", new(json!({"sourceType": "prop", "sourceIds": ["+table"]})), "data.sourceIds[0]"),
        ("meeting:createMeeting", new(json!({"sourceType": "group", "sourceIds": [""]})), "data.sourceIds[0]"),
        ("meeting:createMeeting", new(json!({"sourceType": "direct", "sourceIds": [""]})), "data.sourceIds[0]"),
        ("meeting:listUserMeetings", list("network", &["demo", ""]), "data.sourceIds[1]"),
        ("meeting:listUserMeetings", list("group", &["team", "x", ""]), "data.sourceIds[2]"),
        ("meeting:listUserMeetings", list("prop", &["lobby+table", "stage+"]), "data.sourceIds[1]"),
        (
            "meeting:create",
            json!({"meeting": with(range.clone(), json!({"subject": "S", "roomId": "lobby", "invitedUserIds": ["bob", "carol", ""]}))}),
            "data.meeting.invitedUserIds[2]",
        ),
    ] {
        let (code, message) = crate::meeting::refused(&mut alice, endpoint, data.clone()).await;
        assert_eq!((code, message.split(": ").next()), (400, Some(path)), "{data}: {message}");
    }
}

#[tokio::test]
async fn s4_a_session_of_no_event_needs_a_room() {
    let stack = Stack::builder().start().await;
    let mut alice = stack.client(0, "alice").await;
    for room in [json!(""), json!(null)] {
        let session = with(yoga(None), json!({"roomId": room, "eventId": ""}));
        let (code, message) =
            crate::meeting::refused(&mut alice, "social:createSession", json!({"session": session})).await;
        assert_eq!((code, message.starts_with("data.session.roomId: ")), (400, true), "{message}");
    }
    let session = crate::social::create(&mut alice, yoga(None), json!([])).await;
    let change = json!({"session": {"id": session["id"], "roomId": ""}});
    let (code, message) = crate::meeting::refused(&mut alice, "social:updateSession", change).await;
    assert_eq!((code, message.starts_with("data.session.roomId: ")), (400, true), "{message}");
}

/// Endpoints and paths of the texts that must not be blank.
fn texts(requests: &Requests) -> Vec<(&'static str, String)> {
    let mut texts = Vec::new();
    for endpoint in endpoints() {
        let mut pointers = Vec::new();
        strings(&requests.of_endpoint(endpoint), "", &mut pointers);
        texts.extend(
            pointers
                .into_iter()
                .filter(|pointer| pointer.ends_with("/subject") || pointer.ends_with("/title"))
                .map(|pointer| (endpoint, pointer)),
        );
    }
    texts
}

#[tokio::test]
async fn v6_a_text_of_nothing_that_can_be_seen_is_400_where_one_is_needed() {
    let stack = unlimited().await;
    let mut requests = Requests::of(&stack).await;
    let texts = texts(&requests);
    let names: Vec<String> =
        texts.iter().map(|(endpoint, pointer)| format!("{endpoint} {}", written(pointer))).collect();
    assert_eq!(
        names,
        [
            "meeting:createMeeting subject",
            "meeting:updateMeeting subject",
            "meeting:create meeting.subject",
            "meeting:update meeting.subject",
            "social:createEvent event.title",
            "social:updateEvent event.title",
            "social:createSession session.title",
            "social:updateSession session.title",
        ]
    );
    for (endpoint, pointer) in texts {
        let good = requests.of_endpoint(endpoint);
        let path = written(&pointer);
        let is_new = endpoint.contains("create");
        let missing = without(good.clone(), &pointer);
        let blank = BLANK.map(|blank| replaced(good.clone(), &pointer, blank));
        for data in blank.into_iter().chain(is_new.then_some(missing.clone())) {
            let (code, message) = requests.call(endpoint, &data).await;
            assert_eq!(code, 400, "{endpoint}: {data}");
            assert!(message.starts_with(&format!("data.{path}: ")), "{endpoint}: {message}");
        }
        if !is_new {
            assert_eq!(requests.call(endpoint, &missing).await.0, 0, "{endpoint}: what is missing stays");
        }
        for seen in ["\u{200b} x", "👩\u{200d}🚀", "\u{301}"] {
            let answer = requests.client.ask(endpoint, replaced(good.clone(), &pointer, seen)).await;
            let (object, field) = (answer.as_object().expect("an object"), field(&path));
            let kept = object.values().next().expect("what it is about")[field].clone();
            assert_eq!(kept, json!(seen), "{endpoint}: kept as it came");
        }
    }
}

#[tokio::test]
async fn v6_what_was_blank_before_stays_changeable() {
    let stack = Stack::builder().start().await;
    let mut requests = Requests::of(&stack).await;
    // As the release before took it.
    sqlx::raw_sql(
        "UPDATE meetings SET subject = ' '; UPDATE social_events SET title = ' '; UPDATE social_sessions SET title = ' '",
    )
    .execute(&mut stack.database().await)
    .await
    .expect("blank texts");
    let good = requests.good.clone();
    let client = &mut requests.client;
    let meeting = json!({"meetingId": good["meetingId"]});
    let change = with(meeting.clone(), json!({"description": "Another"}));
    assert_eq!(client.ask("meeting:updateMeeting", change).await["meeting"]["subject"], " ");
    let change = with(meeting, json!({"meeting": {"color": {"r": 1}}}));
    assert_eq!(client.ask("meeting:update", change).await["meeting"]["subject"], " ");
    let change = json!({"eventId": good["eventId"], "event": {"price": 7}});
    assert_eq!(client.ask("social:updateEvent", change).await["event"]["title"], " ");
    let change = json!({"session": {"id": good["sessionId"], "description": "Another"}});
    assert_eq!(client.ask("social:updateSession", change).await["session"]["title"], " ");
}
