//! The table of metrics in deploy/README.md.
//!
//! Labels are written `name` (value, value, …), or `name` (any …) where the values are not bounded by a list.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use harness::exposition::Metric;

/// The rows, by name.
pub struct Table {
    pub rows: BTreeMap<String, Row>,
}

/// What is written of one metric.
pub struct Row {
    pub name: String,
    kind: String,
    /// Of each label the values; `None`: any.
    pub labels: BTreeMap<String, Option<BTreeSet<String>>>,
}

impl Table {
    /// Reads it.
    pub fn read() -> Self {
        let readme = readme();
        let section = readme.split("\n## ").find_map(|part| part.strip_prefix("Metrics\n")).expect("a part on metrics");
        let mut rows = BTreeMap::new();
        for line in section.lines().filter(|line| line.starts_with("| `")) {
            let row = Row::read(line);
            assert!(rows.insert(row.name.clone(), row).is_none(), "two rows: {line}");
        }
        assert!(rows.len() > 40, "the table is read");
        Self { rows }
    }

    /// The row of a metric, or of the histogram that a series belongs to.
    pub fn row_of(&self, name: &str) -> Option<&Row> {
        self.rows.get(name).or_else(|| {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|ending| name.strip_suffix(ending))?;
            self.rows.get(base).filter(|row| row.kind == "histogram")
        })
    }

    /// Notes where a metric that `who` shows is not as it is written.
    pub fn hold_against(&self, name: &str, metric: &Metric, who: &str, problems: &mut Vec<String>) {
        let Some(row) = self.rows.get(name) else {
            let labels: BTreeSet<&String> = metric.samples.iter().flat_map(|sample| sample.labels.keys()).collect();
            problems.push(format!(
                "{name}, which {who} counts ({}, labels {labels:?}), has no row in deploy/README.md",
                metric.kind
            ));
            return;
        };
        if metric.kind != row.kind {
            problems.push(format!("{name} of {who} is a {}, its row says {}", metric.kind, row.kind));
        }
        let written: BTreeSet<&str> = row.labels.keys().map(String::as_str).collect();
        let mut noted = BTreeSet::new();
        for sample in &metric.samples {
            let labels: BTreeSet<&str> =
                sample.labels.keys().map(String::as_str).filter(|name| *name != "le").collect();
            if labels != written && noted.insert("labels".to_owned()) {
                problems.push(format!("{name} of {who} has the labels {labels:?}, its row says {written:?}"));
            }
            for (label, value) in &sample.labels {
                let Some(Some(values)) = row.labels.get(label) else { continue };
                if !values.contains(value) && noted.insert(format!("{label}={value}")) {
                    problems.push(format!("{name} of {who} has {label}={value:?}, its row says {values:?}"));
                }
            }
        }
    }
}

impl Row {
    fn read(line: &str) -> Self {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", name, kind, labels, meaning, ""] = cells[..] else { panic!("four cells: {line}") };
        assert!(!meaning.is_empty(), "it says nothing: {line}");
        let mut read = BTreeMap::new();
        let mut rest = labels;
        while let Some((_, from)) = rest.split_once('`') {
            let (label, after) = from.split_once('`').expect("the end of a label");
            let (values, after) = after
                .strip_prefix(" (")
                .and_then(|after| after.split_once(')'))
                .unwrap_or_else(|| panic!("the values of {label}: {line}"));
            let values = (!values.starts_with("any ")).then(|| values.split(", ").map(str::to_owned).collect());
            read.insert(label.to_owned(), values);
            rest = after;
        }
        Self { name: name.trim_matches('`').to_owned(), kind: kind.to_owned(), labels: read }
    }
}

/// The alerts that deploy/README.md says what to do about.
pub fn headings() -> BTreeSet<String> {
    readme().lines().filter_map(|line| line.strip_prefix("#### ")).map(str::to_owned).collect()
}

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/README.md")).expect("the README")
}
