//! What is left to do when the rig is told to stop: end what it started, remove what it wrote.
//!
//! Children also carry a parent-death signal, so they end even when the rig is killed outright;
//! then only scratch folders stay behind, and the next [`Scratch::new`] removes those.

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

static REGISTRY: Mutex<Registry> =
    Mutex::new(Registry { processes: BTreeSet::new(), folders: BTreeSet::new() });

struct Registry {
    processes: BTreeSet<i32>,
    folders: BTreeSet<PathBuf>,
}

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on SIGINT, SIGTERM and SIGHUP end everything that the rig started, remove its scratch
/// folders and exit with 130. Calling it again changes nothing.
pub fn clean_up_when_interrupted() -> Result<()> {
    static ONCE: Once = Once::new();
    let mut outcome = Ok(());
    ONCE.call_once(|| outcome = watch_signals());
    outcome
}

fn watch_signals() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate, mut hangup) = {
        let _context = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        )
    };
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        });
        say("interrupted; cleaning up");
        clean_up();
        std::process::exit(130);
    })?;
    Ok(())
}

/// The terminal may be gone, which is no reason to stop cleaning up.
fn say(what: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "rig: {what}");
}

fn clean_up() {
    let registry = registry();
    for pid in registry.processes.iter().filter_map(|pid| Pid::from_raw(*pid)) {
        // Already gone is as good.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    for folder in &registry.folders {
        if let Err(error) = std::fs::remove_dir_all(folder) {
            say(&format!("{} stays behind: {error}", folder.display()));
        }
    }
    // The lock is held until the end: nothing new may start while the rig goes down.
    std::mem::forget(registry);
}

pub(crate) fn started(pid: i32) {
    registry().processes.insert(pid);
}

pub(crate) fn reaped(pid: i32) {
    registry().processes.remove(&pid);
}

/// A folder for everything that one run of the rig writes; removed with it.
pub struct Scratch {
    path: PathBuf,
    keep: bool,
}

/// Scratch folders are named after the process that made them.
const PREFIX: &str = "touchstone-rig-";

/// The file that marks a folder which was left behind on purpose.
const KEPT: &str = ".kept";

impl Scratch {
    /// A new folder under the system's place for temporary files, readable by us alone. Folders of
    /// rigs that no longer run are removed.
    pub fn new() -> Result<Self> {
        let parent = std::env::temp_dir();
        remove_abandoned(&parent);
        let folder = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .tempdir_in(&parent)
            .with_context(|| format!("no scratch folder in {}", parent.display()))?;
        let path = folder.keep();
        registry().folders.insert(path.clone());
        Ok(Self { path, keep: false })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new folder inside.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.path.join(name);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }

    /// Leaves the folder behind, to look at after a failure.
    pub fn keep(&mut self) {
        self.keep = true;
        registry().folders.remove(&self.path);
        if let Err(error) = std::fs::write(self.path.join(KEPT), b"") {
            eprintln!("rig: the next run will remove {}: {error}", self.path.display());
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if std::thread::panicking() {
            self.keep();
            eprintln!("rig: logs are kept in {}", self.path.display());
            return;
        }
        registry().folders.remove(&self.path);
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("rig: {} stays behind: {error}", self.path.display());
        }
    }
}

fn remove_abandoned(parent: &Path) {
    for entry in parent.read_dir().into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        let Some(owner) = owner.and_then(|pid| pid.parse::<u32>().ok()) else { continue };
        let kept = entry.path().join(KEPT).exists();
        if !kept && !Path::new(&format!("/proc/{owner}")).exists() {
            // Somebody else's folder of that name is theirs to remove.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
