//! Countermeasures: what can be done about a verdict, and what keeps it from doing harm.
//!
//! [`engine`] decides and remembers, and does nothing itself. Each thing that can be done has a
//! module; the quarantine, by nftables in a table of our own (`inet touchstone`), is here. It is a
//! last resort, so it fails open towards management: without a way to the fleet it is refused, and
//! the ruleset comes into force as a whole or not at all.

pub mod action;
pub mod approval;
pub mod assets;
pub mod bucket;
pub mod capture;
pub mod desk;
pub mod engine;
pub mod freeze;
pub mod journal;
mod ruleset;
pub mod unit;

pub use ruleset::{TABLE, ruleset};

use crate::state::{self, State};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const FILE: &str = "quarantine.json";

/// That the device is in quarantine, as it is kept over restarts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// `touchstone.agent.quarantine/1`
    pub schema: String,
    /// When it began, in Unix seconds.
    pub since: u64,
    /// Why, in words of the attestation result.
    pub reason: String,
    /// What stays reachable.
    pub allow: Vec<SocketAddr>,
}

/// Why a countermeasure could not be taken, or taken back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No way to the fleet would stay open.
    #[error(
        "no address stays reachable, so there is no quarantine; name the fleet's \"ip:port\" as `allow` in [respond]"
    )]
    NothingAllowed,
    /// `nft` could not be started.
    #[error("{} cannot be started: {source}; install nftables or set `nft` in [respond]", program.display())]
    NotStarted {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `nft` refused the ruleset.
    #[error("nft refused: {words}; the agent needs CAP_NET_ADMIN and a kernel with nf_tables")]
    Refused {
        /// What it said.
        words: String,
    },
    /// There are no control groups of version 2.
    #[error("no control groups of version 2 are mounted, so that nothing can be frozen")]
    NoGroups,
    /// A control group does not do what it is told.
    #[error("the control group at {}: {why}", path.display())]
    Group {
        /// The group, or a file of it.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The process is not there any more.
    #[error("process {pid} has ended, or is another one by now")]
    Gone {
        /// Its number.
        pid: u32,
    },
    /// A capture can not be made.
    #[error("the capture {} cannot be made: {why}", path.display())]
    Capture {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        why: String,
    },
    /// A program that should help does not.
    #[error("`{command}`: {why}")]
    Command {
        /// The command.
        command: String,
        /// What it or the system said.
        why: String,
    },
    /// The process takes no signal.
    #[error("process {pid} takes no signal: {why}")]
    Signal {
        /// Its number.
        pid: u32,
        /// What the system said.
        why: String,
    },
    /// It needs something that the configuration does not name.
    #[error("nothing can be done: {0}")]
    NotConfigured(&'static str),
    /// A key or the element does not do it.
    #[error(transparent)]
    Keys(#[from] crate::keys::Error),
    /// The last release can not be had.
    #[error("the last release cannot be put in place again: {0}")]
    Restore(String),
    /// State could not be kept.
    #[error(transparent)]
    State(#[from] state::Error),
}

impl Error {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NothingAllowed => "agent.respond.nothing-allowed",
            Self::NotStarted { .. } => "agent.respond.nft-missing",
            Self::Refused { .. } => "agent.respond.nft-refused",
            Self::NoGroups => "agent.respond.no-groups",
            Self::Group { .. } => "agent.respond.group",
            Self::Gone { .. } => "agent.respond.gone",
            Self::Capture { .. } => "agent.respond.capture",
            Self::Command { .. } => "agent.respond.command",
            Self::Signal { .. } => "agent.respond.signal",
            Self::NotConfigured(_) => "agent.respond.not-configured",
            Self::Keys(error) => error.code(),
            Self::Restore(_) => "agent.respond.restore",
            Self::State(error) => error.code(),
        }
    }
}

/// The quarantine of this device.
#[derive(Debug)]
pub struct Responder {
    nft: PathBuf,
    state: State,
    current: Option<Quarantine>,
}

impl Responder {
    /// Takes up where an agent before this one left off. A reboot has emptied the kernel's tables
    /// and changed nothing about the verdict, so a quarantine that was on is put on again.
    pub fn resume(nft: &Path, state: &State) -> Result<(Self, Option<Error>), state::Error> {
        let current: Option<Quarantine> = state.load_json(FILE)?;
        let responder = Self { nft: nft.to_owned(), state: state.clone(), current };
        let failed = match &responder.current {
            Some(quarantine) => responder.apply(&quarantine.allow).err(),
            None => None,
        };
        Ok((responder, failed))
    }

    /// The quarantine, if there is one.
    pub const fn current(&self) -> Option<&Quarantine> {
        self.current.as_ref()
    }

    /// Cuts the device off from all but `allow`. True if it was not so before.
    pub fn quarantine(
        &mut self,
        allow: &[SocketAddr],
        reason: &str,
        now: u64,
    ) -> Result<bool, Error> {
        if self.current.as_ref().is_some_and(|current| current.allow == allow) && self.in_force()? {
            return Ok(false);
        }
        let since = self.current.as_ref().map_or(now, |current| current.since);
        let quarantine = Quarantine {
            schema: "touchstone.agent.quarantine/1".to_owned(),
            since,
            reason: reason.to_owned(),
            allow: allow.to_vec(),
        };
        // Kept before it is done: an agent that is killed in between must know what to take back.
        self.state.store_json(FILE, &quarantine)?;
        if let Err(error) = self.apply(allow) {
            match &self.current {
                Some(current) => self.state.store_json(FILE, current)?,
                None => self.state.remove(FILE)?,
            }
            return Err(error);
        }
        self.current = Some(quarantine);
        Ok(true)
    }

    /// Opens the device again. True if it was in quarantine.
    pub fn release(&mut self) -> Result<bool, Error> {
        if self.current.is_none() {
            return Ok(false);
        }
        // Adding the table first makes the removal succeed where there is none.
        self.load(&format!("add table {TABLE}\ndelete table {TABLE}\n"))?;
        self.state.remove(FILE)?;
        self.current = None;
        Ok(true)
    }

    fn apply(&self, allow: &[SocketAddr]) -> Result<(), Error> {
        if allow.is_empty() {
            return Err(Error::NothingAllowed);
        }
        self.load(&ruleset(allow))
    }

    fn load(&self, rules: &str) -> Result<(), Error> {
        // For `-` some versions of nft open /dev/stdin, which a device without udev has not.
        self.nft(&["-f", "/proc/self/fd/0"], rules).map(drop)
    }

    /// Whether the table is in the kernel; somebody may have flushed the ruleset.
    fn in_force(&self) -> Result<bool, Error> {
        match self.nft(&["list", "table", "inet", "touchstone"], "") {
            Ok(_) => Ok(true),
            Err(Error::Refused { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn nft(&self, arguments: &[&str], input: &str) -> Result<Vec<u8>, Error> {
        let missing = |source| Error::NotStarted { program: self.nft.clone(), source };
        let mut child = Command::new(&self.nft)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(missing)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ends without reading has its own words to say on stderr.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output().map_err(missing)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let words = String::from_utf8_lossy(&output.stderr).trim().chars().take(400).collect();
        Err(Error::Refused { words })
    }
}

#[cfg(test)]
mod tests;
