//! Supervised child processes: each dies with the rig, logs to a file, and is waited for with a
//! deadline. What this is not: knowledge of any particular program.

use crate::{interrupt, tools};
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How to start a program.
pub struct Launch {
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
    log: PathBuf,
}

impl Launch {
    /// `name` is what messages call it; standard output and error are appended to `log`.
    pub fn new(name: &str, program: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            envs: Vec::new(),
            log: log.into(),
        }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().into());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().into()));
        self
    }

    /// One more environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.envs.push((name.as_ref().into(), value.as_ref().into()));
        self
    }

    /// Starts it.
    pub fn start(self) -> Result<Process> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("cannot write {}", self.log.display()))?;
        // The parent-death signal outlives exec; the own process group keeps the terminal's Ctrl-C
        // away, so that the rig alone decides the order of the end.
        let setpriv = tools::find("setpriv", "util-linux")?;
        let mut command = Command::new(&setpriv);
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&self.program)
            .args(&self.args)
            .envs(self.envs.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        let child = spawn(command).with_context(|| format!("{} did not start", self.name))?;
        interrupt::started(child.id().cast_signed());
        let mut process = Process { name: self.name, child, log: self.log, ended: None };
        // Until setpriv has become the program, our death would go unnoticed.
        let (exe, setpriv) = (format!("/proc/{}/exe", process.id()), setpriv.canonicalize()?);
        process.wait_until("its start", Duration::from_secs(30), |process| {
            let became = std::fs::read_link(&exe).is_ok_and(|program| program != setpriv);
            Ok(became || !process.is_running()?)
        })?;
        Ok(process)
    }
}

/// A parent-death signal fires when the *thread* that spawned the child ends, so one thread, which
/// never ends, spawns them all.
fn spawn(command: Command) -> std::io::Result<Child> {
    type Job = (Command, Sender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, queue) = channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, reply) in queue {
                // Whoever asked may have given up.
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(jobs)
    });
    let (reply, answer) = channel();
    let sent = spawner.lock().unwrap_or_else(PoisonError::into_inner).send((command, reply));
    sent.map_err(std::io::Error::other)?;
    answer.recv().map_err(std::io::Error::other)?
}

/// Whether somebody listens on a unix socket, which is later than that its path exists; found out
/// without connecting, because some programs serve one connection in their life.
pub(crate) fn listens(socket: &Path) -> Result<bool> {
    // proc(5): the flags are the fourth field, the path the eighth; __SO_ACCEPTCON.
    const LISTENING: &str = "00010000";
    let table = std::fs::read_to_string("/proc/net/unix")?;
    let path = socket.to_string_lossy();
    Ok(table.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(3);
        fields.next() == Some(LISTENING) && fields.nth(3) == Some(&*path)
    }))
}

/// A program that the rig started.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The file it logs to.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// What it has logged so far.
    pub fn log(&self) -> Result<String> {
        let bytes = std::fs::read(&self.log)
            .with_context(|| format!("no log of {} at {}", self.name, self.log.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.poll()?.is_none())
    }

    /// Asks `ready` until it says yes. A process that ends, and a deadline that passes, fail with
    /// the end of the log.
    pub fn wait_until(
        &mut self,
        what: &str,
        limit: Duration,
        mut ready: impl FnMut(&mut Self) -> Result<bool>,
    ) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            if ready(self)? {
                return Ok(());
            }
            if let Some(status) = self.poll()? {
                bail!("{} ended with {status} before {what}:\n{}", self.name, self.last_words());
            }
            if Instant::now() > end {
                bail!("{}: no {what} within {limit:?}:\n{}", self.name, self.last_words());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.poll()? {
                return Ok(status);
            }
            if Instant::now() > end {
                bail!("{} did not end within {limit:?}:\n{}", self.name, self.last_words());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks it to end (SIGTERM), and insists after three seconds.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        match self.wait(Duration::from_secs(3)) {
            Ok(status) => Ok(status),
            Err(_) => self.kill(),
        }
    }

    /// Ends it at once (SIGKILL): a crash, as far as it can tell.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        self.wait(Duration::from_secs(10))
    }

    fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.poll()?.is_some() {
            return Ok(());
        }
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("a process id of zero")?;
        rustix::process::kill_process(pid, signal)
            .with_context(|| format!("cannot signal {}", self.name))
    }

    fn poll(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
            if self.ended.is_some() {
                interrupt::reaped(self.child.id().cast_signed());
            }
        }
        Ok(self.ended)
    }

    fn last_words(&self) -> String {
        tools::tail(&std::fs::read(&self.log).unwrap_or_default(), 3_000)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("rig: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt::Scratch;

    fn sleeper(scratch: &Scratch) -> Process {
        let log = scratch.path().join("sleep.log");
        Launch::new("sleeper", "/bin/sleep", log).arg("600").start().unwrap()
    }

    fn runs(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}/stat")).exists()
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let scratch = Scratch::new().unwrap();
        let process = sleeper(&scratch);
        let pid = process.id();
        assert!(runs(pid));
        drop(process);
        assert!(!runs(pid));
    }

    #[test]
    fn a_process_outlives_the_thread_that_asked_for_it() {
        let scratch = Scratch::new().unwrap();
        let mut process =
            std::thread::scope(|scope| scope.spawn(|| sleeper(&scratch)).join().unwrap());
        std::thread::sleep(Duration::from_millis(100));
        assert!(process.is_running().unwrap());
    }

    #[test]
    fn a_socket_is_ready_when_somebody_listens() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().join("sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(listens(&path).unwrap());
        drop(listener);
        assert!(path.exists() && !listens(&path).unwrap());
    }

    #[test]
    fn a_process_that_ends_early_fails_with_its_last_words() {
        let scratch = Scratch::new().unwrap();
        let log = scratch.path().join("sh.log");
        let mut process = Launch::new("liar", "/bin/sh", log)
            .args(["-c", "echo no luck; exit 3"])
            .start()
            .unwrap();
        let error = process
            .wait_until("readiness", Duration::from_secs(30), |_| Ok(false))
            .unwrap_err()
            .to_string();
        assert!(error.contains("liar ended with exit status: 3 before readiness"), "{error}");
        assert!(error.contains("no luck"), "{error}");
    }
}
