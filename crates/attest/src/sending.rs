//! One message that is sent until the other end goes on.

use crate::Limits;
use alloc::vec::Vec;
use core::time::Duration;
use touchstone_engine::{Instant, Output, Path};

/// The last message, and when it is due again.
#[derive(Debug)]
pub(crate) struct Sending {
    bytes: Vec<u8>,
    due: Option<Instant>,
    sent: u32,
}

impl Sending {
    /// Due at once.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, due: Some(Instant::default()), sent: 0 }
    }

    /// Due again at once: the peer repeated itself, so what we sent was lost.
    pub(crate) fn again(&mut self) {
        self.due = Some(Instant::default());
    }

    /// When it is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether it was ever sent.
    pub(crate) fn was_sent(&self) -> bool {
        self.sent > 0
    }

    /// The message if it is due, or that the buffer is too small.
    pub(crate) fn poll<Event, Error>(
        &mut self,
        now: Instant,
        buf: &mut [u8],
        repeat: Option<&Limits>,
    ) -> Option<Output<Event, Error>> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        let len = self.bytes.len();
        let Some(room) = buf.get_mut(..len) else { return Some(Output::Grow(len)) };
        room.copy_from_slice(&self.bytes);
        self.due = repeat.map(|limits| now + backoff(limits.retry, self.sent));
        self.sent = self.sent.saturating_add(1);
        Some(Output::Transmit { path: Path::ONLY, len })
    }
}

fn backoff(retry: Duration, sent: u32) -> Duration {
    retry.saturating_mul(1 << sent.min(4))
}
