//! `/proc/PID/maps`: the lines of proc(5), read into what is executable.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// One mapping of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// Whether it can be written.
    pub writable: bool,
    /// Whether it can be executed.
    pub executable: bool,
    /// Whether writing to it writes to the file.
    pub shared: bool,
    /// What it shows.
    pub backing: Backing,
}

/// What a mapping shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing {
    /// A part of a file.
    File {
        /// The file's path when it was mapped.
        path: PathBuf,
        /// Where in the file the mapping starts.
        offset: u64,
        /// The device, major and minor.
        device: (u32, u32),
        /// The inode on that device.
        inode: u64,
        /// The kernel says that the file has been deleted.
        deleted: bool,
    },
    /// Memory that no file backs: `[heap]`, `[stack]`, or without a name.
    Anonymous(String),
    /// Code that the kernel itself put there: vdso, vsyscall.
    Kernel,
}

impl Mapping {
    /// Octets in the mapping.
    pub const fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether there is nothing in it; the kernel never says so.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A line is not as proc(5) says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The line, counted from 1.
    pub line: usize,
}

/// The executable mappings among the lines of a maps file.
pub fn executable(maps: &[u8]) -> Result<Vec<Mapping>, Malformed> {
    lines(maps).filter(|found| !matches!(found, Ok(mapping) if !mapping.executable)).collect()
}

/// All mappings among the lines of a maps file.
pub fn all(maps: &[u8]) -> Result<Vec<Mapping>, Malformed> {
    lines(maps).collect()
}

fn lines(maps: &[u8]) -> impl Iterator<Item = Result<Mapping, Malformed>> {
    let lines = maps.split(|&byte| byte == b'\n').enumerate();
    lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(index, line)| mapping(line).ok_or(Malformed { line: index + 1 }))
}

fn mapping(line: &[u8]) -> Option<Mapping> {
    let mut rest = line;
    let (start, end) = field(&mut rest)?.split_once('-')?;
    let (start, end) = (hex(start)?, hex(end)?);
    let [_, write, execute, shared] = field(&mut rest)?.as_bytes().first_chunk::<4>()?;
    let offset = hex(field(&mut rest)?)?;
    let (major, minor) = field(&mut rest)?.split_once(':')?;
    let device = (u32::try_from(hex(major)?).ok()?, u32::try_from(hex(minor)?).ok()?);
    let inode: u64 = field(&mut rest)?.parse().ok()?;
    if end < start {
        return None;
    }
    let backing = backing(&unescape(rest.trim_ascii_start()), offset, device, inode);
    let (writable, executable, shared) = (*write == b'w', *execute == b'x', *shared == b's');
    Some(Mapping { start, end, writable, executable, shared, backing })
}

/// What a mapping of that name (not escaped) and inode shows.
pub(super) fn backing(name: &[u8], offset: u64, device: (u32, u32), inode: u64) -> Backing {
    if inode == 0
        && matches!(name, b"[vdso]" | b"[vsyscall]" | b"[uprobes]" | b"[uprobes-trampoline]")
    {
        return Backing::Kernel;
    }
    // memfd and shared memory have an inode and a name, and are files all the same.
    if inode == 0 {
        return Backing::Anonymous(String::from_utf8_lossy(name).into_owned());
    }
    let kept = name.strip_suffix(b" (deleted)");
    let path = PathBuf::from(OsStr::from_bytes(kept.unwrap_or(name)));
    Backing::File { path, offset, device, inode, deleted: kept.is_some() }
}

fn field<'l>(rest: &mut &'l [u8]) -> Option<&'l str> {
    let line = rest.trim_ascii_start();
    let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    let (field, after) = line.split_at_checked(end)?;
    *rest = after;
    std::str::from_utf8(field).ok().filter(|field| !field.is_empty())
}

fn hex(digits: &str) -> Option<u64> {
    let all = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(digits, 16).ok().filter(|_| all)
}

/// proc(5): a newline in a path is shown as `\012`.
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        let newline = rest.strip_prefix(b"\\012");
        path.push(if newline.is_some() { b'\n' } else { byte });
        rest = newline.unwrap_or(after);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &[u8] = b"\
56205e2a7000-56205e2a9000 r--p 00000000 fe:00 247774                     /usr/bin/sleep
56205e2a9000-56205e2ae000 r-xp 00002000 fe:00 247774                     /usr/bin/sl eep (deleted)
562080000000-562080021000 rwxp 00000000 00:00 0                          [heap]
7f6c74d72000-7f6c74d73000 rwxp 00000000 00:00 0
7f6c74f40000-7f6c74f42000 r-xp 00000000 00:00 0                          [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
";

    #[test]
    fn executable_mappings_are_told_apart_by_what_backs_them() {
        let found = executable(MAPS).unwrap();
        assert_eq!(found.len(), 5);
        assert_eq!(
            found[0],
            Mapping {
                start: 0x5620_5e2a_9000,
                end: 0x5620_5e2a_e000,
                writable: false,
                executable: true,
                shared: false,
                backing: Backing::File {
                    path: "/usr/bin/sl eep".into(),
                    offset: 0x2000,
                    device: (0xfe, 0),
                    inode: 247_774,
                    deleted: true,
                },
            }
        );
        assert_eq!(found[1].backing, Backing::Anonymous("[heap]".into()));
        assert!(found[1].writable);
        assert_eq!(found[2].backing, Backing::Anonymous(String::new()));
        assert_eq!(found[3].backing, Backing::Kernel);
        assert_eq!(found[4].backing, Backing::Kernel);
        assert_eq!(found[4].len(), 0x1000);
    }

    #[test]
    fn a_newline_in_a_path_is_read_back() {
        assert_eq!(unescape(b"/a\\012b"), b"/a\nb");
    }

    #[test]
    fn a_file_can_not_pass_for_code_of_the_kernel() {
        let line = b"1000-2000 r-xp 00000000 fe:00 7 [vdso]\n";
        assert!(matches!(executable(line).unwrap()[0].backing, Backing::File { .. }));
    }

    #[test]
    fn a_broken_line_is_named_and_nothing_panics() {
        let mut broken = MAPS.to_vec();
        broken.extend_from_slice(b"zz-1 r-xp 0 0:0 0\n");
        assert_eq!(executable(&broken), Err(Malformed { line: 7 }));
        for cut in 0..MAPS.len() {
            let _ = executable(&MAPS[..cut]);
        }
        assert_eq!(executable(b"2000-1000 r-xp 0 0:0 0"), Err(Malformed { line: 1 }));
    }
}
