//! The `convene` program: see the library's front page.

use std::{
    env,
    io::{self, Write as _},
    process::ExitCode,
};

use convene::settings::{Command, Settings, with_default_command};
use shared::lifecycle::one_line;

#[tokio::main]
async fn main() -> ExitCode {
    let Settings { command } = shared::config::parse_from(with_default_command(env::args_os()));
    // reqwest and tungstenite take what the process has; a process has one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let done = match command {
        Command::Serve(serve) => convene::serve::run(*serve).await,
        Command::Token(token) => convene::token::run(&token),
        Command::Call(call) => convene::call::run(&call).await,
        Command::Listen(listen) => convene::listen::run(&listen).await,
        Command::Import(import) => convene::import::run(&import).await,
    };
    done.unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "convene: {}", one_line(&error));
        ExitCode::FAILURE
    })
}
