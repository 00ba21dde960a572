//! A file on this machine, for whoever collects by reading files. It is opened anew for each page, so
//! that it can be renamed by whoever rotates it, and what is acknowledged is on the disk.

use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Octets of the longest line, and more.
const LINE: u64 = 64 * 1024;

pub(super) struct File {
    path: PathBuf,
}

impl File {
    pub(super) async fn open(path: &Path) -> io::Result<Self> {
        let file = Self { path: path.into() };
        file.append(String::new()).await?;
        Ok(file)
    }

    pub(super) async fn append(&self, lines: String) -> io::Result<()> {
        let path = self.path.clone();
        let work = move || append(&path, lines.as_bytes());
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }
}

fn append(path: &Path, lines: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    let end = whole(&mut file)?;
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    let written = file.write_all(lines).and_then(|()| file.sync_data());
    if written.is_err() {
        // On a full disk half a line must not stay before the next one.
        file.set_len(end)?;
    }
    written
}

/// Where the last whole line ends: behind it may be one that a killed writer left unfinished.
fn whole(file: &mut std::fs::File) -> io::Result<u64> {
    let len = file.metadata()?.len();
    let from = len.saturating_sub(LINE);
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(LINE).read_to_end(&mut tail)?;
    match tail.iter().rposition(|octet| *octet == b'\n') {
        Some(at) => Ok(from + u64::try_from(at).unwrap_or(u64::MAX) + 1),
        None if from == 0 => Ok(0),
        None => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "no lines of events are in this file"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_line_makes_room_and_a_file_of_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        append(&path, b"one\n").unwrap();
        std::fs::write(&path, b"one\ntw").unwrap();
        append(&path, b"two\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
        std::fs::write(&path, vec![b'x'; 100_000]).unwrap();
        append(&path, b"three\n").unwrap_err();
        assert_eq!(std::fs::read(&path).unwrap().len(), 100_000);
    }
}
