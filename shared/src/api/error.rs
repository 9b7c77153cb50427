//! The error codes in answers and the close codes of sockets.

use std::{borrow::Cow, fmt};

use serde::Serialize;

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $number:literal),+ $(,)?) => {
        /// The code in an answer's `error`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $code = $number),+ }

        impl Code {
            /// Every code, in order.
            pub const ALL: &[Self] = &[$(Self::$code),+];

            /// The code of that number, if there is one.
            pub fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$code),)+ _ => None }
            }
        }
    };
}

codes! {
    /// The request is malformed; the message names the field and what is wrong with it.
    BadRequest = 400,
    /// No valid session.
    Unauthorized = 401,
    /// The caller sees the object but may not do this to it.
    Forbidden = 403,
    /// No such endpoint or object, or the caller may not know of it.
    NotFound = 404,
    /// The object's state forbids it: already over, slot taken, limit reached.
    Conflict = 409,
    /// The request or the answer is too large.
    TooLarge = 413,
    /// The client's version is not supported.
    VersionNotSupported = 426,
    /// Our fault; the message carries an id to search the logs for, and nothing else.
    Internal = 500,
    /// Nobody can serve this now; safe to retry with the same `event.id`.
    Unavailable = 503,
    /// Not answered within the deadline; safe to retry with the same `event.id`.
    DeadlineExceeded = 504,
    /// Too frequent requests.
    TooFrequent = 705,
    /// Room not found.
    RoomNotFound = 802,
    /// No permission for this room.
    RoomForbidden = 803,
}

impl Code {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        self as u16
    }
}

/// A failure as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What kind of failure it is.
    pub code: Code,
    /// For a person: which field or object, and what is wrong with it. Never holds a token or another's data.
    pub message: Cow<'static, str>,
}

impl Error {
    /// A failure with this code and message.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }

    /// The `error` object of a frame.
    pub fn to_json(&self) -> String {
        ErrorObject { status: true, code: self.code.number(), message: &self.message }.to_json()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.number(), self.message)
    }
}

impl std::error::Error for Error {}

#[derive(Serialize)]
struct ErrorObject<'a> {
    status: bool,
    code: u16,
    message: &'a str,
}

impl ErrorObject<'_> {
    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an error object is JSON")
    }
}

macro_rules! closes {
    ($($(#[$doc:meta])* $close:ident = $number:literal $reason:literal $(($told:ident))?),+ $(,)?) => {
        /// Why a socket is closed. 4000 to 4499 mean "connect again", 4500 to 4999 mean "do not".
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Close { $($(#[$doc])* $close = $number),+ }

        impl Close {
            /// Every close code.
            pub const ALL: &[Self] = &[$(Self::$close),+];

            /// The reason in the close frame, and the message of `invalidConnection`.
            pub fn reason(self) -> &'static str {
                match self { $(Self::$close => $reason),+ }
            }

            /// Whether the client is sent `invalidConnection` first.
            pub fn is_told(self) -> bool {
                match self { $(Self::$close => false $(|| closes!(@$told))?),+ }
            }
        }
    };
    (@told) => { true };
}

closes! {
    /// The pod is draining, or the connection has its full age.
    GoingAway = 1012 "service restart",
    /// A frame that WebSocket does not allow.
    ProtocolError = 1002 "protocol error",
    /// A text frame that is not UTF-8.
    InvalidText = 1007 "text is not UTF-8",
    /// A binary frame: the protocol is text.
    BinaryFrame = 1003 "binary frames are not supported",
    /// A frame over `max-frame-bytes`.
    FrameTooLarge = 1009 "frame too large",
    /// The network was reset.
    NetworkReset = 4001 "the network was reset" (told),
    /// The client reads too slowly.
    SlowConsumer = 4008 "the client reads too slowly",
    /// Nothing was heard from the client.
    Silent = 4010 "nothing was heard from the client",
    /// The pod has all the sockets it takes.
    Full = 4013 "the pod is full",
    /// Too many requests over the rate, or too many malformed frames.
    Abusive = 4500 "too many refused frames",
    /// A newer socket of the session took its place.
    Replaced = 4501 "a newer connection of this session took its place" (told),
    /// The session was revoked.
    Revoked = 4502 "the session was revoked" (told),
    /// The token expired, or was not valid when a client connected that sees no status.
    Expired = 4503 "the session token has expired or is not valid" (told),
}

impl Close {
    /// The WebSocket close code.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// The `error` object of the `invalidConnection` that goes before this close code.
    pub fn error_json(self) -> String {
        ErrorObject { status: true, code: self.code(), message: self.reason() }.to_json()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_by_its_number() {
        for code in Code::ALL {
            assert_eq!(Code::from_number(code.number()), Some(*code));
        }
        assert_eq!(Code::from_number(0), None);
    }

    #[test]
    fn only_a_lost_session_or_network_is_told_before_the_close() {
        let told: Vec<u16> = Close::ALL.iter().filter(|close| close.is_told()).map(|close| close.code()).collect();
        assert_eq!(told, [4001, 4501, 4502, 4503]);
    }

    #[test]
    fn a_message_cannot_break_out_of_its_json() {
        let error = Error::new(Code::BadRequest, "data.\"subject\"\n\u{7}");
        let parsed: serde_json::Value = serde_json::from_str(&error.to_json()).expect("JSON");
        assert_eq!(parsed, serde_json::json!({"status": true, "code": 400, "message": "data.\"subject\"\n\u{7}"}));
    }
}
