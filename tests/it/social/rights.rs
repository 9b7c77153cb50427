//! Who may do what: one table for everything, and every kind of user (V1 to V4, S1, S4, S5, S7, S8).

use std::collections::BTreeMap;

use futures::future::join_all;
use harness::{Client, Stack};
use serde_json::{Value, json};

use super::{in_january, users, with, yoga};
use crate::meeting::code;

/// The users, in the order of the table's columns. Otto is of another network. Kim is an admin of the community `club`;
/// Cora has created its event and Olga owns its session, both while they were managers of everything; they and Mia are
/// members now. Ivan is invited, Jane has joined; they and Stan are of the network and not of the community.
const USERS: [&str; 9] = ["alice", "kim", "cora", "olga", "ivan", "jane", "mia", "stan", "otto"];

/// `+` may; `-` sees it and may not: 403; `.` may not know: 404; `x` 409; `o` 802; `r` 803.
const TABLE: &str = "
    source              endpoint                        alice kim cora olga ivan jane mia stan otto
    network             createEvent                       +    -    -    -    -    -    -    -    .
    network             getEvents                         +    +    +    +    +    +    +    +    .
    club                createEvent                       +    +    -    -    .    .    -    .    .
    club                getEvents                         +    +    +    +    .    .    +    .    .
    garden              createEvent                       +    -    -    -    -    -    -    -    .
    garden              getEvents                         +    +    +    +    +    +    +    +    .

    event               endpoint                        alice kim cora olga ivan jane mia stan otto
    network,draft       getEvent getSessions              +    .    +    .    .    .    .    .    .
    network,draft       updateEvent publishEvent          +    .    -    .    .    .    .    .    .
    network,draft       deleteEvent createSession         +    .    -    .    .    .    .    .    .
    network,published   getEvent getSessions              +    +    +    +    +    +    +    +    .
    network,published   updateEvent publishEvent          +    -    -    -    -    -    -    -    .
    network,published   deleteEvent                       +    -    -    -    -    -    -    -    .
    network,published   createSession                     +    +    +    +    +    +    +    +    .
    club,draft          getEvent getSessions              +    +    +    .    .    .    .    .    .
    club,draft          updateEvent publishEvent          +    +    -    .    .    .    .    .    .
    club,draft          deleteEvent createSession         +    +    -    .    .    .    .    .    .
    club,published      getEvent getSessions              +    +    +    +    .    .    +    .    .
    club,published      updateEvent publishEvent          +    +    -    -    .    .    -    .    .
    club,published      deleteEvent                       +    +    -    -    .    .    -    .    .
    club,published      createSession                     +    +    +    +    .    .    +    .    .

    session             endpoint                        alice kim cora olga ivan jane mia stan otto
    network,draft,0     getSession join decline removeMe  +    .    +    +    +    +    .    .    .
    network,draft,0     update delete invite remove       +    .    -    +    -    -    .    .    .
    network,draft,1     getSession join decline removeMe  +    .    .    +    +    +    .    .    .
    network,draft,1     update delete invite remove       +    .    .    +    -    -    .    .    .
    network,draft,2     getSession decline removeMe       +    .    +    +    +    +    .    .    .
    network,draft,2     join                              x    .    x    +    x    +    .    .    .
    network,draft,2     update delete invite remove       +    .    -    +    -    -    .    .    .
    network,published,0 getSession join decline removeMe  +    +    +    +    +    +    +    +    .
    network,published,0 update delete invite remove       +    -    -    +    -    -    -    -    .
    network,published,1 getSession join decline removeMe  +    .    .    +    +    +    .    .    .
    network,published,1 update delete invite remove       +    .    .    +    -    -    .    .    .
    network,published,2 getSession decline removeMe       +    +    +    +    +    +    +    +    .
    network,published,2 join                              x    x    x    +    x    +    x    x    .
    network,published,2 update delete invite remove       +    -    -    +    -    -    -    -    .
    club,draft,0        getSession join decline removeMe  +    +    +    +    +    +    .    .    .
    club,draft,0        update delete invite remove       +    +    -    +    -    -    .    .    .
    club,draft,1        getSession join decline removeMe  +    +    .    +    +    +    .    .    .
    club,draft,1        update delete invite remove       +    +    .    +    -    -    .    .    .
    club,draft,2        getSession decline removeMe       +    +    +    +    +    +    .    .    .
    club,draft,2        join                              x    x    x    +    x    +    .    .    .
    club,draft,2        update delete invite remove       +    +    -    +    -    -    .    .    .
    club,published,0    getSession join decline removeMe  +    +    +    +    +    +    +    .    .
    club,published,0    update delete invite remove       +    +    -    +    -    -    -    .    .
    club,published,1    getSession join decline removeMe  +    +    .    +    +    +    .    .    .
    club,published,1    update delete invite remove       +    +    .    +    -    -    .    .    .
    club,published,2    getSession decline removeMe       +    +    +    +    +    +    +    .    .
    club,published,2    join                              x    x    x    +    x    +    x    .    .
    club,published,2    update delete invite remove       +    +    -    +    -    -    -    .    .

    vault: a room of olga's that mia may use            alice kim cora olga ivan jane mia stan otto
    vault,0             getSession join decline removeMe  +    .    .    +    +    +    +    .    .
    vault,0             update delete invite remove       -    .    .    +    -    -    -    .    .
    vault,1             getSession join decline removeMe  .    .    .    +    +    +    .    .    .
    vault,1             update delete invite remove       .    .    .    +    -    -    .    .    .
    vault,2             getSession decline removeMe       +    .    .    +    +    +    +    .    .
    vault,2             join                              x    .    .    +    x    +    x    .    .
    vault,2             update delete invite remove       -    .    .    +    -    -    -    .    .
    vault               createSession getPropSessions     +    r    r    +    r    r    +    r    o
    lobby               createSession getPropSessions     +    +    +    +    +    +    +    +    o
";

fn expected(symbol: &str) -> u64 {
    match symbol {
        "+" => 0,
        "-" => 403,
        "." => 404,
        "x" => 409,
        "o" => 802,
        "r" => 803,
        other => panic!("{other} is no symbol"),
    }
}

/// The rows: what, endpoint, and the codes by user.
fn rows() -> impl Iterator<Item = (&'static str, &'static str, Vec<u64>)> {
    TABLE.lines().filter(|line| !line.contains("alice") && !line.trim().is_empty()).flat_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (names, symbols) = words.split_at(words.len() - USERS.len());
        let codes: Vec<u64> = symbols.iter().map(|symbol| expected(symbol)).collect();
        names[1..].iter().map(move |endpoint| (names[0], *endpoint, codes.clone())).collect::<Vec<_>>()
    })
}

/// Roles that somebody has while everything is made, and loses then.
fn with_all_rights(user: &str, has_them: bool) -> Value {
    let roles = json!([{"targetType": "network", "targetId": "demo", "permissions": ["network.manage"]}]);
    json!({"kind": "user", "id": user, "networkIds": ["demo"], "userRoles": if has_them { roles } else { json!([]) }})
}

async fn world() -> Stack {
    let stack = Stack::builder().gateway_arg("--rate-limit=100000").gateway_arg("--rate-burst=100000").start().await;
    let member = |user: &str, role: &str| json!({"userId": user, "role": role});
    let club = [
        member("kim", "Admin"),
        member("cora", "Participant"),
        member("olga", "Participant"),
        member("mia", "Participant"),
    ];
    let user = |id: &str| json!({"kind": "user", "id": id, "networkIds": ["demo"]});
    stack
        .import_all(&[
            json!({"kind": "network", "id": "other"}),
            json!({"kind": "user", "id": "otto", "networkIds": ["other"]}),
            user("kim"),
            with_all_rights("cora", true),
            with_all_rights("olga", true),
            user("ivan"),
            user("jane"),
            user("mia"),
            user("stan"),
            json!({"kind": "community", "id": "club", "networkId": "demo", "joinPolicy": "InviteOnly", "members": club}),
            json!({"kind": "room", "id": "vault", "networkId": "demo", "ownerId": "olga", "viewers": ["mia"]}),
            json!({"kind": "prop", "id": "safe", "roomId": "vault"}),
        ])
        .await;
    stack
}

async fn clients(stack: &Stack) -> BTreeMap<&'static str, Client> {
    let client = async |user: &'static str| {
        let network = if user == "otto" { "other" } else { "demo" };
        let socket = stack.connect_as(0, user, network, &format!("session-of-{user}"));
        (user, Box::pin(socket.open()).await.expect("let in"))
    };
    join_all(USERS.map(client)).await.into_iter().collect()
}

/// Events by source and status, sessions by event or room and type.
async fn made(clients: &mut BTreeMap<&'static str, Client>) -> BTreeMap<String, Value> {
    let mut made = BTreeMap::new();
    for (source, name) in [("network:demo", "network"), ("community:demo:club", "club")] {
        for status in ["draft", "published"] {
            let cora = clients.get_mut("cora").expect("cora");
            let request = json!({"source": source, "event": in_january()});
            let event = cora.ask("social:createEvent", request).await["event"].take();
            if status == "published" {
                cora.ask("social:publishEvent", json!({"eventId": event["id"]})).await;
            }
            for session_type in 0..3 {
                let session = with(yoga(Some(&event)), json!({"sessionType": session_type}));
                made.insert(format!("{name},{status},{session_type}"), session_of(clients, session).await);
            }
            made.insert(format!("{name},{status}"), event);
        }
    }
    for session_type in 0..3 {
        let session = with(yoga(None), json!({"roomId": "vault", "propId": "safe", "sessionType": session_type}));
        made.insert(format!("vault,{session_type}"), session_of(clients, session).await);
    }
    made
}

/// Olga's session, with Ivan, and Jane, who keeps no invitation where she can do without.
async fn session_of(clients: &mut BTreeMap<&'static str, Client>, session: Value) -> Value {
    let olga = clients.get_mut("olga").expect("olga");
    let is_private = session["sessionType"] == 1;
    let session = super::create(olga, session, users(&["ivan", "jane"])).await;
    let jane = clients.get_mut("jane").expect("jane");
    jane.ask("social:joinSession", super::named(&session)).await;
    if !is_private {
        let request = json!({"sessionId": session["id"], "usersToInvite": ["jane"]});
        jane.ask("social:deleteUserSessionInvitations", request).await;
    }
    session
}

/// Copies an event or a session with all that belongs to it, so that it can be changed.
async fn copied(database: &mut sqlx::PgConnection, what: &str, original: &Value) -> Value {
    let id = uuid::Uuid::now_v7().to_string();
    let tables: &[&'static str] = match what.split(',').count() {
        2 if !what.starts_with("vault") => &[
            "INSERT INTO social_events SELECT (jsonb_populate_record(e, jsonb_build_object('id', $2::text))).*
             FROM social_events e WHERE id = $1::uuid",
        ],
        _ => &[
            "INSERT INTO social_sessions SELECT (jsonb_populate_record(s, jsonb_build_object('id', $2::text))).*
             FROM social_sessions s WHERE id = $1::uuid",
            "INSERT INTO social_participants SELECT (jsonb_populate_record(p, jsonb_build_object('session_id', $2::text))).*
             FROM social_participants p WHERE session_id = $1::uuid",
        ],
    };
    for copy in tables {
        sqlx::query(*copy)
            .bind(original["id"].as_str().expect("an id"))
            .bind(&id)
            .execute(&mut *database)
            .await
            .expect("a copy");
    }
    json!({"id": id})
}

/// The request of a row, by a user.
fn request(what: &str, endpoint: &str, user: &str, it: &Value) -> (&'static str, Value) {
    let session = json!({"sessionId": it["id"]});
    let event = json!({"eventId": it["id"]});
    let source = match what {
        "network" => "network:demo".to_owned(),
        community => format!("community:demo:{community}"),
    };
    let removing = |whom: &str| with(session.clone(), json!({"usersToInvite": [whom]}));
    match endpoint {
        "createEvent" => ("social:createEvent", json!({"source": source, "event": in_january()})),
        "getEvents" => ("social:getEvents", json!({"source": source})),
        "getEvent" => ("social:getEvent", event),
        "getSessions" => ("social:getSessions", event),
        "updateEvent" => ("social:updateEvent", with(event, json!({"event": {"title": "Spring"}}))),
        "publishEvent" => ("social:publishEvent", event),
        "deleteEvent" => ("social:deleteEvent", event),
        "createSession" if what == "vault" || what == "lobby" => {
            ("social:createSession", json!({"session": with(yoga(None), json!({"roomId": what}))}))
        }
        "createSession" => ("social:createSession", json!({"session": yoga(Some(it))})),
        "getPropSessions" => {
            let prop = if what == "vault" { "safe" } else { "table" };
            ("social:getPropSessions", json!({"roomId": what, "propId": prop}))
        }
        "getSession" => ("social:getSession", session),
        "join" => ("social:joinSession", session),
        "decline" => ("social:declineSessionJoin", session),
        "removeMe" => ("social:deleteUserSessionInvitations", removing(user)),
        "remove" => ("social:deleteUserSessionInvitations", removing("bob")),
        "invite" => ("social:inviteUsersToSession", with(session, json!({"usersToInvite": users(&["bob"])}))),
        "update" => ("social:updateSession", json!({"session": {"id": it["id"], "title": "Tai chi"}})),
        "delete" => ("social:deleteSession", session),
        other => panic!("{other} is no endpoint"),
    }
}

#[tokio::test]
async fn everyone_may_do_what_the_table_says_and_nothing_else() {
    let stack = world().await;
    let mut people = clients(&stack).await;
    let made = made(&mut people).await;
    stack.import_all(&[with_all_rights("cora", false), with_all_rights("olga", false)]).await;
    let mut database = stack.database().await;
    let mut wrong = Vec::new();
    let mut called: BTreeMap<&str, usize> = BTreeMap::new();
    for (what, endpoint, codes) in rows() {
        for (user, expected) in USERS.into_iter().zip(codes) {
            let it = match made.get(what) {
                Some(original) => copied(&mut database, what, original).await,
                None => json!({}),
            };
            let (name, data) = request(what, endpoint, user, &it);
            let found = code(people.get_mut(user).expect("a user"), name, data).await;
            *called.entry(name).or_default() += 1;
            if found != expected {
                wrong.push(format!("{what} {endpoint} {user}: {found}, expected {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(called.len(), 16, "every endpoint has a row: {called:?}");
}

#[tokio::test]
async fn lists_show_what_their_reader_may_know() {
    let stack = world().await;
    let mut people = clients(&stack).await;
    let made = made(&mut people).await;
    stack.import_all(&[with_all_rights("cora", false), with_all_rights("olga", false)]).await;
    let name = |id: &Value| {
        let found = made.iter().find(|(_, it)| it["id"] == *id).unwrap_or_else(|| panic!("{id} was not made"));
        found.0.rsplit(',').next().expect("a name").to_owned()
    };
    let mut listed = async |user: &str, endpoint: &str, data: Value| -> String {
        let mut answer = people.get_mut(user).expect("a user").ask(endpoint, data).await;
        let list = answer[if endpoint == "social:getEvents" { "events" } else { "sessions" }].take();
        let mut names: Vec<String> = list.as_array().expect("a list").iter().map(|it| name(&it["id"])).collect();
        names.sort_unstable();
        names.join(" ")
    };
    for (user, of_network, of_club) in [
        ("alice", "draft published", "draft published"),
        ("kim", "published", "draft published"),
        ("cora", "draft published", "draft published"),
        ("mia", "published", "published"),
    ] {
        let request = |source: &str| json!({"source": source});
        assert_eq!(listed(user, "social:getEvents", request("network:demo")).await, of_network, "{user}");
        assert_eq!(listed(user, "social:getEvents", request("community:demo:club")).await, of_club, "{user}");
    }
    let club = json!({"eventId": made["club,published"]["id"]});
    let network = json!({"eventId": made["network,published"]["id"]});
    for (user, of_network, of_club) in [
        ("alice", "0 1 2", Some("0 1 2")),
        ("kim", "0 2", Some("0 1 2")),
        ("cora", "0 2", Some("0 2")),
        ("olga", "0 1 2", Some("0 1 2")),
        ("mia", "0 2", Some("0 2")),
        ("ivan", "0 1 2", None),
        ("stan", "0 2", None),
    ] {
        assert_eq!(listed(user, "social:getSessions", network.clone()).await, of_network, "{user}");
        if let Some(of_club) = of_club {
            assert_eq!(listed(user, "social:getSessions", club.clone()).await, of_club, "{user}");
        }
    }
    for (user, at_the_safe) in [("alice", "0 2"), ("olga", "0 1"), ("mia", "0 2")] {
        let safe = json!({"roomId": "vault", "propId": "safe"});
        assert_eq!(listed(user, "social:getPropSessions", safe).await, at_the_safe, "{user}");
    }
}
