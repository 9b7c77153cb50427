//! A TCP proxy before one server, which a test can cut, freeze, delay and throttle while pods go on using it.

mod loss;
pub mod nats;

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use rand::{SeedableRng as _, rngs::StdRng};
use reqwest::Url;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    task::{AbortHandle, JoinSet},
};

/// What is read at once, in bytes.
const CHUNK: usize = 16 * 1024;

/// How the way to the server is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// New connections are closed at once; see [`Proxy::cut`] for those that are open.
    pub is_refusing: bool,
    /// Connections stay open, and nothing passes in either direction.
    pub is_frozen: bool,
    /// So much later everything arrives, in each direction.
    pub delay: Duration,
    /// So many bytes a second pass on each connection, in each direction.
    pub bytes_per_second: Option<u32>,
    /// What gets lost on its way from the server, where the proxy is [before NATS](Proxy::before_nats).
    pub loss: Loss,
}

/// Messages of NATS that never come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Of a thousand messages so many.
    pub per_mille: u32,
    /// Those whose subjects begin so; all of them when empty.
    pub subjects: &'static str,
}

/// A proxy. Everything that goes through it ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    server: watch::Sender<SocketAddr>,
    /// How many connections were refused.
    refused: watch::Sender<u64>,
    /// How often everything was cut.
    cuts: watch::Sender<u64>,
    /// How many messages were lost.
    lost: watch::Sender<u64>,
    accepting: AbortHandle,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    /// A proxy before the server of this URL, such as those of [`Isolated`](crate::servers::Isolated).
    ///
    /// # Panics
    /// When the URL names no port of an IPv4 address.
    pub async fn before(url: &str) -> Self {
        Self::new(url, None).await
    }

    /// A proxy before a NATS server that can also lose messages: which ones, follows from the seed and the order in which
    /// connections are made.
    ///
    /// # Panics
    /// As [`Proxy::before`].
    pub async fn before_nats(url: &str, seed: u64) -> Self {
        Self::new(url, Some(seed)).await
    }

    async fn new(url: &str, nats_seed: Option<u64>) -> Self {
        let server = server_of(url);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (fault, cuts, lost) = (watch::Sender::default(), watch::Sender::default(), watch::Sender::default());
        let (server, refused) = (watch::Sender::new(server), watch::Sender::default());
        let way = Way {
            server: server.subscribe(),
            refused: refused.clone(),
            fault: fault.subscribe(),
            cuts: cuts.subscribe(),
            lost: lost.clone(),
            nats_seed,
        };
        let accepting = tokio::spawn(accept(listener, way)).abort_handle();
        Self { address, fault, server, refused, cuts, lost, accepting }
    }

    /// The same URL, through the proxy.
    ///
    /// # Panics
    /// When it is no URL with a host.
    pub fn url(&self, url: &str) -> String {
        at(self.address, url)
    }

    /// Breaks the way in this manner, and no other, until told otherwise.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// From now on new connections lead to the server of this URL, as if a name had got another address. Those that are open
    /// stay where they are.
    ///
    /// # Panics
    /// As [`Proxy::before`].
    pub fn lead_to(&self, url: &str) {
        self.server.send_replace(server_of(url));
    }

    /// How many connections have been refused so far.
    pub fn refused(&self) -> u64 {
        *self.refused.borrow()
    }

    /// Breaks every connection that is open now.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// The server is out of reach: no connection stays, none is made.
    pub fn part(&self) {
        self.set(Fault { is_refusing: true, ..Fault::default() });
        self.cut();
    }

    /// How many messages have been lost so far.
    pub fn lost(&self) -> u64 {
        *self.lost.borrow()
    }

    /// All is well again. What was frozen goes on.
    pub fn heal(&self) {
        self.set(Fault::default());
    }
}

/// What every connection knows.
#[derive(Clone)]
struct Way {
    server: watch::Receiver<SocketAddr>,
    refused: watch::Sender<u64>,
    fault: watch::Receiver<Fault>,
    cuts: watch::Receiver<u64>,
    lost: watch::Sender<u64>,
    /// Of the next connection, where it speaks NATS.
    nats_seed: Option<u64>,
}

/// Where the server of this URL listens.
fn server_of(url: &str) -> SocketAddr {
    let url: Url = url.parse().expect("a URL");
    let host: Ipv4Addr = url.host_str().expect("a host").parse().expect("an address");
    SocketAddr::from((host, url.port().expect("a port")))
}

/// The same URL with another address.
fn at(address: SocketAddr, url: &str) -> String {
    let mut url: Url = url.parse().expect("a URL");
    url.set_ip_host(address.ip()).expect("it has a host");
    url.set_port(Some(address.port())).expect("it has a host");
    url.to_string()
}

async fn accept(listener: TcpListener, mut way: Way) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                if way.fault.borrow().is_refusing {
                    way.refused.send_modify(|count| *count += 1);
                } else {
                    connections.spawn(join(client, way.clone()));
                    way.nats_seed = way.nats_seed.map(|seed| seed.wrapping_add(1));
                }
            }
            Some(_) = connections.join_next() => (),
        }
    }
}

/// One connection, until a side ends it or it is cut.
async fn join(client: TcpStream, Way { server, fault, mut cuts, lost, nats_seed, .. }: Way) {
    cuts.mark_unchanged();
    let server = *server.borrow();
    let Ok(server) = TcpStream::connect(server).await else { return };
    for stream in [&client, &server] {
        // Without it small messages would wait for one another, here and not at the server.
        let _ = stream.set_nodelay(true);
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let sieve = nats_seed.map(|seed| loss::Sieve::new(StdRng::seed_from_u64(seed), lost));
    tokio::select! {
        () = pass(from_client, to_server, fault.clone(), None) => (),
        () = pass(from_server, to_client, fault, sieve) => (),
        _ = cuts.changed() => (),
    }
}

async fn pass(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mut fault: watch::Receiver<Fault>,
    mut sieve: Option<loss::Sieve>,
) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let Ok(length @ 1..) = from.read(&mut chunk).await else { return };
        let Ok(now) = fault.wait_for(|fault| !fault.is_frozen).await.map(|fault| *fault) else { return };
        let throttle =
            now.bytes_per_second.map_or(Duration::ZERO, |rate| Duration::from_secs(1) * length as u32 / rate);
        tokio::time::sleep(now.delay.max(throttle)).await;
        let passed = match &mut sieve {
            None => to.write_all(&chunk[..length]).await,
            Some(sieve) => to.write_all(&sieve.pass(&chunk[..length], now.loss)).await,
        };
        if passed.is_err() {
            return;
        }
    }
}
