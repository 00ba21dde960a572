//! What a look at running code finds, told apart: a patched page is not a compiler's, and a library
//! that an upgrade replaced is neither.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What kind of thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A page of code differs from its file, or cannot be compared with it.
    Patched,
    /// A page of code differs from its file by breakpoints only: a uprobe, or a debugger.
    Breakpoint,
    /// Executable memory that no file backs: code that the process made itself (JIT), or that
    /// somebody else put there.
    Generated,
    /// Memory that can be written and executed at the same time (W^X).
    Writable,
    /// Code of a file that has been deleted: a library after an upgrade, or one that hides.
    Deleted,
    /// Code of a file that never had a name on a disk (memfd).
    Memfd,
    /// A library that `LD_PRELOAD`, `LD_AUDIT` or /etc/ld.so.preload brought in.
    Preloaded,
    /// Pages that were made read-only after relocation (RELRO) and changed since.
    Relro,
    /// A process that the kernel does not let us look into.
    Unreadable,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Patched,
        Self::Breakpoint,
        Self::Generated,
        Self::Writable,
        Self::Deleted,
        Self::Memfd,
        Self::Preloaded,
        Self::Relro,
        Self::Unreadable,
    ];

    /// The claim that lists findings of this kind.
    pub const fn claim(self) -> &'static str {
        match self {
            Self::Patched => "runtime.patched-pages",
            Self::Breakpoint => "runtime.breakpoints",
            Self::Generated => "runtime.generated-code",
            Self::Writable => "runtime.writable-code",
            Self::Deleted => "runtime.deleted-code",
            Self::Memfd => "runtime.memfd-code",
            Self::Preloaded => "runtime.preloaded",
            Self::Relro => "runtime.changed-relro",
            Self::Unreadable => "runtime.unreadable",
        }
    }
}

/// Something that was found in a process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Finding {
    /// What.
    pub kind: Kind,
    /// The process.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub start: u64,
    /// Its executable.
    pub process: String,
    /// The file that the code is of; empty if there is none.
    pub path: String,
    /// Where in that file, or in memory if there is none.
    pub offset: u64,
    /// In words.
    pub why: String,
}

/// A name as it may stand in a log: nothing in it breaks a line or steers a terminal, and two names
/// never look the same.
pub fn plain(name: &Path) -> String {
    let mut shown = String::new();
    for chunk in name.as_os_str().as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            let turns = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if c.is_control() || turns || c == '\\' {
                c.escape_unicode().for_each(|c| shown.push(c));
            } else {
                shown.push(c);
            }
        }
        for octet in chunk.invalid() {
            // Writing to a String can not fail.
            let _ = write!(shown, "\\x{octet:02x}");
        }
    }
    shown
}

/// Octets in hexadecimal.
pub fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::with_capacity(octets.len() * 2), |mut hex, octet| {
        // Writing to a String can not fail.
        let _ = write!(hex, "{octet:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn a_name_can_not_break_a_line_nor_steer_a_terminal() {
        let name = OsStr::from_bytes(b"/tmp/a\nb\x1b[2J\xff\xe2\x80\xae\\x0a");
        let shown = plain(Path::new(name));
        assert_eq!(shown, "/tmp/a\\u{a}b\\u{1b}[2J\\xff\\u{202e}\\u{5c}x0a");
        assert_ne!(plain(Path::new("a\nb")), plain(Path::new("a\\u{a}b")));
        assert_eq!(plain(Path::new("/usr/lib/x86_64/libé.so")), "/usr/lib/x86_64/libé.so");
    }
}
