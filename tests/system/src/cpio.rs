//! A writer of cpio archives in the `newc` form, which the kernel unpacks its initramfs from
//! (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).
//! The same entries give the same bytes: no times, no owners.

use std::collections::BTreeMap;

/// What stands at a path.
enum Node {
    Folder,
    File { executable: bool, content: Vec<u8> },
    Link { target: String },
}

/// A tree of files, written in the order of their paths.
#[derive(Default)]
pub(crate) struct Archive {
    nodes: BTreeMap<String, Node>,
}

impl Archive {
    /// A folder and those above it.
    pub(crate) fn folder(&mut self, path: &str) {
        let path = path.trim_matches('/');
        for (at, _) in path.match_indices('/') {
            self.nodes.entry(path.get(..at).unwrap_or_default().into()).or_insert(Node::Folder);
        }
        self.nodes.entry(path.into()).or_insert(Node::Folder);
    }

    /// A file, and the folders it stands in.
    pub(crate) fn file(&mut self, path: &str, executable: bool, content: Vec<u8>) {
        self.insert(path, Node::File { executable, content });
    }

    /// A symbolic link, and the folders it stands in.
    pub(crate) fn link(&mut self, path: &str, target: &str) {
        self.insert(path, Node::Link { target: target.into() });
    }

    /// Whether something stands at the path.
    pub(crate) fn contains(&self, path: &str) -> bool {
        self.nodes.contains_key(path.trim_matches('/'))
    }

    fn insert(&mut self, path: &str, node: Node) {
        let path = path.trim_matches('/');
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.folder(parent);
        }
        self.nodes.insert(path.into(), node);
    }

    /// The archive's bytes.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (inode, (path, node)) in (1u32..).zip(&self.nodes) {
            let (mode, links, content) = match node {
                Node::Folder => (0o040_755, 2, &[][..]),
                Node::File { executable: true, content } => (0o100_755, 1, content.as_slice()),
                Node::File { executable: false, content } => (0o100_644, 1, content.as_slice()),
                Node::Link { target } => (0o120_777, 1, target.as_bytes()),
            };
            entry(&mut out, inode, mode, links, path, content);
        }
        entry(&mut out, 0, 0, 1, "TRAILER!!!", &[]);
        out
    }
}

fn entry(out: &mut Vec<u8>, inode: u32, mode: u32, links: u32, path: &str, content: &[u8]) {
    let (size, name) = (content.len(), path.len() + 1);
    let header = format!(
        "070701{inode:08X}{mode:08X}{:08X}{:08X}{links:08X}{:08X}{size:08X}{:08X}{:08X}{:08X}{:08X}{name:08X}{:08X}",
        0, 0, 0, 0, 0, 0, 0, 0
    );
    out.extend(header.as_bytes());
    out.extend(path.as_bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend(content);
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    #[test]
    fn cpio_lists_what_was_written() {
        let mut archive = Archive::default();
        archive.file("/usr/bin/tool", true, b"#!/bin/sh\n".to_vec());
        archive.file("etc/odd", false, b"123".to_vec());
        archive.link("/bin/sh", "busybox");
        archive.folder("/dev");
        let busybox = crate::tools::find("busybox", "busybox-static").unwrap();
        let mut child = Command::new(busybox)
            .args(["cpio", "-tv"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&archive.write()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let listing = String::from_utf8(output.stdout).unwrap();
        let fields: Vec<(&str, &str, &str)> = listing
            .lines()
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                (words[0], words[2], *words.last().unwrap())
            })
            .collect();
        assert_eq!(
            fields,
            [
                ("drwxr-xr-x", "0", "bin"),
                ("lrwxrwxrwx", "0", "busybox"),
                ("drwxr-xr-x", "0", "dev"),
                ("drwxr-xr-x", "0", "etc"),
                ("-rw-r--r--", "3", "etc/odd"),
                ("drwxr-xr-x", "0", "usr"),
                ("drwxr-xr-x", "0", "usr/bin"),
                ("-rwxr-xr-x", "10", "usr/bin/tool"),
            ]
        );
    }
}
