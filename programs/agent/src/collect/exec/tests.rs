use super::*;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// A file system of its own, so that nobody else on this machine waits for this test.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "none"]).arg(place.0.path()).status().unwrap();
        assert!(mounted.success(), "needs root");
        place
    }

    fn gate(&self, asks: Asks) -> Gate {
        Gate::over([self.0.path().to_owned()], asks).expect("needs permission events")
    }

    fn program(&self, name: &str, mode: u32) -> PathBuf {
        program(self.0.path(), name, mode)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

fn program(folder: &Path, name: &str, mode: u32) -> PathBuf {
    let path = folder.join(name);
    assert!(Command::new("cp").arg("/bin/true").arg(&path).status().unwrap().success());
    set_mode(&path, mode);
    path
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Who comes to the gate while `work` is done.
fn at_the_gate<T>(gate: &mut Gate, work: impl FnOnce() -> T) -> (T, Vec<Started>) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let gate = scope.spawn(|| {
            let mut told = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                told.extend(gate.wait(Duration::from_millis(20)).unwrap());
            }
            told.extend(gate.wait(Duration::ZERO).unwrap());
            told
        });
        let done = work();
        stop.store(true, Ordering::Relaxed);
        (done, gate.join().unwrap())
    })
}

fn run(path: &Path) -> std::io::Result<bool> {
    Command::new(path).status().map(|status| status.success())
}

/// Whether a start waits for somebody at the gate, who comes later: who is asked is told, all others are
/// through by then.
fn waits(gate: &mut Gate, path: &Path) -> bool {
    let path = path.to_owned();
    let starting = std::thread::spawn(move || assert!(run(&path).unwrap()));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(300) && !starting.is_finished() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let waits = !starting.is_finished();
    while !starting.is_finished() {
        gate.wait(Duration::from_millis(20)).unwrap();
    }
    starting.join().unwrap();
    waits
}

/// What is seen of a program of ours, beside what this machine does.
fn seen(gate: &mut Gate, path: &Path, mut child: Child) -> (Started, Duration) {
    let begun = Instant::now();
    loop {
        let started = gate.wait(Duration::from_millis(100)).unwrap();
        if let Some(it) = started.into_iter().find(|it| it.path == path) {
            let took = begun.elapsed();
            let _ = child.wait();
            return (it, took);
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{} was not seen", path.display());
    }
}

#[test]
fn a_program_is_seen_as_it_starts() {
    let folder = tempfile::tempdir().unwrap();
    let path = program(folder.path(), "seen", 0o755);
    let mut gate =
        Gate::over([folder.path().to_owned()], Asks::Never).expect("needs CAP_SYS_ADMIN");
    let child = Command::new(&path).spawn().unwrap();
    let pid = child.id();
    let (started, took) = seen(&mut gate, &path, child);
    assert_eq!((started.pid, started.refused), (pid, None));
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn what_anybody_can_change_does_not_start_and_everything_else_does() {
    let place = Place::new();
    let (open, good) = (place.program("open", 0o777), place.program("good", 0o755));
    for asks in [Asks::Once, Asks::Always] {
        let mut gate = place.gate(asks);
        let ((), told) = at_the_gate(&mut gate, || {
            for _ in 0..3 {
                let refused = run(&open).unwrap_err();
                assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
                assert!(run(&good).unwrap());
            }
        });
        let of = |path: &Path| {
            told.iter().filter(|it| it.path == path).map(|it| it.refused).collect::<Vec<_>>()
        };
        assert_eq!(of(&open), [Some("anybody can change its file"); 3]);
        assert_eq!(of(&good), [None; 3], "each start is told, asked for or not");
    }
}

#[test]
fn who_was_judged_does_not_wait_and_is_seen_all_the_same() {
    let place = Place::new();
    let mut gate = place.gate(Asks::Once);
    let path = place.program("good", 0o755);
    assert!(waits(&mut gate, &path), "the first time");
    // Nobody stands at the gate.
    for _ in 0..3 {
        assert!(run(&path).unwrap());
    }
    assert_eq!(gate.wait(Duration::ZERO).unwrap().len(), 3);
    let mut strict = place.gate(Asks::Always);
    assert!(waits(&mut strict, &path) && waits(&mut strict, &path));
}

#[test]
fn a_loader_that_is_changed_or_replaced_is_asked_for_again() {
    let place = Place::new();
    let mut gate = place.gate(Asks::Once);
    // What interprets a script is to the kernel what a loader is to a program.
    let loader = place.program("loader", 0o755);
    let path = place.0.path().join("program");
    fs::write(&path, format!("#!{}\n", loader.display())).unwrap();
    set_mode(&path, 0o755);
    assert!(waits(&mut gate, &path), "for both");
    assert!(!waits(&mut gate, &path), "for none");

    fs::OpenOptions::new().append(true).open(&loader).unwrap().write_all(b"x").unwrap();
    assert!(waits(&mut gate, &path), "changed, nobody has heard of it");
    assert!(!waits(&mut gate, &path));

    place.program("other", 0o755);
    fs::rename(place.0.path().join("other"), &loader).unwrap();
    assert!(waits(&mut gate, &path), "replaced");
    // The word of it had every file asked for again, once.
    assert!(waits(&mut gate, &path) && !waits(&mut gate, &path));

    let again = fs::File::options().write(true).open(&loader).unwrap();
    again.set_len(again.metadata().unwrap().len() + 1).unwrap();
    drop(again);
    assert!(waits(&mut gate, &path), "made longer");
}

#[test]
fn a_program_that_everybody_may_change_from_now_on_is_asked_for_and_refused() {
    let place = Place::new();
    let mut gate = place.gate(Asks::Once);
    let path = place.program("good", 0o755);
    let other = place.program("other", 0o755);
    assert!(waits(&mut gate, &path) && waits(&mut gate, &other));
    for (mode, starts) in [(0o757, false), (0o755, true)] {
        set_mode(&path, mode);
        let (ran, _) = at_the_gate(&mut gate, || {
            // Until the word of it has come.
            std::thread::sleep(Duration::from_millis(50));
            run(&path)
        });
        assert_eq!(ran.is_ok(), starts, "{mode:o}");
    }
    set_mode(&path, 0o755);
    gate.wait(Duration::from_millis(50)).unwrap();
    assert!(waits(&mut gate, &other), "then every file is asked for");
}

#[test]
fn a_file_of_somebody_else_is_asked_for_each_time() {
    let place = Place::new();
    let mut gate = place.gate(Asks::Once);
    let path = place.program("somebody", 0o755);
    set_mode(place.0.path(), 0o755);
    std::os::unix::fs::chown(&path, Some(1000), None).unwrap();
    assert!(waits(&mut gate, &path) && waits(&mut gate, &path));
    set_mode(place.0.path(), 0o777);
    let (refused, _) = at_the_gate(&mut gate, || run(&path));
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
}
