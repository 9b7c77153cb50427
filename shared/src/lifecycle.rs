//! From a signal to a soft and a hard shutdown.

use tokio_util::sync::CancellationToken;

/// Tells every part of a process when to wind down, and when to stop at once. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Turn unready, go on serving for `drain-delay`, then finish what is open within `drain-timeout`.
    pub drain: CancellationToken,
    /// Stop now; whatever is open breaks.
    pub stop: CancellationToken,
}
