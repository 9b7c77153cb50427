//! Sessions and `user_info`. Gateways ask; no client's frame comes here.

mod provision;

use shared::internal::{CheckSessions, Connect, RevokeSession};

use crate::router::handlers;

handlers! { "user":
    internal read Connect => connect;
    internal read CheckSessions => check_sessions;
    internal change RevokeSession => revoke_session;
}
