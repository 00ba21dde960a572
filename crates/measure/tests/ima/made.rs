//! Lists of our own making.

use touchstone_crypto::{Crypto, Digest, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;

/// The octets behind their number, least significant octet first.
pub(crate) fn sized(octets: &[u8]) -> Vec<u8> {
    [&u32::try_from(octets.len()).unwrap().to_le_bytes()[..], octets].concat()
}

/// An entry as the kernel writes it, its template digest made of its fields.
pub(crate) fn entry(template: &str, fields: &[&[u8]]) -> Vec<u8> {
    let data: Vec<u8> = fields.iter().flat_map(|field| sized(field)).collect();
    let digest = AwsLc.hash(HashAlgorithm::Sha1, &[&data]);
    with_digest(digest.as_bytes(), template, &data)
}

/// An entry of which the kernel says that it could not measure.
pub(crate) fn violation(template: &str, fields: &[&[u8]]) -> Vec<u8> {
    let data: Vec<u8> = fields.iter().flat_map(|field| sized(field)).collect();
    with_digest(&[0; 20], template, &data)
}

fn with_digest(digest: &[u8], template: &str, data: &[u8]) -> Vec<u8> {
    [&10u32.to_le_bytes(), digest, &sized(template.as_bytes()), &sized(data)].concat()
}

/// `sha256:\0` and the digest.
pub(crate) fn labelled(digest: &Digest) -> Vec<u8> {
    [format!("{}:\0", digest.algorithm()).as_bytes(), digest.as_bytes()].concat()
}

/// The name as the kernel ends it.
pub(crate) fn name(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

/// An `ima-ng` entry about a file of that content.
pub(crate) fn file(path: &str, content: &[u8]) -> Vec<u8> {
    let digest = AwsLc.hash(HashAlgorithm::Sha256, &[content]);
    entry("ima-ng", &[&labelled(&digest), &name(path)])
}
