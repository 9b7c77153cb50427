//! `convene` as a child process that ends with the test, also when that is killed.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use convene::settings::{Command as Task, Settings};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Nothing that is waited for takes so long, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs its arguments, the first of which says how many files may be open, until they end or the test's end of the pipe is
/// closed.
const KEEP: &str = r#"
exec 3<&0 </dev/null
[ -z "$1" ] || ulimit -n "$1"
shift
"$@" 3<&- &
kept=$!
{ read -r _ <&3; kill -KILL "$kept"; } 2>/dev/null &
reader=$!
exec 3<&-
wait "$kept"
code=$?
kill "$reader" 2>/dev/null
exit "$code"
"#;

/// Where a test runs `convene`, and with which settings.
#[derive(Debug)]
pub struct Place {
    dir: TempDir,
    pub listen: SocketAddr,
    pub management: SocketAddr,
    pub worker_management: SocketAddr,
    env: Vec<(String, String)>,
    files: Option<u32>,
}

impl Place {
    /// An empty folder with a space in its name, closed to everybody else, and three free ports of the addresses at which
    /// `convene` listens by default.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(dir.path().join("a folder")).expect("a folder");
        let Task::Serve(defaults) = shared::config::read::<Settings>(["convene", "serve"]).expect("defaults").command
        else {
            panic!("not serve");
        };
        let defaults = [defaults.listen, defaults.management_listen, defaults.worker_management_listen];
        // Held together, so that they differ.
        let held = defaults.map(|default| TcpListener::bind((default.ip(), 0)).expect("a free port"));
        let [listen, management, worker_management] = held.map(|held| held.local_addr().expect("its address"));
        Self { dir, listen, management, worker_management, env: Vec::new(), files: None }
    }

    /// Where so many files may be open.
    pub fn files(mut self, files: u32) -> Self {
        self.files = Some(files);
        self
    }

    /// With this environment variable.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().canonicalize().expect("it exists").join("a folder")
    }

    pub fn data(&self) -> PathBuf {
        self.path().join(".convene")
    }

    /// What `convene` is told by its environment here.
    fn settings(&self) -> Vec<(String, String)> {
        let mut settings = vec![
            ("CONVENE_LISTEN".to_owned(), self.listen.to_string()),
            ("CONVENE_MANAGEMENT_LISTEN".to_owned(), self.management.to_string()),
            ("CONVENE_WORKER_MANAGEMENT_LISTEN".to_owned(), self.worker_management.to_string()),
            ("CONVENE_URL".to_owned(), format!("ws://{}/ws", self.listen)),
            ("CONVENE_ADMIN_URL".to_owned(), format!("http://{}", self.management)),
            // Set to nothing is not set.
            ("CONVENE_DATABASE_URL".to_owned(), String::new()),
        ];
        settings.extend(self.env.iter().cloned());
        settings
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.start(args).output()
    }

    /// Starts a command.
    pub fn start(&self, args: &[&str]) -> Running {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", KEEP, "keep", &self.files.map_or_else(String::new, |files| files.to_string())])
            .arg(env!("CARGO_BIN_EXE_convene"))
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.settings())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut keeper = command.spawn().expect("a shell");
        let (stdout, stderr) = (keeper.stdout.take().expect("a pipe"), keeper.stderr.take().expect("a pipe"));
        Running { keeper, stdout: lines(stdout), stderr: lines(stderr), seen: Vec::new() }
    }

    /// Starts everything and returns when it says that it runs, with the session tokens that it prints.
    pub fn serve(&self) -> (Running, Vec<(String, String)>) {
        let mut running = self.start(&[]);
        running.line("Convene is running.");
        running.line("Ctrl-C stops everything; the data stay.");
        let tokens = running.seen.iter().filter_map(|line| {
            let (user, token) = line.trim().split_once(' ')?;
            token.trim().starts_with("eyJ").then(|| (user.to_owned(), token.trim().to_owned()))
        });
        let tokens = tokens.collect();
        (running, tokens)
    }

    /// A request as this user, and its answer; fails when that is an error.
    pub fn call(&self, user: &str, endpoint: &str, data: &Value) -> Value {
        let output = self.run(&["call", "--user", user, endpoint, &data.to_string()]);
        assert!(output.status.success(), "{endpoint} as {user}: {output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// The process that has the data folder.
    pub fn process(&self) -> Pid {
        pid_in(&self.data().join("lock"))
    }

    /// The private PostgreSQL.
    pub fn postmaster(&self) -> Pid {
        pid_in(&self.data().join("postgres/postmaster.pid"))
    }
}

fn pid_in(file: &Path) -> Pid {
    let text = fs::read_to_string(file).expect("a process has written its number");
    text.lines().next().and_then(|line| line.parse().ok()).and_then(Pid::from_raw).expect("a number")
}

fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = sync_channel(10_000);
    thread::spawn(move || {
        BufReader::new(pipe).lines().map_while(Result::ok).take_while(|line| sender.send(line.clone()).is_ok()).count()
    });
    receiver
}

/// A command that runs.
#[derive(Debug)]
pub struct Running {
    keeper: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    /// The lines of standard output so far.
    pub seen: Vec<String>,
}

impl Running {
    /// Waits for a line on standard output that holds `part`.
    pub fn line(&mut self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.stdout.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(part) {
                        return line;
                    }
                }
                Err(error) => {
                    let ended = match error {
                        RecvTimeoutError::Timeout => "no such line in time",
                        RecvTimeoutError::Disconnected => "it has ended",
                    };
                    panic!("{part:?}: {ended}; stdout {:#?}, stderr {:#?}", self.seen, self.stderr_so_far());
                }
            }
        }
    }

    /// As [`Running::line`], for a frame.
    pub fn frame(&mut self, event: &str) -> Value {
        serde_json::from_str(&self.line(&format!(r#""event":"{event}""#))).expect("a line is JSON")
    }

    fn stderr_so_far(&self) -> Vec<String> {
        self.stderr.try_iter().collect()
    }

    /// Waits for its end.
    pub fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.keeper.try_wait().expect("it can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end; stderr {:#?}", self.stderr_so_far());
            pause();
        }
    }

    /// Waits for its end, and takes what it has printed.
    pub fn output(mut self) -> Output {
        let status = self.end();
        let joined = |before: &[String], lines: &Receiver<String>| {
            let mut text = before.join("\n");
            for line in lines {
                text.push_str(&line);
                text.push('\n');
            }
            text.into_bytes()
        };
        Output { status, stdout: joined(&self.seen, &self.stdout), stderr: joined(&[], &self.stderr) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The keeper kills what is left.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Sends a signal.
pub fn signal(process: Pid, signal: Signal) {
    kill_process(process, signal).expect("it runs");
}

/// Waits until a process is gone.
pub fn gone(process: Pid) {
    let deadline = Instant::now() + PATIENCE;
    while test_kill_process(process).is_ok() {
        assert!(Instant::now() < deadline, "process {process:?} does not end");
        pause();
    }
}

/// Between two looks at something that can not be waited for.
#[expect(clippy::disallowed_methods, reason = "no runtime runs here, and it is a condition that is waited for")]
fn pause() {
    thread::sleep(Duration::from_millis(10));
}

/// What a command that fails says, which is one line.
pub fn refusal(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr.trim_end().to_owned()
}

/// Writes a file.
pub fn write(path: &Path, text: &str) {
    let mut file = fs::File::create(path).expect("a file");
    file.write_all(text.as_bytes()).expect("its text");
}
