//! Quotes signed with ML-DSA, framed as TPM 2.0 version 1.85 does: no TPM or tool at hand makes
//! them yet, so key and signature are in software.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]
#![allow(dead_code, reason = "not all of the attester is needed")]

mod attester;

use attester::{LAK_ATTRIBUTES, SIGN_ATTRIBUTES, attest, sized};
use touchstone_crypto::{Crypto, HashAlgorithm, SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_evidence::tpm::{AttestationKey, Expected, LakPublic, PublicArea};
use touchstone_evidence::tpm2_tools::PcrFile;
use touchstone_evidence::{Error, Recorded};

const NONCE: &[u8] = b"the verifier's nonce";

/// TPMT_PUBLIC (Part 2 v1.85 §12.2.3.6): the parameter set, whether a digest may be signed, the key.
fn public(set: u16, key: &[u8], attributes: u32) -> Vec<u8> {
    let mut public = vec![0x00, 0xA1, 0x00, 0x0B];
    public.extend(attributes.to_be_bytes());
    public.extend(sized(&[]));
    public.extend(set.to_be_bytes());
    public.push(0);
    public.extend(sized(key));
    public
}

/// TPMS_ATTEST of a quote of PCR 7, all ones, in the SHA-256 bank.
fn quote(hash: HashAlgorithm) -> Vec<u8> {
    let mut body = 1u32.to_be_bytes().to_vec();
    body.extend([0x00, 0x0B, 3, 0x80, 0, 0]);
    body.extend(sized(AwsLc.hash(hash, &[&[1; 32]]).as_bytes()));
    attest(0x8018, NONCE, &body)
}

#[test]
fn a_quote_of_each_parameter_set_verifies() {
    use SignatureAlgorithm as A;
    for (set, algorithm, len) in
        [(1, A::MlDsa44, 1312), (2, A::MlDsa65, 1952), (3, A::MlDsa87, 2592)]
    {
        let signer = SoftSigner::generate(algorithm).unwrap();
        let spki = signer.spki_der();
        let native = public(set, &spki[spki.len() - len..], LAK_ATTRIBUTES);
        let key = AttestationKey::from_native(&native).unwrap();
        assert_eq!(key.spki_der(), spki);
        assert_eq!(LakPublic::from_native(&native).unwrap().algorithm(), algorithm);
        for hash in [HashAlgorithm::Sha256, HashAlgorithm::Sha384] {
            let attest = quote(hash);
            let plain = signer.sign(&attest).unwrap();
            let framed = [&[0x00, 0xA1][..], &sized(&plain)].concat();
            for signature in [&framed, &plain] {
                let pcrs = PcrFile::decode(&[1; 32]).unwrap();
                let (attest, signature) = (attest.as_slice(), signature.as_slice());
                let recorded = Recorded { attest, signature, pcrs, event_log: None, ima_log: None };
                let (_, account) = recorded.verify(&AwsLc, &Expected::new(&key, NONCE)).unwrap();
                assert_eq!(account.quote.algorithm(), algorithm);
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let signer = SoftSigner::generate(SignatureAlgorithm::MlDsa65).unwrap();
    let spki = signer.spki_der();
    let octets = &spki[spki.len() - 1952..];
    let refused = PublicArea::decode(&public(4, octets, LAK_ATTRIBUTES)).unwrap_err();
    assert_eq!(refused, Error::Unsupported { item: "ML-DSA parameter set", id: 4 });
    for (set, octets) in [(1, octets), (2, &octets[1..])] {
        let refused = PublicArea::decode(&public(set, octets, LAK_ATTRIBUTES)).unwrap_err();
        assert!(matches!(refused, Error::Malformed { .. }), "{refused}");
    }
    let open = AttestationKey::from_native(&public(2, octets, SIGN_ATTRIBUTES)).unwrap_err();
    assert_eq!(open, Error::KeyAttributes("restricted to what the TPM made"));

    let key = AttestationKey::from_native(&public(2, octets, LAK_ATTRIBUTES)).unwrap();
    let attest = quote(HashAlgorithm::Sha256);
    let plain = signer.sign(&attest).unwrap();
    let with = |signature: &[u8]| {
        let pcrs = PcrFile::decode(&[1; 32]).unwrap();
        let recorded =
            Recorded { attest: &attest, signature, pcrs, event_log: None, ima_log: None };
        recorded.verify(&AwsLc, &Expected::new(&key, NONCE)).unwrap_err()
    };
    let mut flipped = [&[0x00, 0xA1][..], &sized(&plain)].concat();
    flipped[100] ^= 1;
    assert_eq!(with(&flipped).code(), "evidence.attest.signature");
    // HashML-DSA is another scheme, which is not offered.
    let hashed = [&[0x00, 0xA2, 0x00, 0x0B][..], &sized(&plain)].concat();
    assert_eq!(with(&hashed), Error::Unsupported { item: "signature scheme", id: 0xA2 });
    // A signature of another kind of key.
    assert_eq!(with(&[&[0x00, 0x14, 0x00, 0x0B][..], &sized(&[1; 256])].concat()), Error::Scheme);
}
