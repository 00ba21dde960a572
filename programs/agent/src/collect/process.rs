//! Which processes run a watched executable.

use super::{Error, of_process};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A process that runs a watched executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since boot (proc(5), field 22 of `stat`): with the number it
    /// names a process once and for all.
    pub start: u64,
    /// The executable, as it was watched for.
    pub path: PathBuf,
    /// The file it runs is no longer the one at that path.
    pub replaced: bool,
}

/// The processes whose executable is, or was, one of `watch`, by number.
pub fn running(watch: &[PathBuf]) -> Result<Vec<Process>, Error> {
    let mut found = Vec::new();
    for pid in numbers()? {
        if let Some(process) = process(pid, watch)? {
            found.push(process);
        }
    }
    Ok(found)
}

/// The numbers of all processes, ascending.
pub fn numbers() -> Result<Vec<u32>, Error> {
    let unreadable = |source| Error::Unreadable { path: "/proc".into(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        found.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// What tells a process, and the program that it runs, from others of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// When it started, in clock ticks since boot.
    pub start: u64,
    /// Where its stack begins: another place for each program that it runs, at random.
    pub stack: u64,
}

/// The identity of a process; `None` if it is gone.
pub fn identity(pid: u32) -> Result<Option<Identity>, Error> {
    let path = PathBuf::from(format!("/proc/{pid}/stat"));
    match fs::read(&path) {
        Ok(stat) => {
            let parts = field_of(&stat, 22).zip(field_of(&stat, 28));
            Ok(parts.map(|(start, stack)| Identity { start, stack }))
        }
        Err(source) => of_process(pid, &path, source).map_or(Ok(None), Err),
    }
}

fn process(pid: u32, watch: &[PathBuf]) -> Result<Option<Process>, Error> {
    let link = PathBuf::from(format!("/proc/{pid}/exe"));
    // A kernel thread has no executable, and one that has ended has none any more.
    let target = match fs::read_link(&link) {
        Ok(target) => target,
        Err(source) => {
            let fault = of_process(pid, &link, source).filter(|_| named_like_one_of(pid, watch));
            return fault.map_or(Ok(None), Err);
        }
    };
    let bytes = target.as_os_str().as_bytes();
    let kept = bytes.strip_suffix(b" (deleted)");
    let path = Path::new(std::ffi::OsStr::from_bytes(kept.unwrap_or(bytes)));
    if !watch.iter().any(|watched| watched == path || *watched == target) {
        return Ok(None);
    }
    let Some(Identity { start, .. }) = identity(pid)? else { return Ok(None) };
    let replaced = kept.is_some() || !same_file(&link, path);
    Ok(Some(Process { pid, start, path: path.to_owned(), replaced }))
}

/// Whether a process that we may not look at goes by the name of a watched one. Others, of another
/// user namespace for example, are none of our business; a watched one must not be passed over.
fn named_like_one_of(pid: u32, watch: &[PathBuf]) -> bool {
    let Ok(name) = fs::read(format!("/proc/{pid}/comm")) else { return true };
    let name = name.trim_ascii_end();
    // proc(5): the name is cut to 15 octets.
    watch
        .iter()
        .filter_map(|path| path.file_name())
        .any(|file| file.as_bytes().get(..15).unwrap_or(file.as_bytes()) == name)
}

/// Whether a link of /proc still leads to the file at `path`.
fn same_file(link: &Path, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (fs::metadata(link), fs::metadata(path)) {
        (Ok(running), Ok(file)) => (running.dev(), running.ino()) == (file.dev(), file.ino()),
        _ => false,
    }
}

/// A field of proc(5) `stat`, counted from 1. The name in parentheses may hold anything, parentheses
/// and spaces too, so fields are counted from the last `)`.
fn field_of(stat: &[u8], number: usize) -> Option<u64> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let fields = std::str::from_utf8(stat.get(name_end + 1..)?).ok()?;
    fields.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = b"7 (a) R 9 (b) S 1 7 7 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 4242 9 9";
        assert_eq!(field_of(stat, 22), Some(4242));
        for cut in 0..stat.len() {
            let _ = field_of(&stat[..cut], 28);
        }
    }

    #[test]
    fn this_very_process_is_found_by_its_executable() {
        let me = std::env::current_exe().unwrap();
        let found = running(std::slice::from_ref(&me)).unwrap();
        let mine = found.iter().find(|process| process.pid == std::process::id()).unwrap();
        assert_eq!((&mine.path, mine.replaced), (&me, false));
        assert!(mine.start > 0);
    }
}
