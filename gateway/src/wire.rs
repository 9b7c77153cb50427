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
    task::{Context, Poll, ready},
};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::{Buf as _, Bytes, buf::Chain};
use futures::StreamExt as _;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{
        AsyncBufRead as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, ReadBuf, ReadHalf,
        WriteHalf,
    },
    time::Instant,
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

/// What is still read of a client that is being closed goes through a buffer of so many bytes.
const DRAIN_BUFFER: usize = 4096;

/// A connection whose client wants a WebSocket, and how that is agreed to.
#[derive(Debug)]
pub struct Upgrade {
    accept: HeaderValue,
    subprotocol: Option<HeaderValue>,
    upgraded: OnUpgrade,
}

impl Upgrade {
    /// For a client that has sent this `Sec-WebSocket-Key` and offered that subprotocol.
    pub fn new(key: &[u8], subprotocol: Option<&'static str>, upgraded: OnUpgrade) -> Self {
        let accept = HeaderValue::from_str(&derive_accept_key(key)).expect("base64 is a header's value");
        Self { accept, subprotocol: subprotocol.map(HeaderValue::from_static), upgraded }
    }

    /// The answer that makes a WebSocket of the connection, which `serve` is then given. A message of more than
    /// `max_message_bytes`, in however many frames, is an error to its reader.
    pub fn accept<F: Future<Output = ()> + Send + 'static>(
        self,
        max_message_bytes: usize,
        serve: impl FnOnce(Reader, Writer) -> F + Send + 'static,
    ) -> Response {
        let Self { accept, subprotocol, upgraded } = self;
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
        let mut response = (StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response();
        if let Some(subprotocol) = subprotocol {
            response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
        }
        response
    }
}

async fn open(connection: Upgraded, max_message_bytes: usize) -> (Reader, Writer) {
    let (read_half, write_half) = tokio::io::split(TokioIo::new(connection));
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_frame_size(Some(max_message_bytes))
        .max_message_size(Some(max_message_bytes));
    let stream = WebSocketStream::from_raw_socket(Mute::new(read_half), Role::Server, Some(config)).await;
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
            // tungstenite has made its buffer ready to read on. While somebody holds the frame that filled it, it takes a new
            // one of the first size; else it would keep the old one, as large as the largest frame, as long as the socket lives.
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

    /// When the client's last byte came. A large frame may be under way for long, and no pong passes it.
    pub fn heard(&self) -> Instant {
        self.stream.get_ref().heard
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
        let mut connection = self.stream.into_inner().connection;
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
        while let Some(unwritten) = &mut self.unwritten
            && unwritten.has_remaining()
        {
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

/// A connection on which tungstenite says nothing: its answers to pings and closes would fall between our own bytes. And it
/// hears of one frame at a time, so that nothing lies behind a large frame in its buffer that would keep all of it.
#[derive(Debug)]
struct Mute {
    connection: BufReader<ReadHalf<TokioIo<Upgraded>>>,
    frames: Frames,
    heard: Instant,
}

impl Mute {
    fn new(connection: ReadHalf<TokioIo<Upgraded>>) -> Self {
        let connection = BufReader::with_capacity(READ_BUFFER, connection);
        Self { connection, frames: Frames::default(), heard: Instant::now() }
    }
}

impl AsyncRead for Mute {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { connection, frames, heard } = self.get_mut();
        let came = ready!(Pin::new(&mut *connection).poll_fill_buf(context))?;
        let part = &came[..came.len().min(frames.most()).min(buffer.remaining())];
        if !part.is_empty() {
            *heard = Instant::now();
        }
        buffer.put_slice(part);
        frames.pass(part);
        let passed = part.len();
        Pin::new(connection).consume(passed);
        Poll::Ready(Ok(()))
    }
}

/// Where frames begin and end (RFC 6455, 5.2). Judges nothing.
#[derive(Debug, Default)]
struct Frames {
    header: [u8; 14],
    /// So much of the header has passed.
    passed: usize,
    /// So much of the payload has not.
    payload: usize,
}

impl Frames {
    /// So many bytes of the same part, header or payload, are still to come; never 0.
    fn most(&self) -> usize {
        if self.payload > 0 { self.payload } else { self.header_bytes() - self.passed }
    }

    /// Notes bytes, at most [`Frames::most`].
    fn pass(&mut self, bytes: &[u8]) {
        if self.payload > 0 {
            self.payload -= bytes.len();
            return;
        }
        self.header[self.passed..self.passed + bytes.len()].copy_from_slice(bytes);
        self.passed += bytes.len();
        if self.passed == self.header_bytes() {
            let length = match self.header[1] & 0x7f {
                126 => u64::from(u16::from_be_bytes([self.header[2], self.header[3]])),
                127 => self.header[2..10].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
                length => u64::from(length),
            };
            self.payload = usize::try_from(length).unwrap_or(usize::MAX);
            self.passed = 0;
        }
    }

    /// How long the header is, as far as that is known.
    fn header_bytes(&self) -> usize {
        if self.passed < 2 {
            return 2;
        }
        let length = match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
        2 + length + mask
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

    /// Passes everything, and returns the parts that it came in.
    fn parts(mut bytes: &[u8]) -> Vec<usize> {
        let mut frames = Frames::default();
        let mut parts = Vec::new();
        while !bytes.is_empty() {
            let (part, rest) = bytes.split_at(frames.most().min(bytes.len()));
            frames.pass(part);
            parts.push(part.len());
            bytes = rest;
        }
        parts
    }

    #[test]
    fn frames_of_every_kind_of_length_end_where_they_end() {
        let close = [0x88, 0x80, 1, 2, 3, 4];
        let short = [&[0x81, 0x83, 1, 2, 3, 4][..], b"abc"].concat();
        let medium = [&[0x81, 0xfe, 1, 0, 1, 2, 3, 4][..], &[b'x'; 256]].concat();
        let long = [&[0x81, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0][..], &[b'x'; 65_536]].concat();
        let all = [&close[..], &short, &medium, &long, &close].concat();
        assert_eq!(parts(&all), [2, 4, 2, 4, 3, 2, 6, 256, 2, 8, 65_536, 2, 4]);
        let endless = [&[0x81, 0xff][..], &[0xff; 8], &[0; 4], b"abc"].concat();
        assert_eq!(parts(&endless), [2, 12, 3]);
    }

    #[test]
    fn a_message_is_written_from_where_it_lies() {
        let payload = Bytes::from(vec![b'x'; 70_000]);
        let text = tokio_tungstenite::tungstenite::Utf8Bytes::try_from(payload.clone()).expect("UTF-8");
        let frame = frame(Message::Text(text));
        assert_eq!(frame.last_ref().as_ptr(), payload.as_ptr());
        assert_eq!(frame.first_ref()[..], [0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
    }
}
