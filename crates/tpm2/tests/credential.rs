//! Credentials against figures that neither our code nor a TPM computed, with every random value
//! fixed; and a TPM opens those figures. `tests/vectors/credential/make.py` says how they were made.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod lab;

use lab::talk;
use std::collections::BTreeMap;
use std::sync::Mutex;
use touchstone_crypto::{
    Agreed, Crypto, Curve, Digest, Direction, Error, HashAlgorithm, SignatureAlgorithm, TpmCrypto,
};
use touchstone_crypto_awslc::AwsLc;
use touchstone_peers::Swtpm;
use touchstone_tpm2::object::{Sensitive, SoftwareKey, duplicate};
use touchstone_tpm2::template::{self, KeyPair};
use touchstone_tpm2::{Auth, Credential, Public, credential, name_of};

const FIGURES: &str = include_str!("../../../tests/vectors/credential/figures.txt");

struct Case(BTreeMap<&'static str, Vec<u8>>);

impl Case {
    fn all() -> Vec<Self> {
        let line = |line: &'static str| {
            let (name, hex) = line.split_once(" = ").unwrap();
            let octet = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            (name, (0..hex.len()).step_by(2).map(octet).collect())
        };
        FIGURES.trim().split("\n\n").map(|case| Self(case.lines().map(line).collect())).collect()
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

impl std::ops::Index<&str> for Case {
    type Output = [u8];

    fn index(&self, name: &str) -> &[u8] {
        &self.0[name]
    }
}

/// What was encrypted to an RSA key: its exponent, the hash, the label and the plaintext.
type Encrypted = (u32, HashAlgorithm, Vec<u8>, Vec<u8>);

/// A provider whose random values are those of a case. What it encrypts to an RSA key it keeps.
struct Fixed<'a> {
    case: &'a Case,
    encrypted: Mutex<Vec<Encrypted>>,
}

impl Crypto for Fixed<'_> {
    fn hash(&self, algorithm: HashAlgorithm, parts: &[&[u8]]) -> Digest {
        AwsLc.hash(algorithm, parts)
    }

    fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        spki_der: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        AwsLc.verify(algorithm, spki_der, message, signature)
    }

    fn random(&self, out: &mut [u8]) -> Result<(), Error> {
        out.copy_from_slice(&self.case["seed"]);
        Ok(())
    }
}

impl TpmCrypto for Fixed<'_> {
    fn hmac(&self, algorithm: HashAlgorithm, key: &[u8], parts: &[&[u8]]) -> Result<Digest, Error> {
        AwsLc.hmac(algorithm, key, parts)
    }

    fn aes_cfb(
        &self,
        key: &[u8],
        iv: &[u8; 16],
        data: &mut [u8],
        direction: Direction,
    ) -> Result<(), Error> {
        AwsLc.aes_cfb(key, iv, data, direction)
    }

    fn agree(&self, _: Curve, _: &[u8], _: &[u8]) -> Result<Agreed, Error> {
        let [x, y, z] = ["fresh_x", "fresh_y", "z"].map(|name| self.case[name].to_vec());
        Ok(Agreed { x, y, z: z.into() })
    }

    fn rsa_oaep(
        &self,
        _: &[u8],
        exponent: u32,
        hash: HashAlgorithm,
        label: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let asked = (exponent, hash, label.to_vec(), plaintext.to_vec());
        self.encrypted.lock().unwrap().push(asked);
        Ok(self.case["secret"].to_vec())
    }
}

#[test]
fn a_credential_is_the_one_that_another_implementation_computes() {
    let cases = Case::all();
    assert_eq!(cases.len(), 6);
    for case in &cases {
        let provider = Fixed { case, encrypted: Mutex::default() };
        let made =
            credential::make(&case["ek"], &case["name"], &case["credential"], &provider).unwrap();
        assert_eq!(made.blob, case["blob"]);
        assert_eq!(made.secret, case["secret"]);
        // Part 1 Annex B.10.4: RSAES-OAEP with the key's hash, and the zero behind the label.
        let encrypted = provider.encrypted.into_inner().unwrap();
        if case.has("seed") {
            let hash = Public::decode(&case["ek"]).unwrap().name_algorithm;
            let label = b"IDENTITY\0".to_vec();
            assert_eq!(encrypted, [(65537, hash, label, case["seed"].to_vec())]);
        } else {
            assert!(encrypted.is_empty());
        }
    }
}

#[test]
fn names_of_objects_are_those_that_another_implementation_computes() {
    for case in Case::all() {
        assert_eq!(name_of(&AwsLc, &case["object"]).unwrap(), case["name"]);
        let ek = Public::decode(&case["ek"]).unwrap();
        assert_eq!(ek.encode().unwrap(), case["ek"]);
        assert_eq!(SoftwareKey::from_pkcs8_der(&case["ek_private"]).unwrap().key, ek.key);
    }
}

#[test]
fn a_tpm_that_holds_the_keys_opens_the_other_implementation_s_credentials_and_ours() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    for case in Case::all() {
        let ek = Public::decode(&case["ek"]).unwrap();
        let pair = match &ek.key {
            touchstone_tpm2::public::Key::Rsa { bits, .. } => KeyPair::Rsa(*bits),
            touchstone_tpm2::public::Key::Ecc { curve, .. } => KeyPair::Ecc(*curve),
            other => panic!("{other:?}"),
        };
        // The key comes from outside, which its attributes have to say; no credential depends on them.
        let key = SoftwareKey::from_pkcs8_der(&case["ek_private"]).unwrap();
        let outside = Public {
            name_algorithm: ek.name_algorithm,
            symmetric: ek.symmetric,
            ..template::storage(pair)
        };
        let public = key.as_object(outside).unwrap();
        let parent = tpm.srk().unwrap();
        // An endorsement key can have others under it, and so has a seed for them.
        let sensitive = key.sensitive.with_seed(&vec![7; ek.name_algorithm.len()]);
        let wrapped = duplicate::wrap(&public, &sensitive, &parent.public, None, &AwsLc).unwrap();
        let private = tpm.import(&parent, Auth::empty(), &wrapped, None).unwrap();
        let ek_loaded = tpm.load(&parent, Auth::empty(), &private, &wrapped.public).unwrap();
        tpm.unload_srk().unwrap();
        let held = Public::decode(&case["object"]).unwrap();
        let sensitive = Sensitive::keyed_hash(&case["object_seed"], &case["object_key"]);
        let held = tpm.load_external(&held, Some(&sensitive)).unwrap();
        assert_eq!(held.entity.name, case["name"]);

        let theirs = Credential { blob: case["blob"].to_vec(), secret: case["secret"].to_vec() };
        let ours =
            credential::make(&case["ek"], &case["name"], &case["credential"], &AwsLc).unwrap();
        assert_ne!(ours, theirs, "ours is fresh");
        for made in [theirs, ours] {
            let opened = tpm
                .activate_credential(&held, Auth::empty(), &ek_loaded, Auth::empty(), &made)
                .unwrap();
            assert_eq!(opened[..], case["credential"]);
        }
        tpm.flush(held.entity.handle).unwrap();
        tpm.flush(ek_loaded.entity.handle).unwrap();
    }
}
