//! Elements opened by what settings say, and keys found by reference.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use touchstone_crypto::{Crypto, SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::AwsLc;
use touchstone_drive::element::{Elements, Location};
use touchstone_element::reference::Kind;
use touchstone_element::{
    Element, ElementSigner, KeyAlgorithm, KeyReference, KeySpec, KeyUse, Reference,
};

const KEY: KeySpec = KeySpec::new(KeyUse::Sign, KeyAlgorithm::P256);

fn location(text: &str) -> Location {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn software(folder: &Path, more: &str) -> Location {
    let at = folder.display();
    location(&format!("software:{at}/element?secret=file:{at}/secret{more}"))
}

/// Keys made, found by reference and by file; another key under the name is noticed.
fn keys_are_found(at: Location, kind: Kind, folder: &Path) {
    let state = folder.join("state");
    fs::create_dir_all(&state).unwrap();
    let mut element = at.open(&state).unwrap();
    let made = element.create_key("ldevid", &KEY).unwrap();
    drop(element);
    let elements = Elements { at: vec![at], state };
    let reference = Reference::named(kind, "ldevid").unwrap();
    let found = elements.key(&reference.to_string(), &AwsLc).unwrap();
    assert_eq!((found.name.as_str(), &found.public), ("ldevid", &made));

    let file = KeyReference::to_key(reference, &made, &AwsLc);
    let path = folder.join("ldevid.ref");
    fs::write(&path, file.to_pem().unwrap()).unwrap();
    drop(found);
    let mut found = elements.key(path.to_str().unwrap(), &AwsLc).unwrap();
    found.element.delete_key("ldevid").unwrap();
    drop(found);
    let missing = elements.key(path.to_str().unwrap(), &AwsLc).unwrap_err();
    assert_eq!(missing.code(), "element.key.unknown");
    let (mut element, _) = elements.open(&file.reference).unwrap();
    element.create_key("ldevid", &KEY).unwrap();
    drop(element);
    let swapped = elements.key(path.to_str().unwrap(), &AwsLc).unwrap_err();
    assert_eq!(swapped.code(), "element.key.another");
    assert!(elements.key(&file.reference.to_string(), &AwsLc).is_ok(), "a reference names any");
}

#[test]
fn a_software_elements_key_is_found_by_reference_and_by_file() {
    let folder = tempfile::tempdir().unwrap();
    keys_are_found(software(folder.path(), ""), Kind::Software, folder.path());
}

#[test]
fn a_tpms_key_is_found_by_reference_and_by_file() {
    let tpm = touchstone_peers::Swtpm::blank();
    let at = location(&format!("tpm-unix:{}", tpm.socket().display()));
    keys_are_found(at, Kind::Tpm, tpm.dir.path());
}

#[test]
fn a_tpm_behind_a_port_opens_too() {
    let tpm = touchstone_peers::Swtpm::blank_tcp();
    let mut element = location(&format!("tpm-tcp:{}", tpm.address())).open(tpm.dir.path()).unwrap();
    assert_eq!(element.about().unwrap().kind, "tpm2");
    let missing = location("tpm:/dev/no-such-tpm").open(tpm.dir.path());
    assert_eq!(missing.err().unwrap().code(), "element.unreachable");
}

#[cfg(feature = "pkcs11")]
#[test]
fn a_tokens_key_is_found_by_its_uri_and_by_reference() {
    let test = "a_tokens_key_is_found_by_its_uri_and_by_reference";
    touchstone_peers::SoftHsm::with(test, |hsm| {
        let at = location(&hsm.uri(""));
        let made = at.open(Path::new("/")).unwrap().create_key("ldevid", &KEY).unwrap();
        let elements = Elements { at: vec![at], state: "/".into() };
        for text in [
            "element:pkcs11/ldevid",
            &hsm.uri(";object=ldevid"),
            &format!("element:{}", hsm.uri(";object=ldevid")),
        ] {
            assert_eq!(elements.key(text, &AwsLc).unwrap().public, made, "{text}");
        }
        let nameless = elements.key(&hsm.uri(""), &AwsLc).unwrap_err();
        assert_eq!(nameless.code(), "element.input.bad");
    });
}

#[cfg(not(feature = "pkcs11"))]
#[test]
fn what_is_not_built_in_parses_and_is_refused_when_it_is_opened() {
    let refused = location("pkcs11:token=device").open(Path::new("/")).err().unwrap();
    assert_eq!(refused.code(), "element.unsupported");
    assert!(refused.to_string().contains("without the feature `pkcs11`"), "{refused}");
}

#[test]
fn a_passphrase_is_a_files_first_line_and_a_second_place_is_given_by_mark() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display();
    fs::write(folder.path().join("pass"), "correct horse\n").unwrap();
    fs::write(folder.path().join("same"), "correct horse").unwrap();
    fs::write(folder.path().join("wrong"), "battery staple\n").unwrap();
    let open = |pass: &str| {
        location(&format!("software:{at}/e?passphrase=file:{at}/{pass}&mark={at}/mark"))
            .open(Path::new("/"))
    };
    assert!(open("pass").unwrap().counting().is_some());
    assert!(open("same").is_ok());
    assert_eq!(open("wrong").err().unwrap().code(), "element.authorization.wrong");
    assert_eq!(open("none").err().unwrap().code(), "element.state.file");
    fs::write(folder.path().join("long"), vec![b'x'; 20_000]).unwrap();
    assert_eq!(open("long").err().unwrap().code(), "element.input.bad");
}

#[test]
fn what_the_settings_do_not_name_is_told() {
    let elements = Elements::default();
    let code = |text: &str| elements.key(text, &AwsLc).unwrap_err().code();
    assert_eq!(code("element:tpm/ldevid"), "element.unsupported");
    assert_eq!(code("element:tpm2/ldevid"), "element.reference.kind");
    assert_eq!(code("/no/such/file.pem"), "element.state.file");
}

#[test]
fn an_opened_element_is_shared_with_libraries_that_wait() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = software(folder.path(), "").open(Path::new("/")).unwrap();
    opened.create_key("tls", &KEY).unwrap();
    let shared: Arc<Mutex<dyn Element>> = Arc::new(Mutex::new(opened));
    let signer = ElementSigner::new(Arc::clone(&shared), "tls").unwrap();
    let signature = signer.sign(b"handshake").unwrap();
    AwsLc.verify(signer.algorithm(), signer.spki_der(), b"handshake", &signature).unwrap();

    let rsa = KeySpec::new(KeyUse::Sign, KeyAlgorithm::Rsa2048);
    shared.lock().unwrap().create_key("rsa", &rsa).unwrap();
    let signer = ElementSigner::new(Arc::clone(&shared), "rsa").unwrap();
    let signer = signer.signing_by(SignatureAlgorithm::RsaPssSha256).unwrap();
    let signature = signer.sign(b"handshake").unwrap();
    AwsLc.verify(signer.algorithm(), signer.spki_der(), b"handshake", &signature).unwrap();
    let odd = signer.signing_by(SignatureAlgorithm::Ed25519);
    assert_eq!(odd.unwrap_err().code(), "element.unsupported");
}

#[test]
fn a_tpm_notices_that_the_software_elements_store_was_put_back() {
    use touchstone_element_software::{KeySource, Second, Settings, Software};
    let tpm = touchstone_peers::Swtpm::blank();
    let at = |name: &str| tpm.dir.path().join(name);
    fs::create_dir(at("state")).unwrap();
    let open = || {
        let place = location(&format!("tpm-unix:{}", tpm.socket().display()));
        let element = place.open(&at("state")).unwrap();
        let second = Second::Storage { element, name: "software".into() };
        let settings = Settings::new(at("element"), KeySource::MachineSecret(at("secret")));
        Software::open(settings.with_second(second))
    };
    let mut element = open().unwrap();
    element.create_key("ldevid", &KEY).unwrap();
    let old = fs::read(at("element/store")).unwrap();
    element.delete_key("ldevid").unwrap();
    drop(element);
    assert!(open().unwrap().public_key("ldevid").unwrap().is_none());
    fs::write(at("element/store"), old).unwrap();
    assert_eq!(open().unwrap_err().code(), "element.store.rolled-back");
}
