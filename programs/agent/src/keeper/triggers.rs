//! When running code is looked at: all of it again and again, and a process at once when something
//! happens to it. What happens comes from BPF programs at the kernel's security hooks where they are
//! in, else from fanotify, else from nowhere; a claim says which. Writes by way of /proc/PID/mem are told by
//! fanotify in any case.

use super::{Keeper, lock};
use crate::collect::again::{Again, Looks};
use crate::collect::exec::{Asks, Gate, Started};
use crate::collect::lsm::{self, Ring, Seen, What};
use crate::collect::pages::Look;
use crate::collect::written::{Writes, Written};
use crate::config::OnExec;
use crate::offloop::off_loop;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use touchstone_audit::Code;
use touchstone_drive::Pulse;
use touchstone_evidence::runtime::{Observation, Observed};

/// The fleet's answer is waited for so long before what was found is written down.
const SOON: Duration = Duration::from_secs(1);

/// Signals may lie ready while a look takes its time.
const READY: usize = 1024;

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
    /// Memory of a process was written to, by fanotify.
    Written(Written),
}

impl Signal {
    /// Whom to look at.
    const fn pid(&self) -> u32 {
        match self {
            Self::Started(it) => it.pid,
            Self::Seen(it) => it.whom(),
            Self::Written(it) => it.pid,
        }
    }

    const fn looks(&self) -> Looks {
        match self {
            Self::Started(_) => Looks::ONCE,
            Self::Seen(it) => it.looks(),
            Self::Written(_) => Looks::DONE,
        }
    }
}

/// Looks at the running code again and again, and at a process whenever something happens to it, and
/// tells when there is something new.
pub async fn watch_code(keeper: &Arc<Keeper>, changed: &Notify, pulse: &Pulse) {
    let mut signals = Signals {
        from: keeper.watch_events(),
        waiting: Vec::new(),
        again: Again::default(),
        told: keeper.tell_beside(),
    };
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
    /// Who is looked at, and when.
    again: Again,
    /// Where it is written down.
    told: SyncSender<News>,
}

/// What is to be written down: signals, and what a look because of some has found.
type News = (Vec<Signal>, Look);

impl Signals {
    /// Looks at processes as signals of them come, for ever. Dropped at any time, it loses none.
    async fn follow(&mut self, keeper: &Arc<Keeper>, changed: &Notify) {
        loop {
            let due = self.again.due();
            tokio::select! {
                count = self.from.recv_many(&mut self.waiting, READY) => if count == 0 {
                    // Nobody watches.
                    return std::future::pending().await;
                },
                () = until(due) => {}
            }
            let now = Instant::now();
            let them = std::mem::take(&mut self.waiting);
            for it in &them {
                self.again.signal(it.pid(), it.looks(), now);
            }
            let pids = self.again.take(now);
            let mut look = Look::default();
            if !pids.is_empty() {
                let looking = Arc::clone(keeper);
                let alarming;
                (look, alarming) = off_loop(move || lock(&looking.watch).look_at(&pids)).await;
                if alarming {
                    tracing::warn!("code came into a process that is not its own");
                    keeper.haste.begin();
                    changed.notify_one();
                }
                self.again.looked(now, now.elapsed());
                if alarming {
                    self.again.told(Instant::now());
                }
            }
            if !(them.is_empty() && look.findings.is_empty())
                && let Err(error) = self.told.try_send((them, look))
            {
                tracing::warn!(code = "agent.news.lost", "not written down: {error}");
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
    /// A thread that writes down what is new: a look must not wait for the disk.
    fn tell_beside(self: &Arc<Self>) -> SyncSender<News> {
        let (tell, told) = sync_channel::<News>(READY);
        let keeper = Arc::clone(self);
        spawn(move || {
            for (signals, look) in told {
                // What is written down is signed: the quote is not to wait for the element because of that.
                keeper.haste.wait(SOON);
                let mut started = Vec::new();
                for signal in signals {
                    match signal {
                        Signal::Started(it) => started.push(it),
                        Signal::Seen(it) => keeper.tell_seen(&it, &mut started),
                        Signal::Written(it) => keeper.tell_written(it),
                    }
                }
                keeper.tell_started(&started);
                keeper.tell_findings(&look, false);
            }
        });
        tell
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
            // Somebody else's memory cannot be opened without taking hold of him.
            What::Opened if seen.pid == seen.other => {
                let fields = vec![
                    ("pid", seen.pid.to_string()),
                    ("by", seen.pid.to_string()),
                    ("program", program(seen.pid)),
                    ("why", "it opened its own memory to write to it".to_owned()),
                ];
                self.tell_news(vec![(Code::ProcessTraced, None, fields)]);
            }
            // The look says what came of it.
            What::Mapped | What::Protected | What::Opened => {}
        }
    }

    fn tell_written(&self, written: Written) {
        // There the hook has told that the file was opened.
        if lock(&self.events).name == "bpf-lsm" {
            return;
        }
        let fields = vec![
            ("pid", written.pid.to_string()),
            ("by", written.by.to_string()),
            ("program", program(written.by)),
            ("why", "its memory was written to by way of /proc".to_owned()),
        ];
        self.tell_news(vec![(Code::ProcessTraced, None, fields)]);
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
        match Writes::open(Path::new("/proc")) {
            Ok(writes) => {
                let teller = tell.clone();
                spawn(move || wait_for_writes(&writes, &teller));
            }
            Err(error) => {
                tracing::info!(code = error.code(), "nobody tells of writes to /proc: {error}");
            }
        }
        tracing::info!(source = name, why, "events of the kernel");
        *lock(&self.events) = Source { name, why, lost: 0 };
        signals
    }
}

/// Watches programs start by fanotify.
fn try_gate(tell: &mpsc::Sender<Signal>, enforces: bool) -> Result<(), String> {
    let asks = if enforces { Asks::Once } else { Asks::Never };
    let mut gate = Gate::open(asks).map_err(|error| {
        tracing::error!(code = error.code(), "{error}");
        error.to_string()
    })?;
    let teller = tell.clone();
    spawn(move || wait_at(&mut gate, &teller));
    Ok(())
}

fn spawn(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().name("events".to_owned()).stack_size(256 << 10);
    if let Err(error) = thread.spawn(work) {
        tracing::error!(code = "agent.exec.thread", "nobody watches what happens: {error}");
    }
}

fn wait_at(gate: &mut Gate, tell: &mpsc::Sender<Signal>) {
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

fn wait_for_writes(writes: &Writes, tell: &mpsc::Sender<Signal>) {
    let own = std::process::id();
    while !tell.is_closed() {
        match writes.wait(Duration::from_secs(1)) {
            Ok(written) => {
                for it in written.into_iter().filter(|it| it.by != own) {
                    let _ = tell.try_send(Signal::Written(it));
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
