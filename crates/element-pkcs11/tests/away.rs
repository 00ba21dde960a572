//! A token that is taken away in mid-operation, and comes back.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests fail loudly")]

use std::fs;
use std::thread;
use std::time::Duration;
use touchstone_crypto::{Crypto, SignatureAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{Element, Error, KeyAlgorithm, KeySpec, KeyUse};
use touchstone_element_pkcs11::{Token, Uri};
use touchstone_peers::SoftHsm;

const USUAL: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;
const SPEC: KeySpec = KeySpec::new(KeyUse::Sign, KeyAlgorithm::P256);

/// Until the module looks again: it is started anew once a second at most.
fn eventually<T>(mut work: impl FnMut() -> Result<T, Error>) -> T {
    for _ in 0..100 {
        match work() {
            Err(Error::Removed) => thread::sleep(Duration::from_millis(100)),
            done => return done.unwrap(),
        }
    }
    panic!("the token is back, and is not found");
}

fn is_away(token: &mut Token) {
    for _ in 0..2 {
        let gone = |what: &str, result: Result<(), Error>| {
            assert!(matches!(result, Err(Error::Removed)), "{what}: {result:?}");
        };
        gone("sign", token.sign("ldevid", USUAL, b"message").map(drop));
        gone("public key", token.public_key("ldevid").map(drop));
        gone("another key", token.public_key("none").map(drop));
        gone("keys", token.keys().map(drop));
        gone("create", token.create_key("next", &SPEC).map(drop));
        gone("delete", token.delete_key("ldevid"));
        gone("random", token.random(&mut [0; 8]));
        gone("about", token.about().map(drop));
    }
}

#[test]
fn a_served_token_is_missed_and_found_again() {
    SoftHsm::with("a_served_token_is_missed_and_found_again", |hsm| {
        let served = hsm.serve();
        let uri: Uri = hsm.uri_by(hsm.served_module(), "").parse().unwrap();
        let mut token = Token::open(&uri, &AwsLc).unwrap();
        let key = token.create_key("ldevid", &SPEC).unwrap();
        drop(served);
        is_away(&mut token);

        let served = hsm.serve();
        let signature = eventually(|| token.sign("ldevid", USUAL, b"message"));
        AwsLc.verify(USUAL, &key.spki_der, b"message", &signature).unwrap();
        assert_eq!(token.keys().unwrap().len(), 1, "what was refused was not done");

        // Away and back between two calls: nobody notices.
        drop(served);
        let _served = hsm.serve();
        eventually(|| token.sign("ldevid", USUAL, b"message"));
    });
}

#[test]
fn a_token_whose_files_are_gone_is_away() {
    SoftHsm::with("a_token_whose_files_are_gone_is_away", |hsm| {
        let uri: Uri = hsm.uri("").parse().unwrap();
        let mut token = Token::open(&uri, &AwsLc).unwrap();
        let key = token.create_key("ldevid", &SPEC).unwrap();
        fs::rename(hsm.path("tokens"), hsm.path("away")).unwrap();
        is_away(&mut token);
        assert!(matches!(Token::open(&uri, &AwsLc), Err(Error::Unreachable { .. })));

        fs::rename(hsm.path("away"), hsm.path("tokens")).unwrap();
        let signature = eventually(|| token.sign("ldevid", USUAL, b"message"));
        AwsLc.verify(USUAL, &key.spki_der, b"message", &signature).unwrap();
    });
}

#[test]
fn another_token_of_the_same_name_is_not_taken_for_it() {
    SoftHsm::with("another_token_of_the_same_name_is_not_taken_for_it", |hsm| {
        let uri: Uri = hsm.uri("").parse().unwrap();
        let mut token = Token::open(&uri, &AwsLc).unwrap();
        token.create_key("ldevid", &SPEC).unwrap();
        fs::rename(hsm.path("tokens"), hsm.path("away")).unwrap();
        fs::create_dir(hsm.path("tokens")).unwrap();
        hsm.init_token("device");
        thread::sleep(Duration::from_millis(1100));
        is_away(&mut token);
        // Who opens anew means the one that is there.
        assert_eq!(Token::open(&uri, &AwsLc).unwrap().keys().unwrap(), []);
    });
}

#[test]
fn a_token_that_goes_in_the_middle_of_a_call_is_missed() {
    SoftHsm::with("a_token_that_goes_in_the_middle_of_a_call_is_missed", |hsm| {
        let served = hsm.serve();
        let uri: Uri = hsm.uri_by(hsm.served_module(), "").parse().unwrap();
        let mut token = Token::open(&uri, &AwsLc).unwrap();
        let slow = KeySpec::new(KeyUse::Sign, KeyAlgorithm::Rsa4096);
        let made = thread::scope(|scope| {
            let making = scope.spawn(|| token.create_key("slow", &slow));
            thread::sleep(Duration::from_millis(30));
            drop(served);
            making.join().unwrap()
        });
        assert!(matches!(made, Err(Error::Removed)), "{made:?}");
        let _served = hsm.serve();
        assert_eq!(eventually(|| token.keys()), []);
        eventually(|| token.create_key("ldevid", &SPEC));
    });
}
