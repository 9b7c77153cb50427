//! Numbers for Prometheus. (recorder installation; to be written)
