//! What the kernel tells as it happens, where it lets BPF programs listen to its security hooks: a
//! program that starts, code that is mapped or made executable, a process that takes hold of another,
//! a kernel module. The programs are bpf/watch.bpf.c; [`load`] puts them in, once, and pins them into
//! bpffs, so that whoever may do that can end; a [`Ring`] reads what they tell.
//!
//! They decide nothing and are a reason to look at once. A kernel that does not let them in says why,
//! and programs are seen to start by fanotify instead.

use super::again::Looks;
use super::finding::plain;
use aya::maps::{Map, MapData, RingBuf};
use aya::programs::Lsm;
use aya::programs::links::FdLink;
use aya::{Btf, EbpfLoader};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Where they are pinned.
pub const PINS: &str = "/sys/fs/bpf/touchstone";
const EVENTS: &str = "events";
const BTF: &str = "/sys/kernel/btf/vmlinux";
const LSMS: &str = "/sys/kernel/security/lsm";

/// Programs, and the hooks that they listen to.
const HOOKS: &[(&str, &str)] = &[
    ("started", "bprm_check_security"),
    ("mapped", "mmap_file"),
    ("protected", "file_mprotect"),
    ("traced", "ptrace_access_check"),
    ("opened", "file_open"),
    ("module_read", "kernel_read_file"),
    ("module_loaded", "kernel_load_data"),
];

/// Octets of an event, and of the name in it.
const EVENT: usize = 128;
const NAME: usize = 32;

/// So long the kernel may take to tell of a program that was started as a test.
const PROOF: Duration = Duration::from_secs(2);

/// Why the kernel tells nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody has loaded the programs.
    #[error("no BPF program listens: {0} is not there; run touchstone-agent-watch at boot")]
    NotLoaded(PathBuf),
    /// The kernel does not describe itself.
    #[error("this kernel does not describe its types ({BTF}); it needs CONFIG_DEBUG_INFO_BTF")]
    NoTypes,
    /// BPF is not among the security modules.
    #[error("`bpf` is not in `{0}`; add it to lsm= on the kernel's command line")]
    NotListed(String),
    /// The kernel says no, or bpffs does.
    #[error(
        "{what}: {why}; it needs CAP_BPF and CAP_PERFMON, bpffs, and a kernel with CONFIG_BPF_LSM"
    )]
    Refused {
        /// What was tried.
        what: &'static str,
        /// What it said.
        why: String,
    },
    /// The programs are in, and are not called.
    #[error(
        "the kernel calls no BPF program when a program starts; add bpf to lsm= on its command line"
    )]
    Silent,
    /// What is pinned there is something else.
    #[error("{0} is not the ring of events that was put there")]
    Foreign(PathBuf),
}

impl Error {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotLoaded(_) => "agent.lsm.absent",
            Self::NoTypes => "agent.lsm.types",
            Self::NotListed(_) => "agent.lsm.unlisted",
            Self::Refused { .. } => "agent.lsm.refused",
            Self::Silent => "agent.lsm.silent",
            Self::Foreign(_) => "agent.lsm.foreign",
        }
    }
}

fn refused<E: std::error::Error>(what: &'static str) -> impl Fn(E) -> Error {
    move |error| {
        let mut why = error.to_string();
        let mut cause = error.source();
        while let Some(next) = cause {
            why = format!("{why}: {next}");
            cause = next.source();
        }
        Error::Refused { what, why }
    }
}

/// What the kernel told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A program starts.
    Started,
    /// Code was mapped.
    Mapped,
    /// Memory was made executable.
    Protected,
    /// A process takes hold of another.
    Traced,
    /// A kernel module is loaded.
    Module,
    /// The memory of a process was opened to be written to, by way of `/proc`.
    Opened,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What.
    pub what: What,
    /// The process that did it.
    pub pid: u32,
    /// The process that it was done to.
    pub other: u32,
    /// The file that it is about; 0 without one.
    pub inode: u64,
    /// The file's name, as it may stand in a log; of a program that starts, its path.
    pub name: String,
    /// When, in nanoseconds since boot.
    pub time: u64,
    /// Events so far for which there was no room.
    pub lost: u32,
}

impl Seen {
    /// Whom it was done to.
    pub const fn whom(&self) -> u32 {
        match self.what {
            What::Traced | What::Opened => self.other,
            _ => self.pid,
        }
    }

    /// How it is to be looked at: hooks are asked before it is done, and whoever takes hold of a
    /// process does something to it afterwards.
    pub const fn looks(&self) -> Looks {
        match self.what {
            What::Traced | What::Opened => Looks::WRITTEN,
            What::Protected if self.inode != 0 => Looks::WRITTEN,
            What::Protected => Looks::MAPPED,
            What::Mapped if self.inode == 0 => Looks::MAPPED,
            What::Mapped | What::Started | What::Module => Looks::ONCE,
        }
    }

    /// Reads an event as watch.bpf.c writes it.
    pub fn decode(octets: &[u8]) -> Option<Self> {
        if octets.len() != EVENT {
            return None;
        }
        let long = |at: usize| Some(u64::from_ne_bytes(*octets.get(at..)?.first_chunk()?));
        let short = |at: usize| Some(u32::from_ne_bytes(*octets.get(at..)?.first_chunk()?));
        let what = match short(16)? {
            1 => What::Started,
            2 => What::Mapped,
            3 => What::Protected,
            4 => What::Traced,
            5 => What::Module,
            6 => What::Opened,
            _ => return None,
        };
        let name = octets.get(NAME..)?.split(|octet| *octet == 0).next()?;
        Some(Self {
            what,
            time: long(0)?,
            inode: long(8)?,
            pid: short(20)?,
            other: short(24)?,
            lost: short(28)?,
            name: plain(Path::new(OsStr::from_bytes(name))),
        })
    }
}

/// Puts the programs of this object in, and pins them under `pins`; those of before are taken out.
/// `probe` is a program to start, to see that the kernel tells of it.
pub fn load(object: &Path, pins: &Path, probe: &mut Command) -> Result<(), Error> {
    if !Path::new(BTF).exists() {
        return Err(Error::NoTypes);
    }
    // Without securityfs nothing is known beforehand; the test at the end tells.
    if let Ok(listed) = fs::read_to_string(LSMS)
        && !listed.trim().split(',').any(|name| name == "bpf")
    {
        return Err(Error::NotListed(listed.trim().to_owned()));
    }
    remove(pins)?;
    let loaded = put_in(object, pins).and_then(|()| tells(pins, probe));
    if loaded.is_err() {
        remove(pins)?;
    }
    loaded
}

fn put_in(object: &Path, pins: &Path) -> Result<(), Error> {
    let octets = fs::read(object).map_err(refused("read the BPF object"))?;
    let types = Btf::from_sys_fs().map_err(refused("read the kernel's types"))?;
    let mut loaded = EbpfLoader::new()
        .btf(Some(&types))
        .load(&octets)
        .map_err(refused("load the BPF object"))?;
    fs::create_dir_all(pins).map_err(refused("make a folder in bpffs"))?;
    fs::set_permissions(pins, fs::Permissions::from_mode(0o700))
        .map_err(refused("close the folder in bpffs"))?;
    for (name, hook) in HOOKS {
        let absent = || Error::Refused { what: "find a program", why: (*name).to_owned() };
        let program = loaded.program_mut(name).ok_or_else(absent)?;
        let program: &mut Lsm = program.try_into().map_err(refused("find a program"))?;
        program.load(hook, &types).map_err(refused("load a program"))?;
        let link = program.attach().map_err(refused("attach a program"))?;
        let link = program.take_link(link).map_err(refused("attach a program"))?;
        let link = FdLink::from(link);
        link.pin(pins.join(name)).map_err(refused("pin a program"))?;
    }
    let absent = || Error::Refused { what: "find the ring", why: EVENTS.to_owned() };
    let ring = loaded.map(EVENTS).ok_or_else(absent)?;
    ring.pin(pins.join(EVENTS)).map_err(refused("pin the ring"))
}

/// Takes the programs out. Nothing happens if there are none.
pub fn remove(pins: &Path) -> Result<(), Error> {
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    for name in HOOKS.iter().map(|(name, _)| *name).chain([EVENTS]) {
        gone(fs::remove_file(pins.join(name))).map_err(refused("take a program out"))?;
    }
    gone(fs::remove_dir(pins)).map_err(refused("take the folder out of bpffs"))
}

/// A kernel may take the programs and never call them: a program that is started shows it.
fn tells(pins: &Path, probe: &mut Command) -> Result<(), Error> {
    let mut ring = Ring::open(pins)?;
    let mut child = probe.spawn().map_err(refused("start a program as a test"))?;
    let pid = child.id();
    let until = Instant::now() + PROOF;
    let mut told = false;
    while !told && Instant::now() < until {
        let seen = ring.wait(Duration::from_millis(100));
        told = seen.iter().any(|it| it.what == What::Started && it.pid == pid);
    }
    child.wait().map_err(refused("end a program that was started as a test"))?;
    if told { Ok(()) } else { Err(Error::Silent) }
}

/// Where the kernel writes what happens.
pub struct Ring(RingBuf<MapData>);

impl Ring {
    /// Opens the ring that [`load`] has pinned.
    pub fn open(pins: &Path) -> Result<Self, Error> {
        let path = pins.join(EVENTS);
        if !path.exists() {
            return Err(Error::NotLoaded(path));
        }
        let map = MapData::from_pin(&path).map_err(refused("open the ring"))?;
        let map = Map::from_map_data(map).map_err(refused("open the ring"))?;
        RingBuf::try_from(map).map(Self).map_err(|_| Error::Foreign(path))
    }

    /// What has happened, or happens within so long.
    pub fn wait(&mut self, within: Duration) -> Vec<Seen> {
        let timeout = Timespec::try_from(within).ok();
        // An interrupted wait is a short one.
        let _ = poll(&mut [PollFd::new(&self.0.as_fd(), PollFlags::IN)], timeout.as_ref());
        let mut seen = Vec::new();
        while seen.len() < MOST
            && let Some(event) = self.0.next()
        {
            seen.extend(Seen::decode(&event));
        }
        seen
    }
}

/// Events that are taken at once.
const MOST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_as_the_kernel_writes_it_and_nothing_else_is_one() {
        let mut octets = [0; EVENT];
        octets[..8].copy_from_slice(&9_u64.to_ne_bytes());
        octets[16..20].copy_from_slice(&4_u32.to_ne_bytes());
        octets[20..24].copy_from_slice(&7_u32.to_ne_bytes());
        octets[24..28].copy_from_slice(&8_u32.to_ne_bytes());
        octets[NAME..NAME + 4].copy_from_slice(b"a\nb\0");
        let seen = Seen::decode(&octets).unwrap();
        assert_eq!((seen.what, seen.pid, seen.other, seen.time), (What::Traced, 7, 8, 9));
        assert_eq!(seen.name, "a\\u{a}b");
        assert_eq!(Seen::decode(&octets[1..]), None);
        octets[16] = 7;
        assert_eq!(Seen::decode(&octets), None);
    }

    #[test]
    fn a_kernel_without_programs_says_so_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let Err(error) = Ring::open(folder.path()) else { panic!("there is no ring") };
        assert_eq!(error.code(), "agent.lsm.absent");
        assert!(error.to_string().contains("touchstone-agent-watch"), "{error}");
        remove(&folder.path().join("none")).unwrap();
    }
}
