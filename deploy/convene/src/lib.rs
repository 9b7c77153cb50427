//! Everything in one process, to try it; and small client commands that talk to any gateway.
//!
//! | module | holds |
//! | --- | --- |
//! | [`settings`] | the commands and their settings |
//! | [`serve`] | gateway, worker and what they need, from start to stop |
//! | [`folder`] | `.convene`: who has it, and the secrets in it |
//! | [`postgres`] | the private PostgreSQL: found, started, stopped with the process however that ends |
//! | [`demo`] | the network to try it with, and what is printed about it |
//! | [`token`] | `convene token` |
//! | [`client`], [`call`], [`listen`] | a connection to a gateway; `convene call`, `convene listen` |
//! | [`import`] | `convene import` |
//! | [`json`], [`brief`] | a frame for people and a frame for programs; a frame without what is empty in it |

pub mod brief;
pub mod call;
pub mod client;
pub mod demo;
pub mod folder;
pub mod import;
pub mod json;
pub mod listen;
pub mod postgres;
pub mod serve;
pub mod settings;
pub mod token;

use std::io::{self, Write as _};

/// Prints a line on standard output. Whoever closed the other end does not want to read it.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Prints a line on standard error, where standard output belongs to an answer.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
