//! Envelopes signed with ML-DSA (RFC 9882), with OpenSSL 3.5 and Bouncy Castle 1.80 on the other side.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};
use touchstone_certs::issue::{Kind, Template};
use touchstone_certs::{Certificate, Name};
use touchstone_cms::{DATA, Error, SignedData, SignedReader, SignedWriter};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_peers::{BouncyCastle, OpenSslPq};

static PEER: LazyLock<OpenSslPq> = LazyLock::new(OpenSslPq::new);
const KINDS: [(&str, SignatureAlgorithm); 3] = [
    ("ML-DSA-44", SignatureAlgorithm::MlDsa44),
    ("ML-DSA-65", SignatureAlgorithm::MlDsa65),
    ("ML-DSA-87", SignatureAlgorithm::MlDsa87),
];

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn content() -> Vec<u8> {
    (0..5000_u32).map(|n| n.to_le_bytes()[0]).collect()
}

/// The content is beside it, and went through in pieces.
fn detached(by: &[(&Certificate, &dyn Signer)]) -> Vec<u8> {
    let algorithms: Vec<_> = by.iter().map(|(who, key)| (*who, key.algorithm())).collect();
    let mut writer = SignedWriter::detached(&AwsLc, DATA, &algorithms).unwrap();
    let mut out = Vec::new();
    content().chunks(700).for_each(|piece| writer.write(piece, &mut out));
    let mut to_sign = writer.end(now()).unwrap();
    let messages: Vec<Vec<u8>> = to_sign.messages().iter().map(|it| it.to_vec()).collect();
    for ((index, message), (_, key)) in messages.iter().enumerate().zip(by) {
        to_sign.answer(index, key.sign(message).unwrap()).unwrap();
    }
    to_sign.finish(&mut out).unwrap();
    out
}

#[test]
fn openssl_believes_signers_of_ours_attached_and_streamed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("content"), content()).unwrap();
    std::fs::write(dir.join("other"), "other content").unwrap();
    let kinds = KINDS.into_iter().chain([("P-256", SignatureAlgorithm::EcdsaP256Sha256)]);
    let holders: Vec<(Certificate, SoftSigner)> = kinds
        .map(|(name, algorithm)| {
            let key = SoftSigner::generate(algorithm).unwrap();
            let subject = Name::common_name(name).unwrap();
            let template = Template::new(Kind::CodeSigner, subject, now() - 3600, now() + 3600);
            let certificate = template.self_sign(&AwsLc, &key).unwrap();
            std::fs::write(dir.join(format!("{name}.pem")), certificate.to_pem().unwrap()).unwrap();
            (certificate, key)
        })
        .collect();
    let by: Vec<_> = holders.iter().map(|(who, key)| (who, key as &dyn Signer)).collect();
    let anchors = "ML-DSA-44.pem ML-DSA-65.pem ML-DSA-87.pem P-256.pem";
    let everybody = |said: &str| {
        let all = ["CN=ML-DSA-44", "CN=ML-DSA-65", "CN=ML-DSA-87", "CN=P-256"];
        assert!(all.iter().all(|name| said.contains(name)), "{said}");
    };

    let der = SignedData::sign(&AwsLc, &content(), DATA, &by, now()).unwrap();
    std::fs::write(dir.join("attached"), &der).unwrap();
    everybody(&PEER.run(dir, &format!("verify attached - {anchors}")));

    std::fs::write(dir.join("detached"), detached(&by)).unwrap();
    everybody(&PEER.run(dir, &format!("verify detached content {anchors}")));
    let (good, said) = PEER.attempt(dir, &format!("verify detached other {anchors}"));
    assert!(!good, "other content: {said}");
}

#[test]
fn we_believe_signers_of_openssl_and_not_for_other_content() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let content = content();
    std::fs::write(dir.join("content"), &content).unwrap();
    let signers = KINDS.map(|(name, _)| format!("{name}.pem {name}.key")).join(" ");
    for (name, _) in KINDS {
        PEER.run(dir, &format!("certify {name} {name} {name}.pem {name}.key"));
    }
    PEER.run(dir, &format!("sign content attached attached {signers}"));
    let attached = std::fs::read(dir.join("attached")).unwrap();
    let signed = SignedData::decode(&attached).unwrap().verify(&AwsLc).unwrap();
    assert_eq!((signed.content(), signed.signers().len()), (&content[..], 3));

    PEER.run(dir, &format!("sign content detached detached {signers}"));
    let envelope = std::fs::read(dir.join("detached")).unwrap();
    let ask = |content: &[u8]| {
        let mut reader = SignedReader::new(&AwsLc);
        reader.read(&envelope, |_| ()).unwrap();
        let mut detached = reader.detached().unwrap();
        detached.read(content);
        detached.verify(&[])
    };
    assert_eq!(ask(&content).unwrap().signers().len(), 3);
    assert_eq!(ask(b"other").as_ref().map_err(Error::code).err(), Some("cms.refused.digest"));
}

#[test]
fn bouncy_castle_and_we_believe_each_other_and_not_for_other_content() {
    let peer = BouncyCastle::post_quantum();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let content = content();
    std::fs::write(dir.join("content"), &content).unwrap();
    std::fs::write(dir.join("other"), "other content").unwrap();
    for (name, algorithm) in KINDS {
        let key = SoftSigner::generate(algorithm).unwrap();
        let subject = Name::common_name(name).unwrap();
        let template = Template::new(Kind::CodeSigner, subject, now() - 3600, now() + 3600);
        let certificate = template.self_sign(&AwsLc, &key).unwrap();
        let by = [(&certificate, &key as &dyn Signer)];
        let der = SignedData::sign(&AwsLc, &content, DATA, &by, now()).unwrap();
        std::fs::write(dir.join("ours"), &der).unwrap();
        assert_eq!(peer.run(dir, "verify ours -").trim(), format!("CN={name}"));
        std::fs::write(dir.join("ours"), detached(&by)).unwrap();
        assert_eq!(peer.run(dir, "verify ours content").trim(), format!("CN={name}"));
        let (good, said) = peer.attempt(dir, "verify ours other");
        assert!(!good, "{said}");

        peer.run_post_quantum(dir, &format!("signer theirs-{name} {name}"));
        for mode in ["attached", "stream", "detached"] {
            let keys = format!("theirs-{name}.pem theirs-{name}.key");
            peer.run(dir, &format!("sign content theirs {mode} {keys}"));
            let der = std::fs::read(dir.join("theirs")).unwrap();
            let decoded = SignedData::decode(&der).unwrap();
            let signed = if mode == "detached" {
                let other = SignedData::decode(&der).unwrap();
                let said = other.verify_detached(&AwsLc, b"other content".to_vec());
                assert_eq!(said.unwrap_err().code(), "cms.refused.digest", "{name}");
                decoded.verify_detached(&AwsLc, content.clone()).unwrap()
            } else {
                decoded.verify(&AwsLc).unwrap()
            };
            let subject = signed.signers()[0].certificate.subject().to_owned();
            assert_eq!(subject, format!("CN=theirs-{name}"), "{mode}");
        }
    }
}
