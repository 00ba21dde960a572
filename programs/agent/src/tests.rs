//! What several modules' tests need.

use crate::collect::maps::{Backing, executable};
use crate::update::counters::Counters;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// A real process of a program of its own (a copy of `sleep`), to be measured and tampered with.
pub(crate) struct Victim {
    pub(crate) path: PathBuf,
    child: Child,
    folder: Option<tempfile::TempDir>,
}

impl Victim {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("victim");
        // Not copied by this process: a test beside this one that forks meanwhile would hold the
        // file open for writing, and it could not be run.
        let copied = Command::new("cp").arg("/usr/bin/sleep").arg(&path).status().unwrap();
        assert!(copied.success());
        let child = Command::new(&path).arg("600").stdin(Stdio::null()).spawn().unwrap();
        let victim = Self { path, child, folder: Some(folder) };
        // The loader maps libc after exec: wait until it is there and the program sleeps.
        while !victim.maps().contains("libc.so") || !victim.sleeps() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        victim
    }

    /// A process that has mapped the file at `path` executable.
    pub(crate) fn mapping(path: &std::path::Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("mapping.c");
        std::fs::write(&source, include_str!("../tests/victims/mapping.c")).unwrap();
        let program = folder.path().join("mapping");
        let built = Command::new("gcc").arg("-o").arg(&program).arg(&source).status().unwrap();
        assert!(built.success(), "gcc builds the program that maps a file");
        let mut child = Command::new(&program).arg(path).stdout(Stdio::piped()).spawn().unwrap();
        // It writes a line when it has mapped the file.
        let mut ready = [0];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
        Self { path: program, child, folder: Some(folder) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn maps(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/maps", self.pid())).unwrap()
    }

    fn sleeps(&self) -> bool {
        let wchan = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        wchan.contains(") S ")
    }

    /// Overwrites code in the middle of the program's own text, as an intruder would.
    pub(crate) fn patch(&self, octets: &[u8]) {
        let maps = executable(self.maps().as_bytes()).unwrap();
        let own =
            |backing: &Backing| matches!(backing, Backing::File { path, .. } if *path == self.path);
        let text = maps.iter().find(|mapping| own(&mapping.backing)).unwrap();
        let memory = OpenOptions::new()
            .write(true)
            .open(format!("/proc/{}/mem", self.pid()))
            .expect("this test must run as root, or with CAP_SYS_PTRACE");
        memory.write_at(octets, text.start + text.len() / 2).unwrap();
    }

    /// Whether it ended by itself.
    pub(crate) fn has_ended(mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Ends the process; its folder lives as long as what is returned.
    pub(crate) fn stop(mut self) -> tempfile::TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.folder.take().unwrap()
    }
}

/// Rollback counters in memory: an element that survives what happens to the disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers(Arc<Mutex<BTreeMap<String, u64>>>);

impl Counters for Numbers {
    fn last(&mut self, component: &str) -> Result<Option<u64>, touchstone_element::Error> {
        Ok(self.0.lock().unwrap().get(component).copied())
    }

    fn raise(&mut self, component: &str, to: u64) -> Result<(), touchstone_element::Error> {
        self.0.lock().unwrap().insert(component.to_owned(), to);
        Ok(())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
