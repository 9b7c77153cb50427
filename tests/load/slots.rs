//! Time slots of a month, from the client's frame to its answer, and what they are made of.

use std::time::{Duration, Instant};

use harness::Client;
use serde_json::{Value, json};
use shared::api::Timestamp;
use sqlx::{PgConnection, Row as _};
use worker::availability::{
    calendar::{LocalDay, dates_near},
    interval::Interval,
    schedule::{ClockRange, Rule, Schedule},
    slots::{Person, common},
};

use crate::{Figure, median, timed};

/// Participants in the database.
const PARTICIPANTS: i32 = 1_200_000;

/// Meetings that each user who is asked for has in the month.
const MEETINGS: i32 = 40;

const HOUR: i64 = 3_600_000_000;

/// Asks so often for the month of 10 and of 100 users, in turn with the statement alone.
pub async fn measure(requests: usize) -> Vec<Figure> {
    let stack = timed().start().await;
    let users: Vec<Value> =
        (0..100).map(|n| json!({"kind": "user", "id": format!("u{n}"), "networkIds": ["demo"]})).collect();
    stack.import_all(&users).await;
    let mut database = stack.database().await;
    fill(&mut database).await;
    let mut alice = stack.client(0, "alice").await;
    let mut figures = Vec::new();
    for count in [10, 100] {
        figures.extend(of_users(&mut alice, &mut database, count, requests).await);
    }
    figures
}

async fn of_users(alice: &mut Client, database: &mut PgConnection, count: usize, requests: usize) -> Vec<Figure> {
    let users: Vec<Value> = (0..count).map(|n| json!({"roomful": format!("u{n}")})).collect();
    let request = json!({"users": users, "localDate": "2030-01-15T12:00:00+01:00"});
    let day = LocalDay::of(&"2030-01-15T12:00:00+01:00[Europe/Berlin]".parse().expect("a timestamp"), None);
    let day = day.expect("a day");
    let (window, read_window) = (day.month().expect("a month"), day.anywhere(LocalDay::month).expect("a window"));
    let people: Vec<Person> = (0..count).map(person).collect();
    let (mut whole, mut statement, mut algebra) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..requests + 50 {
        let (took, answer) = alice.timed("meeting:getMeetingTimeSlotsForMonth", request.clone()).await;
        let answered = Instant::now();
        rows(database, count, read_window).await;
        let read = Instant::now();
        let slots = common(&people, window);
        let computed = Instant::now();
        assert_eq!(
            answer["data"]["availableTimeSlots"].as_array().map(Vec::len),
            Some(slots.intervals().len()),
            "the same people"
        );
        if round >= 50 {
            whole.push(took);
            statement.push(read - answered);
            algebra.push(computed - read);
        }
    }
    let (whole, statement, algebra) = (median(whole), median(statement), median(algebra));
    let against = format!("{statement:?} for the bare statement (medians of {requests})");
    let figure = |name, measured: Duration, what: &str, bound: Option<f64>| Figure {
        name,
        measured: format!("{measured:?} for {what} of {count} users with {MEETINGS} meetings each"),
        against: against.clone(),
        ratio: measured.as_secs_f64() / statement.as_secs_f64(),
        bound,
    };
    vec![figure("slots", whole, "the month", Some(2.0)), figure("slots", algebra, "the algebra of the month", None)]
}

/// The worker's statement, with its rows fetched and not looked at.
async fn rows(database: &mut PgConnection, count: usize, window: Interval) {
    let (first, last) = dates_near(window);
    let day = |date: jiff::civil::Date| date.to_string().parse::<chrono::NaiveDate>().expect("a date");
    let rows = sqlx::query(include_str!("../../worker/src/meeting/people.sql"))
        .bind("demo")
        .bind((0..count).map(|n| format!("u{n}")).collect::<Vec<_>>())
        .bind(vec![""; count])
        .bind(day(first))
        .bind(day(last))
        .bind(window.start().instant())
        .bind(window.end().instant())
        .bind(10_001_i64)
        .bind("alice")
        .fetch_all(database)
        .await
        .expect("rows");
    assert_eq!(rows.len(), count);
}

/// A user as the database has him.
fn person(number: usize) -> Person {
    let mut schedule = Schedule::default();
    for weekday in 1..=5 {
        let zone = shared::api::timestamp::zone_named("Europe/Berlin").expect("a zone");
        let ranges =
            [(8, 12), (13, 18)].map(|(start, end)| ClockRange::new(start * HOUR, end * HOUR).expect("a range"));
        schedule.weekdays[weekday] = Some(Rule { is_available: true, zone, ranges: ranges.to_vec() });
    }
    let first: Timestamp = "2030-01-01T00:00:00Z".parse().expect("a timestamp");
    let busy = (0..i64::from(MEETINGS)).filter_map(|meeting| {
        let start = first.micros() + (meeting * 17 + number as i64 % 3) * HOUR;
        Interval::new(Timestamp::from_micros(start)?, Timestamp::from_micros(start + HOUR / 2)?)
    });
    Person { schedule, busy: busy.collect() }
}

/// Meetings of everybody over ten years, and for the users who are asked for the patterns and meetings of [`person`].
async fn fill(database: &mut PgConnection) {
    for statement in [
        "CREATE TEMP TABLE made AS
         SELECT gen_random_uuid() AS id, n, timestamptz '2025-01-01Z' + (n % 87600) * interval '1 hour' AS at
         FROM generate_series(1, $1 / 5) n",
        "INSERT INTO meetings (network_id, id, organizer_id, source_type, room_id, starts_at, ends_at, subject, description,
                               color_r, color_g, color_b, color_a)
         SELECT 'demo', id, 'other' || n % 5000, 'room', 'lobby', at, at + interval '1 hour', 's', '', 0, 0, 0, 0 FROM made
         WHERE $1 > 0",
        "INSERT INTO meeting_participants
         SELECT 'demo', id, 'other' || (n + p * 977) % 5000, CASE WHEN p = 0 THEN 'accepted' ELSE 'received' END, p, at,
                at + interval '1 hour'
         FROM made, generate_series(0, 4) p WHERE $1 > 0",
        "WITH own AS (
             INSERT INTO meetings (network_id, id, organizer_id, source_type, room_id, starts_at, ends_at, subject,
                                   description, color_r, color_g, color_b, color_a)
             SELECT 'demo', gen_random_uuid(), 'u' || u, 'room', 'lobby', at, at + interval '30 minutes', 's', '', 0, 0, 0, 0
             FROM generate_series(0, 99) u, generate_series(0, $1 - 1) m,
                  LATERAL (SELECT timestamptz '2030-01-01Z' + (m * 17 + u % 3) * interval '1 hour') t (at)
             RETURNING *)
         INSERT INTO meeting_participants SELECT 'demo', id, organizer_id, 'accepted', 0, starts_at, ends_at FROM own",
        "INSERT INTO availability_weekdays
         SELECT 'demo', 'u' || u, w, true, 'Europe/Berlin', '{28800000000,46800000000}', '{43200000000,64800000000}'
         FROM generate_series(0, 99) u, generate_series(1, 5) w WHERE $1 > 0",
    ] {
        let number = if statement.starts_with("WITH own") { MEETINGS } else { PARTICIPANTS };
        sqlx::query(statement).bind(number).execute(&mut *database).await.expect("rows");
    }
    sqlx::raw_sql("VACUUM ANALYZE").execute(&mut *database).await.expect("statistics");
    let count: i64 =
        sqlx::query("SELECT count(*) FROM meeting_participants").fetch_one(database).await.expect("a count").get(0);
    assert!(count >= i64::from(PARTICIPANTS));
}
