//! Signatures in lists: made by evmctl and OpenSSL, and those of other people's machines.

use super::SHA256;
use super::made::{entry, labelled, name, violation};
use std::path::Path;
use std::process::Command;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};
use touchstone_crypto_awslc::{AwsLc, AwsLcLegacy};
use touchstone_measure::ima::signature::{
    KeyId, PublisherFault, Publishers, Signature, SignatureFault,
};
use touchstone_measure::ima::{Entry, KernelHash, Log};
use touchstone_peers::{corpus, openssl, tool};

const ACME: &str = "CN=Acme Firmware 2026";
const CONTENT: &[u8] = b"#!/bin/sh\nexec sensor\n";

/// A key with a certificate, and a file to sign, in a folder of their own.
struct Publisher {
    folder: tempfile::TempDir,
    publishers: Publishers,
}

impl Publisher {
    fn new(key: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        openssl(path, &[&["genpkey", "-out", "key.pem"], key].concat());
        let request = [
            "req", "-x509", "-key", "key.pem", "-out", "cert.der", "-outform", "DER", "-days", "9",
        ];
        openssl(path, &[&request[..], &["-subj", &ACME.replace("CN=", "/CN=")]].concat());
        std::fs::write(path.join("file"), CONTENT).unwrap();
        let certificate = std::fs::read(path.join("cert.der")).unwrap();
        let publishers = Publishers::from_certificates(&AwsLc, [&certificate[..]]).unwrap();
        Self { folder, publishers }
    }

    fn rsa() -> Self {
        Self::new(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
    }

    fn ec(curve: &str) -> Self {
        let curve = format!("ec_paramgen_curve:{curve}");
        Self::new(&["-algorithm", "EC", "-pkeyopt", &curve])
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What evmctl prints instead of writing it into an extended attribute.
    fn evmctl(&self, arguments: &[&str]) -> Vec<u8> {
        let more = ["--key", "key.pem", "-n", "file"];
        let out = tool("evmctl", self.path(), &[arguments, &more].concat());
        unhex(String::from_utf8(out).unwrap().trim())
    }

    fn signed(&self, hash: HashAlgorithm) -> Vec<u8> {
        self.evmctl(&["ima_sign", "--hashalgo", hash.name()])
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn digest(hash: HashAlgorithm) -> Digest {
    AwsLc.hash(hash, &[CONTENT])
}

/// An `ima-sig` list about one file.
fn sig_list(digest: &Digest, signature: &[u8]) -> Log {
    Log::decode(&entry("ima-sig", &[&labelled(digest), &name("/usr/bin/sensor"), signature]))
        .unwrap()
}

fn verdict(log: &Log, publishers: &Publishers) -> Result<String, SignatureFault> {
    let entry = log.entries().last().unwrap();
    entry.verify_signature(&AwsLc, publishers).map(|publisher| publisher.name().to_owned())
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |text, octet| text + &format!("{octet:02x}"))
}

#[test]
fn what_evmctl_signs_verifies_for_every_key_and_hash() {
    for publisher in [Publisher::rsa(), Publisher::ec("P-256"), Publisher::ec("P-384")] {
        for hash in [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512] {
            let signature = publisher.signed(hash);
            let list = sig_list(&digest(hash), &signature);
            assert_eq!(verdict(&list, &publisher.publishers), Ok(ACME.into()), "{hash}");

            let other = AwsLc.hash(hash, &[b"another content"]);
            let forged = sig_list(&other, &signature);
            assert_eq!(verdict(&forged, &publisher.publishers), Err(SignatureFault::Wrong));
        }
    }
}

#[test]
fn a_file_and_its_attribute_verify_without_a_list() {
    let publisher = Publisher::rsa();
    let xattr = publisher.signed(SHA256);
    let signature = Signature::decode(&xattr).unwrap();
    let signer = signature.verify_digest(&AwsLc, &publisher.publishers, &digest(SHA256)).unwrap();
    assert_eq!(signer.name(), "CN=Acme Firmware 2026");
    assert_eq!(signer.key_ids(), [signature.key_id]);
    // RFC 5280 §4.2.1.2 (1), as OpenSSL does it: the identifier is the SHA-1 of the key.
    let certificate = signer.certificate().unwrap();
    assert_eq!(KeyId::of(certificate.subject_key_id().unwrap()), Some(signature.key_id));
    // The key alone is named the same.
    let mut keys = Publishers::new();
    keys.add_key(&AwsLc, "acme", signer.spki_der()).unwrap();
    assert!(signature.verify_digest(&AwsLc, &keys, &digest(SHA256)).is_ok());
}

#[test]
fn each_reason_against_a_signature_is_told_apart() {
    let publisher = Publisher::rsa();
    let stranger = Publisher::rsa();
    let known = &publisher.publishers;
    let good = publisher.signed(SHA256);
    let file = digest(SHA256);
    let of = |signature: &[u8]| verdict(&sig_list(&file, signature), known);
    let with = |at: usize, octet: u8| {
        let mut changed = good.clone();
        changed[at] = octet;
        changed
    };
    assert_eq!(of(&good), Ok(ACME.into()));
    assert_eq!(of(&[]), Err(SignatureFault::Absent));
    // A digest in `security.ima` is no signature.
    assert_eq!(of(&[&[4, 4], file.as_bytes()].concat()), Err(SignatureFault::Absent));
    assert_eq!(of(&with(1, 1)), Err(SignatureFault::Version(1)));
    assert_eq!(of(&with(1, 9)), Err(SignatureFault::Version(9)));
    assert_eq!(of(&with(2, 250)), Err(SignatureFault::Malformed(2)));
    assert_eq!(of(&with(2, KernelHash::SHA1.number())), Err(SignatureFault::OtherDigest));
    assert!(matches!(of(&with(8, 9)), Err(SignatureFault::Malformed(_))));
    assert_eq!(of(&with(60, good[60] ^ 1)), Err(SignatureFault::Wrong));
    let long = [&good[..], &[0]].concat();
    assert!(matches!(of(&long), Err(SignatureFault::Malformed(_))));
    for cut in 1..good.len() {
        assert!(matches!(of(&good[..cut]), Err(SignatureFault::Malformed(_))), "cut at {cut}");
    }
    let theirs = Signature::decode(&good).unwrap().key_id;
    let unknown = verdict(&sig_list(&file, &good), &stranger.publishers).unwrap_err();
    assert_eq!(unknown, SignatureFault::UnknownKey(theirs));
    assert_eq!(
        unknown.to_string(),
        format!("no publisher has key {theirs}; add its certificate to the publishers")
    );
    let weak = publisher.signed(super::SHA1);
    let weak = sig_list(&digest(super::SHA1), &weak);
    assert_eq!(verdict(&weak, known), Err(SignatureFault::WeakHash(KernelHash::SHA1)));
    let fields: [&[u8]; 3] = [&labelled(&file), &name("/usr/bin/sensor"), &good];
    let violated = Log::decode(&violation("ima-sig", &fields)).unwrap();
    assert_eq!(verdict(&violated, known), Err(SignatureFault::Unproven));
}

#[test]
fn another_key_with_the_same_four_octets_does_not_hide_the_right_one() {
    let (publisher, stranger) = (Publisher::rsa(), Publisher::rsa());
    let mut signature = publisher.signed(SHA256);
    let both =
        [&publisher, &stranger].map(|who| std::fs::read(who.path().join("cert.der")).unwrap());
    let both = Publishers::from_certificates(&AwsLc, both.iter().map(Vec::as_slice)).unwrap();
    assert_eq!(verdict(&sig_list(&digest(SHA256), &signature), &both), Ok(ACME.into()));
    // Named as the stranger's: found, and wrong.
    let theirs = stranger.publishers.iter().next().unwrap().key_ids()[0];
    signature[3..7].copy_from_slice(&theirs.0);
    assert_eq!(verdict(&sig_list(&digest(SHA256), &signature), &both), Err(SignatureFault::Wrong));
}

/// Version 3 as the kernel hashes it, signed by OpenSSL: `struct ima_file_id`.
fn version_3(publisher: &Publisher, kind: u8, digest: &Digest) -> Vec<u8> {
    let hash = KernelHash::from(digest.algorithm()).number();
    let id = [&[kind, hash], digest.as_bytes()].concat();
    std::fs::write(publisher.path().join("id"), id).unwrap();
    let arguments = ["dgst", "-sha256", "-sign", "key.pem", "-out", "sig", "id"];
    openssl(publisher.path(), &arguments);
    let signature = std::fs::read(publisher.path().join("sig")).unwrap();
    let id = publisher.publishers.iter().next().unwrap().key_ids()[0];
    let len = u16::try_from(signature.len()).unwrap().to_be_bytes();
    [&[kind, 3, hash], &id.0[..], &len, &signature].concat()
}

#[test]
fn version_3_signs_what_the_digest_is_over() {
    for publisher in [Publisher::rsa(), Publisher::ec("P-256")] {
        let verity = AwsLc.hash(SHA256, &[b"fs-verity descriptor"]);
        let signature = version_3(&publisher, 6, &verity);
        let list = |kind: &str, signature: &[u8]| {
            let digest = [format!("{kind}:sha256:\0").as_bytes(), verity.as_bytes()].concat();
            Log::decode(&entry("ima-sigv2", &[&digest, &name("/usr/bin/sensor"), signature]))
                .unwrap()
        };
        let known = &publisher.publishers;
        assert_eq!(verdict(&list("verity", &signature), known), Ok(ACME.into()));
        assert_eq!(verdict(&list("ima", &signature), known), Err(SignatureFault::OtherDigest));
        // The same key over the same octets as a file's digest is another statement.
        let file = version_3(&publisher, 3, &verity);
        assert_eq!(verdict(&list("ima", &file), known), Ok(ACME.into()));
        assert_eq!(verdict(&list("verity", &file), known), Err(SignatureFault::OtherDigest));
        let mut relabelled = file.clone();
        relabelled[0] = 6;
        assert_eq!(verdict(&list("verity", &relabelled), known), Err(SignatureFault::Wrong));
    }
}

/// What `evm-sig` carries about a file beside its digest and name.
struct Metadata {
    names: &'static str,
    values: Vec<Vec<u8>>,
    owner: (u32, u32, u16),
}

impl Metadata {
    /// `security.ima` with the file's digest, owned by 1000:7, mode 0755.
    fn plain() -> Self {
        let ima = [&[4, KernelHash::SHA256.number()], digest(SHA256).as_bytes()].concat();
        Self { names: "security.ima", values: vec![ima], owner: (1000, 7, 0o100_755) }
    }

    fn list(&self, digest: &Digest, signature: &[u8]) -> Log {
        let lengths: Vec<u8> = self
            .values
            .iter()
            .flat_map(|value| u32::try_from(value.len()).unwrap().to_le_bytes())
            .collect();
        let (uid, gid, mode) = self.owner;
        let fields: [&[u8]; 9] = [
            &labelled(digest),
            &name("/usr/bin/sensor"),
            signature,
            &name(self.names),
            &lengths,
            &self.values.concat(),
            &uid.to_le_bytes(),
            &gid.to_le_bytes(),
            &mode.to_le_bytes(),
        ];
        Log::decode(&entry("evm-sig", &fields)).unwrap()
    }
}

fn portable(publisher: &Publisher, word: &str) -> Vec<u8> {
    let ima = hex(&Metadata::plain().values[0]);
    let ima = format!("--ima={ima}");
    // evmctl reads the mode as a decimal number: 0o100755.
    let owner = ["--uid=1000", "--gid=7", "--mode=33261", "--caps="];
    publisher.evmctl(&[&["sign", "--portable", word, &ima], &owner[..]].concat())
}

#[test]
fn portable_signatures_of_evmctl_verify_over_the_metadata_in_the_entry() {
    for publisher in [Publisher::rsa(), Publisher::ec("P-256")] {
        let known = &publisher.publishers;
        for word in ["--m64", "--m32"] {
            let signature = portable(&publisher, word);
            let good = Metadata::plain();
            assert_eq!(
                verdict(&good.list(&digest(SHA256), &signature), known),
                Ok(ACME.into()),
                "{word}"
            );
            for owner in [(0, 7, 0o100_755), (1000, 0, 0o100_755), (1000, 7, 0o104_755)] {
                let changed = Metadata { owner, ..Metadata::plain() };
                let list = changed.list(&digest(SHA256), &signature);
                assert_eq!(verdict(&list, known), Err(SignatureFault::Wrong), "{owner:?}");
            }
            // Another content, whose digest is not the one in the signed attribute.
            let other = good.list(&AwsLc.hash(SHA256, &[b"trojan"]), &signature);
            assert_eq!(verdict(&other, known), Err(SignatureFault::OtherContent));
            // The kernel puts it into `ima-sig` lists, too, where its metadata is missing.
            let alone = sig_list(&digest(SHA256), &signature);
            assert_eq!(verdict(&alone, known), Err(SignatureFault::NoMetadata));
        }
    }
}

#[test]
fn metadata_that_does_not_belong_together_is_refused() {
    let publisher = Publisher::rsa();
    let signature = portable(&publisher, "--m64");
    let ima = Metadata::plain().values[0].clone();
    let cases = [
        ("security.capability", vec![ima.clone()]),
        ("security.ima|security.selinux", vec![ima.clone()]),
        ("security.ima", vec![ima.clone(), vec![1]]),
        ("security.ima|security.ima", vec![ima.clone(), ima]),
    ];
    for (names, values) in cases {
        let odd = Metadata { names, values, ..Metadata::plain() };
        let list = odd.list(&digest(SHA256), &signature);
        assert_eq!(verdict(&list, &publisher.publishers), Err(SignatureFault::Metadata), "{names}");
    }
}

/// As the kernel's `sign-file` does it: PKCS#7 without certificates, with or without attributes.
fn appended(publisher: &Publisher, more: &[&str]) -> Vec<u8> {
    let certificate = ["x509", "-inform", "DER", "-in", "cert.der", "-out", "cert.pem"];
    openssl(publisher.path(), &certificate);
    let arguments = [
        "cms",
        "-sign",
        "-binary",
        "-nocerts",
        "-nosmimecap",
        "-outform",
        "DER",
        "-in",
        "file",
        "-signer",
        "cert.pem",
        "-inkey",
        "key.pem",
        "-out",
        "modsig",
    ];
    openssl(publisher.path(), &[&arguments[..], more].concat());
    std::fs::read(publisher.path().join("modsig")).unwrap()
}

fn modsig_list(content: &[u8], hash: HashAlgorithm, modsig: &[u8]) -> Log {
    let whole = AwsLc.hash(SHA256, &[content, modsig]);
    let part = labelled(&AwsLc.hash(hash, &[content]));
    let fields: [&[u8]; 5] = [&labelled(&whole), &name("/boot/vmlinuz"), &[], &part, modsig];
    Log::decode(&entry("ima-modsig", &fields)).unwrap()
}

#[test]
fn appended_signatures_verify_with_and_without_attributes() {
    for publisher in [Publisher::rsa(), Publisher::ec("P-256"), Publisher::ec("P-384")] {
        let known = &publisher.publishers;
        for hash in [HashAlgorithm::Sha256, HashAlgorithm::Sha512] {
            for more in [&["-noattr"][..], &[], &["-noattr", "-keyid"], &["-keyid"]] {
                let md = ["-md", hash.name()];
                let modsig = appended(&publisher, &[more, &md].concat());
                let list = modsig_list(CONTENT, hash, &modsig);
                assert_eq!(verdict(&list, known), Ok(ACME.into()), "{hash} {more:?}");
                let forged = modsig_list(b"trojan", hash, &modsig);
                assert_eq!(verdict(&forged, known), Err(SignatureFault::Wrong), "{hash} {more:?}");
                let stranger = Publisher::ec("P-256");
                let unknown = verdict(&list, &stranger.publishers);
                assert_eq!(unknown, Err(SignatureFault::UnknownSigner));
            }
        }
    }
}

#[test]
fn an_appended_signature_that_was_damaged_never_passes() {
    let publisher = Publisher::rsa();
    let good = appended(&publisher, &["-md", "sha256"]);
    // SignedData begins with what is said twice and relied upon only the second time: versions, the
    // list of hashes, the type of the content. SignerInfo's own version does not count either.
    let signer = good.windows(2).rposition(|window| window == [0x02, 0x01]).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        let verdict = verdict(&modsig_list(CONTENT, SHA256, &bad), &publisher.publishers);
        assert!(verdict.is_err() || at <= signer + 2, "octet {at}");
    }
    for cut in 0..good.len() {
        let verdict = verdict(&modsig_list(CONTENT, SHA256, &good[..cut]), &publisher.publishers);
        assert!(verdict.is_err(), "cut at {cut}");
    }
}

#[test]
fn keys_that_cannot_sign_files_are_no_publishers() {
    let folder = tempfile::tempdir().unwrap();
    let spki = |key: &[&str]| {
        openssl(folder.path(), &[&["genpkey", "-out", "k"], key].concat());
        let out = ["pkey", "-in", "k", "-pubout", "-outform", "DER", "-out", "k.der"];
        openssl(folder.path(), &out);
        std::fs::read(folder.path().join("k.der")).unwrap()
    };
    let mut publishers = Publishers::new();
    for key in [
        &["-algorithm", "ED25519"][..],
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
    ] {
        let refused = publishers.add_key(&AwsLc, "odd", &spki(key)).unwrap_err();
        assert_eq!(refused, PublisherFault::UnsupportedKey);
    }
    assert_eq!(publishers.add_key(&AwsLc, "odd", b"odd").unwrap_err(), PublisherFault::Key);
    let refused = publishers.add_certificate(&AwsLc, b"odd").unwrap_err();
    assert!(matches!(refused, PublisherFault::Certificate(_)));
    assert!(publishers.is_empty());
}

#[test]
fn the_lab_machine_ran_what_its_publisher_signed() {
    let Some(folder) = corpus("lab") else { return };
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let log = Log::decode(&read("tcb-secboot/binary_runtime_measurements")).unwrap();
    let publishers =
        Publishers::from_certificates(&AwsLc, [&read("ima-signing-cert.der")[..]]).unwrap();
    let verdicts: Vec<_> =
        log.entries().map(|entry| entry.verify_signature(&AwsLc, &publishers)).collect();
    let good = verdicts.iter().filter(|verdict| verdict.is_ok()).count();
    let absent = verdicts.iter().filter(|verdict| **verdict == Err(SignatureFault::Absent)).count();
    assert_eq!((good, absent), (20, 4984));
}

#[test]
fn an_old_key_of_1024_bits_is_too_short_unless_one_asks_for_it() {
    let Some(folder) = corpus("ima/ibm-acs") else { return };
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let log = Log::decode(&read("imasig.log")).unwrap();
    let mut publishers = Publishers::from_certificates(&AwsLc, [&read("imakey.der")[..]]).unwrap();
    let count = |crypto: &dyn Crypto, publishers: &Publishers, wanted| {
        let verdicts = log.entries().map(|entry| entry.verify_signature(crypto, publishers));
        verdicts.filter(|verdict| verdict.as_ref().err() == wanted).count()
    };
    let signed = log.entries().filter(Entry::is_signed).count();
    assert_eq!(signed, 899);
    assert_eq!(count(&AwsLc, &publishers, Some(&SignatureFault::WeakKey(1024))), 897);
    publishers.dangerous().accept_weak_keys();
    assert_eq!(count(&AwsLcLegacy, &publishers, None), 896);
    // Made to fail: one by another key, one over SHA-1, one over another content.
    let fault = |index| {
        let entry = log.get(index).unwrap();
        entry.verify_signature(&AwsLcLegacy, &publishers).unwrap_err()
    };
    assert_eq!(fault(591), SignatureFault::UnknownKey(KeyId([0xE0, 0xE8, 0x54, 0x09])));
    assert_eq!(fault(1081), SignatureFault::WeakHash(KernelHash::SHA1));
    assert_eq!(fault(1082), SignatureFault::Wrong);
}

#[test]
fn evmctl_says_the_same_of_the_lab_machines_signatures() {
    let Some(folder) = corpus("lab") else { return };
    let list = folder.join("tcb-secboot/binary_runtime_measurements");
    let output = Command::new("evmctl")
        .args(["ima_measurement", "--verify-sig", "--ignore-violations", "-v", "--key"])
        .arg(folder.join("ima-signing-cert.der"))
        .arg(list)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert_eq!(said.matches("verification is OK").count(), 20, "{said}");
}
