//! Settings: each is one of the process that gets it, and each part of the work is somebody's.

use std::{collections::BTreeSet, process::Command};

use clap::ValueEnum as _;
use worker::config::Namespace;

use super::{MANIFESTS, Overlay, Source, Workload, overlays, text};

/// Variables that are not ours: of the runtime, of TLS, of PostgreSQL's client.
const OTHERS: [&str; 4] = ["TOKIO_WORKER_THREADS", "SSL_CERT_FILE", "PGSSLMODE", "PGSSLROOTCERT"];

/// Secrets without which a pod does less, but does it.
const DISPENSABLE: [&str; 4] =
    ["CONVENE_ADMIN_TOKEN", "CONVENE_SMTP_URL", "CONVENE_SMS_WEBHOOK_URL", "CONVENE_SMS_WEBHOOK_SECRET"];

/// The variables that the workload's program takes, as `--help` says.
fn taken(workload: Workload) -> BTreeSet<String> {
    let output = Command::new(workload.program()).args(workload.args()).arg("--help").output().expect("help");
    let help = String::from_utf8(output.stdout).expect("text");
    help.split("[env: ").skip(1).filter_map(|rest| rest.split(']').next()).map(str::to_owned).collect()
}

/// The overlays, and the examples that run something of ours.
fn worlds() -> impl Iterator<Item = (&'static str, Overlay)> {
    overlays().chain([("examples/new-epoch.yaml", Overlay(&MANIFESTS.examples["new-epoch.yaml"]))])
}

#[test]
fn every_setting_is_one_of_the_process_that_gets_it() {
    for (name, overlay) in worlds() {
        for workload in overlay.workloads() {
            let taken = taken(workload);
            assert!(taken.contains(if workload.is_gateway() { "CONVENE_NATS_URL" } else { "CONVENE_DATABASE_URL" }));
            for variable in overlay.environment(workload).keys() {
                assert!(
                    taken.contains(variable) || OTHERS.contains(&variable.as_str()),
                    "{name}: {} knows no {variable}",
                    workload.name()
                );
            }
        }
    }
}

#[test]
fn pods_say_their_own_name_and_log_json() {
    for (_, overlay) in overlays() {
        for workload in overlay.deployments() {
            let environment = overlay.environment(workload);
            assert!(matches!(&environment["CONVENE_LOG_FORMAT"], Source::Text(format) if format == "json"));
            let variables = super::list(&workload.container()["env"]).iter();
            let mut named = variables.filter(|variable| variable["name"] == "CONVENE_POD_NAME");
            let named = named.next().expect("a name");
            assert_eq!(named["valueFrom"]["fieldRef"]["fieldPath"], "metadata.name");
        }
    }
}

#[test]
fn every_namespace_is_served_by_somebody() {
    let all: BTreeSet<_> = Namespace::value_variants()
        .iter()
        .map(|namespace| namespace.to_possible_value().expect("a name").get_name().to_owned())
        .collect();
    for (name, overlay) in overlays() {
        let mut served = BTreeSet::new();
        for workload in overlay.deployments().filter(|workload| !workload.is_gateway()) {
            let Source::Text(namespaces) = &overlay.environment(workload)["CONVENE_NAMESPACES"] else {
                panic!("{} does not say what it serves", workload.name())
            };
            served.extend(namespaces.split(',').map(str::to_owned));
            // By these the network policy knows who sends mails.
            let sends = ["all", "social"].contains(&text(&workload.labels()["app.kubernetes.io/component"]));
            assert_eq!(sends, namespaces.split(',').any(|namespace| namespace == "social"), "{}", workload.name());
        }
        assert_eq!(served, all, "{name}");
    }
}

#[test]
fn pods_wait_for_their_secrets_and_the_example_names_them_all_without_a_value() {
    let example = |name: &str| {
        let mut secrets = MANIFESTS.examples["secrets.yaml"].iter();
        secrets.find(|secret| secret["metadata"]["name"] == name).unwrap_or_else(|| panic!("no Secret {name}"))
    };
    for (_, overlay) in worlds() {
        for workload in overlay.workloads() {
            for (variable, source) in &overlay.environment(workload) {
                if let Source::Secret { is_optional, .. } = source {
                    assert_eq!(*is_optional, DISPENSABLE.contains(&variable.as_str()), "{variable}");
                }
                match source {
                    // The operator of PostgreSQL makes this one.
                    Source::Secret { name, key, .. } if name == "convene-postgres-app" => assert_eq!(key, "uri"),
                    Source::Secret { name, key, .. } => {
                        assert_eq!(example(name)["stringData"][key], "", "{name} {key}");
                    }
                    Source::Text(_) => {}
                }
            }
        }
    }
}
