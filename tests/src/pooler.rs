//! PgBouncer before a PostgreSQL server.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Stdio};

use reqwest::Url;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    eventually,
    process::{Guarded, signal},
    servers::{free_port, unprivileged_user},
};

/// A running PgBouncer. It ends with this value.
#[derive(Debug)]
pub struct Pooler {
    url: String,
    server: Url,
    port: u16,
    file: PathBuf,
    process: Guarded,
    _folder: TempDir,
}

impl Pooler {
    /// Starts it before the database of this URL, in `transaction` or `session` mode, and waits until it listens.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn before(database_url: &str, mode: &str) -> Self {
        let server: Url = database_url.parse().expect("a URL");
        let port = free_port().expect("a free port");
        let mut url = server.clone();
        url.set_port(Some(port)).expect("it has a host");
        let folder = tempfile::tempdir().expect("a folder");
        // It refuses to run as root, and must read its configuration as whom it runs.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("the folder is ours");
        let file = folder.path().join("pgbouncer.ini");
        fs::write(&file, configuration(&server, port, mode)).expect("written");
        // Debian keeps it where not everybody looks.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
        let mut command = Command::new("pgbouncer");
        command
            .env("PATH", std::env::join_paths(folders).expect("folders without colons"))
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some((uid, gid)) = unprivileged_user().expect("a user that is not root") {
            command.uid(uid).gid(gid);
        }
        let process = Guarded::spawn(&mut command).expect("pgbouncer, which deploy/test installs");
        let pooler = Self { url: url.to_string(), server, port, file, process, _folder: folder };
        eventually!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok());
        pooler
    }

    /// The database of the URL, through the pooler.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Goes on in another mode, for connections that are made from now on.
    ///
    /// # Panics
    /// When it does not run.
    pub fn set_mode(&self, mode: &str) {
        fs::write(&self.file, configuration(&self.server, self.port, mode)).expect("written");
        signal(self.process.id(), "HUP").expect("it runs");
    }
}

fn configuration(server: &Url, port: u16, mode: &str) -> String {
    let database = server.path().trim_start_matches('/');
    format!(
        "[databases]
         {database} = host={} port={} user={} password={} pool_mode={mode}
         [pgbouncer]
         listen_addr = 127.0.0.1
         listen_port = {port}
         unix_socket_dir =
         auth_type = any
         ignore_startup_parameters = extra_float_digits
         default_pool_size = 50
         ",
        server.host_str().expect("a host"),
        server.port().expect("a port"),
        server.username(),
        server.password().expect("a password"),
    )
    .replace("         ", "")
}
