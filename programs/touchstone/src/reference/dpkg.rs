//! dpkg: its database, and packages. The digests in the database are MD5, which says only whether
//! a file was changed by accident: the content is hashed as it lies on the disk.

use super::deb::{self, Entry};
use super::gathered::Gathered;
use super::root;
use crate::answer::Failure;
use crate::files::{self, LARGE};
use md5::{Digest as _, Md5};
use std::collections::HashMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

pub(super) fn gather(
    gathered: &mut Gathered,
    source: &Path,
    take_changed: bool,
) -> Result<(), Failure> {
    if source.is_dir() {
        return database(gathered, source, take_changed);
    }
    let package = files::read(source, LARGE)?;
    let from = source.display().to_string();
    let mut taken = Ok(());
    let read = deb::files(&package, &mut |entry| {
        taken = match entry {
            Entry::File(path, content) => {
                let path = merged(path);
                if !gathered.wants(&path) {
                    return ControlFlow::Continue(());
                }
                gathered.content(&path, content, &from)
            }
            Entry::Link(path, target) => gathered.link(&merged(path), &merged(target), &from),
        };
        if taken.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    read.map_err(|error| {
        let next = "give a package as dpkg-deb builds it";
        Failure::unknown(error.code(), format!("{from}: {error}"), next)
    })?;
    taken
}

/// Where a file lies since `/bin`, `/sbin` and `/lib*` are links into `/usr`.
pub(super) fn merged(path: &str) -> String {
    let top = path.split('/').nth(1).unwrap_or_default();
    match top {
        "bin" | "sbin" | "lib" | "lib32" | "lib64" | "libx32" => format!("/usr{path}"),
        _ => path.to_owned(),
    }
}

/// `ROOT/var/lib/dpkg`: the lists of files in `info`, each file below `ROOT`.
fn database(gathered: &mut Gathered, folder: &Path, take_changed: bool) -> Result<(), Failure> {
    let info = folder.join("info");
    let strange = || {
        let message = format!("{} is not a database of dpkg", folder.display());
        Failure::usage(message, "give the folder var/lib/dpkg of a root file system")
    };
    if !info.is_dir() {
        return Err(strange());
    }
    let root = folder.ancestors().nth(3).ok_or_else(strange)?;
    let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
    let mut lists: Vec<_> = fs::read_dir(&info)
        .map_err(root::failed(&info))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "list"))
        .collect();
    lists.sort_unstable();
    if lists.is_empty() {
        return Err(strange());
    }
    let diversions = diversions(&folder.join("diversions"));
    let conffiles = conffiles(&folder.join("status"));
    for list in lists {
        let sums = md5sums(&list.with_extension("md5sums"));
        // Of a package that is installed for several architectures: `libc6:amd64`.
        let package = list.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = package.split(':').next().unwrap_or_default();
        for path in files::read_text(&list, LARGE)?.lines() {
            let place = diversions.get(path).filter(|(_, by)| by != name);
            let place = place.map_or(path, |(place, _)| place.as_str());
            let sum = sums.get(path.trim_start_matches('/')).or_else(|| conffiles.get(path));
            let sum = sum.map(String::as_str);
            file(gathered, root, place, sum, &package, take_changed)?;
        }
    }
    Ok(())
}

fn file(
    gathered: &mut Gathered,
    root: &Path,
    listed: &str,
    sum: Option<&str>,
    package: &str,
    take_changed: bool,
) -> Result<(), Failure> {
    let Some(path) = root::resolve(root, listed) else {
        gathered.leave_out(listed, "its path does not lead anywhere");
        return Ok(());
    };
    let on_disk = root.join(path.trim_start_matches('/'));
    let Ok(about) = fs::symlink_metadata(&on_disk) else {
        gathered.leave_out(&path, "its package lists it, and it is not there");
        return Ok(());
    };
    if !about.is_file() || !gathered.wants(&path) {
        return Ok(());
    }
    let content = root::read(&on_disk)?;
    if sum.is_none() {
        gathered.unchecked();
    }
    let changed = sum.is_some_and(|sum| crate::answer::hex(&Md5::digest(&content)) != sum);
    if changed && !take_changed {
        gathered.leave_out(&path, "it was changed since it was installed");
        return Ok(());
    }
    gathered.content(&path, &content, &format!("package {package}"))
}

/// `<md5>  <path without the first slash>`; a package without the list has none.
fn md5sums(path: &Path) -> HashMap<String, String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = |line: &str| {
        let (sum, path) = line.split_once("  ")?;
        Some((path.to_owned(), sum.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

/// The settings that packages brought, with their digests: no list of `md5sums` has them, `status` does.
fn conffiles(path: &Path) -> HashMap<String, String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut found = HashMap::new();
    let mut inside = false;
    for line in text.lines() {
        let Some(entry) = line.strip_prefix(' ').filter(|_| inside) else {
            inside = line == "Conffiles:";
            continue;
        };
        // ` PATH MD5`, and ` obsolete` or ` remove-on-upgrade` behind it. A path may hold spaces.
        let entry = entry.trim_end_matches(" obsolete").trim_end_matches(" remove-on-upgrade");
        if let Some((path, sum)) = entry.rsplit_once(' ')
            && sum.len() == 32
        {
            found.insert(path.to_owned(), sum.to_owned());
        }
    }
    found
}

/// Paths that lie elsewhere, because another package brings its own: where, and whose is there.
fn diversions(path: &Path) -> HashMap<String, (String, String)> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines
        .chunks_exact(3)
        .filter_map(|entry| match entry {
            [from, to, by] => Some(((*from).to_owned(), ((*to).to_owned(), (*by).to_owned()))),
            _ => None,
        })
        .collect()
}
