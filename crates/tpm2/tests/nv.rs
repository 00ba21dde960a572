//! Non-volatile indices against a real TPM, and against what tpm2-tools make of the same indices.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod lab;

use lab::{recorded, talk};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_peers::Swtpm;
use touchstone_tpm2::code::{self, Code};
use touchstone_tpm2::marshal::Writer;
use touchstone_tpm2::nv::{Attributes, By, Index, Kind, NewIndex, Party, PinCount};
use touchstone_tpm2::policy::Means;
use touchstone_tpm2::{
    Auth, AuthValue, Command, Error, Hierarchy, NewSession, PcrSelection, Policy, Tpm, Unsatisfied,
};

const AT: u32 = 0x0180_0001;
const VALUE: &[u8] = b"the value of an index";
const WORDS: &str = "the value of an index";

fn shared() -> Attributes {
    let users = [Party::Owner, Party::Value];
    Attributes::new().written_by(&users).read_by(&users)
}

fn own() -> By {
    By::Index(Auth::value(VALUE))
}

fn text(octets: Vec<u8>) -> String {
    String::from_utf8(octets).unwrap()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |hex, octet| format!("{hex}{octet:02x}"))
}

/// The digest of a policy that is for one command and nothing else.
fn only(command: Code) -> Digest {
    let policy = 0x16C_u32.to_be_bytes();
    AwsLc.hash(HashAlgorithm::Sha256, &[&[0; 32], &policy, &command.number.to_be_bytes()])
}

fn by_policy<T>(
    tpm: &mut Tpm,
    command: Code,
    value: &[u8],
    run: impl FnOnce(&mut Tpm, Auth) -> Result<T, Error>,
) -> Result<T, Error> {
    tpm.with_session(&NewSession::policy(HashAlgorithm::Sha256), |tpm, session| {
        tpm.policy_command(session, command)?;
        run(tpm, Auth::Policy(session, AuthValue::new(value)))
    })
}

#[test]
fn what_we_write_tpm2_tools_read_and_the_reverse() {
    let swtpm = Swtpm::blank_tcp();
    // Longer than one command takes.
    let data: Vec<u8> = (0..=250).cycle().take(2000).collect();
    let new = NewIndex::ordinary(AT, 2000).attributes(shared()).auth(AuthValue::new(VALUE));
    {
        let mut tpm = talk(&swtpm);
        let mut index = tpm.nv_define(Hierarchy::Owner, &new).unwrap();
        tpm.nv_write(&mut index, &own(), &data, 0).unwrap();
        assert_eq!(tpm.nv_find(AT).unwrap(), index, "our name is the TPM's");
        assert_eq!(tpm.nv_read_all(&index, &By::Owner).unwrap()[..], data);
        assert_eq!(tpm.nv_read(&index, &own(), 3, 1999 - 2).unwrap()[..], data[1997..]);
        assert_eq!(tpm.nv_defined(0x0180_0000, 0x0180_FFFF).unwrap(), [AT]);
    }
    let read = swtpm.tool(&["tpm2_nvread", "0x1800001", "-C", "0x1800001", "-P", WORDS]);
    assert_eq!(read, data);
    let public = text(swtpm.tool(&["tpm2_nvreadpublic", "0x1800001"]));
    {
        let name = hex(&talk(&swtpm).nv_find(AT).unwrap().entity.name);
        assert!(public.contains(&name), "{public} has not {name}");
    }

    let other: Vec<u8> = data.iter().rev().copied().collect();
    let file = swtpm.write("other", &other);
    swtpm.tool(&["tpm2_nvwrite", "0x1800001", "-C", "o", "-i", &file]);
    {
        let mut tpm = talk(&swtpm);
        let index = tpm.nv_find(AT).unwrap();
        assert_eq!(tpm.nv_read_all(&index, &own()).unwrap()[..], other);
        tpm.nv_undefine(Hierarchy::Owner, &index).unwrap();
        assert_eq!(tpm.nv_index(AT), Ok(None));
    }

    swtpm.tool(&["tpm2_nvdefine", "0x1800002", "-C", "o", "-s", "5", "-p", WORDS]);
    {
        let mut tpm = talk(&swtpm);
        let mut index = tpm.nv_find(AT + 1).unwrap();
        tpm.nv_write(&mut index, &own(), b"hello", 0).unwrap();
    }
    assert_eq!(swtpm.tool(&["tpm2_nvread", "0x1800002", "-C", "o"]), b"hello");
    swtpm.assert_nothing_is_loaded();
}

#[test]
fn a_counter_rises_for_both_and_a_new_one_starts_above_every_old_one() {
    let swtpm = Swtpm::blank_tcp();
    {
        let mut tpm = talk(&swtpm);
        let new = NewIndex::counter(AT).attributes(shared());
        let mut index = tpm.nv_define(Hierarchy::Owner, &new).unwrap();
        assert_eq!(tpm.nv_counter(&index, &By::Owner).unwrap_err().code(), "tpm2.nv.not-written");
        tpm.nv_increment(&mut index, &By::Owner).unwrap();
        let first = tpm.nv_counter(&index, &By::Owner).unwrap();
        for _ in 0..3 {
            tpm.nv_increment(&mut index, &By::Owner).unwrap();
        }
        assert_eq!(tpm.nv_counter(&index, &By::Owner).unwrap(), first + 3);
    }
    let before = swtpm.tool(&["tpm2_nvread", "0x1800001", "-C", "o"]);
    swtpm.tool(&["tpm2_nvincrement", "0x1800001", "-C", "o"]);
    let mut tpm = talk(&swtpm);
    let index = tpm.nv_find(AT).unwrap();
    let now = tpm.nv_counter(&index, &By::Owner).unwrap();
    assert_eq!(now, u64::from_be_bytes(before.try_into().unwrap()) + 1);
    tpm.nv_undefine(Hierarchy::Owner, &index).unwrap();
    let new = NewIndex::counter(AT + 1).attributes(shared());
    let mut index = tpm.nv_define(Hierarchy::Owner, &new).unwrap();
    tpm.nv_increment(&mut index, &By::Owner).unwrap();
    assert!(tpm.nv_counter(&index, &By::Owner).unwrap() > now);
}

#[test]
fn bits_and_digests_are_the_same_for_both() {
    let swtpm = Swtpm::blank_tcp();
    {
        let mut tpm = talk(&swtpm);
        let bits = NewIndex::bits(AT).attributes(shared());
        let mut bits = tpm.nv_define(Hierarchy::Owner, &bits).unwrap();
        tpm.nv_set_bits(&mut bits, &By::Owner, 0b1001).unwrap();
        tpm.nv_set_bits(&mut bits, &By::Owner, 1 << 63).unwrap();
        assert_eq!(tpm.nv_bits(&bits, &By::Owner).unwrap(), 1 << 63 | 0b1001);
        let extend = NewIndex::extend(AT + 1, HashAlgorithm::Sha384).attributes(shared());
        let mut extend = tpm.nv_define(Hierarchy::Owner, &extend).unwrap();
        tpm.nv_extend(&mut extend, &By::Owner, b"first").unwrap();
    }
    swtpm.tool(&["tpm2_nvsetbits", "0x1800001", "-C", "o", "-i", "0x10"]);
    let file = swtpm.write("second", b"second");
    swtpm.tool(&["tpm2_nvextend", "0x1800002", "-C", "o", "-i", &file]);
    swtpm.tool(&["tpm2_nvdefine", "0x1800003", "-C", "o", "-a", "ownerread|ownerwrite|nt=bits"]);

    let hash = HashAlgorithm::Sha384;
    let first = AwsLc.hash(hash, &[&[0; 48], b"first"]);
    let both = AwsLc.hash(hash, &[first.as_bytes(), b"second"]);
    let mut tpm = talk(&swtpm);
    let bits = tpm.nv_find(AT).unwrap();
    assert_eq!(tpm.nv_bits(&bits, &By::Owner).unwrap(), 1 << 63 | 0b1_1001);
    let extend = tpm.nv_find(AT + 1).unwrap();
    assert_eq!(tpm.nv_extended(&extend, &By::Owner).unwrap(), both);
    let theirs = tpm.nv_find(AT + 2).unwrap();
    assert_eq!(theirs.kind(), Some(Kind::Bits));
}

/// Whether the PIN of an index opens it, as a policy asks.
fn try_pin(tpm: &mut Tpm, index: &Index, pin: &[u8]) -> Result<(), Error> {
    tpm.with_session(&NewSession::policy(HashAlgorithm::Sha256), |tpm, session| {
        let secret = Command::new(code::POLICY_SECRET)
            .authorized(&index.entity, Auth::value(pin))
            .handle(&session.entity())
            .parameters(Writer::default().u16(0).u16(0).u16(0).u32(0));
        tpm.run(&secret).map(|_| ())
    })
}

#[test]
fn pins_count_what_they_are_for() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let attributes =
        Attributes::new().written_by(&[Party::Owner]).read_by(&[Party::Owner, Party::Value]);
    let pin = AuthValue::new(b"1234");
    let fail = NewIndex::pin_fail(AT).attributes(attributes).auth(pin.clone());
    let mut fail = tpm.nv_define(Hierarchy::Owner, &fail).unwrap();
    tpm.nv_set_pin(&mut fail, &By::Owner, PinCount { count: 0, limit: 2 }).unwrap();
    try_pin(&mut tpm, &fail, b"1234").unwrap();
    assert!(try_pin(&mut tpm, &fail, b"0000").is_err());
    assert_eq!(tpm.nv_pin(&fail, &By::Owner).unwrap(), PinCount { count: 1, limit: 2 });
    assert!(try_pin(&mut tpm, &fail, b"0001").is_err());
    assert!(try_pin(&mut tpm, &fail, b"1234").is_err(), "too many were tried");
    assert_eq!(tpm.lockout().unwrap().failed, 0, "the lockout of all is none of it");

    let pass = NewIndex::pin_pass(AT + 1).attributes(attributes.no_lockout()).auth(pin);
    let mut pass = tpm.nv_define(Hierarchy::Owner, &pass).unwrap();
    tpm.nv_set_pin(&mut pass, &By::Owner, PinCount { count: 0, limit: 1 }).unwrap();
    try_pin(&mut tpm, &pass, b"1234").unwrap();
    assert_eq!(tpm.nv_pin(&pass, &By::Owner).unwrap(), PinCount { count: 1, limit: 1 });
    assert!(try_pin(&mut tpm, &pass, b"1234").is_err(), "it was used up");
}

#[test]
fn locks_hold_for_both_until_the_tpm_starts_again() {
    let mut swtpm = Swtpm::blank_tcp();
    let lockable = shared().write_lockable().read_lockable();
    {
        let mut tpm = talk(&swtpm);
        for at in [AT, AT + 1] {
            let new = NewIndex::ordinary(at, 4).attributes(lockable);
            let mut index = tpm.nv_define(Hierarchy::Owner, &new).unwrap();
            tpm.nv_write(&mut index, &By::Owner, b"once", 0).unwrap();
        }
        let new = NewIndex::ordinary(AT + 2, 4).attributes(shared().globally_lockable());
        tpm.nv_define(Hierarchy::Owner, &new).unwrap();
        let mut index = tpm.nv_find(AT).unwrap();
        tpm.nv_write_lock(&mut index, &By::Owner).unwrap();
        assert_eq!(tpm.nv_find(AT).unwrap(), index);
        let again = tpm.nv_write(&mut index, &By::Owner, b"more", 0);
        assert_eq!(again.unwrap_err().code(), "tpm2.nv.locked");
        tpm.nv_read_lock(&mut index, &By::Owner).unwrap();
        let read = tpm.nv_read_all(&index, &By::Owner);
        assert_eq!(read.unwrap_err().code(), "tpm2.nv.locked");
        tpm.nv_global_write_lock(Hierarchy::Owner).unwrap();
        let mut index = tpm.nv_find(AT + 2).unwrap();
        assert!(index.is_write_locked());
        let write = tpm.nv_write(&mut index, &By::Owner, b"late", 0);
        assert_eq!(write.unwrap_err().code(), "tpm2.nv.locked");
    }
    assert!(!swtpm.attempt(&["tpm2_nvread", "0x1800001", "-C", "o"]).0);
    swtpm.tool(&["tpm2_nvwritelock", "0x1800002", "-C", "o"]);
    swtpm.tool(&["tpm2_nvreadlock", "0x1800002", "-C", "o"]);
    {
        let mut tpm = talk(&swtpm);
        let mut index = tpm.nv_find(AT + 1).unwrap();
        assert!(index.is_write_locked() && index.is_read_locked());
        let write = tpm.nv_write(&mut index, &By::Owner, b"late", 0);
        assert_eq!(write.unwrap_err().code(), "tpm2.nv.locked");
    }
    swtpm.restart();
    let mut tpm = talk(&swtpm);
    let mut index = tpm.nv_find(AT).unwrap();
    assert_eq!(tpm.nv_read_all(&index, &By::Owner).unwrap()[..], b"once"[..]);
    tpm.nv_write(&mut index, &By::Owner, b"more", 0).unwrap();
    let new = NewIndex::ordinary(AT + 3, 4).attributes(shared().write_lockable_for_good());
    let mut index = tpm.nv_define(Hierarchy::Owner, &new).unwrap();
    tpm.nv_write(&mut index, &By::Owner, b"once", 0).unwrap();
    tpm.nv_write_lock(&mut index, &By::Owner).unwrap();
    drop(tpm);
    swtpm.restart();
    let mut tpm = talk(&swtpm);
    let mut index = tpm.nv_find(AT + 3).unwrap();
    let write = tpm.nv_write(&mut index, &By::Owner, b"late", 0);
    assert_eq!(write.unwrap_err().code(), "tpm2.nv.locked");
}

#[test]
fn a_policy_reads_writes_changes_the_value_and_ends_an_index() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let policy = only(code::NV_CHANGE_AUTH);
    let new = NewIndex::ordinary(AT, 4)
        .attributes(shared())
        .auth(AuthValue::new(VALUE))
        .policy(policy.as_bytes());
    let mut index = tpm.nv_define(Hierarchy::Owner, &new).unwrap();
    by_policy(&mut tpm, code::NV_CHANGE_AUTH, VALUE, |tpm, auth| {
        tpm.nv_change_auth(&index, auth, &AuthValue::new(b"another"))
    })
    .unwrap();
    let by_new = By::Index(Auth::value(b"another"));
    tpm.nv_write(&mut index, &by_new, b"data", 0).unwrap();

    let policy = only(code::NV_WRITE);
    let attributes = shared().written_by(&[Party::Policy]);
    let new = NewIndex::ordinary(AT + 1, 4).attributes(attributes).policy(policy.as_bytes());
    let mut written = tpm.nv_define(Hierarchy::Owner, &new).unwrap();
    by_policy(&mut tpm, code::NV_WRITE, b"", |tpm, auth| {
        tpm.nv_write(&mut written, &By::Index(auth), b"data", 0)
    })
    .unwrap();
    assert_eq!(tpm.nv_read_all(&written, &By::Owner).unwrap()[..], b"data"[..]);
    let other = by_policy(&mut tpm, code::NV_READ, b"", |tpm, auth| {
        tpm.nv_write(&mut written, &By::Index(auth), b"more", 0)
    });
    assert!(matches!(other, Err(Error::Unsatisfied(_))), "{other:?}");

    let policy = only(code::NV_UNDEFINE_SPACE_SPECIAL);
    let attributes = Attributes::new()
        .written_by(&[Party::Platform])
        .read_by(&[Party::Owner])
        .undefined_by_policy();
    let new = NewIndex::ordinary(AT + 2, 4).attributes(attributes).policy(policy.as_bytes());
    let special = tpm.nv_define(Hierarchy::Platform, &new).unwrap();
    assert!(tpm.nv_undefine(Hierarchy::Platform, &special).is_err());
    by_policy(&mut tpm, code::NV_UNDEFINE_SPACE_SPECIAL, b"", |tpm, auth| {
        tpm.nv_undefine_special(&special, auth)
    })
    .unwrap();
    assert_eq!(tpm.nv_index(AT + 2), Ok(None));
}

#[test]
fn an_index_bound_to_a_register_is_read_by_both_until_it_moves() {
    let swtpm = Swtpm::blank_tcp();
    let selection = PcrSelection::new(HashAlgorithm::Sha256, &[16]).unwrap();
    let attributes = Attributes::new().written_by(&[Party::Owner]).read_by(&[Party::Policy]);
    let policy = {
        let mut tpm = talk(&swtpm);
        let values = tpm.pcr_read(&selection).unwrap();
        let policy = Policy::new().pcrs(selection, &values);
        let digest = policy.digest(&AwsLc, HashAlgorithm::Sha256).unwrap();
        let new = NewIndex::ordinary(AT, 4).attributes(attributes).policy(digest.as_bytes());
        let mut index = tpm.nv_define(Hierarchy::Owner, &new).unwrap();
        tpm.nv_write(&mut index, &By::Owner, b"data", 0).unwrap();
        policy
    };
    let theirs = ["tpm2_nvread", "0x1800001", "-C", "0x1800001", "-P", "pcr:sha256:16"];
    assert_eq!(swtpm.tool(&theirs), b"data");
    {
        let mut tpm = talk(&swtpm);
        let index = tpm.nv_find(AT).unwrap();
        let read = |tpm: &mut Tpm| {
            let (means, none) = (Means::default(), AuthValue::default());
            tpm.with_policy(&policy, HashAlgorithm::Sha256, &means, &none, |tpm, auth| {
                tpm.nv_read_all(&index, &By::Index(auth))
            })
        };
        assert_eq!(read(&mut tpm).unwrap()[..], b"data"[..]);
        tpm.pcr_event(16, b"event").unwrap();
        assert_eq!(read(&mut tpm), Err(Error::Unsatisfied(Unsatisfied::Pcr)));
        let owner = tpm.nv_read_all(&index, &By::Owner).unwrap_err();
        assert_eq!(owner.code(), "tpm2.nv.not-allowed", "{owner}");
    }
    assert!(!swtpm.attempt(&theirs).0);
    swtpm.assert_nothing_is_loaded();
}

#[test]
fn each_wrong_use_has_its_own_error() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let refused = |result: Result<(), Error>, code: &str| {
        let error = result.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    };
    let attributes = Attributes::new().written_by(&[Party::Owner]).read_by(&[Party::Value]);
    let new = NewIndex::ordinary(AT, 8).attributes(attributes.whole()).auth(AuthValue::new(VALUE));
    let mut index = tpm.nv_define(Hierarchy::Owner, &new).unwrap();
    refused(tpm.nv_define(Hierarchy::Owner, &new).map(|_| ()), "tpm2.nv.defined");
    refused(tpm.nv_find(AT + 7).map(|_| ()), "tpm2.nv.undefined");
    refused(tpm.nv_increment(&mut index, &By::Owner), "tpm2.nv.kind");
    refused(tpm.nv_set_bits(&mut index, &By::Owner, 1), "tpm2.nv.kind");
    refused(tpm.nv_extend(&mut index, &By::Owner, b"x"), "tpm2.nv.kind");
    refused(tpm.nv_pin(&index, &By::Owner).map(|_| ()), "tpm2.nv.kind");
    refused(tpm.nv_read_all(&index, &own()).map(|_| ()), "tpm2.nv.not-written");
    refused(tpm.nv_write(&mut index, &By::Owner, b"short", 0), "tpm2.nv.size");
    refused(tpm.nv_write(&mut index, &own(), b"eight ok", 0), "tpm2.nv.not-allowed");
    tpm.nv_write(&mut index, &By::Owner, b"eight ok", 0).unwrap();
    refused(tpm.nv_read(&index, &own(), 4, 6).map(|_| ()), "tpm2.nv.range");
    refused(tpm.nv_read(&index, &own(), 2, u16::MAX).map(|_| ()), "tpm2.nv.range");
    refused(tpm.nv_read_all(&index, &By::Owner).map(|_| ()), "tpm2.nv.not-allowed");
    refused(tpm.nv_write_lock(&mut index, &By::Owner), "tpm2.input.bad");
    refused(tpm.nv_index(0x8100_0001).map(|_| ()), "tpm2.input.bad");
    let huge = NewIndex::ordinary(AT + 1, u16::MAX).attributes(shared());
    refused(tpm.nv_define(Hierarchy::Owner, &huge).map(|_| ()), "tpm2.nv.too-large");

    let stale = Index { size: 16, ..index.clone() };
    refused(tpm.nv_read(&stale, &own(), 16, 0).map(|_| ()), "tpm2.nv.range");
    tpm.nv_undefine(Hierarchy::Owner, &index).unwrap();
    refused(tpm.nv_undefine(Hierarchy::Owner, &index), "tpm2.nv.undefined");
}

#[test]
fn a_wrong_value_is_tried_once_and_the_lockout_counts_one() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let new = NewIndex::ordinary(AT, 4).attributes(shared()).auth(AuthValue::new(VALUE));
    let mut index = tpm.nv_define(Hierarchy::Owner, &new).unwrap();
    tpm.nv_write(&mut index, &own(), b"data", 0).unwrap();
    let before = tpm.lockout().unwrap();
    let wrong = tpm.nv_read_all(&index, &By::Index(Auth::value(b"wrong")));
    match wrong {
        Err(Error::WrongAuthorization { refusal, lockout: Some(lockout) }) => {
            assert_eq!(refusal.name(), "TPM_RC_AUTH_FAIL");
            assert_eq!(lockout.tries_left(), before.tries_left() - 1);
        }
        other => panic!("{other:?}"),
    }
    let after = tpm.lockout().unwrap();
    assert_eq!(after.failed, before.failed + 1);
    assert_eq!(after.tries_left(), before.tries_left() - 1);
    assert_eq!(tpm.nv_read_all(&index, &own()).unwrap()[..], b"data"[..]);
}

#[test]
fn an_index_that_somebody_changed_since_is_told_from_a_wrong_value() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let new = NewIndex::ordinary(AT, 4).attributes(shared().write_lockable());
    let new = new.auth(AuthValue::new(VALUE));
    let mut index = tpm.nv_define(Hierarchy::Owner, &new).unwrap();
    tpm.nv_write(&mut index, &own(), b"data", 0).unwrap();
    let before = index.clone();
    tpm.nv_write_lock(&mut index, &By::Owner).unwrap();
    for by in [own(), By::Owner] {
        let error = tpm.nv_read_all(&before, &by).unwrap_err();
        assert_eq!(error.code(), "tpm2.nv.changed", "{error}");
    }
    assert_eq!(tpm.nv_read_all(&index, &own()).unwrap()[..], b"data"[..]);
    tpm.nv_undefine(Hierarchy::Owner, &index).unwrap();
    assert_eq!(tpm.nv_read_all(&index, &own()).unwrap_err().code(), "tpm2.nv.undefined");
}

#[test]
fn who_listens_to_an_index_being_used_learns_nothing() {
    const SECRET: &[u8] = b"what nobody reads on the bus....";
    let swtpm = Swtpm::blank();
    let (mut tpm, seen) = recorded(&swtpm);
    let new = NewIndex::ordinary(AT, 32).attributes(shared()).auth(AuthValue::new(VALUE));
    let mut index = tpm.nv_define(Hierarchy::Owner, &new).unwrap();
    tpm.nv_write(&mut index, &own(), SECRET, 0).unwrap();
    assert_eq!(tpm.nv_read_all(&index, &By::Owner).unwrap()[..], *SECRET);
    let extend = NewIndex::extend(AT + 1, HashAlgorithm::Sha256).attributes(shared());
    let mut extend = tpm.nv_define(Hierarchy::Owner, &extend).unwrap();
    tpm.nv_extend(&mut extend, &By::Owner, SECRET).unwrap();
    let heard = |secret: &[u8]| {
        let seen = seen.lock().unwrap();
        seen.iter().any(|message| message.windows(secret.len()).any(|part| part == secret))
    };
    assert!(!heard(SECRET) && !heard(VALUE));

    tpm.dangerous_plain(true);
    tpm.nv_read_all(&index, &own()).unwrap();
    assert!(heard(SECRET) && heard(VALUE), "the recording hears what is not protected");
}
