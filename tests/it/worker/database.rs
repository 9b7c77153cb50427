//! A worker whose schema is not there, not its own, or whose database comes and goes.

use std::time::Duration;

use futures::future::join_all;
use harness::{Proxy, Servers, eventually};
use serde_json::json;
use shared::{
    api::Code,
    bus::{BusError, HeaderName, Headers, Subject},
    internal::{Call, ProfileClaims},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::world::{PATIENCE, World, call, session, subject};

async fn nobody_serves(world: &World) {
    let call = call(Some(session("alice")), "");
    let asked = world.send(subject("meeting:getMeeting"), &call, b"{}".to_vec()).await;
    assert_eq!(asked.expect_err("nobody serves"), BusError::NoResponders);
}

#[tokio::test]
async fn without_its_schema_a_worker_lives_and_serves_nothing_until_somebody_brings_it() {
    let world = World::without_schema(Servers::shared().await.isolated().await);
    let worker = world.start(&[]).await;
    let unready = eventually!(worker.get("/readyz").await, |(_, body)| body.contains("no schema"));
    assert_eq!(unready.0, 503);
    assert_eq!(worker.get("/livez").await.0, 200);
    nobody_serves(&world).await;
    world.migrate().await;
    worker.ready().await;
    world.connect(&session("alice"), ProfileClaims::default()).await.expect_err("there is no network");

    world.execute("UPDATE _sqlx_migrations SET checksum = 'x' WHERE version = 1").await;
    eventually!(worker.get("/readyz").await, |(status, body)| *status == 503 && body.contains("migration 1 is not"));
    let served = async || world.bus.request(subject("meeting:get"), Headers::new(), "", PATIENCE).await;
    eventually!(served().await.err(), |error| *error == Some(BusError::NoResponders));
    worker.drain().await;
}

#[tokio::test]
async fn a_worker_serves_on_the_next_newer_schema_and_on_none_beyond() {
    let world = World::new().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 SELECT max(version) + 1, 'newer', true, 'x', 0 FROM _sqlx_migrations";
    world.execute(newer).await;
    let worker = world.worker(&["--migrate"]).await;
    world.connect(&session("alice"), ProfileClaims::default()).await.expect("served");
    world.execute(newer).await;
    eventually!(worker.get("/readyz").await, |(status, body)| *status == 503 && body.contains("2 newer"));
    let late = world.start(&["--migrate"]).await;
    let error = late.ended().await.expect_err("it can not bring this schema up to date");
    assert!(format!("{error:#}").contains("2 newer"), "{error:#}");
    worker.drain().await;
}

#[tokio::test]
async fn many_bring_the_schema_up_to_date_at_once() {
    let world = World::without_schema(Servers::shared().await.isolated().await);
    join_all((0..6).map(|_| world.migrate())).await;
    assert_eq!(world.count("SELECT count(*) FROM networks").await, 0);
}

#[tokio::test]
async fn who_waits_to_bring_the_schema_up_to_date_does_not_keep_an_index_from_being_made() {
    let world = World::new().await;
    let mut first = world.database().await;
    let lock = "SELECT pg_advisory_lock(x'636f6e76656e6504'::bigint)";
    sqlx::query(lock).execute(&mut first).await.expect("the lock of the one who migrates");
    let waiting = world.migrate();
    let made = async {
        let waiters = "SELECT count(*) FROM pg_stat_activity
                       WHERE application_name = 'convene-worker migrate' AND datname = current_database()
                           AND query LIKE '%advisory_lock%'";
        eventually!(world.count(waiters).await == 1);
        let index = "CREATE INDEX CONCURRENTLY ON meetings (subject)";
        sqlx::query(index).execute(&mut first).await.expect("it waits for nobody");
        sqlx::query("SELECT pg_advisory_unlock_all()").execute(&mut first).await.expect("unlocked");
    };
    tokio::join!(waiting, made);
}

#[tokio::test]
async fn no_request_meets_a_connection_of_before_a_restart_and_a_database_that_is_away_is_503() {
    let servers = Servers::start_own().await;
    let world = World::without_schema(servers.isolated().await);
    servers.postgres.stop().await;
    let worker = world.start(&["--migrate"]).await;
    eventually!(worker.get("/readyz").await.0, |status| *status == 503);
    servers.postgres.start().await;
    worker.ready().await;
    world.execute("INSERT INTO networks (id, partition, epoch) VALUES ('demo', 7, 'e1')").await;
    world.user("alice", "demo").await;

    let connect = async || world.connect(&session("alice"), ProfileClaims::default()).await;
    // Fills the pool with connections that the restart makes stale.
    let before = join_all((0..20).map(|_| connect())).await;
    let fence = before.into_iter().map(|connected| connected.expect("let in").fence).max().expect("a fence");
    servers.postgres.restart().await;
    worker.ready().await;
    for after in join_all((0..20).map(|_| connect())).await {
        assert!(after.expect("let in").fence > fence, "I9");
    }

    servers.postgres.stop().await;
    assert_eq!(connect().await.expect_err("the database is away").code, Code::Unavailable);
    let report = eventually!(worker.get("/readyz").await, |(status, _)| *status == 503);
    assert_eq!(worker.get("/livez").await.0, 200);
    assert!(!report.1.contains("convene:"), "no password: {}", report.1);
    servers.postgres.start().await;
    worker.ready().await;
    eventually!(connect().await.is_ok());
    worker.drain().await;
}

#[tokio::test]
async fn whoever_hangs_up_before_the_database_has_greeted_is_a_database_that_is_away() {
    let mut world = World::new().await;
    let proxy = Proxy::before(&world.servers.database_url).await;
    world.servers.database_url = proxy.url(&world.servers.database_url);
    let worker = world.worker(&["--namespaces=user"]).await;
    let connect = async || world.connect(&session("alice"), ProfileClaims::default()).await;
    connect().await.expect("let in");
    proxy.part();
    for refused in join_all((0..20).map(|_| connect())).await {
        assert_eq!(refused.expect_err("the database is away").code, Code::Unavailable);
    }
    let late = world.start(&["--migrate", "--namespaces=user"]).await;
    eventually!(late.get("/readyz").await.0, |status| *status == 503);
    proxy.heal();
    late.ready().await;
    eventually!(connect().await.is_ok());
    worker.drain().await;
    late.drain().await;
}

/// Passes connections on to a server, until it falls silent for all that are open.
struct Wire {
    port: u16,
    cuts: watch::Sender<u32>,
}

impl Wire {
    async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (cuts, seen) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut seen = seen.clone();
                seen.mark_unchanged();
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(("127.0.0.1", server)).await.expect("the server");
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        // Neither end learns of it: both stay open.
                        _ = seen.changed() => std::future::pending().await,
                    }
                });
            }
        });
        Self { port, cuts }
    }

    /// Nothing comes through any more on what is open now; what is opened later is passed on.
    fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

#[tokio::test]
async fn connections_to_a_server_that_vanished_without_a_word_do_not_keep_their_places() {
    let mut world = World::new().await;
    let url: &str = &world.servers.database_url;
    let (host, database) = url.rsplit_once('/').expect("a database");
    let (rest, port) = host.rsplit_once(':').expect("a port");
    let wire = Wire::to(port.parse().expect("a port")).await;
    let wired = format!("{rest}:{}/{database}", wire.port);
    world.servers.database_url = wired;
    let worker = world.worker(&["--namespaces=meeting,user"]).await;
    let data = json!({
        "sourceType": "direct", "sourceIds": ["bob"], "subject": "Lunch",
        "startDate": "2030-01-01T10:00:00Z", "endDate": "2030-01-01T11:00:00Z",
    });
    const BUDGET: Duration = Duration::from_secs(1);
    // The code, or that it was dropped: it waited so long for a slot that nobody waits for it any more.
    let ask = async |subject: Subject, data: String| {
        let session = Some(session("alice"));
        let call = Call { budget_ms: BUDGET.as_millis() as u64, ..call(session, "") };
        let headers = Headers::new().with(HeaderName::Call, serde_json::to_string(&call).expect("JSON"));
        match world.bus.request(subject, headers.expect("a header"), data, 3 * BUDGET).await {
            Ok(answer) => answer.headers.get(HeaderName::Code).map(str::to_owned),
            Err(error) => Some(error.to_string()),
        }
    };
    let round = async || {
        let changes = (0..20).map(|_| ask(subject("meeting:createMeeting"), data.to_string()));
        let check = || Subject::internal("user", "checkSessions");
        let reads = (0..20).map(|_| ask(check(), r#"{"sessions":[]}"#.to_owned()));
        let (changes, reads) = tokio::join!(join_all(changes), join_all(reads));
        [changes, reads].concat()
    };
    assert_eq!(round().await, vec![None; 40]);
    wire.cut();
    let cut_off = round().await;
    assert!(cut_off.contains(&Some("504".to_owned())), "some were in the middle: {cut_off:?}");
    eventually!(round().await, |codes| codes.iter().all(Option::is_none));
    worker.drain().await;
}
