//! Open files: each socket is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a gateway has open beside sockets: listeners, ways to servers, sockets that it refuses.
const BESIDE_SOCKETS: u64 = 256;

/// Lets this process open as many files as the system allows it at all. What it begins with is often 1024, which programs
/// that need more are meant to raise themselves. Where sockets would not fit even so, the log says it: those beyond would
/// wait to be accepted.
pub fn make_room(max_connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
    {
        tracing::warn!(%error, "no more files may be open than at the start");
    }
    let needed = u64::try_from(max_connections).unwrap_or(u64::MAX).saturating_add(BESIDE_SOCKETS);
    if let Some(room) = getrlimit(Resource::Nofile).current.filter(|room| *room < needed) {
        tracing::warn!(
            room,
            max_connections,
            "fewer files may be open than sockets are to be taken: raise ulimit -n, or lower max-connections"
        );
    }
}
