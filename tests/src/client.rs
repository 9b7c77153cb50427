//! A client as the wire contract describes it, with everything it received kept for the test to look at.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout_at},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest as _, http::HeaderValue, protocol::CloseFrame},
};

use crate::eventually::{PATIENCE, PAUSE};

/// Whether a client whose socket was closed with this code stops for good, as it has no other token.
pub fn is_final(code: Option<u16>) -> bool {
    matches!(code, Some(1002 | 1003 | 1007 | 1009 | 4500..=4503))
}

/// How a client connects.
#[derive(Clone, Debug)]
pub struct Connect {
    address: SocketAddr,
    path: String,
    headers: Vec<(&'static str, String)>,
    query: Vec<(&'static str, String)>,
    receive_buffer: Option<u32>,
}

/// Why there is no socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotOpened {
    /// The upgrade was answered with something else.
    Refused(Refused),
    /// It was not answered.
    Broken(String),
}

/// The answer to an upgrade that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// HTTP status.
    pub status: u16,
    /// The body, parsed.
    pub body: Value,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
}

impl Connect {
    /// To `/ws` of a gateway's public listener.
    pub fn to(address: SocketAddr) -> Self {
        Self { address, path: "/ws".to_owned(), headers: Vec::new(), query: Vec::new(), receive_buffer: None }
    }

    /// With this token as bearer.
    pub fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// With a header.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// With a query parameter, percent-encoded here.
    pub fn query(mut self, name: &'static str, value: &str) -> Self {
        self.query.push((name, value.to_owned()));
        self
    }

    /// Going on after this event.
    pub fn last_event_id(self, id: &str) -> Self {
        self.query("lastEventId", id)
    }

    /// With a receive buffer of so many bytes, so that a client that does not read is soon noticed.
    pub fn receive_buffer(mut self, bytes: u32) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// Connects, again while the answer is 503: a busy machine may have no time for everybody at once.
    ///
    /// # Panics
    /// When it is refused for another reason, or for too long.
    pub async fn let_in(self) -> Client {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.clone().open().await {
                Ok(client) => return client,
                Err(refused) if refused.status == 503 && Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
                Err(refused) => panic!("not let in: {refused:?}"),
            }
        }
    }

    /// Connects, or is refused.
    ///
    /// # Errors
    /// The answer to the upgrade.
    ///
    /// # Panics
    /// When there is no answer at all.
    pub async fn open(self) -> Result<Client, Refused> {
        self.try_open().await.expect("the gateway listens and answers the upgrade")
    }

    /// Connects, or is refused; or nobody is there.
    ///
    /// # Errors
    /// The connection was refused or broke.
    pub async fn try_open(self) -> anyhow::Result<Result<Client, Refused>> {
        match self.upgrade().await {
            Ok(socket) => {
                let (events, answers) = (VecDeque::new(), VecDeque::new());
                Ok(Ok(Client { socket, events, answers, pong: None, heartbeats: 0, next_id: 1 }))
            }
            Err(NotOpened::Refused(refused)) => Ok(Err(refused)),
            Err(NotOpened::Broken(error)) => Err(anyhow::Error::msg(error)),
        }
    }

    /// Connects, for a test that reads and writes the frames itself.
    ///
    /// # Errors
    /// The gateway refuses, or is not there.
    ///
    /// # Panics
    /// When a header cannot be sent.
    pub async fn upgrade(self) -> Result<WebSocketStream<TcpStream>, NotOpened> {
        let broken = |error: &dyn std::fmt::Display| NotOpened::Broken(error.to_string());
        let mut url = reqwest::Url::parse(&format!("ws://{}{}", self.address, self.path)).expect("a URL");
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        let mut request = url.as_str().into_client_request().expect("a request");
        for (name, value) in self.headers {
            request.headers_mut().insert(name, HeaderValue::from_str(&value).expect("a header value"));
        }
        let tcp = TcpSocket::new_v4().expect("a socket");
        if let Some(bytes) = self.receive_buffer {
            tcp.set_recv_buffer_size(bytes).expect("a size");
        }
        let tcp = tcp.connect(self.address).await.map_err(|error| broken(&error))?;
        match client_async(request, tcp).await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(response)) => Err(NotOpened::Refused(Refused {
                status: response.status().as_u16(),
                retry_after: response
                    .headers()
                    .get("retry-after")
                    .map(|value| value.to_str().expect("ASCII").to_owned()),
                body: serde_json::from_slice(response.body().as_deref().unwrap_or_default()).unwrap_or_default(),
            })),
            Err(error) => Err(broken(&error)),
        }
    }
}

/// An open socket.
#[derive(Debug)]
pub struct Client {
    socket: WebSocketStream<TcpStream>,
    events: VecDeque<Value>,
    answers: VecDeque<Value>,
    pong: Option<Bytes>,
    heartbeats: usize,
    next_id: u64,
}

/// What a socket received next.
#[derive(Debug)]
enum Received {
    Frame,
    Closed(Option<u16>),
}

impl Client {
    /// Sends a request and returns its whole answer.
    pub async fn call(&mut self, endpoint: &str, data: Value) -> Value {
        let id = self.send(endpoint, data, None).await;
        self.answer(id).await
    }

    /// Sends a request and returns its answer, and how long it took from frame to frame: reading the answer is the client's.
    pub async fn timed(&mut self, endpoint: &str, data: Value) -> (Duration, Value) {
        let begun = Instant::now();
        let id = self.send(endpoint, data, None).await;
        loop {
            let message = timeout_at(begun + PATIENCE, self.socket.next()).await.expect("waited in vain for an answer");
            let took = begun.elapsed();
            if let Received::Closed(code) = self.sort(message) {
                panic!("closed with {code:?} instead of an answer");
            }
            if let Some(place) = self.answers.iter().position(|answer| answer["id"] == id) {
                return (took, self.answers.remove(place).expect("it is there"));
            }
        }
    }

    /// Sends a request that is done once.
    pub async fn call_once(&mut self, event_id: &str, endpoint: &str, data: Value) -> Value {
        let id = self.send(endpoint, data, Some(event_id)).await;
        self.answer(id).await
    }

    /// Sends a request that must go well, and returns the answer's `data`.
    #[track_caller]
    pub fn ask(&mut self, endpoint: &str, data: Value) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let mut answer = self.call(endpoint, data).await;
            assert_eq!(answer["error"]["code"], 0, "{caller}: {endpoint}: {answer}");
            answer["data"].take()
        }
    }

    /// Sends a request without waiting, and returns its id.
    pub async fn send(&mut self, endpoint: &str, data: Value, event_id: Option<&str>) -> u64 {
        let (id, frame) = self.request(endpoint, &data, event_id);
        self.send_text(&frame).await;
        id
    }

    /// As [`Client::send`], also on a socket that may be closed by now.
    pub async fn try_send(&mut self, endpoint: &str, data: Value, event_id: Option<&str>) -> u64 {
        let (id, frame) = self.request(endpoint, &data, event_id);
        self.try_send_message(Message::text(frame)).await;
        id
    }

    fn request(&mut self, endpoint: &str, data: &Value, event_id: Option<&str>) -> (u64, String) {
        let id = self.next_id;
        self.next_id += 1;
        let mut frame = json!({"id": id, "endpoint": endpoint, "data": data});
        if let Some(event_id) = event_id {
            frame["event"] = json!({"id": event_id, "date": "2026-01-01T00:00:00Z"});
        }
        (id, frame.to_string())
    }

    /// Sends a text frame as it is.
    pub async fn send_text(&mut self, text: &str) {
        self.send_message(Message::text(text)).await;
    }

    /// Sends any message.
    pub async fn send_message(&mut self, message: Message) {
        self.socket.send(message).await.expect("the socket is open");
    }

    /// Sends any message, and says whether the socket took it.
    pub async fn try_send_message(&mut self, message: Message) -> bool {
        self.socket.send(message).await.is_ok()
    }

    /// Sends bytes that are no frame of this client's making.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.socket.get_mut().write_all(bytes).await
    }

    /// The answer to the request of that id.
    pub async fn answer(&mut self, id: u64) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(index) = self.answers.iter().position(|answer| answer["id"] == id) {
                return self.answers.remove(index).expect("it is there");
            }
            self.receive(deadline, "an answer").await;
        }
    }

    /// The next answer, whichever it is.
    pub async fn next_answer(&mut self) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = self.answers.pop_front() {
                return answer;
            }
            self.receive(deadline, "an answer").await;
        }
    }

    /// The next pushed frame, which must have this name.
    #[track_caller]
    pub fn event(&mut self, name: &str) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let event = self.next_event().await;
            assert_eq!(event["event"], name, "{caller}: {event}");
            event
        }
    }

    /// The next pushed frame.
    pub async fn next_event(&mut self) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            self.receive(deadline, "an event").await;
        }
    }

    /// Asserts that no event is waiting: sends a request, whose answer comes after the events that were pushed before it,
    /// and looks. Events that are still on their way through the relay are not seen: wait for another socket's first.
    pub async fn no_event(&mut self) {
        self.call("testVersionNotSupported", json!({})).await;
        assert!(self.events.is_empty(), "unexpected: {:?}", self.events);
    }

    /// The pushed frames that came until nothing came for this long. For what must *not* come; never for what must.
    pub async fn events_until_quiet(&mut self, quiet: Duration) -> Vec<Value> {
        loop {
            match timeout_at(Instant::now() + quiet, self.socket.next()).await {
                Err(_) => return self.events.drain(..).collect(),
                Ok(message) => {
                    if let Received::Closed(code) = self.sort(message) {
                        panic!("closed with {code:?}");
                    }
                }
            }
        }
    }

    /// Reads until the socket is closed and returns the close code; `None` when it broke without one.
    pub async fn closed(&mut self) -> Option<u16> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = timeout_at(deadline, self.socket.next()).await.expect("waited in vain for the close");
            if let Received::Closed(code) = self.sort(message) {
                return code;
            }
        }
    }

    /// The next frame, whatever it is, or the code that the socket was closed with; `None` when it broke without one. Cancel
    /// safe.
    ///
    /// # Errors
    /// The socket is closed.
    pub async fn next_frame(&mut self) -> Result<Value, Option<u16>> {
        loop {
            if let Some(frame) = self.events.pop_front().or_else(|| self.answers.pop_front()) {
                return Ok(frame);
            }
            let message = self.socket.next().await;
            if let Received::Closed(code) = self.sort(message) {
                return Err(code);
            }
        }
    }

    /// Sends a request that changes nothing and reads until it is answered.
    ///
    /// # Errors
    /// The socket is closed, with that code; `None`: it broke without one.
    pub async fn poke(&mut self) -> Result<(), Option<u16>> {
        let id = self.try_send("testVersionNotSupported", json!({}), None).await;
        let deadline = Instant::now() + PATIENCE;
        while self.answers.iter().all(|answer| answer["id"] != id) {
            let message = timeout_at(deadline, self.socket.next()).await.expect("waited in vain for an answer");
            if let Received::Closed(code) = self.sort(message) {
                return Err(code);
            }
        }
        Ok(())
    }

    /// What the newest pong said.
    pub fn last_pong(&self) -> Option<&[u8]> {
        self.pong.as_deref()
    }

    /// How many text heartbeats came. They are the test's to answer.
    pub fn heartbeats(&self) -> usize {
        self.heartbeats
    }

    /// The answers that came and were not taken yet.
    pub fn untaken_answers(&mut self) -> Vec<Value> {
        self.answers.drain(..).collect()
    }

    /// Breaks the connection off as a machine does that has forgotten it (RST).
    pub fn reset(self) {
        self.socket.get_ref().set_zero_linger().expect("a TCP socket");
    }

    /// Everything pushed that was not taken yet.
    pub fn untaken_events(&mut self) -> Vec<Value> {
        self.events.drain(..).collect()
    }

    /// Closes the socket and waits until the other side has.
    pub async fn close(mut self) {
        // It may be closed already.
        let _ = self.socket.close(None).await;
        while let Ok(Some(Ok(_))) = timeout_at(Instant::now() + PATIENCE, self.socket.next()).await {}
    }

    async fn receive(&mut self, deadline: Instant, what: &str) {
        let message = timeout_at(deadline, self.socket.next()).await;
        let message = message.unwrap_or_else(|_| panic!("waited in vain for {what}"));
        if let Received::Closed(code) = self.sort(message) {
            panic!("closed with {code:?} instead of {what}; events before: {:?}", self.events);
        }
    }

    fn sort(&mut self, message: Option<Result<Message, tungstenite::Error>>) -> Received {
        match message {
            Some(Ok(Message::Text(text))) if text.as_str() == "{}" => {
                self.heartbeats += 1;
                Received::Frame
            }
            Some(Ok(Message::Text(text))) => {
                let frame: Value = serde_json::from_str(&text).expect("every frame is JSON");
                assert!(frame["error"]["status"].is_boolean(), "every frame has an error: {frame}");
                let queue = if frame["event"].is_string() { &mut self.events } else { &mut self.answers };
                queue.push_back(frame);
                Received::Frame
            }
            Some(Ok(Message::Close(frame))) => Received::Closed(frame.map(|CloseFrame { code, .. }| u16::from(code))),
            Some(Ok(Message::Pong(said))) => {
                self.pong = Some(said);
                Received::Frame
            }
            Some(Ok(_)) => Received::Frame,
            Some(Err(_)) | None => Received::Closed(None),
        }
    }
}
