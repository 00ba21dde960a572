//! The store's file: a header in the clear, the encrypted body, a digest.
//!
//! The digest tells damage from everything else; whoever changes the file on purpose can make it
//! again, but not what the header is bound to. All of the header is authenticated with the body.

use crate::Cost;
use crate::root::Kind;
use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_wire::{Malformed, Reader, Why, Writer};

/// Octets of the largest store.
pub(crate) const LIMIT: usize = 4 * 1024 * 1024;

const MAGIC: &[u8; 8] = b"TSELEMSW";
const VERSION: u16 = 1;

/// What stands in front of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// How the root key is made.
    pub(crate) kind: Kind,
    /// What the root key is made with; chosen once.
    pub(crate) salt: [u8; 32],
    /// The store's own name; chosen once.
    pub(crate) id: [u8; 16],
    /// Tells whether the root key is the right one.
    pub(crate) check: [u8; 16],
    /// Rises with every change.
    pub(crate) generation: u64,
    /// The digest of the file one generation earlier.
    pub(crate) previous: [u8; 32],
    /// Whether a second place knows the generation.
    pub(crate) anchored: bool,
    /// What the body's key is derived with; chosen for every change.
    pub(crate) fresh: [u8; 32],
}

/// A file taken apart, not yet opened.
#[derive(Debug)]
pub(crate) struct File<'a> {
    /// The header.
    pub(crate) header: Header,
    /// The header's octets, which the body is bound to.
    pub(crate) bound: &'a [u8],
    /// The encrypted body and its tag.
    pub(crate) shut: &'a [u8],
    /// The digest of all this.
    pub(crate) digest: [u8; 32],
}

impl Header {
    /// The header's octets.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        let (kind, cost) = match self.kind {
            Kind::Secret => (1, Cost { memory_kib: 0, passes: 0, lanes: 0 }),
            Kind::Passphrase(cost) => (2, cost),
        };
        out.bytes(MAGIC).u16(VERSION).u8(kind);
        out.u32(cost.memory_kib).u32(cost.passes).u32(cost.lanes);
        out.bytes(&self.salt).bytes(&self.id).bytes(&self.check).u64(self.generation);
        out.bytes(&self.previous).u8(self.anchored.into()).bytes(&self.fresh);
        out.into_bytes()
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        if reader.array()? != *MAGIC {
            return Err(reader.malformed(Why::BadValue));
        }
        if reader.u16()? != VERSION {
            return Err(reader.malformed(Why::BadVersion));
        }
        let kind = reader.u8()?;
        let cost = Cost { memory_kib: reader.u32()?, passes: reader.u32()?, lanes: reader.u32()? };
        let kind = match kind {
            1 if cost == (Cost { memory_kib: 0, passes: 0, lanes: 0 }) => Kind::Secret,
            2 if cost.is_sound() => Kind::Passphrase(cost),
            _ => return Err(reader.malformed(Why::BadValue)),
        };
        Ok(Self {
            kind,
            salt: reader.array()?,
            id: reader.array()?,
            check: reader.array()?,
            generation: reader.u64()?,
            previous: reader.array()?,
            anchored: match reader.u8()? {
                0 => false,
                1 => true,
                _ => return Err(reader.malformed(Why::BadValue)),
            },
            fresh: reader.array()?,
        })
    }
}

/// Puts a file together, and says its digest.
pub(crate) fn assemble(bound: &[u8], shut: &[u8]) -> (Vec<u8>, [u8; 32]) {
    let mut octets = [bound, shut].concat();
    let digest = sha256(&octets);
    octets.extend_from_slice(&digest);
    (octets, digest)
}

/// Takes a file apart. A digest that is not the file's is [`Why::BadValue`].
pub(crate) fn take_apart(octets: &[u8]) -> Result<File<'_>, Malformed> {
    let whole = Reader::new(octets);
    let (front, digest) =
        octets.split_last_chunk::<32>().ok_or_else(|| whole.malformed(Why::Truncated))?;
    if sha256(front) != *digest {
        return Err(whole.malformed(Why::BadValue));
    }
    let mut reader = Reader::new(front);
    let header = Header::decode(&mut reader)?;
    let shut = reader.rest();
    let bound = front.get(..front.len() - shut.len()).unwrap_or_default();
    Ok(File { header, bound, shut, digest: *digest })
}

pub(crate) fn sha256(octets: &[u8]) -> [u8; 32] {
    let digest = AwsLc.hash(HashAlgorithm::Sha256, &[octets]);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_bytes());
    out
}
