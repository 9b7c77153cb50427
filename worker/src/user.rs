//! Sessions and `user_info`. Gateways ask; no client's frame comes here.

use shared::internal::RevokeSession;

use crate::router::handlers;

handlers! { "user":
    internal change RevokeSession => revoke_session;
}
