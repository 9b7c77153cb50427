//! Joins a second, on one session that everybody wants, on one that very many have joined before, and over very many,
//! beside the bare statement.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use harness::Client;
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::{Figure, timed};

/// How many users join, each once; and how many sessions they join where each has his own.
const USERS: usize = 1000;

/// How many have joined the crowded session before.
const CROWD: i32 = 10_000;

/// Requests in flight, as many as connections that run the bare statement. More of them only wait.
const AT_ONCE: usize = 16;

/// Lets all users join one session, then each another one, then one that is crowded; and the same by the bare statement.
pub async fn measure() -> Vec<Figure> {
    let stack = timed().start().await;
    let lines: Vec<Value> =
        (0..USERS).map(|n| json!({"kind": "user", "id": format!("u{n}"), "networkIds": ["demo"]})).collect();
    stack.import_all(&lines).await;
    let mut alice = stack.client(0, "alice").await;
    let mut clients = Vec::new();
    for n in 0..USERS {
        clients.push(stack.client(0, &format!("u{n}")).await);
    }
    let mut connections = Vec::new();
    for _ in 0..AT_ONCE {
        connections.push(stack.database().await);
    }
    let mut rounds = Vec::new();
    for (name, count, crowd) in [("joins-hot", 1, 0), ("joins-spread", USERS, 0), ("joins-crowded", 1, CROWD)] {
        let (ours, bare) = (sessions(&mut alice, count).await, sessions(&mut alice, count).await);
        for session in [&ours, &bare] {
            fill(&mut connections[0], session, crowd).await;
        }
        rounds.push((name, count, crowd, ours, bare));
    }
    // She would be told of each join, and does not listen.
    alice.close().await;
    let mut figures = Vec::new();
    for (name, count, crowd, sessions, bare_sessions) in rounds {
        let whole = join(&mut clients, &sessions).await;
        let bare = join_bare(&mut connections, &bare_sessions).await;
        let rate = |took: Duration| USERS as f64 / took.as_secs_f64();
        figures.push(Figure {
            name,
            measured: format!("{:.0} joins/s of {USERS} users, {count} sessions, {crowd} joined before", rate(whole)),
            against: format!("{:.0}/s by the bare statement, {AT_ONCE} at once", rate(bare)),
            ratio: rate(bare) / rate(whole),
            bound: None,
        });
    }
    figures
}

async fn sessions(alice: &mut Client, count: usize) -> Vec<Value> {
    let mut sessions = Vec::new();
    for _ in 0..count {
        let session =
            json!({"title": "Yoga", "roomId": "lobby", "startDate": "2030-01-02T10:00:00Z", "duration": 3600});
        let answer = alice.ask("social:createSession", json!({"session": session})).await;
        sessions.push(answer["session"]["id"].clone());
    }
    sessions
}

/// Lets users that are nobody else's join a session, as it would be after each had joined.
async fn fill(database: &mut PgConnection, sessions: &[Value], crowd: i32) {
    for session in sessions.iter().filter(|_| crowd > 0) {
        sqlx::query(
            "WITH known AS (
                 INSERT INTO users (id, network_ids, first_name)
                 SELECT 'crowd-' || n, '{demo}', 'Somebody' FROM generate_series(1, $2) n
                 ON CONFLICT DO NOTHING
             ), let_in AS (
                 INSERT INTO members (network_id, user_id) SELECT 'demo', 'crowd-' || n FROM generate_series(1, $2) n
                 ON CONFLICT DO NOTHING
             )
             INSERT INTO social_participants (network_id, session_id, user_id, is_owner, joined_at, event_id, starts_at,
                                              ends_at)
             SELECT network_id, id, 'crowd-' || n, false, now() + n * interval '1 microsecond', event_id, starts_at, ends_at
             FROM social_sessions, generate_series(1, $2) n WHERE id = $1::uuid",
        )
        .bind(session.as_str().expect("an id"))
        .bind(crowd)
        .execute(&mut *database)
        .await
        .expect("they join");
    }
    sqlx::query("ANALYZE social_participants, users, members").execute(database).await.expect("statistics");
}

async fn join(clients: &mut [Client], sessions: &[Value]) -> Duration {
    let begun = Instant::now();
    let joins = clients.iter_mut().enumerate().map(async |(n, client)| {
        client.ask("social:joinSession", json!({"sessionId": sessions[n % sessions.len()]})).await;
    });
    stream::iter(joins).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    begun.elapsed()
}

/// The statement that writes a join, and nothing around it: no rights, no limits, nothing told.
async fn join_bare(connections: &mut [PgConnection], sessions: &[Value]) -> Duration {
    let begun = Instant::now();
    let at_once = connections.len();
    let work = connections.iter_mut().enumerate().map(async |(connection_no, connection)| {
        for n in (connection_no..USERS).step_by(at_once) {
            sqlx::query(
                "WITH touched AS (
                     UPDATE social_sessions SET updated_at = statement_timestamp()
                     WHERE network_id = 'demo' AND id = $1::uuid
                     RETURNING network_id, id, event_id, starts_at, ends_at
                 )
                 INSERT INTO social_participants (network_id, session_id, user_id, is_owner, joined_at, event_id, starts_at,
                                                  ends_at)
                 SELECT network_id, id, $2, false, statement_timestamp(), event_id, starts_at, ends_at FROM touched",
            )
            .bind(sessions[n % sessions.len()].as_str().expect("an id"))
            .bind(format!("u{n}"))
            .execute(&mut *connection)
            .await
            .expect("a join");
        }
    });
    futures::future::join_all(work).await;
    begun.elapsed()
}
