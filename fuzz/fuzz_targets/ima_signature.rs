//! Signatures in an IMA list, by publishers whose certificates lie beside: whatever stands in the
//! fields, nothing panics, and nobody's signature is found on what they did not sign.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::ima::Log;
use touchstone_measure::ima::signature::{Publishers, Signature};

static PUBLISHERS: LazyLock<Publishers> = LazyLock::new(|| {
    let mut publishers = Publishers::new();
    for spki in [
        &include_bytes!("../publishers/rsa.spki.der")[..],
        include_bytes!("../publishers/ec.spki.der"),
    ] {
        publishers.add_key(&AwsLc, "publisher", spki).unwrap();
    }
    publishers
});

fn sized(octets: &[u8]) -> Vec<u8> {
    [&u32::try_from(octets.len()).unwrap().to_le_bytes()[..], octets].concat()
}

fn list(template: &[u8], fields: &[&[u8]]) -> Vec<u8> {
    let data: Vec<u8> = fields.iter().flat_map(|field| sized(field)).collect();
    [&10u32.to_le_bytes()[..], &[1; 20], &sized(template), &sized(&data)].concat()
}

fuzz_target!(|data: &[u8]| {
    if let Ok(signature) = Signature::decode(data) {
        assert!(signature.signature.len() <= data.len());
    }
    let digest = [&b"sha256:\0"[..], &[0xA5; 32]].concat();
    let (name, owner) = (&b"/bin/a\0"[..], &[0, 0, 0, 0][..]);
    let (first, second) = data.split_at(data.len() / 2);
    for octets in [
        list(b"ima-sig", &[&digest, name, data]),
        list(b"ima-modsig", &[&digest, name, &[], &digest, data]),
        list(
            b"evm-sig",
            &[&digest, name, first, b"security.ima\0", &second.len().to_le_bytes()[..4], second, owner, owner, &owner[..2]],
        ),
    ] {
        let Ok(list) = Log::decode(&octets) else { continue };
        for entry in list.entries() {
            assert!(entry.verify_signature(&AwsLc, &PUBLISHERS).is_err());
        }
    }
    // And as a list of its own.
    if let Ok(list) = Log::decode(data) {
        for entry in list.entries() {
            let _ = entry.verify_signature(&AwsLc, &PUBLISHERS);
        }
    }
});
