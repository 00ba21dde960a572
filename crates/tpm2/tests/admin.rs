//! Administering a real TPM, and what tpm2-tools see of it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod lab;

use lab::{recorded, talk};
use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_peers::Swtpm;
use touchstone_tpm2::admin::{ClockRate, Shutdown, Startup};
use touchstone_tpm2::nv::{Attributes, By, NewIndex, Party};
use touchstone_tpm2::transport::{Control, Stream};
use touchstone_tpm2::{
    Auth, AuthValue, Error, Hierarchy, Locality, PcrSelection, Tpm, Transport, TransportError, code,
};

/// Every register.
const ALL: [u8; 24] =
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23];

/// What a tool prints, line by line, without the space around.
fn lines(swtpm: &Swtpm, arguments: &[&str]) -> Vec<String> {
    let said = String::from_utf8(swtpm.tool(arguments)).unwrap();
    said.lines().map(|line| line.trim().to_owned()).collect()
}

/// The numbers behind `key` in what a tool prints.
fn numbers(lines: &[String], key: &str) -> Vec<u32> {
    let values = lines.iter().filter_map(|line| line.strip_prefix(key));
    values
        .map(|hex| u32::from_str_radix(hex.trim().trim_start_matches("0x"), 16).unwrap())
        .collect()
}

#[test]
fn a_tpm_is_started_once_and_shut_down_in_order() {
    let swtpm = Swtpm::bare();
    Control::unix(swtpm.control_socket()).unwrap().init().unwrap();
    let stream = Stream::unix(swtpm.socket()).unwrap();
    let mut tpm = Tpm::new(Box::new(stream), &AwsLc);
    let early = tpm.random(&mut [0; 8]).unwrap_err();
    assert!(early.to_string().contains("TPM_RC_INITIALIZE"), "{early}");
    assert_eq!(tpm.startup(Startup::Clear), Ok(true));
    assert_eq!(tpm.startup(Startup::Clear), Ok(false));
    tpm.random(&mut [0; 8]).unwrap();
    tpm.shutdown(Shutdown::State).unwrap();
    tpm.shutdown(Shutdown::Clear).unwrap();
}

#[test]
fn self_tests_end_with_a_result_in_words() {
    let swtpm = Swtpm::blank_tcp();
    {
        let mut tpm = talk(&swtpm);
        tpm.self_test(false).unwrap();
        tpm.self_test(true).unwrap();
        let left = tpm.incremental_self_test(&[0x0B, 0x06]).unwrap();
        assert_eq!(left, Vec::<u16>::new());
        let result = tpm.test_result().unwrap();
        assert!(result.is_good() && !result.is_failure(), "{result}");
        assert_eq!(result.to_string(), "every test passed");
    }
    swtpm.tool(&["tpm2_selftest", "--fulltest"]);
    let theirs = lines(&swtpm, &["tpm2_gettestresult"]);
    assert!(theirs.iter().any(|line| line.contains("success")), "{theirs:?}");
}

#[test]
fn everything_listed_is_what_tpm2_getcap_lists() {
    let swtpm = Swtpm::blank_tcp();
    let getcap = |what| lines(&swtpm, &["tpm2_getcap", what]);
    let algorithms = getcap("algorithms");
    let commands = getcap("commands");
    let fixed = getcap("properties-fixed");
    let curves = getcap("ecc-curves");
    let banks = getcap("pcrs");
    let mut tpm = talk(&swtpm);

    let ours = tpm.algorithms().unwrap();
    let ids: Vec<u32> = ours.iter().map(|one| u32::from(one.id)).collect();
    assert_eq!(ids, numbers(&algorithms, "value:"));
    for one in &ours {
        let name = one.name().unwrap_or_else(|| panic!("{:04x} has no name", one.id));
        let theirs = name.replace("sha3-", "sha3_").replace("kdf1-sp800-", "kdf1_sp800_");
        let listed = algorithms.contains(&format!("{theirs}:"));
        assert!(listed, "{theirs} in {algorithms:?}");
    }

    let ours = tpm.commands().unwrap();
    let raw: Vec<u32> = ours.iter().map(|one| one.0).collect();
    assert_eq!(raw, numbers(&commands, "value:"));
    let quote = ours.iter().find(|one| one.code() == Some(code::QUOTE)).unwrap();
    assert_eq!((quote.handles(), quote.makes_handle(), quote.writes()), (1, false, false));
    for one in &ours {
        if let Some(code) = one.code() {
            assert_eq!(one.makes_handle(), code.makes_handle, "{}", code.name);
        }
    }

    let raw = numbers(&fixed, "raw:");
    let listed = tpm.properties(0x100).unwrap();
    let values = listed.iter().filter(|(number, _)| *number < 0x12E).map(|(_, value)| *value);
    assert_eq!(values.collect::<Vec<u32>>(), raw);
    let fixed = tpm.properties_fixed().unwrap();
    assert_eq!((fixed.maker().as_str(), fixed.pcr_count), ("IBM", 24));
    assert!(fixed.nv_buffer_max >= 512 && fixed.max_command >= 1024);

    let ids: Vec<u16> = tpm.curves().unwrap();
    assert_eq!(ids.len(), curves.len());
    assert!(ids.contains(&3) && ids.contains(&4));

    let allocation = tpm.pcr_allocation().unwrap();
    assert_eq!(allocation.len() + 1, banks.len(), "{banks:?}");
    assert!(allocation.iter().any(|(bank, pcrs)| *bank == 0x0B && *pcrs == ALL));
    // Registers 16 and 23 can be reset from everywhere: TPM_PT_PCR_RESET_L0.
    let resettable = tpm.pcr_properties().unwrap();
    let resettable = resettable.iter().find(|one| one.property == 2).unwrap();
    assert_eq!(resettable.pcrs, [16, 23]);

    let persistent = tpm.all_handles(0x8100_0000).unwrap();
    assert_eq!(persistent, Vec::<u32>::new());
    assert_eq!(tpm.all_handles(0).unwrap(), (0..24).collect::<Vec<u32>>());
    assert!(tpm.audited_commands().unwrap().contains(&code::SET_COMMAND_CODE_AUDIT_STATUS.number));
    tpm.presence_commands().unwrap();
}

#[test]
fn registers_take_events_and_resets_and_their_banks_change_with_the_next_start() {
    let mut swtpm = Swtpm::blank_tcp();
    let sha256 = HashAlgorithm::Sha256;
    let at = PcrSelection::new(sha256, &[16]).unwrap();
    {
        let mut tpm = talk(&swtpm);
        let digests = tpm.pcr_event(16, b"event").unwrap();
        let ours = digests.iter().find(|digest| digest.algorithm() == sha256).unwrap();
        assert_eq!(*ours, AwsLc.hash(sha256, &[b"event"]));
        let value = tpm.pcr_read(&at).unwrap()[0];
        assert_eq!(value, AwsLc.hash(sha256, &[&[0; 32], ours.as_bytes()]));
    }
    let theirs = lines(&swtpm, &["tpm2_pcrread", "sha256:16"]).join(" ").to_lowercase();
    {
        let mut tpm = talk(&swtpm);
        let value = tpm.pcr_read(&at).unwrap()[0].to_hex();
        assert!(theirs.contains(&value), "{theirs}");
        tpm.pcr_reset(16).unwrap();
        assert_eq!(tpm.pcr_read(&at).unwrap()[0].as_bytes(), [0; 32]);
        let refused = tpm.pcr_reset(0).unwrap_err();
        assert!(refused.to_string().contains("TPM_RC_LOCALITY"), "{refused}");
        assert!(matches!(tpm.pcr_reset(24), Err(Error::BadInput(_))));

        let whole = PcrSelection::new(sha256, &ALL).unwrap();
        let others = [HashAlgorithm::Sha1, HashAlgorithm::Sha384].map(|bank| (bank, None));
        let room = tpm.pcr_allocate(&[(sha256, Some(whole)), others[0], others[1]]).unwrap();
        assert!(room.max_pcr == 24 && room.needed <= room.available, "{room:?}");
    }
    swtpm.restart();
    let mut tpm = talk(&swtpm);
    let banks = tpm.pcr_banks().unwrap();
    assert!(banks.contains(&sha256), "{banks:?}");
    assert!(!banks.contains(&HashAlgorithm::Sha1), "{banks:?}");
    assert!(!banks.contains(&HashAlgorithm::Sha384), "{banks:?}");
    drop(tpm);
    swtpm.tool(&["tpm2_pcrallocate", "sha1:none+sha256:all+sha384:all"]);
    swtpm.restart();
    let banks = talk(&swtpm).pcr_banks().unwrap();
    assert!(banks.contains(&HashAlgorithm::Sha384), "{banks:?}");
}

#[test]
fn a_register_of_a_dynamic_launch_is_reset_from_its_locality_alone() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let at = PcrSelection::new(HashAlgorithm::Sha256, &[20]).unwrap();
    assert_eq!(tpm.pcr_read(&at).unwrap()[0].as_bytes(), [0xFF; 32], "no launch yet");
    let refused = tpm.pcr_reset(20).unwrap_err();
    assert!(refused.to_string().contains("TPM_RC_LOCALITY"), "{refused}");
    let mut control = Control::unix(swtpm.control_socket()).unwrap();
    control.set_locality(Locality::Two).unwrap();
    tpm.pcr_reset(20).unwrap();
    assert_eq!(tpm.pcr_read(&at).unwrap()[0].as_bytes(), [0; 32]);
    control.set_locality(Locality::Zero).unwrap();
    assert!(tpm.pcr_reset(20).is_err());

    let value = AuthValue::new(b"value");
    tpm.set_pcr_auth(20, Auth::empty(), &value).unwrap();
    let without = tpm.set_pcr_auth(20, Auth::empty(), &value);
    assert!(matches!(without, Err(Error::WrongAuthorization { .. })), "{without:?}");
    tpm.set_pcr_auth(20, Auth::Value(value), &AuthValue::default()).unwrap();
    assert!(tpm.set_pcr_auth(0, Auth::empty(), &AuthValue::default()).is_err(), "it has no value");
}

/// Uses an index with a wrong value.
fn guess(tpm: &mut Tpm) -> Error {
    let index = tpm.nv_find(0x0180_0001).unwrap();
    tpm.nv_read_all(&index, &By::Index(Auth::value(b"wrong"))).unwrap_err()
}

#[test]
fn guessing_locks_the_tpm_and_the_lockouts_value_unlocks_it() {
    let swtpm = Swtpm::blank_tcp();
    {
        let mut tpm = talk(&swtpm);
        tpm.set_lockout(3, 7200, 86_400).unwrap();
        tpm.change_hierarchy_auth(Hierarchy::Lockout, &AuthValue::new(b"unlock")).unwrap();
        let users = [Party::Value];
        let attributes = Attributes::new().written_by(&users).read_by(&users);
        let value = AuthValue::new(b"right");
        let new = NewIndex::ordinary(0x0180_0001, 2).attributes(attributes).auth(value);
        let mut index = tpm.nv_define(Hierarchy::Owner, &new).unwrap();
        tpm.nv_write(&mut index, &By::Index(Auth::value(b"right")), b"ok", 0).unwrap();
        for tried in 1..=3 {
            let error = guess(&mut tpm);
            assert!(error.to_string().contains("TPM_RC_AUTH_FAIL"), "{error}");
            assert_eq!(tpm.lockout().unwrap().failed, tried);
        }
        let state = tpm.lockout().unwrap();
        assert!(state.is_locked() && state.tries_left() == 0);
        assert_eq!((state.allowed, state.interval, state.recovery), (3, 7200, 86_400));
        let right = tpm.nv_read_all(&index, &By::Index(Auth::value(b"right"))).unwrap_err();
        assert!(right.to_string().contains("locked after 3 wrong"), "{right}");
        assert!(right.to_string().contains("wait 2 h"), "{right}");
        assert_eq!(tpm.lockout().unwrap().failed, 3, "a locked TPM counts no more");
        tpm.reset_lockout().unwrap();
        assert!(!tpm.lockout().unwrap().is_locked());
        let right = tpm.nv_read_all(&index, &By::Index(Auth::value(b"right"))).unwrap();
        assert_eq!(right[..], *b"ok");
        assert!(guess(&mut tpm).to_string().contains("TPM_RC_AUTH_FAIL"));
    }
    let theirs = lines(&swtpm, &["tpm2_getcap", "properties-variable"]);
    assert!(theirs.contains(&"TPM2_PT_LOCKOUT_COUNTER: 0x1".to_owned()), "{theirs:?}");
    assert!(theirs.contains(&"TPM2_PT_MAX_AUTH_FAIL: 0x3".to_owned()));
    let set = ["tpm2_dictionarylockout", "-s", "-n", "5", "-t", "60", "-l", "90", "-p", "unlock"];
    swtpm.tool(&set);
    swtpm.tool(&["tpm2_dictionarylockout", "-c", "-p", "unlock"]);
    let state = talk(&swtpm).lockout().unwrap();
    assert_eq!((state.failed, state.allowed, state.interval, state.recovery), (0, 5, 60, 90));

    // A wrong lockout value is one try for a long time.
    let mut tpm = talk(&swtpm);
    tpm.hierarchies.lockout = AuthValue::new(b"wrong");
    assert!(tpm.reset_lockout().unwrap_err().to_string().contains("TPM_RC_AUTH_FAIL"));
    tpm.hierarchies.lockout = AuthValue::new(b"unlock");
    let error = tpm.reset_lockout().unwrap_err();
    assert_eq!(error.code(), "tpm2.authorization.locked-out", "{error}");
}

#[test]
fn values_of_hierarchies_change_unheard_and_clearing_ends_them() {
    const OWNER: &[u8] = b"the value of the owner hierarchy";
    let swtpm = Swtpm::blank_tcp();
    swtpm.tool(&["tpm2_changeauth", "-c", "o", "first"]);
    {
        let mut tpm = talk(&swtpm);
        tpm.hierarchies.owner = AuthValue::new(b"first");
        tpm.change_hierarchy_auth(Hierarchy::Owner, &AuthValue::new(OWNER)).unwrap();
        tpm.change_hierarchy_auth(Hierarchy::Endorsement, &AuthValue::new(b"endorse")).unwrap();
        tpm.change_hierarchy_auth(Hierarchy::Lockout, &AuthValue::new(b"unlock")).unwrap();
        let new = NewIndex::ordinary(0x0180_0001, 2)
            .attributes(Attributes::new().written_by(&[Party::Owner]).read_by(&[Party::Owner]));
        let mut index = tpm.nv_define(Hierarchy::Owner, &new).unwrap();
        tpm.nv_write(&mut index, &By::Owner, b"ok", 0).unwrap();
    }
    let value = std::str::from_utf8(OWNER).unwrap();
    assert_eq!(swtpm.tool(&["tpm2_nvread", "0x1800001", "-C", "o", "-P", value]), b"ok");
    swtpm.tool(&["tpm2_changeauth", "-c", "o", "-p", value, "again"]);
    {
        let mut tpm = talk(&swtpm);
        tpm.hierarchies.owner = AuthValue::new(b"again");
        let index = tpm.nv_find(0x0180_0001).unwrap();
        assert_eq!(tpm.nv_read_all(&index, &By::Owner).unwrap()[..], *b"ok");
        tpm.hierarchies.lockout = AuthValue::new(b"unlock");
        tpm.control_clear(Hierarchy::Lockout, false).unwrap();
        let refused = tpm.clear(Hierarchy::Lockout).unwrap_err();
        assert!(refused.to_string().contains("TPM_RC_DISABLED"), "{refused}");
        tpm.control_clear(Hierarchy::Platform, true).unwrap();
        tpm.clear(Hierarchy::Lockout).unwrap();
        assert_eq!(tpm.nv_index(0x0180_0001), Ok(None));
        assert!(tpm.hierarchies.owner.is_empty() && tpm.hierarchies.lockout.is_empty());
        // The conversation goes on, with a new storage root key.
        tpm.change_hierarchy_auth(Hierarchy::Owner, &AuthValue::new(b"new")).unwrap();
    }
    swtpm.tool(&["tpm2_changeauth", "-c", "o", "-p", "new"]);
    swtpm.tool(&["tpm2_clearcontrol", "-C", "l", "s"]);
    assert!(talk(&swtpm).clear(Hierarchy::Lockout).is_err());
    swtpm.tool(&["tpm2_clearcontrol", "-C", "p", "c"]);
    swtpm.tool(&["tpm2_clear"]);
    swtpm.assert_nothing_is_loaded();
}

#[test]
fn who_listens_to_a_change_of_value_learns_nothing() {
    let swtpm = Swtpm::blank();
    let (mut tpm, seen) = recorded(&swtpm);
    let values: [&[u8]; 2] =
        [b"the first value of the owner....", b"the second value of the owner..."];
    for value in values {
        tpm.change_hierarchy_auth(Hierarchy::Owner, &AuthValue::new(value)).unwrap();
    }
    let seen = seen.lock().unwrap();
    for value in values {
        assert!(!seen.iter().any(|message| message.windows(32).any(|part| part == value)));
    }
}

#[test]
fn hierarchies_are_disabled_and_have_policies() {
    let swtpm = Swtpm::blank_tcp();
    let mut tpm = talk(&swtpm);
    tpm.srk().unwrap();
    tpm.control_hierarchy(Hierarchy::Owner, Hierarchy::Owner, false).unwrap();
    let refused = tpm.srk().unwrap_err();
    assert!(refused.to_string().contains("TPM_RC_HIERARCHY"), "{refused}");
    assert_eq!(tpm.properties_variable().unwrap().startup_clear & 2, 0);
    tpm.control_hierarchy(Hierarchy::Platform, Hierarchy::Owner, true).unwrap();
    tpm.srk().unwrap();

    let digest = AwsLc.hash(HashAlgorithm::Sha256, &[b"a policy"]);
    tpm.set_primary_policy(Hierarchy::Endorsement, Some(&digest)).unwrap();
    let policies = tpm.auth_policies().unwrap();
    let found = policies.iter().find(|one| one.handle == Hierarchy::Endorsement.handle()).unwrap();
    assert_eq!((found.hash, found.digest.as_slice()), (0x0B, digest.as_bytes()));
    tpm.set_primary_policy(Hierarchy::Endorsement, None).unwrap();
    let policies = tpm.auth_policies().unwrap();
    let found = policies.iter().find(|one| one.handle == Hierarchy::Endorsement.handle()).unwrap();
    assert_eq!((found.hash, found.digest.len()), (0x10, 0));
}

#[test]
fn the_clock_goes_forwards_only() {
    let swtpm = Swtpm::blank_tcp();
    let theirs = lines(&swtpm, &["tpm2_readclock"]);
    let theirs = theirs.iter().find_map(|line| line.strip_prefix("clock: ")).unwrap();
    let theirs: u64 = theirs.parse().unwrap();
    let mut tpm = talk(&swtpm);
    let now = tpm.clock().unwrap();
    assert!(now.clock.clock >= theirs && now.clock.clock < theirs + 60_000);
    let later = now.clock.clock + 3_600_000;
    tpm.set_clock(Hierarchy::Owner, later).unwrap();
    assert!(tpm.clock().unwrap().clock.clock >= later);
    assert!(tpm.set_clock(Hierarchy::Owner, 1).is_err());
    tpm.adjust_clock(Hierarchy::Owner, ClockRate::FineSlower).unwrap();
    tpm.adjust_clock(Hierarchy::Owner, ClockRate::CoarseFaster).unwrap();
}

/// A TPM that failed its self-test: it says so to everything but the question what failed.
struct Broken;

impl Transport for Broken {
    fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TransportError> {
        let asked = u32::from_be_bytes(command[6..10].try_into().unwrap());
        let result: &[u8] = &[0x80, 1, 0, 0, 0, 18, 0, 0, 0, 0, 0, 2, 7, 7, 0, 0, 1, 1];
        let failure: &[u8] = &[0x80, 1, 0, 0, 0, 10, 0, 0, 1, 1];
        let answer = if asked == code::GET_TEST_RESULT.number { result } else { failure };
        response[..answer.len()].copy_from_slice(answer);
        Ok(answer.len())
    }

    fn pause(&mut self, _: u32) {}
}

#[test]
fn a_tpm_in_failure_mode_says_so_and_what_failed() {
    let mut tpm = Tpm::new(Box::new(Broken), &AwsLc);
    let failed = tpm.random(&mut [0; 8]).unwrap_err();
    assert!(failed.to_string().contains("the TPM is in failure mode"), "{failed}");
    assert_eq!(tpm.self_test(true), Err(Error::Failed { result: Some(0x101) }));
    let result = tpm.test_result().unwrap();
    assert!(result.is_failure() && result.details == [7, 7], "{result}");
}
