//! What the agent tells about itself, to whoever may open the socket in its state folder.

use crate::respond::Quarantine;
use crate::update::outcome::Outcome;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;

/// The socket, in the state folder.
pub const SOCKET: &str = "agent.sock";

/// The longest status that is read, in octets.
const LONGEST: u64 = 1 << 20;

/// What the agent tells about itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// `touchstone.agent.status/1`
    pub schema: String,
    /// The agent's version.
    pub version: String,
    /// The device's id, once it is onboarded.
    pub device: Option<String>,
    /// The tier of the last result: `none` before the first.
    pub tier: String,
    /// Why, control by control.
    pub why: Vec<String>,
    /// When that result was issued, in Unix seconds.
    pub issued: Option<u64>,
    /// `reachable`, `unreachable` or `unknown`: another thing than the tier.
    pub fleet: String,
    /// The fleet's certificate for this device.
    pub certificate: Option<Certificate>,
    /// The quarantine, if there is one.
    pub quarantine: Option<Quarantine>,
    /// Countermeasures in force or waiting; `touchstone respond list` shows them.
    #[serde(default)]
    pub open_responses: u64,
    /// What went wrong last, until something goes right.
    pub fault: Option<Fault>,
    /// What became of updates, oldest first.
    pub updates: Vec<Outcome>,
    /// Attestations since the start.
    pub attestations: u64,
    /// Open connections of tunnels.
    pub tunnels: u64,
    /// Resident memory at its highest, in kB (proc(5) `VmHWM`), of both halves together; pages that
    /// they share count twice.
    pub peak_rss_kb: Option<u64>,
}

/// The fleet's certificate for this device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its serial number.
    pub serial: String,
    /// Until when it counts, in Unix seconds.
    pub not_after: u64,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The stable code.
    pub code: String,
    /// In words.
    pub words: String,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            schema: "touchstone.agent.status/1".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device: None,
            tier: "none".to_owned(),
            why: Vec::new(),
            issued: None,
            fleet: "unknown".to_owned(),
            certificate: None,
            quarantine: None,
            open_responses: 0,
            fault: None,
            updates: Vec::new(),
            attestations: 0,
            tunnels: 0,
            peak_rss_kb: None,
        }
    }
}

impl Status {
    /// In a line, for the service manager.
    pub fn in_a_line(&self) -> String {
        let mut line = format!("{}, fleet {}", self.tier, self.fleet);
        if self.quarantine.is_some() {
            line.push_str(", in quarantine");
        }
        if let Some(fault) = &self.fault {
            line.push_str("; ");
            line.push_str(&fault.words);
        }
        line
    }

    /// In words, for a person.
    pub fn in_words(&self) -> String {
        let mut lines = Vec::new();
        let device = self.device.as_deref().unwrap_or("not onboarded yet");
        lines.push(format!("device       {device}"));
        lines.push(format!("tier         {}", self.tier));
        lines.extend(self.why.iter().map(|why| format!("             {why}")));
        lines.push(format!("fleet        {}", self.fleet));
        if let Some(certificate) = &self.certificate {
            lines.push(format!("certificate  {}", certificate.serial));
        }
        if let Some(quarantine) = &self.quarantine {
            lines.push(format!("quarantine   since {}: {}", quarantine.since, quarantine.reason));
        }
        if self.open_responses > 0 {
            let count = self.open_responses;
            lines.push(format!("responses    {count} open; `touchstone respond list` shows them"));
        }
        if let Some(fault) = &self.fault {
            lines.push(format!("fault        {} ({})", fault.words, fault.code));
        }
        for outcome in &self.updates {
            let (code, reason) = outcome.result.why();
            let (component, version) = (&outcome.component, outcome.version);
            let word = outcome.result.word();
            lines.push(format!("update       {component} {version} {word}: {reason} ({code})"));
        }
        lines.join("\n")
    }
}

/// The status as it is being written.
#[derive(Clone, Default)]
pub struct Board(Arc<Mutex<Shown>>);

#[derive(Default)]
struct Shown {
    status: Status,
    /// The process of the network half.
    other: Option<u32>,
}

impl Board {
    /// Changes the status.
    pub fn write(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.lock().status);
    }

    /// The status as it stands.
    pub fn read(&self) -> Status {
        self.lock().status.clone()
    }

    /// The process of the network half, whose memory counts as the agent's.
    pub fn watch(&self, other: Option<u32>) {
        self.lock().other = other;
    }

    /// Resident memory of both halves at its highest, in kB.
    fn peak_rss_kb(&self) -> Option<u64> {
        let other = self.lock().other;
        let other = other.map_or(Some(0), |id| peak_rss_kb(&id.to_string()))?;
        Some(peak_rss_kb("self")? + other)
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the socket where the status is told.
pub fn bind(folder: &Path) -> io::Result<UnixListener> {
    listen(&folder.join(SOCKET))
}

/// Opens a socket, for the agent's own user alone. A socket that is left of an agent before is
/// replaced.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Tells the status to whoever connects, for as long as the agent runs.
pub async fn serve(listener: UnixListener, board: Board) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let mut status = board.read();
        status.peak_rss_kb = board.peak_rss_kb();
        let Ok(json) = serde_json::to_vec(&status) else { continue };
        // One who does not read is not waited for.
        let told = stream.write_all(&json);
        drop(tokio::time::timeout(Duration::from_secs(1), told).await);
    }
}

fn peak_rss_kb(process: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers at the socket.
    #[error("no agent answers at {}: {source}; is it running, and may you open its state folder?", path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What came is not a status.
    #[error("the agent at {} tells something else: {reason}; are both of one version?", path.display())]
    NotUnderstood {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Asks the agent that keeps its state in `folder`.
pub fn ask(folder: &Path) -> Result<Status, Error> {
    let path = folder.join(SOCKET);
    let asked = std::os::unix::net::UnixStream::connect(&path).and_then(|stream| {
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut json = Vec::new();
        stream.take(LONGEST).read_to_end(&mut json)?;
        Ok(json)
    });
    let json = asked.map_err(|source| Error::NotRunning { path: path.clone(), source })?;
    serde_json::from_slice(&json)
        .map_err(|error| Error::NotUnderstood { path, reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_told_to_its_owner_and_a_missing_agent_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(ask(folder.path()), Err(Error::NotRunning { .. })));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let board = Board::default();
        board.write(|status| status.tier = "affirming".to_owned());
        let _entered = runtime.enter();
        let listener = bind(folder.path()).unwrap();
        let mode = fs::metadata(folder.path().join(SOCKET)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let path = folder.path().to_owned();
        let asking = std::thread::spawn(move || ask(&path));
        runtime.block_on(async {
            tokio::select! {
                () = serve(listener, board) => {}
                () = async { while !asking.is_finished() { tokio::time::sleep(Duration::from_millis(5)).await } } => {}
            }
        });
        let status = asking.join().unwrap().unwrap();
        assert_eq!(status.tier, "affirming");
        assert!(status.peak_rss_kb.unwrap() > 0);
        assert!(status.in_words().contains("tier         affirming"));
    }
}
