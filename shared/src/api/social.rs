//! (to be written)

pub const NAMESPACE: &str = "social";
