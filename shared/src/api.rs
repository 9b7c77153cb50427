//! The contract's front page: namespaces, the two table macros, the envelope.
//!
//! Each namespace is one file: its endpoint table, its event table, then the types. A new endpoint is a row and its types
//! there, a file `worker/src/<namespace>/<action>.rs`, and a line in `worker/src/<namespace>.rs`.

pub mod directory;
pub mod error;
pub mod input;
pub mod meeting;
pub mod model;
#[cfg(test)]
mod reference;
pub mod resource;
#[cfg(test)]
mod shapes;
pub mod social;
pub mod timestamp;
pub mod user;

use serde::{Serialize, de::DeserializeOwned};

pub use error::{Close, Code, Error};
pub use input::{InputError, Need, from_json, is_blank, read_request};
pub use model::{Avatar3D, CustomMap, Rgba, UserSimple, is_identifier};
pub use resource::Resource;
pub use timestamp::{LocalTimestamp, Timestamp};

/// The namespaces that a client's frame can name. Everything else is 404 at the gateway.
pub const NAMESPACES: &[&str] = &[meeting::NAMESPACE, social::NAMESPACE];

/// The one endpoint without a namespace. It answers [`Code::VersionNotSupported`] to anyone.
pub const TEST_VERSION_NOT_SUPPORTED: &str = <user::TestVersionNotSupported as Endpoint>::NAME;

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
    type Request: Request;
    /// What the answer's `data` holds; [`NoData`] where the document shows none.
    type Answer: Serialize + Send;
}

/// What a client asks with. Declared by [`needs!`](crate::needs), in the table of its namespace.
pub trait Request: DeserializeOwned + Send {
    /// What must be given.
    const NEEDS: &'static [Need];
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

#[cfg(test)]
shapes::leaf!(NoData => {"type": "null"});

/// Declares endpoints: the marker types, their [`Endpoint`] rows and the table `ENDPOINTS`.
///
/// Those of a namespace stand after its name, which becomes `NAMESPACE`.
#[macro_export]
macro_rules! endpoints {
    ($namespace:literal: $($rows:tt)+) => {
        /// What stands before the colon in this namespace's names.
        pub const NAMESPACE: &str = $namespace;

        $crate::endpoints! { @rows concat!($namespace, ":"); $($rows)+ }
    };
    (@rows $prefix:expr; $($(#[$doc:meta])* $kind:ident $marker:ident = $method:literal ($request:ty) -> $answer:ty;)+) => {
        /// Every endpoint that is declared here.
        pub const ENDPOINTS: &[$crate::api::EndpointRow] = &[
            $($crate::api::EndpointRow { name: concat!($prefix, $method), kind: $crate::api::Kind::$kind }),+
        ];

        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub struct $marker;

            impl $crate::api::Endpoint for $marker {
                const NAME: &'static str = concat!($prefix, $method);
                const METHOD: &'static str = $method;
                const KIND: $crate::api::Kind = $crate::api::Kind::$kind;
                type Request = $request;
                type Answer = $answer;
            }
        )+

        /// What the types of each row look like.
        #[cfg(test)]
        pub(crate) fn endpoint_shapes() -> Vec<$crate::api::shapes::EndpointShape> {
            vec![$($crate::api::shapes::EndpointShape::of::<$marker>()),+]
        }
    };
    ($($rows:tt)+) => {
        $crate::endpoints! { @rows ""; $($rows)+ }
    };
}

/// Declares events: types that wrap their `data`, their [`Event`] rows and the table `EVENTS`.
#[macro_export]
macro_rules! events {
    ($namespace:literal: $($rows:tt)+) => {
        $crate::events! { @rows concat!($namespace, ":"); $($rows)+ }
    };
    (@rows $prefix:expr; $($(#[$doc:meta])* $event:ident = $name:literal ($data:ty);)+) => {
        /// Every event that is declared here.
        pub const EVENTS: &[&str] = &[$(concat!($prefix, $name)),+];

        $(
            $(#[$doc])*
            #[derive(Clone, Debug, serde::Serialize)]
            #[cfg_attr(test, derive(schemars::JsonSchema))]
            #[serde(transparent)]
            pub struct $event(pub $data);

            impl $crate::api::Event for $event {
                const NAME: &'static str = concat!($prefix, $name);
            }
        )+

        /// What the type of each row looks like.
        #[cfg(test)]
        pub(crate) fn event_shapes() -> Vec<$crate::api::shapes::EventShape> {
            vec![$($crate::api::shapes::EventShape::of::<$event>()),+]
        }
    };
    ($($rows:tt)+) => {
        $crate::events! { @rows ""; $($rows)+ }
    };
}

/// Declares a closed set of words as an enum that is written as a string.
#[macro_export]
macro_rules! words {
    ($(#[$doc:meta])* $set:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        pub enum $set { $($(#[$word_doc])* #[serde(rename = $word)] $variant),+ }

        impl $set {
            /// Every word, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As it is written.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// All of them, for a message.
            pub fn listed() -> String {
                [$($word),+].join(", ")
            }

            /// The word that is written so, if there is one; letters count.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $set {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
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
