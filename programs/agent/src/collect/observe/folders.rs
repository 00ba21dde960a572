//! What lies in folders: keys, certificates that run out, programs that anybody can change, programs
//! that run with more rights than whoever starts them.

use super::super::files;
use super::{Collected, Fault, Root, list};
use std::fs::{self, DirEntry, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use touchstone_certs::Certificate;
use touchstone_evidence::runtime::Observed;

/// The most entries of folders that one collector looks at.
const ENTRIES: usize = 200_000;
/// How deep.
const DEPTH: usize = 24;
/// The largest file that is taken for a key or a certificate, in octets.
const LARGEST: u64 = 64 << 10;
/// A certificate that runs out within so many seconds is told: 30 days.
const SOON: i64 = 30 * 24 * 3600;

/// Where keys and certificates are put.
const HOLD_KEYS: &[&str] = &["/etc", "/root", "/home", "/opt", "/srv", "/usr/local", "/var/lib"];
/// Where certificates of services are; those of the whole world's authorities are left out.
const HOLD_CERTIFICATES: &[&str] = &["/etc", "/opt", "/srv", "/usr/local/etc"];
/// Where programs are.
const HOLD_PROGRAMS: &[&str] = &[
    "/bin",
    "/sbin",
    "/lib",
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/usr/libexec",
    "/usr/local",
    "/opt",
];
/// Where what is to be started is.
const HOLD_UNITS: &[&str] = &[
    "/etc/systemd",
    "/etc/init.d",
    "/etc/cron.d",
    "/etc/cron.daily",
    "/etc/cron.hourly",
    "/etc/profile.d",
    "/etc/ld.so.conf.d",
    "/run/systemd/system",
];
/// Where somebody could put a program with more rights.
const HOLD_PRIVILEGED: &[&str] =
    &["/bin", "/sbin", "/usr", "/opt", "/home", "/root", "/srv", "/etc", "/tmp", "/var"];

/// Keys that whoever reads the file has.
pub fn private_keys(root: &Root) -> Collected {
    let mut found = Vec::new();
    walk(root, HOLD_KEYS, &mut |path, of| {
        if !of.is_file() || of.len() > LARGEST || !named_like_a_key(path) {
            return Ok(());
        }
        let Ok(text) = start_of(path) else { return Ok(()) };
        if let Some(encrypted) = private_key(&text) {
            let mode = of.permissions().mode() & 0o777;
            let by_others = mode & 0o044 != 0;
            let shown = root.shown(path);
            let how = if encrypted { "under a passphrase" } else { "in the clear" };
            found.push(Observed::record([
                ("path", shown.as_str().into()),
                ("encrypted", encrypted.into()),
                ("readable-by-others", by_others.into()),
                ("why", format!("{shown} (mode {mode:03o}) holds a private key {how}").into()),
            ]));
        }
        bounded(&found)
    })?;
    list(found)
}

/// Certificates that run out soon or have run out.
pub fn expiring_certificates(root: &Root) -> Collected {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let mut found = Vec::new();
    walk(root, HOLD_CERTIFICATES, &mut |path, of| {
        let authorities = path.ends_with("ca-certificates.crt") || path.ends_with("ca-bundle.crt");
        if !of.is_file()
            || of.len() > LARGEST
            || authorities
            || !has_extension(path, &["pem", "crt", "cer"])
        {
            return Ok(());
        }
        let Ok(pem) = fs::read(path) else { return Ok(()) };
        // A file of another content, or a certificate that is none, runs out never.
        for certificate in Certificate::from_pem(&pem).unwrap_or_default() {
            let until = i64::try_from(certificate.not_after()).unwrap_or(i64::MAX);
            if until - now < SOON {
                let shown = root.shown(path);
                let subject = super::plain(Path::new(certificate.subject()));
                let why = match until - now {
                    left if left < 0 => {
                        format!("{subject} in {shown} ran out {} days ago", -left / 86_400)
                    }
                    left => format!("{subject} in {shown} runs out in {} days", left / 86_400),
                };
                found.push(Observed::record([
                    ("path", shown.into()),
                    ("subject", subject.into()),
                    ("not-after", Observed::Time(until)),
                    ("why", why.into()),
                ]));
            }
        }
        bounded(&found)
    })?;
    list(found)
}

/// Programs, and what is to be started, that anybody can change.
pub fn world_writable(root: &Root) -> Collected {
    let mut found = Vec::new();
    for (places, what) in [(HOLD_PROGRAMS, "a program"), (HOLD_UNITS, "what is to be started")] {
        walk(root, places, &mut |path, of| {
            let mode = of.permissions().mode();
            let sticky = of.is_dir() && mode & 0o1000 != 0;
            if mode & 0o002 != 0 && !sticky && (of.is_file() || of.is_dir()) {
                let shown = root.shown(path);
                let why = format!("anybody can change {shown} (mode {:03o}), {what}", mode & 0o777);
                found.push(Observed::record([("path", shown.into()), ("why", why.into())]));
            }
            bounded(&found)
        })?;
    }
    list(found)
}

/// Programs that run as their owner or group (SUID, SGID), with their digests.
pub fn privileged_programs(root: &Root) -> Collected {
    let mut found = Vec::new();
    walk(root, HOLD_PRIVILEGED, &mut |path, of| {
        let mode = of.permissions().mode();
        // SGID without the right to execute marks mandatory locking, and runs nothing.
        let runs_as = mode & 0o4000 != 0 || (mode & 0o2000 != 0 && mode & 0o010 != 0);
        if of.is_file() && runs_as {
            let digest = File::open(path).and_then(files::digest).ok().flatten();
            let mut fields = vec![("path".to_owned(), root.shown(path).into())];
            fields.extend(digest.map(|digest| ("digest".to_owned(), digest.into())));
            fields.push(("owner".to_owned(), of.uid().into()));
            fields.push(("mode".to_owned(), format!("{:04o}", mode & 0o7777).into()));
            found.push(Observed::Record(fields));
        }
        bounded(&found)
    })?;
    list(found)
}

fn bounded(found: &[Observed]) -> Result<(), Fault> {
    if found.len() > super::MOST { Err(Fault::TooMany) } else { Ok(()) }
}

/// Visits what is in folders, those that are links left out, and no other file system than each
/// folder's own. What goes away meanwhile is passed over.
fn walk(
    root: &Root,
    places: &[&str],
    visit: &mut dyn FnMut(&Path, &Metadata) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut left = ENTRIES;
    for place in places {
        let place = root.path(place);
        match fs::symlink_metadata(&place) {
            Ok(found) if found.is_dir() => folder(&place, found.dev(), DEPTH, &mut left, visit)?,
            _ => {}
        }
    }
    Ok(())
}

fn folder(
    path: &Path,
    device: u64,
    depth: usize,
    left: &mut usize,
    visit: &mut dyn FnMut(&Path, &Metadata) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let Some(deeper) = depth.checked_sub(1) else { return Err(Fault::TooMany) };
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(Fault::Unreadable { path: path.to_owned(), why: error.to_string() });
        }
    };
    for entry in entries.flatten() {
        *left = left.checked_sub(1).ok_or(Fault::TooMany)?;
        let Some((path, found)) = seen(&entry) else { continue };
        visit(&path, &found)?;
        if found.is_dir() && found.dev() == device {
            folder(&path, device, deeper, left, visit)?;
        }
    }
    Ok(())
}

fn seen(entry: &DirEntry) -> Option<(PathBuf, Metadata)> {
    let found = entry.metadata().ok().filter(|found| !found.is_symlink())?;
    Some((entry.path(), found))
}

fn named_like_a_key(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    has_extension(path, &["key", "pem", "p8", "pk8", "ppk"])
        || name.starts_with("id_")
        || name.contains("key")
        || name.contains("private")
}

fn has_extension(path: &Path, known: &[&str]) -> bool {
    path.extension()
        .is_some_and(|extension| known.iter().any(|it| extension.eq_ignore_ascii_case(it)))
}

fn start_of(path: &Path) -> io::Result<String> {
    let mut octets = Vec::new();
    File::open(path)?.take(LARGEST).read_to_end(&mut octets)?;
    Ok(String::from_utf8_lossy(&octets).into_owned())
}

/// Whether a text is a private key, and that under a passphrase. A reference to a key in an element
/// (`TSS2 PRIVATE KEY`) is none.
pub fn private_key(text: &str) -> Option<bool> {
    // The words "none" of an OpenSSH key's cipher, in Base64 behind its fixed beginning.
    const OPENSSH_NONE: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";
    let begin = |line: &str| {
        let label = line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
        label.ends_with("PRIVATE KEY").then(|| label.to_owned())
    };
    let mut lines = text.lines().map(str::trim);
    if text.starts_with("PuTTY-User-Key-File-") {
        return Some(!lines.any(|line| line == "Encryption: none"));
    }
    let label = lines.by_ref().find_map(begin)?;
    if label.starts_with("TSS2 ") {
        return None;
    }
    let first = lines.next().unwrap_or_default();
    Some(match label.as_str() {
        "ENCRYPTED PRIVATE KEY" => true,
        "OPENSSH PRIVATE KEY" => !first.starts_with(OPENSSH_NONE),
        _ => first.starts_with("Proc-Type: 4,ENCRYPTED"),
    })
}
