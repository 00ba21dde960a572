//! The store: what is done to it behind the element's back is noticed, and named for what it is.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use touchstone_element::{
    Certificates, Counting, Element, Error, KeyAlgorithm, KeySpec, KeyUse, SealTo, Sealing, Secret,
    Storage,
};
use touchstone_element_software::{Cost, KeySource, Second, Settings, Software};

const KEY: KeySpec = KeySpec::new(KeyUse::Sign, KeyAlgorithm::P256);
const CHEAP: Cost = Cost { memory_kib: 8 * 1024, passes: 1, lanes: 1 };

/// A machine with a folder, a secret, and a second file system.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn settings(&self) -> Settings {
        Settings::new(self.at("element"), KeySource::MachineSecret(self.at("secret")))
    }

    fn open(&self) -> Result<Software, Error> {
        Software::open(self.settings())
    }

    fn open_marked(&self) -> Result<Software, Error> {
        Software::open(self.settings().with_second(Second::File(self.at("mark"))))
    }

    fn store(&self) -> PathBuf {
        self.at("element/store")
    }
}

fn passphrase(words: &str) -> KeySource {
    KeySource::Passphrase { passphrase: Secret::new(words.into()), cost: CHEAP }
}

fn code(opened: Result<Software, Error>) -> &'static str {
    opened.unwrap_err().code()
}

#[test]
fn a_second_process_is_kept_out_until_the_first_is_done() {
    let machine = Machine::new();
    let first = machine.open().unwrap();
    assert_eq!(code(machine.open()), "element.busy");
    drop(first);
    machine.open().unwrap();
}

#[test]
fn each_damaged_octet_is_noticed_and_the_file_is_named() {
    let machine = Machine::new();
    machine.open().unwrap().create_key("ldevid", &KEY).unwrap();
    let good = fs::read(machine.store()).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(machine.store(), &bad).unwrap();
        match machine.open() {
            Err(Error::Corrupt(path)) => assert_eq!(path, machine.store()),
            other => panic!("octet {at}: {other:?}"),
        }
    }
    for len in (0..good.len()).step_by(7) {
        fs::write(machine.store(), &good[..len]).unwrap();
        assert_eq!(code(machine.open()), "element.store.corrupt", "{len} octets");
    }
    fs::write(machine.store(), vec![0; 5 << 20]).unwrap();
    assert_eq!(code(machine.open()), "element.store.corrupt", "too many octets");
    fs::write(machine.store(), &good).unwrap();
    assert!(machine.open().unwrap().public_key("ldevid").unwrap().is_some());
}

#[test]
fn what_is_changed_on_purpose_with_the_digest_made_again_is_noticed_too() {
    let machine = Machine::new();
    machine.open().unwrap().create_key("ldevid", &KEY).unwrap();
    let good = fs::read(machine.store()).unwrap();
    let body = good.len() - 32;
    for at in 0..body {
        let mut bad = good[..body].to_vec();
        bad[at] ^= 0x01;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bad);
        bad.extend_from_slice(digest.as_ref());
        fs::write(machine.store(), &bad).unwrap();
        let code = code(machine.open());
        // Magic and version; how the root key is made; the salt and the check; the rest.
        let expected: &[&str] = match at {
            8..10 => &["element.unsupported"],
            23..55 | 71..87 => &["element.foreign"],
            _ => &["element.store.corrupt"],
        };
        assert!(expected.contains(&code), "octet {at}: {code}");
    }
}

#[test]
fn a_store_of_another_machine_is_foreign_and_without_its_secret_it_is_not_made_anew() {
    let machine = Machine::new();
    machine.open().unwrap().create_key("ldevid", &KEY).unwrap();
    let ours = fs::read(machine.at("secret")).unwrap();
    assert_eq!(ours.len(), 32);
    fs::write(machine.at("secret"), [7; 32]).unwrap();
    assert_eq!(code(machine.open()), "element.foreign");
    fs::remove_file(machine.at("secret")).unwrap();
    assert_eq!(code(machine.open()), "element.state.file");
    assert!(!machine.at("secret").exists());
    fs::write(machine.at("secret"), [7; 31]).unwrap();
    assert_eq!(code(machine.open()), "element.input.bad");
    fs::write(machine.at("secret"), ours).unwrap();
    assert!(machine.open().unwrap().public_key("ldevid").unwrap().is_some());
}

#[test]
fn a_wrong_passphrase_is_told_from_damage_and_the_cost_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let open = |key| Software::open(Settings::new(folder.path().join("element"), key));
    open(passphrase("correct horse")).unwrap().create_key("ldevid", &KEY).unwrap();
    assert_eq!(code(open(passphrase("battery staple"))), "element.authorization.wrong");
    assert_eq!(code(open(passphrase(""))), "element.input.bad");
    let secret = KeySource::MachineSecret(folder.path().join("secret"));
    assert_eq!(code(open(secret)), "element.input.bad");
    let other = KeySource::Passphrase {
        passphrase: Secret::new(b"correct horse".to_vec()),
        cost: Cost { passes: 2, ..CHEAP },
    };
    assert!(open(other).unwrap().public_key("ldevid").unwrap().is_some());
    let dear = KeySource::Passphrase {
        passphrase: Secret::new(b"correct horse".to_vec()),
        cost: Cost { memory_kib: u32::MAX, ..CHEAP },
    };
    let elsewhere = Settings::new(folder.path().join("elsewhere"), dear);
    assert_eq!(code(Software::open(elsewhere)), "element.input.bad");
}

#[test]
fn nothing_secret_stands_in_the_file_and_others_may_not_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let machine = Machine::new();
    let mut element = machine.open_marked().unwrap();
    element.create_key("very-telling-name", &KEY).unwrap();
    element.store("value", b"a value that is secret").unwrap();
    let file = fs::read(machine.store()).unwrap();
    for clear in [&b"very-telling-name"[..], b"a value that is secret", b"p-256"] {
        assert!(!file.windows(clear.len()).any(|window| window == clear));
    }
    for path in [machine.store(), machine.at("secret"), machine.at("mark")] {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
    let mode = fs::metadata(machine.at("element")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
}

#[test]
fn an_older_store_is_refused_when_the_second_place_knows_a_newer_one() {
    let machine = Machine::new();
    let mut element = machine.open_marked().unwrap();
    element.create_key("ldevid", &KEY).unwrap();
    let old = fs::read(machine.store()).unwrap();
    element.increment("updates").unwrap();
    element.increment("updates").unwrap();
    drop(element);
    let new = fs::read(machine.store()).unwrap();

    fs::write(machine.store(), &old).unwrap();
    match machine.open_marked() {
        Err(Error::RolledBack(path)) => assert_eq!(path, machine.store()),
        other => panic!("{other:?}"),
    }
    fs::remove_file(machine.store()).unwrap();
    assert_eq!(code(machine.open_marked()), "element.store.rolled-back", "an empty one is older");
    fs::write(machine.store(), &new).unwrap();
    assert_eq!(machine.open_marked().unwrap().counter("updates").unwrap(), Some(2));
}

#[test]
fn the_second_place_cannot_be_left_out_lost_or_put_back() {
    let machine = Machine::new();
    let mut element = machine.open_marked().unwrap();
    let old = fs::read(machine.at("mark")).unwrap();
    element.increment("updates").unwrap();
    element.increment("updates").unwrap();
    drop(element);
    let mark = fs::read(machine.at("mark")).unwrap();

    assert_eq!(code(machine.open()), "element.input.bad", "left out");
    fs::remove_file(machine.at("mark")).unwrap();
    assert_eq!(code(machine.open_marked()), "element.store.rolled-back", "lost");
    fs::write(machine.at("mark"), &old).unwrap();
    assert_eq!(code(machine.open_marked()), "element.store.rolled-back", "put back");
    for at in 0..mark.len() {
        let mut bad = mark.clone();
        bad[at] ^= 1;
        fs::write(machine.at("mark"), &bad).unwrap();
        let code = code(machine.open_marked());
        let expected =
            if (8..24).contains(&at) { "element.foreign" } else { "element.store.corrupt" };
        assert_eq!(code, expected, "octet {at} of the mark");
    }
    fs::write(machine.at("mark"), &mark).unwrap();
    machine.open_marked().unwrap();
}

#[test]
fn a_change_cut_off_before_the_second_place_was_told_is_taken_over() {
    let machine = Machine::new();
    let mut element = machine.open_marked().unwrap();
    element.increment("updates").unwrap();
    let told = fs::read(machine.at("mark")).unwrap();
    element.increment("updates").unwrap();
    drop(element);
    // As if power went between the rename of the store and the mark.
    fs::write(machine.at("mark"), &told).unwrap();
    fs::write(machine.at("element/store.draft"), b"half a dra").unwrap();
    let mut element = machine.open_marked().unwrap();
    assert_eq!(element.counter("updates").unwrap(), Some(2));
    assert!(!machine.at("element/store.draft").exists());
    drop(element);
    assert_ne!(fs::read(machine.at("mark")).unwrap(), told, "and the second place is told");
    machine.open_marked().unwrap();
}

#[test]
fn another_change_of_the_same_generation_is_an_older_copy() {
    let machine = Machine::new();
    let mut element = machine.open_marked().unwrap();
    element.increment("updates").unwrap();
    drop(element);
    let (store, mark) = (fs::read(machine.store()).unwrap(), fs::read(machine.at("mark")).unwrap());
    machine.open_marked().unwrap().store("fork", b"one").unwrap();
    let fork = fs::read(machine.store()).unwrap();
    fs::write(machine.store(), &store).unwrap();
    fs::write(machine.at("mark"), &mark).unwrap();
    machine.open_marked().unwrap().store("fork", b"two").unwrap();
    fs::write(machine.store(), &fork).unwrap();
    assert_eq!(code(machine.open_marked()), "element.store.rolled-back");
}

#[test]
fn a_second_place_can_be_taken_later_and_then_guards_what_was_there() {
    let machine = Machine::new();
    let mut element = machine.open().unwrap();
    assert!(element.counting().is_none() && element.storage().is_none());
    element.create_key("ldevid", &KEY).unwrap();
    drop(element);
    let before = fs::read(machine.store()).unwrap();
    let mut element = machine.open_marked().unwrap();
    assert!(element.public_key("ldevid").unwrap().is_some());
    element.increment("updates").unwrap();
    drop(element);
    fs::write(machine.store(), &before).unwrap();
    assert_eq!(code(machine.open_marked()), "element.store.rolled-back");
}

/// Another element, which the first's generation is kept in.
fn other(folder: &Path) -> Box<dyn Element> {
    let secret = KeySource::MachineSecret(folder.join("other-secret"));
    let settings = Settings::new(folder.join("other"), secret);
    let mark = Second::File(folder.join("other-mark"));
    Box::new(Software::open(settings.with_second(mark)).unwrap())
}

#[test]
fn another_elements_storage_or_counter_is_a_second_place_too() {
    type Place = fn(Box<dyn Element>) -> Second;
    let storage: Place = |element| Second::Storage { element, name: "generation".into() };
    let counter: Place = |element| Second::Counter { element, name: "generation".into() };
    for place in [storage, counter] {
        let machine = Machine::new();
        let open =
            || Software::open(machine.settings().with_second(place(other(machine.0.path()))));
        let mut element = open().unwrap();
        element.increment("updates").unwrap();
        let old = fs::read(machine.store()).unwrap();
        element.increment("updates").unwrap();
        drop(element);
        assert_eq!(open().unwrap().counter("updates").unwrap(), Some(2));
        let new = fs::read(machine.store()).unwrap();
        fs::write(machine.store(), &old).unwrap();
        assert_eq!(code(open()), "element.store.rolled-back");
        fs::remove_file(machine.store()).unwrap();
        assert_eq!(code(open()), "element.store.rolled-back");
        fs::write(machine.store(), &new).unwrap();
        assert_eq!(open().unwrap().increment("updates").unwrap(), 3);
    }
}

#[test]
fn a_sealed_secret_is_foreign_elsewhere_and_needs_its_password() {
    let (here, there) = (Machine::new(), Machine::new());
    let mut element = here.open().unwrap();
    let sealed = element.seal(b"secret", &SealTo::default()).unwrap();
    let unsealed = there.open().unwrap().unseal(&sealed, None);
    assert_eq!(unsealed.unwrap_err().code(), "element.foreign");

    let to = SealTo { pcrs: None, password: Some(Secret::new(b"open".to_vec())) };
    let locked = element.seal(b"secret", &to).unwrap();
    let unsealed = element.unseal(&locked, None);
    assert_eq!(unsealed.unwrap_err().code(), "element.authorization.wrong");
    for at in 0..sealed.len() {
        let mut bad = sealed.clone();
        bad[at] ^= 1;
        assert!(element.unseal(&bad, None).is_err(), "octet {at}");
    }
}

#[test]
fn a_store_that_is_full_says_so_and_stays_as_it_was() {
    let machine = Machine::new();
    let mut element = machine.open_marked().unwrap();
    element.create_key("ldevid", &KEY).unwrap();
    let large = vec![7; 64 * 1024];
    let full = (0..100).find_map(|n| {
        let name = format!("key-{n}");
        element.create_key(&name, &KEY).err().or(element.store_certificate(&name, &large).err())
    });
    assert_eq!(full.unwrap().code(), "element.exhausted");
    assert!(element.public_key("ldevid").unwrap().is_some());
    element.delete_key("key-0").unwrap();
    element.store_certificate("ldevid", &large).unwrap();
}

#[test]
fn a_disk_that_fails_is_named_and_the_element_goes_on_when_it_is_back() {
    let machine = Machine::new();
    let mut element = machine.open().unwrap();
    element.create_key("first", &KEY).unwrap();
    // A folder stands where the draft should be written: for root too, that cannot be.
    fs::create_dir(machine.at("element/store.draft")).unwrap();
    let failed = element.create_key("second", &KEY).unwrap_err();
    assert_eq!(failed.code(), "element.state.file");
    assert!(element.public_key("first").unwrap().is_some());
    assert!(element.public_key("second").unwrap().is_none(), "what failed did not happen");
    fs::remove_dir(machine.at("element/store.draft")).unwrap();
    element.create_key("second", &KEY).unwrap();
    drop(element);
    assert_eq!(machine.open().unwrap().keys().unwrap().len(), 2);
}
