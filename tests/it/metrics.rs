//! What is counted, what deploy/README.md says of it, and what the dashboard and the alert rules ask for: the same.
//!
//! One system is watched by a real Prometheus while clients do a little of everything. A row of the table, a series, a query
//! or a rule that does not fit the others fails, and the message says which and how.

mod promql;
mod table;
mod workout;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use harness::{
    Balancer, Prometheus, Stack, eventually,
    exposition::{Metric, Page, Sample},
    prometheus::telemetry,
};
use serde_json::Value;

use promql::Asked;
use table::{Row, Table};

/// What Prometheus itself adds.
const OF_PROMETHEUS: [&str; 2] = ["up", ALERTS];

/// The alerts that are on: of a system that is well there is none.
const ALERTS: &str = "ALERTS";

/// Labels that it adds to every series or rule, and the one of buckets.
const ADDED: [&str; 6] = ["job", "instance", "le", "alertname", "alertstate", "severity"];

/// What stands for the interval that Grafana works out.
const RATE_INTERVAL: &str = "20s";

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_counted_asked_for_and_written_down_is_the_same() {
    let stack = Stack::builder().gateways(2).workers(2).processes().start().await;
    let balancer = Balancer::start(&stack).await;
    let prometheus = Prometheus::start(&stack, &balancer).await;
    workout::run(&stack, &balancer).await;
    // What is counted for the first time is a rate only when it was counted before.
    asked_again(&prometheus).await;
    workout::run(&stack, &balancer).await;
    asked_again(&prometheus).await;

    let table = Table::read();
    let mut problems = Vec::new();
    let mut shown: BTreeMap<String, Metric> = BTreeMap::new();
    for (kind, pods) in [("gateway", &stack.gateways), ("worker", &stack.workers)] {
        for (n, pod) in pods.iter().enumerate() {
            let (_, text) = pod.get("/metrics").await.expect("a page");
            for (name, metric) in Page::read(&text).metrics {
                table.hold_against(&name, &metric, &format!("{kind}-{n}"), &mut problems);
                let known = shown.entry(name).or_default();
                known.kind = metric.kind;
                known.samples.extend(metric.samples);
            }
        }
    }
    // Clients that were dropped without a word are no breach of the protocol.
    let gone = |sample: &Sample| sample.labels.get("code").is_some_and(|code| code == "gone");
    if !shown["convene_sockets_closed_total"].samples.iter().any(gone) {
        problems.push("no client is counted as gone".to_owned());
    }
    let named = names_in_the_code();
    for row in table.rows.values().filter(|row| !row.name.starts_with("haproxy_")) {
        if !shown.contains_key(&row.name) && !named.contains_key(&row.name) {
            problems.push(format!("the row {} is of nothing: no process shows it and no code names it", row.name));
        }
    }
    for (name, file) in &named {
        if !table.rows.contains_key(name) {
            problems.push(format!("{name}, which {file} names, has no row in deploy/README.md"));
        }
    }
    for (name, metric) in balancer.page().await.metrics {
        if table.rows.contains_key(&name) {
            table.hold_against(&name, &metric, "the load balancer", &mut problems);
            shown.insert(name, metric);
        }
    }

    let mut answers = "| panel | asks for | series | for instance |\n| --- | --- | --- | --- |\n".to_owned();
    for Query { panel, expression } in dashboard() {
        let asked = promql::read(&expression);
        check_names(&table, &asked, &format!("the panel {panel:?}"), &mut problems);
        match prometheus.try_query(&expression.replace("$__rate_interval", RATE_INTERVAL)).await {
            Err(error) => problems.push(format!("the panel {panel:?} is answered with {error}")),
            Ok(series) => {
                let counted = asked.metrics.iter().all(|name| is_counted(&shown, &table, name));
                if series.is_empty() && counted {
                    problems.push(format!("the panel {panel:?} shows nothing of what is counted: {expression}"));
                }
                let one = series.first().map_or_else(String::new, |one| one["value"][1].to_string().replace('"', ""));
                let _ =
                    writeln!(answers, "| {panel} | `{}` | {} | {one} |", expression.replace('|', "\\|"), series.len());
            }
        }
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard.md");
    fs::write(file, answers).expect("written");

    let rules = eventually!(prometheus.rules().await, |rules| rules.iter().all(|rule| rule["health"] != "unknown"));
    assert!(rules.len() > 30, "the rules are loaded: {rules:?}");
    let runbooks = table::headings();
    for rule in &rules {
        let name = rule["name"].as_str().expect("a name");
        let asked = promql::read(rule["query"].as_str().expect("an expression"));
        check_names(&table, &asked, &format!("the alert {name}"), &mut problems);
        if rule["health"] != "ok" {
            problems.push(format!("the alert {name} can not be worked out: {}", rule["lastError"]));
        }
        if !["critical", "warning"].iter().any(|severity| rule["labels"]["severity"] == *severity) {
            problems.push(format!("the alert {name} does not say how bad it is: {}", rule["labels"]));
        }
        let runbook = format!("deploy/README.md#{}", name.to_lowercase());
        if rule["annotations"]["runbook"] != runbook.as_str() || !runbooks.contains(name) {
            problems.push(format!("the alert {name} should lead to {runbook}, and a heading `#### {name}` be there"));
        }
        if rule["annotations"]["summary"].as_str().is_none_or(str::is_empty) {
            problems.push(format!("the alert {name} does not say what is the matter"));
        }
    }
    for heading in runbooks {
        if !rules.iter().any(|rule| rule["name"] == heading.as_str()) {
            problems.push(format!("deploy/README.md says what to do about {heading}, which is no alert"));
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));

    // Of a system that is well nothing is said; of one that has lost its workers that.
    eventually!(active(&prometheus).await, BTreeSet::is_empty);
    for worker in &stack.workers {
        worker.kill().await;
    }
    let expected = ["NamespaceWithoutWorker", "PartitionsWithoutRelay", "WorkerDown", "WorkersDoNotAnswer"];
    eventually!(active(&prometheus).await, |active| expected.iter().all(|name| active.contains(*name)));
}

/// The alerts that are pending or firing.
async fn active(prometheus: &Prometheus) -> BTreeSet<String> {
    let rules = prometheus.rules().await;
    rules
        .iter()
        .filter(|rule| rule["state"] != "inactive")
        .map(|rule| rule["name"].as_str().expect("a name").to_owned())
        .collect()
}

/// Waits until Prometheus has asked twice more.
async fn asked_again(prometheus: &Prometheus) {
    let count = async || {
        let series = prometheus.try_query("min(count_over_time(up[1h]))").await.expect("an answer");
        series[0]["value"][1].as_str().and_then(|count| count.parse::<f64>().ok()).expect("a number")
    };
    let before = count().await;
    eventually!(count().await, |now| *now >= before + 2.0);
}

/// Whether a metric is shown with a value at all: of a row that nothing happened for there may be nothing.
fn is_counted(shown: &BTreeMap<String, Metric>, table: &Table, name: &str) -> bool {
    name != ALERTS && OF_PROMETHEUS.contains(&name)
        || table.row_of(name).is_some_and(|row| shown.get(&row.name).is_some_and(|metric| !metric.samples.is_empty()))
}

fn check_names(table: &Table, asked: &Asked, who: &str, problems: &mut Vec<String>) {
    for name in asked.metrics.iter().filter(|name| !OF_PROMETHEUS.contains(&name.as_str())) {
        if table.row_of(name).is_none() {
            problems.push(format!("{who} asks for {name}, which has no row in deploy/README.md"));
        }
    }
    for label in asked.labels.iter().filter(|label| !ADDED.contains(&label.as_str())) {
        let rows: Vec<&Row> = asked.metrics.iter().filter_map(|name| table.row_of(name)).collect();
        if !rows.iter().any(|row| row.labels.contains_key(label)) {
            problems.push(format!("{who} asks for the label {label}, which none of {:?} has", asked.metrics));
        }
    }
}

struct Query {
    panel: String,
    expression: String,
}

/// Everything that the dashboard asks for.
fn dashboard() -> Vec<Query> {
    let file = telemetry().join("grafana/dashboards/convene.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(file).expect("the dashboard")).expect("JSON");
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            queries.push(Query {
                panel: panel["title"].as_str().expect("a title").to_owned(),
                expression: target["expr"].as_str().expect("an expression").to_owned(),
            });
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().expect("annotations") {
        let expression = annotation["expr"].as_str().expect("an expression").to_owned();
        queries.push(Query { panel: "annotations".to_owned(), expression });
    }
    assert!(queries.len() > 50, "the dashboard is read");
    queries
}

/// Every metric that the code of the processes names, and where.
fn names_in_the_code() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut names = BTreeMap::new();
    for part in ["shared/src", "gateway/src", "worker/src"] {
        for file in files(&root.join(part)) {
            let text = fs::read_to_string(&file).expect("source");
            let place = file.strip_prefix(&root).expect("below it").display().to_string();
            // "convene_…" with nothing but a name in the quotes.
            for quoted in text.split('"').filter(|quoted| quoted.starts_with("convene_")) {
                if quoted.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
                    names.insert(quoted.to_owned(), place.clone());
                }
            }
        }
    }
    assert!(names.len() > 30, "the code is read");
    names
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            found.extend(files(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
    found
}
