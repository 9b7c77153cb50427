//! The private PostgreSQL: its data stay, itself does not, and what is wrong is said in one line.

use std::{fs, path::Path, time::Duration};

use convene::{folder::Folder, postgres::Server};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use shared::lifecycle::one_line;
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// A new folder. For root it is closed to PostgreSQL's user, as /root would be.
fn temporary() -> (TempDir, Folder) {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let folder = Folder::open(&parent.path().join("it's a folder/.convene")).expect("a data folder");
    (parent, folder)
}

async fn start(folder: &Folder) -> Server {
    Server::start(folder, &CancellationToken::new()).await.expect("it starts").expect("nobody interrupts it")
}

async fn refused(folder: &Folder) -> String {
    one_line(&Server::start(folder, &CancellationToken::new()).await.expect_err("it can not start"))
}

async fn connect(server: &Server) -> PgConnection {
    PgConnection::connect(server.url()).await.expect("it answers")
}

fn postmaster(folder: &Folder) -> Pid {
    let text = fs::read_to_string(folder.path().join("postgres/postmaster.pid")).expect("it runs");
    text.lines().next().and_then(|line| line.parse().ok()).and_then(Pid::from_raw).expect("its number")
}

fn parent(pid: Pid) -> Pid {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).expect("it runs");
    let parent = stat.rsplit(") ").next().and_then(|fields| fields.split(' ').nth(1)).and_then(|id| id.parse().ok());
    parent.and_then(Pid::from_raw).expect("a parent")
}

async fn gone(pid: Pid) {
    let gone = async {
        while test_kill_process(pid).is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(30), gone).await.expect("it ends");
}

fn socket(server: &Server) -> String {
    let (_, after) = server.url().split_once("host=").expect("a socket");
    after.split('&').next().expect("its folder").to_owned()
}

#[tokio::test]
async fn the_data_outlive_the_server_and_nothing_else_does() {
    let (_parent, folder) = temporary();
    let server = start(&folder).await;
    let mut connection = connect(&server).await;
    sqlx::query("CREATE TABLE kept (line text)").execute(&mut connection).await.expect("a table");
    sqlx::query("INSERT INTO kept VALUES (upper('ünë'))").execute(&mut connection).await.expect("a row");
    let (pid, socket) = (postmaster(&folder), socket(&server));
    assert!(Path::new(&socket).exists());
    server.stop().await.expect("it stops");
    assert!(test_kill_process(pid).is_err() && !Path::new(&socket).exists(), "{socket}");

    let server = start(&folder).await;
    let mut connection = connect(&server).await;
    let kept: String = sqlx::query_scalar("SELECT line FROM kept").fetch_one(&mut connection).await.expect("the row");
    assert_eq!(kept, "ÜNË");
    server.stop().await.expect("it stops");
}

#[tokio::test]
async fn what_was_answered_is_on_the_disk_whatever_the_folder_says() {
    let (_parent, folder) = temporary();
    start(&folder).await.stop().await.expect("it stops");
    let careless = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nlisten_addresses = '*'\n";
    fs::write(folder.path().join("postgres/postgresql.conf"), careless).expect("a changed file");
    let server = start(&folder).await;
    let mut connection = connect(&server).await;
    for (setting, value) in
        [("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on"), ("listen_addresses", "")]
    {
        let is: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(&mut connection)
            .await
            .expect("a setting");
        assert_eq!(is, value, "{setting}");
    }
    server.stop().await.expect("it stops");
}

#[tokio::test]
async fn a_server_that_was_left_behind_is_stopped_and_its_data_used() {
    let (_parent, folder) = temporary();
    let server = start(&folder).await;
    let mut connection = connect(&server).await;
    sqlx::query("CREATE TABLE kept (line text)").execute(&mut connection).await.expect("a table");
    let (left, shell) = (postmaster(&folder), parent(postmaster(&folder)));
    // As when everything that watches the server is killed: the shell, and its child that reads the pipe.
    let children =
        fs::read_to_string(format!("/proc/{0}/task/{0}/children", shell.as_raw_nonzero())).expect("children");
    for child in children.split_whitespace().filter_map(|id| id.parse().ok()).filter_map(Pid::from_raw) {
        if child != left {
            kill_process(child, Signal::KILL).expect("the reader");
        }
    }
    kill_process(shell, Signal::KILL).expect("the shell");
    drop(server);
    assert!(test_kill_process(left).is_ok(), "it is left behind");

    let server = start(&folder).await;
    assert!(test_kill_process(left).is_err(), "the old one is gone");
    let mut connection = connect(&server).await;
    sqlx::query("INSERT INTO kept VALUES ('still')").execute(&mut connection).await.expect("the old data");
    server.stop().await.expect("it stops");
}

#[tokio::test]
async fn the_number_of_a_dead_server_may_be_somebody_elses_by_now() {
    let (_parent, folder) = temporary();
    start(&folder).await.stop().await.expect("it stops");
    let stale = format!("{}\n/somewhere\n1\n5432\n\n\n", std::process::id());
    fs::write(folder.path().join("postgres/postmaster.pid"), stale).expect("a stale file");
    start(&folder).await.stop().await.expect("it stops");
}

#[tokio::test]
async fn whoever_interrupts_the_start_finds_nothing_running() {
    let (_parent, folder) = temporary();
    let interrupted = CancellationToken::new();
    interrupted.cancel();
    assert!(Server::start(&folder, &interrupted).await.expect("no error").is_none());
    let server = start(&folder).await;
    let pid = postmaster(&folder);
    drop(server);
    gone(pid).await;
}

#[tokio::test]
async fn damaged_data_are_said_in_one_line_that_names_the_folder_and_what_to_do() {
    let (_parent, folder) = temporary();
    let server = start(&folder).await;
    let mut connection = connect(&server).await;
    let database: String = sqlx::query_scalar("SELECT oid::text FROM pg_database WHERE datname = 'convene'")
        .fetch_one(&mut connection)
        .await
        .expect("the database");
    server.stop().await.expect("it stops");

    let data = folder.path().join("postgres");
    let named = format!("the data in {} can not be used: ", data.display());
    let advice = "; put back a copy of that folder, or move it away to begin anew";
    for (damaged, why) in [
        (format!("base/{database}"), "database \"convene\" does not exist"),
        ("global/pg_control".to_owned(), "could not"),
        ("PG_VERSION".to_owned(), "PG_VERSION: "),
    ] {
        fs::rename(data.join(&damaged), data.join("aside")).expect("damaged");
        let refused = refused(&folder).await;
        assert!(refused.starts_with(&format!("{named}{why}")) && refused.ends_with(advice), "{damaged}: {refused}");
        assert!(!data.join("postmaster.pid").exists(), "{damaged}: nothing runs");
        fs::rename(data.join("aside"), data.join(&damaged)).expect("repaired");
    }
    start(&folder).await.stop().await.expect("it stops");
}
