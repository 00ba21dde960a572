//! Paths over several certificates, CRLs and status responses, under a provider that believes every
//! signature: crossed, looped and constrained ones are searched in bounded time.
//!
//! The input is a row of parts: a length in two octets, big endian, and as many octets of DER. What
//! parses as a certificate is the leaf, then the anchor, then others.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_certs::ocsp::Response;
use touchstone_certs::{Certificate, Crl, PathInputs, Purpose, Revocation, TrustStore};
use touchstone_crypto::{Crypto, Digest, Error, HashAlgorithm, SignatureAlgorithm};
use touchstone_crypto_awslc::AwsLc;

struct Credulous;

impl Crypto for Credulous {
    fn hash(&self, algorithm: HashAlgorithm, parts: &[&[u8]]) -> Digest {
        AwsLc.hash(algorithm, parts)
    }

    fn verify(&self, _: SignatureAlgorithm, _: &[u8], _: &[u8], _: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn random(&self, out: &mut [u8]) -> Result<(), Error> {
        AwsLc.random(out)
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    let (mut certificates, mut crls, mut responses) = (Vec::new(), Vec::new(), Vec::new());
    while let [high, low, tail @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
        let (part, tail) = tail.split_at(len);
        rest = tail;
        if let Ok(certificate) = Certificate::decode(part) {
            certificates.push(certificate);
        } else if let Ok(crl) = Crl::decode(part) {
            crls.push(crl);
        } else if let Ok(response) = Response::decode(part) {
            responses.push(response);
        }
    }
    if certificates.len() < 2 {
        return;
    }
    let leaf = certificates.remove(0);
    let trust = TrustStore::new(vec![certificates.remove(0)]);
    let inputs = PathInputs::new(leaf.not_before(), Purpose::Any).with_explicit_policy(true);
    let _ = trust.validate_with(&Credulous, &leaf, &certificates, &inputs);
    let revocation = Revocation { crls: &crls, responses: &responses, ..Revocation::default() };
    let inputs = PathInputs::new(leaf.not_before(), Purpose::Any).with_revocation(revocation);
    let _ = trust.validate_with(&Credulous, &leaf, &certificates, &inputs);
});
