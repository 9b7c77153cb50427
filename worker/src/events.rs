//! The namespace `events`.

use crate::router::handlers;

handlers! { "events": }
