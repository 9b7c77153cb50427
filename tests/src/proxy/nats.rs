//! A proxy before NATS that knows its protocol: the server can be made to forget subscriptions without a word to anybody,
//! and to take no message and no subscription of some subjects.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    task::{AbortHandle, JoinSet},
};

use super::{at, server_of};

/// A proxy. Everything that goes through it ends when it is dropped.
#[derive(Debug)]
pub struct NatsProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<Known>,
    /// How often subscriptions were forgotten.
    forgotten: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    connections: u64,
    /// The subjects of what the server knows, by connection and number.
    subscriptions: HashMap<(u64, String), String>,
    /// Of those to be forgotten next, how their subjects begin.
    forget: String,
    /// How the subjects begin that the server is not told of.
    swallowed: Vec<String>,
}

impl Drop for NatsProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NatsProxy {
    /// A proxy before the server of this URL.
    ///
    /// # Panics
    /// When the URL names no port of an IPv4 address.
    pub async fn before(url: &str) -> Self {
        let server = server_of(url);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn(accept(listener, server, shared.clone())).abort_handle();
        Self { address, shared, accepting }
    }

    /// The same URL, through the proxy.
    ///
    /// # Panics
    /// When it is no URL with a host.
    pub fn url(&self, url: &str) -> String {
        at(self.address, url)
    }

    /// Makes the server forget the subscriptions whose subjects begin so. Whoever made them hears nothing of it.
    pub fn forget(&self, prefix: &str) {
        prefix.clone_into(&mut self.shared.lock().forget);
        self.shared.forgotten.send_modify(|times| *times += 1);
    }

    /// How many subscriptions the server knows whose subjects begin so.
    pub fn subscriptions(&self, prefix: &str) -> usize {
        self.shared.lock().subscriptions.values().filter(|subject| subject.starts_with(prefix)).count()
    }

    /// From now on nothing reaches the server that is published on, or asks for, subjects that begin in one of these ways.
    pub fn swallow(&self, prefixes: &[&str]) {
        self.shared.lock().swallowed = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                connections.spawn(join(client, server, shared.clone()));
            }
            Some(_) = connections.join_next() => (),
        }
    }
}

async fn join(client: TcpStream, server: SocketAddr, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let number = {
        let mut known = shared.lock();
        known.connections += 1;
        known.connections
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (mut from_server, mut to_client) = (from_server, to_client);
    tokio::select! {
        _ = pass(from_client, to_server, number, &shared) => (),
        _ = copy(&mut from_server, &mut to_client) => (),
    }
    shared.lock().subscriptions.retain(|(connection, _), _| *connection != number);
}

/// Passes what a client says on, message by message, and says in between what it did not.
async fn pass(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    connection: u64,
    shared: &Shared,
) -> std::io::Result<()> {
    let mut forgotten = shared.forgotten.subscribe();
    let mut heard = BytesMut::new();
    loop {
        let is_to_forget = tokio::select! {
            read = from.read_buf(&mut heard) => match read? {
                0 => return Ok(()),
                _ => false,
            },
            _ = forgotten.changed() => true,
        };
        while let Some(message) = next_message(&mut heard) {
            if shared.lock().takes(connection, &message) {
                to.write_all(&message).await?;
            }
        }
        let gone = if is_to_forget { shared.lock().forget(connection) } else { Vec::new() };
        for number in gone {
            to.write_all(format!("UNSUB {number}\r\n").as_bytes()).await?;
        }
    }
}

/// Takes the next message off what was heard, if all of it is there.
fn next_message(heard: &mut BytesMut) -> Option<Bytes> {
    let line_end = heard.windows(2).position(|two| two == b"\r\n")? + 2;
    let mut length = line_end;
    let line = String::from_utf8_lossy(&heard[..line_end]);
    let mut words = line.split_ascii_whitespace();
    if matches!(words.next(), Some("PUB" | "HPUB")) {
        length += words.next_back()?.parse::<usize>().ok()? + 2;
    }
    (heard.len() >= length).then(|| heard.split_to(length).freeze())
}

impl Known {
    /// Notes what a message says, and whether the server is to hear of it.
    fn takes(&mut self, connection: u64, message: &[u8]) -> bool {
        let line = message.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            ["PUB" | "HPUB", subject, ..] => !self.is_swallowed(subject),
            ["SUB", subject, .., number] => {
                let is_taken = !self.is_swallowed(subject);
                if is_taken {
                    self.subscriptions.insert((connection, number.to_owned()), subject.to_owned());
                }
                is_taken
            }
            ["UNSUB", number] => {
                self.subscriptions.remove(&(connection, number.to_owned()));
                true
            }
            _ => true,
        }
    }

    fn is_swallowed(&self, subject: &str) -> bool {
        self.swallowed.iter().any(|prefix| subject.starts_with(prefix))
    }

    /// The numbers of the connection's subscriptions that are to be forgotten, which are.
    fn forget(&mut self, connection: u64) -> Vec<String> {
        let gone = |(of, _): &(u64, String), subject: &String| *of == connection && subject.starts_with(&self.forget);
        let numbers: Vec<String> = self
            .subscriptions
            .iter()
            .filter(|(key, subject)| gone(key, subject))
            .map(|((_, n), _)| n.clone())
            .collect();
        for number in &numbers {
            self.subscriptions.remove(&(connection, number.clone()));
        }
        numbers
    }
}
