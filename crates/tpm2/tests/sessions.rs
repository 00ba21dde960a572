//! Sessions against a real TPM: what they prove, what they hide, and how they come back.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod lab;

use lab::{
    NO_DA, WITH_VALUE, codes, endorsement, primary, reconnecting, recorded, seal, set_hierarchy,
    talk, unseal,
};
use touchstone_crypto::{Crypto, HashAlgorithm, SignatureAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_peers::Swtpm;
use touchstone_tpm2::marshal::{Reader, Writer};
use touchstone_tpm2::nv::{By, attributes as nv};
use touchstone_tpm2::template::signing_for;
use touchstone_tpm2::{
    Auth, AuthValue, Command, Entity, Error, Hierarchy, NewObject, NewSession, Tpm, code,
    credential, signature,
};

const OWNER: &[u8] = b"the value of the owner hierarchy";
const ENDORSER: &[u8] = b"the value of the endorsement hi.";
const LOCKOUT: &[u8] = b"the value that resets a lockout.";
const INDEX: &[u8] = b"the value of an index";
const STORED: &[u8] = b"what nobody reads from the index";
const OBJECT: &[u8] = b"the value of an object";
const CHANGED: &[u8] = b"another value of the object";
const SEALED: &[u8] = b"what was sealed in this object";
const CREDENTIAL: &[u8] = b"the secret in a credential......";

/// Uses every kind of secret once, and gives the ones that only this run knows.
fn use_secrets(tpm: &mut Tpm) -> Vec<Vec<u8>> {
    set_hierarchy(tpm, Hierarchy::Owner, OWNER);
    set_hierarchy(tpm, Hierarchy::Endorsement, ENDORSER);
    set_hierarchy(tpm, Hierarchy::Lockout, LOCKOUT);
    store(tpm);
    let sealed = seal(tpm, WITH_VALUE | NO_DA, &[], OBJECT, SEALED);
    assert_eq!(unseal(tpm, &sealed, Auth::value(OBJECT)).unwrap(), SEALED);
    let change = Command::new(code::OBJECT_CHANGE_AUTH)
        .authorized(&sealed.entity, Auth::value(OBJECT))
        .handle(&sealed.parent.entity)
        .parameters(Writer::default().sized(CHANGED).unwrap());
    tpm.run(&change).unwrap();
    tpm.flush(sealed.entity.handle).unwrap();
    activate(tpm);
    let mut random = vec![0; 32];
    tpm.random(&mut random).unwrap();
    vec![random]
}

fn store(tpm: &mut Tpm) {
    let attributes = 1 << 2 | nv::AUTHREAD | nv::NO_DA;
    let public = Writer::default().u32(0x0180_0001).u16(0x000B).u32(attributes).u16(0).u16(32);
    let auth = tpm.hierarchy_auth(Hierarchy::Owner);
    let define = Command::new(code::NV_DEFINE_SPACE)
        .authorized(&Hierarchy::Owner.entity(), auth)
        .parameters(Writer::default().sized(INDEX).unwrap().sized(&public.done()).unwrap());
    tpm.run(&define).unwrap();
    let index = tpm.nv_index(0x0180_0001).unwrap().unwrap();
    let write =
        touchstone_tpm2::nv::nv_write(&index.entity, Auth::value(INDEX), &index.entity, STORED, 0);
    tpm.run(&write.unwrap()).unwrap();
    let index = tpm.nv_index(0x0180_0001).unwrap().unwrap();
    let read = tpm.nv_read(&index, &By::Index(Auth::value(INDEX)), 32, 0).unwrap();
    assert_eq!(read[..], STORED[..]);
}

/// A credential for a signing key, made here and opened there.
fn activate(tpm: &mut Tpm) {
    let ek = endorsement(tpm, 0x01C0_000A);
    let template = signing_for(SignatureAlgorithm::EcdsaP256Sha256, true).unwrap();
    let key = primary(tpm, Hierarchy::Owner, template);
    let made = credential::make(&ek.native, &key.entity.name, CREDENTIAL, &AwsLc).unwrap();
    let opened = tpm.with_session(&NewSession::policy(HashAlgorithm::Sha256), |tpm, session| {
        tpm.policy_secret(session, Hierarchy::Endorsement)?;
        let activate = Command::new(code::ACTIVATE_CREDENTIAL)
            .authorized(&key.entity, Auth::empty())
            .authorized(&ek.entity, Auth::policy(session))
            .parameters(Writer::default().sized(&made.blob)?.sized(&made.secret)?);
        tpm.run(&activate)
    });
    assert_eq!(Reader::new(&opened.unwrap().parameters).sized().unwrap(), CREDENTIAL);
    tpm.flush(ek.entity.handle).unwrap();
    tpm.flush(key.entity.handle).unwrap();
}

const SECRETS: [&[u8]; 9] =
    [OWNER, ENDORSER, LOCKOUT, INDEX, STORED, OBJECT, CHANGED, SEALED, CREDENTIAL];

fn contains(seen: &lab::Recording, needle: &[u8]) -> bool {
    let seen = seen.lock().unwrap();
    seen.iter().any(|octets| octets.windows(needle.len()).any(|window| window == needle))
}

#[test]
fn who_listens_learns_no_secret() {
    for (hash, bits) in
        [(HashAlgorithm::Sha256, 128), (HashAlgorithm::Sha384, 256), (HashAlgorithm::Sha256, 256)]
    {
        let swtpm = Swtpm::blank();
        let (mut tpm, seen) = recorded(&swtpm);
        tpm.protect_with(&NewSession::hmac().hash(hash).aes(bits)).unwrap();
        let random = use_secrets(&mut tpm);
        for secret in SECRETS.iter().map(|secret| secret.to_vec()).chain(random) {
            assert!(!contains(&seen, &secret), "{}", String::from_utf8_lossy(&secret));
        }
        // One session of our own, and one for the owner before there was another; the policy's.
        let starts = codes(&seen).iter().filter(|c| **c == code::START_AUTH_SESSION.number).count();
        assert!(starts <= 4, "{starts} sessions were started");
    }
}

#[test]
fn who_listens_to_a_plain_conversation_learns_them_all() {
    let swtpm = Swtpm::blank();
    let (mut tpm, seen) = recorded(&swtpm);
    tpm.dangerous_plain(true);
    let random = use_secrets(&mut tpm);
    for secret in SECRETS.iter().map(|secret| secret.to_vec()).chain(random) {
        assert!(contains(&seen, &secret), "{}", String::from_utf8_lossy(&secret));
    }
}

#[test]
fn a_session_is_salted_to_rsa_and_elliptic_curve_keys() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    for certificate in [0x01C0_0002, 0x01C0_000A, 0x01C0_0016] {
        let key = endorsement(&mut tpm, certificate);
        for (hash, bits) in [(HashAlgorithm::Sha256, 128), (HashAlgorithm::Sha384, 256)] {
            let new = NewSession::hmac().salted_to(&key).hash(hash).aes(bits);
            let sealed = seal(&mut tpm, WITH_VALUE | NO_DA, &[], b"pin", SEALED);
            tpm.with_session(&new, |tpm, session| {
                for _ in 0..3 {
                    let auth = Auth::Session(session, AuthValue::new(b"pin"));
                    assert_eq!(unseal(tpm, &sealed, auth)?, SEALED);
                }
                let wrong = Auth::Session(session, AuthValue::new(b"pun"));
                let refused = unseal(tpm, &sealed, wrong);
                assert!(matches!(refused, Err(Error::WrongAuthorization { .. })));
                // A wrong value costs no session.
                let auth = Auth::Session(session, AuthValue::new(b"pin"));
                assert_eq!(unseal(tpm, &sealed, auth)?, SEALED);
                Ok::<_, Error>(())
            })
            .unwrap();
            tpm.flush(sealed.entity.handle).unwrap();
        }
        tpm.flush(key.entity.handle).unwrap();
    }
}

#[test]
fn a_bound_session_authorizes_its_entity_and_others() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let one = seal(&mut tpm, WITH_VALUE | NO_DA, &[], b"one", b"first");
    let two = seal(&mut tpm, WITH_VALUE | NO_DA, &[], b"two", b"second");
    let value = AuthValue::new(b"one");
    for new in [
        NewSession::hmac().bound_to(&one.entity, &value),
        NewSession::hmac().bound_to(&one.entity, &value).dangerous_unsalted(),
        NewSession::hmac().bound_to(&one.entity, &value).hash(HashAlgorithm::Sha384).aes(256),
    ] {
        let session = tpm.start(&new).unwrap();
        let auth = Auth::Session(session, value.clone());
        assert_eq!(unseal(&mut tpm, &one, auth.clone()).unwrap(), b"first");
        let other = Auth::Session(session, AuthValue::new(b"two"));
        assert_eq!(unseal(&mut tpm, &two, other).unwrap(), b"second");
        assert_eq!(unseal(&mut tpm, &one, auth).unwrap(), b"first");
        tpm.end(session).unwrap();
    }
    // Whoever does not know the value binds to nothing.
    let wrong = AuthValue::new(b"two");
    let session = tpm.start(&NewSession::hmac().bound_to(&one.entity, &wrong)).unwrap();
    let auth = Auth::Session(session, AuthValue::new(b"one"));
    let refused = unseal(&mut tpm, &one, auth);
    assert!(matches!(refused, Err(Error::WrongAuthorization { .. })), "{refused:?}");
}

#[test]
fn a_session_that_ended_is_not_used_again() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let session = tpm.start(&NewSession::hmac()).unwrap();
    tpm.end(session).unwrap();
    tpm.end(session).unwrap();
    let auth = Auth::Session(session, AuthValue::default());
    let reset = Command::new(code::PCR_RESET).authorized(&Entity::pcr(16), auth);
    assert!(matches!(tpm.run(&reset), Err(Error::BadInput(_))));
}

#[test]
fn two_values_in_one_command_are_both_proven_in_secret() {
    let swtpm = Swtpm::blank();
    let (mut tpm, seen) = recorded(&swtpm);
    set_hierarchy(&mut tpm, Hierarchy::Endorsement, ENDORSER);
    let ek = endorsement(&mut tpm, 0x01C0_0014);
    // An endorsement key of the high range has the empty value; a sealed object has another.
    let sealed = seal(&mut tpm, WITH_VALUE | NO_DA, &[], OBJECT, SEALED);
    let made = credential::make(&ek.native, &sealed.entity.name, CREDENTIAL, &AwsLc).unwrap();
    let activate = Command::new(code::ACTIVATE_CREDENTIAL)
        .authorized(&sealed.entity, Auth::value(OBJECT))
        .authorized(&ek.entity, Auth::empty())
        .parameters(Writer::default().sized(&made.blob).unwrap().sized(&made.secret).unwrap());
    let answer = tpm.run(&activate).unwrap();
    assert_eq!(Reader::new(&answer.parameters).sized().unwrap(), CREDENTIAL);
    // Two values at once: an audit digest by the endorsement hierarchy's, signed with a key that
    // has its own.
    let template = signing_for(SignatureAlgorithm::EcdsaP256Sha256, true).unwrap();
    let value = AuthValue::new(CHANGED);
    let new = NewObject::new(template).auth(value.clone());
    let srk = tpm.srk().unwrap();
    tpm.flush(ek.entity.handle).unwrap();
    let made = tpm.create(&srk, Auth::empty(), &new).unwrap();
    let key = tpm.load(&srk, Auth::empty(), &made.private, &made.native).unwrap();
    let audit = tpm.start(&NewSession::hmac()).unwrap();
    let unseal = Command::new(code::UNSEAL).authorized(&sealed.entity, Auth::value(OBJECT));
    tpm.run(&unseal.audited(audit)).unwrap();
    let ours = tpm.audit_digest(audit).unwrap().unwrap();
    let by = (&key.entity, Auth::Value(value));
    let stated = tpm.session_audit(audit, Some(by), b"nonce").unwrap();
    assert!(stated.attest.ends_with(ours.as_bytes()));
    let algorithm = key.public.signature_algorithm().unwrap();
    let signature = signature::to_x509(&stated.signature, algorithm).unwrap();
    let spki = key.public.spki_der().unwrap();
    AwsLc.verify(algorithm, &spki, &stated.attest, &signature).unwrap();
    for secret in [ENDORSER, OBJECT, CHANGED, SEALED, CREDENTIAL] {
        assert!(!contains(&seen, secret));
    }
}

#[test]
fn the_tpm_counts_the_same_commands_into_an_audit_digest() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    for hash in [HashAlgorithm::Sha256, HashAlgorithm::Sha384] {
        let session = tpm.start(&NewSession::hmac().hash(hash)).unwrap();
        let read = Command::new(code::PCR_READ)
            .parameters(Writer::default().u32(1).u16(0x000B).u8(3).octets(&[1, 0, 0]));
        tpm.run(&read.clone().audited(session)).unwrap();
        tpm.run(&read.clone().audited(session)).unwrap();
        // One that is not audited does not count.
        tpm.run(&read).unwrap();
        // One that is encrypted counts as it went over the wire.
        let random = Command::new(code::GET_RANDOM).parameters(Writer::default().u16(16));
        tpm.run(&random.audited(session)).unwrap();
        let ours = tpm.audit_digest(session).unwrap().unwrap();
        let stated = tpm.session_audit(session, None, b"nonce").unwrap();
        assert!(stated.attest.ends_with(ours.as_bytes()), "{hash}");
        assert!(stated.attest.windows(5).any(|window| window == b"nonce"));
        tpm.end(session).unwrap();
    }
}

#[test]
fn a_session_is_kept_open_and_comes_back_when_it_is_lost() {
    let swtpm = Swtpm::blank();
    let (mut tpm, seen) = recorded(&swtpm);
    for _ in 0..20 {
        tpm.random(&mut [0; 16]).unwrap();
    }
    let starts = |wanted: usize| {
        let started = code::START_AUTH_SESSION.number;
        assert_eq!(codes(&seen).iter().filter(|code| **code == started).count(), wanted);
    };
    starts(1);
    // Somebody flushes all there is.
    for first in [0x0200_0000, 0x8000_0000] {
        for handle in tpm.handles(first).unwrap() {
            let flush = Command::new(code::FLUSH_CONTEXT).parameters(Writer::default().u32(handle));
            tpm.run(&flush).unwrap();
        }
    }
    tpm.random(&mut [0; 16]).unwrap();
    starts(3); // one against the key that was gone
    drop(tpm);
    let mut tpm = talk(&swtpm);
    for first in [0x0200_0000, 0x0300_0000, 0x8000_0000] {
        assert_eq!(tpm.handles(first).unwrap(), Vec::<u32>::new());
    }
}

#[test]
fn a_tpm_that_started_again_in_between_is_talked_to_as_before() {
    let mut swtpm = Swtpm::blank();
    let mut tpm = reconnecting(&swtpm);
    tpm.random(&mut [0; 16]).unwrap();
    swtpm.restart();
    tpm.random(&mut [0; 16]).unwrap();
    swtpm.restart();
    // Also where the storage root key itself is wanted.
    let sealed = seal(&mut tpm, WITH_VALUE | NO_DA, &[], b"pin", SEALED);
    assert_eq!(unseal(&mut tpm, &sealed, Auth::value(b"pin")).unwrap(), SEALED);
}

#[test]
fn another_session_at_our_handle_is_noticed_and_costs_no_authorization() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    tpm.random(&mut [0; 16]).unwrap();
    let ours = tpm.handles(0x0200_0000).unwrap();
    for handle in &ours {
        let flush = Command::new(code::FLUSH_CONTEXT).parameters(Writer::default().u32(*handle));
        tpm.run(&flush).unwrap();
    }
    // Somebody else gets the handle.
    let start = Writer::default().sized(&[7; 32]).unwrap().u16(0).u8(0).u16(0x0010).u16(0x000B);
    let null = Hierarchy::Null.entity();
    let start =
        Command::new(code::START_AUTH_SESSION).handle(&null).handle(&null).parameters(start);
    assert_eq!(tpm.run(&start).unwrap().handle().unwrap(), ours[0]);
    tpm.random(&mut [0; 16]).unwrap();
    let digest = AwsLc.hash(HashAlgorithm::Sha256, &[b"event"]);
    tpm.pcr_extend(16, &[digest]).unwrap();
}

#[test]
fn secrets_are_protected_also_where_the_owner_s_hierarchy_is_not_ours() {
    let swtpm = Swtpm::blank();
    let mut owner = talk(&swtpm);
    set_hierarchy(&mut owner, Hierarchy::Owner, OWNER);
    drop(owner);
    let (mut tpm, seen) = recorded(&swtpm);
    let mut random = [0; 32];
    tpm.random(&mut random).unwrap();
    tpm.random(&mut [0; 32]).unwrap();
    assert!(!contains(&seen, &random));
    // The owner's value was tried once, although nobody asked for it.
    let tries = codes(&seen).iter().filter(|c| **c == code::CREATE_PRIMARY.number).count();
    assert_eq!(tries, 2);
    drop(tpm);
    let mut owner = talk(&swtpm);
    owner.hierarchies.owner = AuthValue::new(OWNER);
    owner.srk().unwrap();
    assert_eq!(owner.lockout().unwrap().failed, 0);
}

#[test]
fn a_storage_root_key_that_is_kept_is_used_and_takes_no_room() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let made = tpm.srk().unwrap();
    tpm.make_persistent(Hierarchy::Owner, &made, 0x8100_0001).unwrap();
    drop(tpm);
    let mut tpm = talk(&swtpm);
    tpm.random(&mut [0; 8]).unwrap();
    assert_eq!(tpm.handles(0x8000_0000).unwrap(), Vec::<u32>::new());
    // Evicted in between, it is not missed.
    let evict = Command::new(code::EVICT_CONTROL)
        .authorized(&Hierarchy::Owner.entity(), Auth::empty())
        .handle(&Entity::named(0x8100_0001, made.entity.name.clone()))
        .parameters(Writer::default().u32(0x8100_0001));
    tpm.run(&evict).unwrap();
    tpm.random(&mut [0; 8]).unwrap();
    assert_eq!(tpm.srk().unwrap().entity.name, made.entity.name);
    let sealed = seal(&mut tpm, WITH_VALUE | NO_DA, &[], b"pin", SEALED);
    assert_eq!(unseal(&mut tpm, &sealed, Auth::value(b"pin")).unwrap(), SEALED);
}

#[test]
fn our_sessions_are_salted_to_the_endorsement_key_that_was_checked() {
    let swtpm = Swtpm::blank();
    let (mut tpm, seen) = recorded(&swtpm);
    let ek = endorsement(&mut tpm, 0x01C0_0002);
    tpm.salt_to(&ek).unwrap();
    let mut random = [0; 32];
    tpm.random(&mut random).unwrap();
    assert!(!contains(&seen, &random));
    assert_eq!(tpm.handles(0x8000_0000).unwrap(), [ek.entity.handle]);
}
