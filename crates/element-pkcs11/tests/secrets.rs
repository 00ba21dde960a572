//! What goes into a token and stays there.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "tests fail loudly")]

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use touchstone_crypto::{Direction, TpmCrypto};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{
    Decrypting, Element, Encryption, Error, Importing, KeyAlgorithm, KeySpec, KeyUse, Macs, Secret,
};
use touchstone_element_pkcs11::Token;
use touchstone_peers::SoftHsm;

fn open(hsm: &SoftHsm) -> Token {
    Token::open(&hsm.uri("").parse().unwrap(), &AwsLc).unwrap()
}

#[test]
fn what_a_token_seals_by_gcm_another_opens_and_the_reverse() {
    SoftHsm::with("what_a_token_seals_by_gcm_another_opens_and_the_reverse", |hsm| {
        let octets = [42; 32];
        let mut token = open(hsm);
        let key = Secret::new(octets.to_vec());
        token.import_key("wrap", KeyUse::Decrypt, KeyAlgorithm::Aes256, &key).unwrap();
        let other = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &octets).unwrap());

        let sealed = token.encrypt("wrap", Encryption::AesGcm, b"secret").unwrap();
        let nonce = Nonce::try_assume_unique_for_key(&sealed[..12]).unwrap();
        let mut rest = sealed[12..].to_vec();
        assert_eq!(other.open_in_place(nonce, Aad::empty(), &mut rest).unwrap(), b"secret");

        let mut theirs = b"their secret".to_vec();
        let nonce = Nonce::assume_unique_for_key([7; 12]);
        other.seal_in_place_append_tag(nonce, Aad::empty(), &mut theirs).unwrap();
        let theirs = [&[7; 12][..], &theirs].concat();
        let opened = token.decrypt("wrap", Encryption::AesGcm, &theirs).unwrap();
        assert_eq!(opened.expose(), b"their secret");

        let error = token.decrypt("wrap", Encryption::AesGcm, &theirs[..27]).unwrap_err();
        assert!(error.to_string().contains("damaged or for another key"), "{error}");
        let error = token.encrypt("wrap", Encryption::AesCfb, b"secret").unwrap_err();
        assert_eq!(error.code(), "element.unsupported", "SoftHSM lists no CFB");
    });
}

#[test]
fn what_a_token_encrypts_by_cfb_another_decrypts_and_the_reverse() {
    SoftHsm::with("what_a_token_encrypts_by_cfb_another_decrypts_and_the_reverse", |hsm| {
        let uri = hsm.uri_by(&hsm.card(), "").parse().unwrap();
        let mut token = Token::open(&uri, &AwsLc).unwrap();
        assert!(token.capabilities().unwrap().encryptions.contains(&Encryption::AesCfb));
        let octets = [42; 16];
        let key = Secret::new(octets.to_vec());
        token.import_key("wrap", KeyUse::Decrypt, KeyAlgorithm::Aes128, &key).unwrap();
        for plain in [&b""[..], b"short", &[7; 16], &[9; 50]] {
            let mut sealed = token.encrypt("wrap", Encryption::AesCfb, plain).unwrap();
            assert_eq!(sealed.len(), 16 + plain.len());
            let (vector, data) = sealed.split_first_chunk_mut().unwrap();
            AwsLc.aes_cfb(&octets, vector, data, Direction::Decrypt).unwrap();
            assert_eq!(data, plain);

            let mut theirs = plain.to_vec();
            AwsLc.aes_cfb(&octets, &[3; 16], &mut theirs, Direction::Encrypt).unwrap();
            let theirs = [&[3; 16][..], &theirs].concat();
            let opened = token.decrypt("wrap", Encryption::AesCfb, &theirs).unwrap();
            assert_eq!(opened.expose(), plain);
        }
        assert!(token.decrypt("wrap", Encryption::AesCfb, &[0; 15]).is_err());
    });
}

#[test]
fn secret_keys_that_pkcs11_tool_makes_are_used() {
    SoftHsm::with("secret_keys_that_pkcs11_tool_makes_are_used", |hsm| {
        let make = ["--keygen", "--sensitive", "--key-type"];
        let aes = ["aes:16", "--label", "aes", "--id", "01", "--usage-decrypt"];
        hsm.pkcs11_tool(&[&make[..], &aes].concat());
        let mac = ["GENERIC:48", "--label", "mac", "--id", "02", "--usage-sign"];
        hsm.pkcs11_tool(&[&make[..], &mac].concat());
        let mut token = open(hsm);
        let aes = token.public_key("aes").unwrap().unwrap();
        assert_eq!((aes.key_use, aes.algorithm), (KeyUse::Decrypt, KeyAlgorithm::Aes128));
        let sealed = token.encrypt("aes", Encryption::AesGcm, b"secret").unwrap();
        let opened = token.decrypt("aes", Encryption::AesGcm, &sealed).unwrap();
        assert_eq!(opened.expose(), b"secret");
        assert_eq!(token.mac("mac", b"message").unwrap().len(), 48);
    });
}

#[test]
fn a_key_cannot_be_taken_out() {
    SoftHsm::with("a_key_cannot_be_taken_out", |hsm| {
        let mut token = open(hsm);
        token.create_key("aes", &KeySpec::new(KeyUse::Decrypt, KeyAlgorithm::Aes256)).unwrap();
        let key = Secret::new(vec![1; 32]);
        token.import_key("mac", KeyUse::Mac, KeyAlgorithm::HmacSha256, &key).unwrap();
        let list = hsm.pkcs11_tool(&["--list-objects", "--type", "secrkey"]);
        assert!(list.contains("sensitive, always sensitive, never extractable, local"), "{list}");
        assert_eq!(list.matches("Access:     ").count(), 2);
        assert!(!list.contains("VALUE"), "{list}");
        for label in ["aes", "mac"] {
            let read = ["--read-object", "--type", "secrkey", "--label", label];
            let login = ["--login", "--pin", SoftHsm::PIN, "--output-file", "out"];
            let module = ["--module", hsm.module(), "--token-label", "device"];
            let output = hsm.attempt("pkcs11-tool", &[&module[..], &login, &read].concat());
            assert!(!output.status.success(), "{label} was read");
        }
    });
}

#[test]
fn a_token_whose_keys_can_be_taken_out_makes_none() {
    SoftHsm::with("a_token_whose_keys_can_be_taken_out_makes_none", |hsm| {
        let uri = hsm.uri_by(&hsm.card(), "").parse().unwrap();
        let mut token = Token::open(&uri, &AwsLc).unwrap();
        hsm.write("leaks", b"");
        for (key_use, algorithm) in
            [(KeyUse::Sign, KeyAlgorithm::P256), (KeyUse::Decrypt, KeyAlgorithm::Aes256)]
        {
            let error = token.create_key("ldevid", &KeySpec::new(key_use, algorithm)).unwrap_err();
            assert!(error.to_string().contains("cannot be taken out"), "{error}");
        }
        let list = hsm.pkcs11_tool(&["--list-objects"]);
        assert!(!list.contains("ldevid"), "it was left there: {list}");
    });
}

#[test]
fn a_private_key_with_another_public_part_is_refused() {
    SoftHsm::with("a_private_key_with_another_public_part_is_refused", |hsm| {
        let make = |name: &str| {
            let kind = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
            hsm.tool("openssl", &[&kind[..], &["-out", "key.pem"]].concat());
            let der = ["pkcs8", "-topk8", "-nocrypt", "-in", "key.pem", "-outform", "DER"];
            hsm.tool("openssl", &[&der[..], &["-out", name]].concat());
            hsm.read(name)
        };
        let (one, two) = (make("one"), make("two"));
        // RFC 5915 §3: the point comes last, 64 octets after its form.
        let torn = [&one[..one.len() - 64], &two[two.len() - 64..]].concat();
        let mut token = open(hsm);
        let mut import = |key: Vec<u8>| {
            token.import_key("own", KeyUse::Sign, KeyAlgorithm::P256, &Secret::new(key))
        };
        let error = import(torn).unwrap_err();
        assert!(matches!(error, Error::BadInput(_)), "{error}");
        import(one).unwrap();
        assert_eq!(open(hsm).keys().unwrap().len(), 1);
    });
}
