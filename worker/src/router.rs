//! From a method to its handler. The tables stand in `<namespace>.rs`, written with [`handlers!`].

use std::collections::HashMap;

use futures::future::BoxFuture;
use serde::Serialize;
use shared::{
    api::{self, Endpoint},
    internal::{InternalRequest, Session},
};

use crate::{
    context::{Change, Gateway, Read, to_json},
    error::Error,
};

/// A handler whose types are forgotten: from the request's bytes to the answer's JSON.
type Handle<W> = Box<dyn for<'a> Fn(&'a mut W, &'a [u8]) -> BoxFuture<'a, Result<String, Error>> + Send + Sync>;

/// What is done for a method of callers `C`.
pub(crate) enum Route<C> {
    /// Reads, outside of a transaction.
    Read(Handle<Read<C>>),
    /// Changes, in a transaction.
    Change(Handle<Change<C>>),
}

/// What a namespace answers.
pub struct Handlers {
    /// What stands before the colon.
    pub(crate) namespace: &'static str,
    /// Methods of clients.
    pub(crate) rpc: HashMap<&'static str, Route<Session>>,
    /// Methods of the gateways' own.
    pub(crate) internal: HashMap<&'static str, Route<Gateway>>,
}

/// A handler function of an endpoint or internal request, as the macro passes it.
pub(crate) type HandlerFn<W, R, A> = for<'a> fn(&'a mut W, R) -> BoxFuture<'a, Result<A, Error>>;

impl Handlers {
    pub(crate) fn new(namespace: &'static str) -> Self {
        Self { namespace, rpc: HashMap::new(), internal: HashMap::new() }
    }

    pub(crate) fn read<E: Endpoint>(mut self, handler: HandlerFn<Read, E::Request, E::Answer>) -> Self {
        self.rpc.insert(E::METHOD, Route::Read(erase(parse::<E::Request>, handler)));
        self
    }

    pub(crate) fn change<E: Endpoint>(mut self, handler: HandlerFn<Change, E::Request, E::Answer>) -> Self {
        self.rpc.insert(E::METHOD, Route::Change(erase(parse::<E::Request>, handler)));
        self
    }

    pub(crate) fn internal_read<R: InternalRequest>(mut self, handler: HandlerFn<Read<Gateway>, R, R::Answer>) -> Self {
        self.internal.insert(R::METHOD, Route::Read(erase(parse_internal::<R>, handler)));
        self
    }

    pub(crate) fn internal_change<R: InternalRequest>(
        mut self,
        handler: HandlerFn<Change<Gateway>, R, R::Answer>,
    ) -> Self {
        self.internal.insert(R::METHOD, Route::Change(erase(parse_internal::<R>, handler)));
        self
    }
}

fn erase<W: Send + 'static, R: Send + 'static, A: Serialize + Send + 'static>(
    parse: fn(&[u8]) -> Result<R, Error>,
    handler: HandlerFn<W, R, A>,
) -> Handle<W> {
    Box::new(move |work, payload| {
        Box::pin(async move {
            let request = parse(payload)?;
            let answer = handler(work, request).await?;
            to_json(&answer)
        })
    })
}

/// Reads a client's `data`.
fn parse<R: serde::de::DeserializeOwned>(payload: &[u8]) -> Result<R, Error> {
    serde_json::from_slice(payload)
        .map_err(|error| api::Error::new(api::Code::BadRequest, format!("data: {error}")).into())
}

/// Reads a request of a gateway's own. Gateways and workers of neighbouring versions understand each other, so this is
/// our fault.
fn parse_internal<R: InternalRequest>(payload: &[u8]) -> Result<R, Error> {
    serde_json::from_slice(payload).map_err(|error| Error::internal(format!("a malformed internal request: {error}")))
}

/// Declares a namespace's handlers, one line each, and the modules that hold them:
///
/// ```ignore
/// handlers! { "meeting":
///     change CreateMeeting => create_meeting;
///     read GetMeeting => get_meeting;
///     internal read Connect => connect;
///     internal change RevokeSession => revoke_session;
/// }
/// ```
///
/// The left side is a row of `shared::api` or [`shared::internal`], the right side a module whose `handle` takes
/// `&mut Change` or `&mut Read` and the row's request and returns its answer. An endpoint whose row says `Read` cannot be
/// declared a change, nor the other way round.
macro_rules! handlers {
    ($namespace:literal: $($line:tt)*) => {
        /// The namespace's handlers.
        pub(crate) fn handlers() -> $crate::router::Handlers {
            let handlers = $crate::router::Handlers::new($namespace);
            $crate::router::handlers!(@add handlers $($line)*)
        }
        $crate::router::handlers!(@modules $($line)*);
    };

    (@add $handlers:ident) => { $handlers };
    (@add $handlers:ident change $endpoint:ident => $module:ident; $($rest:tt)*) => {{
        const { assert!(matches!(<$endpoint as shared::api::Endpoint>::KIND, shared::api::Kind::Change)) };
        let handlers = $handlers.change::<$endpoint>(|change, request| Box::pin($module::handle(change, request)));
        $crate::router::handlers!(@add handlers $($rest)*)
    }};
    (@add $handlers:ident read $endpoint:ident => $module:ident; $($rest:tt)*) => {{
        const { assert!(matches!(<$endpoint as shared::api::Endpoint>::KIND, shared::api::Kind::Read)) };
        let handlers = $handlers.read::<$endpoint>(|read, request| Box::pin($module::handle(read, request)));
        $crate::router::handlers!(@add handlers $($rest)*)
    }};
    (@add $handlers:ident internal change $request:ident => $module:ident; $($rest:tt)*) => {{
        let handlers =
            $handlers.internal_change::<$request>(|change, request| Box::pin($module::handle(change, request)));
        $crate::router::handlers!(@add handlers $($rest)*)
    }};
    (@add $handlers:ident internal read $request:ident => $module:ident; $($rest:tt)*) => {{
        let handlers = $handlers.internal_read::<$request>(|read, request| Box::pin($module::handle(read, request)));
        $crate::router::handlers!(@add handlers $($rest)*)
    }};

    (@modules) => {};
    (@modules internal $kind:ident $row:ident => $module:ident; $($rest:tt)*) => {
        mod $module;
        $crate::router::handlers!(@modules $($rest)*);
    };
    (@modules $kind:ident $row:ident => $module:ident; $($rest:tt)*) => {
        mod $module;
        $crate::router::handlers!(@modules $($rest)*);
    };
}
pub(crate) use handlers;
