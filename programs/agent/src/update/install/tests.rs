//! The device loses power after each step.

use super::*;
use crate::config::{Identifier, Restart};
use crate::tests::{Numbers, Victim};

struct Device {
    folder: tempfile::TempDir,
    component: Component,
    numbers: Numbers,
}

impl Device {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pump");
        fs::write(&path, b"old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o751)).unwrap();
        let name: Identifier = "pump".parse().unwrap();
        let component = Component { name, path, restart: Restart::No };
        Self { folder, component, numbers: Numbers::default() }
    }

    /// The installer as it is after a start.
    fn boot(&self) -> Installer<Numbers> {
        let state = State::open(&self.folder.path().join("state")).unwrap();
        Installer::new(&state, self.numbers.clone())
    }

    fn file(&self) -> Vec<u8> {
        fs::read(&self.component.path).unwrap()
    }

    fn leftovers(&self) -> bool {
        staged(&self.component.path).exists()
            || self.folder.path().join("state/installing-pump.json").exists()
    }
}

fn new() -> Installed {
    // printf new | sha256sum
    let sha256 = "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437".to_owned();
    Installed { version: 8, sha256 }
}

#[test]
fn an_update_replaces_the_file_and_raises_the_counter() {
    let device = Device::new();
    let mut installer = device.boot();
    assert_eq!(installer.above(&device.component).unwrap(), 0);
    assert_eq!(installer.install(&device.component, 3, &new(), b"new"), Ending::Applied);
    installer.settled("pump").unwrap();
    assert_eq!(device.file(), b"new");
    assert_eq!(installer.above(&device.component).unwrap(), 8);
    assert_eq!(installer.installed(&device.component), Some(new()));
    let mode = fs::metadata(&device.component.path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o751);
    assert!(!device.leftovers());
}

#[test]
fn a_power_cut_before_the_rename_leaves_the_old_file_and_no_trace() {
    let device = Device::new();
    device.boot().stage(&device.component, 3, &new(), b"new").unwrap();
    let mut again = device.boot();
    assert!(again.recover(&device.component).is_none());
    assert_eq!(device.file(), b"old");
    assert_eq!(again.above(&device.component).unwrap(), 0);
    assert!(!device.leftovers());
    assert_eq!(again.install(&device.component, 3, &new(), b"new"), Ending::Applied);
}

#[test]
fn a_power_cut_after_the_rename_is_finished_at_the_next_start() {
    let device = Device::new();
    let mut installer = device.boot();
    installer.stage(&device.component, 3, &new(), b"new").unwrap();
    put_in_place(&device.component).unwrap();
    assert_eq!(device.numbers.clone().last("pump").unwrap(), None);

    let mut again = device.boot();
    let finished = again.recover(&device.component).unwrap();
    assert_eq!(finished, (3, new(), Ending::Applied));
    assert_eq!(again.above(&device.component).unwrap(), 8);
    // Until the outcome is kept, the next start finishes it again.
    assert!(device.boot().recover(&device.component).is_some());
    again.settled("pump").unwrap();
    assert!(device.boot().recover(&device.component).is_none());
    assert_eq!(device.file(), b"new");
}

#[test]
fn a_power_cut_after_the_counter_is_finished_too() {
    let device = Device::new();
    let mut installer = device.boot();
    installer.stage(&device.component, 3, &new(), b"new").unwrap();
    put_in_place(&device.component).unwrap();
    installer.counters.raise("pump", 8).unwrap();
    let finished = device.boot().recover(&device.component).unwrap();
    assert_eq!(finished.2, Ending::Applied);
    assert_eq!(device.boot().installed(&device.component), Some(new()));
}

#[test]
fn a_rolled_back_disk_does_not_roll_back_the_version() {
    let device = Device::new();
    device.numbers.clone().raise("pump", 9).unwrap();
    assert_eq!(device.boot().above(&device.component).unwrap(), 9);
}

#[test]
fn a_place_that_can_not_be_written_fails_with_words_and_keeps_the_old_file() {
    let mut device = Device::new();
    device.component.path = "/proc/pump".into();
    let result = device.boot().install(&device.component, 3, &new(), b"new");
    assert_eq!(result.word(), "failed");
    assert_eq!(result.why().0, "agent.update.place");
}

#[test]
fn what_runs_from_the_old_file_is_asked_to_go() {
    let victim = Victim::start();
    let mut device = Device::new();
    device.component.path.clone_from(&victim.path);
    device.component.restart = Restart::Signal(crate::config::Signal::Term);
    assert_eq!(device.boot().install(&device.component, 3, &new(), b"new"), Ending::Applied);
    assert!(victim.has_ended());
}
