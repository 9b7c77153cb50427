//! Signals to processes that the tests have started.

use std::{fs, process::Command};

use anyhow::{Context as _, ensure};

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

/// Parent and state of a process.
fn status(process: u32) -> Option<(u32, char)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // 1234 (a name, with anything in it) S 1 …
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((fields.next()?.parse().ok()?, state))
}
