//! Texts that mean something to somebody on the way, in every string of every endpoint: what is kept comes back as it went
//! in, what names something names nothing, and nothing else happens.

use std::collections::BTreeSet;

use harness::Stack;
use serde_json::{Map, Value, json};
use shared::api::{meeting, social};

use super::{TEXTS, strings};
use crate::{
    meeting::{create, in_the_lobby, with},
    social::{in_january, publish, yoga},
};

/// The documents' own shapes of all requests.
pub(crate) fn shapes() -> Value {
    serde_json::from_str(include_str!("../../../shared/fixtures/shapes.json")).expect("JSON")
}

/// Fields that keep what the client writes.
const KEPT: [&str; 4] = ["subject", "title", "description", "previewResourceId"];

/// A good request of that shape. `good` has the values of fields by name.
pub(crate) fn request(shape: &Value, good: &Value) -> Value {
    match shape {
        Value::Object(fields) if fields.contains_key("[]") => json!([request(&fields["[]"], good)]),
        Value::Object(fields) if fields.contains_key("$map") => json!({"key": "value"}),
        Value::Object(fields) if fields.contains_key("$model") => json!({"r": 1, "g": 0, "b": 0, "a": 1}),
        Value::Object(fields) => {
            let field = |(name, shape): (&String, &Value)| {
                let given = good.get(name).cloned().unwrap_or_else(|| request(shape, good));
                (name.clone(), given)
            };
            Value::Object(fields.iter().map(field).collect::<Map<_, _>>())
        }
        Value::String(kind) => match kind.as_str() {
            "string" => json!(""),
            "timestamp" => json!("2030-01-02T10:00:00Z"),
            "bool" => json!(false),
            _ => json!(0),
        },
        other => panic!("{other} is no shape"),
    }
}

/// Whether an object somewhere in the value has this field with this text.
fn holds(value: &Value, field: &str, text: &str) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| holds(item, field, text)),
        Value::Object(fields) => {
            fields.get(field).is_some_and(|found| found == text) || fields.values().any(|it| holds(it, field, text))
        }
        _ => false,
    }
}

async fn rows(stack: &Stack) -> Vec<(String, i64)> {
    sqlx::query_as(
        "SELECT t.table_name::text, (xpath('/row/c/text()', query_to_xml('SELECT count(*) AS c FROM ' || t.table_name
                || CASE t.table_name WHEN 'networks' THEN ' WHERE id NOT LIKE ''canary:%''' ELSE '' END, false, true, '')))[1]::text::bigint
         FROM information_schema.tables t
         WHERE t.table_schema = 'public' AND t.table_name IN ('users', 'members', 'rooms', 'props', 'groups', 'communities', 'networks')
         ORDER BY 1",
    )
    .fetch_all(&mut stack.database().await)
    .await
    .expect("the tables are all there")
}

#[tokio::test]
async fn no_text_is_more_than_a_text_in_any_string_of_any_endpoint() {
    let stack = Stack::builder().gateway_arg("--rate-limit=100000").gateway_arg("--rate-burst=100000").start().await;
    let mut alice = stack.client(0, "alice").await;
    let meeting = create(&mut alice, in_the_lobby(&["bob"])).await;
    let event = publish(&mut alice, "network:demo", in_january()).await;
    let session = crate::social::create(&mut alice, yoga(Some(&event)), json!([])).await;
    let common = json!({
        "meetingId": meeting["meetingId"], "eventId": event["id"], "sessionId": session["id"], "id": session["id"],
        "roomId": "lobby", "propId": "table", "sourceType": "prop", "sourceIds": ["lobby", "table"],
        "source": "network:demo", "subject": "S", "title": "T", "description": "D", "status": "Available",
        "startDate": "2030-01-02T10:00:00Z", "endDate": "2030-01-02T11:00:00Z", "localDate": "2030-01-02T12:00:00Z",
        "duration": 3600, "size": 1, "dates": [], "usersToInvite": [], "invitedUserIds": ["bob"], "users": [{"roomful": "bob", "email": ""}],
    });
    let before = rows(&stack).await;
    let shapes = shapes();
    let (mut called, mut codes, mut kept) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for row in meeting::ENDPOINTS.iter().chain(social::ENDPOINTS) {
        // What would be gone afterwards is named by the hostile text alone.
        let mut good = common.clone();
        if row.name.contains("Event") {
            // An event keeps its session inside.
            good["startDate"] = json!("2030-01-01T00:00:00Z");
            good["endDate"] = json!("2030-02-01T00:00:00Z");
        }
        if row.name.contains("update") {
            // Nothing but the texts.
            good = with(
                good,
                json!({"startDate": null, "endDate": null, "duration": null, "sessionType": null, "isRecurring": null}),
            );
        }
        let data = request(&shapes["requests"][row.name]["request"]["data"], &good);
        let mut with_guests = data.clone();
        if data.get("usersToInvite").is_some() {
            let guest =
                json!({"userId": "bob", "facebook": "a:b", "emails": ["ann@example.com"], "phones": ["+4930123456"]});
            with_guests["usersToInvite"] = if row.name.contains("delete") { json!(["bob"]) } else { json!([guest]) };
        }
        let mut paths = Vec::new();
        strings(&with_guests, "", &mut paths);
        assert!(!paths.is_empty(), "{}: {data}", row.name);
        for path in &paths {
            let field = path.rsplit('/').find(|name| name.parse::<usize>().is_err()).expect("a field");
            for text in TEXTS {
                let is_of_guests = path.starts_with("/usersToInvite");
                let mut data = if is_of_guests { with_guests.clone() } else { data.clone() };
                *data.pointer_mut(path).expect("a string") = json!(text);
                let answer = alice.call(row.name, data.clone()).await;
                let code = answer["error"]["code"].as_u64().expect("a code");
                let context = || format!("{} {path} {text:?}: {answer}", row.name);
                assert!([0, 400, 403, 404, 409, 802, 803].contains(&code), "{}", context());
                codes.insert(code);
                if KEPT.contains(&field) {
                    assert_eq!(code, 0, "{}", context());
                    assert!(holds(&answer["data"], field, text), "{}", context());
                    kept.insert((row.name, field.to_owned()));
                }
            }
        }
        called.insert(row.name);
    }
    assert_eq!(called.len(), 37);
    let kept: Vec<String> = kept.into_iter().map(|(name, field)| format!("{name} {field}")).collect();
    assert_eq!(
        kept,
        [
            "meeting:create subject",
            "meeting:createMeeting description",
            "meeting:createMeeting subject",
            "meeting:update subject",
            "meeting:updateMeeting description",
            "meeting:updateMeeting subject",
            "social:createEvent description",
            "social:createEvent previewResourceId",
            "social:createEvent title",
            "social:createSession description",
            "social:createSession title",
            "social:updateEvent description",
            "social:updateEvent previewResourceId",
            "social:updateEvent title",
            "social:updateSession description",
            "social:updateSession title",
        ]
    );
    assert!(codes.is_superset(&[0, 400, 404, 802].into()), "{codes:?}");
    assert_eq!(rows(&stack).await, before, "the directory is as it was");
    alice.ask("meeting:getMeeting", json!({"meetingId": meeting["meetingId"]})).await;
    alice.ask("social:getSession", json!({"sessionId": session["id"]})).await;
}

#[tokio::test]
async fn custom_structures_and_the_directory_keep_every_text() {
    let stack = Stack::builder().start().await;
    let all = TEXTS.concat();
    let custom: Map<String, Value> =
        TEXTS.iter().map(|text| ((*text).to_owned(), json!([text, {"k": text}]))).collect();
    stack
        .import_all(&[
            json!({"kind": "network", "id": "demo", "fullName": all, "shareDomain": all}),
            json!({"kind": "user", "id": "alice", "firstName": all, "lastName": all, "companyName": all, "hometown": all,
                "params": custom, "linkUrl": all, "avatar": all}),
            json!({"kind": "room", "id": "lobby", "title": all}),
            json!({"kind": "prop", "id": "table", "title": all}),
        ])
        .await;
    let mut alice = stack.connect(0, "alice").open().await.expect("let in");
    let info = alice.event("user_info").await;
    let user = &info["data"]["user"];
    for field in ["firstName", "lastName", "companyName", "hometown", "linkUrl", "avatar"] {
        assert_eq!(user[field], json!(all), "{field}");
    }
    assert_eq!(user["params"], json!(custom));
    assert_eq!(info["data"]["network"]["fullName"], json!(all));

    let event = with(in_january(), json!({"customData": custom}));
    let request = json!({"source": "network:demo", "event": event, "formSchema": custom});
    let event = alice.ask("social:createEvent", request).await["event"].take();
    assert_eq!((&event["customData"], &event["formSchema"]), (&json!(custom), &json!(custom)));
    let read = alice.ask("social:getEvent", json!({"eventId": event["id"]})).await;
    assert_eq!(read["event"], event);

    let new = json!({"meeting": {"subject": "S", "roomId": "lobby", "propId": "table",
        "startDate": "2030-01-01T10:00:00Z", "endDate": "2030-01-01T11:00:00Z"}});
    let meeting = alice.ask("meeting:create", new).await["meeting"].take();
    let titles = [&meeting["room"]["title"], &meeting["prop"]["title"], &meeting["organizer"]["firstName"]];
    assert_eq!(titles, [&json!(all), &json!(all), &json!(all)]);
    assert_eq!(alice.ask("meeting:get", json!({"meetingId": meeting["id"]})).await["meeting"], meeting);
}
