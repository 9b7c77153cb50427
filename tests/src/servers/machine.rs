//! What the machine has: programs, ports, a user that is not root.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use anyhow::Context as _;
use rand::Rng as _;

/// Below the range that the kernel takes ports of outgoing connections from, so that a server that was stopped finds its
/// port free.
const PORTS: Range<u16> = 15_000..32_000;

/// A port that nobody listens on, and that this process was not given before: of two who ask at once, neither has begun to
/// listen.
///
/// # Errors
/// When there is none.
pub fn free_port() -> anyhow::Result<u16> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    (0..1000)
        .map(|_| rand::rng().random_range(PORTS))
        .find(|port| !given.contains(port) && TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .inspect(|port| {
            given.insert(*port);
        })
        .context("no port is free")
}

/// The folder of `initdb` and `postgres`, of the newest version installed.
pub(super) fn postgres_programs() -> anyhow::Result<PathBuf> {
    let in_path: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    let packaged = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt", "/usr"]
        .iter()
        .filter_map(|parent| fs::read_dir(parent).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path().join("bin")));
    in_path
        .into_iter()
        .chain(packaged)
        .filter_map(|dir| Some((postgres_version(&dir)?, dir)))
        .filter(|(version, _)| *version >= 14)
        .max()
        .map(|(_, dir)| dir)
        .context("PostgreSQL 14 or newer is not installed")
}

fn postgres_version(programs: &Path) -> Option<u32> {
    if !programs.join("initdb").is_file() {
        return None;
    }
    // postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)
    let output = Command::new(programs.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().nth(2)?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Whom the servers run as when the tests are run by root, which PostgreSQL refuses: user and group id.
pub(crate) fn unprivileged_user() -> anyhow::Result<Option<(u32, u32)>> {
    let id = Command::new("id").arg("-u").output().context("id")?;
    if id.stdout.trim_ascii() != b"0" {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").context("/etc/passwd")?;
    let ids_of = |name: &str| {
        let mut fields =
            users.lines().map(|line| line.split(':')).find(|fields| fields.clone().next() == Some(name))?;
        Some((fields.nth(2)?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    ids_of("postgres").or_else(|| ids_of("nobody")).map(Some).context("a user that is not root")
}
