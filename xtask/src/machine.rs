//! What the tests ask of the machine beside packages, looked at before them: a bare chroot lacks things
//! that would otherwise be read out of failed tests.

use crate::run::on_path;
use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Says all that is missing, and how to get it.
pub(crate) fn require() -> Result<()> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")
        .context("/proc is not mounted: mount -t proc proc /proc")?;
    let missing = missing(is_root()?, &mounts, namespaces());
    if missing.is_empty() {
        return Ok(());
    }
    bail!("the tests cannot all run here:\n  {}", missing.join("\n  "));
}

/// What a process in a mount namespace of its own looks like from here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Namespaces {
    /// It runs the program that was started.
    Work,
    /// It cannot be made.
    Refused,
    /// Its program has another path: the root of this one's namespace lies above this root.
    Below,
}

fn missing(is_root: bool, mounts: &str, namespaces: Namespaces) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if !is_root {
        missing.push("they trace, freeze and isolate processes: run them as root, in a machine or container to try things in");
    }
    if !mounts.lines().any(|line| line.split(' ').nth(4) == Some("/")) {
        missing.push("the root of this chroot is no mount point, so that nothing can be isolated in it: mount --bind DIR DIR before chroot DIR");
    }
    if !mounts.lines().any(|line| line.contains(" - cgroup2 ")) {
        missing.push(
            "no control groups of version 2 are mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        );
    }
    if is_root && namespaces == Namespaces::Refused {
        missing.push("root may not make namespaces here (a container without CAP_SYS_ADMIN): take a privileged one, or a virtual machine");
    }
    if is_root && namespaces == Namespaces::Below {
        missing.push("this is a plain chroot, in which the paths of isolated processes cannot be read: enter it by pivot_root, as systemd-nspawn and containers do");
    }
    missing
}

pub(crate) fn is_root() -> Result<bool> {
    let own = Path::new("/proc/self").metadata().context("/proc is not mounted")?;
    Ok(own.uid() == 0)
}

fn namespaces() -> Namespaces {
    let program = on_path("cat").and_then(|path| path.canonicalize().ok());
    let started = Command::new("unshare")
        .args(["--mount", "--propagation", "unchanged", "--net", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut started) = started else { return Namespaces::Refused };
    let found = seen(&mut started);
    drop(started.kill().and_then(|()| started.wait()));
    match found {
        None => Namespaces::Refused,
        found if found == program => Namespaces::Work,
        Some(_) => Namespaces::Below,
    }
}

/// The program that a process runs, once it is in its namespaces and answers.
fn seen(process: &mut Child) -> Option<PathBuf> {
    process.stdin.as_mut()?.write_all(b"?").ok()?;
    process.stdout.as_mut()?.read_exact(&mut [0]).ok()?;
    std::fs::read_link(format!("/proc/{}/exe", process.id())).ok()
}

#[cfg(test)]
mod tests {
    use super::{Namespaces, missing};

    const ROOT: &str = "29 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n";
    const GROUPS: &str = "33 25 0:29 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n";

    #[test]
    fn a_machine_lacks_nothing() {
        assert!(missing(true, &format!("{ROOT}{GROUPS}"), Namespaces::Work).is_empty());
    }

    #[test]
    fn all_that_a_bare_chroot_lacks_is_said_at_once() {
        let proc = "40 39 0:5 / /proc rw - proc proc rw\n";
        let missing = missing(true, proc, Namespaces::Below);
        assert_eq!(missing.len(), 3, "{missing:?}");
        assert!(missing.iter().any(|what| what.contains("mount --bind")));
        assert!(missing.iter().any(|what| what.contains("mount -t cgroup2")));
    }

    #[test]
    fn who_is_not_root_is_not_told_of_namespaces() {
        let missing = missing(false, &format!("{ROOT}{GROUPS}"), Namespaces::Refused);
        assert!(matches!(missing[..], [only] if only.contains("as root")), "{missing:?}");
    }
}
