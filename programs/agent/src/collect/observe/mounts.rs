//! What is mounted where, and with which protection.

use super::super::finding::plain;
use super::{Collected, Fault, Root, list};
use std::path::Path;
use touchstone_evidence::runtime::Observed;

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub target: String,
    /// The type of its file system.
    pub kind: String,
    /// What is mounted there.
    pub source: String,
    /// Its options, and those of the file system.
    pub options: Vec<String>,
}

/// Every mount with the options that protect.
pub fn mounts(root: &Root) -> Collected {
    list(read_mounts(root)?.iter().map(observed).collect())
}

fn observed(mount: &Mount) -> Observed {
    let has = |option: &str| mount.options.iter().any(|it| it == option).into();
    Observed::record([
        ("target", plain(Path::new(&mount.target)).into()),
        ("type", plain(Path::new(&mount.kind)).into()),
        ("source", plain(Path::new(&mount.source)).into()),
        ("read-only", has("ro")),
        ("nosuid", has("nosuid")),
        ("nodev", has("nodev")),
        ("noexec", has("noexec")),
    ])
}

/// The mounts of this process' namespace.
pub(super) fn read_mounts(root: &Root) -> Result<Vec<Mount>, Fault> {
    let text = root.required("/proc/self/mountinfo")?;
    text.lines()
        .map(|line| {
            mount(line).ok_or_else(|| Fault::Malformed {
                path: root.path("/proc/self/mountinfo"),
                why: format!("the line `{}`", plain(Path::new(line))),
            })
        })
        .collect()
}

/// A line of proc(5) `mountinfo`:
/// `36 35 98:0 / /mnt rw,noatime shared:1 - ext3 /dev/root rw,errors=continue`
pub fn mount(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ');
    let target = unescape(left.nth(4)?);
    let of_mount = left.next()?;
    let mut right = right.split(' ');
    let (kind, source, of_system) = (right.next()?, right.next()?, right.next()?);
    let options = of_mount.split(',').chain(of_system.split(','));
    Some(Mount {
        target,
        kind: kind.to_owned(),
        source: unescape(source),
        options: options.map(str::to_owned).collect(),
    })
}

/// proc(5): space, tab, newline and backslash are shown as three octal digits.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_at_checked(3).map(|(digits, rest)| (u8::from_str_radix(digits, 8), rest)) {
            Some((Ok(octet), rest)) if octet.is_ascii() => {
                plain.push(char::from(octet));
                plain.push_str(rest);
            }
            _ => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_read_with_its_escapes() {
        let line = "36 35 98:0 /a /mnt/my\\040disk rw,noatime,nosuid master:1 - ext3 /dev/root ro,errors=continue";
        let mount = mount(line).unwrap();
        assert_eq!(mount.target, "/mnt/my disk");
        assert_eq!((mount.kind.as_str(), mount.source.as_str()), ("ext3", "/dev/root"));
        assert!(mount.options.contains(&"nosuid".to_owned()));
        assert!(super::mount("36 35 98:0 /").is_none());
    }
}
