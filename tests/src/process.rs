//! Processes that the tests start, and signals to them.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};

/// A process that does not outlive this value, nor the test process, in whatever way that ends.
#[derive(Debug)]
pub struct Guarded {
    process: tokio::process::Child,
    id: u32,
    guard: Child,
}

impl Guarded {
    /// Starts it, and a shell that kills it when the test process is gone.
    ///
    /// # Errors
    /// When one of the two cannot be started.
    pub fn spawn(command: &mut tokio::process::Command) -> anyhow::Result<Self> {
        let process = command.kill_on_drop(true).spawn()?;
        let id = process.id().context("it has just begun")?;
        // A line says that there is nothing left to kill; the end without one, that nobody is left to say so.
        let guard = Command::new("/bin/sh")
            .args(["-c", "read -r done || kill -s KILL \"$1\"", "guard", &id.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("/bin/sh")?;
        Ok(Self { process, id, guard })
    }

    /// Its input and its output, both of which it was started with as pipes.
    ///
    /// # Panics
    /// When it was not, or they were taken before.
    pub fn pipes(&mut self) -> (tokio::process::ChildStdin, tokio::process::ChildStdout) {
        (self.process.stdin.take().expect("a pipe"), self.process.stdout.take().expect("a pipe"))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub async fn wait(&mut self) -> ExitStatus {
        self.process.wait().await.expect("it ends")
    }

    /// Kills it and waits until it has ended.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub async fn kill(&mut self) {
        self.process.kill().await.expect("it can be killed");
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.start_kill();
        if let Some(mut guard) = self.guard.stdin.take() {
            let _ = guard.write_all(b"done\n");
        }
        let _ = self.guard.wait();
    }
}

/// Sends a signal, such as `STOP`.
///
/// # Errors
/// When there is no such process.
pub fn signal(process: u32, signal: &str) -> anyhow::Result<()> {
    // The shell's own kill: the program may not be installed.
    let status = Command::new("/bin/sh")
        .args(["-c", "kill -s \"$1\" \"$2\" 2>/dev/null", "kill", signal, &process.to_string()])
        .status()?;
    ensure!(status.success(), "process {process} does not take {signal}");
    Ok(())
}

/// Whether it runs: neither ended nor waiting to be reaped.
pub fn is_running(process: u32) -> bool {
    status(process).is_some_and(|(_, state)| state != 'Z')
}

/// The processes that this one has started.
///
/// # Errors
/// Where the system has no `/proc`.
pub fn children(process: u32) -> anyhow::Result<Vec<u32>> {
    Ok(fs::read_dir("/proc")
        .context("/proc")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|id| status(*id).is_some_and(|(parent, _)| parent == process))
        .collect())
}

/// A process's resident memory, in bytes.
///
/// # Panics
/// When it does not run, or the system has no `/proc`.
pub fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its resident memory");
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().expect("a number of KiB");
    kib * 1024
}

/// The processor time that this process's descendants have taken so far, by the names of their programs; what they have
/// themselves started and seen end counts as theirs. In hundredths of a second.
///
/// # Panics
/// When the system has no `/proc`.
pub fn processor_times() -> BTreeMap<String, Duration> {
    let mut times = BTreeMap::new();
    let mut ancestors = vec![std::process::id()];
    while let Some(ancestor) = ancestors.pop() {
        for child in children(ancestor).expect("/proc") {
            let Some(name) = fs::read_to_string(format!("/proc/{child}/comm")).ok() else { continue };
            // Of itself and of those that have ended, in the program and in the kernel.
            let ticks = stat(child).and_then(|fields| {
                fields.get(11..15)?.iter().map(|field| field.parse::<u64>().ok()).sum::<Option<u64>>()
            });
            *times.entry(name.trim().to_owned()).or_default() +=
                Duration::from_millis(ticks.unwrap_or(0) * MS_OF_A_TICK);
            ancestors.push(child);
        }
    }
    times
}

/// In what `/proc` counts time; the same on every Linux that programs see.
const MS_OF_A_TICK: u64 = 10;

/// Parent and state of a process.
fn status(process: u32) -> Option<(u32, char)> {
    let fields = stat(process)?;
    Some((fields.get(1)?.parse().ok()?, fields.first()?.chars().next()?))
}

/// What `/proc` says of a process, from its state on.
fn stat(process: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // 1234 (a name, with anything in it) S 1 …
    Some(stat.get(stat.rfind(')')? + 1..)?.split_whitespace().map(str::to_owned).collect())
}
