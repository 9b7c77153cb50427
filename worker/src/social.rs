//! The namespace `social`.

use crate::router::handlers;

handlers! { "social": }
