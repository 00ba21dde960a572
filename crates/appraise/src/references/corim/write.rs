//! Writing a document as a manifest that others read.

use super::{BYTES, COMID, COMMAND_LINE, CORIM, EPOCH, Kind, X5CHAIN};
use crate::references::{Document, Error, ReferenceValue};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;
use ciborium::Value;
use coset::{CoseSign1Builder, HeaderBuilder, TaggedCborSerializable, iana};
use touchstone_certs::Certificate;
use touchstone_crypto::{Digest, HashAlgorithm, SignatureAlgorithm, Signer, ecdsa};

/// CWT claims in a header (RFC 9597).
const CWT_CLAIMS: i64 = 15;
const ISSUER: i64 = 1;
const CONTENT_TYPE: &str = "application/rim+cbor";

/// A manifest, and what of the document is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The manifest, not signed: `#6.501(corim-map)`.
    pub octets: Vec<u8>,
    /// What CoRIM has no words for, each with how many there are. Whoever reads the manifest does not
    /// judge as the document would.
    pub left_out: BTreeMap<&'static str, usize>,
}

/// Writes a document's released values. The same document gives the same octets.
pub fn export(document: &Document) -> Result<Written, Error> {
    document.check()?;
    let mut values: Vec<&ReferenceValue> = document.values.iter().collect();
    values.sort_unstable();
    values.dedup();
    let mut left_out = BTreeMap::new();
    let mut leave_out = |what, count| *left_out.entry(what).or_default() += count;
    let mut measurements = vec![version(document.version)];
    for value in values {
        match elements(value) {
            Ok(found) => measurements.extend(found),
            Err(what) => leave_out(what, 1),
        }
    }
    if !document.recorded.is_empty() {
        leave_out("recorded values, which nobody released", document.recorded.len());
    }
    if document.supersedes.is_some() {
        leave_out("the grace of lower versions", 1);
    }
    let octets = encoded(&manifest(document, measurements)?)?;
    Ok(Written { octets, left_out })
}

/// Signs a manifest as its `signer` (COSE_Sign1), whose certificate comes along.
pub fn sign(
    manifest: &[u8],
    certificate: &Certificate,
    signer: &dyn Signer,
) -> Result<Vec<u8>, Error> {
    let (algorithm, len) = match signer.algorithm() {
        SignatureAlgorithm::EcdsaP256Sha256 => (iana::Algorithm::ES256, Some(32)),
        SignatureAlgorithm::EcdsaP384Sha384 => (iana::Algorithm::ES384, Some(48)),
        SignatureAlgorithm::EcdsaP521Sha512 => (iana::Algorithm::ES512, Some(66)),
        SignatureAlgorithm::RsaPssSha256 => (iana::Algorithm::PS256, None),
        SignatureAlgorithm::RsaPssSha384 => (iana::Algorithm::PS384, None),
        SignatureAlgorithm::RsaPssSha512 => (iana::Algorithm::PS512, None),
        SignatureAlgorithm::Ed25519 => (iana::Algorithm::EdDSA, None),
        other => return Err(Error::Signer(format!("COSE has no name for {}", other.name()))),
    };
    let issuer = Value::Map(vec![(ISSUER.into(), certificate.subject().into())]);
    let protected = HeaderBuilder::new()
        .algorithm(algorithm)
        .content_type(CONTENT_TYPE.to_owned())
        .value(CWT_CLAIMS, issuer)
        .value(X5CHAIN, Value::Bytes(certificate.der().to_vec()))
        .build();
    let failed = |error: touchstone_crypto::Error| Error::Signer(error.to_string());
    CoseSign1Builder::new()
        .protected(protected)
        .payload(manifest.to_vec())
        .try_create_signature(&[], |message| {
            let signature = signer.sign(message).map_err(failed)?;
            match len {
                Some(len) => ecdsa::der_to_fixed(&signature, len).map_err(failed),
                None => Ok(signature),
            }
        })?
        .build()
        .to_tagged_vec()
        .map_err(|error| Error::Signer(error.to_string()))
}

/// `corim-map` with one CoMID, whose one triple is the component.
fn manifest(document: &Document, measurements: Vec<Value>) -> Result<Value, Error> {
    let name = format!("{}/{}", document.tenant, document.component);
    let class =
        map([(1, document.tenant.as_str().into()), (2, document.component.as_str().into())]);
    let triple = Value::Array(vec![map([(0, class)]), Value::Array(measurements)]);
    let comid = map([
        (1, map([(0, name.as_str().into()), (1, document.version.into())])),
        (4, map([(0, Value::Array(vec![triple]))])),
    ]);
    let mut corim = vec![
        (0, format!("{name}/{}", document.version).into()),
        (1, Value::Array(vec![tag(COMID, Value::Bytes(encoded(&comid)?))])),
    ];
    if let Some(until) = document.valid_until {
        corim.push((4, map([(1, tag(EPOCH, until.into()))])));
    }
    Ok(tag(CORIM, map(corim)))
}

/// The component's version: a decimal number (`version-scheme`).
fn version(version: u64) -> Value {
    const DECIMAL: u64 = 4;
    let version = map([(0, version.to_string().into()), (1, DECIMAL.into())]);
    map([(1, map([(0, version)]))])
}

/// `measurement-map`s of a value: contents that exclude each other are one each. Otherwise what it is
/// that has no counterpart.
fn elements(value: &ReferenceValue) -> Result<Vec<Value>, &'static str> {
    let of_kind = |kind: Kind, name: &str, digest: &Digest| {
        Ok(vec![element(kind.name(), [(2, digests(digest)?), (11, name.into())])])
    };
    match value {
        ReferenceValue::BootImage { name, digest } => of_kind(Kind::BootImage, name, digest),
        ReferenceValue::Measurement { name, digest } => of_kind(Kind::Measurement, name, digest),
        ReferenceValue::SecureBootKey { database, fingerprint } => {
            let kind = Kind::SecureBootKey(*database);
            Ok(vec![element(kind.name(), [(2, digests(fingerprint)?)])])
        }
        ReferenceValue::Firmware { name, pcr0 } => {
            let registers = map([(0, digests(pcr0)?)]);
            Ok(vec![element(Kind::Firmware.name(), [(11, name.as_str().into()), (14, registers)])])
        }
        ReferenceValue::Pcr { index, value } => {
            let registers = map([(i64::from(*index), digests(value)?)]);
            Ok(vec![element("registers", [(14, registers)])])
        }
        ReferenceValue::CommandLine { text } => {
            let octets = tag(BYTES, Value::Bytes(text.as_bytes().to_vec()));
            Ok(vec![element(COMMAND_LINE, [(4, octets)])])
        }
        ReferenceValue::File { path, digest } => file(path, core::slice::from_ref(digest)),
        ReferenceValue::FileVariants { path, digests } => file(path, digests),
        ReferenceValue::Publisher(_) => Err("publishers"),
        ReferenceValue::FileScope { .. }
        | ReferenceValue::FileExclude { .. }
        | ReferenceValue::FileIgnore { .. } => Err("which files are judged"),
        ReferenceValue::Code { .. } => Err("code as it is in memory"),
        ReferenceValue::Generator { .. } => Err("programs that make code while they run"),
    }
}

fn file(path: &str, contents: &[Digest]) -> Result<Vec<Value>, &'static str> {
    // Whoever reads it takes an element for a file by its first character.
    if !path.starts_with('/') {
        return Err("files by a name that is no path");
    }
    contents.iter().map(|digest| Ok(element(path, [(2, digests(digest)?)]))).collect()
}

fn element<const N: usize>(key: &str, values: [(i64, Value); N]) -> Value {
    map([(0, key.into()), (1, map(values))])
}

/// `digests-type`, by the Named Information registry (RFC 6920 §9.4).
fn digests(digest: &Digest) -> Result<Value, &'static str> {
    let id: u64 = match digest.algorithm() {
        HashAlgorithm::Sha256 => 1,
        HashAlgorithm::Sha384 => 7,
        HashAlgorithm::Sha512 => 8,
        _ => return Err("digests of SHA-1"),
    };
    let digest = vec![id.into(), Value::Bytes(digest.as_bytes().to_vec())];
    Ok(Value::Array(vec![Value::Array(digest)]))
}

fn map(entries: impl IntoIterator<Item = (i64, Value)>) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

fn tag(tag: u64, value: Value) -> Value {
    Value::Tag(tag, Box::new(value))
}

fn encoded(value: &Value) -> Result<Vec<u8>, Error> {
    let mut octets = Vec::new();
    ciborium::into_writer(value, &mut octets).map_err(|_| Error::TooLarge)?;
    Ok(octets)
}
