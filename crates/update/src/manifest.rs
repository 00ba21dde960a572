//! What an update says about itself, and how it lies in the envelope with the payload.

use crate::Refused;
use core::fmt;
use serde::{Deserialize, Serialize};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};

/// The first line of the content: what was signed as an update cannot pass for anything else.
const MAGIC: &[u8] = b"touchstone-update/1\n";
const SCHEMA: u32 = 1;
const MOST_MANIFEST: usize = 16 * 1024;
const MOST_COMPONENT: usize = 64;
const MOST_NOTE: usize = 2048;

/// What an update is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this structure: 1.
    pub schema: u32,
    /// What it is for: 1 to 64 of `a-z`, `0-9`, `.`, `_`, `-`.
    pub component: String,
    /// Its version; a device takes only what is above its last.
    pub version: u64,
    /// The SHA-256 of the payload, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Octets in the payload.
    pub size: u64,
    /// For people.
    #[serde(default)]
    pub note: String,
    /// The last second at which it may be applied, if it is not to lie around.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

/// What is wrong with the content of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// There is nothing inside.
    NoContent,
    /// The content is not an update.
    NotAnUpdate,
    /// The manifest is not the JSON that it should be, or too long.
    Manifest,
    /// The manifest has another schema than 1.
    Schema,
    /// The name of the component is empty, too long, or has other characters.
    Component,
    /// The note is too long.
    Note,
    /// The digest is not 64 lower-case hexadecimal digits.
    Digest,
}

impl Manifest {
    /// The manifest of a payload.
    pub fn new(
        crypto: &dyn Crypto,
        component: &str,
        version: u64,
        payload: &[u8],
        note: &str,
    ) -> Result<Self, Refused> {
        let manifest = Self {
            schema: SCHEMA,
            component: component.into(),
            version,
            sha256: crypto.hash(HashAlgorithm::Sha256, &[payload]).to_hex(),
            size: u64::try_from(payload.len()).unwrap_or(u64::MAX),
            note: note.into(),
            expires: None,
        };
        manifest.well_formed()?;
        Ok(manifest)
    }

    /// Whether the payload is the one described.
    pub fn check(&self, crypto: &dyn Crypto, payload: &[u8]) -> Result<(), Refused> {
        let digest = self.well_formed()?;
        let size = u64::try_from(payload.len()).unwrap_or(u64::MAX);
        if size != self.size || crypto.hash(HashAlgorithm::Sha256, &[payload]) != digest {
            return Err(Refused::DigestMismatch);
        }
        Ok(())
    }

    fn well_formed(&self) -> Result<Digest, Fault> {
        if self.schema != SCHEMA {
            return Err(Fault::Schema);
        }
        let good = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        let len = self.component.len();
        if len == 0 || len > MOST_COMPONENT || !self.component.bytes().all(good) {
            return Err(Fault::Component);
        }
        if self.note.len() > MOST_NOTE {
            return Err(Fault::Note);
        }
        if self.sha256.bytes().any(|c| c.is_ascii_uppercase()) {
            return Err(Fault::Digest);
        }
        Digest::parse(&format!("sha256:{}", self.sha256)).map_err(|_| Fault::Digest)
    }
}

pub(crate) fn join(manifest: &Manifest, payload: &[u8]) -> Result<Vec<u8>, Fault> {
    let json = serde_json::to_vec(manifest).map_err(|_| Fault::Manifest)?;
    if json.len() > MOST_MANIFEST {
        return Err(Fault::Manifest);
    }
    Ok([MAGIC, &json, b"\n", payload].concat())
}

pub(crate) fn split(content: &[u8]) -> Result<(Manifest, &[u8]), Fault> {
    let rest = content.strip_prefix(MAGIC).ok_or(Fault::NotAnUpdate)?;
    let end = rest.iter().take(MOST_MANIFEST + 1).position(|octet| *octet == b'\n');
    let end = end.ok_or(Fault::Manifest)?;
    let (json, payload) = (rest.get(..end), rest.get(end + 1..));
    let manifest: Manifest =
        serde_json::from_slice(json.unwrap_or_default()).map_err(|_| Fault::Manifest)?;
    manifest.well_formed()?;
    Ok((manifest, payload.unwrap_or_default()))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoContent => "there is nothing in the envelope",
            Self::NotAnUpdate => "what was signed is not an update",
            Self::Manifest => "the manifest is not one line of JSON with the fields of schema 1",
            Self::Schema => {
                "the manifest has a schema other than 1; this device needs a newer agent"
            }
            Self::Component => "a component is named with 1 to 64 of `a-z`, `0-9`, `.`, `_`, `-`",
            Self::Note => "the note is longer than 2048 octets",
            Self::Digest => "the digest is not 64 lower-case hexadecimal digits",
        })
    }
}
