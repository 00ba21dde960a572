//! The clock that engines are turned by.

use std::sync::OnceLock;
use touchstone_engine::Instant;

/// Now: milliseconds since this process first asked. All engines of a process share it.
pub fn now() -> Instant {
    static BEGINNING: OnceLock<std::time::Instant> = OnceLock::new();
    let beginning = *BEGINNING.get_or_init(std::time::Instant::now);
    Instant::from_millis(u64::try_from(beginning.elapsed().as_millis()).unwrap_or(u64::MAX))
}
