//! What the system says about itself, as typed claims with their time: the state of the kernel, how
//! services are set up, and how the machine fares. A collector that fails is a claim itself.
//!
//! What takes long (walking folders, asking other programs) is an inventory that is taken now and
//! then; the rest is read whenever evidence is due, unless that is in haste.

pub mod accounts;
pub mod configuration;
pub mod folders;
pub mod health;
pub mod kernel;
pub mod mounts;
pub mod network;
pub mod operation;

use super::finding::{Finding, Kind, plain};
use super::pages::Look;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use touchstone_evidence::runtime::{Failure, Observation, Observed};

/// The longest file of the system's that is read, in octets.
const LONGEST: u64 = 1 << 20;

/// The most elements of a claim; beyond, its collector fails, so that nothing hides behind many.
pub const MOST: usize = 1024;

/// What one collector gives.
pub type Collected = Result<Observed, Fault>;

/// Why a collector can not tell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A file can not be read.
    #[error("{} cannot be read: {why}", plain(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// A file is not as its documentation says.
    #[error("{} is not understood: {why}", plain(path))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There are more elements than a claim holds.
    #[error("there are more than {MOST}; nothing is told rather than a part")]
    TooMany,
    /// This system has nothing that tells.
    #[error("nothing on this system tells: {0}")]
    Absent(&'static str),
    /// A program can not be asked.
    #[error("{program}: {why}")]
    Program {
        /// The program.
        program: String,
        /// What it or the system said.
        why: String,
    },
}

impl Fault {
    /// The stable code of this fault.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "agent.observe.unreadable",
            Self::Malformed { .. } => "agent.observe.malformed",
            Self::TooMany => "agent.observe.too-many",
            Self::Absent(_) => "agent.observe.absent",
            Self::Program { .. } => "agent.observe.program",
        }
    }
}

/// The root of the system that is looked at: `/`, save in tests.
#[derive(Clone, Debug)]
pub struct Root(PathBuf);

impl Root {
    /// The system under this folder.
    pub fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// Where a file of the system is.
    pub fn path(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    /// The path of a file as the system knows it.
    pub fn shown(&self, path: &Path) -> String {
        match path.strip_prefix(&self.0) {
            Ok(inside) => plain(&Path::new("/").join(inside)),
            Err(_) => plain(path),
        }
    }

    /// Whether this is the running system itself, so that programs can be asked.
    pub fn is_live(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// What a file holds; `None` if there is none.
    pub fn read(&self, path: &str) -> Result<Option<String>, Fault> {
        read(&self.path(path))
    }

    /// What a file holds that has to be there.
    pub fn required(&self, path: &str) -> Result<String, Fault> {
        let why = || Fault::Unreadable { path: self.path(path), why: "it is not there".to_owned() };
        self.read(path)?.ok_or_else(why)
    }
}

/// What a file of text holds, without what is no UTF-8; `None` if there is none.
fn read(path: &Path) -> Result<Option<String>, Fault> {
    let fault =
        |error: io::Error| Fault::Unreadable { path: path.to_owned(), why: error.to_string() };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(error)),
    };
    let mut octets = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut octets).map_err(fault)?;
    if octets.len() as u64 > LONGEST {
        let why = format!("it is longer than {LONGEST} octets");
        return Err(Fault::Malformed { path: path.to_owned(), why });
    }
    Ok(Some(String::from_utf8_lossy(&octets).into_owned()))
}

/// A list that is told as a whole or not at all.
pub(super) fn list(values: Vec<Observed>) -> Collected {
    if values.len() > MOST { Err(Fault::TooMany) } else { Ok(Observed::List(values)) }
}

type Collector = fn(&Root) -> Collected;

/// What is read whenever evidence is due.
const QUICK: &[(&str, Collector)] = &[
    ("system.lockdown", kernel::lockdown),
    ("system.module-signatures", kernel::module_signatures),
    ("system.taint", kernel::taint),
    ("system.secure-boot", kernel::secure_boot),
    ("system.security-modules", kernel::security_modules),
    ("system.kexec-disabled", kernel::kexec_disabled),
    ("system.debugfs", kernel::debugfs),
    ("config.mounts", mounts::mounts),
    ("config.listening", network::listening),
    ("config.insecure-services", network::insecure_services),
    ("config.time-synchronised", operation::time_synchronised),
    ("operation.uptime", operation::uptime),
    ("operation.pressure", operation::pressure),
    ("operation.disks", operation::disks),
    ("operation.disk-faults", operation::disk_faults),
    ("operation.temperatures", operation::temperatures),
];

/// What is looked through now and then.
const INVENTORY: &[(&str, Collector)] = &[
    ("system.bpf-programs", kernel::bpf_programs),
    ("config.weak-tls", configuration::weak_tls),
    ("config.insecure-settings", configuration::insecure_settings),
    ("config.weak-passwords", accounts::weak_passwords),
    ("config.private-keys", folders::private_keys),
    ("config.world-writable", folders::world_writable),
    ("config.privileged-programs", folders::privileged_programs),
    ("config.expiring-certificates", folders::expiring_certificates),
    ("config.firewall", network::firewall),
    // A disk that rests is not woken each time.
    ("operation.disk-health", health::disk_health),
    ("operation.flapping-units", operation::flapping_units),
];

/// The names of claims that are read whenever evidence is due, and of those that are looked through now
/// and then.
pub fn pace() -> (Vec<&'static str>, Vec<&'static str>) {
    let names = |of: &[(&'static str, Collector)]| of.iter().map(|(name, _)| *name).collect();
    (names(QUICK), names(INVENTORY))
}

/// The names of all claims that are made here, beside those of running code.
pub fn names() -> impl Iterator<Item = &'static str> {
    QUICK.iter().chain(INVENTORY).map(|(name, _)| *name).chain(["operation.clock-jumps"])
}

/// Whether that claim is of the inventory, and so may be as old as that.
pub fn is_inventory(name: &str) -> bool {
    INVENTORY.iter().any(|(known, _)| *known == name)
}

/// When it was collected, and what each collector gave.
type Inventory = (Instant, Vec<(&'static str, Collected)>);

/// Collects, and remembers what took long.
#[derive(Debug)]
pub struct Observer {
    root: Root,
    every: Duration,
    quick: Mutex<Option<Inventory>>,
    inventory: Mutex<Option<Inventory>>,
    /// Held by whoever takes one, so that nobody takes another beside it.
    taking: Mutex<()>,
    clocks: Mutex<operation::Clocks>,
}

impl Observer {
    /// Observes the system under `root`; an inventory is taken again after `every`.
    pub fn new(root: &Path, every: Duration) -> Self {
        Self {
            root: Root::new(root),
            every,
            quick: Mutex::default(),
            inventory: Mutex::default(),
            taking: Mutex::default(),
            clocks: Mutex::new(operation::Clocks::now()),
        }
    }

    /// Takes the inventory, which may take a while.
    pub fn take_inventory(&self) {
        let _taking = lock(&self.taking);
        self.take();
    }

    fn take(&self) {
        let taken: Vec<_> = INVENTORY.iter().map(|(name, of)| (*name, of(&self.root))).collect();
        *lock(&self.inventory) = Some((Instant::now(), taken));
    }

    /// Everything there is to say; what was said no longer ago than `age`, with its age. Waits for an
    /// inventory only if there was none yet.
    pub fn observations(&self, age: Duration) -> Vec<Observation> {
        if lock(&self.inventory).is_none() {
            let _taking = lock(&self.taking);
            // Whoever was faster has taken it meanwhile.
            if lock(&self.inventory).is_none() {
                self.take();
            }
        }
        let mut told = self.quick(age);
        if let Some((at, taken)) = &*lock(&self.inventory) {
            let age = at.elapsed();
            let age_ms = milliseconds(age);
            // One that nobody renews is not told as if it were of now.
            let stale = age > self.every.saturating_mul(3);
            told.extend(taken.iter().map(|(name, collected)| {
                let collected = if stale {
                    Err(Fault::Absent("the inventory is not taken any more"))
                } else {
                    collected.clone()
                };
                observation(name, age_ms, collected)
            }));
        }
        told.push(observation("operation.clock-jumps", 0, lock(&self.clocks).jumps()));
        told
    }
}

impl Observer {
    fn quick(&self, age: Duration) -> Vec<Observation> {
        let mut quick = lock(&self.quick);
        let before = quick.take().filter(|(at, _)| at.elapsed() < age);
        let (at, taken) = quick.insert(before.unwrap_or_else(|| {
            let now = Instant::now();
            (now, QUICK.iter().map(|(name, of)| (*name, of(&self.root))).collect())
        }));
        let age_ms = milliseconds(at.elapsed());
        taken.iter().map(|(name, it)| observation(name, age_ms, it.clone())).collect()
    }
}

fn milliseconds(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn observation(name: &str, age_ms: u64, collected: Collected) -> Observation {
    let found = collected
        .map_err(|fault| Failure { code: fault.code().to_owned(), words: fault.to_string() });
    Observation { name: name.to_owned(), age_ms, found }
}

/// The claims about running code, looked at that long ago: one for each kind of finding, and the files that code is of.
pub fn running_code(look: &Result<Look, super::Error>, age: Duration) -> Vec<Observation> {
    let age_ms = milliseconds(age);
    let of = |name: &str, found: Option<Observed>| {
        let found = match (found, look) {
            (Some(found), _) => Ok(found),
            (None, Err(error)) => {
                Err(Failure { code: error.code().to_owned(), words: error.to_string() })
            }
            (None, Ok(_)) => Err(Failure {
                code: Fault::TooMany.code().to_owned(),
                words: Fault::TooMany.to_string(),
            }),
        };
        Observation { name: name.to_owned(), age_ms, found }
    };
    let look = look.as_ref().ok();
    let mut told: Vec<_> = Kind::ALL
        .into_iter()
        .map(|kind| {
            let found = look.map(|look| Observed::list(look.of(kind).map(finding)));
            of(kind.claim(), found)
        })
        .collect();
    let mapped = look.filter(|look| look.mapped.len() <= 4096).map(|look| {
        Observed::list(look.mapped.iter().map(|file| {
            let mut fields = vec![("path".to_owned(), plain(&file.path).into())];
            fields.extend(file.digest.map(|digest| ("digest".to_owned(), digest.into())));
            fields.push(("processes".to_owned(), file.processes.into()));
            let age = u64::try_from(file.age.as_millis()).unwrap_or(u64::MAX);
            fields.push(("age".to_owned(), Observed::Span(age)));
            Observed::Record(fields)
        }))
    });
    told.push(of("runtime.mapped-files", mapped));
    told
}

fn finding(finding: &Finding) -> Observed {
    Observed::record([
        ("process", finding.process.as_str().into()),
        ("pid", finding.pid.into()),
        ("path", finding.path.as_str().into()),
        ("offset", i64::try_from(finding.offset).unwrap_or(i64::MAX).into()),
        ("why", finding.why.as_str().into()),
    ])
}

#[cfg(test)]
mod tests;
