//! Asking a process on this machine how it is, or what it logs: for an image that has neither a shell nor curl.

use std::{
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// A process that takes longer to answer is not well.
const PATIENCE: Duration = Duration::from_secs(3);

/// The longest answer that is looked at, in bytes.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// What is asked.
#[derive(Args, Clone, Copy, Debug)]
pub struct Probe {
    /// Ask whether it can do its work now, rather than whether it runs
    #[arg(long)]
    pub ready: bool,
}

impl Probe {
    /// Asks the process that has this management listener.
    ///
    /// # Errors
    /// It does not answer within 3 s, or it answers that it is not well: then with what it says.
    pub async fn ask(self, listener: SocketAddr) -> Result<()> {
        let path = if self.ready { "/readyz" } else { "/livez" };
        ask(listener, "GET", path, "").await.map(drop)
    }
}

/// What is to be logged.
#[derive(Args, Clone, Debug)]
pub struct LogChange {
    /// What to log from now on, such as debug, info,worker=debug or warn; without it, what is logged now is shown
    pub filter: Option<String>,
}

impl LogChange {
    /// Changes what the process logs that has this management listener, if that is asked, and prints what it logs.
    ///
    /// # Errors
    /// It does not answer within 3 s, or it refuses: then with what it says.
    pub async fn make(self, listener: SocketAddr) -> Result<()> {
        let filter = match &self.filter {
            Some(filter) => ask(listener, "PUT", "/log", filter).await?,
            None => ask(listener, "GET", "/log", "").await?,
        };
        writeln!(io::stdout(), "{filter}")?;
        Ok(())
    }
}

/// The body of a good answer.
async fn ask(listener: SocketAddr, method: &str, path: &str, body: &str) -> Result<String> {
    let answer = timeout(PATIENCE, exchange(reachable(listener), method, path, body))
        .await
        .context("no answer in time")?
        .with_context(|| format!("no answer from {listener}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    ensure!(status == "200", "{path} answers {status}: {body}");
    Ok(body.to_owned())
}

/// The whole answer. HTTP/1.0, so that it comes in one piece and the connection ends with it.
async fn exchange(address: SocketAddr, method: &str, path: &str, body: &str) -> Result<String> {
    let mut connection = TcpStream::connect(address).await?;
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let request = format!("{method} {path} HTTP/1.0\r\nhost: {address}\r\n{length}\r\n{body}");
    connection.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    connection.take(LONGEST_ANSWER).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Where somebody who listens on all addresses is reached from here.
fn reachable(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listener.port())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one request with this, and returns the request's first line.
    async fn answered_with(answer: &'static str, probe: Probe) -> (Result<()>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (asked, request) = tokio::join!(probe.ask(address), async {
            let (mut connection, _) = listener.accept().await.expect("a connection");
            let mut request = [0; 1024];
            let length = connection.read(&mut request).await.expect("a request");
            connection.write_all(answer.as_bytes()).await.expect("sent");
            String::from_utf8_lossy(&request[..length]).lines().next().expect("a line").to_owned()
        });
        (asked, request)
    }

    #[tokio::test]
    async fn a_process_is_well_that_answers_200() {
        let (asked, request) = answered_with("HTTP/1.0 200 OK\r\n\r\nok", Probe { ready: false }).await;
        asked.expect("well");
        assert_eq!(request, "GET /livez HTTP/1.0");
    }

    #[tokio::test]
    async fn a_process_that_is_unready_is_reported_with_what_it_says() {
        let (asked, request) =
            answered_with("HTTP/1.0 503 Service Unavailable\r\n\r\n{\"ready\":false}", Probe { ready: true }).await;
        assert_eq!(asked.expect_err("unready").to_string(), r#"/readyz answers 503: {"ready":false}"#);
        assert_eq!(request, "GET /readyz HTTP/1.0");
    }

    #[tokio::test]
    async fn a_filter_that_is_refused_is_reported_with_why() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let change = LogChange { filter: Some("info,x=loud".to_owned()) };
        let (made, request) = tokio::join!(change.make(address), async {
            let (mut connection, _) = listener.accept().await.expect("a connection");
            let mut request = [0; 1024];
            let length = connection.read(&mut request).await.expect("a request");
            connection.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nno log filter").await.expect("sent");
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        assert_eq!(made.expect_err("refused").to_string(), "/log answers 400: no log filter");
        assert!(request.starts_with("PUT /log HTTP/1.0\r\n"), "{request}");
        assert!(request.ends_with("\r\ncontent-length: 11\r\n\r\ninfo,x=loud"), "{request}");
    }

    #[tokio::test]
    async fn nobody_there_and_nonsense_are_not_well() {
        let (asked, _) = answered_with("200", Probe { ready: false }).await;
        asked.expect_err("that is no HTTP");
        let nobody = {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            listener.local_addr().expect("its address")
        };
        Probe { ready: false }.ask(nobody).await.expect_err("nobody listens");
    }

    #[test]
    fn who_listens_everywhere_is_asked_on_this_machine() {
        for (listener, reached) in
            [("0.0.0.0:9090", "127.0.0.1:9090"), ("[::]:9090", "[::1]:9090"), ("10.0.0.7:9090", "10.0.0.7:9090")]
        {
            assert_eq!(reachable(listener.parse().expect("an address")).to_string(), reached);
        }
    }
}
