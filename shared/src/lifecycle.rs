//! From a signal to a soft and a hard shutdown.

use std::{
    io::{self, Write as _},
    panic::AssertUnwindSafe,
    process::ExitCode,
    time::Duration,
};

use futures::FutureExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long what has panicked rests.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells every part of a process when to wind down, and when to stop at once. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Turn unready, go on serving for `drain-delay`, then finish what is open within `drain-timeout`.
    pub drain: CancellationToken,
    /// Stop now; whatever is open breaks.
    pub stop: CancellationToken,
}

impl Shutdown {
    /// Works until it is to drain or to stop; then the work is dropped where it is.
    pub async fn work_until_drained(&self, work: impl Future<Output = ()>) {
        tokio::select! {
            () = self.drain.cancelled() => {}
            () = self.stop.cancelled() => {}
            () = work => {}
        }
    }

    /// Drains at the first SIGTERM or SIGINT, stops at the second. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The system refuses to report signals.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::default();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let told = shutdown.clone();
        tokio::spawn(async move {
            for (token, what) in [(&told.drain, "draining"), (&told.stop, "stopping at once")] {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                tracing::info!(signal = name, "{what}");
                token.cancel();
            }
        });
        Ok(shutdown)
    }
}

/// Does what a process does as long as it lives. When it panics it begins anew, after a moment: the fault of one thing must
/// not end the others, and what has met it here would meet it in another process too. Returns when the work does.
pub async fn keep_up<W: Future<Output = ()>>(what: &'static str, mut begin: impl FnMut() -> W) {
    while AssertUnwindSafe(begin()).catch_unwind().await.is_err() {
        tracing::error!(what, "a part of this process has panicked, and begins anew");
        tokio::time::sleep(PAUSE).await;
    }
}

/// How a process ends: with 0, or with 1 and one line on standard error that says why.
pub fn exit_code(program: &str, outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever closed the other end does not want to read it.
            let _ = writeln!(io::stderr(), "{program}: {}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error with all its causes, in one line.
pub fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_panics_begins_anew_until_it_ends_by_itself() {
        let mut begun = 0;
        keep_up("a test", || {
            begun += 1;
            let is_last = begun == 3;
            async move { assert!(is_last, "on purpose") }
        })
        .await;
        assert_eq!(begun, 3);
    }
}
