//! rpm's packages and its database, gathered.

use super::dpkg::merged;
use super::gathered::Gathered;
use super::root;
use super::rpm::{self, Package};
use crate::answer::Failure;
use crate::files::{self, LARGE};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use touchstone_crypto_awslc::AwsLc;

/// Files that carry an IMA signature, as far as packages say.
#[derive(Default)]
pub(super) struct Signatures(pub(super) Vec<(String, touchstone_crypto::Digest, Vec<u8>)>);

pub(super) fn gather(
    gathered: &mut Gathered,
    source: &Path,
    signatures: &mut Signatures,
) -> Result<(), Failure> {
    if source.is_dir() {
        return database(gathered, source, signatures);
    }
    let octets = files::read(source, LARGE)?;
    let package = rpm::package(&AwsLc, &octets).map_err(unfit(&source.display().to_string()))?;
    take(gathered, package, |path| Some(merged(path)), signatures)
}

fn unfit(about: &str) -> impl FnOnce(rpm::Error) -> Failure {
    let about = about.to_owned();
    move |error| {
        let next = "give a package as rpmbuild makes it, with digests of SHA-2";
        Failure::unknown(error.code(), format!("{about}: {error}"), next)
    }
}

fn take(
    gathered: &mut Gathered,
    package: Package,
    place: impl Fn(&str) -> Option<String>,
    signatures: &mut Signatures,
) -> Result<(), Failure> {
    let from = format!("package {}", package.name);
    for file in package.files {
        let Some(path) = place(&file.path) else {
            gathered.leave_out(&file.path, "its path does not lead anywhere");
            continue;
        };
        if !gathered.wants(&path) {
            continue;
        }
        if file.digest.algorithm() != gathered.algorithm() {
            let message = format!("{from} has digests of {}", file.digest.algorithm());
            let next = "give the package's algorithm with --algorithm, or gather with --root";
            return Err(Failure::unknown("reference.rpm.algorithm", message, next));
        }
        gathered.digest(&path, file.digest, &from)?;
        if !file.signature.is_empty() {
            signatures.0.push((path, file.digest, file.signature));
        }
    }
    Ok(())
}

/// `ROOT/var/lib/rpm` or `ROOT/usr/lib/sysimage/rpm`: rpmdb.sqlite.
fn database(
    gathered: &mut Gathered,
    folder: &Path,
    signatures: &mut Signatures,
) -> Result<(), Failure> {
    let path = folder.join("rpmdb.sqlite");
    if !path.is_file() {
        let message = format!("{} holds no rpmdb.sqlite", folder.display());
        let next = "convert an older database with `rpmdb --rebuilddb`, or give packages";
        return Err(Failure::unknown("reference.rpm.database", message, next));
    }
    let shown = path.display().to_string();
    let broken = |error: rusqlite::Error| {
        let message = format!("{shown} does not read: {error}");
        Failure::unknown("reference.rpm.database", message, "check it with `rpmdb --verifydb`")
    };
    let up = if folder.ends_with("usr/lib/sysimage/rpm") { 4 } else { 3 };
    let root = folder.ancestors().nth(up).unwrap_or(Path::new("/"));
    let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags).map_err(broken)?;
    let mut select =
        connection.prepare("SELECT blob FROM Packages ORDER BY hnum").map_err(broken)?;
    let mut rows = select.query([]).map_err(broken)?;
    while let Some(row) = rows.next().map_err(broken)? {
        let blob: Vec<u8> = row.get(0).map_err(broken)?;
        let package = rpm::installed(&blob).map_err(unfit(&shown))?;
        // Keys that packages are checked with are stored as packages without files.
        take(gathered, package, |path| root::resolve(root, path), signatures)?;
    }
    Ok(())
}
