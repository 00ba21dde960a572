//! Has what runs from a replaced file make room for the new one.

use crate::collect::process::running;
use crate::config::{Component, Restart, Signal};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::Duration;

/// So long a process may take to go.
const GRACE: Duration = Duration::from_secs(5);

/// Why nothing was started anew.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The processes that run the file can not be found.
    #[error(transparent)]
    Find(#[from] crate::collect::Error),
    /// A process can not be sent a signal.
    #[error("process {pid} takes no signal: {source}")]
    Signal {
        /// The process.
        pid: u32,
        /// What the system said.
        source: io::Error,
    },
    /// The command can not be started.
    #[error("`{command}` cannot be started: {source}")]
    NotStarted {
        /// The command.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// The command said no.
    #[error("`{command}` ended with {status}")]
    Command {
        /// The command.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
}

pub(super) fn restart(component: &Component) -> Result<(), Error> {
    match &component.restart {
        Restart::No => Ok(()),
        Restart::Signal(signal) => signal_all(component, *signal),
        Restart::Command(command) => run(command),
    }
}

/// Signals every process that runs the component, the old file or the new one. One that was
/// tampered with may not heed a request, so after a while it is not asked any more.
fn signal_all(component: &Component, signal: Signal) -> Result<(), Error> {
    let mut asked = Vec::new();
    for process in running(std::slice::from_ref(&component.path))? {
        let fault =
            |error: rustix::io::Errno| Error::Signal { pid: process.pid, source: error.into() };
        let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { continue };
        // A handle, so that no other process is hit that got the number meanwhile.
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(rustix::io::Errno::SRCH) => continue,
            Err(error) => return Err(fault(error)),
        };
        send(&handle, kind(signal)).map_err(fault)?;
        asked.push((process.pid, handle));
    }
    // One that reloads on a hang-up stays.
    if signal == Signal::Hup {
        return Ok(());
    }
    for (pid, handle) in asked {
        if !has_ended(&handle, GRACE) {
            send(&handle, rustix::process::Signal::KILL)
                .map_err(|error| Error::Signal { pid, source: error.into() })?;
            has_ended(&handle, GRACE);
        }
    }
    Ok(())
}

fn kind(signal: Signal) -> rustix::process::Signal {
    match signal {
        Signal::Term => rustix::process::Signal::TERM,
        Signal::Hup => rustix::process::Signal::HUP,
        Signal::Kill => rustix::process::Signal::KILL,
    }
}

fn send(handle: &OwnedFd, signal: rustix::process::Signal) -> rustix::io::Result<()> {
    match pidfd_send_signal(handle, signal) {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        other => other,
    }
}

/// pidfd_open(2): the handle becomes readable when the process ends.
fn has_ended(handle: &OwnedFd, within: Duration) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let timeout = rustix::event::Timespec::try_from(within).ok();
    let mut waited = [PollFd::new(handle, PollFlags::IN)];
    matches!(poll(&mut waited, timeout.as_ref()), Ok(ready) if ready > 0)
}

fn run(command: &[String]) -> Result<(), Error> {
    let shown = command.join(" ");
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|source| Error::NotStarted { command: shown.clone(), source })?;
    if status.success() { Ok(()) } else { Err(Error::Command { command: shown, status }) }
}
