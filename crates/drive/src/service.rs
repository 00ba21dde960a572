//! Telling the service manager how we are (sd_notify(3)): ready, alive, stopping, and in words.
//! What this is not: a judge of health. A loop that turns is alive, whatever it finds.

use crate::now;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The service manager, if there is one that wants to know.
#[derive(Debug, Default)]
pub struct ServiceManager(Option<Line>);

#[derive(Debug)]
struct Line {
    socket: UnixDatagram,
    address: SocketAddr,
    /// Silence for so long means to the manager that we hang.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// As the environment says (`NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`).
    pub fn of_this_process() -> io::Result<Self> {
        let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(Self(None)) };
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        // sd_watchdog_enabled(3): a watchdog that is for another process is not ours to calm.
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| ours && *usec > 0);
        Self::at(&socket, watchdog.map(Duration::from_micros))
    }

    /// A manager that listens at `socket`: a path, or `@` and an abstract name.
    pub fn at(socket: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let address = match socket.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(socket)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that does not listen is not waited for.
        socket.set_nonblocking(true)?;
        Ok(Self(Some(Line { socket, address, watchdog })))
    }

    /// Everything is up.
    pub fn ready(&self, words: &str) -> io::Result<()> {
        self.tell(&format!("READY=1\nSTATUS={}", line(words)))
    }

    /// How things are, in a line of words.
    pub fn status(&self, words: &str) -> io::Result<()> {
        self.tell(&format!("STATUS={}", line(words)))
    }

    /// The end has begun.
    pub fn stopping(&self) -> io::Result<()> {
        self.tell("STOPPING=1")
    }

    fn tell(&self, state: &str) -> io::Result<()> {
        match &self.0 {
            Some(to) => to.socket.send_to_addr(state.as_bytes(), &to.address).map(drop),
            None => Ok(()),
        }
    }

    /// Says that we are alive for as long as this is polled and every loop beats. Never returns.
    ///
    /// It belongs on the runtime that does the work, beside it: where that hangs, this falls silent.
    pub async fn keep_alive(&self, pulses: &[Pulse]) {
        let Some(silence) = self.0.as_ref().and_then(|line| line.watchdog) else {
            return std::future::pending().await;
        };
        loop {
            if pulses.iter().all(Pulse::beats) {
                // One that is lost is made good by the next.
                let _ = self.tell("WATCHDOG=1");
            }
            // sd_watchdog_enabled(3) recommends half of the time; a third leaves room for one lost.
            tokio::time::sleep(silence / 3).await;
        }
    }
}

/// A line, because a line break would begin another assignment.
fn line(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect()
}

/// A loop's sign of life.
#[derive(Clone, Debug)]
pub struct Pulse {
    last: Arc<AtomicU64>,
    patience: Duration,
}

impl Pulse {
    /// Of a loop that turns at least once in `patience`. It counts as having beaten now.
    pub fn new(patience: Duration) -> Self {
        Self { last: Arc::new(AtomicU64::new(now().as_millis())), patience }
    }

    /// The loop has turned.
    pub fn beat(&self) {
        self.last.store(now().as_millis(), Ordering::Relaxed);
    }

    /// Whether the loop has turned lately.
    pub fn beats(&self) -> bool {
        let silent = now().as_millis().saturating_sub(self.last.load(Ordering::Relaxed));
        u128::from(silent) <= self.patience.as_millis()
    }
}
