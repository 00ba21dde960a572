//! A capture: what shows what happened, packed as tar. What is not in it: environments and the memory
//! beyond the changed pages, where secrets are.

use super::Error;
use super::journal::Response;
use crate::collect::finding::{Kind, plain};
use crate::collect::maps::Backing;
use crate::collect::pages::Look;
use crate::collect::process::{identity, numbers};
use crate::collect::space::{Space, Ways};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use touchstone_evidence::runtime::PAGE;

/// Each part is cut off at so many octets.
const MOST: usize = 1 << 20;
/// So much of the end of a log is kept.
const OF_LOG: u64 = 64 << 10;
/// The most changed pages.
const PAGES: usize = 64;

/// Packs what there is about a process and the device, as `path`, readable by its owner alone.
pub fn capture(
    path: &Path,
    response: &Response,
    pid: Option<u32>,
    look: &Look,
) -> Result<(), Error> {
    let fault = |error: io::Error| Error::Capture { path: path.to_owned(), why: error.to_string() };
    let file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(fault)?;
    let mut pack = Pack(tar::Builder::new(io::BufWriter::new(file)), response.since);
    let about = serde_json::to_vec_pretty(response).map_err(|error| fault(error.into()))?;
    let findings: Vec<_> =
        look.findings.iter().map(|it| format!("{}: {}", it.kind.claim(), it.why)).collect();
    let findings = findings.join("\n");
    pack.add("response.json", &about).map_err(fault)?;
    pack.add("findings.txt", findings.as_bytes()).map_err(fault)?;
    pack.add("processes.txt", tree().as_bytes()).map_err(fault)?;
    for log in ["/var/log/syslog", "/var/log/messages", "/var/log/auth.log"] {
        if let Some(end) = end_of(Path::new(log)) {
            pack.add(&format!("log{log}"), &end).map_err(fault)?;
        }
    }
    for name in ["net/tcp", "net/tcp6", "net/udp", "net/udp6", "net/unix", "modules", "mounts"] {
        pack.proc("self", name).map_err(fault)?;
    }
    if let Some(pid) = pid {
        process(&mut pack, pid, look).map_err(fault)?;
    }
    let file = pack
        .0
        .into_inner()
        .map_err(fault)?
        .into_inner()
        .map_err(|error| fault(error.into_error()))?;
    file.sync_all().map_err(fault)
}

fn process(pack: &mut Pack, pid: u32, look: &Look) -> io::Result<()> {
    let number = pid.to_string();
    for name in ["maps", "status", "stat", "cmdline", "cgroup", "limits", "wchan"] {
        pack.proc(&number, name)?;
    }
    let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let files: String = links
        .filter_map(|link| {
            let target = fs::read_link(link.path()).ok()?;
            Some(format!("{} -> {}\n", plain(Path::new(&link.file_name())), plain(&target)))
        })
        .collect();
    pack.add("process/files.txt", files.as_bytes())?;
    let ways = Ways::default();
    let Ok(Some(space)) = Space::open(pid, &ways) else { return Ok(()) };
    let findings =
        look.of(Kind::Patched).chain(look.of(Kind::Breakpoint)).filter(|it| it.pid == pid);
    for finding in findings.take(PAGES) {
        let page_at = finding.offset - finding.offset % PAGE;
        let mappings = space.executable().unwrap_or_default();
        let mapping = mappings.iter().find(|mapping| match &mapping.backing {
            Backing::File { path, offset, .. } => {
                plain(path) == finding.path && (*offset..offset + mapping.len()).contains(&page_at)
            }
            _ => false,
        });
        let Some(mapping) = mapping else { continue };
        let Backing::File { offset, .. } = &mapping.backing else { continue };
        let mut page = [0; 4096];
        if space.read(mapping.start + (page_at - offset), &mut page).unwrap_or(false) {
            let name = finding.path.trim_matches('/').replace('/', "_");
            pack.add(&format!("pages/{name}-{page_at:x}.memory"), &page)?;
            if let Some(file) = space.file_of(mapping)
                && crate::collect::space::page_of(&file, page_at, &mut page).is_ok()
            {
                pack.add(&format!("pages/{name}-{page_at:x}.file"), &page)?;
            }
        }
    }
    Ok(())
}

struct Pack(tar::Builder<io::BufWriter<File>>, u64);

impl Pack {
    fn add(&mut self, name: &str, octets: &[u8]) -> io::Result<()> {
        let octets = octets.get(..octets.len().min(MOST)).unwrap_or_default();
        let mut header = tar::Header::new_ustar();
        header.set_size(octets.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(self.1);
        // A name that is too long for ustar is cut at its end, where it still says what it is.
        let name: String = name.chars().filter(char::is_ascii_graphic).take(99).collect();
        self.0.append_data(&mut header, name.trim_start_matches('/'), octets)
    }

    /// A file of /proc; one that is not there is told as missing.
    fn proc(&mut self, process: &str, name: &str) -> io::Result<()> {
        let mut octets = Vec::new();
        let read = File::open(format!("/proc/{process}/{name}"))
            .and_then(|file| file.take(MOST as u64).read_to_end(&mut octets));
        let folder = if process == "self" { "system" } else { "process" };
        match read {
            Ok(_) => self.add(&format!("{folder}/{name}"), &octets),
            Err(error) => {
                self.add(&format!("{folder}/{name}.missing"), error.to_string().as_bytes())
            }
        }
    }
}

/// Every process with its parent and what it is called.
fn tree() -> String {
    let line = |pid: u32| {
        let parent = parent_in(&fs::read(format!("/proc/{pid}/stat")).ok()?)?;
        let start = identity(pid).ok().flatten()?.start;
        let program = fs::read_link(format!("/proc/{pid}/exe"))
            .map_or_else(|_| "-".to_owned(), |it| plain(&it));
        Some(format!("{pid} {parent} {start} {program}\n"))
    };
    let all = numbers().unwrap_or_default();
    format!("pid parent start program\n{}", all.into_iter().filter_map(line).collect::<String>())
}

fn parent_in(stat: &[u8]) -> Option<u32> {
    let end = stat.iter().rposition(|&octet| octet == b')')?;
    std::str::from_utf8(stat.get(end + 1..)?).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn end_of(log: &Path) -> Option<Vec<u8>> {
    let mut file = File::open(log).ok()?;
    let len = file.metadata().ok().filter(fs::Metadata::is_file)?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(OF_LOG))).ok()?;
    let mut octets = Vec::new();
    file.take(OF_LOG).read_to_end(&mut octets).ok()?;
    Some(octets)
}

/// Removes the oldest captures, so that their folder keeps at most `most`.
pub fn make_room(folder: &Path, most: usize) -> io::Result<()> {
    let mut kept: Vec<(std::time::SystemTime, PathBuf)> = fs::read_dir(folder)?
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .filter(|(_, path)| path.extension().is_some_and(|it| it == "tar"))
        .collect();
    kept.sort();
    let over = kept.len().saturating_sub(most);
    for (_, path) in kept.into_iter().take(over) {
        fs::remove_file(&path)?;
        match fs::remove_file(path.with_extension("tar.p7s")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Signs a capture, detached: `openssl cms -verify -binary -content` reads it. Bounded memory.
pub fn sign(
    tar: &Path,
    chain: &[touchstone_certs::Certificate],
    signer: &dyn touchstone_crypto::Signer,
    now: u64,
) -> Result<PathBuf, Error> {
    let fault = |why: String| Error::Capture { path: tar.to_owned(), why };
    let leaf =
        chain.first().ok_or_else(|| fault("there is no certificate to sign with".to_owned()))?;
    let cms = |error: touchstone_cms::Error| fault(error.to_string());
    let signers = [(leaf, signer.algorithm())];
    let mut writer = touchstone_cms::SignedWriter::detached(
        &touchstone_crypto_awslc::AwsLc,
        touchstone_cms::DATA,
        &signers,
    )
    .map_err(cms)?;
    let mut file = File::open(tar).map_err(|error| fault(error.to_string()))?;
    let (mut piece, mut out) = (vec![0; 64 << 10], Vec::new());
    loop {
        match file.read(&mut piece).map_err(|error| fault(error.to_string()))? {
            0 => break,
            read => writer.write(piece.get(..read).unwrap_or_default(), &mut out),
        }
    }
    let mut to_sign = writer.end(now).map_err(cms)?;
    let messages: Vec<Vec<u8>> = to_sign.messages().iter().map(|it| it.to_vec()).collect();
    for (index, message) in messages.iter().enumerate() {
        let signature = signer.sign(message).map_err(|error| fault(error.to_string()))?;
        to_sign.answer(index, signature).map_err(cms)?;
    }
    to_sign.finish(&mut out).map_err(cms)?;
    let path = tar.with_extension("tar.p7s");
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    written.and_then(|mut file| file.write_all(&out)).map_err(|error| fault(error.to_string()))?;
    Ok(path)
}
