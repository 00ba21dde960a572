//! Keys, signatures and points from anybody: both providers accept and refuse the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_crypto::{Crypto, Curve, Error, SignatureAlgorithm, TpmCrypto};
use touchstone_crypto_awslc::AwsLc;
use touchstone_crypto_soft::Soft;

static SOFT: Soft = Soft::new(|out| {
    out.fill(1);
    Ok(())
});

const ALGORITHMS: [SignatureAlgorithm; 4] = [
    SignatureAlgorithm::EcdsaP256Sha256,
    SignatureAlgorithm::EcdsaP384Sha384,
    SignatureAlgorithm::EcdsaP384Sha256,
    SignatureAlgorithm::Ed25519,
];

fuzz_target!(|data: &[u8]| {
    let [which, split, data @ ..] = data else { return };
    let (spki, signature) = data.split_at(usize::from(*split).min(data.len()));
    let algorithm = ALGORITHMS[usize::from(which % 4)];
    let soft = SOFT.verify(algorithm, spki, b"message", signature);
    let awslc = AwsLc.verify(algorithm, spki, b"message", signature);
    // A key of small order vouches for anything: only one provider says so.
    if algorithm != SignatureAlgorithm::Ed25519 || awslc.is_err() {
        assert_eq!(soft.is_ok(), awslc.is_ok(), "{algorithm:?}: {soft:?}, {awslc:?}");
    }
    for curve in [Curve::P256, Curve::P384] {
        let (x, y) = data.split_at(curve.len().min(data.len()));
        let soft = SOFT.agree(curve, x, y).map(drop);
        assert_eq!(soft, AwsLc.agree(curve, x, y).map(drop));
        assert!(soft.is_ok() || soft == Err(Error::BadKey));
    }
});
