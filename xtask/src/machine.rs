//! What the tests ask of the machine beside packages, looked at before them: a bare chroot lacks things
//! that would otherwise be read out of failed tests.

use anyhow::{Context, Result, bail};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Says all that is missing, and how to get it.
pub(crate) fn require() -> Result<()> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")
        .context("/proc is not mounted: mount -t proc proc /proc")?;
    let missing = missing(is_root()?, &mounts, namespaces_work());
    if missing.is_empty() {
        return Ok(());
    }
    bail!("the tests cannot all run here:\n  {}", missing.join("\n  "));
}

fn missing(is_root: bool, mounts: &str, namespaces_work: bool) -> Vec<&'static str> {
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
    if is_root && !namespaces_work {
        missing.push("root may not make namespaces here (a container without CAP_SYS_ADMIN): take a privileged one, or a virtual machine");
    }
    missing
}

pub(crate) fn is_root() -> Result<bool> {
    let own = Path::new("/proc/self").metadata().context("/proc is not mounted")?;
    Ok(own.uid() == 0)
}

fn namespaces_work() -> bool {
    let tried = Command::new("unshare")
        .args(["--mount", "--propagation", "unchanged", "--pid", "--net", "--fork", "true"])
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::missing;

    const ROOT: &str = "29 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n";
    const GROUPS: &str = "33 25 0:29 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n";

    #[test]
    fn a_machine_lacks_nothing() {
        assert!(missing(true, &format!("{ROOT}{GROUPS}"), true).is_empty());
    }

    #[test]
    fn all_that_a_bare_chroot_lacks_is_said_at_once() {
        let proc = "40 39 0:5 / /proc rw - proc proc rw\n";
        let missing = missing(true, proc, true);
        assert_eq!(missing.len(), 2, "{missing:?}");
        assert!(missing.iter().any(|what| what.contains("mount --bind")));
        assert!(missing.iter().any(|what| what.contains("mount -t cgroup2")));
    }

    #[test]
    fn who_is_not_root_is_not_told_of_namespaces() {
        let missing = missing(false, &format!("{ROOT}{GROUPS}"), false);
        assert!(matches!(missing[..], [only] if only.contains("as root")), "{missing:?}");
    }
}
