//! What the other tests rely on of the servers they get.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Stdio, time::Duration};

use harness::{Fault, Proxy, Servers, eventually, process::Guarded, servers::nats_client};
use sqlx::{Connection as _, PgConnection};
use tokio::process::Command;

async fn answers(database_url: &str) -> Result<i32, sqlx::Error> {
    let mut connection = PgConnection::connect(database_url).await?;
    sqlx::query_scalar("SELECT 1").fetch_one(&mut connection).await
}

#[tokio::test]
async fn tests_do_not_see_each_other() {
    let servers = Servers::shared().await;
    let (one, other) = tokio::join!(servers.isolated(), servers.isolated());

    let mut database = PgConnection::connect(&one.database_url).await.expect("a database");
    sqlx::raw_sql("CREATE TABLE mine ()").execute(&mut database).await.expect("it can create");
    let mut database = PgConnection::connect(&other.database_url).await.expect("a database");
    sqlx::raw_sql("TABLE mine").execute(&mut database).await.expect_err("not the other's table");

    let key = async |url: &str, command: redis::Cmd| {
        let client = redis::Client::open(url).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("Redis");
        command.query_async::<Option<String>>(&mut connection).await.expect("an answer")
    };
    key(&one.redis_url, redis::Cmd::set("mine", "x")).await;
    assert_eq!(key(&other.redis_url, redis::Cmd::get("mine")).await, None);
    assert_eq!(key(&one.redis_url, redis::Cmd::get("mine")).await.as_deref(), Some("x"));

    let [one, other] = [&one.nats_url, &other.nats_url].map(|url| nats_client(url));
    let (one, other) = tokio::try_join!(one, other).expect("NATS");
    let _mine = one.subscribe("mine").await.expect("a subscription");
    one.flush().await.expect("it is made");
    let error = other.request("mine", "".into()).await.expect_err("nobody serves it there");
    assert_eq!(error.kind(), async_nats::RequestErrorKind::NoResponders);
}

#[tokio::test]
async fn a_server_of_ones_own_can_be_stopped_paused_and_killed() {
    let servers = Servers::start_own().await;
    let mine = servers.isolated().await;
    assert_eq!(answers(&mine.database_url).await.expect("it runs"), 1);

    servers.postgres.stop().await;
    answers(&mine.database_url).await.expect_err("it is stopped");
    servers.postgres.start().await;
    assert_eq!(answers(&mine.database_url).await.expect("it runs again, with its data"), 1);

    let mut connection = PgConnection::connect(&mine.database_url).await.expect("it runs");
    servers.postgres.pause().await;
    let mut waiting = Box::pin(sqlx::query("SELECT 1").execute(&mut connection));
    tokio::time::timeout(Duration::from_millis(100), &mut waiting).await.expect_err("it is paused");
    servers.postgres.resume().await;
    waiting.await.expect("it goes on");

    servers.postgres.kill().await;
    answers(&mine.database_url).await.expect_err("it is killed");
    servers.postgres.start().await;
    assert_eq!(answers(&mine.database_url).await.expect("it has recovered"), 1);

    servers.redis.restart().await;
    servers.nats.restart().await;
    nats_client(&mine.nats_url).await.expect("NATS on the same port");
}

/// Names the folder of the copy of this program that is killed, and is set in that copy only.
const VICTIM: &str = "CONVENE_TESTS_VICTIM";

#[tokio::test]
async fn a_killed_test_process_leaves_neither_servers_nor_folders_behind() {
    if let Some(folder) = std::env::var_os(VICTIM) {
        let _servers = Servers::start_own().await;
        let _pod = Guarded::spawn(Command::new("sleep").arg("600").current_dir(&folder)).expect("a process");
        fs::write(Path::new(&folder).join("up"), "").expect("a file");
        std::future::pending::<()>().await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    // The servers may run as another user.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("permissions");
    let mut victim = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "servers::a_killed_test_process_leaves_neither_servers_nor_folders_behind"])
        .env(VICTIM, folder.path())
        .env("TMPDIR", folder.path())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("a copy of this program");
    eventually!(folder.path().join("up").is_file());
    assert_eq!(folders_in(folder.path()), 3);
    assert!(processes_in(folder.path()) >= 7, "three servers, a shell for each, and one more process");
    victim.kill().await.expect("it is killed");
    eventually!((folders_in(folder.path()), processes_in(folder.path())), |left| *left == (0, 0));
}

fn folders_in(folder: &Path) -> usize {
    fs::read_dir(folder)
        .expect("the folder")
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir()))
        .count()
}

/// How many processes work below a folder.
fn processes_in(folder: &Path) -> usize {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    processes
        .filter(|process| fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder)))
        .count()
}

#[tokio::test]
async fn the_way_to_a_server_can_be_cut_frozen_parted_and_healed() {
    let mine = Servers::shared().await.isolated().await;
    let proxy = Proxy::before(&mine.database_url).await;
    let url = proxy.url(&mine.database_url);
    let mut connection = PgConnection::connect(&url).await.expect("through the proxy");
    sqlx::query("SELECT 1").execute(&mut connection).await.expect("an answer");

    proxy.set(Fault { is_frozen: true, ..Fault::default() });
    let mut waiting = Box::pin(sqlx::query("SELECT 1").execute(&mut connection));
    tokio::time::timeout(Duration::from_millis(100), &mut waiting).await.expect_err("nothing passes");
    proxy.heal();
    waiting.await.expect("what was frozen goes on");

    proxy.cut();
    sqlx::query("SELECT 1").execute(&mut connection).await.expect_err("it is cut");
    assert_eq!(answers(&url).await.expect("a new connection is taken"), 1);

    proxy.part();
    answers(&url).await.expect_err("none is taken");
    proxy.heal();
    proxy.set(Fault { delay: Duration::from_millis(1), bytes_per_second: Some(100_000), ..Fault::default() });
    assert_eq!(answers(&url).await.expect("slowly"), 1);
}
