//! Services and processes that are stopped, and programs that are asked to help.

use super::Error;
use crate::collect::process::identity;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::path::Path;
use std::process::{Command, Stdio};

/// Has systemd do something with a service.
pub fn systemctl(program: &Path, verb: &[&str], unit: &str) -> Result<(), Error> {
    let mut arguments = verb.to_vec();
    arguments.push(unit);
    run(&program.display().to_string(), &arguments)
}

/// Ends a service at once, however it takes being asked. It is told to stop first: killed before that,
/// it could be started anew in between, and be asked after all.
pub fn kill_unit(program: &Path, unit: &str) -> Result<(), Error> {
    systemctl(program, &["stop", "--no-block", "--"], unit)?;
    let killed = systemctl(program, &["kill", "--signal=KILL", "--"], unit);
    match systemctl(program, &["stop", "--"], unit) {
        // One that had ended by itself was not there to be killed.
        Ok(()) => Ok(()),
        Err(error) => killed.and(Err(error)),
    }
}

/// Runs a program to its end.
pub fn run(program: &str, arguments: &[&str]) -> Result<(), Error> {
    let fault =
        |why: String| Error::Command { command: format!("{program} {}", arguments.join(" ")), why };
    let output = Command::new(program)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|error| fault(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let words: String = words.chars().filter(|c| !c.is_control()).take(200).collect();
    Err(fault(format!("{}: {words}", output.status)))
}

/// Ends a process at once: the very one, whoever has its number later.
pub fn kill(pid: u32, start: u64) -> Result<(), Error> {
    let fault = |error: rustix::io::Errno| Error::Signal { pid, why: error.to_string() };
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Error::Gone { pid })?;
    let handle = match pidfd_open(number, PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(rustix::io::Errno::SRCH) => return Err(Error::Gone { pid }),
        Err(error) => return Err(fault(error)),
    };
    if identity(pid).ok().flatten().is_none_or(|now| now.start != start) {
        return Err(Error::Gone { pid });
    }
    match pidfd_send_signal(&handle, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(fault(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Victim;

    #[test]
    fn the_very_process_is_ended_and_no_other_of_its_number() {
        let victim = Victim::start();
        assert_eq!(kill(victim.pid(), 1).unwrap_err().code(), "agent.respond.gone");
        kill(victim.pid(), identity(victim.pid()).unwrap().unwrap().start).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert!(victim.has_ended());
    }

    #[test]
    fn a_program_that_says_no_is_quoted_without_what_steers_terminals() {
        let error = run("/bin/sh", &["-c", "printf 'no\\033[2J' >&2; exit 3"]).unwrap_err();
        assert!(error.to_string().contains("no[2J"), "{error}");
        assert_eq!(run("/nonexistent", &[]).unwrap_err().code(), "agent.respond.command");
    }
}
