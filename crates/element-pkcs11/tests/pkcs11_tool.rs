//! OpenSC's `pkcs11-tool` and openssl on the same SoftHSM token: what they make we use, and the
//! reverse.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests fail loudly")]

use touchstone_crypto::{Crypto, HashAlgorithm, SignatureAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{
    Certificates, Decrypting, Element, Encryption, Error, KeyAlgorithm, KeySpec, KeyUse,
};
use touchstone_element_pkcs11::Token;
use touchstone_peers::SoftHsm;

fn open(hsm: &SoftHsm) -> Token {
    Token::open(&hsm.uri("").parse().unwrap(), &AwsLc).unwrap()
}

fn names(token: &mut Token) -> Vec<String> {
    token.keys().unwrap().into_iter().map(|key| key.name).collect()
}

/// openssl's word on a signature over `message`.
fn openssl_verifies(hsm: &SoftHsm, spki: &[u8], message: &[u8], signature: &[u8], more: &[&str]) {
    hsm.write("spki.der", spki);
    hsm.write("message", message);
    hsm.write("signature", signature);
    hsm.tool(
        "openssl",
        &["pkey", "-pubin", "-inform", "DER", "-in", "spki.der", "-out", "spki.pem"],
    );
    let verify = ["dgst", "-verify", "spki.pem", "-signature", "signature"];
    let said = hsm.tool("openssl", &[&verify[..], more, &["message"]].concat());
    assert!(said.contains("Verified OK"), "{said}");
}

#[test]
fn keys_that_pkcs11_tool_makes_are_listed_and_sign() {
    SoftHsm::with("keys_that_pkcs11_tool_makes_are_listed_and_sign", |hsm| {
        let make = |kind: &str, label: &str, id: &str| {
            let pair = ["--keypairgen", "--key-type", kind, "--label", label, "--id", id];
            hsm.pkcs11_tool(&[&pair[..], &["--usage-sign"]].concat());
        };
        make("EC:prime256v1", "theirs", "01");
        make("EC:secp384r1", "Their Key", "0203");
        make("rsa:2048", "rsa", "04");
        make("EC:edwards25519", "edwards", "05");
        let mut token = open(hsm);
        // A label that is no name of ours: the key goes by its CKA_ID.
        assert_eq!(names(&mut token), ["edwards", "id-0203", "rsa", "theirs"]);
        for (name, algorithm, more) in [
            ("theirs", SignatureAlgorithm::EcdsaP256Sha256, &["-sha256"][..]),
            ("id-01", SignatureAlgorithm::EcdsaP256Sha256, &["-sha256"]),
            ("id-0203", SignatureAlgorithm::EcdsaP384Sha384, &["-sha384"]),
            ("rsa", SignatureAlgorithm::RsaPkcs1Sha512, &["-sha512"]),
            (
                "rsa",
                SignatureAlgorithm::RsaPssSha256,
                &["-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"],
            ),
        ] {
            let spki = token.public_key(name).unwrap().unwrap().spki_der;
            let signature = token.sign(name, algorithm, b"message").unwrap();
            openssl_verifies(hsm, &spki, b"message", &signature, more);
        }
        let key = token.public_key("edwards").unwrap().unwrap();
        assert_eq!(key.algorithm, KeyAlgorithm::Ed25519);
        let signature = token.sign("edwards", SignatureAlgorithm::Ed25519, b"message").unwrap();
        AwsLc.verify(SignatureAlgorithm::Ed25519, &key.spki_der, b"message", &signature).unwrap();
    });
}

#[test]
fn pkcs11_tool_lists_and_uses_our_keys() {
    SoftHsm::with("pkcs11_tool_lists_and_uses_our_keys", |hsm| {
        let mut token = open(hsm);
        let spec = |key_use, algorithm| KeySpec::new(key_use, algorithm);
        let ec = token.create_key("ldevid", &spec(KeyUse::Sign, KeyAlgorithm::P256)).unwrap();
        token.create_key("rsa", &spec(KeyUse::Sign, KeyAlgorithm::Rsa2048)).unwrap();
        token.create_key("open", &spec(KeyUse::Decrypt, KeyAlgorithm::Rsa2048)).unwrap();
        hsm.write("message", b"message");

        let private = hsm.pkcs11_tool(&["--list-objects", "--type", "privkey"]);
        assert_eq!(private.matches("Private Key Object").count(), 3, "{private}");
        let inside = "sensitive, always sensitive, never extractable, local";
        assert_eq!(private.matches(inside).count(), 3, "{private}");
        let usage = |usage: &str| private.matches(&format!("Usage:      {usage}\n")).count();
        assert_eq!((usage("sign"), usage("decrypt")), (2, 1), "{private}");

        // It signs with ours.
        let digest = AwsLc.hash(HashAlgorithm::Sha256, &[b"message"]);
        hsm.write("digest", digest.as_bytes());
        let sign = ["--sign", "--mechanism", "ECDSA", "--signature-format", "openssl"];
        let files = ["--input-file", "digest", "--output-file", "signature"];
        hsm.pkcs11_tool(&[&sign[..], &files, &["--id", &id(&private, "ldevid")]].concat());
        let signature = hsm.read("signature");
        let usual = SignatureAlgorithm::EcdsaP256Sha256;
        AwsLc.verify(usual, &ec.spki_der, b"message", &signature).unwrap();

        // It verifies what we signed.
        let signature = token.sign("rsa", SignatureAlgorithm::RsaPkcs1Sha256, b"message").unwrap();
        hsm.write("signature", &signature);
        let verify = ["--verify", "--mechanism", "SHA256-RSA-PKCS", "--id", &id(&private, "rsa")];
        let files = ["--input-file", "message", "--signature-file", "signature"];
        let said = hsm.pkcs11_tool(&[&verify[..], &files].concat());
        assert!(said.contains("Signature is valid"), "{said}");

        // It decrypts what we encrypted.
        let sealed = token.encrypt("open", Encryption::RsaOaepSha1, b"secret").unwrap();
        hsm.write("sealed", &sealed);
        let decrypt = ["--decrypt", "--mechanism", "RSA-PKCS-OAEP", "--hash-algorithm", "SHA-1"];
        let files =
            ["--id", &id(&private, "open"), "--input-file", "sealed", "--output-file", "opened"];
        hsm.pkcs11_tool(&[&decrypt[..], &files].concat());
        assert_eq!(hsm.read("opened"), b"secret");

        token.delete_key("rsa").unwrap();
        let left = hsm.pkcs11_tool(&["--list-objects"]);
        assert!(!left.contains("label:      rsa"), "{left}");
    });
}

/// The `CKA_ID` of a key in a list, by which pkcs11-tool chooses.
fn id(list: &str, label: &str) -> String {
    let (_, after) = list.split_once(&format!("label:      {label}\n")).unwrap();
    let (_, id) = after.split_once("ID:         ").unwrap();
    id.lines().next().unwrap().to_owned()
}

/// A certificate of a key, issued by openssl, in DER.
fn certify(hsm: &SoftHsm, spki: &[u8], subject: &str) -> Vec<u8> {
    hsm.write("spki.der", spki);
    hsm.tool(
        "openssl",
        &["pkey", "-pubin", "-inform", "DER", "-in", "spki.der", "-out", "spki.pem"],
    );
    let make = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let ca = ["-subj", "/CN=CA", "-keyout", "ca.key", "-out", "ca.pem"];
    hsm.tool("openssl", &[&make[..], &ca].concat());
    let issue = ["x509", "-new", "-subj", subject, "-force_pubkey", "spki.pem", "-days", "30"];
    let by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-outform", "DER", "-out", "cert.der"];
    hsm.tool("openssl", &[&issue[..], &by].concat());
    hsm.read("cert.der")
}

#[test]
fn certificates_go_both_ways() {
    SoftHsm::with("certificates_go_both_ways", |hsm| {
        let mut token = open(hsm);
        let spec = KeySpec::new(KeyUse::Sign, KeyAlgorithm::P256);
        let key = token.create_key("ldevid", &spec).unwrap();
        let der = certify(hsm, &key.spki_der, "/CN=device 1");
        token.store_certificate("ldevid", &der).unwrap();

        // Ours, as it reads it.
        let list = hsm.pkcs11_tool(&["--list-objects", "--type", "cert"]);
        assert!(list.contains("label:      ldevid") && list.contains("DN: CN=device 1"), "{list}");
        let read = ["--read-object", "--type", "cert", "--label", "ldevid"];
        hsm.pkcs11_tool(&[&read[..], &["--output-file", "read.der"]].concat());
        assert_eq!(hsm.read("read.der"), der);

        // Theirs, as we read it.
        let pair = ["--keypairgen", "--key-type", "EC:prime256v1", "--label", "theirs"];
        hsm.pkcs11_tool(&[&pair[..], &["--id", "77", "--usage-sign"]].concat());
        let spki = token.public_key("theirs").unwrap().unwrap().spki_der;
        let theirs = certify(hsm, &spki, "/CN=device 2");
        let write = ["--write-object", "cert.der", "--type", "cert", "--id", "77"];
        hsm.pkcs11_tool(&[&write[..], &["--label", "Certificate"]].concat());
        assert_eq!(token.certificate("theirs").unwrap(), Some(theirs.clone()));

        // A card may keep a key and its certificate, and no public key.
        hsm.pkcs11_tool(&["--delete-object", "--type", "pubkey", "--id", "77"]);
        assert_eq!(token.public_key("theirs").unwrap().unwrap().spki_der, spki);

        let refused = token.store_certificate("ldevid", &theirs).unwrap_err();
        assert!(refused.to_string().contains("a certificate of another key"), "{refused}");
        assert!(matches!(token.store_certificate("ldevid", b"\x30\x00"), Err(Error::BadInput(_))));
        assert_eq!(token.certificate("ldevid").unwrap(), Some(der));

        // Two certificates and no telling which.
        let write = ["--write-object", "cert.der", "--type", "cert", "--id", "77"];
        hsm.pkcs11_tool(&[&write[..], &["--label", "Another"]].concat());
        let refused = token.certificate("theirs").unwrap_err();
        assert!(refused.to_string().contains("several certificates"), "{refused}");
    });
}

#[test]
fn two_keys_of_one_label_are_told_apart_by_id_only() {
    SoftHsm::with("two_keys_of_one_label_are_told_apart_by_id_only", |hsm| {
        for id in ["0a", "0b"] {
            let pair = ["--keypairgen", "--key-type", "EC:prime256v1", "--label", "twin"];
            hsm.pkcs11_tool(&[&pair[..], &["--id", id, "--usage-sign"]].concat());
        }
        let mut token = open(hsm);
        assert_eq!(names(&mut token), ["id-0a", "id-0b"]);
        let usual = SignatureAlgorithm::EcdsaP256Sha256;
        let refused = token.sign("twin", usual, b"message").unwrap_err();
        assert!(refused.to_string().contains("two keys of the token have this name"), "{refused}");
        let one = token.public_key("id-0a").unwrap().unwrap();
        let signature = token.sign("id-0a", usual, b"message").unwrap();
        AwsLc.verify(usual, &one.spki_der, b"message", &signature).unwrap();
        token.rename_key("id-0b", "sister").unwrap();
        assert_eq!(names(&mut token), ["sister", "twin"]);
        // By its id, to the name that it has.
        token.rename_key("id-0b", "sister").unwrap();
        assert_eq!(names(&mut token), ["sister", "twin"]);
    });
}

#[test]
fn a_key_that_asks_for_the_pin_each_time_signs() {
    SoftHsm::with("a_key_that_asks_for_the_pin_each_time_signs", |hsm| {
        let pair = ["--keypairgen", "--key-type", "rsa:2048", "--label", "asks", "--id", "01"];
        hsm.pkcs11_tool(&[&pair[..], &["--usage-sign", "--always-auth"]].concat());
        let mut token = open(hsm);
        let spki = token.public_key("asks").unwrap().unwrap().spki_der;
        for message in [b"one", b"two"] {
            let signature =
                token.sign("asks", SignatureAlgorithm::RsaPkcs1Sha256, message).unwrap();
            openssl_verifies(hsm, &spki, message, &signature, &["-sha256"]);
        }
    });
}

#[test]
fn a_renewal_that_was_cut_off_leaves_one_key_of_the_name() {
    SoftHsm::with("a_renewal_that_was_cut_off_leaves_one_key_of_the_name", |hsm| {
        let mut token = open(hsm);
        let spec = KeySpec::new(KeyUse::Sign, KeyAlgorithm::P256);
        // As rename_key leaves it between its first and its second step.
        let pair = ["--keypairgen", "--key-type", "EC:prime256v1", "--usage-sign"];
        hsm.pkcs11_tool(&[&pair[..], &["--label", "ldevid~old", "--id", "01"]].concat());
        let next = token.create_key("ldevid-next", &spec).unwrap();
        let old = token.public_key("ldevid").unwrap().unwrap();
        assert_eq!(names(&mut token), ["ldevid", "ldevid-next"]);
        token.sign("ldevid", SignatureAlgorithm::EcdsaP256Sha256, b"").unwrap();
        assert!(matches!(token.create_key("ldevid", &spec), Err(Error::KeyExists(_))));

        // Done again, it goes through.
        token.rename_key("ldevid-next", "ldevid").unwrap();
        assert_eq!(names(&mut token), ["ldevid"]);
        assert_eq!(token.public_key("ldevid").unwrap(), Some(next.clone()));
        assert_ne!(next, old);

        // And between its second and its third: the old one is there, under its id only.
        hsm.pkcs11_tool(&[&pair[..], &["--label", "ldevid~old", "--id", "02"]].concat());
        assert_eq!(token.public_key("ldevid").unwrap(), Some(next));
        assert_eq!(names(&mut token), ["id-02", "ldevid"]);
        token.delete_key("ldevid").unwrap();
        assert_eq!(names(&mut token), [""; 0]);
    });
}

#[test]
fn what_two_keys_share_stays_until_both_are_gone() {
    SoftHsm::with("what_two_keys_share_stays_until_both_are_gone", |hsm| {
        // Without ids: all that links a key to its public part is the label.
        hsm.tool("openssl", &["genpkey", "-algorithm", "RSA", "-out", "key.pem"]);
        let to_der = ["pkey", "-in", "key.pem", "-outform", "DER"];
        hsm.tool("openssl", &[&to_der[..], &["-out", "key.der"]].concat());
        hsm.tool("openssl", &[&to_der[..], &["-pubout", "-out", "pub.der"]].concat());
        let write = |file: &str, kind: &str, label: &str, id: &[&str]| {
            let object = ["--write-object", file, "--type", kind, "--label", label];
            hsm.pkcs11_tool(&[&object[..], id].concat());
        };
        for label in ["old", "new"] {
            write("key.der", "privkey", label, &["--usage-sign"]);
            write("pub.der", "pubkey", label, &[]);
        }
        let mut token = open(hsm);
        assert_eq!(names(&mut token), ["new", "old"]);
        token.rename_key("new", "old").unwrap();
        assert_eq!(names(&mut token), ["old"]);
        assert!(token.public_key("old").unwrap().is_some());
        let left = hsm.pkcs11_tool(&["--list-objects"]);
        assert_eq!(left.matches("Public Key Object").count(), 1, "{left}");

        // Two keys of one id, and one public part.
        for label in ["one", "two"] {
            write("key.der", "privkey", label, &["--id", "07", "--usage-sign"]);
        }
        write("pub.der", "pubkey", "both", &["--id", "07"]);
        token.delete_key("one").unwrap();
        assert!(token.public_key("two").unwrap().is_some());
        token.delete_key("two").unwrap();
        token.delete_key("old").unwrap();
        let left = hsm.pkcs11_tool(&["--list-objects"]);
        assert!(!left.contains("Object"), "{left}");
    });
}
