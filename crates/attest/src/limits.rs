//! How much and how long.

use core::time::Duration;

/// The bounds of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets in a body, for what is read and for what is sent.
    pub body: usize,
    /// A message is sent again after this, then after twice this, and so on up to 16 times this.
    pub retry: Duration,
    /// The whole exchange, from the first poll on.
    pub deadline: Duration,
    /// How long a Verifier that is done still answers repeated messages.
    pub linger: Duration,
}

impl Default for Limits {
    /// 16 MiB, a second, two minutes, ten seconds.
    fn default() -> Self {
        Self {
            body: 16 << 20,
            retry: Duration::from_secs(1),
            deadline: Duration::from_mins(2),
            linger: Duration::from_secs(10),
        }
    }
}
