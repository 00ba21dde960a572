//! Starts what the configuration asks for, and stops it when told to.

use crate::agent::{self, Agent, watch_code};
use crate::config::Config;
use crate::status::{self, Board};
use crate::tunnel::{self, Way};
use std::io;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Stacks are small: what runs beside the loop is shallow.
const STACK: usize = 512 << 10;

/// As many threads beside the loop: enough that handshakes with slow peers do not keep evidence waiting.
const THREADS: usize = 16;

/// Why the agent does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that it needs from the start.
    #[error(transparent)]
    Agent(#[from] agent::Error),
    /// A tunnel.
    #[error(transparent)]
    Tunnel(#[from] tunnel::Error),
    /// The system does not give what every program needs.
    #[error("the system refuses: {0}")]
    System(#[from] io::Error),
}

impl Error {
    /// The stable code of this error.
    pub fn code(&self) -> &str {
        match self {
            Self::Agent(error) => error.code(),
            Self::Tunnel(error) => error.code(),
            Self::System(_) => "agent.system",
        }
    }
}

/// Reads every file that the configuration names, without opening the element.
pub fn check(config: &Config) -> Result<(), Error> {
    ways(config)?;
    crate::fleet::Client::new(&config.fleet).map_err(agent::Error::from)?;
    Ok(())
}

/// Runs until told to stop. What was acknowledged is on disk by then, so stopping needs no farewell.
pub fn run(config: &Config) -> Result<(), Error> {
    let ways = ways(config)?;
    let board = Board::default();
    let runtime = runtime()?;
    let agent = Agent::start(config, board.clone())?;
    let ended = runtime.block_on(serve(config, agent, ways, board));
    // Not to wait for a TPM or a hook that hangs.
    runtime.shutdown_background();
    ended
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .thread_stack_size(STACK)
        .max_blocking_threads(THREADS)
        .thread_name("beside-loop")
        .build()
}

fn ways(config: &Config) -> Result<Vec<Way>, Error> {
    let roots = &config.fleet.roots;
    Ok(config.tunnels.iter().map(|tunnel| Way::new(tunnel, roots)).collect::<Result<_, _>>()?)
}

async fn serve(config: &Config, agent: Agent, ways: Vec<Way>, board: Board) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let socket = status::bind(&config.state_dir)?;
    let changed = Arc::new(Notify::new());
    let mut tunnels = JoinSet::new();
    for way in ways {
        tunnels.spawn(way.serve(agent.pass(), board.clone()));
    }
    tokio::select! {
        () = agent.live(Arc::clone(&changed)) => {}
        () = watch_code(config, changed) => {}
        () = status::serve(socket, board) => {}
        Some(Ok(error)) = tunnels.join_next() => return Err(error.into()),
        _ = terminate.recv() => tracing::info!("told to stop"),
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}
