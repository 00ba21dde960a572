//! What goes wrong, and what is left behind when it did.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod lab;

use lab::{
    NO_DA, WITH_VALUE, codes, primary, recorded, seal, set_hierarchy, severable, talk, unseal,
};
use touchstone_crypto_awslc::AwsLc;
use touchstone_peers::{Swtpm, tool};
use touchstone_tpm2::admin::Startup;
use touchstone_tpm2::kdf::{kdfa, kdfe};
use touchstone_tpm2::nv::{Attributes, NewIndex, Party};
use touchstone_tpm2::template::srk;
use touchstone_tpm2::transport::Control;
use touchstone_tpm2::{
    Auth, Command, Error, Hierarchy, Lockout, NewSession, Slots, TransportError, code,
    response_code,
};

/// How often an authorization was found wrong.
fn wrong(seen: &lab::Recording) -> usize {
    let seen = seen.lock().unwrap();
    let number = |octets: &[u8]| u32::from_be_bytes(octets[6..10].try_into().unwrap());
    let pairs = seen.chunks(2).filter(|pair| number(&pair[0]) == code::UNSEAL.number);
    pairs.filter(|pair| response_code::base(number(&pair[1])) == response_code::AUTH_FAIL).count()
}

fn owners() -> NewIndex {
    let owner = [Party::Owner];
    let attributes = Attributes::new().written_by(&owner).read_by(&owner);
    NewIndex::ordinary(0x0180_0001, 8).attributes(attributes)
}

#[test]
fn a_wrong_value_is_tried_once_and_the_error_tells_how_many_are_left() {
    let swtpm = Swtpm::blank();
    let (mut tpm, seen) = recorded(&swtpm);
    let sealed = seal(&mut tpm, WITH_VALUE, &[], b"pin", b"data");
    let start = tpm.lockout().unwrap();
    assert!(start.failed == 0 && start.allowed > 1, "{start:?}");
    for tries in 1..start.allowed {
        match unseal(&mut tpm, &sealed, Auth::value(b"nip")) {
            Err(error @ Error::WrongAuthorization { refusal, lockout: Some(lockout) }) => {
                assert!(refusal.is(response_code::AUTH_FAIL));
                assert_eq!(lockout, Lockout { failed: tries, ..start });
                let left = format!("{} more wrong ones lock the TPM", start.allowed - tries);
                assert!(error.to_string().contains(&left), "{error}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(wrong(&seen), usize::try_from(tries).unwrap());
    }
    assert!(unseal(&mut tpm, &sealed, Auth::value(b"nip")).is_err());
    // Right or wrong, it is locked; and the error says what to do.
    match unseal(&mut tpm, &sealed, Auth::value(b"pin")) {
        Err(error @ Error::LockedOut(lockout)) => {
            assert!(lockout.is_locked() && lockout.tries_left() == 0);
            let words = error.to_string();
            assert!(words.contains("wait 16 min") && words.contains("--clear-lockout"), "{words}");
        }
        other => panic!("{other:?}"),
    }
    let by = Hierarchy::Lockout.entity();
    let reset = Command::new(code::DICTIONARY_ATTACK_LOCK_RESET).authorized(&by, Auth::empty());
    tpm.run(&reset).unwrap();
    assert_eq!(unseal(&mut tpm, &sealed, Auth::value(b"pin")).unwrap(), b"data");
    assert_eq!(tpm.lockout().unwrap(), start);
    drop(tpm);
    nothing_is_left(&swtpm);
}

fn nothing_is_left(swtpm: &Swtpm) {
    // Without `talk`, which would clean up.
    let (mut tpm, _) = recorded(swtpm);
    for first in [0x8000_0000, 0x0200_0000, 0x0300_0000] {
        assert_eq!(tpm.handles(first).unwrap(), Vec::<u32>::new(), "{first:x}");
    }
}

#[test]
fn a_wrong_value_that_does_not_count_says_so() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let sealed = seal(&mut tpm, WITH_VALUE | NO_DA, &[], b"pin", b"data");
    match unseal(&mut tpm, &sealed, Auth::value(b"nip")) {
        Err(Error::WrongAuthorization { refusal, lockout: None }) => {
            assert!(refusal.is(response_code::BAD_AUTH));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(tpm.lockout().unwrap().failed, 0);
    set_hierarchy(&mut tpm, Hierarchy::Owner, b"owner");
    tpm.hierarchies.owner = touchstone_tpm2::AuthValue::new(b"another");
    let defined = tpm.nv_define(Hierarchy::Owner, &owners());
    assert!(matches!(defined, Err(Error::WrongAuthorization { .. })), "{defined:?}");
}

#[test]
fn a_tpm_full_of_objects_says_so_and_ours_make_room() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    // Ours stands in the way of the third, and goes.
    tpm.srk().unwrap();
    let keys: Vec<_> = (0..3).map(|_| primary(&mut tpm, Hierarchy::Owner, srk())).collect();
    let new = touchstone_tpm2::NewObject::new(srk());
    let full = tpm.create_primary(Hierarchy::Owner, Auth::empty(), &new).unwrap_err();
    assert_eq!(full, Error::Exhausted(Slots::Objects));
    assert!(full.to_string().contains("tpm2_flushcontext -t"), "{full}");
    tpm.flush(keys[0].entity.handle).unwrap();
    tpm.random(&mut [0; 8]).unwrap();
    drop(tpm);
    nothing_is_left(&swtpm);
}

#[test]
fn a_tpm_full_of_sessions_says_so_and_ours_make_room() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    tpm.random(&mut [0; 8]).unwrap();
    let own: Vec<_> = (0..3).map(|_| tpm.start(&NewSession::hmac()).unwrap()).collect();
    let full = tpm.start(&NewSession::hmac()).unwrap_err();
    assert_eq!(full, Error::Exhausted(Slots::Sessions));
    assert_eq!(tpm.random(&mut [0; 8]), Err(Error::Exhausted(Slots::Sessions)));
    tpm.end(own[1]).unwrap();
    tpm.random(&mut [0; 8]).unwrap();
    drop(tpm);
    nothing_is_left(&swtpm);
}

#[test]
fn what_a_killed_predecessor_left_is_recovered() {
    let swtpm = Swtpm::blank_tcp();
    for _ in 0..2 {
        swtpm.tool(&["tpm2_createprimary", "-G", "ecc", "-Q"]);
    }
    for name in ["one.ctx", "two.ctx", "three.ctx", "four.ctx"] {
        swtpm.tool(&["tpm2_startauthsession", "-S", name]);
    }
    let (mut killed, sever) = severable(&swtpm);
    killed.start(&NewSession::policy(touchstone_crypto::HashAlgorithm::Sha256)).unwrap();
    sever();
    assert_eq!(killed.srk().unwrap_err(), Error::Transport(TransportError::Closed));
    drop(killed);
    drop(talk(&swtpm));
    swtpm.assert_nothing_is_loaded();
}

#[test]
fn a_tpm_that_fails_for_real_says_so_to_whatever_it_is_asked_and_comes_back_with_power() {
    let swtpm = Swtpm::blank();
    let (mut tpm, seen) = recorded(&swtpm);
    let sealed = seal(&mut tpm, WITH_VALUE, &[], b"pin", b"data");
    let root = tpm.srk().unwrap().entity.name;
    assert!(!tpm.test_result().unwrap().is_failure());
    // It cannot store what it is told to: libtpms enters failure mode in that command.
    swtpm.wear_out();
    let failed = tpm.nv_define(Hierarchy::Owner, &owners()).unwrap_err();
    assert!(matches!(failed, Error::Failed { result: Some(_) }), "{failed:?}");
    assert!(failed.to_string().contains("power the device off and on"), "{failed}");
    let sent = seen.lock().unwrap().len();
    for failed in [
        tpm.random(&mut [0; 8]).unwrap_err(),
        unseal(&mut tpm, &sealed, Auth::value(b"pin")).unwrap_err(),
        tpm.self_test(true).unwrap_err(),
        // What it answers is about something else.
        tpm.handles(0x8000_0000).unwrap_err(),
        tpm.lockout().unwrap_err(),
        tpm.pcr_banks().unwrap_err(),
    ] {
        assert!(matches!(failed, Error::Failed { result: Some(_) }), "{failed:?}");
    }
    assert!(tpm.test_result().unwrap().is_failure());
    // Nothing is tried for long: a command, and the question of how it is.
    assert!(seen.lock().unwrap().len() - sent <= 2 * 2 * 8, "{:?}", codes(&seen));
    // Somebody who comes only now.
    drop(tpm);
    let (mut late, _) = recorded(&swtpm);
    assert!(matches!(late.recover(), Err(Error::Failed { .. })));
    drop(late);

    // The cause is gone, and still it fails, until it has been without power.
    swtpm.repair();
    let mut control = Control::unix(swtpm.control_socket()).unwrap();
    let (mut tpm, _) = recorded(&swtpm);
    assert!(matches!(tpm.random(&mut [0; 8]), Err(Error::Failed { .. })));
    control.init().unwrap();
    assert!(tpm.startup(Startup::Clear).unwrap());
    tpm.random(&mut [0; 8]).unwrap();
    assert_eq!(tpm.srk().unwrap().entity.name, root);
    tpm.nv_define(Hierarchy::Owner, &owners()).unwrap();
    drop(tpm);
    nothing_is_left(&swtpm);
}

/// A deterministic source of test octets; the tools compute the same from them.
fn octets(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|at| seed.wrapping_mul(31).wrapping_add(u8::try_from(at % 251).unwrap())).collect()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |hex, octet| format!("{hex}{octet:02x}"))
}

fn openssl_kdf(options: &[(&str, String)], len: usize, algorithm: &str) -> Vec<u8> {
    let len = len.to_string();
    let options: Vec<String> =
        options.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    let mut arguments = vec!["kdf", "-binary", "-keylen", &len];
    for option in &options {
        arguments.extend(["-kdfopt", option.as_str()]);
    }
    arguments.push(algorithm);
    tool("openssl", std::path::Path::new("/"), &arguments)
}

#[test]
fn kdfa_is_openssl_s_counter_mode_of_sp_800_108() {
    for (round, hash) in touchstone_crypto::HashAlgorithm::ALL.into_iter().enumerate() {
        let seed = u8::try_from(round).unwrap() + 1;
        for (label, len) in [("ATH", hash.len()), ("CFB", 48), ("STORAGE", 16), ("INTEGRITY", 100)]
        {
            let (key, u, v) = (octets(seed, 32), octets(seed + 4, 16), octets(seed + 9, 32));
            let ours = kdfa(&AwsLc, hash, &key, label.as_bytes(), &u, &v, len).unwrap();
            let theirs = openssl_kdf(
                &[
                    ("mac", "HMAC".to_owned()),
                    ("digest", hash.name().to_uppercase()),
                    ("hexkey", hex(&key)),
                    ("salt", label.to_owned()),
                    ("hexinfo", hex(&[u, v].concat())),
                ],
                len,
                "KBKDF",
            );
            assert_eq!(hex(&ours), hex(&theirs), "{hash} {label} {len}");
        }
    }
}

#[test]
fn kdfe_is_openssl_s_one_step_derivation_of_sp_800_56c() {
    for hash in touchstone_crypto::HashAlgorithm::ALL {
        for label in ["SECRET", "IDENTITY", "DUPLICATE"] {
            let (z, u, v) = (octets(3, 32), octets(5, 32), octets(7, 32));
            let ours = kdfe(&AwsLc, hash, &z, label.as_bytes(), &u, &v);
            let info = [label.as_bytes(), &[0], &u, &v].concat();
            let theirs = openssl_kdf(
                &[
                    ("digest", hash.name().to_uppercase()),
                    ("hexkey", hex(&z)),
                    ("hexinfo", hex(&info)),
                ],
                hash.len(),
                "SSKDF",
            );
            assert_eq!(hex(&ours), hex(&theirs), "{hash} {label}");
        }
    }
}

#[test]
fn the_names_of_objects_and_indices_are_those_that_tpm2_tools_print() {
    let swtpm = Swtpm::blank_tcp();
    let mut tpm = talk(&swtpm);
    let mut names = Vec::new();
    for (at, certificate) in [0x01C0_0002, 0x01C0_000A, 0x01C0_0016].into_iter().enumerate() {
        let key = lab::endorsement(&mut tpm, certificate);
        let persistent = 0x8101_0010 + u32::try_from(at).unwrap();
        names.push((persistent, key.entity.name.clone()));
        tpm.make_persistent(Hierarchy::Owner, &key, persistent).unwrap();
        tpm.flush(key.entity.handle).unwrap();
    }
    let index = tpm.nv_define(Hierarchy::Owner, &owners()).unwrap();
    drop(tpm);
    for (handle, name) in names {
        let handle = format!("0x{handle:x}");
        swtpm.tool(&["tpm2_readpublic", "-c", &handle, "-n", "name"]);
        assert_eq!(swtpm.read("name"), name);
    }
    let shown = String::from_utf8(swtpm.tool(&["tpm2_nvreadpublic", "0x1800001"])).unwrap();
    assert!(shown.contains(&hex(&index.entity.name)), "{shown}");
}
