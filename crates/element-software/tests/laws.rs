//! The laws that every element is held to, over each way to open a software element.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod rustcrypto;

use std::path::Path;
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{Ability, Element, Secret, laws};
use touchstone_element_software::{Cost, KeySource, Second, Settings, Software};

fn held_to_the_laws(settings: &dyn Fn() -> Settings) {
    let other = laws::Other::new(&AwsLc)
        .encapsulating(&rustcrypto::encapsulate)
        .generating(&rustcrypto::generate);
    // In a box in a box, as programs pass it on: that changes nothing.
    let mut open = || -> Box<dyn Element> {
        let opened: Box<dyn Element> = Box::new(Software::open(settings()).unwrap());
        Box::new(opened)
    };
    laws::all(&mut open, &other);
}

fn by_secret(folder: &Path) -> Settings {
    Settings::new(folder.join("element"), KeySource::MachineSecret(folder.join("secret")))
}

#[test]
fn a_software_element_keeps_every_law() {
    let folder = tempfile::tempdir().unwrap();
    let marked = || by_secret(folder.path()).with_second(Second::File(folder.path().join("mark")));
    held_to_the_laws(&marked);
    let abilities = Software::open(marked()).unwrap().abilities();
    assert!(abilities.contains(&Ability::Count) && abilities.contains(&Ability::Store));
    assert!(!abilities.contains(&Ability::Attest) && !abilities.contains(&Ability::Registers));
}

#[test]
fn one_behind_a_passphrase_and_without_a_second_place_keeps_them_and_claims_less() {
    let folder = tempfile::tempdir().unwrap();
    let cost = Cost { memory_kib: 8 * 1024, passes: 1, lanes: 1 };
    let passphrase = Secret::new(b"correct horse".to_vec());
    let settings = || {
        let key = KeySource::Passphrase { passphrase: passphrase.clone(), cost };
        Settings::new(folder.path().join("element"), key)
    };
    held_to_the_laws(&settings);
    let abilities = Software::open(settings()).unwrap().abilities();
    assert!(!abilities.contains(&Ability::Count) && !abilities.contains(&Ability::Store));
}
