//! The network is the key that everything is stored by, so a part of the networks can be moved to a database of their own.
//! What is not keyed by it is listed here, and in deploy/README.md.

use std::{collections::BTreeSet, fs, path::Path};

use harness::Servers;
use sqlx::{Connection as _, PgConnection};

/// Tables whose primary key does not begin with the network.
const OTHER_KEYS: [&str; 5] = [
    // By version.
    "_sqlx_migrations",
    // The network's own row.
    "networks",
    // By the partition of the network, as a relay reads it.
    "outbox",
    // By session: a `sid` is refused in every network.
    "revoked_sessions",
    // Users are of several networks.
    "users",
];

/// Unique all over the database, as identifiers of the directory are.
const OTHER_UNIQUE: [&str; 4] = ["communities_id_key", "groups_id_key", "props_id_key", "rooms_id_key"];

/// Sequences, which hand out numbers for all networks.
const SEQUENCES: [&str; 2] = ["fence", "outbox_seq"];

async fn names(database: &mut PgConnection, sql: &'static str) -> BTreeSet<String> {
    sqlx::query_scalar(sql).fetch_all(database).await.expect(sql).into_iter().collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn all_but_a_few_tables_are_keyed_by_network_and_refer_to_nothing_of_another() {
    let servers = Servers::shared().await.isolated_with_schema().await;
    let database = &mut PgConnection::connect(&servers.database_url).await.expect("the database");
    let tables = names(database, "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'").await;
    assert!(tables.len() > 20, "{tables:?}");
    let keyed = names(
        database,
        "SELECT c.conrelid::regclass::text FROM pg_constraint c
         JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
         WHERE c.contype = 'p' AND a.attname = 'network_id' AND c.connamespace = 'public'::regnamespace",
    )
    .await;
    assert_eq!(tables.difference(&keyed).cloned().collect::<BTreeSet<_>>(), set(&OTHER_KEYS));

    let other_unique = names(
        database,
        "SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
         WHERE i.indisunique AND NOT i.indisprimary AND c.relnamespace = 'public'::regnamespace AND NOT EXISTS (
             SELECT FROM pg_attribute a
             WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::smallint[]) AND a.attname = 'network_id')",
    )
    .await;
    assert_eq!(other_unique, set(&OTHER_UNIQUE));

    let referring_without = names(
        database,
        "SELECT c.confrelid::regclass::text FROM pg_constraint c
         WHERE c.contype = 'f' AND NOT EXISTS (
             SELECT FROM pg_attribute a
             WHERE a.attrelid = c.confrelid AND a.attnum = ANY (c.confkey) AND a.attname = 'network_id')",
    )
    .await;
    assert_eq!(referring_without, set(&["networks", "users"]));

    let sequences = names(database, "SELECT sequencename::text FROM pg_sequences WHERE schemaname = 'public'").await;
    assert_eq!(sequences, set(&SEQUENCES));

    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/README.md")).expect("text");
    let told = readme.split("\n## ").find(|part| part.starts_with("Scaling past one")).expect("a chapter on it");
    for name in OTHER_KEYS.iter().chain(&SEQUENCES) {
        assert!(told.contains(&format!("`{name}`")), "deploy/README.md does not say what becomes of {name}");
    }
}
