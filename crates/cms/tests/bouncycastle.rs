//! Envelopes with Bouncy Castle on the other side.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use std::path::Path;
use std::sync::LazyLock;
use touchstone_certs::issue::{Kind, Template};
use touchstone_certs::{Certificate, Name};
use touchstone_cms::{
    Accept, ContentCipher, DATA, Enveloped, Recipient, SignedData, SignedReader, SignedWriter,
};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftDecrypter, SoftSigner};
use touchstone_peers::BouncyCastle;

static PEER: LazyLock<BouncyCastle> = LazyLock::new(BouncyCastle::new);

struct Holder {
    name: &'static str,
    certificate: Certificate,
    key: SoftSigner,
}

/// Their certificates and keys are in that folder.
fn holders(dir: &Path) -> Vec<Holder> {
    let kinds = [
        ("rsa", SignatureAlgorithm::RsaPssSha256),
        ("p256", SignatureAlgorithm::EcdsaP256Sha256),
        ("ed", SignatureAlgorithm::Ed25519),
    ];
    let make = |(name, kind)| {
        let key = SoftSigner::generate(kind).unwrap();
        let subject = Name::common_name(name).unwrap();
        let template = Template::new(Kind::CodeSigner, subject, 0, 4_000_000_000);
        let certificate = template.self_sign(&AwsLc, &key).unwrap();
        std::fs::write(dir.join(format!("{name}.pem")), certificate.to_pem().unwrap()).unwrap();
        std::fs::write(dir.join(format!("{name}.key")), key.to_pkcs8_pem().as_bytes()).unwrap();
        Holder { name, certificate, key }
    };
    kinds.into_iter().map(make).collect()
}

#[test]
fn signatures_go_both_ways_attached_detached_and_streamed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let content: Vec<u8> = (0..5000_u32).map(|n| n.to_le_bytes()[0]).collect();
    std::fs::write(dir.join("content"), &content).unwrap();
    let holders = holders(dir);
    let by: Vec<_> = holders.iter().map(|it| (&it.certificate, &it.key as &dyn Signer)).collect();
    let algorithms: Vec<_> = by.iter().map(|(who, key)| (*who, key.algorithm())).collect();
    let everybody = |said: &str| {
        assert!(
            ["rsa", "p256", "ed"].iter().all(|it| said.contains(&format!("CN={it}"))),
            "{said}"
        );
    };

    let der = SignedData::sign(&AwsLc, &content, DATA, &by, 1_800_000_000).unwrap();
    let der = SignedData::countersign(&AwsLc, &der, &holders[1].certificate, by[0], 1_800_000_001)
        .unwrap();
    std::fs::write(dir.join("ours"), &der).unwrap();
    let said = PEER.run(dir, "verify ours -");
    everybody(&said);
    assert!(said.contains("counter CN=rsa"), "{said}");
    for attached in [true, false] {
        let make = if attached { SignedWriter::attached } else { SignedWriter::detached };
        let (mut writer, mut out) = (make(&AwsLc, DATA, &algorithms).unwrap(), Vec::new());
        content.chunks(700).for_each(|piece| writer.write(piece, &mut out));
        let mut to_sign = writer.end(1_800_000_000).unwrap();
        let messages: Vec<Vec<u8>> = to_sign.messages().iter().map(|it| it.to_vec()).collect();
        for (index, message) in messages.iter().enumerate() {
            to_sign.answer(index, by[index].1.sign(message).unwrap()).unwrap();
        }
        to_sign.finish(&mut out).unwrap();
        std::fs::write(dir.join("ours"), &out).unwrap();
        everybody(&PEER.run(dir, if attached { "verify ours -" } else { "verify ours content" }));
    }
    let (good, said) = PEER.attempt(dir, "verify ours p256.pem");
    assert!(!good, "other content: {said}");

    let keys = "p256.pem p256.key rsa.pem rsa.key ed.pem ed.key";
    for mode in ["attached", "stream", "detached"] {
        PEER.run(dir, &format!("sign content theirs {mode} {keys}"));
        let theirs = std::fs::read(dir.join("theirs")).unwrap();
        let (mut reader, mut seen) = (SignedReader::new(&AwsLc), Vec::new());
        for piece in theirs.chunks(100) {
            reader.read(piece, |it| seen.extend_from_slice(it.dangerous())).unwrap();
        }
        let signed = if mode == "detached" {
            let mut detached = reader.detached().unwrap();
            detached.read(&content);
            detached.verify(&[])
        } else {
            assert!(seen == content);
            reader.verify(&[])
        };
        assert_eq!(signed.unwrap().signers().len(), 3, "{mode}");
    }
}

#[test]
fn secrets_go_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let content = vec![0x42; 3000];
    std::fs::write(dir.join("content"), &content).unwrap();
    let holders = holders(dir);
    let open = |name: &str, der: &[u8], accept: Accept| {
        let holder = holders.iter().find(|it| it.name == name).unwrap();
        let key = SoftDecrypter::from_pkcs8_der(holder.key.pkcs8_der()).unwrap();
        Enveloped::decode(der)?.decrypt(&AwsLc, &holder.certificate, &key, accept)
    };
    for cipher in ["aes128-gcm", "aes256-gcm", "aes256-cbc"] {
        PEER.run(dir, &format!("encrypt content theirs {cipher} rsa.pem p256.pem"));
        let theirs = std::fs::read(dir.join("theirs")).unwrap();
        for name in ["rsa", "p256"] {
            let accept = match cipher {
                "aes256-cbc" => Accept::dangerous_legacy(),
                _ => Accept::STRICT,
            };
            let opened = open(name, &theirs, accept);
            assert!(*opened.unwrap_or_else(|it| panic!("{cipher} {name}: {it}")) == content);
        }
    }
    let to: Vec<_> = holders[..2].iter().map(|it| Recipient::new(&it.certificate)).collect();
    for (cipher, names) in [
        (ContentCipher::Aes128Gcm, &["rsa"][..]),
        (ContentCipher::Aes256Gcm, &["rsa"]),
        (ContentCipher::LegacyAes256Cbc, &["rsa", "p256"]),
    ] {
        let ours = Enveloped::encrypt(&AwsLc, &content, DATA, cipher, &to).unwrap();
        std::fs::write(dir.join("ours"), ours).unwrap();
        for name in names {
            PEER.run(dir, &format!("decrypt ours seen {name}.pem {name}.key"));
            assert!(std::fs::read(dir.join("seen")).unwrap() == content, "{cipher:?} {name}");
        }
    }
}
