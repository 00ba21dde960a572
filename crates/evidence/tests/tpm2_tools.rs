//! Quotes that tpm2-tools made, by keys of every scheme of a software TPM: `tpm2_checkquote` and
//! OpenSSL are the second opinion.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use touchstone_crypto::{HashAlgorithm, SignatureAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_evidence::tpm::Expected;
use touchstone_evidence::tpm2_tools::{PcrFile, attestation_key};
use touchstone_evidence::{Account, Error, Recorded};
use touchstone_peers::{Swtpm, attempt};

const NONCE: &[u8] = &[0x3A, 0xB1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13];
const SHA256: HashAlgorithm = HashAlgorithm::Sha256;

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |hex, octet| format!("{hex}{octet:02x}"))
}

struct Device(Swtpm);

impl Device {
    fn new() -> Self {
        let device = Self(Swtpm::blank_tcp());
        device.run(&["tpm2_createek", "-c", "ek.ctx", "-G", "ecc"]);
        device.run(&[
            "tpm2_pcrextend",
            &format!("7:sha256={},sha1={}", "ab".repeat(32), "ab".repeat(20)),
        ]);
        device
    }

    fn run(&self, arguments: &[&str]) {
        self.0.tool(arguments);
        self.0.tool(&["tpm2_flushcontext", "-t"]);
    }

    /// An attestation key, in every format of its public part.
    fn key(&self, kind: &str, scheme: &str, hash: &str) {
        let create = ["tpm2_createak", "-C", "ek.ctx", "-c", "ak.ctx", "-G", kind];
        self.run(&[&create[..], &["-g", hash, "-s", scheme, "-u", "ak.tss"]].concat());
        for format in ["tpmt", "pem", "der"] {
            let file = format!("ak.{format}");
            self.run(&["tpm2_readpublic", "-c", "ak.ctx", "-f", format, "-o", &file]);
        }
    }

    /// A quote; what `tpm2_quote` prints goes into `q.yaml`.
    fn quote(&self, selection: &str, scheme: &str, hash: &str, format: &str, values: &str) {
        let nonce = hex(NONCE);
        let quote = ["tpm2_quote", "-c", "ak.ctx", "-l", selection, "-q", &nonce, "-g", hash];
        let files = ["-m", "q.msg", "-s", "q.sig", "-o", "q.pcrs", "-f", format, "-F", values];
        let printed = self.0.tool(&[&quote[..], &["--scheme", scheme], &files].concat());
        self.0.write("q.yaml", &printed);
        self.0.tool(&["tpm2_flushcontext", "-t"]);
    }

    fn appraised(&self, key: &str, pcrs: &str) -> Result<Account, Error> {
        let key = attestation_key(&self.0.read(key)).unwrap();
        self.expecting(pcrs, &Expected::new(&key, NONCE))
    }

    fn expecting(&self, pcrs: &str, expected: &Expected<'_>) -> Result<Account, Error> {
        let (attest, signature) = (self.0.read("q.msg"), self.0.read("q.sig"));
        let recorded = Recorded {
            attest: &attest,
            signature: &signature,
            pcrs: PcrFile::decode(&self.0.read(pcrs)).unwrap(),
            event_log: None,
            ima_log: None,
        };
        recorded.verify(&AwsLc, expected).map(|(_, account)| account)
    }

    /// What others say of the same files: `tpm2_checkquote`, and OpenSSL where that knows no PSS.
    fn second_opinion(&self, nonce: &[u8], scheme: &str, hash: &str) -> bool {
        if scheme == "rsapss" {
            let plain = self.0.read("q.sig")[6..].to_vec();
            self.0.write("q.plain", &plain);
            let hash = format!("-{hash}");
            let check = ["dgst", &hash, "-sigopt", "rsa_padding_mode:pss", "-sigopt"];
            let files =
                ["rsa_pss_saltlen:-1", "-verify", "ak.pem", "-signature", "q.plain", "q.msg"];
            return attempt("openssl", self.0.dir.path(), &[&check[..], &files].concat()).0;
        }
        let nonce = hex(nonce);
        let check = ["tpm2_checkquote", "-u", "ak.pem", "-m", "q.msg", "-s", "q.sig"];
        self.0.attempt(&[&check[..], &["-f", "q.pcrs", "-g", hash, "-q", &nonce]].concat()).0
    }
}

#[test]
fn quotes_of_every_scheme_verify_with_keys_and_values_in_every_format() {
    use SignatureAlgorithm as A;
    let device = Device::new();
    for (kind, scheme, hash, algorithm) in [
        ("rsa2048", "rsassa", "sha256", A::RsaPkcs1Sha256),
        ("rsa2048", "rsassa", "sha384", A::RsaPkcs1Sha384),
        ("rsa2048", "rsassa", "sha512", A::RsaPkcs1Sha512),
        ("rsa2048", "rsapss", "sha256", A::RsaPssSha256),
        ("rsa2048", "rsapss", "sha384", A::RsaPssSha384),
        ("ecc256", "ecdsa", "sha256", A::EcdsaP256Sha256),
        ("ecc256", "ecdsa", "sha384", A::EcdsaP256Sha384),
        ("ecc384", "ecdsa", "sha384", A::EcdsaP384Sha384),
        ("ecc384", "ecdsa", "sha256", A::EcdsaP384Sha256),
        ("ecc384", "ecdsa", "sha512", A::EcdsaP384Sha512),
        ("ecc521", "ecdsa", "sha512", A::EcdsaP521Sha512),
    ] {
        let what = format!("{kind} {scheme} {hash}");
        device.key(kind, scheme, hash);
        device.quote("sha256:0,1,2,3,4,5,6,7,8,9+sha1:0", scheme, hash, "tss", "serialized");
        assert!(device.second_opinion(NONCE, scheme, hash), "{what}");
        for key in ["ak.tss", "ak.tpmt", "ak.pem", "ak.der"] {
            for pcrs in ["q.pcrs", "q.yaml"] {
                let account = device.appraised(key, pcrs).unwrap();
                assert_eq!(account.quote.algorithm(), algorithm, "{what}, {key}, {pcrs}");
                assert_eq!(account.unexplained, [(SHA256, (0..10).collect())], "{what}");
                assert!(account.quote.attest().clock.clock > 0);
            }
        }
        device.quote("sha256:7,0", scheme, hash, "plain", "values");
        for key in ["ak.tss", "ak.pem"] {
            let account = device.appraised(key, "q.pcrs").unwrap();
            assert_eq!(account.quote.algorithm(), algorithm, "{what}, {key}, plain");
            let bank = account.pcrs.bank(SHA256).unwrap();
            assert_eq!(bank.value(0).unwrap().as_bytes(), [0; 32]);
            assert_ne!(bank.value(7), bank.value(0), "{what}");
        }
    }
}

#[test]
fn what_one_refuses_the_other_refuses_too() {
    let device = Device::new();
    device.key("ecc256", "ecdsa", "sha256");
    device.quote("sha256:0,7", "ecdsa", "sha256", "tss", "serialized");
    let key = attestation_key(&device.0.read("ak.tss")).unwrap();
    let refused = device.expecting("q.pcrs", &Expected::new(&key, b"another")).unwrap_err();
    assert_eq!(refused, Error::NotFresh);
    assert!(!device.second_opinion(b"another", "ecdsa", "sha256"));

    let mut values = device.0.read("q.pcrs");
    values[4 + 128 + 4 + 4 + 2] ^= 1;
    device.0.write("q.pcrs", &values);
    assert_eq!(device.appraised("ak.tss", "q.pcrs").unwrap_err(), Error::PcrValues);
    assert!(!device.second_opinion(NONCE, "ecdsa", "sha256"));

    let mut message = device.0.read("q.msg");
    *message.last_mut().unwrap() ^= 1;
    device.0.write("q.msg", &message);
    let refused = device.appraised("ak.tss", "q.pcrs").unwrap_err();
    assert_eq!(refused.code(), "evidence.attest.signature");
    assert!(!device.second_opinion(NONCE, "ecdsa", "sha256"));
}

#[test]
fn a_signature_of_sha1_is_refused_as_weak_unless_asked_for() {
    let device = Device::new();
    for (kind, scheme) in [("rsa2048", "rsassa"), ("ecc256", "ecdsa")] {
        device.key(kind, scheme, "sha1");
        device.quote("sha256:0,7", scheme, "sha1", "tss", "serialized");
        assert!(device.second_opinion(NONCE, scheme, "sha1"), "{kind}");
        assert_eq!(device.appraised("ak.tss", "q.pcrs").unwrap_err(), Error::Weak, "{kind}");
        let key = attestation_key(&device.0.read("ak.tss")).unwrap();
        let taken = Expected::new(&key, NONCE).dangerous().accept_sha1();
        assert!(device.expecting("q.pcrs", &taken).unwrap().quote.algorithm().is_weak());
    }
}

#[test]
fn a_tpm_whose_state_was_put_back_is_noticed() {
    let device = Device::new();
    device.key("ecc256", "ecdsa", "sha256");
    device.quote("sha256:0", "ecdsa", "sha256", "tss", "serialized");
    let key = attestation_key(&device.0.read("ak.tss")).unwrap();
    let first = device.appraised("ak.tss", "q.pcrs").unwrap().quote.moment();
    device.quote("sha256:0", "ecdsa", "sha256", "tss", "serialized");
    let second = device.expecting("q.pcrs", &Expected::new(&key, NONCE).after(first)).unwrap();
    let mut later = second.quote.moment();
    later.clock.reset_count += 1;
    let refused = device.expecting("q.pcrs", &Expected::new(&key, NONCE).after(later)).unwrap_err();
    assert_eq!(refused.code(), "evidence.clock.reset-count");
}
