//! When running code is looked at: all of it again and again, and a process at once when something
//! happens to it. What happens comes from BPF programs at the kernel's security hooks where they are
//! in, else from fanotify, else from nowhere; a claim says which.

use super::{Keeper, lock};
use crate::collect::exec::{Gate, Started};
use crate::collect::lsm::{self, Ring, Seen, What};
use crate::config::OnExec;
use crate::offloop::off_loop;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use touchstone_audit::Code;
use touchstone_drive::Pulse;
use touchstone_evidence::runtime::{Observation, Observed};

/// Signals may lie ready while a look takes its time.
const READY: usize = 1024;

/// So long a program gets to map its libraries before it is looked at.
const SETTLE: Duration = Duration::from_millis(20);

/// Where something may go on after a first look, there is a second one.
const AFTERWARDS: Duration = Duration::from_millis(150);

/// Where signals come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    name: &'static str,
    /// Why not from a better one.
    why: String,
    /// Signals for which there was no room.
    lost: u32,
}

impl Default for Source {
    fn default() -> Self {
        Self { name: "none", why: "nobody asked for it".to_owned(), lost: 0 }
    }
}

/// A reason to look.
#[derive(Debug)]
enum Signal {
    /// A program starts, by fanotify.
    Started(Started),
    /// What the kernel's hooks tell.
    Seen(Seen),
}

impl Signal {
    /// Whom to look at.
    const fn pid(&self) -> u32 {
        match self {
            Self::Started(it) => it.pid,
            Self::Seen(it) => it.whom(),
        }
    }

    const fn goes_on(&self) -> bool {
        matches!(self, Self::Seen(it) if it.goes_on())
    }
}

/// Looks at the running code again and again, and at a process whenever something happens to it, and
/// tells when there is something new.
pub async fn watch_code(keeper: &Arc<Keeper>, changed: &Notify, pulse: &Pulse) {
    let mut signals =
        Signals { from: keeper.watch_events(), waiting: Vec::new(), again: Vec::new() };
    let mut told = false;
    loop {
        let looking = Arc::clone(keeper);
        let looked = off_loop(move || {
            let looked = lock(&looking.watch).look();
            if let Ok((look, _)) = &looked {
                looking.tell_findings(look, true);
            }
            looked
        })
        .await;
        pulse.beat();
        match looked {
            Ok((_, true)) => {
                tracing::warn!("running code has changed");
                changed.notify_one();
            }
            Ok((_, false)) => told = false,
            // The next evidence says so too, and louder; here once is enough.
            Err(error) if !told => {
                tracing::warn!(code = error.code(), "{error}");
                told = true;
            }
            Err(_) => {}
        }
        let pause = tokio::time::sleep(keeper.config.collect.scan);
        tokio::select! {
            () = pause => {}
            () = signals.follow(keeper, changed) => {}
        }
    }
}

/// Signals, and what is still to be done about them.
struct Signals {
    from: mpsc::Receiver<Signal>,
    waiting: Vec<Signal>,
    /// Who is looked at once more, and when.
    again: Vec<(Instant, u32)>,
}

impl Signals {
    /// Looks at processes as signals of them come, for ever. Dropped at any time, it loses none.
    async fn follow(&mut self, keeper: &Arc<Keeper>, changed: &Notify) {
        loop {
            if self.waiting.is_empty() {
                let due = self.again.iter().map(|(at, _)| *at).min();
                tokio::select! {
                    count = self.from.recv_many(&mut self.waiting, READY) => if count == 0 {
                        // Nobody watches.
                        return std::future::pending().await;
                    },
                    () = until(due) => {}
                }
            }
            if !self.waiting.is_empty() {
                tokio::time::sleep(SETTLE).await;
                while self.waiting.len() < READY
                    && let Ok(it) = self.from.try_recv()
                {
                    self.waiting.push(it);
                }
            }
            let now = Instant::now();
            let (due, later) = self.again.drain(..).partition::<Vec<_>, _>(|(at, _)| *at <= now);
            self.again = later;
            let them = std::mem::take(&mut self.waiting);
            let going_on = them.iter().filter(|it| it.goes_on());
            self.again.extend(going_on.map(|it| (now + AFTERWARDS, it.pid())));
            self.again.truncate(READY);
            let looking = Arc::clone(keeper);
            let more: Vec<u32> = due.into_iter().map(|(_, pid)| pid).collect();
            if off_loop(move || looking.look_because(&them, more)).await {
                tracing::warn!("code came into a process that is not its own");
                changed.notify_one();
            }
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

impl Keeper {
    /// Looks at the processes of these signals and at some more; whether code is in them that should
    /// not be.
    fn look_because(&self, signals: &[Signal], mut pids: Vec<u32>) -> bool {
        pids.extend(signals.iter().map(Signal::pid));
        pids.sort_unstable();
        pids.dedup();
        let (look, alarming) = lock(&self.watch).look_at(&pids);
        let mut started = Vec::new();
        for signal in signals {
            match signal {
                Signal::Started(it) => started.push(it.clone()),
                Signal::Seen(it) => self.tell_seen(it, &mut started),
            }
        }
        self.tell_started(&started);
        self.tell_findings(&look, false);
        alarming
    }

    fn tell_seen(&self, seen: &Seen, started: &mut Vec<Started>) {
        lock(&self.events).lost = seen.lost;
        match seen.what {
            What::Started => {
                let path = Path::new(&seen.name).to_owned();
                started.push(Started { pid: seen.pid, path, refused: None });
            }
            What::Traced => {
                let fields = vec![
                    ("pid", seen.other.to_string()),
                    ("by", seen.pid.to_string()),
                    ("program", program(seen.pid)),
                ];
                self.tell_news(vec![(Code::ProcessTraced, None, fields)]);
            }
            What::Module => {
                let fields = vec![("path", seen.name.clone()), ("by", seen.pid.to_string())];
                self.tell_news(vec![(Code::ModuleLoaded, None, fields)]);
            }
            // The look says what came of it.
            What::Mapped | What::Protected => {}
        }
    }

    /// Where signals come from, as a claim.
    pub(super) fn event_source(&self) -> Observation {
        let source = lock(&self.events).clone();
        let found = Observed::record([
            ("source", source.name.into()),
            ("lost", source.lost.into()),
            ("why", source.why.into()),
        ]);
        Observation { name: "system.kernel-events".to_owned(), age_ms: 0, found: Ok(found) }
    }

    /// Begins to watch. What is seen is dropped where nobody keeps up: the next look at all sees it,
    /// too.
    fn watch_events(self: &Arc<Self>) -> mpsc::Receiver<Signal> {
        let (tell, signals) = mpsc::channel(READY);
        let on_exec = self.config.collect.on_exec;
        let (name, why) = match Ring::open(Path::new(lsm::PINS)) {
            Ok(ring) => {
                let teller = tell.clone();
                spawn(move || read_ring(ring, &teller));
                if on_exec == OnExec::Enforce {
                    // Said in the log if it fails; what is not enforced is seen all the same.
                    let _ = try_gate(&tell, true);
                }
                ("bpf-lsm", String::new())
            }
            Err(error) => {
                let why = format!("{error} ({})", error.code());
                if on_exec == OnExec::Ignore {
                    ("none", why)
                } else if let Err(gate) = try_gate(&tell, on_exec == OnExec::Enforce) {
                    ("none", format!("{why}; {gate}"))
                } else {
                    ("fanotify", why)
                }
            }
        };
        tracing::info!(source = name, why, "events of the kernel");
        *lock(&self.events) = Source { name, why, lost: 0 };
        signals
    }
}

/// Watches programs start by fanotify.
fn try_gate(tell: &mpsc::Sender<Signal>, enforces: bool) -> Result<(), String> {
    let gate = Gate::open(enforces).map_err(|error| {
        tracing::error!(code = error.code(), "{error}");
        error.to_string()
    })?;
    let teller = tell.clone();
    spawn(move || wait_at(&gate, &teller));
    Ok(())
}

fn spawn(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().name("events".to_owned()).stack_size(256 << 10);
    if let Err(error) = thread.spawn(work) {
        tracing::error!(code = "agent.exec.thread", "nobody watches what happens: {error}");
    }
}

fn wait_at(gate: &Gate, tell: &mpsc::Sender<Signal>) {
    while !tell.is_closed() {
        match gate.wait(Duration::from_secs(1)) {
            Ok(seen) => {
                for it in seen {
                    let _ = tell.try_send(Signal::Started(it));
                }
            }
            Err(error) => {
                tracing::error!(code = error.code(), "{error}");
                return;
            }
        }
    }
}

fn read_ring(mut ring: Ring, tell: &mpsc::Sender<Signal>) {
    // We look into processes as a debugger would, and are not to be woken by that.
    let own = std::process::id();
    while !tell.is_closed() {
        for it in ring.wait(Duration::from_secs(1)) {
            if it.pid != own {
                let _ = tell.try_send(Signal::Seen(it));
            }
        }
    }
}

/// What a process runs, as far as it is still there.
fn program(pid: u32) -> String {
    let path = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    crate::collect::finding::plain(&path)
}
