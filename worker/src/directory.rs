//! The namespace `directory`.

use crate::router::handlers;

handlers! { "directory": }
