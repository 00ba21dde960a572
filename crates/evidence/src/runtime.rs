//! Run-time claims: what the agent sees of the running system. Bound into the quote by its
//! qualifying data, so that they are as fresh as it is; true as far as the agent is, which IMA
//! measured.
//!
//! Here is also the one definition of a *code range*, used by the agent's collector and by whoever
//! makes reference values: the executable, file-backed part of a mapping, in whole pages.

mod elf;
mod observation;

pub use elf::code_ranges;
pub use observation::{Failure, MAX_OBSERVED, Observation, Observed};

use crate::Error;
use crate::cbor::{Reader, encode};
use alloc::string::String;
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};

/// The page size that ranges are counted in.
pub const PAGE: u64 = 4096;
/// The most processes, ranges of one process, or components in a report.
pub const MAX_ITEMS: usize = 4096;
/// The longest path or name, in octets.
pub const MAX_TEXT: usize = 4096;

const ITEM: &str = "run-time claims";
const VERSION: u64 = 2;
/// Without observations; agents of before say so.
const FIRST_VERSION: u64 = 1;

/// What the agent reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeClaims {
    /// The agent's own version: `0.1.0`.
    pub agent_version: String,
    /// Milliseconds since boot.
    pub uptime_ms: u64,
    /// The kernel's command line (/proc/cmdline): believed only where it is what was measured.
    pub command_line: String,
    /// The executables that it watches, whether they run or not.
    pub watched: Vec<String>,
    /// The processes of these executables.
    pub processes: Vec<Process>,
    /// What is installed by updates, with its version.
    pub components: Vec<Component>,
    /// What it observed beyond that, claim by claim.
    pub observations: Vec<Observation>,
}

/// A watched process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The executable's path as it was watched.
    pub path: String,
    /// Its process id.
    pub pid: u32,
    /// When it started, in clock ticks since boot (field 22 of /proc/PID/stat): tells a restarted
    /// process from the same one.
    pub start: u64,
    /// Executable mappings that no file backs, except those of the kernel (`[vdso]`,
    /// `[vsyscall]`): code that nothing vouches for.
    pub anonymous_executable: u32,
    /// Its executable mappings of files, each as it is in memory.
    pub ranges: Vec<CodeRange>,
}

/// A range of code: whole pages of a file, mapped executable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CodeRange {
    /// The mapped file, as /proc/PID/maps shows it (with ` (deleted)` if it is).
    pub path: String,
    /// Where in the file the mapping begins, a multiple of [`PAGE`].
    pub offset: u64,
    /// Its length, a multiple of [`PAGE`].
    pub len: u64,
    /// Of its octets in memory ([`code_digest`]).
    pub digest: Digest,
}

/// An installed component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Its name in update manifests and reference values.
    pub name: String,
    /// Its version.
    pub version: u64,
}

/// The digest of a code range: SHA-256 over its octets, all pages whole.
pub fn code_digest(crypto: &dyn Crypto, octets: &[u8]) -> Digest {
    crypto.hash(HashAlgorithm::Sha256, &[octets])
}

impl RuntimeClaims {
    /// CBOR; these octets go into [`binding`](crate::binding) and into the evidence as they are.
    pub fn encode(&self) -> Vec<u8> {
        encode(|out| {
            out.array(8)?.u64(VERSION)?.str(&self.agent_version)?.u64(self.uptime_ms)?;
            out.str(&self.command_line)?;
            out.array(self.watched.len() as u64)?;
            for path in &self.watched {
                out.str(path)?;
            }
            out.array(self.processes.len() as u64)?;
            for process in &self.processes {
                out.array(5)?.str(&process.path)?.u32(process.pid)?.u64(process.start)?;
                out.u32(process.anonymous_executable)?.array(process.ranges.len() as u64)?;
                for range in &process.ranges {
                    out.array(4)?.str(&range.path)?.u64(range.offset)?.u64(range.len)?;
                    out.bytes(range.digest.as_bytes())?;
                }
            }
            out.array(self.components.len() as u64)?;
            for component in &self.components {
                out.array(2)?.str(&component.name)?.u64(component.version)?;
            }
            observation::encode(out, &self.observations)
        })
    }

    /// Reads what [`encode`](Self::encode) writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(ITEM, bytes);
        let version = match reader.array(8)? {
            8 => VERSION,
            7 => FIRST_VERSION,
            _ => return Err(reader.malformed()),
        };
        if reader.u64()? != version {
            return Err(reader.malformed());
        }
        let claims = Self {
            agent_version: reader.string(MAX_TEXT)?,
            uptime_ms: reader.u64()?,
            command_line: reader.string(MAX_TEXT)?,
            watched: reader.list(MAX_ITEMS, |reader| reader.string(MAX_TEXT))?,
            processes: reader.list(MAX_ITEMS, process)?,
            components: reader.list(MAX_ITEMS, component)?,
            observations: match version {
                FIRST_VERSION => Vec::new(),
                _ => observation::decode(&mut reader)?,
            },
        };
        reader.end()?;
        Ok(claims)
    }
}

fn process(reader: &mut Reader<'_>) -> Result<Process, Error> {
    reader.tuple(5)?;
    Ok(Process {
        path: reader.string(MAX_TEXT)?,
        pid: reader.u32()?,
        start: reader.u64()?,
        anonymous_executable: reader.u32()?,
        ranges: reader.list(MAX_ITEMS, range)?,
    })
}

fn range(reader: &mut Reader<'_>) -> Result<CodeRange, Error> {
    reader.tuple(4)?;
    Ok(CodeRange {
        path: reader.string(MAX_TEXT)?,
        offset: reader.u64()?,
        len: reader.u64()?,
        digest: reader.sha256()?,
    })
}

fn component(reader: &mut Reader<'_>) -> Result<Component, Error> {
    reader.tuple(2)?;
    Ok(Component { name: reader.string(MAX_TEXT)?, version: reader.u64()? })
}

#[cfg(test)]
mod tests;
