//! COSE_Sign1 (RFC 9052 §4.2), tagged, and tagged as a CWT once more if the sender wants (RFC 8392
//! §6).

use super::key::Scheme;
use super::{Error, TokenKey};
use alloc::vec::Vec;
use coset::{CoseSign1, CoseSign1Builder, HeaderBuilder, TaggedCborSerializable};
use touchstone_crypto::{Crypto, Signer, Verified};

/// The CWT tag, 61.
const CWT_TAG: [u8; 2] = [0xD8, 0x3D];
/// The most octets of both headers: a chain of certificates has room (RFC 9360).
const MAX_HEADERS: usize = 64 * 1024;

/// Signs a payload.
pub fn sign(payload: Vec<u8>, signer: &dyn Signer) -> Result<Vec<u8>, Error> {
    let scheme = Scheme::of(signer.algorithm())?;
    let protected = HeaderBuilder::new().algorithm(scheme.cose).build();
    CoseSign1Builder::new()
        .protected(protected)
        .payload(payload)
        .try_create_signature(&[], |message| {
            scheme.fixed(&signer.sign(message).map_err(Error::Signer)?)
        })?
        .build()
        .to_tagged_vec()
        .map_err(|_| Error::Malformed("serialization"))
}

/// The payload of a token of at most `limit` octets, whoever made it: nothing is proven by it.
pub fn dangerous_payload(token: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
    read(token, limit)?.payload.ok_or(Error::Malformed("claims"))
}

fn read(token: &[u8], limit: usize) -> Result<CoseSign1, Error> {
    if token.len() > limit {
        return Err(Error::TooLarge);
    }
    let token = token.strip_prefix(&CWT_TAG).unwrap_or(token);
    check_headers(token)?;
    CoseSign1::from_tagged_slice(token).map_err(|_| Error::Malformed("serialization"))
}

/// That the headers are of a size that headers have: taken apart, they are many times as large.
fn check_headers(token: &[u8]) -> Result<(), Error> {
    let wrong = |_| Error::Malformed("serialization");
    let mut decoder = minicbor::Decoder::new(token);
    decoder.tag().map_err(wrong)?;
    if decoder.array().map_err(wrong)? != Some(4) {
        return Err(Error::Malformed("serialization"));
    }
    let start = decoder.position();
    for _ in ["protected", "unprotected"] {
        decoder.skip().map_err(wrong)?;
    }
    if decoder.position() - start > MAX_HEADERS { Err(Error::TooLarge) } else { Ok(()) }
}

/// The payload of a token of at most `limit` octets, if one of `keys` signed it.
pub fn verify(
    crypto: &dyn Crypto,
    token: &[u8],
    keys: &[TokenKey],
    limit: usize,
) -> Result<Verified<Vec<u8>>, Error> {
    let sign1 = read(token, limit)?;
    let header = &sign1.protected.header;
    if !header.crit.is_empty() {
        return Err(Error::Malformed("header"));
    }
    let fits = |key: &&TokenKey| header.alg == Some(coset::Algorithm::Assigned(key.scheme().cose));
    let mut fitting = keys.iter().filter(fits).peekable();
    if fitting.peek().is_none() {
        return Err(if keys.is_empty() { Error::Signature } else { Error::Algorithm });
    }
    let verifies = |key: &TokenKey| {
        let check = |signature: &[u8], message: &[u8]| key.verify(crypto, message, signature);
        sign1.verify_signature(&[], check).is_ok()
    };
    if !fitting.any(verifies) {
        return Err(Error::Signature);
    }
    sign1.payload.ok_or(Error::Malformed("claims")).map(Verified::vouch)
}
