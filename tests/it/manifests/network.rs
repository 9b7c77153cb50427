//! Network policies: exactly the arrows of the architecture are open.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Overlay, Workload, list, overlays, selects, text};

/// Somebody who may speak or be spoken to.
struct Party {
    name: String,
    /// `None` is outside the cluster.
    namespace: Option<&'static str>,
    labels: Value,
    listens: &'static [u64],
}

fn party(name: &str, namespace: &'static str, labels: Value, listens: &'static [u64]) -> Party {
    Party { name: name.to_owned(), namespace: Some(namespace), labels, listens }
}

/// Everybody: our pods, the servers as the examples make them, those who look after them, and strangers.
fn parties(overlay: Overlay) -> Vec<Party> {
    let name = |name: &str| json!({"app.kubernetes.io/name": name});
    let mut parties = vec![
        party("nats", "convene", name("nats"), &[4222, 6222, 7777, 8222]),
        party("redis", "convene", name("redis"), &[6379, 16379]),
        party("postgres", "convene", json!({"cnpg.io/cluster": "convene-postgres"}), &[5432, 8000, 9187]),
        party("administrator", "convene", json!({"convene/administers": "true"}), &[]),
        party("stranger", "convene", json!({}), &[80, 8080]),
        party("ingress", "ingress-nginx", name("ingress-nginx"), &[80]),
        party("prometheus", "monitoring", name("prometheus"), &[9090]),
        party("operator", "cnpg-system", name("cloudnative-pg"), &[]),
        party("collector", "observability", name("opentelemetry-collector"), &[4318]),
        party("names", "kube-system", json!({"k8s-app": "kube-dns"}), &[53]),
        // With the labels of ours, in a namespace of somebody else.
        party("impostor", "default", name("convene-worker"), &[4222, 5432]),
        party("imposing", "default", json!({"convene/administers": "true"}), &[]),
        Party {
            name: "internet".to_owned(),
            namespace: None,
            labels: json!({}),
            listens: &[22, 25, 80, 443, 465, 587],
        },
    ];
    parties.extend(overlay.workloads().map(|workload| {
        let listens: &[u64] = match workload.image() {
            "convene-gateway" => &[8080, 9090],
            _ if workload.0["kind"] == "Job" => &[],
            _ => &[9091],
        };
        party(workload.name(), "convene", workload.labels().clone(), listens)
    }));
    parties
}

/// Whether a peer of a rule means this party.
fn means(peer: &Value, party: &Party) -> bool {
    if let Some(block) = peer["ipBlock"].as_object() {
        // Addresses inside are among the exceptions, as the test of them says.
        return party.namespace.is_none() && block["cidr"] == "0.0.0.0/0";
    }
    let Some(namespace) = party.namespace else { return false };
    let in_namespace = match &peer["namespaceSelector"] {
        Value::Null => namespace == "convene",
        selector => selects(selector, &json!({"kubernetes.io/metadata.name": namespace})),
    };
    in_namespace && (peer["podSelector"].is_null() || selects(&peer["podSelector"], &party.labels))
}

/// Whether policies let `of` speak to, or be spoken to by, the other at a port.
fn allows(overlay: Overlay, of: &Party, direction: &str, other: &Party, port: u64) -> bool {
    if of.namespace != Some("convene") {
        return true;
    }
    let (rules, peers) = if direction == "Egress" { ("egress", "to") } else { ("ingress", "from") };
    let policies: Vec<_> = overlay
        .of_kind("NetworkPolicy")
        .map(|policy| &policy["spec"])
        .filter(|spec| list(&spec["policyTypes"]).iter().any(|kind| kind == direction))
        .filter(|spec| selects(&spec["podSelector"], &of.labels))
        .collect();
    assert!(!policies.is_empty(), "nothing shuts {}", of.name);
    policies.iter().flat_map(|spec| list(&spec[rules])).any(|rule| {
        assert!(rule["ports"].is_array(), "a rule opens all ports: {rule}");
        (rule[peers].is_null() || list(&rule[peers]).iter().any(|peer| means(peer, other)))
            && list(&rule["ports"]).iter().any(|allowed| allowed["port"] == port)
    })
}

/// What is open, as `from -> to:port`, where one of the two is in the namespace.
fn open(overlay: Overlay) -> BTreeSet<String> {
    let parties = parties(overlay);
    let mut open = BTreeSet::new();
    for from in &parties {
        for to in parties.iter().filter(|to| from.namespace == Some("convene") || to.namespace == Some("convene")) {
            for port in to.listens {
                if allows(overlay, from, "Egress", to, *port) && allows(overlay, to, "Ingress", from, *port) {
                    open.insert(format!("{} -> {}:{port}", from.name, to.name));
                }
            }
        }
    }
    open
}

/// What the architecture needs.
fn needed(overlay: Overlay, is_large: bool) -> BTreeSet<String> {
    let mut arrows = vec![
        "ingress -> convene-gateway:8080".to_owned(),
        "prometheus -> convene-gateway:9090".to_owned(),
        "administrator -> convene-gateway:9090".to_owned(),
        "convene-migrate -> postgres:5432".to_owned(),
        "prometheus -> nats:7777".to_owned(),
        "nats -> nats:6222".to_owned(),
        // A cluster of them.
        "redis -> redis:6379".to_owned(),
        "redis -> redis:16379".to_owned(),
        "prometheus -> postgres:9187".to_owned(),
        "postgres -> postgres:5432".to_owned(),
        "postgres -> postgres:8000".to_owned(),
        "operator -> postgres:5432".to_owned(),
        "operator -> postgres:8000".to_owned(),
        // Its object store.
        "postgres -> internet:443".to_owned(),
    ];
    for workload in overlay.deployments() {
        let name = workload.name();
        arrows.extend(
            [4222, 6379].map(|port| format!("{name} -> {}:{port}", if port == 4222 { "nats" } else { "redis" })),
        );
        if is_large {
            arrows.push(format!("{name} -> collector:4318"));
        }
        if workload.is_gateway() {
            // Who publishes keys.
            arrows.extend(is_large.then(|| format!("{name} -> internet:443")));
            continue;
        }
        arrows.push(format!("{name} -> postgres:5432"));
        arrows.push(format!("prometheus -> {name}:9091"));
        if ["convene-worker", "convene-worker-social"].contains(&name) {
            arrows.extend([443, 465, 587].map(|port| format!("{name} -> internet:{port}")));
        }
    }
    let inside = parties(overlay).into_iter().filter(|party| party.namespace == Some("convene"));
    arrows.extend(inside.map(|party| format!("{} -> names:53", party.name)));
    arrows.into_iter().collect()
}

#[test]
fn the_arrows_of_the_architecture_are_open_and_no_others() {
    for (name, overlay) in overlays() {
        let (open, needed) = (open(overlay), needed(overlay, name == "large"));
        let missing: Vec<_> = needed.difference(&open).collect();
        let beyond: Vec<_> = open.difference(&needed).collect();
        assert!(missing.is_empty() && beyond.is_empty(), "{name}: shut: {missing:?}, open: {beyond:?}");
    }
}

#[test]
fn the_database_lets_in_nobody_else_whatever_they_may_send() {
    for (name, overlay) in overlays() {
        let parties = parties(overlay);
        let postgres = parties.iter().find(|party| party.name == "postgres").expect("the database");
        let let_in = parties.iter().filter(|from| allows(overlay, postgres, "Ingress", from, 5432));
        let let_in: BTreeSet<_> = let_in.map(|from| from.name.as_str()).collect();
        let workers = overlay.workloads().filter(|workload| !workload.is_gateway()).map(Workload::name);
        assert_eq!(let_in, workers.chain(["operator", "postgres"]).collect(), "{name}");
    }
}

#[test]
fn what_is_open_to_the_internet_is_shut_to_addresses_inside() {
    for (_, overlay) in overlays() {
        for policy in overlay.of_kind("NetworkPolicy") {
            let rules = list(&policy["spec"]["egress"]).iter().flat_map(|rule| list(&rule["to"]));
            for block in rules.map(|peer| &peer["ipBlock"]).filter(|block| block["cidr"] == "0.0.0.0/0") {
                let shut: Vec<_> = list(&block["except"]).iter().map(text).collect();
                for inside in ["10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"] {
                    assert!(shut.contains(&inside), "{}: {inside}", policy["metadata"]["name"]);
                }
            }
        }
    }
}
