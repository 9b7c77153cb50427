//! Nobody sees, finds or affects anything of another network (V1): every endpoint is asked for what is of the network `demo`
//! by users of the network `mirror`, one of whom is of both, and one of whom would manage everything were he of `demo`.

mod requests;

use std::{collections::BTreeSet, fs, io::Read as _};

use futures::future::join_all;
use harness::{Client, Stack, eventually, stack::http, token::token};
use serde_json::{Value, json};
use shared::api::{EndpointRow, Kind, meeting, social};
use uuid::Uuid;

use crate::{
    meeting::{create, in_the_lobby, with},
    social::{in_january, publish, yoga},
};
use requests::{Ids, ROWS, Row};

/// Of `mirror`. Otto manages it, and has a role that would let him manage `demo`; bob is of both networks, and what there
/// is in `demo` is his; paula has nothing anywhere.
const CALLERS: [&str; 3] = ["otto", "bob", "paula"];

/// What is of one network, as what is of the other is called.
fn lines() -> Vec<Value> {
    let manages =
        |network: &str| json!({"targetType": "network", "targetId": network, "permissions": ["network.manage"]});
    vec![
        json!({"kind": "user", "id": "carol", "phoneNumber": "+4930111111", "facebook": ["app:carol"]}),
        json!({"kind": "network", "id": "mirror"}),
        json!({"kind": "user", "id": "otto", "networkIds": ["mirror"], "email": "otto@example.org", "emailVerified": true,
            "timeZone": "Europe/Berlin", "userRoles": [manages("mirror"), manages("demo")]}),
        json!({"kind": "user", "id": "paula", "networkIds": ["mirror"], "timeZone": "Europe/Berlin"}),
        json!({"kind": "user", "id": "bob", "networkIds": ["demo", "mirror"]}),
        json!({"kind": "room", "id": "hall", "networkId": "mirror", "ownerId": "otto", "isPublic": true}),
        json!({"kind": "prop", "id": "desk", "roomId": "hall"}),
        json!({"kind": "group", "id": "crew", "networkId": "mirror",
            "members": [{"userId": "otto", "role": "Admin"}, {"userId": "bob", "role": "Participant"}]}),
        json!({"kind": "community", "id": "club", "networkId": "mirror", "joinPolicy": "OpenForAll",
            "members": [{"userId": "otto", "role": "Admin"}]}),
    ]
}

fn text(value: &Value) -> String {
    value.as_str().expect("an id").to_owned()
}

/// What is in `demo`: in the open, and hidden.
async fn theirs(stack: &Stack, alice: &mut Client, bob: &mut Client) -> [Ids; 2] {
    let ids = Ids {
        network: "demo".into(),
        user: "carol".into(),
        room: "lobby".into(),
        prop: "table".into(),
        group: "team".into(),
        community: "garden".into(),
        meeting: text(&create(bob, in_the_lobby(&["carol"])).await["meetingId"]),
        event: String::new(),
        session: String::new(),
        email: "carol@example.org".into(),
        phone: "+4930111111".into(),
        facebook: "app:carol".into(),
        token: String::new(),
    };
    let event = publish(alice, "network:demo", in_january()).await;
    let draft = json!({"source": "community:demo:garden", "event": in_january()});
    let draft = alice.ask("social:createEvent", draft).await["event"].take();
    let at_the_table = json!({"sourceType": "prop", "sourceIds": ["lobby", "table"]});
    let hidden = create(bob, with(in_the_lobby(&["carol"]), at_the_table)).await;
    let users = json!([{"userId": "carol"}]);
    let open = crate::social::create(bob, yoga(Some(&event)), users.clone()).await;
    let at_the_table = json!({"propId": "table", "sessionType": 1});
    let secret = crate::social::create(bob, with(yoga(None), at_the_table), users).await;
    let available = json!({"localDate": "2030-01-01T12:00:00Z", "availability": {"status": "NotAvailable"}});
    bob.ask("meeting:setUserAvailability", available).await;
    let open = Ids { event: text(&event["id"]), session: text(&open["id"]), ..ids.clone() };
    let hidden =
        Ids { meeting: text(&hidden["meetingId"]), event: text(&draft["id"]), session: text(&secret["id"]), ..ids };
    [Ids { token: link(stack, &open, 1).await, ..open }, Ids { token: link(stack, &hidden, 2).await, ..hidden }]
}

/// Invites an address from outside, as if it had been sent this token.
async fn link(stack: &Stack, ids: &Ids, byte: u8) -> String {
    use base64::Engine as _;
    sqlx::query(
        "INSERT INTO social_outsiders (network_id, session_id, kind, address, id, role, inviter_id, token_hashes, expires_at)
         VALUES ('demo', $1::uuid, 0, 'ann@example.com', gen_random_uuid(), 0, 'bob', ARRAY[sha256($2)],
             now() + interval '1 day')",
    )
    .bind(&ids.session)
    .bind([byte; 32].as_slice())
    .execute(&mut stack.database().await)
    .await
    .expect("an invitation");
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode([byte; 32])
}

/// What is in `mirror`, made by otto.
async fn ours(otto: &mut Client) -> Ids {
    let meeting = create(otto, with(in_the_lobby(&[]), json!({"sourceIds": ["hall"]}))).await;
    let event = publish(otto, "network:mirror", with(in_january(), json!({"roomId": "hall"}))).await;
    let session = crate::social::create(otto, yoga(Some(&event)), json!([])).await;
    Ids {
        network: "mirror".into(),
        user: "otto".into(),
        room: "hall".into(),
        prop: "desk".into(),
        group: "crew".into(),
        community: "club".into(),
        meeting: text(&meeting["meetingId"]),
        event: text(&event["id"]),
        session: text(&session["id"]),
        email: "otto@example.org".into(),
        phone: "+4930222222".into(),
        facebook: "app:otto".into(),
        token: String::new(),
    }
}

/// What is nowhere.
fn nothing() -> Ids {
    let id = || Uuid::now_v7().to_string();
    Ids {
        network: "no-network".into(),
        user: "no-user".into(),
        room: "no-room".into(),
        prop: "no-prop".into(),
        group: "no-group".into(),
        community: "no-community".into(),
        meeting: id(),
        event: id(),
        session: id(),
        email: "no-email@example.org".into(),
        phone: "+4930999999".into(),
        facebook: "app:no-facebook".into(),
        token: "A".repeat(43),
    }
}

/// An answer without what differs between any two: the request's id, what was named, and what was made just now.
fn comparable(mut answer: Value, named: &Ids) -> Value {
    fn blur(value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(blur),
            Value::Object(fields) => {
                for (name, field) in fields {
                    match (name.as_str(), &*field) {
                        ("created" | "updated", Value::String(_)) => *field = json!("just now"),
                        ("id" | "meetingId", Value::String(id)) if Uuid::parse_str(id).is_ok() => {
                            *field = json!("an id");
                        }
                        _ => blur(field),
                    }
                }
            }
            _ => {}
        }
    }
    answer["id"].take();
    let mut text = answer.to_string();
    for (id, what) in named.all() {
        if !id.is_empty() {
            text = text.replace(&format!("\"{id}\""), &format!("\"<{what}>\""));
            text = text.replace(&format!(" {id}"), &format!(" <{what}>"));
        }
    }
    let mut answer = serde_json::from_str(&text).expect("JSON");
    blur(&mut answer);
    answer
}

/// Everything that the database knows of `demo`, table by table.
async fn digest(stack: &Stack) -> Vec<(String, i64, String)> {
    let mut database = stack.database().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT table_name::text FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
         WHERE table_schema = 'public' AND column_name = 'network_id' AND table_type = 'BASE TABLE'
             -- Workers write it in the background, whatever is asked for.
             AND table_name <> 'social_zone_passes'
         ORDER BY 1",
    )
    .fetch_all(&mut database)
    .await
    .expect("the tables");
    assert!(tables.len() > 15, "{tables:?}");
    let of_network = tables.into_iter().map(|table| (table, "network_id = 'demo'"));
    let others = [("networks", "id = 'demo'"), ("users", "'demo' = ANY (network_ids)")];
    let mut digest = Vec::new();
    for (table, condition) in of_network.chain(others.map(|(table, condition)| (table.to_owned(), condition))) {
        let sql = format!(
            "SELECT count(*), coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text)), '') FROM {table} t WHERE {condition}"
        );
        let (rows, sum): (i64, String) =
            sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_one(&mut database).await.expect("a digest");
        digest.push((table, rows, sum));
    }
    digest
}

/// Everyone has taken whatever there was to be told.
async fn told_of_all(people: &mut [Client]) {
    let marker = create(&mut people[0], in_the_lobby(&["bob", "carol", "dave"])).await;
    for client in people {
        while client.next_event().await["data"]["meeting"]["id"] != marker["meetingId"] {}
    }
}

/// Every endpoint that there is.
fn endpoints() -> impl Iterator<Item = &'static EndpointRow> {
    meeting::ENDPOINTS.iter().chain(social::ENDPOINTS)
}

/// Nothing of `demo` is on its way any more.
async fn settled(stack: &Stack) {
    let waiting = async || -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM outbox WHERE network_id = 'demo'")
            .fetch_one(&mut stack.database().await)
            .await
            .expect("a count")
    };
    eventually!(waiting().await, |waiting| *waiting == 0);
}

/// The statements that the worker has made for clients' requests, as its log tells them.
struct Statements(fs::File);

impl Statements {
    /// Those since the last time.
    fn since(&mut self) -> Vec<String> {
        let mut new = String::new();
        self.0.read_to_string(&mut new).expect("a log is text");
        new.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|event| event["target"] == "sqlx::query")
            .filter(|event| matches!(event["span"]["namespace"].as_str(), Some("meeting" | "social")))
            // A request may meet a connection that is new.
            .filter(|event| !event["summary"].as_str().is_some_and(|summary| summary.starts_with("SET lock_timeout")))
            .map(|event| format!("{} {}", event["summary"], event["db.statement"]))
            .collect()
    }
}

#[tokio::test]
async fn v1_what_is_of_another_network_is_what_does_not_exist() {
    let stack = Stack::builder()
        .processes()
        .log_filter("info,sqlx=debug")
        .gateway_arg("--rate-limit=100000")
        .gateway_arg("--rate-burst=100000")
        // Those who are not asked anything for a while do not read pings.
        .gateway_arg("--ping-interval=1h")
        .start()
        .await;
    stack.import_all(&lines()).await;
    let people = ["alice", "bob", "carol", "dave"].map(|user| Box::pin(stack.client(0, user)));
    let mut people = join_all(people).await;
    let theirs = {
        let [alice, bob, ..] = people.as_mut_slice() else { panic!("four") };
        theirs(&stack, alice, bob).await
    };
    let callers = CALLERS.map(|user| Box::pin(in_mirror(&stack, user, None)));
    let mut callers = join_all(callers).await;
    let ours = ours(&mut callers[0]).await;
    let nothing = nothing();
    told_of_all(&mut people).await;
    settled(&stack).await;
    let before = digest(&stack).await;

    let mut statements = Statements(stack.workers[0].log_file());
    let (mut called, mut codes) = (BTreeSet::new(), BTreeSet::new());
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for (endpoint, row) in ROWS {
        called.insert(*endpoint);
        match row {
            Row::Naming(requests) => {
                let is_change = endpoints().any(|row| row.name == *endpoint && row.kind == Kind::Change);
                for (client, caller) in callers.iter_mut().zip(CALLERS).take(2) {
                    let mut asked = BTreeSet::new();
                    for elsewhere in &theirs {
                        let pairs = requests(elsewhere, &ours).into_iter().zip(requests(&nothing, &ours));
                        // What names a place alone is the same for what is hidden.
                        for (foreign, unknown) in pairs.filter(|(foreign, _)| asked.insert(foreign.to_string())) {
                            let (mut answers, mut last_made) = (Vec::new(), (Vec::new(), Vec::new()));
                            // What the two change in the caller's own network, both find changed the second time.
                            for _ in 0..1 + u8::from(is_change) {
                                statements.since();
                                let found = comparable(client.call(endpoint, foreign.clone()).await, elsewhere);
                                let made = statements.since();
                                let expected = comparable(client.call(endpoint, unknown.clone()).await, &nothing);
                                answers.push((found, expected));
                                last_made = (made, statements.since());
                            }
                            for (found, expected) in answers {
                                codes.insert(expected["error"]["code"].as_u64());
                                if found != expected {
                                    wrong.push(format!("{caller} {endpoint} {foreign}:\n  {found}\n  {expected}"));
                                }
                            }
                            let (made, expected) = last_made;
                            compared += made.len();
                            if made != expected {
                                wrong.push(format!("{caller} {endpoint} {foreign}:\n  {made:?}\n  {expected:?}"));
                            }
                        }
                    }
                }
            }
            Row::Nameless(requests) => {
                for request in requests() {
                    let [_, bob, paula] = callers.as_mut_slice() else { panic!("three") };
                    let found = comparable(bob.call(endpoint, request.clone()).await, &nothing);
                    let expected = comparable(paula.call(endpoint, request.clone()).await, &nothing);
                    assert_eq!(expected["error"]["code"], 0, "{endpoint} {request}: {expected}");
                    if found != expected {
                        wrong.push(format!("{endpoint} {request}:\n  {found}\n  {expected}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(called, endpoints().map(|row| row.name).collect(), "every endpoint has a row");
    assert!(compared > 500, "{compared} statements were compared");
    assert_eq!(codes, [0, 400, 403, 404, 802].map(Some).into(), "every kind of answer was met");

    settled(&stack).await;
    assert_eq!(digest(&stack).await, before, "nothing of demo has changed");
    let marker =
        create(&mut people[0], with(in_the_lobby(&["bob", "carol", "dave"]), json!({"subject": "Marker"}))).await;
    for client in &mut people {
        let first = client.next_event().await;
        assert_eq!(
            first["data"]["meeting"]["meetingId"], marker["meetingId"],
            "nobody was told of anything before: {first}"
        );
    }
    files_and_places(&stack, &theirs, &nothing).await;
    assert!(!stack.logged().contains("panicked"));
}

async fn in_mirror(stack: &Stack, user: &str, last_event_id: Option<&str>) -> Client {
    let mut connect = stack.connect_as(0, user, "mirror", &format!("session-of-{user}"));
    if let Some(id) = last_event_id {
        connect = connect.last_event_id(id);
    }
    let mut client = connect.open().await.expect("let in");
    client.event("user_info").await;
    client
}

/// What is not asked for by frames: calendar files, and places in a network's events.
async fn files_and_places(stack: &Stack, theirs: &[Ids], nothing: &Ids) {
    let download = async |user: &str, session: &str, link: Option<&str>| {
        let url = format!("http://{}/api/v0/resource/sessionInvitation/{session}", stack.gateways[0].public);
        let mut request = http().get(url).bearer_auth(token(user, "mirror", "download"));
        if let Some(link) = link {
            request = request.query(&[("invitation", link)]);
        }
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    };
    for user in CALLERS {
        for it in theirs {
            for link in [None, Some(nothing.token.as_str()), Some("'")] {
                let found = download(user, &it.session, link).await;
                assert_eq!(found, download(user, &nothing.session, link).await, "{user}");
                assert_eq!(found.0, 404);
            }
            // The link of one session opens no other.
            let link = Some(it.token.as_str());
            assert_eq!(download(user, &it.session, link).await.0, 200, "a link is for whoever has it");
            let other = theirs.iter().find(|other| other.session != it.session).expect("two");
            assert_eq!(download(user, &other.session, link).await.0, 404);
        }
    }

    let place: String = {
        let mut client = stack.connect_as(0, "bob", "demo", "place").open().await.expect("let in");
        text(&client.event("user_info").await["lastEventId"])
    };
    for id in [place.as_str(), "unknown.1"] {
        let mut client = in_mirror(stack, "bob", Some(id)).await;
        client.event("resyncRequired").await;
        client.no_event().await;
    }
}
