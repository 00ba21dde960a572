//! Code in memory, attacked for real: each way of getting other code into a running process is found
//! and told by its name, and processes that nobody touched are not accused.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

#[path = "code_pages/changes.rs"]
mod changes;
#[path = "code_pages/soak.rs"]
mod soak;

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use touchstone_agent::collect::finding::Kind;
use touchstone_agent::collect::maps::{Backing, Mapping};
use touchstone_agent::collect::pages::{Look, Scanner, Scope};
use touchstone_agent::collect::space::{Space, Ways};

const SOURCE: &str = include_str!("victims/victim.c");

/// The victim, built once: dynamic, static, and as a library.
static BUILT: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("victim.c");
    fs::write(&source, SOURCE).unwrap();
    let build = |flags: &[&str], name: &str| {
        let built = Command::new("gcc")
            .args(flags)
            .arg("-o")
            .arg(folder.path().join(name))
            .arg(&source)
            .status()
            .expect("gcc builds the victims");
        assert!(built.success(), "gcc {flags:?}");
    };
    // As distributions build: position independent, everything bound at the start.
    build(&["-O1", "-Wl,-z,relro,-z,now"], "dynamic");
    // As Go links: one file, no loader, no library.
    build(&["-O1", "-static"], "static");
    build(&["-O1", "-shared", "-fPIC"], "library.so");
    folder
});

fn built(name: &str) -> PathBuf {
    BUILT.path().join(name)
}

/// A process that has said that it is ready.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Self {
        let shown = format!("{command:?}");
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{shown}: {error}"));
        let mut word = [0; 5];
        child.stdout.as_mut().unwrap().read_exact(&mut word).expect(&shown);
        assert_eq!(&word, b"ready", "{shown}");
        Self(child)
    }

    fn victim(what: &str) -> Self {
        Self::start(Command::new(built("dynamic")).arg(what))
    }

    fn id(&self) -> u32 {
        self.0.id()
    }

    fn scanner(&self) -> Scanner {
        Scanner::new(Scope::Processes(vec![self.id()]), Duration::from_mins(10), 1)
    }

    fn look(&self) -> Look {
        self.scanner().look().unwrap()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn mappings(&self, which: impl Fn(&Mapping) -> bool) -> Vec<Mapping> {
        let ways = Ways::default();
        let space = Space::open(self.id(), &ways).unwrap().unwrap();
        let all = space.mappings().unwrap();
        all.into_iter()
            .filter(|it| which(it) && matches!(it.backing, Backing::File { .. }))
            .collect()
    }

    fn code(&self) -> Vec<Mapping> {
        self.mappings(|it| it.executable)
    }

    /// Changes one octet through /proc/PID/mem; gives what was there.
    fn poke(&self, at: u64, change: impl Fn(u8) -> u8) -> u8 {
        let memory =
            OpenOptions::new().read(true).write(true).open(format!("/proc/{}/mem", self.id()));
        let memory = memory.expect("this test must run as root, or with CAP_SYS_PTRACE");
        let mut octet = [0];
        memory.read_exact_at(&mut octet, at).unwrap();
        memory.write_all_at(&[change(octet[0])], at).unwrap();
        octet[0]
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn path_of(mapping: &Mapping) -> &Path {
    match &mapping.backing {
        Backing::File { path, .. } => path,
        _ => panic!("no file"),
    }
}

fn kinds(look: &Look) -> Vec<Kind> {
    let mut kinds: Vec<_> = look.findings.iter().map(|it| it.kind).collect();
    kinds.dedup();
    kinds
}

/// A stream of numbers from a seed that is printed (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Pokes single octets, anywhere in the code that a process has mapped.
fn every_poke_is_found(process: &Process, pokes: u64, numbers: &mut Numbers) {
    // Nothing of it runs while it is changed, so that it does not fall over.
    process.signal(rustix::process::Signal::STOP);
    let mut scanner = process.scanner();
    let wrong = |look: &Look| {
        let patches = look.of(Kind::Patched).chain(look.of(Kind::Breakpoint));
        patches.cloned().collect::<Vec<_>>()
    };
    assert_eq!(wrong(&scanner.look().unwrap()), [], "nobody has touched it yet");
    let code = process.code();
    for _ in 0..pokes {
        let mapping = &code[usize::try_from(numbers.below(code.len() as u64)).unwrap()];
        let Backing::File { path, offset, .. } = &mapping.backing else { unreachable!() };
        // Not behind the end of the file, where there is nothing to run.
        let file =
            fs::metadata(path).map_or(mapping.len(), |found| found.len().saturating_sub(*offset));
        let at = mapping.start + numbers.below(mapping.len().min(file));
        let bit = 1_u8 << numbers.below(8);
        let was = process.poke(at, |octet| octet ^ bit);
        let found = wrong(&scanner.look().unwrap());
        let here = offset + (at - mapping.start);
        let told = found.iter().any(|it| Path::new(&it.path) == path && it.offset == here);
        assert!(told, "{} at {here:#x}: {found:?}", path.display());
        process.poke(at, |_| was);
    }
    assert_eq!(wrong(&scanner.look().unwrap()), [], "private pages that equal the file are whole");
}

fn rust_program() -> PathBuf {
    let source = built("victim.rs");
    let text = "fn main() { println!(\"ready\"); loop { std::thread::park() } }";
    fs::write(&source, text).unwrap();
    let program = built("rust");
    let built = Command::new("rustc").arg("-o").arg(&program).arg(&source).status();
    assert!(built.expect("rustc builds a victim").success());
    program
}

#[test]
fn two_hundred_random_pokes_into_six_kinds_of_programs_are_all_found() {
    let seed = u64::from(std::process::id()) | 1 << 40;
    println!("seed {seed}");
    let mut numbers = Numbers(seed);
    let java = built("Sleep.java");
    let text = "public class Sleep { public static void main(String[] a) throws Exception { \
                System.out.println(\"ready\"); Thread.sleep(600000); } }";
    fs::write(&java, text).unwrap();
    let python = "print('ready', flush=True)\nimport time\ntime.sleep(600)";
    let mut commands = vec![
        Command::new(built("dynamic")),
        Command::new(built("static")),
        Command::new(rust_program()),
        Command::new("java"),
        Command::new("/usr/bin/python3"),
        Command::new("/usr/bin/node"),
    ];
    commands[3].arg("-Xshare:auto").arg(&java);
    commands[4].args(["-c", python]);
    commands[5].args(["-e", "console.log('ready'); setTimeout(() => {}, 600000)"]);
    let each = 200_u64.div_ceil(commands.len() as u64);
    for command in &mut commands {
        every_poke_is_found(&Process::start(command), each, &mut numbers);
    }
}

#[test]
fn injection_by_ptrace_is_found() {
    let process = Process::victim("");
    let text = process.code().into_iter().find(|it| path_of(it) == built("dynamic")).unwrap();
    let at = format!("{:x}", text.start + 64);
    let poked =
        Command::new(built("static")).args(["poke", &process.id().to_string(), &at]).status();
    assert!(poked.unwrap().success(), "ptrace is allowed");
    let look = process.look();
    assert_eq!(kinds(&look), [Kind::Patched]);
    assert_eq!(look.findings[0].path, built("dynamic").to_str().unwrap());
}

#[test]
fn a_preloaded_library_is_told_with_its_digest() {
    let library = built("library.so");
    let process = Process::start(Command::new(built("dynamic")).env("LD_PRELOAD", &library));
    let look = process.look();
    assert_eq!(kinds(&look), [Kind::Preloaded]);
    assert_eq!(look.findings[0].path, library.to_str().unwrap());
    let mapped = look.mapped.iter().find(|it| it.path == library).unwrap();
    assert!(look.findings[0].why.contains(&mapped.digest.unwrap().to_string()), "{look:?}");
}

#[test]
fn code_of_a_memfd_is_found() {
    let look = Process::victim("memfd").look();
    assert_eq!(kinds(&look), [Kind::Memfd]);
    assert!(look.findings[0].path.contains("/memfd:innocent"), "{look:?}");
}

#[test]
fn memory_that_is_writable_and_executable_is_found() {
    let look = Process::victim("writable").look();
    assert_eq!(kinds(&look), [Kind::Writable]);
}

#[test]
fn code_that_a_process_makes_itself_is_found() {
    let look = Process::victim("generated").look();
    assert_eq!(kinds(&look), [Kind::Generated]);
}

#[test]
fn a_library_that_was_swapped_is_told_from_one_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("swapped.so");
    fs::copy(built("library.so"), &library).unwrap();
    let process = Process::start(Command::new(built("dynamic")).env("LD_PRELOAD", &library));
    let new = folder.path().join("new");
    fs::copy(built("library.so"), &new).unwrap();
    fs::rename(&new, &library).unwrap();
    let look = process.look();
    let told: Vec<_> = look.of(Kind::Deleted).map(|it| it.why.clone()).collect();
    assert!(told.len() == 1 && told[0].contains("another file is there now"), "{told:?}");
    fs::remove_file(&library).unwrap();
    let look = process.look();
    assert!(look.of(Kind::Deleted).any(|it| it.why.contains("nothing is there now")), "{look:?}");
    assert_eq!(look.of(Kind::Patched).count(), 0, "it is what it was when it was mapped");
}

#[test]
fn pages_that_relocation_left_read_only_must_not_change() {
    let process = Process::victim("");
    let ways = Ways::default();
    let space = Space::open(process.id(), &ways).unwrap().unwrap();
    let relro = process
        .mappings(|it| !it.writable && !it.executable && !space.private_pages(it).is_empty());
    let own =
        relro.iter().find(|it| path_of(it) == built("dynamic")).expect("the victim has RELRO");
    let mut scanner = process.scanner();
    assert_eq!(kinds(&scanner.look().unwrap()), []);
    let (page, _) = space.private_pages(own)[0];
    process.poke(page + 8, |octet| octet ^ 1);
    let look = scanner.look().unwrap();
    assert_eq!(kinds(&look), [Kind::Relro]);
    assert_eq!(kinds(&scanner.look().unwrap()), [Kind::Relro], "it stays told");
}

#[test]
fn a_program_that_was_unlinked_is_still_compared_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("gone");
    copy(&built("dynamic"), &program);
    let process = Process::start(&mut Command::new(&program));
    fs::remove_file(&program).unwrap();
    assert_eq!(kinds(&process.look()), [Kind::Deleted]);
    let text = process.code().into_iter().find(|it| path_of(it) == program).unwrap();
    process.poke(text.start + 64, |octet| octet ^ 1);
    assert_eq!(kinds(&process.look()), [Kind::Patched, Kind::Deleted]);
}

#[test]
fn a_program_in_a_chroot_and_another_namespace_is_compared_with_its_own_file() {
    let root = tempfile::tempdir().unwrap();
    copy(&built("static"), &root.path().join("program"));
    // A file of that name outside is another one.
    let mut command = Command::new("unshare");
    command.args(["--mount", "--ipc", "--uts", "chroot"]).arg(root.path()).arg("/program");
    let process = Process::start(&mut command);
    assert_eq!(kinds(&process.look()), []);
    let text = process.code()[0].clone();
    process.poke(text.start + 64, |octet| octet ^ 1);
    assert_eq!(kinds(&process.look()), [Kind::Patched]);
}

#[test]
fn a_program_on_an_overlay_is_compared_with_its_own_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display();
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    copy(&built("static"), &folder.path().join("lower/program"));
    let script = format!(
        "mount -t tmpfs none {at}/work && mkdir {at}/work/u {at}/work/w && \
         mount -t overlay overlay -o lowerdir={at}/lower,upperdir={at}/work/u,workdir={at}/work/w \
         {at}/merged && exec {at}/merged/program"
    );
    let process = Process::start(Command::new("unshare").args(["--mount", "sh", "-c", &script]));
    assert_eq!(kinds(&process.look()), []);
    let text = process.code()[0].clone();
    process.poke(text.start + 64, |octet| octet ^ 1);
    assert_eq!(kinds(&process.look()), [Kind::Patched]);
}

#[test]
fn a_hostile_name_breaks_no_line_and_steers_no_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("a\nb\u{1b}[2J (deleted)");
    copy(&built("dynamic"), &program);
    let process = Process::start(Command::new(&program).arg("writable"));
    let look = process.look();
    assert_eq!(kinds(&look), [Kind::Writable]);
    for text in [&look.findings[0].process, &look.findings[0].why] {
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}

/// A uprobe of the kernel's on the start of `main`, for as long as this lives.
struct Probe {
    tracing: PathBuf,
    /// Its own: several tests may have one at a time.
    name: String,
}

impl Probe {
    fn on_main_of(program: &Path) -> Self {
        let tracing = Path::new("/sys/kernel/tracing");
        if !tracing.join("uprobe_events").exists() {
            let mounted =
                Command::new("mount").args(["-t", "tracefs", "none"]).arg(tracing).status();
            assert!(mounted.unwrap().success(), "needs root and a kernel with tracefs");
        }
        let symbols = Command::new("nm").arg(program).output().expect("nm reads symbols").stdout;
        let symbols = String::from_utf8(symbols).unwrap();
        let main = symbols.lines().find_map(|line| line.strip_suffix(" T main")).unwrap();
        let own =
            program.metadata().map(|found| std::os::unix::fs::MetadataExt::ino(&found)).unwrap();
        let name = format!("touchstone/main_{}_{own}", std::process::id());
        let probe = format!("p:{name} {}:0x{main}\n", program.display());
        let events = OpenOptions::new().append(true).open(tracing.join("uprobe_events"));
        std::io::Write::write_all(&mut events.unwrap(), probe.as_bytes()).unwrap();
        let probe = Self { tracing: tracing.to_owned(), name };
        probe.enable("1");
        probe
    }

    fn enable(&self, how: &str) {
        fs::write(self.tracing.join("events").join(&self.name).join("enable"), how).unwrap();
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.enable("0");
        let events = OpenOptions::new().append(true).open(self.tracing.join("uprobe_events"));
        let gone = format!("-:{}\n", self.name);
        std::io::Write::write_all(&mut events.unwrap(), gone.as_bytes()).unwrap();
    }
}

#[test]
fn a_uprobe_is_told_from_a_patch_and_what_it_leaves_behind_is_whole() {
    // A file of its own: a probe is in every process of the file.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("probed");
    copy(&built("dynamic"), &program);
    let probe = Probe::on_main_of(&program);
    let process = Process::start(&mut Command::new(&program));
    let look = process.look();
    assert_eq!(kinds(&look), [Kind::Breakpoint], "{look:?}");
    assert!(look.findings[0].why.contains("a uprobe that tracefs lists"), "{look:?}");
    drop(probe);
    assert_eq!(kinds(&process.look()), [], "the page is a copy that equals the file");
}

#[test]
fn processes_that_come_and_go_while_they_are_looked_at_are_not_accused() {
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let busy = || {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                // Starts, runs another program, forks, and ends.
                let _ = Command::new("sh")
                    .args(["-c", "true; exec sh -c 'ls / >/dev/null & wait'"])
                    .status();
            }
        };
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(busy)).collect();
        let mut scanner = Scanner::new(Scope::All, Duration::from_mins(10), 4);
        let begun = Instant::now();
        let mut accused = Vec::new();
        while begun.elapsed() < Duration::from_secs(5) {
            let look = scanner.look().unwrap();
            let kinds = [Kind::Patched, Kind::Breakpoint, Kind::Relro];
            // Victims of the tests beside this one are guilty.
            let ours = BUILT.path().display().to_string();
            let tests = |process: &str| process.starts_with(&ours) || process.contains("/.tmp");
            let wrong = look.findings.into_iter().filter(|it| {
                kinds.contains(&it.kind) && !tests(&it.process) && !is_victim(&it.process)
            });
            accused.extend(wrong);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(accused, []);
    });
}

/// Programs that the poking test beside this one changes.
fn is_victim(process: &str) -> bool {
    ["java", "python", "node", "/program"].iter().any(|name| process.contains(name))
}

/// Copies by another program: a process that forks here meanwhile would hold the file open for
/// writing, and it could not be run.
fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
}
