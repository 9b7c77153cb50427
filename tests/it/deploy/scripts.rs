//! `try` and `test` where they may install nothing; and the recipe of the images, as far as it can be followed without
//! Docker.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{deploy, passes, run};

/// What the scripts need of a system.
const TOOLS: [&str; 5] = ["setsid", "bash", "dirname", "sort", "sed"];

/// Asks for a password, and finds nobody to ask.
const SUDO: &str = "echo 'sudo: a terminal is required to read the password' >&2; exit 1";

/// A machine with Debian's apt, cargo and a C compiler that only say that they were called, and no PostgreSQL; for a user
/// who is not root.
struct Machine(TempDir);

impl Machine {
    fn new(sudo: Option<&str>) -> Self {
        let machine = Self(tempfile::tempdir().expect("a folder"));
        for folder in ["deploy", "bin"] {
            fs::create_dir(machine.0.path().join(folder)).expect("a folder");
        }
        for script in
            ["try", "test", "packages.sh", "made.sh", "browser.sh", "calendars.sh", "checks.sh", "manifests.sh"]
        {
            let mut text = fs::read_to_string(deploy(script)).expect("a script");
            if script == "packages.sh" {
                text += "\nfind_postgresql() { return 1; }\n";
            }
            fs::write(machine.0.path().join("deploy").join(script), text).expect("its copy");
        }
        for tool in TOOLS {
            let found =
                ["/bin", "/usr/bin"].map(|folder| Path::new(folder).join(tool)).into_iter().find(|path| path.exists());
            symlink(found.expect(tool), machine.0.path().join("bin").join(tool)).expect("a link");
        }
        machine.program("id", "echo 1000");
        machine.program("uname", "echo Linux x86_64");
        machine.program("cargo", r#"echo cargo "$@""#);
        machine.program("apt-get", r#"echo apt-get "$@""#);
        machine.program("cc", "exit 0");
        if let Some(sudo) = sudo {
            machine.program("sudo", sudo);
        }
        machine
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.0.path().join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a program");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    }

    /// Runs a script of `deploy/` without a terminal: whether it ends well, its standard output and its standard error.
    fn run(&self, script: &str, args: &[&str]) -> (bool, String, String) {
        let mut command = Command::new("setsid");
        command.args(["--wait", "bash"]).arg(self.0.path().join("deploy").join(script)).args(args);
        let path = self.0.path().join("bin");
        let output = run(command.env_clear().env("HOME", self.0.path()).env("PATH", path));
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (output.status.success(), text(output.stdout), text(output.stderr))
    }
}

#[test]
fn try_goes_on_without_root_to_the_download() {
    for sudo in [None, Some(SUDO)] {
        let machine = Machine::new(sudo);
        let (is_good, out, said) = machine.run("try", &["--listen", "127.0.0.1:8088"]);
        assert!(is_good, "{out}{said}");
        assert_eq!(out, "cargo run --release --locked -- --listen 127.0.0.1:8088\n");
        assert_eq!(said, "Not installed, for only root can: postgresql. Going on without.\n");
    }
}

#[test]
fn try_goes_on_when_the_packages_can_not_be_had() {
    let sudo = r#"[ "$*" = "-n true" ] || { echo 'E: no such host' >&2; exit 100; }"#;
    let machine = Machine::new(Some(sudo));
    let (is_good, out, said) = machine.run("try", &[]);
    assert!(is_good && out.ends_with("cargo run --release --locked --\n"), "{out}{said}");
    assert!(said.ends_with("Not installed: postgresql. Going on without.\n"), "{said}");
}

#[test]
fn nothing_is_built_without_a_compiler_and_that_is_said() {
    let machine = Machine::new(None);
    fs::remove_file(machine.0.path().join("bin/cc")).expect("it is there");
    let (is_good, out, said) = machine.run("try", &[]);
    assert!(!is_good && out.is_empty(), "{out}{said}");
    assert!(
        said.ends_with(
            "A C compiler is missing (cc), and nothing can be built without: apt-get install gcc libc6-dev\n"
        )
    );
}

#[test]
fn the_tests_say_in_one_line_what_only_root_can_install() {
    for sudo in [None, Some(SUDO)] {
        let (is_good, out, said) = Machine::new(sudo).run("test", &[]);
        assert!(!is_good && out.is_empty(), "{out}{said}");
        let named = "Missing, and only root can install it: apt-get install postgresql redis-server redis-tools ";
        assert!(said.starts_with(named) && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn cargo_at_the_root_starts_convene_and_tests_every_crate() {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--no-deps", "--offline", "--format-version=1"]).current_dir(deploy(".."));
    let workspace: Value = serde_json::from_slice(&run(&mut command).stdout).expect("JSON");
    assert_eq!(workspace["workspace_default_members"], workspace["workspace_members"]);
    let packages = workspace["packages"].as_array().expect("packages");
    let runs: Vec<&str> = packages.iter().filter_map(|package| package["default_run"].as_str()).collect();
    assert_eq!(runs, ["convene"], "with two of them, or none, `cargo run` asks which");
}

/// The recipe builds what is not ours from manifests and stand-ins for our own code: a manifest may ask for more than those.
#[test]
fn the_recipes_stand_ins_are_a_whole_workspace() {
    let recipe = fs::read_to_string(deploy("Dockerfile")).expect("the recipe");
    let root = deploy("..");
    let folder = tempfile::tempdir().expect("a folder");
    for line in recipe.lines().take_while(|line| !line.starts_with("RUN ")) {
        let Some(copied) = line.strip_prefix("COPY ") else { continue };
        let (files, to) = copied.rsplit_once(' ').expect("a place");
        fs::create_dir_all(folder.path().join(to)).expect("a folder");
        for file in files.split(' ') {
            let name = Path::new(file).file_name().expect("a name");
            fs::copy(root.join(file), folder.path().join(to).join(name)).expect(file);
        }
    }
    let (_, steps) = recipe.split_once("\nRUN ").expect("a step");
    let (stand_ins, _) = steps.split_once("&& cargo build").expect("what is built of them");
    passes(Command::new("sh").arg("-euc").arg(format!("{stand_ins}&& true")).current_dir(folder.path()));
    let mut metadata = Command::new(env!("CARGO"));
    metadata.args(["metadata", "--no-deps", "--offline", "--format-version=1"]);
    passes(metadata.current_dir(folder.path()));
}
