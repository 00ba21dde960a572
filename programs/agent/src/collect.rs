//! What the agent measures on Linux: firmware and kernel logs, the code of processes as it stands in
//! memory, and how the system is set up and fares.
//!
//! Nothing here judges. What can not be read is an [`Error`], not an empty claim.

pub mod again;
pub mod code;
pub mod exec;
pub mod files;
pub mod finding;
mod kernel;
pub mod log;
pub mod lsm;
pub mod maps;
pub mod observe;
pub mod pages;
pub mod process;
pub mod space;
pub mod watch;
pub mod written;

use std::io;
use std::path::{Path, PathBuf};

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file can not be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is longer than anything that is put into evidence.
    #[error("{} is longer than {limit} octets; evidence would not fit", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// The kernel does not let us look into a process.
    #[error(
        "process {pid} may not be looked into; run the agent with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH \
         and check /proc/sys/kernel/yama/ptrace_scope"
    )]
    NotPermitted {
        /// The process.
        pid: u32,
    },
    /// A line of `/proc/PID/maps` is not as proc(5) says.
    #[error("line {line} of /proc/{pid}/maps is not as proc(5) says")]
    MalformedMaps {
        /// The process.
        pid: u32,
        /// The line, counted from 1.
        line: usize,
    },
    /// A process has more mappings than are looked at.
    #[error(
        "process {pid} has more than {limit} executable mappings or processes than are measured"
    )]
    TooMany {
        /// The process.
        pid: u32,
        /// The limit.
        limit: usize,
    },
}

impl Error {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "agent.collect.unreadable",
            Self::TooLong { .. } => "agent.collect.too-long",
            Self::NotPermitted { .. } => "agent.collect.not-permitted",
            Self::MalformedMaps { .. } => "agent.collect.maps",
            Self::TooMany { .. } => "agent.collect.too-many",
        }
    }
}

/// An I/O error on a file of a process: `None` if the process is gone, which is no fault.
fn of_process(pid: u32, path: &Path, source: io::Error) -> Option<Error> {
    let gone =
        matches!(source.raw_os_error(), Some(raw) if raw == rustix::io::Errno::SRCH.raw_os_error());
    match source.kind() {
        io::ErrorKind::NotFound => None,
        _ if gone => None,
        io::ErrorKind::PermissionDenied => Some(Error::NotPermitted { pid }),
        _ => Some(Error::Unreadable { path: path.to_owned(), source }),
    }
}
