//! The namespace `meeting`.

use crate::router::handlers;

handlers! { "meeting": }
