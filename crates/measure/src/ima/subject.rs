//! What an entry is about. Beside files, the kernel measures buffers: keys, command lines for the
//! next kernel, and its own critical data (Linux, Documentation/ABI/testing/ima_policy).

use super::entry::{Entry, text};
use super::template::Field;
use alloc::borrow::Cow;
use core::fmt;

/// What was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// The PCRs that hold the boot.
    BootAggregate,
    /// A file, by the path that the kernel saw.
    File(Cow<'a, str>),
    /// The command line for the kernel that kexec starts.
    KexecCommandLine(Cow<'a, str>),
    /// A key that was loaded onto a keyring.
    Key {
        /// The keyring: `.ima`, `.builtin_trusted_keys`.
        keyring: Cow<'a, str>,
        /// The certificate in DER.
        certificate: &'a [u8],
    },
    /// A change of a device-mapper device (`dm_table_load`, ...).
    DeviceMapper {
        /// What happened.
        event: Cow<'a, str>,
        /// The device and its table, in the kernel's words.
        text: Cow<'a, str>,
    },
    /// SELinux' state or the hash of its policy.
    Selinux {
        /// `selinux-state-...` or `selinux-policy-hash-...`.
        event: Cow<'a, str>,
    },
    /// The kernel's version.
    KernelVersion(Cow<'a, str>),
    /// A list that is carried over to the next kernel (`kexec_load`, `kexec_execute`).
    Carried {
        /// What happened.
        event: Cow<'a, str>,
        /// How long the list was, in the kernel's words.
        text: Cow<'a, str>,
    },
    /// A file whose hash is on the kernel's blocklist.
    Blocked(Cow<'a, str>),
    /// Other data that the kernel thinks critical.
    Critical {
        /// The name under which it was measured.
        event: Cow<'a, str>,
        /// The data, or its hash.
        data: &'a [u8],
    },
}

impl<'a> Entry<'a> {
    /// What the entry is about, to tell people. The template's name is hashed nowhere, so whoever
    /// shows the list could call a signed file a buffer: judge by digest and name.
    pub fn subject(&self) -> Subject<'a> {
        let name = self.path();
        let buffer = self.field(Field::Buffer).filter(|buffer| !buffer.is_empty());
        let Some(data) = buffer else {
            return if self.is_boot_aggregate() {
                Subject::BootAggregate
            } else {
                Subject::File(name)
            };
        };
        match name.as_ref() {
            "kexec-cmdline" => Subject::KexecCommandLine(printable(data)),
            "kernel_version" => Subject::KernelVersion(printable(data)),
            "kexec_load" | "kexec_execute" => {
                Subject::Carried { event: name, text: printable(data) }
            }
            dm if dm.starts_with("dm_") => {
                Subject::DeviceMapper { event: name, text: printable(data) }
            }
            lsm if lsm.starts_with("selinux-") => Subject::Selinux { event: name },
            ".blacklist" | "blacklisted-hash" => Subject::Blocked(printable(data)),
            // A certificate is a SEQUENCE of more than 255 octets.
            _ if data.starts_with(&[0x30, 0x82]) => {
                Subject::Key { keyring: name, certificate: data }
            }
            _ => Subject::Critical { event: name, data },
        }
    }
}

impl Subject<'_> {
    /// The kind, as a word for reports.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::BootAggregate => "boot-aggregate",
            Self::File(_) => "file",
            Self::KexecCommandLine(_) => "kexec-command-line",
            Self::Key { .. } => "key",
            Self::DeviceMapper { .. } => "device-mapper",
            Self::Selinux { .. } => "selinux",
            Self::KernelVersion(_) => "kernel-version",
            Self::Carried { .. } => "carried-list",
            Self::Blocked(_) => "blocked-hash",
            Self::Critical { .. } => "critical-data",
        }
    }
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BootAggregate => f.write_str("boot_aggregate"),
            Self::File(path) => f.write_str(path),
            Self::KexecCommandLine(line) => write!(f, "kexec command line `{line}`"),
            Self::Key { keyring, certificate } => {
                write!(f, "key on keyring {keyring} ({} octets)", certificate.len())
            }
            Self::DeviceMapper { event, text } | Self::Carried { event, text } => {
                write!(f, "{event}: {text}")
            }
            Self::Selinux { event } => f.write_str(event),
            Self::KernelVersion(version) => write!(f, "kernel version {version}"),
            Self::Blocked(hash) => write!(f, "blocked hash {hash}"),
            Self::Critical { event, data } => write!(f, "{event} ({} octets)", data.len()),
        }
    }
}

fn printable(data: &[u8]) -> Cow<'_, str> {
    text(data.strip_suffix(&[0]).unwrap_or(data))
}
