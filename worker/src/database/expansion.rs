//! Migrations only expand: the workers of the version before go on while a migration runs, and after it.
//!
//! | refused | why | instead |
//! | --- | --- | --- |
//! | `RENAME`, another `TYPE` | old workers ask for what was there | a new column beside the old one |
//! | `DROP …`, `SET NOT NULL`, a constraint, `UNIQUE` | old workers use it, or do not keep to it | when no worker does any more: see below |
//! | a column `NOT NULL` without `DEFAULT` | old workers do not fill it | with one |
//! | a `DEFAULT` that differs by row | the table is written anew under a lock | `NULL`, filled in later |
//! | a constraint that is not `NOT VALID` | the table is read under a lock | `VALIDATE CONSTRAINT` in a later version |
//! | an index of an older table that is not `CONCURRENTLY` | nobody writes meanwhile | a file of its own, `-- no-transaction` in its first line |
//! | `UPDATE`, `INSERT`, `DELETE`, `TRUNCATE`, `DO` | holds the locks of many rows; can not be judged | rows a few at a time, by the worker |
//! | changing an older table without `SET LOCAL lock_timeout` first | who waits for a lock keeps everybody behind it waiting | at most 2 s |
//!
//! A contraction says, in a comment within its statement, which release does without: `-- contract: unused since 1.4.0`. That
//! must be an older one than this.

use std::collections::BTreeSet;

use super::MIGRATIONS;

/// The first release came with all migrations up to this one, onto no data.
const FIRST_RELEASE: i64 = 8;

/// Expressions that are worked out for each row.
const VOLATILE: [&str; 5] = ["GEN_RANDOM_UUID", "RANDOM", "NEXTVAL", "CLOCK_TIMESTAMP", "UUID_GENERATE"];

/// A statement: its comments, and the rest in capitals with single spaces.
#[derive(Debug, Default)]
struct Statement {
    comments: String,
    text: String,
}

/// What is between semicolons. Quoted texts are kept as `''`; `$$` is not understood, nor needed.
fn statements(sql: &str) -> Vec<Statement> {
    let mut all = vec![Statement::default()];
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let statement = all.last_mut().expect("there is one");
        if let Some(comment) = rest.strip_prefix("--") {
            let line = comment.lines().next().unwrap_or_default();
            statement.comments.push_str(line);
            statement.comments.push('\n');
            rest = &comment[line.len()..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '\'' => {
                let quoted = rest.find('\'').unwrap_or(rest.len());
                rest = rest.get(quoted + 1..).unwrap_or_default();
                statement.text.push_str("''");
            }
            ';' => all.push(Statement::default()),
            _ if c.is_whitespace() => {
                if !statement.text.is_empty() && !statement.text.ends_with(' ') {
                    statement.text.push(' ');
                }
            }
            _ => statement.text.extend(c.to_uppercase()),
        }
    }
    all.retain(|statement| !statement.text.is_empty());
    all
}

/// The parts between commas that stand in no parentheses.
fn actions(text: &str) -> Vec<&str> {
    let mut depth = 0;
    text.split(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    })
    .map(str::trim)
    .collect()
}

fn release(text: &str) -> Option<[u64; 3]> {
    let numbers: Option<Vec<u64>> = text.split('.').map(|number| number.parse().ok()).collect();
    numbers?.try_into().ok()
}

/// Whether a statement says that an older release does without what it takes away.
fn is_contraction(statement: &Statement, this_release: &str) -> bool {
    let said = statement.comments.lines().find_map(|line| line.trim().strip_prefix("contract: unused since "));
    said.and_then(release).zip(release(this_release)).is_some_and(|(since, this)| since < this)
}

/// What is wrong with a migration, statement by statement.
fn offences(sql: &str, this_release: &str) -> Vec<String> {
    let is_free = sql.starts_with("-- no-transaction");
    let statements = statements(sql);
    let mut made = BTreeSet::new();
    let mut has_timeout = false;
    let mut all = Vec::new();
    for statement in &statements {
        let text = statement.text.trim();
        let words: Vec<&str> = text.split([' ', '(']).filter(|word| !word.is_empty()).collect();
        let mut offend = |what: &str| all.push(format!("{what}: {text}"));
        let contracts = is_contraction(statement, this_release);
        match words[..] {
            ["CREATE", "TABLE", name, ..] => drop(made.insert(name)),
            ["SET", "LOCAL", "LOCK_TIMEOUT", ..] => has_timeout = true,
            ["CREATE", "INDEX", ..] | ["CREATE", "UNIQUE", "INDEX", ..] => {
                let table = words.iter().skip_while(|word| **word != "ON").nth(1);
                if table.is_some_and(|table| made.contains(table)) {
                    continue;
                }
                if !words.contains(&"CONCURRENTLY") {
                    offend("an index of an older table is made CONCURRENTLY");
                } else if !is_free || statements.len() > 1 {
                    offend("CONCURRENTLY asks for a file of its own that begins with `-- no-transaction`");
                }
                if words.contains(&"UNIQUE") && !contracts {
                    offend("old workers may not keep to it");
                }
            }
            ["CREATE", "SEQUENCE", ..] | ["COMMENT", ..] => {}
            ["CREATE", "VIEW" | "FUNCTION", ..] | ["CREATE", "OR", "REPLACE", "VIEW" | "FUNCTION", ..] => {}
            ["ALTER", "TABLE", name, ..] => {
                let is_new = made.contains(name);
                if !is_new && !has_timeout && !is_free {
                    offend("SET LOCAL lock_timeout comes first");
                }
                let changes = text.split_once(name).map_or("", |(_, changes)| changes);
                for change in actions(changes).into_iter().filter(|_| !is_new) {
                    if let Some(what) = offence(change, contracts) {
                        offend(what);
                    }
                }
            }
            ["DROP", ..] if contracts => {}
            ["DROP", ..] => offend("old workers may use it"),
            _ => offend("can not be judged, or changes rows"),
        }
    }
    all
}

/// What is wrong with a change of an older table.
fn offence(change: &str, contracts: bool) -> Option<&'static str> {
    let has = |words: &str| format!(" {change} ").contains(&format!(" {words} "));
    let is_column = change.starts_with("ADD COLUMN ");
    match () {
        () if change.starts_with("RENAME") || change.starts_with("ALTER ") && has("TYPE") => {
            Some("old workers ask for what was there")
        }
        () if is_column && has("NOT NULL") && !has("DEFAULT") => Some("old workers do not fill it"),
        () if is_column && VOLATILE.iter().any(|name| change.contains(name)) => Some("writes the table anew"),
        () if is_column
            && ["UNIQUE", "PRIMARY KEY", "REFERENCES", "CHECK"].iter().any(|word| change.contains(word)) =>
        {
            Some("a constraint stands by itself, NOT VALID")
        }
        () if is_column => None,
        () if change.starts_with("ADD ") && !change.ends_with("NOT VALID") => Some("reads the table under a lock"),
        () if change.starts_with("ADD ") || has("DROP") || has("SET NOT NULL") => {
            (!contracts).then_some("old workers may use it, or not keep to it")
        }
        () if change.starts_with("VALIDATE CONSTRAINT ") || change.starts_with("SET (") || has("SET DEFAULT") => None,
        () => Some("can not be judged"),
    }
}

#[test]
fn migrations_only_expand() {
    let newer = MIGRATIONS.iter().filter(|migration| migration.version > FIRST_RELEASE);
    let all: Vec<(i64, Vec<String>)> = newer
        .map(|migration| (migration.version, offences(migration.sql.as_str(), env!("CARGO_PKG_VERSION"))))
        .filter(|(_, offences)| !offences.is_empty())
        .collect();
    assert!(all.is_empty(), "see the head of {}: {all:#?}", file!());
}

#[test]
fn what_old_workers_can_not_live_with_is_refused() {
    const TIMEOUT: &str = "SET LOCAL lock_timeout = '2s';";
    for (sql, expected) in [
        ("ALTER TABLE meetings RENAME COLUMN subject TO title", "ask for"),
        ("ALTER TABLE meetings RENAME TO appointments", "ask for"),
        ("ALTER TABLE meetings ALTER COLUMN subject TYPE varchar(9)", "ask for"),
        ("ALTER TABLE meetings ALTER subject SET DATA TYPE text", "ask for"),
        ("ALTER TABLE meetings ADD COLUMN a text,\n ADD COLUMN place text NOT NULL -- why\n", "fill"),
        ("ALTER TABLE meetings ADD COLUMN token uuid DEFAULT gen_random_uuid()", "anew"),
        ("ALTER TABLE meetings ADD COLUMN room text REFERENCES rooms (id)", "NOT VALID"),
        ("ALTER TABLE meetings ADD CONSTRAINT short CHECK (length(subject) < 9)", "under a lock"),
        ("ALTER TABLE meetings ADD CONSTRAINT short CHECK (length(subject) < 9) NOT VALID", "keep to it"),
        ("ALTER TABLE meetings DROP COLUMN subject", "use it"),
        ("ALTER TABLE meetings ALTER COLUMN room_id SET NOT NULL", "keep to it"),
        ("ALTER TABLE meetings ALTER COLUMN subject DROP NOT NULL", "use it"),
        ("ALTER TABLE meetings DISABLE TRIGGER ALL", "judged"),
        ("DROP TABLE meetings", "use it"),
        ("DROP INDEX meetings_by_place", "use it"),
        // An older release must do without, not this one, and not somebody else's word.
        ("-- contract: unused since 1.5.0\nDROP VIEW meeting_details", "use it"),
        ("-- contract: unused since yesterday\nDROP VIEW meeting_details", "use it"),
        ("-- contract: unused since 1.4.0\nDROP VIEW meeting_details; DROP TABLE meetings", "use it"),
        ("CREATE INDEX ON meetings (subject)", "CONCURRENTLY"),
        ("CREATE INDEX a ON meetings (subject)", "CONCURRENTLY"),
        ("CREATE INDEX CONCURRENTLY a ON meetings (subject)", "of its own"),
        ("CREATE TABLE notes (id text); CREATE INDEX a ON meetings (subject)", "CONCURRENTLY"),
        ("UPDATE meetings SET subject = 'a; b'", "rows"),
        ("INSERT INTO meetings SELECT * FROM old", "rows"),
        ("TRUNCATE outbox", "rows"),
        ("DO $$ BEGIN END $$", "judged"),
    ] {
        let found = offences(&format!("{TIMEOUT} {sql};"), "1.5.0");
        assert!(found.len() == 1 && found[0].contains(expected), "{sql}: {found:?}");
    }
    let late = "ALTER TABLE meetings ADD COLUMN place text; SET LOCAL lock_timeout = '2s'";
    assert!(offences(late, "1.5.0")[0].contains("comes first"));
    let unique = "-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY a ON meetings (subject)";
    assert!(offences(unique, "1.5.0")[0].contains("keep to it"));
}

#[test]
fn what_old_workers_can_live_with_is_taken() {
    for sql in [
        "CREATE TABLE notes (network_id text NOT NULL, text text, PRIMARY KEY (network_id)); -- it's new; DROP\n
         CREATE UNIQUE INDEX notes_by_text ON notes (text); ALTER TABLE notes ALTER COLUMN text SET NOT NULL;",
        "SET LOCAL lock_timeout = '2s'; ALTER TABLE meetings ADD COLUMN place text, ADD COLUMN size integer NOT NULL DEFAULT 0;",
        "SET LOCAL lock_timeout = '2s'; ALTER TABLE event_log SET (fillfactor = 90, vacuum_truncate = false);",
        "SET LOCAL lock_timeout = '2s'; ALTER TABLE meetings VALIDATE CONSTRAINT short",
        "-- no-transaction\nCREATE INDEX CONCURRENTLY a ON meetings (network_id, subject);",
        "-- no-transaction\n-- contract: unused since 1.4.0\nCREATE UNIQUE INDEX CONCURRENTLY a ON meetings (subject);",
        "-- The view that nobody reads.\n-- contract: unused since 1.4.9\nDROP VIEW meeting_details;",
        "SET LOCAL lock_timeout = '2s';
         -- contract: unused since 0.9.10
         ALTER TABLE meetings DROP COLUMN subject, ALTER COLUMN room_id SET NOT NULL;",
    ] {
        assert_eq!(offences(sql, "1.5.0"), Vec::<String>::new(), "{sql}");
    }
}
