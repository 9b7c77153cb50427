//! A connection to a gateway, as any client of the wire contract makes it.

use std::{error::Error, fmt, io, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use futures::{SinkExt as _, StreamExt as _};
use reqwest::Url;
use serde::Deserialize;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{
        self, Message,
        client::IntoClientRequest as _,
        http::{HeaderValue, header::AUTHORIZATION, header::RETRY_AFTER},
    },
};

use crate::{
    settings::Target,
    token::{self, Signer},
};

/// How long a connection may take to come up.
const CONNECT_PATIENCE: Duration = Duration::from_secs(15);

/// A gateway pings every 25 seconds; one that says nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(75);

/// Tokens that are signed for one run are good for so long.
const TOKEN_TTL: Duration = Duration::from_secs(24 * 3600);

/// Who connects where.
pub struct Client {
    url: Url,
    identity: Identity,
}

enum Identity {
    Token(String),
    /// Signs a token for each connection, all of one session.
    User {
        signer: Signer,
        user: String,
        network: String,
        sid: String,
    },
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

/// Why a connection did not come up.
#[derive(Debug)]
pub enum Refusal {
    /// The gateway has answered with this status and message.
    Answered {
        /// HTTP status.
        status: u16,
        /// From the error envelope, else empty.
        message: String,
        /// How long to wait at least before the next attempt.
        retry_after: Option<Duration>,
    },
    /// Nobody has answered.
    Away(String),
}

impl Client {
    /// As the settings say.
    ///
    /// # Errors
    /// The address is none, or there is neither a token nor a secret to sign one with.
    pub fn new(target: &Target) -> Result<Self> {
        let url = Url::parse(&target.url).with_context(|| format!("--url (CONVENE_URL) {:?}", target.url))?;
        if !matches!(url.scheme(), "ws" | "wss") {
            bail!("--url (CONVENE_URL) {:?} does not begin with ws:// or wss://", target.url);
        }
        let identity = match (&target.caller.user, &target.caller.token) {
            (Some(user), _) => Identity::User {
                signer: Signer::new(&target.signing)?,
                user: user.clone(),
                network: target.network.clone(),
                sid: token::new_sid(user),
            },
            (None, Some(token)) => Identity::Token(token.clone()),
            (None, None) => bail!("neither --user nor --token (CONVENE_TOKEN) is set"),
        };
        Ok(Self { url, identity })
    }

    /// Where it connects.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Says that there is no connection, and what may be wrong.
    pub fn refused(&self, refusal: &Refusal) -> anyhow::Error {
        let url = &self.url;
        let hint = match (refusal, &self.identity) {
            (Refusal::Away(_), _) => return anyhow!("{url} can not be reached: {refusal}"),
            (Refusal::Answered { status: 401, .. }, Identity::User { user, network, .. }) => {
                format!(" (is {user} a user of the network {network}, and the secret that of this gateway?)")
            }
            (Refusal::Answered { status: 401, .. }, Identity::Token(_)) => {
                " (has the token expired, or is it for another gateway?)".to_owned()
            }
            (Refusal::Answered { status: 404, .. }, _) => " (a gateway's address ends with /ws)".to_owned(),
            _ => String::new(),
        };
        anyhow!("{url} {refusal}{hint}")
    }

    /// Whether it can come back with a new token when the old one has expired.
    pub fn can_renew_its_token(&self) -> bool {
        matches!(self.identity, Identity::User { .. })
    }

    /// Opens a connection, continuing after the event of that id.
    ///
    /// # Errors
    /// [`Refusal`]
    pub async fn connect(&self, last_event_id: Option<&str>) -> Result<Connection, Refusal> {
        let away = |error: &dyn fmt::Display| Refusal::Away(error.to_string());
        let mut url = self.url.clone();
        if let Some(id) = last_event_id {
            url.query_pairs_mut().append_pair("lastEventId", id);
        }
        let token = match &self.identity {
            Identity::Token(token) => token.clone(),
            Identity::User { signer, user, network, sid } => {
                signer.sign(user, network, sid, TOKEN_TTL).map_err(|error| away(&error))?
            }
        };
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| Refusal::Away("the token holds a character that no token has".to_owned()))?;
        bearer.set_sensitive(true);
        let mut request = url.as_str().into_client_request().map_err(|error| away(&error))?;
        request.headers_mut().insert(AUTHORIZATION, bearer);
        match timeout(CONNECT_PATIENCE, tokio_tungstenite::connect_async(request)).await {
            Err(_) => Err(Refusal::Away("no answer in time".to_owned())),
            Ok(Ok((socket, _))) => Ok(Connection { socket }),
            Ok(Err(tungstenite::Error::Http(response))) => Err(Refusal::Answered {
                status: response.status().as_u16(),
                message: envelope_message(response.body().as_deref().unwrap_or_default()),
                retry_after: response
                    .headers()
                    .get(RETRY_AFTER)
                    .and_then(|seconds| seconds.to_str().ok()?.parse().ok())
                    .map(Duration::from_secs),
            }),
            Ok(Err(error)) => Err(Refusal::Away(cause(&error))),
        }
    }
}

/// What lies at the bottom of it; and what to do when nobody listens.
pub fn cause(error: &(dyn Error + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    let kind = match root.downcast_ref::<io::Error>() {
        Some(error) => Some(error.kind()),
        None => match root.downcast_ref() {
            Some(tungstenite::Error::Io(error)) => Some(error.kind()),
            _ => None,
        },
    };
    match kind {
        Some(io::ErrorKind::ConnectionRefused) => "nobody listens there; is convene running?".to_owned(),
        _ => root.to_string(),
    }
}

/// The message of an error envelope; empty where the body is none.
pub fn envelope_message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Envelope {
        error: EnvelopeError,
    }
    #[derive(Deserialize)]
    struct EnvelopeError {
        message: String,
    }
    serde_json::from_slice::<Envelope>(body).map(|envelope| envelope.error.message).unwrap_or_default()
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered { status, message, .. } if message.is_empty() => write!(f, "answered {status}"),
            Self::Answered { status, message, .. } => write!(f, "answered {status}: {message}"),
            Self::Away(reason) => f.write_str(reason),
        }
    }
}

/// An open connection.
pub struct Connection {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

/// Why a connection has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The gateway's close code; `None` when the connection broke.
    pub code: Option<u16>,
    /// For a person.
    pub reason: String,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "closed with {code} ({})", self.reason),
            None => write!(f, "broken ({})", self.reason),
        }
    }
}

impl Connection {
    /// Sends a frame.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn send(&mut self, frame: String) -> Result<(), Ended> {
        self.socket.send(Message::text(frame)).await.map_err(|error| Ended { code: None, reason: error.to_string() })
    }

    /// The next frame.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn next(&mut self) -> Result<String, Ended> {
        loop {
            let message = match timeout(SILENCE, self.socket.next()).await {
                Err(_) => return Err(Ended { code: None, reason: "nothing was heard from the gateway".to_owned() }),
                Ok(None) => return Err(Ended { code: None, reason: "no close frame".to_owned() }),
                Ok(Some(Err(error))) => return Err(Ended { code: None, reason: error.to_string() }),
                Ok(Some(Ok(message))) => message,
            };
            match message {
                Message::Text(text) => return Ok(text.as_str().to_owned()),
                Message::Close(Some(frame)) => {
                    return Err(Ended { code: Some(frame.code.into()), reason: frame.reason.as_str().to_owned() });
                }
                Message::Close(None) => return Err(Ended { code: None, reason: "closed without a code".to_owned() }),
                // Pings are answered by the library while it reads.
                _ => {}
            }
        }
    }

    /// Says goodbye, so that the gateway need not find out.
    pub async fn close(mut self) {
        // Nothing depends on it: a gateway notices a socket that is gone.
        let _ = timeout(Duration::from_secs(1), self.socket.close(None)).await;
    }
}

/// What a client must know of a frame to tell it from others.
#[derive(Debug, Deserialize)]
pub struct Frame {
    /// Present in pushed frames only.
    pub event: Option<String>,
    /// The request's own.
    pub id: Option<serde_json::Value>,
    /// The place of a pushed event.
    #[serde(rename = "eventId")]
    pub event_id: Option<String>,
    /// In `user_info`: the place at which the socket begins to listen.
    #[serde(rename = "lastEventId")]
    pub last_event_id: Option<String>,
    /// Present in every frame.
    pub error: FrameError,
}

/// The `error` of a frame.
#[derive(Debug, Deserialize)]
pub struct FrameError {
    /// Whether there is one.
    pub status: bool,
    /// Its code.
    pub code: u16,
    /// For a person.
    pub message: String,
}

impl Frame {
    /// Reads a frame.
    ///
    /// # Errors
    /// It is none of the wire contract.
    pub fn read(text: &str) -> Result<Self> {
        serde_json::from_str(text).context("the other side sent something that is no frame: is it a gateway?")
    }
}
