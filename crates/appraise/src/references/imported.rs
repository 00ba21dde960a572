//! What a file of another format says in our words.

use super::{Document, Error, ReferenceValue};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use touchstone_crypto::{Digest, HashAlgorithm};

/// Reference values from a file of another format: everything in it was understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// The values.
    pub values: Vec<ReferenceValue>,
    /// The version that the file gives what it describes, if it does.
    pub version: Option<u64>,
    /// Until when the file counts, in Unix seconds, if it says so.
    pub valid_until: Option<u64>,
    /// Who signed the file, if somebody did and that was checked.
    pub signer: Option<String>,
    /// What was understood and is said otherwise here: a line for people each.
    pub notes: Vec<String>,
}

impl Imported {
    /// A document of these values, to be signed.
    pub fn into_document(self, tenant: &str, component: &str, version: u64) -> Document {
        let mut document = Document::new(tenant, component, version);
        document.valid_until = self.valid_until;
        document.values = self.values;
        document
    }
}

/// A part of a file that is refused, and with it the file.
pub(super) fn refuse<T>(at: impl Into<String>, why: impl Into<String>) -> Result<T, Error> {
    Err(Error::NotUnderstood { at: at.into(), why: why.into() })
}

/// Files with their digests, as they come; one value for each path in the end.
#[derive(Default)]
pub(super) struct Files(BTreeMap<String, Vec<Digest>>);

impl Files {
    pub(super) fn add(&mut self, path: &str, digest: Digest) {
        let digests = self.0.entry(path.to_owned()).or_default();
        if !digests.contains(&digest) {
            digests.push(digest);
        }
    }

    pub(super) fn has(&self, algorithm: HashAlgorithm) -> bool {
        self.0.values().flatten().any(|digest| digest.algorithm() == algorithm)
    }

    pub(super) fn into_values(self) -> impl Iterator<Item = ReferenceValue> {
        self.0.into_iter().map(|(path, digests)| match digests.as_slice() {
            [digest] => ReferenceValue::File { path, digest: *digest },
            _ => ReferenceValue::FileVariants { path, digests },
        })
    }
}

/// What is said of values of 32 octets whose algorithm nothing tells.
pub(super) const AS_SHA256: &str = "digests of 32 octets are taken for SHA-256; if they are of another algorithm (SM3), they fit no \
     file";

/// A digest in hexadecimal, whose length tells its algorithm: 32 octets are SHA-256, although SM3
/// has as many, see [`AS_SHA256`].
pub(super) fn digest(hex: &str) -> Option<Digest> {
    let algorithm =
        HashAlgorithm::ALL.into_iter().find(|algorithm| algorithm.len() * 2 == hex.len())?;
    Digest::parse(&format!("{algorithm}:{hex}")).ok()
}
