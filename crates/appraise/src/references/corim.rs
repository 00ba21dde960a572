//! Concise Reference Integrity Manifests (draft-ietf-rats-corim-11): the reference values of
//! CoMID tags, signed (COSE_Sign1) or not.
//!
//! What has a counterpart here: a digest of an element whose key is a path is a file; integrity
//! registers are PCRs; `svn` and the numbers of `version` are the version of what is described.
//! Elements that we name ourselves are `boot-image`, `measurement`, `secure-boot-key db` (`dbx`,
//! `kek`, `pk`), `firmware` and `command-line`; a digest of any other is a measurement, or a boot image if
//! the caller says so. Everything else is refused by its name: a manifest counts whole or not at all,
//! read as well as written.

mod read;
mod write;

pub use read::import;
pub use write::{Written, export, sign};

use super::Database;
use touchstone_certs::TrustStore;

/// What the digests of elements mean that are no files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Elements {
    /// Something that a boot loader or kernel measures.
    #[default]
    Measurements,
    /// Images that the firmware loads: Authenticode digests.
    BootImages,
}

/// Who may have signed, and when it counts.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// The certificates of signers, or of those who issue theirs for signing code.
    pub anchors: &'a TrustStore,
    /// The time, in Unix seconds.
    pub now: u64,
}

// CBOR tags (draft-ietf-rats-corim-11, section "CBOR Tags Registrations"; RFC 9052 §2).
const COSE_SIGN1: u64 = 18;
const CORIM: u64 = 501;
const COMID: u64 = 506;
const EPOCH: u64 = 1;
const BYTES: u64 = 560;
/// x5chain (RFC 9360 §2).
const X5CHAIN: i64 = 33;

/// The element that is a command line.
const COMMAND_LINE: &str = "command-line";

/// Elements that are named by what they are; what each is called is then in `name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    BootImage,
    Measurement,
    Firmware,
    SecureBootKey(Database),
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::BootImage,
        Self::Measurement,
        Self::Firmware,
        Self::SecureBootKey(Database::Pk),
        Self::SecureBootKey(Database::Kek),
        Self::SecureBootKey(Database::Db),
        Self::SecureBootKey(Database::Dbx),
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::BootImage => "boot-image",
            Self::Measurement => "measurement",
            Self::Firmware => "firmware",
            Self::SecureBootKey(Database::Pk) => "secure-boot-key pk",
            Self::SecureBootKey(Database::Kek) => "secure-boot-key kek",
            Self::SecureBootKey(Database::Db) => "secure-boot-key db",
            Self::SecureBootKey(Database::Dbx) => "secure-boot-key dbx",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
