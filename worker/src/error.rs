//! The worker's one error: what a client is told, or what happened to us.

use std::{borrow::Cow, fmt};

use shared::api::{self, Code};

/// Why a request was not done. A handler's `?` makes one of a database's error; what a client is told is made by name.
#[derive(Debug)]
pub enum Error {
    /// The client is told exactly this.
    Told(api::Error),
    /// The database refused or could not be reached. What becomes of it is decided where the request is run.
    Database(sqlx::Error),
    /// Our fault. The client is told an id, the log what it was.
    Internal(Cow<'static, str>),
}

impl Error {
    /// 400: `path` is the field as the client wrote it, such as `data.meeting.subject`; `what` is wrong with it.
    pub fn bad_request(path: impl fmt::Display, what: impl fmt::Display) -> Self {
        Self::told(Code::BadRequest, format!("{path}: {what}"))
    }

    /// 401: no valid session.
    pub fn unauthorized(message: impl Into<Cow<'static, str>>) -> Self {
        Self::told(Code::Unauthorized, message)
    }

    /// 403: the caller sees the object but may not do this to it (V2).
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::told(Code::Forbidden, message)
    }

    /// 404: no such object, or the caller may not know of it (V2). `what` is its kind, such as `meeting`.
    pub fn not_found(what: impl fmt::Display) -> Self {
        Self::told(Code::NotFound, format!("{what} not found"))
    }

    /// 409: the object's state forbids it.
    pub fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::told(Code::Conflict, message)
    }

    /// 413: say which narrower request would do.
    pub fn too_large(message: impl Into<Cow<'static, str>>) -> Self {
        Self::told(Code::TooLarge, message)
    }

    /// 503: safe to retry with the same `event.id`.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::told(Code::Unavailable, message)
    }

    /// 504: safe to retry with the same `event.id`.
    pub fn deadline_exceeded() -> Self {
        Self::told(Code::DeadlineExceeded, "not done within the time that the request had")
    }

    /// 802: no such room in the caller's network (V4).
    pub fn room_not_found() -> Self {
        Self::told(Code::RoomNotFound, "room not found")
    }

    /// 803: the caller may not use this room (V4).
    pub fn room_forbidden() -> Self {
        Self::told(Code::RoomForbidden, "no permission for this room")
    }

    /// 500: something that cannot be, said for the log only.
    pub fn internal(what: impl Into<Cow<'static, str>>) -> Self {
        Self::Internal(what.into())
    }

    fn told(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Told(api::Error::new(code, message))
    }
}

impl From<api::Error> for Error {
    fn from(error: api::Error) -> Self {
        Self::Told(error)
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told(error) => error.fmt(f),
            Self::Database(error) => error.fmt(f),
            Self::Internal(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {}
