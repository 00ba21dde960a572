//! Starts what the configuration asks for, and stops it when told to: the keeper in this process,
//! the network half in a child of it, and started anew whenever it ends.

mod half;

pub use half::network_half;

use crate::config::Config;
use crate::keeper::{self, Keeper, take_inventory, watch_code};
use crate::network::{self, confine, tunnel};
use crate::respond::desk;
use crate::status::{self, Board};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use touchstone_drive::{Pulse, ServiceManager};

/// Stacks are small: what runs beside the loop is shallow.
const STACK: usize = 512 << 10;

/// As many threads beside the loop: more than the other half may keep busy, and enough that
/// handshakes with slow peers do not keep evidence waiting.
const THREADS: usize = 16;

/// An element, a disk or a hook that takes longer hangs, and only a new process can help.
const PATIENCE: Duration = Duration::from_mins(5);

/// How often it is looked whether everything still turns.
const LOOK: Duration = Duration::from_secs(5);

/// Why the agent does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that the keeper needs from the start.
    #[error(transparent)]
    Keeper(#[from] keeper::Error),
    /// Something that the network half needs.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// The system does not give what every program needs.
    #[error("the system refuses: {0}")]
    System(#[from] io::Error),
}

impl Error {
    /// The stable code of this error.
    pub fn code(&self) -> &str {
        match self {
            Self::Keeper(error) => error.code(),
            Self::Network(error) => error.code(),
            Self::System(_) => "agent.system",
        }
    }
}

/// Reads every file that the configuration names, and looks for the user, without opening the element.
pub fn check(config: &Config) -> Result<(), Error> {
    tunnel::ways(config).map_err(network::Error::from)?;
    network::fleet::Client::new(&config.fleet).map_err(network::Error::from)?;
    match confine::identity(config) {
        // Whoever checks need not be who runs it.
        Ok(_) | Err(confine::Error::NotRoot(_)) => Ok(()),
        Err(error) => Err(network::Error::from(error).into()),
    }
}

/// Runs until told to stop. What was acknowledged is on disk by then, so stopping needs no farewell.
///
/// `file` is where the configuration is from: the network half reads it, too.
pub fn run(config: &Config, file: &Path) -> Result<(), Error> {
    check(config)?;
    confine::identity(config).map_err(network::Error::from)?;
    let board = Board::default();
    let runtime = runtime()?;
    let keeper = Arc::new(Keeper::start(config, board.clone())?);
    let ended = runtime.block_on(serve(config, keeper, board, file));
    // Not to wait for a TPM or a hook that hangs.
    runtime.shutdown_background();
    ended
}

pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .thread_stack_size(STACK)
        .max_blocking_threads(THREADS)
        .thread_name("beside-loop")
        .build()
}

async fn serve(
    config: &Config,
    keeper: Arc<Keeper>,
    board: Board,
    file: &Path,
) -> Result<(), Error> {
    let manager = ServiceManager::of_this_process()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let socket = status::bind(&config.state_dir)?;
    let desk_socket = desk::bind(&config.state_dir)?;
    let changed = Notify::new();
    let (working, watching) = (Pulse::new(LOOK * 3), Pulse::new(PATIENCE));
    let pulses = [working.clone(), watching.clone()];
    told(manager.ready("starting"));
    tokio::select! {
        () = half::keep(config, file, Arc::clone(&keeper), &changed, &board) => {}
        () = watch_code(&keeper, &changed, &watching) => {}
        () = take_inventory(&keeper) => {}
        () = keeper.look_after_responses() => {}
        () = desk::serve(desk_socket, Arc::clone(&keeper)) => {}
        () = status::serve(socket, board.clone()) => {}
        () = look_after(config, &keeper, &board, &manager, &working) => {}
        () = manager.keep_alive(&pulses) => {}
        _ = terminate.recv() => tracing::info!("told to stop"),
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    told(manager.stopping());
    Ok(())
}

/// Sees that answers come, and tells the service manager in words how things are.
async fn look_after(
    config: &Config,
    keeper: &Keeper,
    board: &Board,
    manager: &ServiceManager,
    pulse: &Pulse,
) {
    let mut said = String::new();
    loop {
        if keeper.answers_within(PATIENCE) {
            pulse.beat();
        }
        if let Err(error) = confine::prepare(config) {
            tracing::warn!(code = error.code(), "{error}");
        }
        let words = board.read().in_a_line();
        if words != said {
            told(manager.status(&words));
            said = words;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A service manager that cannot be told will draw its own conclusions.
fn told(told: io::Result<()>) {
    if let Err(error) = told {
        tracing::warn!(%error, "the service manager was not told");
    }
}
