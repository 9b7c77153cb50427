//! The manifests of `k8s/`: what operators apply must be what the programs need.
//!
//! `tests/manifests/read.py` builds the overlays with Kustomize, holds every object against Kubernetes' schemas, and hands
//! all of it over as JSON; what the objects say is held against the programs here.

mod network;
mod pods;
mod running;
mod scaling;
mod settings;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use serde::Deserialize;
use serde_json::Value;

/// What `read.py` prints.
#[derive(Deserialize)]
struct Manifests {
    overlays: BTreeMap<String, Vec<Value>>,
    examples: BTreeMap<String, Vec<Value>>,
    values: BTreeMap<String, Value>,
    alerts: Option<Value>,
    faults: Vec<String>,
}

/// Read once for all tests.
static MANIFESTS: LazyLock<Manifests> = LazyLock::new(|| {
    let programs = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("manifests");
    let python = programs.join("python/bin/python");
    assert!(python.exists(), "{} is missing: run deploy/test, which installs what reads manifests", python.display());
    let script = project().join("tests/manifests/read.py");
    let mut command = Command::new(&python);
    let output = command.arg(script).arg(programs.join("kubectl")).arg(project().join("k8s")).output();
    let output = output.expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("what read.py prints")
});

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("")
}

/// The overlays, each with its name.
fn overlays() -> impl Iterator<Item = (&'static str, Overlay)> {
    MANIFESTS.overlays.iter().map(|(name, objects)| (name.as_str(), Overlay(objects)))
}

/// All objects of an overlay.
#[derive(Clone, Copy)]
struct Overlay(&'static [Value]);

impl Overlay {
    fn of_kind(self, kind: &str) -> impl Iterator<Item = &'static Value> {
        self.0.iter().filter(move |object| object["kind"] == kind)
    }

    fn find(self, kind: &str, name: &str) -> Option<&'static Value> {
        self.of_kind(kind).find(|object| object["metadata"]["name"] == name)
    }

    /// What is run: deployments, and jobs.
    fn workloads(self) -> impl Iterator<Item = Workload> {
        self.0.iter().filter(|object| object["kind"] == "Deployment" || object["kind"] == "Job").map(Workload)
    }

    fn deployments(self) -> impl Iterator<Item = Workload> {
        self.of_kind("Deployment").map(Workload)
    }

    fn deployment(self, name: &str) -> Workload {
        Workload(self.find("Deployment", name).expect("a deployment"))
    }

    /// A workload's environment, settings of its ConfigMap included.
    fn environment(self, workload: Workload) -> BTreeMap<String, Source> {
        let container = workload.container();
        let maps = list(&container["envFrom"]).iter().map(|from| text(&from["configMapRef"]["name"]));
        let mut environment = BTreeMap::new();
        for map in maps {
            let map = self.find("ConfigMap", map).unwrap_or_else(|| panic!("no ConfigMap {map}"));
            let data = map["data"].as_object().expect("data");
            environment.extend(data.iter().map(|(key, value)| (key.clone(), Source::Text(text(value).to_owned()))));
        }
        for variable in list(&container["env"]) {
            let source = match &variable["valueFrom"] {
                Value::Null => Source::Text(text(&variable["value"]).to_owned()),
                from if from["fieldRef"].is_object() => Source::Text("pod-0".to_owned()),
                from => {
                    let secret = &from["secretKeyRef"];
                    Source::Secret {
                        name: text(&secret["name"]).to_owned(),
                        key: text(&secret["key"]).to_owned(),
                        is_optional: secret["optional"] == true,
                    }
                }
            };
            let former = environment.insert(text(&variable["name"]).to_owned(), source);
            assert!(former.is_none(), "{} is set twice in {}", variable["name"], workload.name());
        }
        environment
    }
}

/// Where the value of a variable comes from.
#[derive(Clone, Debug)]
enum Source {
    Text(String),
    Secret { name: String, key: String, is_optional: bool },
}

/// A deployment or a job.
#[derive(Clone, Copy)]
struct Workload(&'static Value);

impl Workload {
    fn name(self) -> &'static str {
        text(&self.0["metadata"]["name"])
    }

    fn pod(self) -> &'static Value {
        &self.0["spec"]["template"]["spec"]
    }

    fn labels(self) -> &'static Value {
        &self.0["spec"]["template"]["metadata"]["labels"]
    }

    fn container(self) -> &'static Value {
        let containers = list(&self.pod()["containers"]);
        assert_eq!(containers.len(), 1, "{}", self.name());
        &containers[0]
    }

    /// The image's name without registry and version.
    fn image(self) -> &'static str {
        let image = text(&self.container()["image"]);
        let image = image.rsplit('/').next().expect("a name");
        image.split(':').next().expect("a name")
    }

    /// The program that the image holds.
    fn program(self) -> &'static str {
        match self.image() {
            "convene-gateway" => env!("CARGO_BIN_EXE_gateway-pod"),
            "convene-worker" => env!("CARGO_BIN_EXE_worker-pod"),
            other => panic!("{} runs {other}", self.name()),
        }
    }

    fn is_gateway(self) -> bool {
        self.image() == "convene-gateway"
    }

    fn args(self) -> impl Iterator<Item = &'static str> {
        list(&self.container()["args"]).iter().map(text)
    }
}

/// The elements of a list, none where there is no list.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Whether labels are all that a selector wants.
fn selects(selector: &Value, labels: &Value) -> bool {
    let has = |key: &str, value: &Value| labels[key] == *value;
    let pairs = selector["matchLabels"].as_object();
    pairs.is_none_or(|pairs| pairs.iter().all(|(key, value)| has(key, value)))
        && list(&selector["matchExpressions"]).iter().all(|expression| {
            assert_eq!(expression["operator"], "In");
            list(&expression["values"]).iter().any(|value| has(text(&expression["key"]), value))
        })
}

#[test]
fn every_manifest_is_of_a_form_that_kubernetes_takes() {
    assert!(MANIFESTS.faults.is_empty(), "{}", MANIFESTS.faults.join("\n"));
    assert!(MANIFESTS.overlays.keys().eq(["large", "small"]));
    for (name, overlay) in overlays() {
        for kind in ["Deployment", "Job", "Service", "Ingress", "NetworkPolicy", "PodMonitor", "PrometheusRule"] {
            assert!(overlay.of_kind(kind).next().is_some(), "{name} has no {kind}");
        }
        let names: Vec<_> = overlay.0.iter().map(|object| (&object["kind"], &object["metadata"]["name"])).collect();
        for (index, object) in names.iter().enumerate() {
            assert!(!names[..index].contains(object), "{name} has {object:?} twice");
        }
        for object in
            overlay.0.iter().filter(|object| object["kind"] != "Namespace" && object["kind"] != "PriorityClass")
        {
            assert_eq!(object["metadata"]["namespace"], "convene", "{}", object["metadata"]["name"]);
        }
        assert!(overlay.of_kind("Secret").next().is_none(), "{name} holds a secret");
    }
}

#[test]
fn the_alerts_are_those_that_prometheus_reads() {
    let nothing = serde_json::json!([]);
    let meant = MANIFESTS.alerts.as_ref().map_or(&nothing, |alerts| &alerts["groups"]);
    for (name, overlay) in overlays() {
        let rules: Vec<_> = overlay.of_kind("PrometheusRule").collect();
        assert_eq!(rules.len(), 1);
        assert_eq!(rules[0]["spec"]["groups"], *meant, "{name}: run k8s/alerts");
        for monitor in overlay.of_kind("PodMonitor") {
            // The alerts ask for jobs by name, and for labels that Kubernetes would want for itself.
            assert_eq!(monitor["spec"]["jobLabel"], "app.kubernetes.io/name");
            assert_eq!(monitor["spec"]["podMetricsEndpoints"][0]["honorLabels"], true);
        }
    }
}
