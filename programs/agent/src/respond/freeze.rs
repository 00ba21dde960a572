//! Freezing: a process goes into a control group of its own, which is frozen. It keeps its memory,
//! its files and its sockets, and can be looked at, and thawed.

use super::Error;
use crate::collect::observe::Root;
use crate::collect::observe::mounts::mount;
use crate::collect::process::identity;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// So long the kernel may take to freeze a process that is in the middle of something.
const PATIENCE: Duration = Duration::from_secs(5);

/// The folder of the groups that are ours.
const OURS: &str = "touchstone";

/// Where control groups of version 2 are.
pub fn hierarchy() -> Result<PathBuf, Error> {
    let text = Root::new(Path::new("/")).required("/proc/self/mountinfo");
    let text = text.map_err(|fault| Error::Group {
        path: "/proc/self/mountinfo".into(),
        why: fault.to_string(),
    })?;
    let found = text.lines().filter_map(mount).find(|mount| mount.kind == "cgroup2");
    found.map(|mount| PathBuf::from(mount.target)).ok_or(Error::NoGroups)
}

/// Freezes a process; gives the group that it was in, for [`thaw`].
pub fn freeze(pid: u32, start: u64) -> Result<String, Error> {
    let root = hierarchy()?;
    let before = group_of(pid)?;
    let group = group(&root, pid);
    fs::create_dir_all(&group).map_err(|error| fault(&group, &error))?;
    write(&group.join("cgroup.procs"), &pid.to_string())?;
    // Looked at after the move: a number that was given to somebody else is put back.
    if identity(pid).ok().flatten().is_none_or(|now| now.start != start) {
        let moved_back = write(
            &root.join(before.trim_start_matches('/')).join("cgroup.procs"),
            &pid.to_string(),
        );
        drop(fs::remove_dir(&group));
        moved_back?;
        return Err(Error::Gone { pid });
    }
    write(&group.join("cgroup.freeze"), "1")?;
    wait(&group, true)?;
    Ok(before)
}

/// Lets a frozen process go on, in the group that it was in.
pub fn thaw(pid: u32, before: &str) -> Result<(), Error> {
    let root = hierarchy()?;
    let group = group(&root, pid);
    if !group.exists() {
        return Ok(());
    }
    write(&group.join("cgroup.freeze"), "0")?;
    wait(&group, false)?;
    let home = root.join(before.trim_start_matches('/')).join("cgroup.procs");
    let members = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    for member in members.lines() {
        // Whoever ended meanwhile need not go home; a group that is gone is not made again.
        if write(&home, member).is_err() {
            write(&root.join("cgroup.procs"), member)?;
        }
    }
    fs::remove_dir(&group).map_err(|error| fault(&group, &error))
}

/// Whether a process is frozen by us.
pub fn is_frozen(pid: u32) -> bool {
    hierarchy().is_ok_and(|root| state(&group(&root, pid)) == Some(true))
}

fn group(root: &Path, pid: u32) -> PathBuf {
    root.join(OURS).join(format!("frozen-{pid}"))
}

/// cgroups(7): the line `0::/path` of /proc/PID/cgroup.
fn group_of(pid: u32) -> Result<String, Error> {
    let path = PathBuf::from(format!("/proc/{pid}/cgroup"));
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::Gone { pid }),
        Err(error) => return Err(fault(&path, &error)),
    };
    let group = text.lines().find_map(|line| line.strip_prefix("0::"));
    group.map(str::to_owned).ok_or(Error::NoGroups)
}

/// The service that a process belongs to, by the groups that systemd makes.
pub fn unit_of(pid: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    unit(&text)
}

/// `0::/system.slice/pump.service` to `pump.service`.
pub fn unit(groups: &str) -> Option<String> {
    let lines =
        groups.lines().filter(|line| line.starts_with("0::") || line.contains(":name=systemd:"));
    let mut parts =
        lines.filter_map(|line| line.rsplit_once(':')).flat_map(|(_, path)| path.split('/').rev());
    let is_name = |name: &&str| {
        name.strip_suffix(".service").is_some()
            && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.@:\\".contains(&c))
            && !name.starts_with('-')
    };
    parts.find(is_name).map(str::to_owned)
}

fn wait(group: &Path, frozen: bool) -> Result<(), Error> {
    let begun = Instant::now();
    while state(group) != Some(frozen) {
        if begun.elapsed() > PATIENCE {
            let why = if frozen { "it does not freeze" } else { "it does not thaw" };
            return Err(Error::Group { path: group.to_owned(), why: why.to_owned() });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn state(group: &Path) -> Option<bool> {
    let events = fs::read_to_string(group.join("cgroup.events")).ok()?;
    let frozen = events.lines().find_map(|line| line.strip_prefix("frozen "))?;
    Some(frozen.trim() == "1")
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|error| fault(path, &error))
}

fn fault(path: &Path, error: &io::Error) -> Error {
    Error::Group { path: path.to_owned(), why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Victim;

    #[test]
    fn a_process_is_frozen_in_its_place_and_goes_on_when_thawed() {
        let victim = Victim::start();
        let start = identity(victim.pid()).unwrap().unwrap().start;
        let home = group_of(victim.pid()).unwrap();
        let before =
            freeze(victim.pid(), start).expect("needs root and control groups of version 2");
        assert_eq!(before, home);
        assert!(is_frozen(victim.pid()));
        assert_ne!(group_of(victim.pid()).unwrap(), home);
        thaw(victim.pid(), &before).unwrap();
        assert!(!is_frozen(victim.pid()));
        assert_eq!(group_of(victim.pid()).unwrap(), home);
        assert!(!victim.has_ended());
    }

    #[test]
    fn another_process_of_that_number_is_not_frozen() {
        let victim = Victim::start();
        let home = group_of(victim.pid()).unwrap();
        let error = freeze(victim.pid(), 1).unwrap_err();
        assert_eq!(error.code(), "agent.respond.gone");
        assert!(!is_frozen(victim.pid()));
        assert_eq!(group_of(victim.pid()).unwrap(), home);
    }

    #[test]
    fn a_service_is_known_by_its_group() {
        assert_eq!(unit("0::/system.slice/pump.service\n").as_deref(), Some("pump.service"));
        assert_eq!(unit("0::/user.slice/user-0.slice/a.scope").as_deref(), None);
        assert_eq!(
            unit("1:name=systemd:/system.slice/a@b.service/sub\n0::/").as_deref(),
            Some("a@b.service")
        );
        assert_eq!(unit("0::/-x.service").as_deref(), None);
    }
}
