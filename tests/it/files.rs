//! Each socket is an open file.

use std::fs;

use harness::{eventually, process::Guarded, token::JWT_SECRET};
use tokio::process::Command;

/// How many files a process may have open now, and at most.
fn limits(process: u32) -> Option<(String, String)> {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let mut words = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.to_owned()))
}

#[tokio::test]
async fn a_gateway_may_open_all_the_files_that_the_system_allows_however_few_it_begins_with() {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "ulimit -Sn 100 && exec \"$@\"", "few", env!("CARGO_BIN_EXE_gateway-pod")])
        .args([
            "--listen=127.0.0.1:0",
            "--management-listen=127.0.0.1:0",
            "--nats-url=nats://127.0.0.1:1",
            "--redis-url=redis://127.0.0.1:1",
        ])
        .arg(format!("--jwt-secret={JWT_SECRET}"));
    let gateway = Guarded::spawn(&mut command).expect("it starts");
    let (_, most) = limits(gateway.id()).expect("limits");
    assert_ne!(most, "100");
    // Until then it is the shell, which may have begun with all of them.
    let name = || fs::read_to_string(format!("/proc/{}/comm", gateway.id())).unwrap_or_default();
    eventually!(name(), |name| name.trim() == "gateway-pod");
    eventually!(limits(gateway.id()), |limits| limits.as_ref().is_some_and(|(now, _)| *now == most));
}
