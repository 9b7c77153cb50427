//! One WebSocket on a connection that HTTP has let go of.
//!
//! Reading is tungstenite's: masks, fragments, UTF-8, limits. Writing is ours. tungstenite copies each message into a buffer
//! of the socket's own, which keeps the size of the largest: an event of 512 KiB that was told to a thousand sockets would
//! stay there a thousand times. Here a message is written from where all its sockets share it, and an idle socket keeps
//! nothing of what it has sent or received.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::Body,
    extract::{
        FromRequestParts,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use bytes::{Buf as _, Bytes, buf::Chain};
use futures::StreamExt as _;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, ReadBuf, ReadHalf, WriteHalf,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message, Result as Received,
        handshake::derive_accept_key,
        protocol::{
            Role, WebSocketConfig,
            frame::{
                Frame,
                coding::{Data, OpCode},
            },
        },
    },
};

/// A socket reads through a buffer of so many bytes. What tungstenite takes by default, 128 KiB, would be most of a socket's
/// memory.
const READ_BUFFER: usize = 1024;

/// tungstenite takes so many bytes at once from that buffer, which is about a frame's header. It makes room for a large frame
/// behind what it has taken of it; a rest of that room that a header fits into would keep all of it.
const STEP: usize = 16;

/// What is still read of a client that is being closed goes through a buffer of so many bytes.
const DRAIN_BUFFER: usize = 4096;

/// A request to become a WebSocket.
#[derive(Debug)]
pub struct Upgrade {
    accept: HeaderValue,
    upgraded: OnUpgrade,
}

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = WebSocketUpgradeRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let upgraded = parts.extensions.get::<OnUpgrade>().cloned();
        // axum looks at the headers, and takes what it finds nothing wrong with.
        let checked = WebSocketUpgrade::from_request_parts(parts, state).await?;
        drop(checked);
        let key = parts.headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
        let accept = HeaderValue::from_str(&derive_accept_key(key)).expect("base64 is a header's value");
        Ok(Self { accept, upgraded: upgraded.expect("axum has just found it") })
    }
}

impl Upgrade {
    /// The answer that makes a WebSocket of the connection, which `serve` is then given. A message of more than
    /// `max_message_bytes`, in however many frames, is an error to its reader.
    pub fn accept<F: Future<Output = ()> + Send + 'static>(
        self,
        max_message_bytes: usize,
        serve: impl FnOnce(Reader, Writer) -> F + Send + 'static,
    ) -> Response {
        let Self { accept, upgraded } = self;
        tokio::spawn(async move {
            match upgraded.await {
                Ok(connection) => {
                    let (reader, writer) = open(connection, max_message_bytes).await;
                    serve(reader, writer).await;
                }
                Err(error) => tracing::debug!(%error, "a client was gone before its upgrade"),
            }
        });
        let (upgrade, web_socket) = (HeaderValue::from_static("upgrade"), HeaderValue::from_static("websocket"));
        let headers =
            [(header::CONNECTION, upgrade), (header::UPGRADE, web_socket), (header::SEC_WEBSOCKET_ACCEPT, accept)];
        (StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response()
    }
}

async fn open(connection: Upgraded, max_message_bytes: usize) -> (Reader, Writer) {
    let (read_half, write_half) = tokio::io::split(TokioIo::new(connection));
    let config = WebSocketConfig::default()
        .read_buffer_size(STEP)
        .write_buffer_size(0)
        .max_frame_size(Some(max_message_bytes))
        .max_message_size(Some(max_message_bytes));
    let stream = WebSocketStream::from_raw_socket(
        Mute(BufReader::with_capacity(READ_BUFFER, read_half)),
        Role::Server,
        Some(config),
    )
    .await;
    (Reader { stream, last: None, has_failed: false }, Writer { connection: write_half, unwritten: None })
}

/// What the client sends.
#[derive(Debug)]
pub struct Reader {
    stream: WebSocketStream<Mute>,
    /// The message that was read before, until reading goes on.
    last: Option<Bytes>,
    has_failed: bool,
}

impl Reader {
    /// The next message; `None` when there will be none. Pings are the caller's to answer, and so is a close. Cancel safe.
    pub async fn next(&mut self) -> Option<Received<Message>> {
        let message = poll_fn(|context| {
            let polled = self.stream.poll_next_unpin(context);
            // tungstenite has made its buffer ready to read on. While somebody holds what lay in it, it takes a new one of
            // the first size; else it would keep the old one, as large as the largest frame, for as long as the socket lives.
            self.last = None;
            polled
        })
        .await;
        match &message {
            Some(Ok(Message::Text(text))) if text.len() > READ_BUFFER => self.last = Some(text.clone().into()),
            Some(Ok(Message::Binary(bytes))) if bytes.len() > READ_BUFFER => self.last = Some(bytes.clone()),
            Some(Err(_)) => self.has_failed = true,
            _ => {}
        }
        message
    }

    /// Reads and drops whatever comes, until the client has closed: a connection that is dropped with something unread is
    /// reset, and then the client never sees what was last written to it.
    pub async fn run_dry(mut self) {
        while !self.has_failed {
            if self.next().await.is_none() {
                return;
            }
        }
        // What comes now are no frames.
        let mut connection = self.stream.into_inner().0;
        let mut buffer = vec![0; DRAIN_BUFFER];
        while let Ok(1..) = connection.read(&mut buffer).await {}
    }
}

/// What the client is sent.
#[derive(Debug)]
pub struct Writer {
    connection: WriteHalf<TokioIo<Upgraded>>,
    /// The message that is being written: header and payload.
    unwritten: Option<Chain<Bytes, Bytes>>,
}

impl Writer {
    /// Writes a message. When it is cancelled the message may be lost, but what was begun is finished by the next.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn send(&mut self, message: Message) -> io::Result<()> {
        self.finish().await?;
        self.unwritten = Some(frame(message));
        self.finish().await
    }

    async fn finish(&mut self) -> io::Result<()> {
        while let Some(unwritten) = self.unwritten.as_mut().filter(|unwritten| unwritten.has_remaining()) {
            if self.connection.write_buf(unwritten).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        self.unwritten = None;
        Ok(())
    }
}

fn frame(message: Message) -> Chain<Bytes, Bytes> {
    let frame = match message {
        Message::Text(text) => Frame::message(text, OpCode::Data(Data::Text), true),
        Message::Binary(bytes) => Frame::message(bytes, OpCode::Data(Data::Binary), true),
        Message::Ping(bytes) => Frame::ping(bytes),
        Message::Pong(bytes) => Frame::pong(bytes),
        Message::Close(close) => Frame::close(close),
        Message::Frame(frame) => frame,
    };
    let length = frame.payload().len() as u64;
    let mut header = Vec::with_capacity(frame.header().len(length));
    frame.header().format(length, &mut header).expect("memory takes everything");
    Bytes::from(header).chain(frame.into_payload())
}

/// A connection on which tungstenite says nothing: its answers to pings and closes would fall between our own bytes.
#[derive(Debug)]
struct Mute(BufReader<ReadHalf<TokioIo<Upgraded>>>);

impl AsyncRead for Mute {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Mute {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_written_from_where_it_lies() {
        let payload = Bytes::from(vec![b'x'; 70_000]);
        let text = tokio_tungstenite::tungstenite::Utf8Bytes::try_from(payload.clone()).expect("UTF-8");
        let frame = frame(Message::Text(text));
        assert_eq!(frame.last_ref().as_ptr(), payload.as_ptr());
        assert_eq!(frame.first_ref()[..], [0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
    }
}
