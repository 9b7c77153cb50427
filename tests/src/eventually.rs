//! Waiting for conditions instead of sleeping.

use std::time::Duration;

/// How long a condition may take. Far more than it takes on a busy machine: it only ends a test that has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
pub const PAUSE: Duration = Duration::from_millis(20);

/// Waits until an expression has a value that fits a condition, and returns that value.
///
/// `eventually!(bus.is_connected())` waits for true, `eventually!(count().await, |n| *n > 3)` for what the closure says.
///
/// # Panics
/// After [`PATIENCE`](crate::eventually::PATIENCE), with the last value.
#[macro_export]
macro_rules! eventually {
    ($value:expr) => {
        $crate::eventually!($value, |value: &bool| *value)
    };
    ($value:expr, $holds:expr) => {{
        let deadline = tokio::time::Instant::now() + $crate::eventually::PATIENCE;
        loop {
            let value = $value;
            if $crate::eventually::holds(&value, $holds) {
                break value;
            }
            if tokio::time::Instant::now() > deadline {
                panic!("{} is never as it should be; at last it is {value:?}", stringify!($value));
            }
            tokio::time::sleep($crate::eventually::PAUSE).await;
        }
    }};
}

/// Gives the closure in [`eventually!`](crate::eventually!) its type.
pub fn holds<T>(value: &T, condition: impl Fn(&T) -> bool) -> bool {
    condition(value)
}
