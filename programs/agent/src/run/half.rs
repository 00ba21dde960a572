//! The network half as a process: started from this very program, noticed when it ends, and started
//! anew, more slowly the faster it ends.

use crate::config::Config;
use crate::keeper::Keeper;
use crate::link::{End, serve};
use crate::network::confine;
use crate::offloop::off_loop;
use crate::status::Board;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// One that says nothing for so long hangs: it says how things are every two seconds.
const SILENCE: Duration = Duration::from_secs(30);

/// One that ran for so long did not end for how it started.
const WELL: Duration = Duration::from_mins(1);

/// The word by which this program knows that it is to be the network half.
const NETWORK: &str = "network-half";

/// If this process was started as the network half: the configuration's file. Looked for before
/// anything else, because what the half does not need should not cost it memory.
pub fn network_half() -> Option<OsString> {
    let mut arguments = std::env::args_os().skip(1);
    arguments.next().filter(|word| word == NETWORK).and_then(|_| arguments.next())
}

/// Why there was, or is, no network half.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the network half cannot be started: {0}")]
    NotStarted(std::io::Error),
    #[error(transparent)]
    Confine(#[from] confine::Error),
    #[error("the network half ended ({status}): {end}")]
    Over { end: End, status: ExitStatus },
    #[error("the network half ended: {end}, and its status is unknown: {source}")]
    Lost { end: End, source: std::io::Error },
}

impl Ended {
    const fn code(&self) -> &'static str {
        match self {
            Self::NotStarted(_) => "agent.network.start",
            Self::Confine(error) => error.code(),
            Self::Over { end, .. } | Self::Lost { end, .. } => end.code(),
        }
    }
}

/// Keeps a network half running. Must be polled by the thread that outlives it: the system kills a
/// child with the thread that started it.
pub(super) async fn keep(
    config: &Config,
    file: &Path,
    keeper: Arc<Keeper>,
    look: &Notify,
    board: &Board,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let started = Instant::now();
        let ended = once(config, file, Arc::clone(&keeper), look, board).await;
        board.watch(None);
        tracing::error!(code = ended.code(), "{ended}");
        keeper.abandoned(ended.code(), &ended.to_string());
        if started.elapsed() > WELL {
            pause = FIRST_PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn once(
    config: &Config,
    file: &Path,
    keeper: Arc<Keeper>,
    look: &Notify,
    board: &Board,
) -> Ended {
    if let Err(error) = confine::prepare(config) {
        return error.into();
    }
    let (line, child) = match start(file) {
        Ok(started) => started,
        Err(error) => return Ended::NotStarted(error),
    };
    board.watch(Some(child.0.id()));
    let end = serve(line, keeper, look, SILENCE).await;
    match off_loop(move || child.end()).await {
        Ok(status) => Ended::Over { end, status },
        Err(source) => Ended::Lost { end, source },
    }
}

fn start(file: &Path) -> std::io::Result<(tokio::net::UnixStream, Half)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let ours = tokio::net::UnixStream::from_std(ours)?;
    // This very program, even if the file has been replaced since. The line is standard input, so
    // that no descriptor has to be found; what else is open closes by itself.
    let child = Command::new("/proc/self/exe")
        .arg0("touchstone-agent")
        .arg(NETWORK)
        .arg(file)
        .env_clear()
        // malloc(3): threads share memory instead of each keeping its own.
        .env("MALLOC_ARENA_MAX", "1")
        .stdin(OwnedFd::from(theirs))
        // Ctrl-C is for the keeper to hear.
        .process_group(0)
        .stdout(Stdio::null())
        .spawn()?;
    Ok((ours, Half(child)))
}

/// A child that does not outlive its owner.
struct Half(Child);

impl Half {
    fn end(mut self) -> std::io::Result<ExitStatus> {
        // It may have ended by itself.
        let _ = self.0.kill();
        self.0.wait()
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
