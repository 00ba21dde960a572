//! What a document of reference values can say is good.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use touchstone_crypto::Digest;
use touchstone_evidence::runtime::CodeRange;

/// One reference value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ReferenceValue {
    /// An image that the firmware may load: its Authenticode digest.
    BootImage {
        /// Its name, for people.
        name: String,
        /// `sha256:<hex>`.
        #[serde(with = "digest_text")]
        digest: Digest,
    },
    /// Something else that a boot loader or kernel measures: a section of a unified kernel image,
    /// an initrd.
    Measurement {
        /// Its name, for people.
        name: String,
        /// `sha256:<hex>`.
        #[serde(with = "digest_text")]
        digest: Digest,
    },
    /// A certificate in PK, KEK or db: its SHA-256 fingerprint; or what dbx has to hold.
    SecureBootKey {
        /// Where it may be.
        database: Database,
        /// `sha256:<hex>`.
        #[serde(with = "digest_text")]
        fingerprint: Digest,
    },
    /// The value of PCR 0: one version of a firmware.
    Firmware {
        /// Its name, for people.
        name: String,
        /// `sha256:<hex>`.
        #[serde(with = "digest_text")]
        pcr0: Digest,
    },
    /// The value that a PCR has after a good boot.
    Pcr {
        /// Which.
        index: u32,
        /// `sha256:<hex>`.
        #[serde(with = "digest_text")]
        value: Digest,
    },
    /// A command line that the kernel may be given.
    CommandLine {
        /// The line, without a final newline.
        text: String,
    },
    /// Who may sign files: a file that IMA measured with a good signature of theirs is known,
    /// whatever its digest is.
    Publisher(Publisher),
    /// A file that may be run or opened: its digest as IMA measures it.
    File {
        /// Its path on the device.
        path: String,
        /// `sha256:<hex>`.
        #[serde(with = "digest_text")]
        digest: Digest,
    },
    /// A file that may have any of several contents: what lists that grew over many updates say.
    FileVariants {
        /// Its path on the device.
        path: String,
        /// `sha256:<hex>` each.
        #[serde(with = "digest_texts")]
        digests: Vec<Digest>,
    },
    /// A folder all of whose measured files are among the references: `/data/app/`. Without any,
    /// every measured file is judged.
    FileScope {
        /// The paths' beginning.
        prefix: String,
    },
    /// A folder whose files nobody judges, although a scope covers it: `/var/log/`. What is in it
    /// can be anything.
    FileExclude {
        /// The paths' beginning.
        prefix: String,
    },
    /// A file, or what else IMA measures by a name, that nobody judges.
    FileIgnore {
        /// Its path, exactly.
        path: String,
    },
    /// A program that makes code while it runs (JIT), as its publisher declares: executable memory
    /// of its processes that no file backs is no finding.
    Generator {
        /// Its path on the device.
        path: String,
    },
    /// A file's code as it is mapped into memory.
    Code {
        /// Its path on the device.
        path: String,
        /// Its ranges.
        ranges: Vec<Range>,
    },
}

/// Somebody who signs files, as `security.ima` carries it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publisher {
    /// Their name, which policies compare with.
    pub name: String,
    /// Their certificate, or their public key (`SubjectPublicKeyInfo`), DER.
    #[serde(with = "base64")]
    pub key: Vec<u8>,
    /// Where files of theirs may be, by the paths' beginnings; everywhere if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Until when their signatures are good, in Unix seconds; a certificate's own end counts where
    /// this says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good_until: Option<u64>,
    /// Until when they are known, and their files outdated; the same moment if this says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_until: Option<u64>,
}

/// A variable of UEFI Secure Boot that holds keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Database {
    /// The platform key.
    Pk,
    /// Key exchange keys.
    Kek,
    /// Keys that images are verified with.
    Db,
    /// What must be revoked: certificates, and digests of images.
    Dbx,
}

/// A code range of a file ([`CodeRange`] without its path).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Where in the file it begins.
    pub offset: u64,
    /// Its length.
    pub len: u64,
    /// `sha256:<hex>` of its pages.
    #[serde(with = "digest_text")]
    pub digest: Digest,
}

impl From<&CodeRange> for Range {
    fn from(range: &CodeRange) -> Self {
        Self { offset: range.offset, len: range.len, digest: range.digest }
    }
}

pub(super) mod digest_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use touchstone_crypto::Digest;

    pub(in super::super) fn serialize<S: Serializer>(
        digest: &Digest,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(digest)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Digest, D::Error> {
        let text = alloc::borrow::Cow::<'de, str>::deserialize(from)?;
        Digest::parse(&text).map_err(D::Error::custom)
    }
}

mod digest_texts {
    use super::digest_text;
    use alloc::vec::Vec;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use touchstone_crypto::Digest;

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Text(#[serde(with = "digest_text")] Digest);

    pub(super) fn serialize<S: Serializer>(digests: &[Digest], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(digests.iter().map(|digest| Text(*digest)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Digest>, D::Error> {
        Ok(Vec::<Text>::deserialize(from)?.into_iter().map(|text| text.0).collect())
    }
}

mod base64 {
    use alloc::vec::Vec;
    use base64ct::{Base64, Encoding};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(octets: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&Base64::encode_string(octets))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = alloc::borrow::Cow::<'de, str>::deserialize(from)?;
        Base64::decode_vec(&text).map_err(|_| D::Error::custom("not Base64"))
    }
}
