//! From a method to its handler. The tables stand in `<namespace>.rs`, written with `handlers!`.

use std::{collections::HashMap, sync::Arc};

use futures::future::BoxFuture;
use serde::Serialize;
use shared::{
    api::{self, Endpoint, Request},
    internal::{InternalRequest, Session},
};

use crate::{
    context::{Change, Gateway, Read, to_json},
    error::Error,
};

/// A handler whose types are forgotten: from the request's bytes to the answer's JSON.
pub(crate) type ReadHandle<C> =
    Box<dyn for<'a> Fn(&'a mut Read<C>, &'a [u8]) -> BoxFuture<'a, Result<String, Error>> + Send + Sync>;

/// As [`ReadHandle`], of a change.
pub(crate) type ChangeHandle<C> =
    Box<dyn for<'a> Fn(&'a mut Change<C>, &'a [u8]) -> BoxFuture<'a, Result<String, Error>> + Send + Sync>;

/// What is done for a method of callers `C`.
pub(crate) enum Route<C> {
    /// Reads, outside of a transaction.
    Read(ReadHandle<C>),
    /// Changes, in a transaction.
    Change(ChangeHandle<C>),
}

/// A method that a namespace answers.
pub(crate) struct Method<C> {
    /// Without its namespace.
    pub(crate) name: &'static str,
    /// What is done.
    pub(crate) route: Route<C>,
}

/// What a namespace answers.
pub struct Handlers {
    /// What stands before the colon.
    pub(crate) namespace: &'static str,
    /// Methods of clients.
    pub(crate) rpc: HashMap<&'static str, Arc<Method<Session>>>,
    /// Methods of the gateways' own.
    pub(crate) internal: HashMap<&'static str, Arc<Method<Gateway>>>,
}

/// A handler function that reads, as the macro passes it.
type ReadFn<C, R, A> = for<'a> fn(&'a mut Read<C>, R) -> BoxFuture<'a, Result<A, Error>>;

/// A handler function that changes, as the macro passes it.
type ChangeFn<C, R, A> = for<'a> fn(&'a mut Change<C>, R) -> BoxFuture<'a, Result<A, Error>>;

/// How a request's bytes are read.
type Parse<R> = fn(&[u8]) -> Result<R, Error>;

impl Handlers {
    pub(crate) fn new(namespace: &'static str) -> Self {
        Self { namespace, rpc: HashMap::new(), internal: HashMap::new() }
    }

    pub(crate) fn read<E: Endpoint>(mut self, handler: ReadFn<Session, E::Request, E::Answer>) -> Self {
        self.rpc.insert(E::METHOD, Method::new(E::METHOD, Route::reading(parse::<E::Request>, handler)));
        self
    }

    pub(crate) fn change<E: Endpoint>(mut self, handler: ChangeFn<Session, E::Request, E::Answer>) -> Self {
        self.rpc.insert(E::METHOD, Method::new(E::METHOD, Route::changing(parse::<E::Request>, handler)));
        self
    }

    pub(crate) fn internal_read<R: InternalRequest>(mut self, handler: ReadFn<Gateway, R, R::Answer>) -> Self {
        self.internal.insert(R::METHOD, Method::new(R::METHOD, Route::reading(parse_internal::<R>, handler)));
        self
    }

    pub(crate) fn internal_change<R: InternalRequest>(mut self, handler: ChangeFn<Gateway, R, R::Answer>) -> Self {
        self.internal.insert(R::METHOD, Method::new(R::METHOD, Route::changing(parse_internal::<R>, handler)));
        self
    }
}

impl<C> Method<C> {
    fn new(name: &'static str, route: Route<C>) -> Arc<Self> {
        Arc::new(Self { name, route })
    }
}

impl<C: 'static> Route<C> {
    fn reading<R: Send + 'static, A: Serialize + Send + 'static>(parse: Parse<R>, handler: ReadFn<C, R, A>) -> Self
    where
        Read<C>: Send,
    {
        Self::Read(Box::new(move |read, data| {
            Box::pin(async move {
                let answer = handler(read, parse(data)?).await?;
                to_json(&answer)
            })
        }))
    }

    fn changing<R: Send + 'static, A: Serialize + Send + 'static>(parse: Parse<R>, handler: ChangeFn<C, R, A>) -> Self
    where
        C: Send,
    {
        Self::Change(Box::new(move |change, data| {
            Box::pin(async move {
                let answer = handler(change, parse(data)?).await?;
                to_json(&answer)
            })
        }))
    }
}

/// Reads a client's `data`.
fn parse<R: Request>(data: &[u8]) -> Result<R, Error> {
    let json = std::str::from_utf8(data).map_err(|_| Error::bad_request("data", "not UTF-8"))?;
    Ok(api::read_request(json).map_err(api::Error::from)?)
}

/// Reads a request of a gateway's own. Gateways and workers of neighbouring versions understand each other, so this is
/// our fault.
fn parse_internal<R: InternalRequest>(payload: &[u8]) -> Result<R, Error> {
    serde_json::from_slice(payload).map_err(|error| Error::internal(format!("a malformed internal request: {error}")))
}

/// Declares a namespace's handlers, one line each, and the modules that hold them:
///
/// ```text
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
