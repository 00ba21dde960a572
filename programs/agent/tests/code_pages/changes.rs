//! What changes while a machine is in order: functions bound late, packages upgraded. Nobody is accused.

use super::*;

#[test]
fn functions_that_are_bound_late_are_no_finding() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("lazy.c");
    fs::write(&source, include_str!("../victims/lazy.c")).unwrap();
    for relro in ["-Wl,-z,lazy,-z,relro", "-Wl,-z,lazy,-z,norelro"] {
        let program = folder.path().join("lazy");
        let mut build = Command::new("gcc");
        build.args(["-O1", "-fno-builtin", relro, "-o"]).arg(&program).arg(&source);
        assert!(build.status().expect("gcc builds the victims").success());
        let mut process = Process::start(&mut Command::new(&program));
        let mut scanner = process.scanner();
        assert_eq!(kinds(&scanner.look().unwrap()), []);
        process.signal(rustix::process::Signal::USR1);
        let mut word = [0; 6];
        process.0.stdout.as_mut().unwrap().read_exact(&mut word).unwrap();
        assert_eq!(&word, b"\nbound", "the library's functions were called");
        for _ in 0..3 {
            assert_eq!(kinds(&scanner.look().unwrap()), [], "{relro}");
        }
    }
}

/// A package with one library, that `dpkg` installs in a folder.
pub(super) struct Package {
    folder: tempfile::TempDir,
}

impl Package {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["root", "admin/updates", "admin/info", "admin/triggers"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        for name in ["admin/status", "admin/available"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        Self { folder }
    }

    pub(super) fn library(&self) -> PathBuf {
        self.folder.path().join("root/usr/lib/libvictim.so")
    }

    pub(super) fn install(&self, version: u32) {
        let tree = self.folder.path().join(format!("tree-{version}"));
        fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        fs::create_dir_all(tree.join("usr/lib")).unwrap();
        fs::copy(built("library.so"), tree.join("usr/lib/libvictim.so")).unwrap();
        let control = format!(
            "Package: victim\nVersion: {version}\nArchitecture: all\n\
             Maintainer: Nobody <nobody@example.test>\nDescription: a library\n"
        );
        fs::write(tree.join("DEBIAN/control"), control).unwrap();
        let package = self.folder.path().join("victim.deb");
        let run = |command: &mut Command| {
            let output = command.output().expect("dpkg is part of Debian");
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{words}");
        };
        run(Command::new("dpkg-deb").args(["-Zgzip", "--build"]).arg(&tree).arg(&package));
        let at = |option: &str, name: &str| {
            format!("--{option}={}", self.folder.path().join(name).display())
        };
        run(Command::new("dpkg")
            .args([at("admindir", "admin"), at("instdir", "root")])
            .args(["--force-depends", "--install"])
            .arg(&package));
    }
}

#[test]
fn a_package_that_is_upgraded_while_its_library_runs_is_told_as_deleted_code_and_accuses_nobody() {
    let package = Package::new();
    package.install(1);
    let process =
        Process::start(Command::new(built("dynamic")).env("LD_PRELOAD", package.library()));
    let mut scanner = process.scanner();
    let benign = [Kind::Preloaded, Kind::Deleted];
    let accused = |look: &Look| {
        look.findings
            .iter()
            .filter(|it| !benign.contains(&it.kind))
            .map(|it| it.why.clone())
            .collect()
    };
    let none: Vec<String> = Vec::new();
    let look = scanner.look().unwrap();
    assert_eq!((look.of(Kind::Deleted).count(), accused(&look)), (0, none.clone()));
    for version in 2..8 {
        // The look is taken while the package manager works, and after.
        std::thread::scope(|scope| {
            let upgrading = scope.spawn(|| package.install(version));
            while !upgrading.is_finished() {
                assert_eq!(accused(&scanner.look().unwrap()), none, "version {version}");
            }
            upgrading.join().unwrap();
        });
        let look = scanner.look().unwrap();
        assert_eq!(accused(&look), none, "version {version}");
        let told: Vec<_> = look.of(Kind::Deleted).map(|it| it.why.clone()).collect();
        assert!(told.len() == 1 && told[0].contains("another file is there now"), "{told:?}");
    }
    // Who starts now has the new one, and nothing to tell.
    let fresh = Process::start(Command::new(built("dynamic")).env("LD_PRELOAD", package.library()));
    assert_eq!(fresh.look().of(Kind::Deleted).count(), 0);
}
