//! Where web pages run: Chromium, and Node, whose own WebSocket tells as little as a page's. Both are driven by
//! `tests/browser/driver.mjs`.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::{eventually::PATIENCE, process::Guarded};

/// One of the two. It ends with this value.
#[derive(Debug)]
pub struct Browser {
    expressions: ChildStdin,
    values: Lines<BufReader<ChildStdout>>,
    _process: Guarded,
    _profile: TempDir,
}

impl Browser {
    /// Starts Debian's Chromium without a window, on a profile of its own.
    ///
    /// # Panics
    /// When it does not start, or `playwright` is not where playwright-core is.
    pub fn chromium(playwright: &Path) -> Self {
        assert!(playwright.exists(), "{} is missing: run deploy/test", playwright.display());
        let profile = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("node");
        command.arg(folder().join("driver.mjs")).arg("chromium").arg(profile.path()).env("PLAYWRIGHT", playwright);
        Self::start(&mut command, profile)
    }

    /// Starts Node 20.10 or newer, with its own WebSocket.
    ///
    /// # Panics
    /// When it does not start.
    pub fn node() -> Self {
        let mut command = Command::new("node");
        command.args(["--no-warnings", "--experimental-websocket"]).arg(folder().join("driver.mjs")).arg("node");
        Self::start(&mut command, tempfile::tempdir().expect("a folder"))
    }

    fn start(command: &mut Command, profile: TempDir) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Guarded::spawn(command).expect("node, which deploy/test installs");
        let (expressions, values) = process.pipes();
        Self { expressions, values: BufReader::new(values).lines(), _process: process, _profile: profile }
    }

    /// The value of an expression on a page, awaited if it is a promise. The page is opened when it is first named, and stays.
    ///
    /// # Panics
    /// When it has none in time.
    #[track_caller]
    pub fn value(&mut self, page: &str, expression: &str) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        let line = format!("{}\n", json!({"page": page, "expression": expression}));
        let expression = expression.to_owned();
        async move {
            self.expressions.write_all(line.as_bytes()).await.expect("it runs");
            let answer = timeout(PATIENCE, self.values.next_line()).await;
            let answer = answer.unwrap_or_else(|_| panic!("{caller}: waited in vain for {expression}"));
            let answer = answer.expect("text").unwrap_or_else(|| panic!("{caller}: it has ended"));
            let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
            assert!(answer.get("value").is_some(), "{caller}: {expression}: {answer}");
            answer["value"].take()
        }
    }
}

/// Where the scripts are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("browser")
}
