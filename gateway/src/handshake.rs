//! What an upgrade says, looked at before anybody is asked who its client is (RFC 6455, 4.2.1). In this order:
//!
//! | what | otherwise |
//! | --- | --- |
//! | GET, with `Connection: upgrade` and `Upgrade: websocket`, over HTTP/1.1 | 405 with `Allow`, 400 |
//! | `Sec-WebSocket-Version: 13`, once | 426 with the version that is spoken |
//! | `Sec-WebSocket-Key`, once: 16 octets in base64 | 400 |
//! | `heartbeat=text` in the query, or none | 400 |
//! | an `Origin` that is [allowed](AllowedOrigins), or none | 403 |
//! | [`SUBPROTOCOL`] among the subprotocols that are offered, or none offered | 400 |
//!
//! Each has the error envelope as its body, and counts in `convene_upgrades_refused_total`.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use base64::{
    Engine as _, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};
use hyper::upgrade::OnUpgrade;
use metrics::counter;
use shared::api::{Code, Error};

use crate::{http::failure, origins::AllowedOrigins, transport::websocket::Plain, wire::Upgrade};

/// The subprotocol of `/ws`, for those who have to offer one.
pub const SUBPROTOCOL: &str = "convene";

/// An offered subprotocol that begins so carries a session token: browsers can set no header, and addresses get into logs.
pub const TOKEN_PREFIX: &[u8] = b"token.";

/// The only version of the WebSocket protocol that there is.
const VERSION: &str = "13";

/// Octets of a key.
const KEY: usize = 16;

/// Takes what the client's library need not have cleared in the last character.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// An upgrade with which nothing is wrong so far.
#[derive(Debug)]
pub struct Handshake {
    /// How it is agreed to.
    pub upgrade: Upgrade,
    /// What is spoken then.
    pub protocol: &'static Plain,
    /// Its client can be told of a refusal by a close code only: a page, or one that offers the subprotocol.
    pub sees_no_status: bool,
}

/// What is wrong with an upgrade, whoever its client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHandshake {
    /// Another method than GET.
    Method,
    /// Another version, several, or none.
    Version,
    /// All else that RFC 6455 asks for, and the query.
    Malformed(&'static str),
    /// A page's that may not connect.
    Origin,
    /// Others were offered, or a token alone.
    Subprotocol,
}

impl Handshake {
    /// Looks at an upgrade, and takes what it is agreed to with out of the request. `heartbeat` is the query's.
    ///
    /// # Errors
    /// The first thing that is wrong with it, in the order of the table above.
    pub fn read(parts: &mut Parts, heartbeat: Option<&str>, allowed: &AllowedOrigins) -> Result<Self, BadHandshake> {
        use BadHandshake::{Malformed, Method as OtherMethod, Origin, Subprotocol, Version};

        let headers = &parts.headers;
        if parts.method != Method::GET {
            return Err(OtherMethod);
        }
        if !names(headers, header::CONNECTION, "upgrade") {
            return Err(Malformed("this is for WebSockets: the header Connection: Upgrade is missing"));
        }
        if !names(headers, header::UPGRADE, "websocket") {
            return Err(Malformed("this is for WebSockets: the header Upgrade: websocket is missing"));
        }
        if only(headers, header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
            return Err(Version);
        }
        let key = only(headers, header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
        if BASE64.decode(key).map_or(0, |key| key.len()) != KEY {
            return Err(Malformed("the header Sec-WebSocket-Key is not one of 16 octets in base64"));
        }
        let protocol = match heartbeat {
            None => &Plain::Pinged,
            Some("text") => &Plain::TextHeartbeat,
            Some(_) => return Err(Malformed("heartbeat: the only value is text")),
        };
        if !allowed.allow(headers) {
            return Err(Origin);
        }
        let speaks = offered(headers).any(|subprotocol| subprotocol == SUBPROTOCOL.as_bytes());
        if !speaks && offered(headers).next().is_some() {
            return Err(Subprotocol);
        }
        let sees_no_status = speaks || headers.contains_key(header::ORIGIN);
        let upgraded = parts.extensions.remove::<OnUpgrade>();
        let upgraded = upgraded.ok_or(Malformed("a WebSocket needs HTTP/1.1"))?;
        let upgrade = Upgrade::new(key, speaks.then_some(SUBPROTOCOL), upgraded);
        Ok(Self { upgrade, protocol, sees_no_status })
    }
}

/// The subprotocols that a client offers, in its order.
pub fn offered(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    elements(headers, header::SEC_WEBSOCKET_PROTOCOL)
}

/// What a header lists, however it is spaced, and in however many lines.
fn elements(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(name).into_iter();
    values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// Whether a header lists this, in large or small letters.
fn names(headers: &HeaderMap, name: HeaderName, element: &str) -> bool {
    elements(headers, name).any(|listed| listed.eq_ignore_ascii_case(element.as_bytes()))
}

/// The value of a header that is there once.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

impl IntoResponse for BadHandshake {
    fn into_response(self) -> Response {
        let (status, code, message, why) = match self {
            Self::Method => {
                (StatusCode::METHOD_NOT_ALLOWED, Code::BadRequest, "only GET opens a WebSocket", "no handshake")
            }
            Self::Version => (
                StatusCode::UPGRADE_REQUIRED,
                Code::BadRequest,
                "the only version of WebSocket that is spoken is 13",
                "no handshake",
            ),
            Self::Malformed(message) => (StatusCode::BAD_REQUEST, Code::BadRequest, message, "no handshake"),
            Self::Origin => {
                (StatusCode::FORBIDDEN, Code::Forbidden, "pages of this origin may not connect", "origin not allowed")
            }
            Self::Subprotocol => (
                StatusCode::BAD_REQUEST,
                Code::BadRequest,
                "of the subprotocols only convene is spoken, and it is not offered",
                "subprotocol not spoken",
            ),
        };
        counter!("convene_upgrades_refused_total", "why" => why).increment(1);
        let mut response = failure(status, &Error::new(code, message));
        let hint = match self {
            Self::Method => Some((header::ALLOW, "GET")),
            Self::Version => Some((header::SEC_WEBSOCKET_VERSION, VERSION)),
            _ => None,
        };
        if let Some((name, value)) = hint {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
