//! One client, from the accepted upgrade to the close.
//!
//! Three futures of one task: a reader that hands requests on and watches the clock, a writer that empties the outbox, and
//! catching up with the network's events, which is over after a moment. Whoever wants the socket closed says so to its
//! [`Outbox`](crate::outbox::Outbox); only this module closes.

use std::{convert::Infallible, io, pin::pin, sync::Arc, time::Duration};

use futures::future::{self, Either};
use metrics::counter;
use shared::api::{Close, Code, Error};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes, protocol::CloseFrame};

use crate::{
    Gateway,
    admission::{Admitted, Welcome},
    dispatch::{answer_error, dispatch, version_not_supported},
    hub::Socket,
    limits::{Abusive, Limits},
    outbox::{Ending, Frame, Next},
    stream::{Start, catch_up},
    transport::{Incoming, Protocol, event_id},
    wire,
};

/// After the close frame the client's last words are read and dropped for so long: closing before they are read would
/// reset the connection, and the client would never see the code.
const CLOSING: Duration = Duration::from_secs(2);

/// A client that reads too slowly has what is already on its way before it: it is given so long to get to the close frame.
/// Its queue is gone by then, so waiting costs next to nothing.
const CATCHING_UP: Duration = Duration::from_secs(20);

/// What is queued when the last request of an idle ending is answered must be written within this.
const FLUSHING: Duration = Duration::from_secs(5);

/// Serves a client until the socket is closed.
pub async fn run(reader: wire::Reader, writer: wire::Writer, gateway: Arc<Gateway>, mut admitted: Admitted) {
    let socket = admitted.socket().clone();
    let mut writer = Writer { wire: writer, socket: socket.clone() };
    let mut reader = Reader::new(reader, gateway.clone(), &admitted);
    let (welcome, last_event_id) = (admitted.welcome.take(), admitted.last_event_id.take());
    let ended = tokio::select! {
        ended = reader.run() => ended,
        ended = writer.run() => ended,
        // Boxed: reading pages takes room that an idle socket must not keep.
        never = Box::pin(listen(gateway, socket.clone(), welcome, last_event_id)) => match never {},
    };
    match ended {
        Ended::Gone => counter!("convene_sockets_closed_total", "code" => "gone").increment(1),
        Ended::Left(close) => {
            counter!("convene_sockets_closed_total", "code" => "left").increment(1);
            // Its close frame is answered: without that the client would take the connection for broken.
            let _ = timeout(CLOSING, writer.wire.send(Message::Close(close))).await;
        }
        Ended::Closing(close) => {
            counter!("convene_sockets_closed_total", "code" => close.code().to_string()).increment(1);
            Box::pin(hang_up(writer.wire, reader.wire, socket.protocol, close)).await;
        }
    }
    // Until here the pod does not stop, and the session is this socket's.
    drop(admitted);
}

/// Sends `user_info` and everything after it. Never returns: the socket is on its network's stream until this is dropped.
async fn listen(
    gateway: Arc<Gateway>,
    socket: Arc<Socket>,
    welcome: Option<Welcome>,
    last_event_id: Option<String>,
) -> Infallible {
    let Some(Welcome { user_info, partition, head }) = welcome else { return future::pending().await };
    let start = Start::new(last_event_id.as_deref(), &socket.epoch, head);
    let place = event_id(&socket.epoch, start.cursor);
    socket.outbox.push([socket.protocol.user_info(&user_info, &place, gateway.config.ping_interval)]);
    drop(user_info);
    let member = gateway.streams.join(&socket, partition, head);
    Box::pin(catch_up(&member, start, head)).await;
    future::pending().await
}

/// Closing a socket takes so long at most, once its requests are answered.
pub const CLOSE_PATIENCE: Duration = FLUSHING.saturating_add(CLOSING.saturating_mul(2));

/// How the talk was over.
enum Ended {
    /// The connection broke.
    Gone,
    /// The client closed it, with this.
    Left(Option<CloseFrame>),
    /// The socket is to be closed with this code.
    Closing(Close),
}

struct Reader {
    wire: wire::Reader,
    gateway: Arc<Gateway>,
    socket: Arc<Socket>,
    limits: Limits,
    is_supported: bool,
    ping_at: Instant,
    expires_at: Instant,
    retires_at: Option<Instant>,
}

impl Reader {
    fn new(wire: wire::Reader, gateway: Arc<Gateway>, admitted: &Admitted) -> Self {
        let config = &gateway.config;
        let now = Instant::now();
        Self {
            wire,
            socket: admitted.socket().clone(),
            limits: Limits::new(config.rate_limit, config.rate_burst),
            is_supported: admitted.is_supported,
            ping_at: now + config.ping_interval,
            expires_at: admitted.expires_at,
            retires_at: config.max_connection_age.map(|age| now + age.mul_f64(rand::random_range(0.8..=1.2))),
            gateway,
        }
    }

    async fn run(&mut self) -> Ended {
        loop {
            let wake_at = self.retires_at.map_or(self.ping_at, |at| at.min(self.ping_at)).min(self.expires_at);
            tokio::select! {
                message = self.wire.next() => match message {
                    Some(Ok(Message::Close(close))) => return Ended::Left(close.filter(|close| close.code.is_allowed())),
                    Some(Ok(message)) => {
                        if let Err(close) = self.hear(message) {
                            self.socket.end(close);
                        }
                    }
                    Some(Err(error)) => match close_for(&error) {
                        Some(close) => return Ended::Closing(close),
                        None => return Ended::Gone,
                    },
                    None => return Ended::Gone,
                },
                () = sleep_until(wake_at) => self.watch_the_clock().await,
            }
        }
    }

    /// Handles a message. An error closes the socket.
    fn hear(&mut self, message: Message) -> Result<(), Close> {
        if let Message::Ping(said) = message {
            self.socket.outbox.pong(said);
            return Ok(());
        }
        if self.socket.outbox.ending().is_some() {
            // Read no more requests.
            return Ok(());
        }
        match message {
            Message::Text(text) => self.hear_text(text),
            Message::Binary(_) => Err(Close::BinaryFrame),
            _ => Ok(()),
        }
    }

    fn hear_text(&mut self, text: Utf8Bytes) -> Result<(), Close> {
        let config = &self.gateway.config;
        let (request, tag) = match self.socket.protocol.read(text) {
            Incoming::Request(request) => {
                self.limits.well_formed();
                let tag = request.tag.clone();
                (Ok(request), tag)
            }
            // Costs what reading it costs: nothing is kept of it and nothing answered, as with a pong.
            Incoming::Heartbeat => return Ok(()),
            Incoming::Malformed(tag, error) => {
                self.limits.malformed().map_err(|Abusive| Close::Abusive)?;
                (Err(error), tag)
            }
        };
        let in_flight = if self.limits.allows_request() {
            self.socket.begin_request(config.max_in_flight.get()).ok_or("in flight")
        } else {
            Err("rate")
        };
        let in_flight = match in_flight {
            Ok(in_flight) => in_flight,
            Err(limit) => {
                counter!("convene_requests_refused_total", "limit" => limit).increment(1);
                answer_error(&self.socket, &tag, &Error::new(Code::TooFrequent, "too frequent requests"));
                return self.limits.refused(Instant::now()).map_err(|Abusive| Close::Abusive);
            }
        };
        match request {
            Err(error) => answer_error(&self.socket, &tag, &error),
            Ok(_) if !self.is_supported => answer_error(&self.socket, &tag, &version_not_supported()),
            Ok(request) => {
                tokio::spawn(dispatch(self.gateway.workers.clone(), self.socket.clone(), request, in_flight));
            }
        }
        Ok(())
    }

    async fn watch_the_clock(&mut self) {
        let now = Instant::now();
        let ping_interval = self.gateway.config.ping_interval;
        if now >= self.expires_at {
            self.socket.end(Close::Expired);
            // Said once; the writer ends the talk.
            return future::pending().await;
        }
        if self.retires_at.is_some_and(|at| now >= at) {
            self.retires_at = None;
            self.socket.outbox.end(Ending::WhenIdle(Close::GoingAway));
        }
        if now >= self.ping_at {
            self.ping_at = now + ping_interval;
            if now.duration_since(self.wire.heard()) >= ping_interval * 2 {
                self.socket.end(Close::Silent);
            } else {
                self.socket.outbox.ping();
            }
        }
    }
}

/// The code to close with after a message that could not be read; `None` when the connection is gone.
fn close_for(error: &tungstenite::Error) -> Option<Close> {
    match error {
        // The connection ended without a close frame: there is nobody to be told.
        tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => None,
        tungstenite::Error::Capacity(_) => Some(Close::FrameTooLarge),
        tungstenite::Error::Utf8(_) => Some(Close::InvalidText),
        tungstenite::Error::Protocol(_) => Some(Close::ProtocolError),
        _ => None,
    }
}

struct Writer {
    wire: wire::Writer,
    socket: Arc<Socket>,
}

impl Writer {
    async fn run(&mut self) -> Ended {
        loop {
            let written = match self.socket.outbox.take() {
                Next::Frame(frame) => self.write_frame(frame).await,
                Next::Ping => self.write(self.socket.protocol.ping()).await,
                Next::Pong(said) => self.write(Message::Pong(said)).await,
                Next::Empty => {
                    self.socket.outbox.changed().await;
                    Ok(())
                }
                Next::End(Ending::Now(close)) => return Ended::Closing(close),
                Next::End(Ending::WhenIdle(close)) => {
                    let socket = self.socket.clone();
                    let too_late = async {
                        // Each is answered, if only with a 504.
                        socket.all_answered().await;
                        sleep(FLUSHING).await;
                    };
                    let finished = tokio::select! {
                        finished = self.finish() => finished,
                        () = too_late => Ok(()),
                    };
                    return if finished.is_err() { Ended::Gone } else { Ended::Closing(close) };
                }
            };
            if written.is_err() {
                return Ended::Gone;
            }
        }
    }

    /// Writes one message, giving up when the socket is to end at once.
    async fn write(&mut self, message: Message) -> io::Result<()> {
        tokio::select! {
            written = self.wire.send(message) => written,
            () = self.socket.outbox.ended_now() => Ok(()),
        }
    }

    /// As [`Writer::write`]; the frame is let go of when it was written.
    async fn write_frame(&mut self, frame: Frame) -> io::Result<()> {
        self.write(Message::Text(frame.text.clone())).await
    }

    /// Waits for the requests in flight and writes what is queued.
    async fn finish(&mut self) -> io::Result<()> {
        let socket = self.socket.clone();
        let mut answered = pin!(socket.all_answered());
        let mut is_answered = false;
        loop {
            match socket.outbox.take() {
                Next::Frame(frame) => self.write_frame(frame).await?,
                // The last answer may take longer than two intervals.
                Next::Ping => self.write(self.socket.protocol.ping()).await?,
                Next::Pong(said) => self.write(Message::Pong(said)).await?,
                Next::End(Ending::Now(_)) => return Ok(()),
                Next::Empty | Next::End(Ending::WhenIdle(_)) if is_answered => return Ok(()),
                Next::Empty | Next::End(Ending::WhenIdle(_)) => tokio::select! {
                    () = socket.outbox.changed() => (),
                    () = &mut answered => is_answered = true,
                },
            }
        }
    }
}

/// Says why, closes, and waits a moment for the client to have heard it: at most 4 s, or 22 s where it reads too slowly.
pub async fn hang_up(mut writer: wire::Writer, reader: wire::Reader, protocol: &dyn Protocol, close: Close) {
    let farewell = async {
        if close.is_told() {
            writer.send(Message::Text(protocol.invalid_connection(close))).await?;
        }
        let frame = CloseFrame { code: close.code().into(), reason: close.reason().into() };
        writer.send(Message::Close(Some(frame))).await
    };
    // Reading goes on meanwhile: a client that writes before it reads would never come to hear it.
    let silence = reader.run_dry();
    let patience = if close == Close::SlowConsumer { CATCHING_UP } else { CLOSING };
    match future::select(pin!(timeout(patience, farewell)), pin!(silence)).await {
        Either::Left((_, silence)) => drop(timeout(CLOSING, silence).await),
        // It sends nothing more, and is told all the same.
        Either::Right(((), said)) => drop(said.await),
    }
}
