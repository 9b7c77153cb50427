//! HTTP and WebSocket by hand.

use std::net::SocketAddr;

use harness::eventually::PATIENCE;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// The key of RFC 6455's own example.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The headers of a good handshake.
pub const GOOD: &[(&str, &str)] = &[
    ("host", "x"),
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", KEY),
];

/// The head of a request.
pub fn upgrade(line: &str, headers: &[(&str, &str)]) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{line}\r\n{headers}\r\n")
}

/// The answer to a request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: Value,
}

impl Answer {
    /// The values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// The value of a header that is there once at most.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name}: {all:?}");
        all.first().copied()
    }

    /// Asserts that it has this status, and the error envelope with that code as JSON.
    #[track_caller]
    pub fn is_refused(&self, status: u16, code: u16, what: &str) {
        assert_eq!(self.status, status, "{what}: {self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{what}: {self:?}");
        let error = &self.body["error"];
        assert_eq!((&error["status"], &error["code"]), (&true.into(), &code.into()), "{what}: {self:?}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{what}: {self:?}");
        assert_eq!(self.body.as_object().map(serde_json::Map::len), Some(1), "{what}: {self:?}");
    }
}

/// A connection, and what has been read of it and not looked at.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

pub async fn open(address: SocketAddr) -> Raw {
    Raw { stream: TcpStream::connect(address).await.expect("it listens"), read: Vec::new() }
}

/// The answer to a request on a connection of its own.
pub async fn exchange(address: SocketAddr, request: &str) -> Answer {
    open(address).await.exchange(request).await
}

impl Raw {
    /// Sends a request and reads its answer.
    pub async fn exchange(&mut self, request: &str) -> Answer {
        self.send(request.as_bytes()).await;
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end;
            }
            assert!(self.more().await, "no answer to {request}");
        };
        let head = String::from_utf8(self.read.drain(..end + 4).collect()).expect("a head is text");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let mut answer = Answer { status, head, body: Value::Null };
        let length = answer.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        let body = self.take(length).await.expect("a whole body");
        answer.body = serde_json::from_slice(&body).unwrap_or_default();
        answer
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("sent");
    }

    /// The next frame of the server: its first octet and its payload; `None` at the end.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let head = self.take(2).await?;
        let length = match head[1] {
            127 => u64::from_be_bytes(self.take(8).await?.try_into().expect("eight")) as usize,
            126 => usize::from(u16::from_be_bytes(self.take(2).await?.try_into().expect("two"))),
            length => usize::from(length),
        };
        Some((head[0], self.take(length).await?))
    }

    /// The next frame, which is a text.
    #[track_caller]
    pub fn text(&mut self) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let (head, payload) = self.frame().await.unwrap_or_else(|| panic!("{caller}: the end"));
            assert_eq!(head, 0x81, "{caller}: {payload:x?}");
            serde_json::from_slice(&payload).unwrap_or_else(|error| panic!("{caller}: {error}"))
        }
    }

    /// The code of the next frame, which is a close.
    #[track_caller]
    pub fn close(&mut self) -> impl Future<Output = u16> {
        let caller = std::panic::Location::caller();
        async move {
            let (head, payload) = self.frame().await.unwrap_or_else(|| panic!("{caller}: the end"));
            assert_eq!(head, 0x88, "{caller}: {payload:x?}");
            u16::from_be_bytes([payload[0], payload[1]])
        }
    }

    /// Waits for the end, whatever comes before it. A reset is an end.
    pub async fn end(&mut self) {
        while self.more().await {
            self.read.clear();
        }
    }

    /// So many bytes; `None` when the end comes first.
    async fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.read.len() < length {
            if !self.more().await {
                return None;
            }
        }
        Some(self.read.drain(..length).collect())
    }

    /// Reads on; false at the end.
    async fn more(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await.expect("waited in vain");
        matches!(read, Ok(1..))
    }
}

/// A client's frame, masked with zeros.
pub fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).ok().filter(|length| *length < 126).expect("a short payload");
    [&[head, 0x80 | length, 0, 0, 0, 0], payload].concat()
}
