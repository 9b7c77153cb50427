//! What the database has, held against what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use crate::chaos::{
    ledger::{Ledger, Life},
    tally::Tally,
};

/// Network and id.
type Key = (String, String);

async fn titles(database: &mut PgConnection, query: &'static str) -> BTreeMap<Key, String> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(query).fetch_all(database).await.expect(query);
    rows.into_iter().map(|(network, id, title)| ((network, id), title)).collect()
}

pub(super) async fn judge(database: &mut PgConnection, ledger: &Ledger, tally: &Tally) {
    let marks: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT network_id, description, count(*)
         FROM (SELECT network_id, description FROM meetings
               UNION ALL SELECT network_id, description FROM social_sessions
               UNION ALL SELECT network_id, description FROM social_events) objects
         GROUP BY 1, 2",
    )
    .fetch_all(&mut *database)
    .await
    .expect("the marks");
    let meetings = titles(database, "SELECT network_id, id::text, subject FROM meetings").await;
    let sessions = titles(database, "SELECT network_id, id::text, title FROM social_sessions").await;
    let answers: Vec<(String, String, String, String)> = sqlx::query_as(
        "SELECT network_id, meeting_id::text, user_id, status FROM meeting_participants WHERE position > 0",
    )
    .fetch_all(&mut *database)
    .await
    .expect("the answers");
    let joined: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT network_id, session_id::text, user_id FROM social_participants WHERE joined_at IS NOT NULL AND NOT is_owner",
    )
    .fetch_all(&mut *database)
    .await
    .expect("who has joined");
    let unanswered: i64 = sqlx::query_scalar("SELECT count(*) FROM done_requests WHERE answer IS NULL")
        .fetch_one(database)
        .await
        .expect("a number");
    if unanswered != 0 {
        tally.blame(format!("{unanswered} records of requests hold no answer"));
    }

    let book = ledger.book();
    for (network, mark, count) in &marks {
        let asked = book.created.contains_key(&(network.clone(), mark.clone()));
        if *count > 1 || !asked {
            tally.blame(format!("{network}: {count} rows with {mark}; asked for: {asked}"));
        }
    }
    for event in &book.events {
        if !marks.iter().any(|(network, mark, _)| (network, mark) == (&event.network, &event.mark)) {
            tally.blame(format!("{}: {} was acknowledged and is not there", event.network, event.mark));
        }
    }
    for meeting in &book.meetings {
        let key = (meeting.network.clone(), meeting.id.clone());
        row(&key, &meeting.mark, meeting.life, meeting.version, meetings.get(&key), tally);
        if meeting.life == Life::Gone || meeting.is_moved {
            continue;
        }
        for user in &meeting.invited {
            let status =
                answers.iter().find(|(network, id, of, _)| (network, id, of) == (&meeting.network, &meeting.id, user));
            let status = status.map(|(.., status)| status.as_str());
            let expected = meeting.answers.get(user).and_then(|answers| answers.last()).copied().unwrap_or("received");
            if status != Some(expected) {
                tally.blame(format!("{key:?}: {user} has answered {expected}, and it is {status:?}"));
            }
        }
    }
    for session in &book.sessions {
        let key = (session.network.clone(), session.id.clone());
        row(&key, &session.mark, session.life, session.version, sessions.get(&key), tally);
        let here = joined.iter().filter(|(network, id, _)| (network, id) == (&session.network, &session.id));
        let here: BTreeSet<&String> = here.map(|(.., user)| user).collect();
        let expected = session.joins.iter().filter(|(_, joins)| joins.last() == Some(&true));
        let expected: BTreeSet<&String> = expected.map(|(user, _)| user).collect();
        if session.life == Life::There && here != expected {
            tally.blame(format!("{key:?}: {expected:?} have joined, and it is {here:?}"));
        }
    }
    for event in &book.events {
        let here = book.sessions.iter().filter(|session| session.event == event.id);
        let ids: BTreeSet<&String> = here.map(|session| &session.id).collect();
        let taken: BTreeSet<&String> =
            joined.iter().filter(|(_, id, _)| ids.contains(id)).map(|(.., user)| user).collect();
        if taken.len() > event.limit {
            tally.blame(format!("{}: {} places of {} are taken", event.id, taken.len(), event.limit));
        }
    }
}

/// The row of an object that has one writer.
fn row(key: &Key, mark: &str, life: Life, version: u64, title: Option<&String>, tally: &Tally) {
    let expected = (life != Life::Gone).then(|| format!("v{version}"));
    if title != expected.as_ref() {
        tally.blame(format!("{key:?}, {mark}: acknowledged is {expected:?}, and there is {title:?}"));
    }
}
