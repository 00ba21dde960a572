//! Puts a new file in the place of an old one, so that a power cut at any point leaves either the
//! old or the new one, and what comes after it is not forgotten.
//!
//! The steps: stage (write beside the target), journal, place (rename), count (raise the rollback
//! counter), record, restart. Before `place` an interruption leaves the old file and the order is
//! taken up anew; after it [`Installer::recover`] finishes the rest. The counter rises after the
//! file is in place: the other way round, a power cut between would have the device refuse the
//! very update that it lacks.

use super::counters::Counters;
use super::outcome::Ending;
use super::restart;
use crate::config::Component;
use crate::state::{self, State, place, write_new};
use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use touchstone_crypto::{Digest, HashAlgorithm};

/// What is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// The version.
    pub version: u64,
    /// SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: String,
}

/// What is being installed.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Journal {
    order: u64,
    #[serde(flatten)]
    new: Installed,
}

/// Why a step went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The new file can not be written or moved to its place.
    #[error("cannot put the new file in the place of {}: {source}; check the space and the rights there", path.display())]
    Place {
        /// The target.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The rollback counter can not be read or raised.
    #[error("the rollback counter in the element: {0}")]
    Counter(#[from] touchstone_element::Error),
    /// State can not be kept.
    #[error(transparent)]
    State(#[from] state::Error),
    /// The new file is in place, and what ran from the old one was not started anew.
    #[error("the new file is in place but was not started: {0}")]
    Restart(#[from] restart::Error),
}

impl Error {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Place { .. } => "agent.update.place",
            Self::Counter(_) => "agent.update.counter",
            Self::State(error) => error.code(),
            Self::Restart(_) => "agent.update.restart",
        }
    }
}

/// What puts files in place.
pub struct Installer<C> {
    state: State,
    counters: C,
}

impl<C: Counters> Installer<C> {
    /// Keeps its journal in `state` and its counters in `counters`.
    pub fn new(state: &State, counters: C) -> Self {
        Self { state: state.clone(), counters }
    }

    /// The version that an update must be above: the higher of the element's and the disk's.
    pub fn above(&mut self, component: &Component) -> Result<u64, Error> {
        let counted = self.counters.last(component.name.as_str())?;
        let installed = self.installed(component).map(|installed| installed.version);
        Ok(counted.max(installed).unwrap_or(0))
    }

    /// What the record says is installed.
    pub fn installed(&mut self, component: &Component) -> Option<Installed> {
        self.state.load_json(&record(component)).ok().flatten()
    }

    /// Keeps the envelope that a component was installed from, to restore it.
    pub fn keep(&self, component: &Component, envelope: &[u8]) -> Result<(), state::Error> {
        self.state.store(&release(component), envelope)
    }

    /// The envelope that was kept.
    pub fn kept(&self, component: &Component) -> Result<Vec<u8>, String> {
        let path = self.state.path(&release(component));
        let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut envelope = Vec::new();
        let read = file.take(super::LARGEST as u64 + 1).read_to_end(&mut envelope);
        read.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(envelope)
    }

    /// Does all steps.
    pub fn install(
        &mut self,
        component: &Component,
        order: u64,
        new: &Installed,
        payload: &[u8],
    ) -> Ending {
        let done = self
            .stage(component, order, new, payload)
            .and_then(|()| put_in_place(component))
            .and_then(|()| self.finish(component, new));
        match done {
            Ok(()) => Ending::Applied,
            Err(error) => Ending::failed(error.code(), &error),
        }
    }

    /// Writes the new file beside the target and says so in the journal.
    fn stage(
        &mut self,
        component: &Component,
        order: u64,
        new: &Installed,
        payload: &[u8],
    ) -> Result<(), Error> {
        let mode = fs::metadata(&component.path).map_or(0o755, |m| m.permissions().mode() & 0o7777);
        write_new(&staged(&component.path), payload, mode).map_err(at(&component.path))?;
        self.state.store_json(&journal(component), &Journal { order, new: new.clone() })?;
        Ok(())
    }

    fn finish(&mut self, component: &Component, new: &Installed) -> Result<(), Error> {
        let name = component.name.as_str();
        if self.counters.last(name)?.is_none_or(|last| last < new.version) {
            self.counters.raise(name, new.version)?;
        }
        self.state.store_json(&record(component), new)?;
        restart::restart(component)?;
        Ok(())
    }

    /// After a start: finishes what a power cut interrupted behind `place`, forgets what it
    /// interrupted before. Says what was finished, for which order, and how that went.
    pub fn recover(&mut self, component: &Component) -> Option<(u64, Installed, Ending)> {
        let journal: Journal = match self.state.load_json(&journal(component)) {
            Ok(journal) => journal?,
            Err(error) => {
                tracing::warn!(component = %component.name, code = error.code(), "{error}");
                return None;
            }
        };
        let in_place = sha256_of(&component.path).is_ok_and(|found| found == journal.new.sha256);
        if in_place {
            let result = match self.finish(component, &journal.new) {
                Ok(()) => Ending::Applied,
                Err(error) => Ending::failed(error.code(), &error),
            };
            return Some((journal.order, journal.new, result));
        }
        let _ = fs::remove_file(staged(&component.path));
        if let Err(error) = self.settled(component.name.as_str()) {
            tracing::warn!(component = %component.name, code = error.code(), "{error}");
        }
        None
    }

    /// The outcome is kept: the journal has done its duty.
    pub fn settled(&self, component: &str) -> Result<(), state::Error> {
        self.state.remove(&format!("installing-{}.json", safe(component)))
    }
}

fn put_in_place(component: &Component) -> Result<(), Error> {
    place(&staged(&component.path), &component.path).map_err(at(&component.path))
}

fn staged(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.touchstone-new"))
}

fn journal(component: &Component) -> String {
    format!("installing-{}.json", component.name)
}

fn release(component: &Component) -> String {
    format!("release-{}.update", component.name)
}

fn record(component: &Component) -> String {
    format!("installed-{}.json", component.name)
}

/// A name out of an envelope that is not one of ours leads to no file of ours.
fn safe(component: &str) -> &str {
    if component.parse::<crate::config::Identifier>().is_ok() { component } else { "unknown" }
}

fn at(path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Place { path: path.clone(), source }
}

fn sha256_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut piece = vec![0; 64 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => context.update(piece.get(..read).unwrap_or_default()),
        }
    }
    let digest = Digest::new(HashAlgorithm::Sha256, context.finish().as_ref());
    Ok(digest.map(|digest| digest.to_hex()).unwrap_or_default())
}

#[cfg(test)]
#[path = "install/tests.rs"]
mod tests;
