//! Numbers that depend on each other: what scales by what, and what it must fit into.

use std::{fs, path::Path};

use serde_json::Value;

use super::{MANIFESTS, Overlay, Source, Workload, list, overlays, project, text};

/// Of the idle socket: what `idle` measures, rounded up, and the kernel's part of it.
const SOCKET_BYTES: u64 = (8 + 4) * 1024;

/// Of a gateway without sockets.
const PROCESS_BYTES: u64 = 32 * 1024 * 1024;

/// Connections of a worker beside its pool: the relay's session, housekeeping's, and the one that looks whether the database
/// is well.
const BESIDE_THE_POOL: u64 = 3;

/// Connections that PostgreSQL keeps for replicas and superusers.
const RESERVED: u64 = 50;

/// A quantity of Kubernetes, in its unit.
fn quantity(text: &str) -> u64 {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().expect("a number");
    match &text[digits.len()..] {
        "" => number,
        "Mi" => number << 20,
        "Gi" => number << 30,
        unit => panic!("{unit} is not used here"),
    }
}

fn number(source: &Source) -> u64 {
    let Source::Text(text) = source else { panic!("no number") };
    text.parse().expect("a number")
}

fn scaler(overlay: Overlay, workload: Workload) -> &'static Value {
    let mut scalers = overlay.of_kind("HorizontalPodAutoscaler");
    scalers.find(|scaler| scaler["spec"]["scaleTargetRef"]["name"] == workload.name()).expect("an autoscaler")
}

/// The metrics of its pods that an autoscaler looks at, and their targets.
fn metrics(scaler: &Value) -> impl Iterator<Item = (&str, &str)> {
    let metrics = list(&scaler["spec"]["metrics"]).iter().filter(|metric| metric["type"] == "Pods");
    metrics.map(|metric| (text(&metric["pods"]["metric"]["name"]), text(&metric["pods"]["target"]["averageValue"])))
}

/// Whether a program's sources count or measure something of this name.
fn is_counted(folder: &Path, name: &str) -> bool {
    let named = format!("!(\"{name}\"");
    fs::read_dir(folder).expect("sources").any(|entry| {
        let path = entry.expect("a file").path();
        if path.is_dir() {
            is_counted(&path, name)
        } else {
            path.extension().is_some_and(|end| end == "rs") && fs::read_to_string(&path).expect("text").contains(&named)
        }
    })
}

#[test]
fn autoscalers_look_at_numbers_that_their_pods_have() {
    let rules = list(&MANIFESTS.values["prometheus-adapter-values.yaml"]["rules"]["custom"]);
    for (name, overlay) in overlays() {
        for workload in overlay.deployments() {
            let scaler = scaler(overlay, workload);
            assert!(list(&scaler["spec"]["metrics"]).iter().any(|metric| metric["resource"]["name"] == "cpu"));
            assert_eq!(metrics(scaler).count(), 1, "{name}: {}", workload.name());
            for (metric, _) in metrics(scaler) {
                let rule = rules.iter().find(|rule| rule["name"]["as"] == metric);
                let rule = rule.unwrap_or_else(|| panic!("nobody makes {metric}"));
                let series = text(&rule["seriesQuery"]).split('{').next().expect("a name");
                assert_eq!(rule["name"]["matches"], format!("^{series}$"));
                let series = series.trim_end_matches("_bucket");
                let sources = project().join(if workload.is_gateway() { "gateway/src" } else { "worker/src" });
                assert!(is_counted(&sources, series), "{series} is nowhere in {}", sources.display());
            }
        }
    }
    assert!(!is_counted(&project().join("gateway/src"), "convene_worker_queue_seconds"));
}

#[test]
fn gateways_go_slowly_and_have_room_for_the_sockets_of_others() {
    for (name, overlay) in overlays() {
        let gateway = overlay.deployment("convene-gateway");
        let most = number(&overlay.environment(gateway)["CONVENE_MAX_CONNECTIONS"]);
        let (_, target) = metrics(scaler(overlay, gateway)).next().expect("sockets");
        assert!(2 * quantity(target) <= most, "{name}: half of them may be away");
        let memory = quantity(text(&gateway.container()["resources"]["limits"]["memory"]));
        // As much again for what is on its way to clients, and the last events of networks.
        assert!(memory >= 2 * (PROCESS_BYTES + most * SOCKET_BYTES), "{name}: {memory} bytes for {most} sockets");
        let down = &scaler(overlay, gateway)["spec"]["behavior"]["scaleDown"];
        assert!(down["stabilizationWindowSeconds"].as_u64() >= Some(1800), "{name}");
    }
}

/// Connections that all workers may open, a quarter more of them than the autoscalers' most while they are rolled out.
fn connections(overlay: Overlay) -> u64 {
    let workers = overlay.deployments().filter(|workload| !workload.is_gateway());
    workers
        .map(|workload| {
            assert_eq!(workload.0["spec"]["strategy"]["rollingUpdate"]["maxSurge"], "25%");
            let most = scaler(overlay, workload)["spec"]["maxReplicas"].as_u64().expect("a number");
            // Without a limit the pool would be as large as the node's cores ask for.
            let cores = quantity(text(&workload.container()["resources"]["limits"]["cpu"]));
            (most * 5).div_ceil(4) * ((4 * cores).max(8) + BESIDE_THE_POOL)
        })
        .sum()
}

#[test]
fn workers_open_no_more_connections_than_the_database_takes() {
    let cluster = &MANIFESTS.examples["cloudnative-pg.yaml"][0]["spec"]["postgresql"]["parameters"];
    let takes = quantity(text(&cluster["max_connections"]));
    for (name, overlay) in overlays() {
        let opened = connections(overlay);
        // PostgreSQL itself takes 100 unless it is told otherwise, which is what README.md says of the small overlay.
        let takes = if name == "small" { 150 } else { takes };
        assert!(opened + RESERVED <= takes, "{name}: {opened} of {takes}");
    }
}
