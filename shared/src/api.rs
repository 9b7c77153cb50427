//! The contract's front page: namespaces, the two table macros, the envelope.
//!
//! Each namespace is one file: its endpoint table, its event table, then the types. A new endpoint is a row and its types
//! there, a file `worker/src/<namespace>/<action>.rs`, and a line in `worker/src/<namespace>.rs`.

pub mod directory;
pub mod error;
pub mod input;
pub mod meeting;
pub mod social;
pub mod timestamp;
pub mod user;

use serde::{Serialize, de::DeserializeOwned};

pub use error::{Close, Code, Error};
pub use timestamp::Timestamp;

/// The namespaces that a client's frame can name. Everything else is 404 at the gateway.
pub const NAMESPACES: &[&str] = &[meeting::NAMESPACE, social::NAMESPACE];

/// The one endpoint without a namespace. It answers [`Code::VersionNotSupported`] to anyone.
pub const TEST_VERSION_NOT_SUPPORTED: &str = "testVersionNotSupported";

/// An answer has at most so many bytes of JSON; what would be larger is 413.
pub const MAX_ANSWER_BYTES: usize = 768 * 1024;

/// An event has at most so many bytes of JSON.
pub const MAX_EVENT_BYTES: usize = 512 * 1024;

/// Whether a request changes something. Changes are done once per `event.id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Changes nothing; `event.id` does not matter.
    Read,
    /// Changes something, in one transaction.
    Change,
}

/// One row of an endpoint table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointRow {
    /// `namespace:method`, as clients write it.
    pub name: &'static str,
    /// Whether it changes something.
    pub kind: Kind,
}

/// A row of an endpoint table as a type, so that a handler's types are checked against it.
pub trait Endpoint: Send + Sync + 'static {
    /// `namespace:method`.
    const NAME: &'static str;
    /// The part after the colon, which is also the last token of its subject.
    const METHOD: &'static str;
    /// Whether it changes something.
    const KIND: Kind;
    /// What the frame's `data` holds.
    type Request: DeserializeOwned + Send;
    /// What the answer's `data` holds; [`NoData`] where the document shows none.
    type Answer: Serialize + Send;
}

/// A row of an event table as a type.
pub trait Event: Serialize {
    /// `namespace:event`, as clients receive it.
    const NAME: &'static str;
}

/// The answer of an endpoint whose document shows no `data`: the frame has none either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoData;

impl Serialize for NoData {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

/// Declares a namespace's endpoints: the marker types, their [`Endpoint`] rows and the table `ENDPOINTS`.
#[macro_export]
macro_rules! endpoints {
    ($namespace:literal: $($(#[$doc:meta])* $kind:ident $marker:ident = $method:literal ($request:ty) -> $answer:ty;)+) => {
        /// What stands before the colon in this namespace's names.
        pub const NAMESPACE: &str = $namespace;

        /// Every endpoint of this namespace.
        pub const ENDPOINTS: &[$crate::api::EndpointRow] = &[
            $($crate::api::EndpointRow { name: concat!($namespace, ":", $method), kind: $crate::api::Kind::$kind }),+
        ];

        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub struct $marker;

            impl $crate::api::Endpoint for $marker {
                const NAME: &'static str = concat!($namespace, ":", $method);
                const METHOD: &'static str = $method;
                const KIND: $crate::api::Kind = $crate::api::Kind::$kind;
                type Request = $request;
                type Answer = $answer;
            }
        )+
    };
}

/// Declares a namespace's events: types that wrap their `data`, their [`Event`] rows and the table `EVENTS`.
#[macro_export]
macro_rules! events {
    ($namespace:literal: $($(#[$doc:meta])* $event:ident = $name:literal ($data:ty);)+) => {
        /// Every event of this namespace.
        pub const EVENTS: &[&str] = &[$(concat!($namespace, ":", $name)),+];

        $(
            $(#[$doc])*
            #[derive(Clone, Debug, serde::Serialize)]
            #[serde(transparent)]
            pub struct $event(pub $data);

            impl $crate::api::Event for $event {
                const NAME: &'static str = concat!($namespace, ":", $name);
            }
        )+
    };
}

/// The body of a good answer: `{"data":…,"error":{…}}`, or without `data` where it is `null` ([`NoData`]).
///
/// The gateway never parses it: it puts the request's `id` and `endpoint` in front (see the wire contract).
pub fn success_body(data: &str) -> String {
    if data == "null" {
        format!(r#"{{"error":{NO_ERROR}}}"#)
    } else {
        format!(r#"{{"data":{data},"error":{NO_ERROR}}}"#)
    }
}

/// The body of a failed answer: `{"error":{…}}`.
pub fn failure_body(error: &Error) -> String {
    format!(r#"{{"error":{}}}"#, error.to_json())
}

/// The `error` of everything that went well.
pub const NO_ERROR: &str = r#"{"status":false,"code":0,"message":""}"#;
