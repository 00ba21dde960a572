//! A look at the code of every process, cheap enough to be had every few seconds.
//!
//! A page of a file that a process wrote to, or had written to from outside, becomes private memory
//! of that process, and the kernel tells so page by page. Only those pages are read and compared
//! with the file; everything else *is* the file, and files are read once for all ([`Files`]).
//!
//! What this can not see: code that runs from a mapping which is gone by the time of the look, and
//! the procedure linkage of programs that bind lazily, which may change at any time.

use super::files::{Files, Mapped};
use super::finding::{Finding, Kind, plain};
use super::maps::{Backing, Mapping};
use super::process::{Identity, identity};
use super::space::{Space, Ways, page_of};
use super::{Error, of_process};
use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const PAGE_LEN: usize = 4096;

/// The most findings of one look; beyond, a last one says that there are more.
pub(super) const MOST: usize = 1024;

/// The most pages of one mapping that are told one by one.
const MOST_PAGES: usize = 32;

/// As much of a process' environment is read.
const ENVIRONMENT: u64 = 128 << 10;

/// The octet of a breakpoint: `int3`, or what the last octet of `brk` is.
#[cfg(target_arch = "x86_64")]
const BREAKPOINT: &[u8] = &[0xCC];
#[cfg(not(target_arch = "x86_64"))]
const BREAKPOINT: &[u8] = &[0x00, 0x00, 0x20, 0xD4];

/// Whose code is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// That of every process.
    All,
    /// That of the processes of these executables.
    Of(Vec<PathBuf>),
    /// That of these processes.
    Processes(Vec<u32>),
}

/// What a look has seen.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// What was found, in order.
    pub findings: Vec<Finding>,
    /// The files whose code is mapped.
    pub mapped: Vec<Mapped>,
    /// How many processes were looked at.
    pub processes: u32,
    /// How many executable mappings.
    pub mappings: u32,
}

/// Looks again and again, and remembers what was before.
#[derive(Debug)]
pub struct Scanner {
    scope: Scope,
    ways: Arc<Ways>,
    files: Files,
    keyed: RandomState,
    known: HashMap<(u32, u64), Known>,
    round: u64,
    /// A process' RELRO pages are looked at in one of so many looks.
    relro_every: u64,
}

/// What is remembered of a process, as long as it runs the same program.
#[derive(Debug)]
struct Known {
    stack: u64,
    preloads: Vec<PathBuf>,
    relro: HashMap<(u64, u64), u64>,
    round: u64,
}

impl Scanner {
    /// Looks at the processes of `scope`; reads mapped files anew after `again`, and RELRO pages in
    /// one of `relro_every` looks.
    pub fn new(scope: Scope, again: Duration, relro_every: u64) -> Self {
        Self {
            scope,
            ways: Arc::default(),
            files: Files::new(again),
            keyed: RandomState::new(),
            known: HashMap::new(),
            round: 0,
            relro_every: relro_every.max(1),
        }
    }

    /// The same, asking the kernel only what every kernel answers.
    #[must_use]
    pub fn by_old_ways(mut self) -> Self {
        self.ways = Arc::new(Ways::old());
        self
    }

    /// Whether mappings come by `PROCMAP_QUERY`, and pages by `PAGEMAP_SCAN`, as far as was seen.
    pub fn ways(&self) -> (bool, bool) {
        self.ways.are_new()
    }

    /// Looks at every process of the scope.
    pub fn look(&mut self) -> Result<Look, Error> {
        self.look_reading(true)
    }

    /// The same, but files are not read: of one that is new is told after the next look that reads.
    pub fn look_in_haste(&mut self) -> Result<Look, Error> {
        self.look_reading(false)
    }

    fn look_reading(&mut self, files: bool) -> Result<Look, Error> {
        self.round += 1;
        self.files.begin();
        let mut look = Look::default();
        Self::system_preloads(&mut look);
        for pid in self.processes()? {
            if let Err(error) = self.process(pid, files, &mut look) {
                let why = error.to_string();
                look.add(Finding {
                    kind: Kind::Unreadable,
                    pid,
                    start: 0,
                    process: command(pid),
                    path: String::new(),
                    offset: 0,
                    why,
                });
            }
        }
        let round = self.round;
        self.known.retain(|_, known| known.round == round);
        self.files.end();
        look.mapped = self.files.mapped();
        look.findings.sort();
        Ok(look)
    }

    /// Looks at these processes alone, between two looks at all.
    pub fn look_at(&mut self, pids: &[u32]) -> Look {
        let mut look = Look::default();
        for pid in pids {
            // One that cannot be looked into is told by the next look at all.
            let _ = self.process(*pid, false, &mut look);
        }
        look
    }

    fn processes(&self) -> Result<Vec<u32>, Error> {
        Ok(match &self.scope {
            Scope::All => super::process::numbers()?,
            Scope::Of(watch) => {
                super::process::running(watch)?.iter().map(|process| process.pid).collect()
            }
            Scope::Processes(pids) => pids.clone(),
        })
    }

    fn process(&mut self, pid: u32, reads: bool, look: &mut Look) -> Result<(), Error> {
        let ways = Arc::clone(&self.ways);
        let Some(space) = Space::open(pid, &ways)? else { return Ok(()) };
        let mappings = space.executable()?;
        if mappings.is_empty() {
            return Ok(());
        }
        let Some(identity) = identity(pid)? else { return Ok(()) };
        look.processes += 1;
        let mut subject = Subject { space: &space, identity, name: None };
        let mut generated = Counted::default();
        let mut writable = Counted::default();
        for mapping in &mappings {
            match &mapping.backing {
                Backing::Kernel => continue,
                Backing::Anonymous(_) if mapping.writable => writable.add(mapping),
                Backing::Anonymous(_) => generated.add(mapping),
                Backing::File { path, deleted, inode, .. } => {
                    if mapping.writable {
                        writable.add(mapping);
                    }
                    if !self.files.see(&space, mapping, reads) {
                        return Err(Error::TooMany { pid, limit: self.files.mapped().len() });
                    }
                    let literal = deleted.then(|| literally_deleted(pid, path, *inode)).flatten();
                    let deleted = *deleted && literal.is_none();
                    let path = literal.as_ref().unwrap_or(path);
                    of_file(&mut subject, mapping, path, deleted, look)?;
                }
            }
            look.mappings += 1;
        }
        generated.tell(
            Kind::Generated,
            "executable mappings that no file backs",
            &mut subject,
            look,
        );
        writable.tell(
            Kind::Writable,
            "mappings that are writable and executable",
            &mut subject,
            look,
        );
        self.remembered(&mut subject, &mappings, look)
    }

    /// What only shows beside what was before: preloads, which are read once, and RELRO pages.
    fn remembered(
        &mut self,
        subject: &mut Subject<'_>,
        mappings: &[Mapping],
        look: &mut Look,
    ) -> Result<(), Error> {
        let Identity { start, stack } = subject.identity;
        let pid = subject.space.pid();
        let round = self.round;
        // A process that runs another program has another stack, and nothing of before counts.
        let known = match self.known.entry((pid, start)) {
            std::collections::hash_map::Entry::Occupied(old) if old.get().stack == stack => {
                old.into_mut()
            }
            entry => {
                let preloads = preloads(pid)?;
                let fresh = Known { stack, preloads, relro: HashMap::new(), round };
                entry.insert_entry(fresh).into_mut()
            }
        };
        known.round = round;
        for named in &known.preloads {
            for (mapping, path) in
                mappings.iter().filter_map(|mapping| Some((mapping, file(mapping)?)))
            {
                if path == named || (named.components().count() == 1 && path.ends_with(named)) {
                    let digest = self.files.digest(subject.space, mapping);
                    let digest =
                        digest.map_or_else(|| "unreadable".to_owned(), |it| it.to_string());
                    let why = format!("{} ({digest}) was preloaded", plain(path));
                    look.add(subject.finding(Kind::Preloaded, path, 0, &why));
                    break;
                }
            }
        }
        if (u64::from(pid) + round).is_multiple_of(self.relro_every) {
            relro(&self.keyed, subject, known, look)?;
        }
        Ok(())
    }

    /// What the dynamic loader brings into every process.
    fn system_preloads(look: &mut Look) {
        let Ok(text) = fs::read("/etc/ld.so.preload") else { return };
        for named in names(&text) {
            let why = format!("/etc/ld.so.preload brings {} into every process", plain(&named));
            look.add(Finding {
                kind: Kind::Preloaded,
                pid: 0,
                start: 0,
                process: "/etc/ld.so.preload".to_owned(),
                path: plain(&named),
                offset: 0,
                why,
            });
        }
    }
}

impl Look {
    fn add(&mut self, finding: Finding) {
        if self.findings.len() < MOST {
            self.findings.push(finding);
        } else if self.findings.len() == MOST {
            let why = format!("there are more findings than the {MOST} that are told");
            self.findings.push(Finding { kind: Kind::Unreadable, why, ..finding });
        }
    }

    /// The findings of one kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.kind == kind)
    }

    /// A number that is another one if anything that counts is different.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        // Where a library went, and what a compiler does, changes all the time and is nobody's news.
        for finding in self.findings.iter().filter(|it| it.kind != Kind::Deleted) {
            (finding.kind, finding.pid, finding.start, &finding.path, finding.offset)
                .hash(&mut hasher);
            if finding.kind == Kind::Patched {
                finding.why.hash(&mut hasher);
            }
        }
        for mapped in &self.mapped {
            (&mapped.path, mapped.digest.as_ref().map(|digest| digest.as_bytes().to_vec()))
                .hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// A process that is looked at.
struct Subject<'a> {
    space: &'a Space<'a>,
    identity: Identity,
    name: Option<String>,
}

impl Subject<'_> {
    fn finding(&mut self, kind: Kind, path: &Path, offset: u64, why: &str) -> Finding {
        let pid = self.space.pid();
        let process = self.name.get_or_insert_with(|| executable(pid)).clone();
        let start = self.identity.start;
        let path = if path.as_os_str().is_empty() { String::new() } else { plain(path) };
        let why = format!("process {pid} ({process}): {why}");
        Finding { kind, pid, start, process, path, offset, why }
    }
}

/// Mappings of one kind: a process with a compiler in it has many, and is told once.
#[derive(Default)]
struct Counted {
    count: u32,
    octets: u64,
    first: Option<u64>,
    name: String,
}

impl Counted {
    fn add(&mut self, mapping: &Mapping) {
        self.count += 1;
        self.octets += mapping.len();
        if self.first.is_none() {
            self.first = Some(mapping.start);
            self.name = match &mapping.backing {
                Backing::Anonymous(name) => plain(Path::new(name)),
                Backing::File { path, .. } => plain(path),
                Backing::Kernel => String::new(),
            };
        }
    }

    fn tell(self, kind: Kind, what: &str, subject: &mut Subject<'_>, look: &mut Look) {
        let Some(first) = self.first else { return };
        let name = if self.name.is_empty() { "without a name" } else { self.name.as_str() };
        let (count, octets) = (self.count, self.octets);
        let why = format!("{count} {what}, {octets} octets, the first at {first:#x} ({name})");
        look.add(subject.finding(kind, Path::new(""), first, &why));
    }
}

fn file(mapping: &Mapping) -> Option<&Path> {
    match &mapping.backing {
        Backing::File { path, .. } => Some(path),
        _ => None,
    }
}

/// Code of a file: where the file went, and the pages that are not the file's any more.
fn of_file(
    subject: &mut Subject<'_>,
    mapping: &Mapping,
    path: &Path,
    deleted: bool,
    look: &mut Look,
) -> Result<(), Error> {
    let memfd = path.as_os_str().as_bytes().starts_with(b"/memfd:");
    if memfd {
        let why = format!("code of {}, which never was on a disk", plain(path));
        look.add(subject.finding(Kind::Memfd, path, 0, &why));
    } else if deleted {
        let replaced = root_of(subject.space.pid(), path).is_some_and(|path| path.exists());
        let since = if replaced { "another file is there now" } else { "nothing is there now" };
        let why = format!("code of {}, which was deleted; {since}", plain(path));
        look.add(subject.finding(Kind::Deleted, path, 0, &why));
    }
    let private = subject.space.private_pages(mapping);
    if private.is_empty() {
        return Ok(());
    }
    compare(subject, mapping, path, &private, look)
}

/// The path of a file whose very name ends like the kernel's word for one that was deleted.
fn literally_deleted(pid: u32, path: &Path, inode: u64) -> Option<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(" (deleted)");
    let literal = PathBuf::from(name);
    let there = fs::metadata(root_of(pid, &literal)?).ok()?;
    (std::os::unix::fs::MetadataExt::ino(&there) == inode).then_some(literal)
}

fn root_of(pid: u32, path: &Path) -> Option<PathBuf> {
    Some(PathBuf::from(format!("/proc/{pid}/root")).join(path.strip_prefix("/").ok()?))
}

/// Compares private pages with those of the file.
fn compare(
    subject: &mut Subject<'_>,
    mapping: &Mapping,
    path: &Path,
    private: &[(u64, u64)],
    look: &mut Look,
) -> Result<(), Error> {
    let Backing::File { offset, .. } = &mapping.backing else { return Ok(()) };
    let file = subject.space.file_of(mapping);
    let mut told = 0;
    let (mut memory, mut of_file) = ([0; PAGE_LEN], [0; PAGE_LEN]);
    let pages = private.iter().flat_map(|(start, end)| (*start..*end).step_by(PAGE_LEN));
    for at in pages {
        let here = offset + (at - mapping.start);
        let Some(found) = file.as_ref().filter(|file| page_of(file, here, &mut of_file).is_ok())
        else {
            if subject.space.still_has(mapping) {
                let why = format!(
                    "{} at {here:#x} cannot be compared: there is no way to the file",
                    plain(path)
                );
                look.add(subject.finding(Kind::Patched, path, here, &why));
            }
            return Ok(());
        };
        if !subject.space.read(at, &mut memory)? {
            return Ok(());
        }
        if memory == of_file {
            continue;
        }
        // A page that came or went while it was read, or a process that runs another program now.
        let same = subject.space.still_has(mapping)
            && subject.space.read(at, &mut memory)?
            && page_of(found, here, &mut of_file).is_ok();
        let again = Difference::between(&memory, &of_file).filter(|_| same);
        let Some(difference) = again else { continue };
        told += 1;
        if told > MOST_PAGES {
            return Ok(());
        }
        look.add(difference.finding(subject, path, here));
    }
    Ok(())
}

/// How a page in memory differs from the file's.
struct Difference {
    first: usize,
    count: usize,
    breakpoints: bool,
    was: u8,
    is: u8,
}

impl Difference {
    fn between(memory: &[u8; PAGE_LEN], file: &[u8; PAGE_LEN]) -> Option<Self> {
        if memory == file {
            return None;
        }
        let differing = || memory.iter().zip(file).enumerate().filter(|(_, (is, was))| is != was);
        let (first, (is, was)) = differing().next()?;
        let breakpoints = differing().all(|(at, (is, _))| is_breakpoint(at, *is));
        Some(Self { first, count: differing().count(), breakpoints, was: *was, is: *is })
    }

    fn finding(&self, subject: &mut Subject<'_>, path: &Path, page: u64) -> Finding {
        let at = page + self.first as u64;
        let shown = plain(path);
        let (count, is, was) = (self.count, self.is, self.was);
        if self.breakpoints {
            let known = if is_uprobe(path, at) {
                "a uprobe that tracefs lists"
            } else {
                "nobody tells whose"
            };
            let why = format!("{shown} at {at:#x}: {count} breakpoints, {known}");
            return subject.finding(Kind::Breakpoint, path, at, &why);
        }
        let why = format!(
            "{shown} at {at:#x} is {is:#04x}, the file says {was:#04x}; {count} octets of the page differ"
        );
        subject.finding(Kind::Patched, path, at, &why)
    }
}

fn is_breakpoint(at: usize, octet: u8) -> bool {
    BREAKPOINT.get(at % BREAKPOINT.len()) == Some(&octet)
}

/// Whether tracefs lists a uprobe there: `p:group/name /path:0x1234`.
fn is_uprobe(path: &Path, offset: u64) -> bool {
    ["/sys/kernel/tracing/uprobe_events", "/sys/kernel/debug/tracing/uprobe_events"]
        .iter()
        .filter_map(|list| fs::read_to_string(list).ok())
        .any(|list| uprobes(&list).any(|probe| probe == (path, offset)))
}

fn uprobes(list: &str) -> impl Iterator<Item = (&Path, u64)> {
    list.lines().filter_map(|line| {
        let place = line.split_ascii_whitespace().nth(1)?;
        let (path, offset) = place.rsplit_once(":0x")?;
        let digits = offset.split(|c: char| !c.is_ascii_hexdigit()).next()?;
        Some((Path::new(path), u64::from_str_radix(digits, 16).ok()?))
    })
}

/// Pages of a file that are the process' own although nobody may write to them: the loader wrote
/// relocations and then gave up the right to. They never change again.
fn relro(
    keyed: &RandomState,
    subject: &mut Subject<'_>,
    known: &mut Known,
    look: &mut Look,
) -> Result<(), Error> {
    let mut seen = HashMap::with_capacity(known.relro.len());
    let mut page = [0; PAGE_LEN];
    for mapping in subject.space.mappings()? {
        let Backing::File { path, offset, .. } = &mapping.backing else { continue };
        if mapping.writable || mapping.executable || mapping.shared {
            continue;
        }
        for (start, end) in subject.space.private_pages(&mapping) {
            for at in (start..end).step_by(PAGE_LEN) {
                if !subject.space.read(at, &mut page)? {
                    return Ok(());
                }
                let key = (at, *offset + (at - mapping.start));
                let now = keyed.hash_one(page);
                let changed = known.relro.get(&key).is_some_and(|before| *before != now);
                if changed && subject.space.still_has(&mapping) {
                    let why = format!(
                        "{} at {:#x}: pages that are read-only since the start have changed",
                        plain(path),
                        key.1
                    );
                    look.add(subject.finding(Kind::Relro, path, key.1, &why));
                }
                // The first sight stays: what was changed stays told.
                seen.insert(key, known.relro.get(&key).copied().unwrap_or(now));
            }
        }
    }
    known.relro = seen;
    Ok(())
}

/// What a process was told to preload when it started.
fn preloads(pid: u32) -> Result<Vec<PathBuf>, Error> {
    let path = PathBuf::from(format!("/proc/{pid}/environ"));
    let mut environment = Vec::new();
    let read =
        File::open(&path).and_then(|file| file.take(ENVIRONMENT).read_to_end(&mut environment));
    if let Err(source) = read {
        return of_process(pid, &path, source).map_or(Ok(Vec::new()), Err);
    }
    let variables = environment.split(|octet| *octet == 0);
    let told = variables.filter_map(|variable| {
        variable.strip_prefix(b"LD_PRELOAD=").or_else(|| variable.strip_prefix(b"LD_AUDIT="))
    });
    Ok(told.flat_map(names).collect())
}

/// ld.so(8): names with spaces or colons between them.
fn names(list: &[u8]) -> Vec<PathBuf> {
    list.split(|octet| octet.is_ascii_whitespace() || *octet == b':')
        .filter(|name| !name.is_empty())
        .map(|name| PathBuf::from(std::ffi::OsStr::from_bytes(name)))
        .collect()
}

/// The executable of a process, as it may stand in a log.
fn executable(pid: u32) -> String {
    match fs::read_link(format!("/proc/{pid}/exe")) {
        Ok(target) => {
            let bytes = target.as_os_str().as_bytes();
            let kept = bytes.strip_suffix(b" (deleted)").unwrap_or(bytes);
            plain(Path::new(std::ffi::OsStr::from_bytes(kept)))
        }
        Err(_) => command(pid),
    }
}

/// What a process calls itself; anybody can call himself anything.
fn command(pid: u32) -> String {
    let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    plain(Path::new(std::ffi::OsStr::from_bytes(name.trim_ascii_end())))
}

#[cfg(test)]
#[path = "pages/tests.rs"]
mod tests;
