//! HAProxy before the gateways of a [`Stack`], as `deploy/haproxy/haproxy.cfg` sets it up.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
};

use tempfile::NamedTempFile;
use tokio::process::Command;

use crate::{Stack, eventually, exposition::Page, process::Guarded, servers::free_port, stack::http};

/// A running HAProxy. It ends with this value.
#[derive(Debug)]
pub struct Balancer {
    /// Where clients connect.
    pub public: SocketAddr,
    /// Where its metrics are.
    pub management: SocketAddr,
    log: NamedTempFile,
    _process: Guarded,
}

impl Balancer {
    /// Starts it before a stack of two gateways, and waits until it sends clients to both.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn start(stack: &Stack) -> Self {
        let address = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().expect("a free port")));
        let (public, management) = (address(), address());
        let [first, second] = &stack.gateways[..] else { panic!("the configuration names two gateways") };
        let log = NamedTempFile::new().expect("a file");
        let mut command = command();
        command
            .args(["-db", "-f"])
            .arg(configuration())
            .env("CONVENE_LB_LISTEN", public.to_string())
            .env("CONVENE_LB_MANAGEMENT_LISTEN", management.to_string())
            .env("CONVENE_LB_MAX_CONNECTIONS", "4000")
            .env("CONVENE_LB_GATEWAY_1", first.public.to_string())
            .env("CONVENE_LB_GATEWAY_2", second.public.to_string())
            .env("CONVENE_LB_GATEWAY_1_MANAGEMENT_PORT", first.management.port().to_string())
            .env("CONVENE_LB_GATEWAY_2_MANAGEMENT_PORT", second.management.port().to_string())
            .stdin(Stdio::null())
            .stdout(log.reopen().expect("the file"))
            .stderr(Stdio::null());
        let process = Guarded::spawn(&mut command).expect("haproxy, which deploy/test installs");
        let balancer = Self { public, management, log, _process: process };
        eventually!(balancer.gateways_up().await, |up| *up == [true, true]);
        balancer
    }

    /// What it has logged.
    ///
    /// # Panics
    /// When that is no text.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(self.log.path()).expect("text")
    }

    /// What it counts.
    ///
    /// # Panics
    /// When it does not say.
    pub async fn page(&self) -> Page {
        self.try_page().await.expect("the load balancer answers")
    }

    async fn try_page(&self) -> Option<Page> {
        let response = http().get(format!("http://{}/metrics", self.management)).send().await.ok()?;
        Some(Page::read(&response.text().await.ok()?))
    }

    /// Which of the gateways get new connections.
    pub async fn gateways_up(&self) -> Vec<bool> {
        let Some(page) = self.try_page().await else { return Vec::new() };
        let is_up = |server| page.value("haproxy_server_status", &[("server", server), ("state", "UP")]) == Some(1.0);
        vec![is_up("gateway-1"), is_up("gateway-2")]
    }

    /// How many connections a gateway has been given, and how many it has now; the first gateway is 0.
    pub async fn connections(&self, gateway: usize) -> (f64, f64) {
        let (page, server) = (self.page().await, format!("gateway-{}", gateway + 1));
        let value = |name| page.value(name, &[("server", &server)]).unwrap_or_else(|| panic!("{name} of {server}"));
        (value("haproxy_server_sessions_total"), value("haproxy_server_current_sessions"))
    }
}

/// The program, which Debian keeps where not everybody looks.
pub fn command() -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/local/sbin".into(), "/usr/sbin".into()]);
    let mut command = Command::new("haproxy");
    command.env("PATH", std::env::join_paths(folders).expect("folders without colons"));
    command
}

/// Its configuration.
pub fn configuration() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/haproxy/haproxy.cfg")
}
