//! Holds `ENDPOINTS.md` against the tables: every endpoint and every event has its entry, and nothing else has.

use std::collections::{BTreeMap, BTreeSet};

use super::{Kind, meeting, social, user};

const DOCUMENT: &str = include_str!("../../ENDPOINTS.md");

/// The one endpoint that is no frame.
const CALENDAR_FILE: &str = "GET /api/v0/resource/sessionInvitation/{sessionId}";

/// The lines of each entry, by its name.
fn entries() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut entries = BTreeMap::new();
    for section in DOCUMENT.split("\n### ").skip(1) {
        let section = section.split("\n## ").next().unwrap_or_default();
        let mut lines = section.lines();
        let name = lines.next().unwrap_or_default();
        assert!(entries.insert(name, lines.collect()).is_none(), "{name} has two entries");
    }
    entries
}

/// The first cells of an entry's rows.
fn rows(entry: &[&'static str]) -> Vec<&'static str> {
    entry.iter().filter_map(|line| line.strip_prefix("| ")?.split('|').next()).map(str::trim).collect()
}

fn endpoints() -> BTreeMap<&'static str, Kind> {
    let tables = [meeting::ENDPOINTS, social::ENDPOINTS, user::ENDPOINTS];
    tables.into_iter().flatten().map(|row| (row.name, row.kind)).collect()
}

fn events() -> BTreeSet<&'static str> {
    [meeting::EVENTS, social::EVENTS, user::EVENTS].into_iter().flatten().copied().collect()
}

#[test]
fn every_endpoint_and_event_has_its_entry_and_nothing_else_has() {
    let entries: BTreeSet<&str> = entries().into_keys().collect();
    let (endpoints, events) = (endpoints(), events());
    assert_eq!((endpoints.len(), events.len()), (38, 9), "those of the documents");
    let expected = endpoints.into_keys().chain(events).chain([CALENDAR_FILE]).collect();
    assert_eq!(entries, expected);
}

#[test]
fn every_entry_says_who_may_and_who_is_told() {
    let (entries, endpoints, events) = (entries(), endpoints(), events());
    for (name, entry) in &entries {
        let rows = rows(entry);
        let needed: &[&str] = match endpoints.get(name) {
            Some(Kind::Change) => &["Change", "who may", "required", "told"],
            Some(Kind::Read) => &["Read", "who may"],
            None if events.contains(name) => &["when", "to", "holds"],
            None => &["Read", "who may", "errors"],
        };
        assert!(needed.iter().all(|row| rows.contains(row)), "{name} says {rows:?}, and should {needed:?}");
        let is_read = endpoints.get(name) == Some(&Kind::Read);
        assert!(!is_read || !rows.contains(&"told"), "{name}: a read tells nobody");
    }
}

#[test]
fn what_an_entry_names_is_an_endpoint_or_an_event() {
    let (endpoints, events) = (endpoints(), events());
    let names = DOCUMENT.split('`').skip(1).step_by(2);
    let named: BTreeSet<&str> =
        names.filter(|name| name.starts_with("meeting:") || name.starts_with("social:")).collect();
    assert!(named.len() > 10, "{named:?}");
    let unknown: Vec<&&str> =
        named.iter().filter(|name| !endpoints.contains_key(*name) && !events.contains(*name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
