//! Sessions that thousands have joined: rule S11, and what it costs.

use std::collections::{BTreeMap, BTreeSet};

use harness::{Servers, Stack, eventually};
use serde_json::{Value, json};

use super::{People, count, create, crowd, get, joined, let_join, named, update, users, yoga};

/// Lets users `c0` and so on be known and join a session, as it would be after each had joined.
async fn crowd_in(stack: &Stack, session: &Value, count: usize) -> Vec<String> {
    let names: Vec<String> = (0..count).map(|n| format!("c{n:05}")).collect();
    let known = "WITH known AS (
             INSERT INTO users (id, network_ids, first_name) SELECT u, '{demo}', u FROM unnest($1::text[]) u
         )
         INSERT INTO members (network_id, user_id) SELECT 'demo', u FROM unnest($1::text[]) u";
    sqlx::query(known).bind(&names).execute(&mut stack.database().await).await.expect("they are known");
    let_join(stack, session, &names).await;
    names
}

/// How often each was told after a position.
async fn told_after(stack: &Stack, position: i64) -> BTreeMap<String, i64> {
    let told: Vec<(String, i64)> = sqlx::query_as(
        "SELECT user_id, count(*) FROM event_recipients WHERE network_id = 'demo' AND position > $1 GROUP BY user_id",
    )
    .bind(position)
    .fetch_all(&mut stack.database().await)
    .await
    .expect("who was told");
    told.into_iter().collect()
}

/// Those who were told after a position what does not list them, in order; and how many texts there were.
async fn unlisted_after(stack: &Stack, position: i64) -> (BTreeSet<String>, usize) {
    let told: Vec<(Vec<String>, String)> =
        sqlx::query_as("SELECT recipients, payload FROM event_log WHERE network_id = 'demo' AND position > $1")
            .bind(position)
            .fetch_all(&mut stack.database().await)
            .await
            .expect("what was told");
    let mut unlisted = BTreeSet::new();
    for (recipients, payload) in &told {
        let text: Value = serde_json::from_str(payload).expect("JSON");
        let listed: BTreeSet<String> = joined(&text["session"]).into_iter().collect();
        assert!(listed.len() <= 500, "{}", listed.len());
        unlisted.extend(recipients.iter().filter(|reader| !listed.contains(*reader)).cloned());
    }
    let texts: BTreeSet<&str> = told.iter().map(|(_, payload)| payload.as_str()).collect();
    (unlisted, texts.len())
}

async fn head(stack: &Stack) -> i64 {
    count(stack, "SELECT coalesce(max(position), 0) FROM event_log WHERE network_id = 'demo'").await
}

#[tokio::test]
async fn s11_among_thousands_each_is_shown_himself_whatever_he_is_told_by() {
    const CROWD: usize = 2700;
    let stack = Stack::builder().workers(2).start().await;
    stack.import_all(&crowd(3)).await;
    let mut people = People::of(&stack).await;
    // Some of the invited join early, some in the middle, one not at all.
    let middle = ["c00600", "c00601", "c01099", "c01100", "c02300"];
    let session = create(&mut people.bob, yoga(None), users(&["carol", "u0"])).await;
    let names = crowd_in(&stack, &session, CROWD).await;
    let invited =
        "UPDATE social_participants SET role = 0, invited_no = 10 + position('c' IN user_id) WHERE user_id = ANY ($1)";
    sqlx::query(invited).bind(middle).execute(&mut stack.database().await).await.expect("they are invited");
    eventually!(count(&stack, "SELECT count(*) FROM outbox").await, |waiting| *waiting == 0);

    // At once: the owner, the invited, and who joins. Those who merely joined are told in a round, each once.
    let before = head(&stack).await;
    people.dave.ask("social:joinSession", named(&session)).await;
    let all = CROWD + 4;
    let told = eventually!(told_after(&stack, before).await, |told| told.values().sum::<i64>() > all as i64);
    let not_joined = BTreeSet::from(["bob", "carol", "u0"].map(str::to_owned));
    assert_eq!(unlisted_after(&stack, before).await.0, not_joined, "who has not joined is on no list");
    assert_eq!(told.len(), all);
    // Dave at once, as it concerns him, and then as one of those who merely joined.
    let more_than_once: Vec<_> = told.iter().filter(|(_, times)| **times != 1).collect();
    assert_eq!(more_than_once, [(&"dave".to_owned(), &2)]);
    let at_once: BTreeSet<String> = sqlx::query_scalar(
        "SELECT user_id FROM event_recipients WHERE network_id = 'demo' AND position <= (
             SELECT min(position) - 1 FROM event_recipients WHERE network_id = 'demo' AND position > $1 AND user_id = 'c00000') AND position > $1",
    )
    .bind(before)
    .fetch_all(&mut stack.database().await)
    .await
    .expect("who was told at once")
    .into_iter()
    .collect();
    let few = middle.into_iter().chain(["bob", "carol", "dave", "u0"]).map(str::to_owned).collect();
    assert_eq!(at_once, few);
    eventually!(count(&stack, "SELECT count(*) FROM social_news WHERE is_pending").await, |waiting| *waiting == 0);

    // A change that concerns everybody is told by itself, to everybody.
    let before = head(&stack).await;
    update(&mut people.bob, &session, json!({"title": "Mass yoga"})).await;
    let told = eventually!(told_after(&stack, before).await, |told| told.len() == all);
    assert!(told.values().all(|times| *times == 1));
    assert_eq!(unlisted_after(&stack, before).await, (not_joined, 6), "no more texts than are needed");

    // And what each is shown when he asks.
    for (user, expected) in [
        ("c00499", &names[..500]),
        ("c00500", &names[500..1000]),
        ("c02199", &names[2199..2699]),
        ("u1", &names[..500]),
    ] {
        let mut client = stack.client(0, user).await;
        assert_eq!(joined(&get(&mut client, &session).await), expected, "{user}");
    }
    let shown = joined(&get(&mut people.dave, &session).await);
    assert_eq!((shown.len(), shown.last().map(String::as_str)), (500, Some("dave")));
}

#[tokio::test]
async fn s11_a_round_that_is_cut_off_goes_on_where_it_was_and_what_happens_meanwhile_is_told_in_another() {
    const CROWD: usize = 2700;
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let session = create(&mut people.bob, yoga(None), json!([])).await;
    eventually!(head(&stack).await, |head| *head == 1);
    let names = crowd_in(&stack, &session, CROWD).await;
    // As left by a worker that was killed after its first step, and with a join since.
    sqlx::query(
        "INSERT INTO social_news (network_id, session_id, told_at, is_pending, round_joined_at, round_user_id)
         SELECT network_id, session_id, now() + interval '1 minute', true, joined_at, user_id
         FROM social_participants WHERE user_id = $1",
    )
    .bind(&names[2499])
    .execute(&mut stack.database().await)
    .await
    .expect("a round");
    let position = head(&stack).await;
    let rest = (CROWD - 2500) as i64;
    let told = eventually!(told_after(&stack, position).await, |told| told.values().sum::<i64>() >= rest);
    assert_eq!(told.into_keys().collect::<Vec<_>>(), names[2500..]);
    assert_eq!(unlisted_after(&stack, position).await, (BTreeSet::new(), 1));
    eventually!(count(&stack, "SELECT count(*) FROM social_news WHERE is_pending").await, |waiting| *waiting == 0);

    // As left when somebody joined in the middle of a round: those who were told before are told of it in another.
    let position = head(&stack).await;
    sqlx::query(
        "UPDATE social_news n SET is_pending = true, is_stale = true, round_joined_at = p.joined_at,
                round_user_id = p.user_id
         FROM social_participants p WHERE p.user_id = $1",
    )
    .bind(&names[2600])
    .execute(&mut stack.database().await)
    .await
    .expect("a round");
    let waits = "SELECT count(*) FROM social_news WHERE is_pending AND NOT is_stale AND round_joined_at IS NULL";
    eventually!(count(&stack, waits).await, |waiting| *waiting == 1);
    let due = "UPDATE social_news SET told_at = told_at - interval '10 s'";
    sqlx::query(due).execute(&mut stack.database().await).await.expect("due");
    eventually!(told_after(&stack, position).await, |told| names[..2600].iter().all(|user| told.contains_key(user)));
}

#[tokio::test]
async fn joining_reads_no_more_of_many_than_of_few() {
    // Servers of its own: nobody else's statements are counted.
    let servers = Servers::start_own().await;
    let mut read = Vec::new();
    for crowd in [1500, 3000] {
        let isolated = servers.isolated_with_schema().await;
        let stack = Stack::builder().on(isolated).start().await;
        let mut people = People::of(&stack).await;
        let session = create(&mut people.bob, yoga(None), json!([])).await;
        crowd_in(&stack, &session, crowd).await;
        sqlx::query("ANALYZE").execute(&mut stack.database().await).await.expect("statistics");
        // Nobody tells those who merely joined while it is counted.
        let told = "INSERT INTO social_news (network_id, session_id, told_at, is_pending)
                    SELECT network_id, id, now() + interval '1 hour', false FROM social_sessions";
        sqlx::query(told).execute(&mut stack.database().await).await.expect("told");
        let rows = "SELECT (sum(coalesce(idx_tup_fetch, 0) + seq_tup_read)
                            + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'social_participants'))::bigint
                    FROM pg_stat_user_tables WHERE relname = 'social_participants'";
        stack.workers[0].restart().await;
        let before = count(&stack, rows).await;
        for _ in 0..5 {
            people.dave.ask("social:joinSession", named(&session)).await;
            get(&mut people.dave, &session).await;
            people.dave.ask("social:declineSessionJoin", named(&session)).await;
        }
        // Its sessions count at their end.
        stack.workers[0].stop().await;
        let sessions = "SELECT count(*) FROM pg_stat_activity
                        WHERE datname = current_database() AND pid <> pg_backend_pid()";
        eventually!(count(&stack, sessions).await, |sessions| *sessions == 0);
        read.push(count(&stack, rows).await - before);
    }
    assert!(read[0] > 5 * 1000 && read[1] < read[0] * 11 / 10, "{read:?}");
}
