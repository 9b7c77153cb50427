//! `GET /api/v0/resource/sessionInvitation/{sessionId}`: rules I1 to I3. What calendars make of the file is tested in
//! `it/ics.rs`.

use harness::{Stack, stack::http, token::token};
use serde_json::{Value, json};

use super::{People, create, event_for, named, update, users, with, yoga};

/// Status, headers and body of a download.
struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: String,
}

impl Answer {
    /// The value of a property, parameters included: the event's, else that of anything else in the file.
    fn line(&self, name: &str) -> Option<String> {
        let unfolded = self.body.replace("\r\n ", "");
        let (around, event) = unfolded.split_once("BEGIN:VEVENT").expect("an event");
        let mut lines = event.split("\r\n").chain(around.split("\r\n")).filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            rest.starts_with([':', ';']).then(|| rest.to_owned())
        });
        lines.next()
    }
}

async fn get(stack: &Stack, gateway: usize, path: &str, bearer: Option<&str>) -> Answer {
    let url = format!("http://{}/api/v0/resource/sessionInvitation/{path}", stack.gateways[gateway].public);
    let request = http().get(url);
    let request = match bearer {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    let response = request.send().await.expect("the gateway answers");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, body: response.text().await.expect("a body") }
}

async fn as_user(stack: &Stack, user: &str, session: &Value) -> Answer {
    let id = session["id"].as_str().expect("an id");
    get(stack, 0, id, Some(&token(user, "demo", &format!("session-of-{user}")))).await
}

/// The code of the error envelope.
fn code(answer: &Answer) -> u64 {
    let body: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(body["error"]["status"], true, "{body}");
    body["error"]["code"].as_u64().expect("a code")
}

/// Invites an address from outside, as if it had been sent this token.
async fn link(stack: &Stack, session: &Value, address: &str, kind: i16, byte: u8) -> String {
    use base64::Engine as _;
    sqlx::query(
        "INSERT INTO social_outsiders (network_id, session_id, kind, address, id, role, inviter_id, token_hashes, expires_at)
         VALUES ('demo', $1::uuid, $2, $3, gen_random_uuid(), 0, 'bob', ARRAY[sha256($4)], now() + interval '1 day')",
    )
    .bind(session["id"].as_str().expect("an id"))
    .bind(kind)
    .bind(address)
    .bind([byte; 32].as_slice())
    .execute(&mut stack.database().await)
    .await
    .expect("an invitation");
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode([byte; 32])
}

#[tokio::test]
async fn i2_the_file_is_for_the_reader_and_nobody_stores_it() {
    let stack = Stack::builder().worker_arg("--public-url=https://convene.example.org/").start().await;
    let mut people = People::of(&stack).await;
    let session = create(&mut people.bob, yoga(None), users(&["carol"])).await;
    let file = as_user(&stack, "carol", &session).await;
    assert_eq!(file.status, 200, "{}", file.body);
    let header = |name: &str| file.headers[name].to_str().expect("ASCII").to_owned();
    assert_eq!(header("content-type"), "text/calendar; charset=utf-8; method=REQUEST");
    assert_eq!(header("content-disposition"), r#"attachment; filename="invite.ics""#);
    assert_eq!(header("cache-control"), "private, no-store");
    for (name, value) in [
        ("METHOD", ":REQUEST"),
        ("UID", &*format!(":{}", session["id"].as_str().expect("an id"))),
        ("SEQUENCE", ":0"),
        ("DTSTART", ":20300102T100000Z"),
        ("DTEND", ":20300102T110000Z"),
        ("SUMMARY", ":Yoga"),
        ("DESCRIPTION", ":Bring a mat"),
        ("LOCATION", ":Lobby"),
        ("URL", ":https://convene.example.org"),
        ("CLASS", ":PUBLIC"),
        ("ORGANIZER", ";CN=bob:mailto:noreply@convene.example.org"),
        ("ATTENDEE", ";ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;CN=carol:mailto:carol@example.org"),
        ("TRIGGER", ":-PT15M"),
    ] {
        assert_eq!(file.line(name).as_deref(), Some(value), "{name}: {}", file.body);
    }
    people.carol.ask("social:joinSession", named(&session)).await;
    update(&mut people.bob, &session, json!({"startDate": "2030-01-03T10:00:00Z"})).await;
    let joined = as_user(&stack, "carol", &session).await;
    assert!(joined.line("ATTENDEE").is_some_and(|line| line.contains("PARTSTAT=ACCEPTED")), "{}", joined.body);
    assert_eq!(joined.line("SEQUENCE").as_deref(), Some(":1"), "the time has changed");
    let owner = as_user(&stack, "bob", &session).await;
    let attendee = ";ROLE=CHAIR;PARTSTAT=ACCEPTED;CN=bob:mailto:bob@example.org";
    assert_eq!(owner.line("ATTENDEE").as_deref(), Some(attendee), "{}", owner.body);

    stack.import_all(&[json!({"kind": "user", "id": "carol", "emailVerified": false})]).await;
    let unproven = as_user(&stack, "carol", &session).await;
    assert_eq!(unproven.headers["content-type"], "text/calendar; charset=utf-8; method=PUBLISH");
    assert_eq!((unproven.line("METHOD").as_deref(), unproven.line("ATTENDEE")), (Some(":PUBLISH"), None));
}

#[tokio::test]
async fn i3_the_organizer_and_the_name_never_change() {
    let stack = Stack::builder().worker_arg("--smtp-from=Convene <events@example.com>").start().await;
    let mut people = People::of(&stack).await;
    let weekly = with(yoga(None), json!({"startDate": "2030-03-25T18:00:00+01:00", "isRecurring": true}));
    let session = create(&mut people.bob, weekly, json!([])).await;
    stack.import_all(&[json!({"kind": "user", "id": "bob", "firstName": "Robert"})]).await;
    let file = as_user(&stack, "bob", &session).await;
    assert_eq!(file.line("ORGANIZER").as_deref(), Some(";CN=bob:mailto:events@example.com"));
    assert_eq!(file.line("DTSTART").as_deref(), Some(";TZID=Europe/Berlin:20300325T180000"));
    assert_eq!(file.line("RRULE").as_deref(), Some(":FREQ=WEEKLY"));
    assert_eq!(file.line("TZID").as_deref(), Some(":Europe/Berlin"), "a VTIMEZONE");
    assert_eq!(file.line("URL"), None, "no public address is known");
}

#[tokio::test]
async fn i1_only_those_whom_it_concerns_may_have_it() {
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    stack
        .import_all(&[
            json!({"kind": "network", "id": "other"}),
            json!({"kind": "user", "id": "stranger", "networkIds": ["other"]}),
        ])
        .await;
    let mut people = People::of(&stack).await;
    let event = event_for(&mut people.alice, 0).await;
    let mut of_type = async |session_type: i64| {
        let session = with(yoga(Some(&event)), json!({"sessionType": session_type}));
        let session = create(&mut people.bob, session, users(&["carol"])).await;
        let mut statuses = Vec::new();
        for user in ["bob", "carol", "dave", "alice"] {
            statuses.push(as_user(&stack, user, &session).await.status);
        }
        (session, statuses)
    };
    let (public, statuses) = of_type(0).await;
    assert_eq!(statuses, [200, 200, 200, 200], "a public one: whoever may join");
    let (private, statuses) = of_type(1).await;
    assert_eq!(statuses, [200, 200, 404, 404], "a private one: a manager who is not invited neither");
    assert_eq!(of_type(2).await.1, [200, 200, 404, 404], "an open slot: whoever belongs to it");

    let id = public["id"].as_str().expect("an id");
    let carol = token("carol", "demo", "session-of-carol");
    for (path, bearer, expected) in [
        (id, None, 401),
        (id, Some("no.token.atall"), 401),
        (id, Some(&*token("carol", "other", "s")), 401),
        (id, Some(&*token("stranger", "other", "s")), 404),
        ("0190b6f0-7a3c-7c1e-8000-000000000000", Some(&*carol), 404),
        ("lobby", Some(&*carol), 404),
        ("%FF%00", Some(&*carol), 404),
        (&*id.to_uppercase(), Some(&*carol), 404),
        (&*format!("{id}/more"), Some(&*carol), 404),
    ] {
        let answer = get(&stack, 1, path, bearer).await;
        assert_eq!((answer.status, code(&answer)), (expected, u64::from(expected)), "{path} {bearer:?}");
    }
    let by_query = get(&stack, 1, &format!("{id}?sessionId={carol}"), None).await;
    assert_eq!(by_query.status, 200, "the token may stand in the query");
    people.carol.ask("social:declineSessionJoin", named(&private)).await;
    assert_eq!(as_user(&stack, "carol", &private).await.status, 404, "declined: not invited any more");
    let (status, _) = stack.admin(reqwest::Method::POST, "/admin/sessions/session-of-carol/revoke", "").await;
    assert_eq!(status, 200);
    assert_eq!(as_user(&stack, "carol", &public).await.status, 401, "a session that was revoked");
    people.bob.ask("social:deleteSession", named(&public)).await;
    assert_eq!(as_user(&stack, "bob", &public).await.status, 404);
}

#[tokio::test]
async fn i1_the_link_of_an_invitation_is_enough_and_is_not_used_up() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let private = create(&mut people.bob, with(yoga(None), json!({"sessionType": 1})), json!([])).await;
    let other = create(&mut people.bob, with(yoga(None), json!({"sessionType": 1})), json!([])).await;
    let [id, other_id] = [&private, &other].map(|session| session["id"].as_str().expect("an id"));
    let by_mail = link(&stack, &private, "eve@example.com", 0, 7).await;
    let by_phone = link(&stack, &private, "+491701234567", 1, 8).await;
    for _ in 0..2 {
        let file = get(&stack, 0, &format!("{id}?invitation={by_mail}"), None).await;
        let attendee = ";ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION:mailto:eve@example.com";
        assert_eq!((file.status, file.line("ATTENDEE").as_deref()), (200, Some(attendee)), "{}", file.body);
    }
    let file = get(&stack, 0, &format!("{id}?invitation={by_phone}"), Some("no.token.atall")).await;
    assert_eq!((file.status, file.line("METHOD").as_deref()), (200, Some(":PUBLISH")), "whatever the session is worth");
    let dave = token("dave", "demo", "session-of-dave");
    assert_eq!(get(&stack, 0, &format!("{id}?invitation={by_mail}"), Some(&dave)).await.status, 200);

    for path in [
        format!("{other_id}?invitation={by_mail}"),
        format!("{id}?invitation={}", by_mail.replace('B', "C")),
        format!("{id}?invitation=x"),
        format!("lobby?invitation={by_mail}"),
    ] {
        let answer = get(&stack, 0, &path, None).await;
        assert_eq!((answer.status, code(&answer)), (404, 404), "{path}");
    }
    assert_eq!(get(&stack, 0, &format!("{id}?invitation="), None).await.status, 401, "none at all");
    let claim = json!({"sessionId": id, "invitation": by_mail});
    people.dave.ask("social:joinSession", claim).await;
    assert_eq!(get(&stack, 0, &format!("{id}?invitation={by_mail}"), None).await.status, 404, "claimed");
    sqlx::query("UPDATE social_outsiders SET expires_at = now()")
        .execute(&mut stack.database().await)
        .await
        .expect("time passes");
    assert_eq!(get(&stack, 0, &format!("{id}?invitation={by_phone}"), None).await.status, 404, "expired");
}
