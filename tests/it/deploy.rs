//! What deploys the system, looked at by the programs that it is for, and by those that know its form. `deploy/test` installs
//! them; nothing is skipped.

mod help;
mod scripts;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use harness::{Pod, Stack, balancer, eventually};

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file)
}

/// A program of those that `deploy/test` installs in the target folder.
fn installed(program: &str) -> Command {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("checks").join("bin").join(program);
    assert!(path.exists(), "{} is missing: run deploy/test", path.display());
    Command::new(path)
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}, which deploy/test installs: {error}"))
}

/// Runs it and returns what it said.
#[track_caller]
fn passes(command: &mut Command) -> String {
    let output = run(command);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    said
}

#[tokio::test]
async fn haproxy_takes_the_load_balancers_configuration_without_a_warning() {
    let mut command = balancer::command();
    command.args(["-c", "-V", "-f"]).arg(balancer::configuration());
    for gateway in ["CONVENE_LB_GATEWAY_1", "CONVENE_LB_GATEWAY_2"] {
        // The names are those of the compose file.
        command.env(gateway, "127.0.0.1:8080");
    }
    // A test may have fewer files open than the load balancer needs.
    let output =
        command.env("CONVENE_LB_MAX_CONNECTIONS", "1000").output().await.expect("haproxy, which deploy/test installs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("WARNING"), "{said}");
}

#[test]
fn prometheus_takes_its_configuration_and_the_rules_say_what_they_should() {
    passes(
        Command::new("promtool")
            .args(["check", "config", "--lint=all", "--lint-fatal"])
            .arg(deploy("telemetry/prometheus.yml")),
    );
    passes(Command::new("promtool").args(["test", "rules"]).arg(deploy("telemetry/alerts-test.yaml")));
}

#[test]
fn the_recipe_of_the_images_has_no_fault() {
    passes(installed("hadolint").args(["--no-color", "--failure-threshold=style"]).arg(deploy("Dockerfile")));
}

#[test]
fn the_compose_file_is_well_formed_and_keeps_what_it_promises() {
    passes(checked("check_compose.py").arg(deploy("compose.yaml")).arg(deploy("demo.env")));
}

#[test]
fn the_collectors_and_grafanas_configuration_is_well_formed() {
    passes(checked("check_telemetry.py").arg(deploy("telemetry")));
}

fn checked(script: &str) -> Command {
    let mut command = installed("python");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(script));
    command
}

/// A program that is built beside the tests.
fn built(program: &str) -> Command {
    let folder = std::env::current_exe().expect("this program");
    Command::new(folder.parent().and_then(Path::parent).expect("the target folder").join(program))
}

/// What a container's health check finds: success, and what was said.
fn asked(program: &str, pod: &Pod, more: &[&str]) -> (bool, String) {
    let listen = format!("--management-listen={}", pod.management);
    let output = run(built(program).arg("health").arg(listen).args(more));
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_asked_how_it_is_without_a_shell() {
    let stack = Stack::builder().processes().start().await;
    let (gateway, worker) = (&stack.gateways[0], &stack.workers[0]);
    for more in [&[][..], &["--ready"]] {
        assert_eq!(asked("gateway-pod", gateway, more), (true, String::new()));
        assert_eq!(asked("worker-pod", worker, more), (true, String::new()));
    }
    worker.kill().await;
    let (is_well, said) = asked("worker-pod", worker, &[]);
    assert!(!is_well && said.starts_with("convene-worker: no answer from "), "{said}");
    // A gateway without a worker can do nothing, and a restart would not mend that.
    eventually!(asked("gateway-pod", gateway, &["--ready"]), |(is_ready, said)| {
        !is_ready && said.contains("/readyz answers 503: {") && said.contains("workers")
    });
    assert_eq!(asked("gateway-pod", gateway, &[]), (true, String::new()));
}
