//! A root file system: every regular file in it. Links are not followed and what is mounted in it
//! is left out: the kernel reports a file by the path where it lies.

use super::gathered::Gathered;
use crate::answer::Failure;
use crate::files::LARGE;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Links on the way to one file.
const LINKS: usize = 40;

pub(super) fn gather(gathered: &mut Gathered, root: &Path) -> Result<(), Failure> {
    let device = fs::symlink_metadata(root).map_err(failed(root))?.dev();
    let from = root.display().to_string();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed(&folder))? {
            entries.push(entry.map_err(failed(&folder))?.path());
        }
        entries.sort_unstable();
        for path in entries {
            let Some(name) = name_on_device(root, &path) else {
                gathered.leave_out(&path.to_string_lossy(), "its name is not UTF-8");
                continue;
            };
            let about = fs::symlink_metadata(&path).map_err(failed(&path))?;
            if about.is_dir() {
                if about.dev() != device {
                    gathered.leave_out(&name, "another file system is mounted there");
                } else if gathered.wants(&format!("{name}/")) {
                    folders.push(path);
                }
            } else if about.is_file() && gathered.wants(&name) {
                if name.chars().any(char::is_control) {
                    gathered.leave_out(&name.escape_debug().to_string(), "a control character");
                    continue;
                }
                gathered.content(&name, &read(&path)?, &from)?;
            }
        }
    }
    Ok(())
}

/// `/usr/bin/env` for `ROOT/usr/bin/env`.
fn name_on_device(root: &Path, path: &Path) -> Option<String> {
    Some(format!("/{}", path.strip_prefix(root).ok()?.to_str()?))
}

/// A file's content, at most 1 GiB of it.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    let file = File::open(path).map_err(failed(path))?;
    file.take(LARGE + 1).read_to_end(&mut content).map_err(failed(path))?;
    if content.len() as u64 > LARGE {
        let message = format!("{} is larger than 1 GiB", path.display());
        return Err(Failure::unknown("touchstone.file.size", message, "--exclude it"));
    }
    Ok(content)
}

pub(super) fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    let path = path.to_owned();
    move |error| {
        let message = format!("cannot read {}: {error}", path.display());
        let next = "run as a user who may read it, or --exclude it";
        Failure::unknown("touchstone.file.read", message, next)
    }
}

/// Where a path of a package lies: `/usr/bin/env` for `/bin/env`, where `/bin` is a link. Links are
/// followed as if `root` were `/`; the last part is not.
pub(super) fn resolve(root: &Path, path: &str) -> Option<String> {
    let mut parts: Vec<String> =
        path.split('/').filter(|p| !p.is_empty()).map(Into::into).collect();
    let last = parts.pop()?;
    parts.reverse();
    let mut done: Vec<String> = Vec::new();
    let mut links = 0;
    while let Some(part) = parts.pop() {
        if part == ".." {
            done.pop();
            continue;
        }
        done.push(part);
        let here = root.join(done.join("/"));
        let Ok(target) = fs::read_link(&here) else { continue };
        links += 1;
        if links > LINKS {
            return None;
        }
        done.pop();
        if target.is_absolute() {
            done.clear();
        }
        for component in target.components().rev() {
            match component {
                Component::Normal(part) => parts.push(part.to_str()?.to_owned()),
                Component::ParentDir => parts.push("..".into()),
                _ => {}
            }
        }
    }
    done.push(last);
    Some(format!("/{}", done.join("/")))
}
