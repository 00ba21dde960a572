//! Encrypted envelopes, both ways with the `openssl cms` command, and those that others have made.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use proptest::prelude::*;
use std::path::Path;
use std::sync::LazyLock;
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::{Certificate, Name};
use touchstone_cms::{Accept, ContentCipher, DATA, Enveloped, Recipient, Refusal};
use touchstone_crypto::{Crypto, Decrypter, Opening, SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, RsaBits, SoftDecrypter, SoftSigner};
use touchstone_peers::{BouncyCastle, corpus, openssl};

const CIPHERS: [ContentCipher; 4] = [
    ContentCipher::Aes128Gcm,
    ContentCipher::Aes256Gcm,
    ContentCipher::LegacyAes128Cbc,
    ContentCipher::LegacyAes256Cbc,
];

struct Holder {
    certificate: Certificate,
    key: SoftDecrypter,
    pem: String,
}

fn holder(kind: SignatureAlgorithm, name: &str) -> Holder {
    let signer = match kind {
        SignatureAlgorithm::RsaPkcs1Sha256 => SoftSigner::generate_rsa(RsaBits::B2048, kind),
        _ => SoftSigner::generate(kind),
    }
    .unwrap();
    let template =
        Template::new(Kind::CodeSigner, Name::common_name(name).unwrap(), 0, 4_000_000_000);
    Holder {
        certificate: template.self_sign(&AwsLc, &signer).unwrap(),
        key: SoftDecrypter::from_pkcs8_der(signer.pkcs8_der()).unwrap(),
        pem: signer.to_pkcs8_pem().to_string(),
    }
}

/// RSA and the three curves.
static HOLDERS: LazyLock<Vec<Holder>> = LazyLock::new(|| {
    vec![
        holder(SignatureAlgorithm::RsaPkcs1Sha256, "rsa"),
        holder(SignatureAlgorithm::EcdsaP256Sha256, "p256"),
        holder(SignatureAlgorithm::EcdsaP384Sha384, "p384"),
        holder(SignatureAlgorithm::EcdsaP521Sha512, "p521"),
    ]
});

/// An ML-KEM key made by RustCrypto, with a certificate from a CA, since it cannot sign itself.
macro_rules! kem_holder {
    ($set:ty, $number:literal) => {{
        let mut seed = [0; 64];
        AwsLc.random(&mut seed).unwrap();
        let key = ml_kem::DecapsulationKey::<$set>::from_seed(ml_kem::Seed::from(seed));
        let spki = key.encapsulation_key().to_public_key_der().unwrap();
        certified(spki.as_bytes(), $number, &key.to_expanded_bytes())
    }};
}

#[allow(deprecated, reason = "what PKCS#8 holds is the expanded key")]
fn kem_holders() -> Vec<Holder> {
    use ml_kem::ExpandedKeyEncoding;
    use ml_kem::pkcs8::EncodePublicKey;
    vec![
        kem_holder!(ml_kem::MlKem512, 1),
        kem_holder!(ml_kem::MlKem768, 2),
        kem_holder!(ml_kem::MlKem1024, 3),
    ]
}

fn certified(spki: &[u8], set: u8, expanded: &[u8]) -> Holder {
    let ca_key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let template =
        |kind, name| Template::new(kind, Name::common_name(name).unwrap(), 0, 4_000_000_000);
    let ca = template(Kind::Root, "ca").self_sign(&AwsLc, &ca_key).unwrap();
    let issuer = Issuer::new(&ca, &ca_key).unwrap();
    let certificate = template(Kind::CodeSigner, "kem").issue(&AwsLc, &issuer, spki).unwrap();
    let tlv = |tag: u8, content: &[u8]| {
        let len = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], &len[..], content].concat()
    };
    let oid = [0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x04, set];
    let key = tlv(0x04, &tlv(0x04, expanded));
    let pkcs8 = tlv(0x30, &[&[0x02, 0x01, 0x00], &oid[..], &key].concat());
    let key = SoftDecrypter::from_pkcs8_der(&pkcs8).unwrap();
    Holder { certificate, key, pem: String::new() }
}

fn open(der: &[u8], holder: &Holder, accept: Accept) -> Result<Vec<u8>, &'static str> {
    let decoded = Enveloped::decode(der).map_err(|error| error.code())?;
    let opened = decoded.decrypt(&AwsLc, &holder.certificate, &holder.key, accept);
    opened.map(|content| content.to_vec()).map_err(|error| error.code())
}

#[test]
fn everybody_it_is_for_can_open_it_and_nobody_else() {
    let kems = kem_holders();
    let everybody: Vec<&Holder> = HOLDERS.iter().chain(&kems).collect();
    let to: Vec<_> = everybody.iter().map(|it| Recipient::new(&it.certificate)).collect();
    for cipher in CIPHERS {
        for content in [&b""[..], b"a secret", &vec![7; 70_000]] {
            let der = Enveloped::encrypt(&AwsLc, content, DATA, cipher, &to[..6]).unwrap();
            let decoded = Enveloped::decode(&der).unwrap();
            assert_eq!((decoded.cipher(), decoded.recipients()), (cipher, 6));
            for holder in &everybody[..6] {
                let opened = open(&der, holder, Accept::dangerous_legacy());
                assert_eq!(opened.as_deref(), Ok(content), "{cipher:?} {holder:?}");
                let strict = open(&der, holder, Accept::STRICT);
                if cipher.name().ends_with("gcm") {
                    assert_eq!(strict.as_deref(), Ok(content));
                } else {
                    assert_eq!(strict, Err("cms.refused.legacy"));
                }
            }
            let stranger = open(&der, everybody[6], Accept::STRICT);
            assert_eq!(stranger, Err("cms.refused.not-a-recipient"));
        }
    }
    // Content of another kind says of which, and that is authenticated.
    let der = Enveloped::encrypt(&AwsLc, b"x", "1.2.3.4", CIPHERS[1], &to[6..]).unwrap();
    assert_eq!(Enveloped::decode(&der).unwrap().content_type(), "1.2.3.4");
    assert_eq!(open(&der, everybody[6], Accept::STRICT).as_deref(), Ok(&b"x"[..]));
    let (kind, other) = ([0x2A, 3, 4], [0x2A, 3, 5]);
    let at = der.windows(3).position(|window| window == kind).unwrap();
    let mut forged = der.clone();
    forged[at..at + 3].copy_from_slice(&other);
    assert_eq!(open(&forged, everybody[6], Accept::STRICT), Err("cms.refused.content-type"));
}

impl std::fmt::Debug for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.certificate.subject())
    }
}

fn run(dir: &Path, line: &str) {
    openssl(dir, &line.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn openssl_opens_ours_and_we_open_what_it_makes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let write = |name: &str, octets: &[u8]| std::fs::write(dir.join(name), octets).unwrap();
    let content = vec![0x55; 20_000];
    write("content", &content);
    for holder in HOLDERS.iter() {
        let name = holder.certificate.common_name().unwrap();
        write(&format!("{name}.pem"), holder.certificate.to_pem().unwrap().as_bytes());
        write(&format!("{name}.key"), holder.pem.as_bytes());
    }
    let mut to: Vec<_> = HOLDERS.iter().map(|it| Recipient::new(&it.certificate)).collect();
    for legacy in [false, true] {
        if legacy {
            to[0] = Recipient::legacy_pkcs1(&HOLDERS[0].certificate);
        }
        for cipher in CIPHERS {
            write("ours", &Enveloped::encrypt(&AwsLc, &content, DATA, cipher, &to).unwrap());
            for name in ["rsa", "p256", "p384", "p521"] {
                run(
                    dir,
                    &format!(
                        "cms -decrypt -binary -inform DER -in ours -recip {name}.pem -inkey {name}.key \
                     -out seen"
                    ),
                );
                assert!(std::fs::read(dir.join("seen")).unwrap() == content, "{cipher:?} {name}");
            }
        }
    }
    let oaep = "-keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256";
    let kdf = "-keyopt ecdh_kdf_md:sha256";
    for (name, extra, strict) in [
        ("rsa", oaep, true),
        ("rsa", "-keyopt rsa_padding_mode:oaep", false),
        ("rsa", "", false),
        ("p256", kdf, true),
        ("p384", kdf, true),
        ("p521", kdf, true),
        // Its default is a KDF of SHA-1.
        ("p256", "", false),
        ("p256", "-keyid -keyopt ecdh_kdf_md:sha512", true),
    ] {
        let holder = HOLDERS.iter().find(|it| it.certificate.common_name().unwrap() == name);
        let holder = holder.unwrap();
        for cipher in ["aes-128-gcm", "aes-256-gcm", "aes-128-cbc", "aes-256-cbc"] {
            // Streamed or not: of indefinite length or not.
            for stream in ["", "-stream"] {
                run(
                    dir,
                    &format!(
                        "cms -encrypt -binary -{cipher} {stream} -outform DER -in content -out theirs \
                     -recip {name}.pem {extra}"
                    ),
                );
                let theirs = std::fs::read(dir.join("theirs")).unwrap();
                let said = open(&theirs, holder, Accept::dangerous_legacy());
                assert_eq!(said.as_ref().map(Vec::len), Ok(20_000), "{name} {cipher} {extra}");
                let said = open(&theirs, holder, Accept::STRICT);
                let wanted = strict && cipher.ends_with("gcm");
                assert_eq!(said.is_ok(), wanted, "{name} {cipher} {extra}");
            }
        }
    }
}

#[test]
fn bouncy_castle_encrypts_to_ml_kem_keys_of_ours_and_opens_what_we_encrypt_to_its() {
    let peer = BouncyCastle::post_quantum();
    let dir = tempfile::tempdir().unwrap();
    let (dir, content) = (dir.path(), vec![0x42; 3000]);
    std::fs::write(dir.join("content"), &content).unwrap();
    let holders = kem_holders();
    for (at, holder) in holders.iter().enumerate() {
        let pem = holder.certificate.to_pem().unwrap();
        std::fs::write(dir.join(format!("{at}.pem")), pem).unwrap();
    }
    peer.run_post_quantum(dir, "encrypt content theirs 0.pem 1.pem 2.pem");
    let theirs = std::fs::read(dir.join("theirs")).unwrap();
    for holder in &holders {
        assert_eq!(open(&theirs, holder, Accept::STRICT), Ok(content.clone()));
    }
    let stranger = &kem_holders()[1];
    assert_eq!(open(&theirs, stranger, Accept::STRICT), Err("cms.refused.not-a-recipient"));

    for name in ["ML-KEM-512", "ML-KEM-768", "ML-KEM-1024"] {
        peer.run_post_quantum(dir, &format!("recipient {name} {name}"));
        let pem = std::fs::read(dir.join(format!("{name}.pem"))).unwrap();
        let certificate = Certificate::from_pem(&pem).unwrap().remove(0);
        for cipher in CIPHERS {
            let to = [Recipient::new(&certificate), Recipient::new(&holders[0].certificate)];
            let der = Enveloped::encrypt(&AwsLc, &content, DATA, cipher, &to).unwrap();
            std::fs::write(dir.join("ours"), &der).unwrap();
            let _ = std::fs::remove_file(dir.join("opened"));
            peer.run_post_quantum(dir, &format!("decrypt ours opened {name}.pem {name}.key"));
            assert!(std::fs::read(dir.join("opened")).unwrap() == content, "{name} {cipher:?}");
        }
    }
}

#[test]
fn captured_envelopes_open_with_the_keys_that_came_with_them() {
    let Some(dir) = corpus("pki/captured/cms") else { return };
    let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
    let holder = |name: &str| {
        let certificate = Certificate::from_pem(&read(&format!("{name}.pem"))).unwrap().remove(0);
        let pem = String::from_utf8(read(&format!("{name}.key"))).unwrap();
        Holder { certificate, key: SoftDecrypter::from_pkcs8_pem(&pem).unwrap(), pem }
    };
    let (rsa, ec, kem) = (holder("r1"), holder("r2"), holder("kem"));
    let content = read("content.bin");
    for (name, holder, strict, legacy) in [
        ("ossl36-authenveloped-mlkem768.der", &kem, Ok(()), Ok(())),
        ("ossl36-authenveloped-mlkem768.der", &rsa, Err("cms.refused.not-a-recipient"), Err("")),
        // RSAES-PKCS1-v1_5 and a KDF of SHA-1.
        ("ossl36-authenveloped-gcm.der", &rsa, Err("cms.refused.legacy"), Ok(())),
        ("ossl36-authenveloped-gcm.der", &ec, Err("cms.refused.legacy"), Ok(())),
        ("ossl36-enveloped-rsa-ecdh-cbc.der", &rsa, Err("cms.refused.legacy"), Ok(())),
        ("ossl36-enveloped-rsa-ecdh-cbc.der", &ec, Err("cms.refused.legacy"), Ok(())),
        // To a password.
        ("ossl36-pwri.der", &rsa, Err("cms.refused.not-a-recipient"), Err("")),
    ] {
        let der = read(name);
        assert_eq!(open(&der, holder, Accept::STRICT).map(drop), strict, "{name}");
        let said = open(&der, holder, Accept::dangerous_legacy());
        match legacy {
            Ok(()) => assert!(said.unwrap() == content, "{name}"),
            Err(_) => assert!(said.is_err(), "{name}"),
        }
    }
    // And what we encrypt to that key.
    let to = [Recipient::new(&kem.certificate)];
    let der = Enveloped::encrypt(&AwsLc, b"x", DATA, ContentCipher::Aes256Gcm, &to).unwrap();
    assert_eq!(open(&der, &kem, Accept::STRICT).as_deref(), Ok(&b"x"[..]));
}

#[test]
fn a_changed_envelope_does_not_open() {
    for holder in [&HOLDERS[0], &HOLDERS[1], &kem_holders()[1]] {
        let to = [Recipient::new(&holder.certificate)];
        let der = Enveloped::encrypt(&AwsLc, &[9; 40], DATA, CIPHERS[0], &to).unwrap();
        for index in 0..der.len() {
            let mut bad = der.clone();
            bad[index] ^= 4;
            // Nobody protects a version number or an unused parameter; the content they do.
            if let Ok(opened) = open(&bad, holder, Accept::dangerous_legacy()) {
                assert_eq!(opened, [9; 40], "{holder:?} octet {index}");
            }
        }
    }
}

/// A key that is elsewhere and answers later.
struct Refusing(Vec<u8>, touchstone_crypto::Error);

impl Decrypter for Refusing {
    fn spki_der(&self) -> &[u8] {
        &self.0
    }

    fn open(&self, _: &Opening) -> Result<zeroize::Zeroizing<Vec<u8>>, touchstone_crypto::Error> {
        Err(self.1)
    }
}

#[test]
fn bad_padding_looks_like_every_other_failure() {
    let holder = &HOLDERS[0];
    let to = [Recipient::legacy_pkcs1(&holder.certificate)];
    let der = Enveloped::encrypt(&AwsLc, &[9; 40], DATA, ContentCipher::Aes256Gcm, &to).unwrap();
    let decoded = Enveloped::decode(&der).unwrap();
    let to_open = || decoded.to_open(&holder.certificate, Accept::dangerous_legacy()).unwrap();
    let Opening::Rsa { .. } = to_open().opening() else { panic!("of RSA") };
    let answers: [Result<&[u8], touchstone_crypto::Error>; 4] = [
        // The padding was bad, the key was short, it was another, its holder had no wish.
        Err(touchstone_crypto::Error::Undecryptable),
        Ok(&[1; 16]),
        Ok(&[1; 32]),
        Err(touchstone_crypto::Error::SignerFailed),
    ];
    for answer in answers {
        let said = to_open().answer(&AwsLc, answer).unwrap_err();
        assert_eq!(said, Refusal::Undecryptable.into(), "{answer:?}");
    }
    let spki = holder.certificate.spki_der().to_vec();
    let away = Refusing(spki, touchstone_crypto::Error::SignerFailed);
    let oaep = [Recipient::new(&holder.certificate)];
    let der = Enveloped::encrypt(&AwsLc, &[9; 40], DATA, ContentCipher::Aes256Gcm, &oaep).unwrap();
    let decoded = Enveloped::decode(&der).unwrap();
    let said = decoded.decrypt(&AwsLc, &holder.certificate, &away, Accept::STRICT).unwrap_err();
    assert_eq!(said.code(), "crypto.signer.failed", "a holder that is away is no secret");
    let other = decoded.decrypt(&AwsLc, &HOLDERS[1].certificate, &away, Accept::STRICT);
    assert_eq!(other.unwrap_err(), Refusal::KeyMismatch.into());
}

#[test]
fn nobody_encrypts_to_a_key_that_only_signs() {
    let signer = holder_of_ed25519();
    let said = Enveloped::encrypt(&AwsLc, b"x", DATA, CIPHERS[1], &[Recipient::new(&signer)]);
    assert_eq!(said.unwrap_err(), Refusal::UnsuitableKey.into());
    let nobody = Enveloped::encrypt(&AwsLc, b"x", DATA, CIPHERS[1], &[]);
    assert_eq!(nobody.unwrap_err(), Refusal::NotARecipient.into());
}

fn holder_of_ed25519() -> Certificate {
    let key = SoftSigner::generate(SignatureAlgorithm::Ed25519).unwrap();
    assert!(SoftDecrypter::from_pkcs8_der(key.pkcs8_der()).is_err());
    let template = Template::new(Kind::CodeSigner, Name::common_name("s").unwrap(), 0, 60);
    assert_eq!(key.algorithm(), SignatureAlgorithm::Ed25519);
    template.self_sign(&AwsLc, &key).unwrap()
}

static SAMPLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let to: Vec<_> = HOLDERS.iter().map(|it| Recipient::new(&it.certificate)).collect();
    Enveloped::encrypt(&AwsLc, &[9; 40], "1.2.3.4", ContentCipher::Aes128Gcm, &to).unwrap()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn reading_ends_whatever_comes(
        edits in prop::collection::vec((any::<usize>(), 0..3_u8, any::<u8>()), 1..6),
    ) {
        let mut bytes = SAMPLE.clone();
        for (at, kind, value) in edits {
            let at = at % bytes.len().max(1);
            match kind {
                _ if bytes.is_empty() => {}
                0 => bytes[at] = value,
                1 => bytes.truncate(at),
                _ => bytes.insert(at, value),
            }
        }
        if let Ok(opened) = open(&bytes, &HOLDERS[1], Accept::dangerous_legacy()) {
            prop_assert_eq!(opened, vec![9; 40]);
        }
    }
}
