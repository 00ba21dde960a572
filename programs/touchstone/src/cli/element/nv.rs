//! The words of `element nv` and `element lockout`: what only a TPM has.

use super::by_name;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use touchstone_tpm2::nv::{Attributes, Kind, Party};

/// How an index can be locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Against writing, until the next start.
    Write,
    /// Against writing, for good.
    WriteForGood,
    /// Against reading, until the next start.
    Read,
    /// Against writing, together with all others that are so defined, until the next start.
    Global,
}

impl Lock {
    const ALL: [Self; 4] = [Self::Write, Self::WriteForGood, Self::Read, Self::Global];

    const fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::WriteForGood => "write-for-good",
            Self::Read => "read",
            Self::Global => "global",
        }
    }

    /// The attributes of an index that can be locked so.
    pub(crate) const fn allow(self, attributes: Attributes) -> Attributes {
        match self {
            Self::Write => attributes.write_lockable(),
            Self::WriteForGood => attributes.write_lockable_for_good(),
            Self::Read => attributes.read_lockable(),
            Self::Global => attributes.globally_lockable(),
        }
    }
}

/// Whose authorization is used.
#[derive(Args, Debug)]
pub(crate) struct Authorization {
    /// The index' own value; else the owner's authorization is used
    #[arg(long, value_name = "file:PATH")]
    pub(crate) value: Option<String>,
    /// The owner's password, where it has one
    #[arg(long, value_name = "file:PATH")]
    pub(crate) owner: Option<String>,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Nv {
    /// Every index, what it is and who may use it
    #[command(after_help = "\
Example:
  touchstone element nv list")]
    List,
    /// One index: its kind, its size, who may use it, and how it is
    #[command(after_help = "\
Example:
  touchstone element nv show 0x01c00002")]
    Show {
        /// The index
        #[arg(value_parser = index)]
        index: u32,
    },
    /// What stands in an index
    #[command(after_help = "\
Examples:
  touchstone element nv read 0x01c00002 --out ek.der
  touchstone element nv read 0x01800001 --value file:pin
  touchstone element nv read 0x01800002 --json | jq .value

A counter is shown as a number, bits and digests in hexadecimal, a PIN as its count and limit, and
anything else as it is. It is encrypted on its way from the TPM.")]
    Read {
        /// The index
        #[arg(value_parser = index)]
        index: u32,
        /// From this octet on
        #[arg(long, value_name = "OCTETS", default_value_t = 0)]
        offset: u16,
        /// So many octets; all that are left unless said
        #[arg(long, value_name = "OCTETS")]
        size: Option<u16>,
        /// The file to write, for its owner only; else standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        by: Authorization,
    },
    /// Put a file into an ordinary index
    #[command(after_help = "\
Example:
  touchstone element nv write 0x01800001 settings.bin")]
    Write {
        /// The index
        #[arg(value_parser = index)]
        index: u32,
        /// What to write; `-` is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// From this octet on
        #[arg(long, value_name = "OCTETS", default_value_t = 0)]
        offset: u16,
        #[command(flatten)]
        by: Authorization,
    },
    /// Make an index in the owner's part of the TPM's storage
    #[command(after_help = "\
Examples:
  touchstone element nv define 0x01800001 --size 64
  touchstone element nv define 0x01800002 --kind counter
  touchstone element nv define 0x01800003 --size 32 --value file:pin --read owner,value
  touchstone element nv define 0x01800004 --kind pin-fail --limit 5 --value file:pin
  touchstone element nv define 0x01800005 --size 32 --lockable write,read

The owner's indices are from 0x01800000 to 0x01bfffff.")]
    Define {
        /// Where
        #[arg(value_parser = index)]
        index: u32,
        /// What: ordinary, counter, bits, extend, pin-fail, pin-pass
        #[arg(long, value_name = "KIND", value_parser = kind, default_value = "ordinary")]
        kind: Kind,
        /// Octets that an ordinary index holds
        #[arg(long, value_name = "OCTETS", required_if_eq("kind", "ordinary"))]
        size: Option<u16>,
        /// How many wrong tries end a `pin-fail`, or how many uses a `pin-pass`
        #[arg(long, value_name = "TIMES")]
        limit: Option<u32>,
        /// Who reads: owner, value, platform; `owner`, and `value` if it gets one, unless said
        #[arg(long, value_name = "WHO", value_parser = party, value_delimiter = ',')]
        read: Vec<Party>,
        /// Who writes, in the same words
        #[arg(long, value_name = "WHO", value_parser = party, value_delimiter = ',')]
        write: Vec<Party>,
        /// How it can be locked: write, write-for-good, read, global
        #[arg(long, value_name = "HOW", value_parser = lock, value_delimiter = ',')]
        lockable: Vec<Lock>,
        #[command(flatten)]
        by: Authorization,
    },
    /// Add one to a counter, and show where it stands
    #[command(after_help = "\
Example:
  touchstone element nv increment 0x01800002")]
    Increment {
        /// The index
        #[arg(value_parser = index)]
        index: u32,
        #[command(flatten)]
        by: Authorization,
    },
    /// Set bits of a `bits` index beside those that are set, and show how it stands
    #[command(after_help = "\
Example:
  touchstone element nv set-bits 0x01800003 0x11

Nothing takes a bit back but `nv undefine`.")]
    SetBits {
        /// The index
        #[arg(value_parser = index)]
        index: u32,
        /// The bits, as a number: 0x11 sets the lowest and the fifth
        #[arg(value_name = "NUMBER", value_parser = bits)]
        bits: u64,
        #[command(flatten)]
        by: Authorization,
    },
    /// Extend an `extend` index with a file, as a register is, and show its digest
    #[command(after_help = "\
Example:
  touchstone element nv extend 0x01800004 config.toml

The index becomes the digest of what stood there and the file, which may be as large as the TPM takes
in one command; extend with a digest of what is larger.")]
    Extend {
        /// The index
        #[arg(value_parser = index)]
        index: u32,
        /// What it is extended with; `-` is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        by: Authorization,
    },
    /// Lock an index against writing, until the TPM starts again or for good, as it was defined
    #[command(after_help = "\
Example:
  touchstone element nv define 0x01800005 --size 32 --lockable write
  touchstone element nv write-lock 0x01800005")]
    WriteLock {
        /// The index
        #[arg(value_parser = index)]
        index: u32,
        #[command(flatten)]
        by: Authorization,
    },
    /// Lock an index against reading until the TPM starts again: for secrets that only the boot needs
    #[command(after_help = "\
Example:
  touchstone element nv define 0x01800006 --size 32 --lockable read
  touchstone element nv read-lock 0x01800006")]
    ReadLock {
        /// The index
        #[arg(value_parser = index)]
        index: u32,
        #[command(flatten)]
        by: Authorization,
    },
    /// Lock all indices that were defined with `--lockable global` until the TPM starts again
    #[command(after_help = "\
Example:
  touchstone element nv global-write-lock")]
    GlobalWriteLock {
        /// The owner's password, where it has one
        #[arg(long, value_name = "file:PATH")]
        owner: Option<String>,
    },
    /// Remove an index. What stood in it is lost
    #[command(after_help = "\
Example:
  touchstone element nv undefine 0x01800001")]
    Undefine {
        /// The index
        #[arg(value_parser = index)]
        index: u32,
        /// The owner's password, where it has one
        #[arg(long, value_name = "file:PATH")]
        owner: Option<String>,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum Lockout {
    /// How many wrong passwords were tried, and how many more lock the TPM
    #[command(after_help = "\
Example:
  touchstone element lockout show

Exits with 1 while the TPM is locked.")]
    Show,
    /// Forgive every wrong password that was tried
    #[command(after_help = "\
Example:
  touchstone element lockout reset --password file:lockout.pin

A wrong password is tried once: after it the TPM takes no other for a day or until it starts again,
as it was set up.")]
    Reset {
        /// The lockout's password, where it has one
        #[arg(long, value_name = "file:PATH")]
        password: Option<String>,
    },
}

fn index(text: &str) -> Result<u32, String> {
    bits(text)
        .ok()
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| number >> 24 == 1)
        .ok_or_else(|| "indices are from 0x01000000 to 0x01ffffff".to_owned())
}

fn bits(text: &str) -> Result<u64, String> {
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|_| "write a number of 64 bits, as 17 or 0x11".to_owned())
}

fn lock(text: &str) -> Result<Lock, String> {
    by_name(text, &Lock::ALL, Lock::name)
}

fn kind(text: &str) -> Result<Kind, String> {
    by_name(text, &Kind::ALL, Kind::name)
}

fn party(text: &str) -> Result<Party, String> {
    by_name(text, &[Party::Owner, Party::Value, Party::Platform], Party::name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_written_in_either_base_and_nothing_else_is_one() {
        assert_eq!(index("0x01800001"), Ok(0x0180_0001));
        assert_eq!(index("25165825"), Ok(0x0180_0001));
        for bad in ["", "0x", "0x81000001", "-1", "1800001h", "0x101800001"] {
            assert!(index(bad).is_err(), "{bad}");
        }
    }
}
