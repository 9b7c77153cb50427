//! The worker's one error: what a client is told, or what happened to us.

use std::{borrow::Cow, fmt};

use shared::{
    api::{self, Code},
    internal::NoSession,
};

/// Why a request was not done. A handler's `?` makes one of a database's error; what a client is told is made by name.
#[derive(Debug)]
pub enum Error {
    /// The client is told exactly this.
    Told(api::Error),
    /// The database refused or could not be reached. What becomes of it is decided where the request is run.
    Database(sqlx::Error),
    /// The connection was lost during the commit: whether it was done is known only to the database.
    InDoubt(sqlx::Error),
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

impl From<NoSession> for Error {
    fn from(reason: NoSession) -> Self {
        Self::unauthorized(reason.message())
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
            Self::InDoubt(error) => write!(f, "in doubt at the commit: {error}"),
            Self::Internal(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {}

/// What a failure of the database means for the request that met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Others were in the way: nothing was done, and doing all of it again may go well.
    Conflict,
    /// The connection, or the server behind it, is gone or going.
    Away,
    /// A statement took longer than the sessions' `statement_timeout`.
    Slow,
    /// Anything else: our fault.
    Fault,
}

impl Trouble {
    /// Of an error outside of a commit.
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => error.code().map_or(Self::Fault, |code| Self::of_sqlstate(&code)),
            // What is no answer of PostgreSQL's comes from something before it that has nobody behind it: a load balancer
            // takes a connection and closes it.
            sqlx::Error::Io(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Self::Away,
            _ => Self::Fault,
        }
    }

    fn of_sqlstate(code: &str) -> Self {
        match code {
            // lock_not_available, deadlock_detected, serialization_failure
            "55P03" | "40P01" | "40001" => Self::Conflict,
            // query_canceled
            "57014" => Self::Slow,
            // idle_in_transaction_session_timeout; a primary that no longer is one; no such role, password or database,
            // which an operator is about to mend
            "25P03" | READ_ONLY | "28000" | "28P01" | "3D000" => Self::Away,
            // Connection lost, resources used up, shutting down or starting up, input or output failed
            _ if ["08", "53", "57P", "58"].iter().any(|class| code.starts_with(class)) => Self::Away,
            _ => Self::Fault,
        }
    }
}

/// Whether the server takes no changes: a primary that no longer is one.
pub(crate) fn is_read_only(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == READ_ONLY)
}

/// read_only_sql_transaction
const READ_ONLY: &str = "25006";

/// Turns a failure into what the client is told. Here our own faults are logged, and nowhere else.
pub(crate) fn conclude(error: Error) -> api::Error {
    let fault = match error {
        Error::Told(error) => return error,
        Error::InDoubt(error) => {
            tracing::warn!(%error, "the connection to the database was lost during a commit");
            return api::Error::new(Code::Unavailable, "the database is away; this may have been done");
        }
        Error::Database(error) => match Trouble::of(&error) {
            Trouble::Conflict => return api::Error::new(Code::Unavailable, "too much at once on this object"),
            Trouble::Slow => {
                tracing::warn!(%error, "a statement took too long");
                return api::Error::new(Code::DeadlineExceeded, "the database took too long");
            }
            // Many requests meet it at once; that the database is away is logged by the readiness check.
            Trouble::Away => {
                tracing::debug!(%error, "the database is away");
                return api::Error::new(Code::Unavailable, "the database is away");
            }
            Trouble::Fault => error.to_string().into(),
        },
        Error::Internal(what) => what,
    };
    let id = uuid::Uuid::now_v7();
    tracing::error!(%id, error = %fault, "a request failed");
    api::Error::new(Code::Internal, id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_answer_of_the_database_says_that_it_is_away() {
        let error = sqlx::Error::Protocol("unexpected response from SSLRequest: 0x00".to_owned());
        assert_eq!(Trouble::of(&error), Trouble::Away);
    }

    #[test]
    fn what_a_database_error_means_follows_from_its_sqlstate() {
        for (code, trouble) in [
            ("55P03", Trouble::Conflict),
            ("40P01", Trouble::Conflict),
            ("40001", Trouble::Conflict),
            ("57014", Trouble::Slow),
            ("57P01", Trouble::Away),
            ("57P03", Trouble::Away),
            ("08006", Trouble::Away),
            ("53300", Trouble::Away),
            ("25P03", Trouble::Away),
            ("25006", Trouble::Away),
            ("23505", Trouble::Fault),
            ("42P01", Trouble::Fault),
            ("25P02", Trouble::Fault),
        ] {
            assert_eq!(Trouble::of_sqlstate(code), trouble, "{code}");
        }
    }

    #[test]
    fn a_fault_of_ours_tells_the_client_an_id_and_nothing_else() {
        let told = conclude(Error::internal("password=hunter2"));
        assert_eq!(told.code, Code::Internal);
        uuid::Uuid::parse_str(&told.message).expect("an id and nothing else");
        let told = conclude(sqlx::Error::RowNotFound.into());
        uuid::Uuid::parse_str(&told.message).expect("an id and nothing else");
    }

    #[test]
    fn a_database_that_is_away_is_503_and_so_is_what_is_in_doubt() {
        for error in [Error::Database(sqlx::Error::PoolTimedOut), Error::InDoubt(sqlx::Error::PoolTimedOut)] {
            assert_eq!(conclude(error).code, Code::Unavailable);
        }
    }
}
