//! Pods: how they end, are asked how they are, are bounded, and found by what is about them.

use std::{collections::BTreeMap, time::Duration};

use gateway::connection::CLOSE_PATIENCE;
use serde_json::{Value, json};
use shared::config::duration;

use super::{Overlay, Source, Workload, list, overlays, selects, text};

/// What a process may still do once everything is drained: say goodbye to presence, finish an administration's request, close
/// the database's connections, send the last spans.
const REST: Duration = Duration::from_secs(6);

/// Of a pod that is not asked otherwise.
const DEFAULT_GRACE: u64 = 30;

fn setting(environment: &BTreeMap<String, Source>, name: &str) -> Duration {
    let Some(Source::Text(text)) = environment.get(name) else { panic!("{name} is not said") };
    duration(text).expect("a duration")
}

#[test]
fn pods_have_more_time_to_end_than_draining_may_take() {
    for (name, overlay) in overlays() {
        let gateway = overlay.environment(overlay.deployment("convene-gateway"));
        let request = setting(&gateway, "CONVENE_REQUEST_TIMEOUT");
        for workload in overlay.deployments() {
            let environment = overlay.environment(workload);
            let delay = setting(&environment, "CONVENE_DRAIN_DELAY");
            let closing = if workload.is_gateway() { CLOSE_PATIENCE } else { Duration::ZERO };
            let needs = delay + setting(&environment, "CONVENE_DRAIN_TIMEOUT") + request + closing + REST;
            let has = workload.pod()["terminationGracePeriodSeconds"].as_u64().unwrap_or(DEFAULT_GRACE);
            assert!(Duration::from_secs(has) > needs, "{name}: {} needs {needs:?}, has {has} s", workload.name());
            assert!(workload.container()["lifecycle"].is_null(), "the process itself serves on for the drain delay");
            // A load balancer that asks by itself has noticed before sockets are closed.
            let probe = &workload.container()["readinessProbe"];
            let notices = probe["periodSeconds"].as_u64().expect("a period")
                * probe["failureThreshold"].as_u64().expect("a count");
            assert!(!workload.is_gateway() || delay > Duration::from_secs(notices));
        }
    }
}

#[test]
fn probes_ask_what_the_processes_serve_where_they_listen() {
    for (_, overlay) in overlays() {
        for workload in overlay.deployments() {
            let container = workload.container();
            let ports =
                list(&container["ports"]).iter().map(|port| (text(&port["name"]), port["containerPort"].as_u64()));
            let ports: BTreeMap<_, _> = ports.collect();
            let help = std::process::Command::new(workload.program()).arg("--help").output().expect("help");
            let help = String::from_utf8(help.stdout).expect("text");
            let listens = |port: Option<u64>| help.contains(&format!("[default: 0.0.0.0:{}]", port.expect("a port")));
            assert!(ports.values().all(|port| listens(*port)), "{}: {ports:?}", workload.name());
            let expected = if workload.is_gateway() { vec!["management", "public"] } else { vec!["management"] };
            assert!(ports.keys().eq(&expected));
            for (probe, path) in
                [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
            {
                assert_eq!(container[probe]["httpGet"], json!({"path": path, "port": "management"}), "{probe}");
            }
            // A restart costs sockets: it takes longer than a hiccup.
            let live = &container["livenessProbe"];
            assert!(live["periodSeconds"].as_u64() >= Some(10) && live["failureThreshold"].as_u64() >= Some(3));
            for monitor in overlay.of_kind("PodMonitor") {
                assert_eq!(monitor["spec"]["podMetricsEndpoints"][0]["port"], "management");
                assert_eq!(monitor["spec"]["podMetricsEndpoints"][0]["path"], "/metrics");
            }
            let monitored = |monitor: &Value| selects(&monitor["spec"]["selector"], workload.labels());
            assert_eq!(overlay.of_kind("PodMonitor").filter(|monitor| monitored(monitor)).count(), 1);
        }
    }
}

#[test]
fn every_pod_fits_the_restricted_standard_and_has_no_token() {
    for (name, overlay) in overlays() {
        let namespace = overlay.find("Namespace", "convene").expect("the namespace");
        assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
        for workload in overlay.workloads() {
            let (pod, container) = (workload.pod(), workload.container());
            assert_eq!(pod["automountServiceAccountToken"], false, "{name}: {}", workload.name());
            let account = overlay.find("ServiceAccount", text(&pod["serviceAccountName"])).expect("the account");
            assert_eq!(account["automountServiceAccountToken"], false);
            let context = &pod["securityContext"];
            assert_eq!(context["runAsNonRoot"], true);
            assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault");
            assert!(context["runAsUser"].as_u64() > Some(0));
            let privileges = json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]}});
            assert_eq!(container["securityContext"], privileges, "{}", workload.name());
            for shared in ["hostNetwork", "hostPID", "hostIPC"] {
                assert!(pod[shared].is_null());
            }
            for volume in list(&pod["volumes"]) {
                assert!(volume["configMap"].is_object() || volume["secret"].is_object(), "{volume}");
            }
            assert_eq!(container["resources"]["limits"]["memory"], container["resources"]["requests"]["memory"]);
            assert!(container["resources"]["requests"]["cpu"].is_string());
        }
    }
}

#[test]
fn images_are_the_two_of_the_project_in_one_stated_version() {
    for (name, overlay) in overlays() {
        let images: Vec<_> = overlay.workloads().map(|workload| text(&workload.container()["image"])).collect();
        let version = images[0].rsplit(':').next().expect("a version");
        for image in images {
            let (repository, stated) =
                image.rsplit_once(':').unwrap_or_else(|| panic!("{name}: {image} has no version"));
            let names = ["registry.example.org/convene-gateway", "registry.example.org/convene-worker"];
            assert!(names.contains(&repository) && stated == version && stated != "latest", "{name}: {image}");
        }
    }
}

/// The only object of a kind that is about this deployment.
fn only(overlay: Overlay, kind: &str, is_about: impl Fn(&Value) -> bool) -> &'static Value {
    let found: Vec<_> = overlay.of_kind(kind).filter(|object| is_about(object)).collect();
    assert_eq!(found.len(), 1, "{kind}: {found:?}");
    found[0]
}

#[test]
fn what_is_about_a_deployment_is_about_its_pods_and_no_others() {
    for (name, overlay) in overlays() {
        let selected = |selector: &Value| -> Vec<&str> {
            let pods = overlay.workloads().filter(|workload| selects(selector, workload.labels()));
            pods.map(Workload::name).collect()
        };
        for workload in overlay.deployments() {
            let own = vec![workload.name()];
            assert_eq!(selected(&workload.0["spec"]["selector"]), own, "{name}");
            assert!(workload.0["spec"]["replicas"].is_null(), "they are the autoscaler's");
            only(overlay, "HorizontalPodAutoscaler", |scaler| {
                scaler["spec"]["scaleTargetRef"]["name"] == workload.name()
                    && scaler["spec"]["minReplicas"].as_u64() >= Some(2)
            });
            only(overlay, "PodDisruptionBudget", |budget| selected(&budget["spec"]["selector"]) == own);
            let spread = list(&workload.pod()["topologySpreadConstraints"]);
            let keys: Vec<_> = spread.iter().map(|constraint| text(&constraint["topologyKey"])).collect();
            assert_eq!(keys, ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]);
            assert!(spread.iter().all(|constraint| selected(&constraint["labelSelector"]) == own), "{spread:?}");
            if let Some(priority) = workload.pod()["priorityClassName"].as_str() {
                assert!(overlay.find("PriorityClass", priority).is_some());
            }
        }
        for service in overlay.of_kind("Service") {
            assert_eq!(selected(&json!({"matchLabels": service["spec"]["selector"]})), ["convene-gateway"]);
            assert!(service["spec"]["sessionAffinity"].is_null(), "any pod takes any client");
        }
    }
}

#[test]
fn the_ingress_leads_to_clients_listeners_and_outlasts_pings() {
    for (_, overlay) in overlays() {
        let ingress = only(overlay, "Ingress", |_| true);
        let gateway = overlay.environment(overlay.deployment("convene-gateway"));
        let annotation =
            |name: &str| &ingress["metadata"]["annotations"][format!("nginx.ingress.kubernetes.io/{name}")];
        for timeout in ["proxy-read-timeout", "proxy-send-timeout"] {
            let seconds = text(annotation(timeout)).parse().expect("seconds");
            assert!(Duration::from_secs(seconds) >= 4 * setting(&gateway, "CONVENE_PING_INTERVAL"));
        }
        assert_eq!(annotation("proxy-buffering"), "off");
        assert_eq!(annotation("enable-access-log"), "false", "the log would hold tokens");
        assert!(annotation("affinity").is_null());
        let rule = &ingress["spec"]["rules"][0];
        assert_eq!(ingress["spec"]["tls"][0]["hosts"], json!([rule["host"]]));
        let paths = list(&rule["http"]["paths"]);
        let names: Vec<_> = paths.iter().map(|path| text(&path["path"])).collect();
        assert_eq!(names, ["/ws", "/socket.io/", "/api/v0/resource/sessionInvitation/"]);
        for path in paths {
            let backend = &path["backend"]["service"];
            let service = overlay.find("Service", text(&backend["name"])).expect("the service");
            let ports = list(&service["spec"]["ports"]);
            let port = ports.iter().find(|port| port["name"] == backend["port"]["name"]).expect("the port");
            assert_eq!(port["targetPort"], "public");
        }
    }
}
