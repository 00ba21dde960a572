//! Which token, with which PIN, and how often it is tried.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests fail loudly")]

use std::thread;
use touchstone_crypto::{Crypto, SignatureAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{Element, Error, KeyAlgorithm, KeySpec, KeyUse};
use touchstone_element_pkcs11::{Token, Uri};
use touchstone_peers::SoftHsm;

const USUAL: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;

fn open(uri: &str) -> Result<Token, Error> {
    Token::open(&uri.parse::<Uri>().unwrap(), &AwsLc)
}

fn wrong(result: Result<Token, Error>) -> Option<u32> {
    match result {
        Err(Error::WrongAuthorization { tries_left }) => tries_left,
        other => panic!("a wrong PIN: {other:?}"),
    }
}

#[test]
fn a_wrong_pin_never_locks_a_card() {
    SoftHsm::with("a_wrong_pin_never_locks_a_card", |hsm| {
        let uri = hsm.uri_by(&hsm.card(), "");
        let tries = || String::from_utf8(hsm.read("logins")).unwrap().lines().count();
        hsm.write("pin", b"0000\n");
        for _ in 0..5 {
            assert_eq!(wrong(open(&uri)), None);
        }
        assert_eq!(tries(), 1, "the same wrong PIN was tried again");

        hsm.write("pin", b"1111\n");
        assert_eq!(wrong(open(&uri)), Some(1));
        assert_eq!(tries(), 2);

        // The last try is not spent, not even on the right PIN, unless asked.
        hsm.write("pin", SoftHsm::PIN.as_bytes());
        let error = open(&uri).unwrap_err();
        assert_eq!(error.code(), "element.authorization.wrong");
        assert!(error.to_string().contains("1 more may be tried before a lockout"), "{error}");
        assert_eq!(tries(), 2);
        Token::dangerous_open(&uri.parse().unwrap(), &AwsLc).unwrap();
        assert_eq!(tries(), 3);
        open(&uri).unwrap();
    });
}

#[test]
fn a_locked_card_is_not_tried() {
    SoftHsm::with("a_locked_card_is_not_tried", |hsm| {
        let uri: Uri = hsm.uri_by(&hsm.card(), "").parse().unwrap();
        for pin in ["0000", "1111", "2222"] {
            hsm.write("pin", pin.as_bytes());
            assert!(Token::dangerous_open(&uri, &AwsLc).is_err());
        }
        hsm.write("pin", SoftHsm::PIN.as_bytes());
        let error = Token::dangerous_open(&uri, &AwsLc).unwrap_err();
        assert!(matches!(error, Error::LockedOut { recovery: None }), "{error}");
        assert_eq!(hsm.read("logins"), b"login\n".repeat(3), "it was tried again");
    });
}

#[test]
fn softhsm_takes_a_corrected_pin_after_a_wrong_one() {
    SoftHsm::with("softhsm_takes_a_corrected_pin_after_a_wrong_one", |hsm| {
        hsm.write("pin", b"0000");
        assert_eq!(wrong(open(&hsm.uri(""))), None);
        hsm.write("pin", SoftHsm::PIN.as_bytes());
        open(&hsm.uri("")).unwrap();
    });
}

#[test]
fn a_token_is_chosen_by_what_the_uri_says() {
    SoftHsm::with("a_token_is_chosen_by_what_the_uri_says", |hsm| {
        hsm.init_token("other");
        hsm.init_token("twin");
        hsm.init_token("twin");
        let about = open(&hsm.uri("")).unwrap().about().unwrap();
        assert_eq!((about.kind, about.manufacturer.as_str()), ("pkcs11", "SoftHSM project"));
        open(&hsm.uri(&format!(";serial={};model=SoftHSM%20v2", about.serial))).unwrap();
        for elsewhere in [";serial=0", ";model=Card", ";slot-id=77", ";slot-description=Reader"] {
            let error = open(&hsm.uri(elsewhere)).unwrap_err();
            assert!(matches!(error, Error::Unreachable { .. }), "{elsewhere}: {error}");
            assert!(!error.to_string().contains("pin"), "{error}");
        }
        let query = hsm.uri("").split_once('?').unwrap().1.to_owned();
        let error = open(&format!("pkcs11:token=twin?{query}")).unwrap_err();
        assert!(error.to_string().contains("several tokens fit"), "{error}");
        let error = open(&format!("pkcs11:library-version=9.9?{query}")).unwrap_err();
        assert!(error.to_string().contains("the module is another one"), "{error}");

        let by_name =
            format!("pkcs11:token=other?module-name=softhsm2&pin-source=file:{}", hsm.path("pin"));
        open(&by_name).unwrap();
    });
}

#[test]
fn a_uri_leads_to_one_key() {
    SoftHsm::with("a_uri_leads_to_one_key", |hsm| {
        for (label, id) in [("ldevid", "01"), ("My%20Key", "02"), ("twin", "03"), ("twin", "04")] {
            let pair = ["--keypairgen", "--key-type", "EC:prime256v1", "--usage-sign"];
            let label = label.replace("%20", " ");
            hsm.pkcs11_tool(&[&pair[..], &["--label", &label, "--id", id]].concat());
        }
        let mut token = open(&hsm.uri("")).unwrap();
        let mut name = |more: &str| token.key_name(&hsm.uri(more).parse().unwrap());
        assert_eq!(name(";object=ldevid").unwrap(), "ldevid");
        assert_eq!(name(";object=My%20Key;type=cert").unwrap(), "id-02");
        assert_eq!(name(";id=%03").unwrap(), "id-03");
        assert_eq!(name(";object=twin;id=%04").unwrap(), "id-04");
        assert!(matches!(name(";object=none"), Err(Error::UnknownKey(_))));
        assert!(matches!(name(";object=ldevid;id=%02"), Err(Error::UnknownKey(_))));
        for several in ["", ";object=twin"] {
            let error = name(several).unwrap_err();
            assert!(error.to_string().contains("several keys fit"), "{error}");
        }
    });
}

#[test]
fn a_token_that_wants_a_pin_says_so() {
    SoftHsm::with("a_token_that_wants_a_pin_says_so", |hsm| {
        let uri = hsm.uri("");
        let (without, _) = uri.split_once("&pin-source").unwrap();
        let error = open(without).unwrap_err();
        assert!(error.to_string().contains("add `?pin-source=file:/path`"), "{error}");
        let error = open(&format!("{without}&pin-source=file:/no/such/file")).unwrap_err();
        assert_eq!(error.to_string(), "cannot use /no/such/file");
        let error = open(&format!("{without}&pin-source=credential:pin")).unwrap_err();
        assert_eq!(error.code(), "element.state.file");
    });
}

#[test]
fn threads_work_on_one_token_at_the_same_time() {
    SoftHsm::with("threads_work_on_one_token_at_the_same_time", |hsm| {
        let uri = hsm.uri("");
        let spec = KeySpec::new(KeyUse::Sign, KeyAlgorithm::P256);
        let key = open(&uri).unwrap().create_key("shared", &spec).unwrap();
        thread::scope(|scope| {
            for number in 0..8 {
                let (uri, key, spec) = (&uri, &key, &spec);
                scope.spawn(move || {
                    let mut token = open(uri).unwrap();
                    let own = format!("own-{number}");
                    let own_key = token.create_key(&own, spec).unwrap();
                    for round in 0..20 {
                        let message = format!("{number} {round}");
                        for (name, key) in [("shared", key), (own.as_str(), &own_key)] {
                            let signature = token.sign(name, USUAL, message.as_bytes()).unwrap();
                            let spki = &key.spki_der;
                            AwsLc.verify(USUAL, spki, message.as_bytes(), &signature).unwrap();
                        }
                    }
                    token.delete_key(&own).unwrap();
                });
            }
        });
        assert_eq!(open(&uri).unwrap().keys().unwrap().len(), 1);
    });
}

#[test]
fn two_that_make_a_key_of_one_name_do_not_both_get_it() {
    SoftHsm::with("two_that_make_a_key_of_one_name_do_not_both_get_it", |hsm| {
        let uri = hsm.uri("");
        let spec = KeySpec::new(KeyUse::Sign, KeyAlgorithm::P256);
        let made: usize = thread::scope(|scope| {
            let make = || usize::from(open(&uri).unwrap().create_key("one", &spec).is_ok());
            let makers: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).sum()
        });
        let left = open(&uri).unwrap().keys().unwrap();
        assert!(made <= 1, "{made} made it");
        assert_eq!(left.len(), made, "{left:?}");
    });
}
