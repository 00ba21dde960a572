//! Killed in the middle of writes, many times: nothing that was acknowledged is lost, and what was
//! not is there whole or not at all. And what only another process can show: credentials.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use touchstone_crypto::{Crypto, SignatureAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{Counting, Element, KeyAlgorithm, KeySpec, KeyUse, Storage};
use touchstone_element_software::{KeySource, Second, Settings, Software};

const FOLDER: &str = "TOUCHSTONE_CRASH_FOLDER";
const KEY: KeySpec = KeySpec::new(KeyUse::Sign, KeyAlgorithm::P256);

fn open(folder: &Path) -> Software {
    let settings =
        Settings::new(folder.join("element"), KeySource::MachineSecret(folder.join("secret")));
    Software::open(settings.with_second(Second::File(folder.join("mark")))).unwrap()
}

/// The child's part, started by the test below: changes the element for ever and says each time how
/// far it has come, after the change was acknowledged.
#[test]
#[ignore = "the child of another test"]
fn writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let mut element = open(Path::new(&folder));
    let mut out = std::io::stdout();
    loop {
        let count = element.increment("count").unwrap();
        element.store("value", &count.to_be_bytes()).unwrap();
        element.create_key("next", &KEY).unwrap();
        element.rename_key("next", "current").unwrap();
        writeln!(out, "done {count}").unwrap();
        out.flush().unwrap();
    }
}

fn child(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command
}

#[test]
fn kill_9_in_the_middle_of_writes_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let mut acknowledged = 0;
    for round in 0..60_u64 {
        let mut child = child("writes_until_it_is_killed")
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = lines.map_while(Result::ok).filter_map(|line| {
            line.split_once("done ").and_then(|(_, count)| count.trim().parse::<u64>().ok())
        });
        acknowledged = seen.next().expect("the child writes").max(acknowledged);
        // Somewhere in the next few changes, elsewhere each round.
        std::thread::sleep(Duration::from_micros(round * 797 % 9000));
        child.kill().unwrap();
        acknowledged = seen.fold(acknowledged, u64::max);
        child.wait().unwrap();

        let mut element = open(folder.path());
        let count = element.counter("count").unwrap().unwrap();
        assert!(
            count == acknowledged || count == acknowledged + 1,
            "round {round}: {count} is there, {acknowledged} was acknowledged"
        );
        let value = element.load("value").unwrap().unwrap();
        let value = u64::from_be_bytes(value.try_into().unwrap());
        assert!((acknowledged..=count).contains(&value), "round {round}: {value}");
        let key = element.public_key("current").unwrap().unwrap();
        let how = SignatureAlgorithm::EcdsaP256Sha256;
        let signature = element.sign("current", how, b"alive").unwrap();
        AwsLc.verify(how, &key.spki_der, b"alive", &signature).unwrap();
        element.delete_key("next").unwrap();
    }
    assert!(acknowledged >= 60);
}

/// The child's part of the next test.
#[test]
#[ignore = "the child of another test"]
fn opens_by_credential() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let key = KeySource::Credential("element".into());
    let opened = Software::open(Settings::new(Path::new(&folder).join("element"), key));
    let said = match opened.and_then(|mut element| element.create_key("ldevid", &KEY)) {
        Ok(_) => "created".to_owned(),
        Err(error) => error.code().to_owned(),
    };
    println!("said {said}");
}

#[test]
fn a_store_opens_by_the_credential_that_systemd_gives_and_by_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let says = |credentials: Option<&str>| {
        let mut command = child("opens_by_credential");
        command.env(FOLDER, folder.path()).env_remove("CREDENTIALS_DIRECTORY");
        if let Some(name) = credentials {
            command.env("CREDENTIALS_DIRECTORY", folder.path().join(name));
        }
        let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
        output.lines().find_map(|line| line.split_once("said ")).unwrap().1.to_owned()
    };
    for (name, secret) in [("right", [1; 32]), ("wrong", [2; 32])] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        std::fs::write(folder.path().join(name).join("element"), secret).unwrap();
    }
    std::fs::create_dir(folder.path().join("none")).unwrap();
    assert_eq!(says(None), "element.input.bad");
    assert_eq!(says(Some("none")), "element.state.file");
    assert_eq!(says(Some("right")), "created");
    assert_eq!(says(Some("wrong")), "element.foreign");
    assert_eq!(says(Some("right")), "element.key.exists");
    for name in ["", "..", "a/b"] {
        let key = KeySource::Credential(name.into());
        let opened = Software::open(Settings::new(folder.path().join("other"), key));
        assert_eq!(opened.unwrap_err().code(), "element.input.bad", "`{name}`");
    }
}
