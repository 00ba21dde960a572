//! A long look at everything that a machine does, with programs beside it that change their own
//! memory for good reasons. Run by hand, with builds beside it:
//!
//! ```sh
//! TOUCHSTONE_SOAK_MINUTES=120 cargo test -p touchstone-agent --test code_pages soak -- --ignored --nocapture
//! ```
#![allow(clippy::print_stdout, reason = "whoever runs it by hand reads how it goes")]

use super::changes::Package;
use super::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// Compiles a method again and again, as long as nobody needs the processor.
const JAVA: &str = "\
public class Busy {
    static double work(double x) { for (int i = 1; i < 20000; i++) x += Math.sin(x) / i; return x; }
    public static void main(String[] a) throws Exception {
        System.out.println(\"ready\");
        for (double x = 1; ; x = work(x)) Thread.sleep(50);
    }
}
";
const NODE: &str = "\
console.log('ready');
let n = 0;
setInterval(() => { n += 1; new Function('x', `let s = ${n}; for (let i = 0; i < 20000; i++) s += x * i; return s`)(n) }, 50);
";

/// How long, as the environment says.
fn long() -> Duration {
    let minutes = std::env::var("TOUCHSTONE_SOAK_MINUTES").map_or(10, |minutes| {
        minutes.parse().expect("TOUCHSTONE_SOAK_MINUTES is a number of minutes")
    });
    Duration::from_mins(minutes)
}

/// Whether a process was started by a test beside this one, which changes it on purpose.
fn is_of_another_test(pid: u32) -> bool {
    let (own, mut pid) = (std::process::id(), pid);
    while pid > 1 && pid != own {
        let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        let program = program.to_string_lossy().into_owned();
        if program.contains("/target/") && program.contains("/deps/") {
            return true;
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        pid = parent.and_then(|parent| parent.trim().parse().ok()).unwrap_or_default();
    }
    false
}

/// What is beside: two compilers in processes, one that a uprobe is in, one whose library is replaced.
struct Beside {
    _folder: tempfile::TempDir,
    probed: PathBuf,
    package: Package,
    /// The uprobe goes before the process that it is in.
    _probe: Probe,
    _processes: Vec<Process>,
}

impl Beside {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let java = folder.path().join("Busy.java");
        fs::write(&java, JAVA).unwrap();
        let probed = folder.path().join("probed");
        copy(&built("dynamic"), &probed);
        let probe = Probe::on_main_of(&probed);
        let package = Package::new();
        package.install(1);
        let library = package.library();
        let processes = vec![
            Process::start(Command::new("java").arg(&java)),
            Process::start(Command::new("/usr/bin/node").args(["-e", NODE])),
            Process::start(&mut Command::new(&probed)),
            Process::start(Command::new(built("dynamic")).env("LD_PRELOAD", library)),
        ];
        Self { _folder: folder, probed, package, _probe: probe, _processes: processes }
    }
}

#[test]
#[ignore = "takes ten minutes or what TOUCHSTONE_SOAK_MINUTES says; run it by hand, with builds beside it"]
fn nobody_is_accused_while_programs_are_built() {
    let beside = Beside::start();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let upgrading = scope.spawn(|| {
            let mut version = 1;
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_secs(10));
                version += 1;
                beside.package.install(version);
            }
            version - 1
        });
        let soaked = std::panic::catch_unwind(|| soak(&beside.probed));
        stop.store(true, Ordering::Relaxed);
        println!("{} upgrades of a package meanwhile", upgrading.join().unwrap());
        let accused = soaked.unwrap();
        assert!(accused.is_empty(), "{accused:#?}");
    });
}

/// Looks every second; whoever was accused though nobody changed him.
fn soak(probed: &Path) -> Vec<String> {
    let mut scanner = Scanner::new(Scope::All, Duration::from_mins(1), 4);
    let begun = Instant::now();
    let (mut looks, mut processes, mut mappings, mut of_tests) = (0_u64, 0_u64, 0_u64, 0_u64);
    let (mut told, mut accused) = (BTreeMap::new(), Vec::new());
    let mut names = std::collections::BTreeSet::new();
    while begun.elapsed() < long() {
        let look = scanner.look().unwrap();
        looks += 1;
        processes += u64::from(look.processes);
        mappings += u64::from(look.mappings);
        let mut breakpoints = 0;
        for it in &look.findings {
            *told.entry(it.kind).or_insert(0_u64) += 1;
            let accusing = matches!(it.kind, Kind::Patched | Kind::Breakpoint | Kind::Relro);
            if it.kind == Kind::Breakpoint && Path::new(&it.path) == probed {
                breakpoints += 1;
            } else if accusing && is_of_another_test(it.pid) {
                of_tests += 1;
            } else if names.insert((it.kind, it.pid, it.start, it.path.clone(), it.offset)) {
                println!("after {looks} looks: {:?}: {}", it.kind, it.why);
                accused.extend(accusing.then(|| it.why.clone()));
            }
        }
        assert_eq!(breakpoints, 1, "the uprobe is told by every look");
        if looks.is_multiple_of(300) {
            println!("{looks} looks at {processes} processes, {} accused", accused.len());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    println!(
        "{looks} looks in {} minutes, at {processes} processes with {mappings} mappings: {} accused; \
         findings that accuse nobody or are a test's own ({of_tests}): {told:?}",
        begun.elapsed().as_secs() / 60,
        accused.len()
    );
    accused
}
