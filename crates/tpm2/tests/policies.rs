//! Every assertion: the digest is the TPM's, and what it guards opens only when it holds.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod lab;

use lab::{NO_DA, Sealed, WITH_POLICY, WITH_VALUE, recorded, seal, talk, unseal};
use touchstone_crypto::HashAlgorithm::{Sha256, Sha384};
use touchstone_crypto::{Crypto, Curve, Digest, Error as CryptoError, SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_peers::Swtpm;
use touchstone_tpm2::marshal::{Reader, Writer};
use touchstone_tpm2::nv::{Index, attributes as nv, nv_write};
use touchstone_tpm2::object::SigningScheme;
use touchstone_tpm2::policy::{Approval, Assertion, Comparison, Means};
use touchstone_tpm2::template::{KeyPair, signing, srk, storage};
use touchstone_tpm2::{
    Auth, AuthValue, Command, Entity, Error, Hierarchy, NewObject, NewSession, PcrSelection,
    Policy, Public, Tpm, Unsatisfied, code, name_of, public,
};

const DATA: &[u8] = b"what the policy guards";

fn none() -> AuthValue {
    AuthValue::default()
}

/// Seals data to a policy.
fn guard(tpm: &mut Tpm, policy: &Policy, value: &[u8]) -> Sealed {
    let digest = policy.digest(&AwsLc, Sha256).unwrap();
    seal(tpm, WITH_POLICY | NO_DA, digest.as_bytes(), value, DATA)
}

fn open(
    tpm: &mut Tpm,
    sealed: &Sealed,
    policy: &Policy,
    means: &Means<'_>,
    value: &[u8],
) -> Result<Vec<u8>, Error> {
    let value = AuthValue::new(value);
    tpm.with_policy(policy, Sha256, means, &value, |tpm, auth| unseal(tpm, sealed, auth))
}

fn refused(result: &Result<Vec<u8>, Error>) -> Unsatisfied {
    match result {
        Err(Error::Unsatisfied(why)) => *why,
        other => panic!("{other:?}"),
    }
}

fn extend(tpm: &mut Tpm, pcr: u8) {
    let digest = AwsLc.hash(Sha256, &[b"event"]);
    tpm.pcr_extend(pcr, &[digest]).unwrap();
}

fn pcr_policy(tpm: &mut Tpm, pcrs: &[u8]) -> Policy {
    let selection = PcrSelection::new(Sha256, pcrs).unwrap();
    let values = tpm.pcr_read(&selection).unwrap();
    Policy::new().pcrs(selection, &values)
}

/// The public part of a key outside the TPM, as the TPM wants it.
fn public_of(signer: &SoftSigner) -> Public {
    let point = &signer.spki_der()[signer.spki_der().len() - 64..];
    let mut template =
        signing(KeyPair::Ecc(Curve::P256), SigningScheme::Ecdsa(Sha256)).from_outside();
    template.attributes &= !(public::attributes::FIXED_TPM | public::attributes::FIXED_PARENT);
    template.key =
        public::Key::Ecc { curve: Curve::P256, x: point[..32].to_vec(), y: point[32..].to_vec() };
    template
}

fn signer() -> SoftSigner {
    SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap()
}

fn define(tpm: &mut Tpm, handle: u32, attributes: u32, policy: &[u8]) -> Index {
    define_sized(tpm, handle, attributes, policy, 8)
}

fn define_sized(tpm: &mut Tpm, handle: u32, attributes: u32, policy: &[u8], size: u16) -> Index {
    let public = Writer::default()
        .u32(handle)
        .u16(0x000B)
        .u32(attributes | nv::NO_DA)
        .sized(policy)
        .unwrap()
        .u16(size);
    let parameters = Writer::default().u16(0).sized(&public.done()).unwrap();
    let owner = Hierarchy::Owner.entity();
    let define = Command::new(code::NV_DEFINE_SPACE).authorized(&owner, Auth::empty());
    tpm.run(&define.parameters(parameters)).unwrap();
    tpm.nv_index(handle).unwrap().unwrap()
}

fn write(tpm: &mut Tpm, index: &Index, data: &[u8]) -> Index {
    let owner = Hierarchy::Owner.entity();
    tpm.run(&nv_write(&owner, Auth::empty(), &index.entity, data, 0).unwrap()).unwrap();
    tpm.nv_index(index.entity.handle).unwrap().unwrap()
}

const OWNED: u32 = nv::OWNERWRITE | nv::OWNERREAD | nv::AUTHREAD;

/// One policy for each assertion, and nested ones.
fn each(tpm: &mut Tpm) -> Vec<Policy> {
    let key = public_of(&signer());
    let name = name_of(&AwsLc, &key.encode().unwrap()).unwrap();
    let index = define(tpm, 0x0180_0010, OWNED, &[]);
    let index = write(tpm, &index, &[0, 0, 0, 0, 0, 0, 0, 7]).entity;
    let digest = AwsLc.hash(Sha256, &[b"some command"]);
    let nv = |comparison| Assertion::Nv {
        index: index.clone(),
        operand: vec![0, 7],
        offset: 6,
        comparison,
    };
    let clock = |comparison| Assertion::CounterTimer { operand: vec![0; 8], offset: 8, comparison };
    let select = |include_object| Assertion::DuplicationSelect {
        object: name.clone(),
        parent: [&[0, 0x0B][..], &[3; 32]].concat(),
        include_object,
    };
    let pcrs = pcr_policy(tpm, &[0, 7, 16, 23]);
    let pin = Policy::new().auth_value().command(code::UNSEAL);
    let owner = Policy::new().secret(&Hierarchy::Owner.entity());
    let inner = Policy::new().any_of([pin.clone(), owner.clone()]);
    let mut all = vec![
        pcrs.clone(),
        Policy::new().authorized_by(key.clone(), b""),
        Policy::new().authorized_by(key.clone(), b"boot"),
        Policy::new().signed_by(key.clone(), b""),
        Policy::new().signed_by(key, b"unlock"),
        owner.clone(),
        Policy::new().and(Assertion::Secret {
            entity: Hierarchy::Endorsement.entity(),
            reference: b"for this".to_vec(),
        }),
        Policy::new().auth_value(),
        Policy::new().and(Assertion::Password),
        Policy::new().command(code::NV_WRITE),
        Policy::new().any_of([pin.clone(), owner.clone(), pcrs.clone()]),
        pcrs.any_of([inner.clone(), pin, inner.any_of([owner.clone(), owner])]),
        Policy::new().and(select(true)),
        Policy::new().and(select(false)),
        Policy::new().and(Assertion::Template(digest)),
        Policy::new().and(Assertion::CpHash(digest)),
        Policy::new().and(Assertion::NameHash(digest)),
        Policy::new().and(Assertion::Locality(0b1001)),
        Policy::new().and(Assertion::NvWritten(true)),
        Policy::new().kept_in(index.clone()),
        Policy::new().and(Assertion::NvWritten(false)),
        Policy::new().and(Assertion::PhysicalPresence),
    ];
    for comparison in [
        Comparison::Equal,
        Comparison::Different,
        Comparison::SignedGreater,
        Comparison::Greater,
        Comparison::SignedLess,
        Comparison::Less,
        Comparison::SignedAtLeast,
        Comparison::AtLeast,
        Comparison::SignedAtMost,
        Comparison::AtMost,
        Comparison::BitsSet,
        Comparison::BitsClear,
    ] {
        all.push(Policy::new().and(nv(comparison)));
        all.push(Policy::new().and(clock(comparison)));
    }
    all
}

#[test]
fn every_digest_is_the_one_the_tpm_computes() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    for policy in each(&mut tpm) {
        for hash in [Sha256, Sha384] {
            let digest_sized = policy.assertions().iter().any(|assertion| {
                matches!(
                    assertion,
                    Assertion::Template(_) | Assertion::CpHash(_) | Assertion::NameHash(_)
                )
            });
            if digest_sized && hash == Sha384 {
                // Their digests are of the session's own hash.
                continue;
            }
            let theirs = tpm.trial(&policy, hash, &Means::default()).unwrap();
            assert_eq!(policy.digest(&AwsLc, hash).unwrap(), theirs, "{policy:?}");
        }
    }
}

#[test]
fn nine_branches_or_one_are_refused_clearly() {
    let one = Policy::new().auth_value();
    for count in [0, 1, 9] {
        let policy = Policy::new().any_of(vec![one.clone(); count]);
        match policy.digest(&AwsLc, Sha256) {
            Err(Error::BadInput(words)) => assert!(words.contains("nest"), "{words}"),
            other => panic!("{other:?}"),
        }
    }
    let eight = Policy::new().any_of(vec![one; 8]);
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let sealed = guard(&mut tpm, &eight, b"pin");
    assert_eq!(open(&mut tpm, &sealed, &eight, &Means::default(), b"pin").unwrap(), DATA);
}

#[test]
fn a_pcr_bound_secret_says_so_when_the_pcr_moved() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let policy = pcr_policy(&mut tpm, &[0, 7]);
    let sealed = guard(&mut tpm, &policy, b"");
    let means = Means::default();
    assert_eq!(open(&mut tpm, &sealed, &policy, &means, b"").unwrap(), DATA);
    // Between the policy and its use.
    let moved = tpm.with_policy(&policy, Sha256, &means, &none(), |tpm, auth| {
        extend(tpm, 0);
        unseal(tpm, &sealed, auth)
    });
    assert_eq!(refused(&moved), Unsatisfied::Pcr);
    // And from then on.
    let moved = open(&mut tpm, &sealed, &policy, &means, b"");
    assert_eq!(refused(&moved), Unsatisfied::Pcr);
    let error = moved.unwrap_err();
    assert_eq!(error.code(), "tpm2.policy.pcr");
    assert!(error.to_string().contains("another state"), "{error}");
    // Nothing but the policy opens it.
    assert!(unseal(&mut tpm, &sealed, Auth::empty()).is_err());
}

#[test]
fn an_approval_opens_for_the_state_it_names_and_the_next_one_for_the_next() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let vendor = signer();
    let key = public_of(&vendor);
    let policy = Policy::new().authorized_by(key.clone(), b"boot");
    let sealed = guard(&mut tpm, &policy, b"");
    let approve = |state: &Policy, by: &SoftSigner| {
        Approval::sign(&AwsLc, Sha256, (key.clone(), by), state.clone(), b"boot").unwrap()
    };
    let mut means = Means::default();
    assert_eq!(refused(&open(&mut tpm, &sealed, &policy, &means, b"")), Unsatisfied::Authorize);
    let first = approve(&pcr_policy(&mut tpm, &[4]), &vendor);
    means.approvals = vec![first.clone()];
    assert_eq!(open(&mut tpm, &sealed, &policy, &means, b"").unwrap(), DATA);
    extend(&mut tpm, 4);
    assert_eq!(refused(&open(&mut tpm, &sealed, &policy, &means, b"")), Unsatisfied::Pcr);
    // An update of the boot chain: the old approval stays in the list.
    let state = pcr_policy(&mut tpm, &[4]);
    means.approvals = vec![first.clone(), approve(&state, &vendor)];
    assert_eq!(open(&mut tpm, &sealed, &policy, &means, b"").unwrap(), DATA);
    // Somebody else's approval is none.
    means.approvals = vec![approve(&state, &signer())];
    assert_eq!(refused(&open(&mut tpm, &sealed, &policy, &means, b"")), Unsatisfied::Authorize);
    let late = Policy::new().auth_value().authorized_by(key, b"boot");
    assert!(matches!(open(&mut tpm, &sealed, &late, &means, b""), Err(Error::BadInput(_))));
}

/// Says it is the key, and signs something else.
struct Liar(SoftSigner);

impl Signer for Liar {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
    fn spki_der(&self) -> &[u8] {
        self.0.spki_der()
    }
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.0.sign(b"an old session's nonce")
    }
}

#[test]
fn a_signature_opens_one_session_and_a_replayed_one_none() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let holder = signer();
    let policy = Policy::new().signed_by(public_of(&holder), b"unlock");
    let sealed = guard(&mut tpm, &policy, b"");
    let means = Means { signers: vec![&holder], ..Means::default() };
    assert_eq!(open(&mut tpm, &sealed, &policy, &means, b"").unwrap(), DATA);
    let nobody = open(&mut tpm, &sealed, &policy, &Means::default(), b"");
    assert_eq!(refused(&nobody), Unsatisfied::Signed);
    let liar = Liar(holder);
    let means = Means { signers: vec![&liar], ..Means::default() };
    assert_eq!(refused(&open(&mut tpm, &sealed, &policy, &means, b"")), Unsatisfied::Signed);
}

#[test]
fn another_entity_s_value_opens() {
    let swtpm = Swtpm::blank();
    let (mut tpm, seen) = recorded(&swtpm);
    let token = seal(&mut tpm, WITH_VALUE | NO_DA, &[], b"the token's value", b"token");
    let policy = Policy::new().secret(&token.entity);
    let sealed = guard(&mut tpm, &policy, b"");
    let with = |value: &[u8]| Means {
        values: vec![(token.entity.clone(), AuthValue::new(value))],
        ..Means::default()
    };
    let right = open(&mut tpm, &sealed, &policy, &with(b"the token's value"), b"");
    assert_eq!(right.unwrap(), DATA);
    let wrong = open(&mut tpm, &sealed, &policy, &with(b"a guess"), b"").unwrap_err();
    assert!(matches!(wrong, Error::WrongAuthorization { .. }), "{wrong:?}");
    let seen = seen.lock().unwrap().concat();
    assert!(!seen.windows(17).any(|window| window == b"the token's value"));
}

#[test]
fn the_own_value_opens_without_being_shown() {
    let swtpm = Swtpm::blank();
    let (mut tpm, seen) = recorded(&swtpm);
    for assertion in [Assertion::AuthValue, Assertion::Password] {
        let policy = Policy::new().and(assertion);
        let sealed = guard(&mut tpm, &policy, b"the object's value");
        let means = Means::default();
        let opened = open(&mut tpm, &sealed, &policy, &means, b"the object's value");
        assert_eq!(opened.unwrap(), DATA);
        let wrong = open(&mut tpm, &sealed, &policy, &means, b"a guess").unwrap_err();
        assert!(matches!(wrong, Error::WrongAuthorization { .. }), "{wrong:?}");
        tpm.flush(sealed.entity.handle).unwrap();
    }
    let shown = |seen: &lab::Recording| {
        let seen = seen.lock().unwrap().concat();
        seen.windows(18).any(|window| window == b"the object's value")
    };
    assert!(!shown(&seen));
    tpm.dangerous_plain(true);
    let policy = Policy::new().and(Assertion::Password);
    let sealed = guard(&mut tpm, &policy, b"pw");
    assert_eq!(open(&mut tpm, &sealed, &policy, &Means::default(), b"pw").unwrap(), DATA);
    assert!(open(&mut tpm, &sealed, &policy, &Means::default(), b"no").is_err());
}

#[test]
fn an_index_and_the_clock_open_while_they_compare() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let index = define(&mut tpm, 0x0180_0011, OWNED, &[]);
    let index = write(&mut tpm, &index, &[0, 0, 0, 0, 0, 0, 0, 7]);
    let policy = Policy::new().and(Assertion::Nv {
        index: index.entity.clone(),
        operand: vec![7],
        offset: 7,
        comparison: Comparison::AtMost,
    });
    let (sealed, means) = (guard(&mut tpm, &policy, b""), Means::default());
    assert_eq!(open(&mut tpm, &sealed, &policy, &means, b"").unwrap(), DATA);
    write(&mut tpm, &index, &[0, 0, 0, 0, 0, 0, 0, 8]);
    assert_eq!(refused(&open(&mut tpm, &sealed, &policy, &means, b"")), Unsatisfied::Nv);
    tpm.nv_undefine(Hierarchy::Owner, &index).unwrap();
    assert_eq!(refused(&open(&mut tpm, &sealed, &policy, &means, b"")), Unsatisfied::NvChanged);
    define(&mut tpm, 0x0180_0011, nv::OWNERWRITE | nv::OWNERREAD, &[]);
    assert_eq!(refused(&open(&mut tpm, &sealed, &policy, &means, b"")), Unsatisfied::NvChanged);

    let clock = |comparison| {
        Policy::new().and(Assertion::CounterTimer { operand: vec![0; 8], offset: 8, comparison })
    };
    let (past, future) = (clock(Comparison::AtLeast), clock(Comparison::Less));
    tpm.flush(sealed.entity.handle).unwrap();
    let sealed = guard(&mut tpm, &past, b"");
    assert_eq!(open(&mut tpm, &sealed, &past, &means, b"").unwrap(), DATA);
    let sealed = guard(&mut tpm, &future, b"");
    assert_eq!(refused(&open(&mut tpm, &sealed, &future, &means, b"")), Unsatisfied::CounterTimer);
}

#[test]
fn a_policy_that_an_index_holds_opens_until_another_is_written() {
    let swtpm = Swtpm::blank_tcp();
    let mut tpm = talk(&swtpm);
    // TPMT_HA of SHA-256.
    let index = define_sized(&mut tpm, 0x0180_0012, OWNED, &[], 34);
    let first = pcr_policy(&mut tpm, &[4]);
    let index = write(&mut tpm, &index, &first.to_index(&AwsLc, Sha256).unwrap());
    let policy = Policy::new().kept_in(index.entity.clone());
    let sealed = guard(&mut tpm, &policy, b"");
    let mut means = Means { kept: vec![first.clone()], ..Means::default() };
    assert_eq!(open(&mut tpm, &sealed, &policy, &means, b"").unwrap(), DATA);
    // None at hand, and one that is not the index'.
    let (nothing, pin) = (Means::default(), Policy::new().auth_value());
    assert_eq!(refused(&open(&mut tpm, &sealed, &policy, &nothing, b"")), Unsatisfied::AuthorizeNv);
    let other = Means { kept: vec![pin.clone()], ..Means::default() };
    assert_eq!(refused(&open(&mut tpm, &sealed, &policy, &other, b"")), Unsatisfied::AuthorizeNv);
    // The device changes: what the index holds does no longer hold, until the next is written.
    extend(&mut tpm, 4);
    assert_eq!(refused(&open(&mut tpm, &sealed, &policy, &means, b"")), Unsatisfied::Pcr);
    let second = pcr_policy(&mut tpm, &[4]);
    means.kept = vec![pin, first.clone(), second.clone()];
    let stale = open(&mut tpm, &sealed, &policy, &means, b"");
    assert_eq!(refused(&stale), Unsatisfied::AuthorizeNv);
    write(&mut tpm, &index, &second.to_index(&AwsLc, Sha256).unwrap());
    assert_eq!(open(&mut tpm, &sealed, &policy, &means, b"").unwrap(), DATA);
    // A digest for sessions of another hash, and what is no digest at all.
    for odd in [&[0, 0x0C][..], &[0xFF, 0xFF]] {
        write(&mut tpm, &index, &[odd, &[7; 32]].concat());
        let refusal = open(&mut tpm, &sealed, &policy, &means, b"");
        assert_eq!(refused(&refusal), Unsatisfied::AuthorizeNv);
    }
    tpm.nv_undefine(Hierarchy::Owner, &index).unwrap();
    assert_eq!(refused(&open(&mut tpm, &sealed, &policy, &means, b"")), Unsatisfied::NvChanged);
    let late = Policy::new().auth_value().kept_in(index.entity);
    assert!(matches!(open(&mut tpm, &sealed, &late, &means, b""), Err(Error::BadInput(_))));
}

#[test]
fn a_policy_for_one_command_serves_no_other() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let means = Means::default();
    let right = Policy::new().command(code::UNSEAL);
    let sealed = guard(&mut tpm, &right, b"");
    assert_eq!(open(&mut tpm, &sealed, &right, &means, b"").unwrap(), DATA);
    let wrong = Policy::new().command(code::RSA_DECRYPT);
    let sealed = guard(&mut tpm, &wrong, b"");
    assert_eq!(refused(&open(&mut tpm, &sealed, &wrong, &means, b"")), Unsatisfied::Command);
    // A policy that holds, but is another's.
    assert_eq!(refused(&open(&mut tpm, &sealed, &right, &means, b"")), Unsatisfied::Other);
}

#[test]
fn of_nested_branches_the_one_that_holds_opens() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let moved = pcr_policy(&mut tpm, &[2]);
    extend(&mut tpm, 2);
    let holds = pcr_policy(&mut tpm, &[2]);
    let also = Policy::new().command(code::UNSEAL);
    let inner = Policy::new().any_of([moved.clone(), holds.clone()]).command(code::UNSEAL);
    let policy = also.any_of([
        moved.clone(),
        Policy::new().command(code::UNSEAL).any_of([moved.clone(), moved.clone()]),
        inner,
    ]);
    let (sealed, means) = (guard(&mut tpm, &policy, b""), Means::default());
    assert_eq!(open(&mut tpm, &sealed, &policy, &means, b"").unwrap(), DATA);
    extend(&mut tpm, 2);
    assert_eq!(refused(&open(&mut tpm, &sealed, &policy, &means, b"")), Unsatisfied::Pcr);
    // No deeper than is sane.
    let deep = (0..20).fold(holds, |inner, _| Policy::new().any_of([inner.clone(), inner]));
    assert!(matches!(
        tpm.with_session(&NewSession::policy(Sha256), |tpm, session| {
            tpm.satisfy(session, &flat(&deep, 20), &means)
        }),
        Err(Error::BadInput(_) | Error::Unsatisfied(_))
    ));
}

/// The same depth, but not as wide: a hundred thousand digests are nobody's test.
fn flat(_: &Policy, depth: usize) -> Policy {
    (0..depth).fold(Policy::new().auth_value(), |inner, _| {
        Policy::new().any_of([inner, Policy::new().auth_value()])
    })
}

#[test]
fn a_key_goes_to_the_parent_its_policy_names_and_to_no_other() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let new = |tpm: &mut Tpm, template| {
        tpm.create_primary(Hierarchy::Owner, Auth::empty(), &NewObject::new(template)).unwrap().0
    };
    let right = new(&mut tpm, storage(KeyPair::Ecc(Curve::P384)));
    // Not yet a key: its name is part of the session, not of this policy.
    let select = |object: Vec<u8>, parent: &Entity| {
        Policy::new().and(Assertion::DuplicationSelect {
            object,
            parent: parent.name.clone(),
            include_object: false,
        })
    };
    let policy = select(Vec::new(), &right.entity);
    let digest = policy.digest(&AwsLc, Sha256).unwrap();
    let mut template =
        signing(KeyPair::Ecc(Curve::P256), SigningScheme::Ecdsa(Sha256)).exportable();
    template.policy = digest.as_bytes().to_vec();
    let key = new(&mut tpm, template);
    let policy = select(key.entity.name.clone(), &right.entity);
    let means = Means::default();
    let out = tpm.with_policy(&policy, Sha256, &means, &none(), |tpm, auth| {
        tpm.duplicate(&key, auth, Some(&right), None)
    });
    assert!(!out.unwrap().private.is_empty());
    tpm.flush(right.entity.handle).unwrap();
    let wrong = new(&mut tpm, storage(KeyPair::Ecc(Curve::P256)));
    let out = tpm.with_policy(&policy, Sha256, &means, &none(), |tpm, auth| {
        tpm.duplicate(&key, auth, Some(&wrong), None)
    });
    assert_eq!(out.unwrap_err(), Error::Unsatisfied(Unsatisfied::Duplication));
}

#[test]
fn a_parent_makes_only_what_its_policy_s_template_says() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let right = signing(KeyPair::Ecc(Curve::P256), SigningScheme::Ecdsa(Sha256));
    let wrong = signing(KeyPair::Ecc(Curve::P384), SigningScheme::Ecdsa(Sha384));
    let hashed = AwsLc.hash(Sha256, &[&right.encode().unwrap()]);
    let policy = Policy::new().and(Assertion::Template(hashed));
    let digest = policy.digest(&AwsLc, Sha256).unwrap();
    let parent = storage(KeyPair::Ecc(Curve::P256)).only_with_policy(&digest);
    let (parent, _) =
        tpm.create_primary(Hierarchy::Owner, Auth::empty(), &NewObject::new(parent)).unwrap();
    let mut make = |template: &Public| {
        tpm.with_policy(&policy, Sha256, &Means::default(), &none(), |tpm, auth| {
            tpm.create(&parent, auth, &NewObject::new(template.clone()))
        })
    };
    assert!(make(&right).is_ok());
    assert_eq!(make(&wrong).unwrap_err(), Error::Unsatisfied(Unsatisfied::Template));
}

#[test]
fn an_approval_for_one_command_serves_that_alone() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let vendor = signer();
    let key = public_of(&vendor);
    let policy = Policy::new().authorized_by(key.clone(), b"");
    let one = guard(&mut tpm, &policy, b"");
    let two = guard(&mut tpm, &policy, b"other");
    let command =
        |sealed: &Sealed| Command::new(code::UNSEAL).authorized(&sealed.entity, Auth::empty());
    let names = command(&one).name_hash(&AwsLc, Sha256);
    for (approved, why) in [
        (Policy::new().exactly(&command(&one), &AwsLc, Sha256), Unsatisfied::Parameters),
        (Policy::new().and(Assertion::NameHash(names)), Unsatisfied::Handles),
    ] {
        let approval =
            Approval::sign(&AwsLc, Sha256, (key.clone(), &vendor), approved, b"").unwrap();
        let means = Means { approvals: vec![approval], ..Means::default() };
        assert_eq!(open(&mut tpm, &one, &policy, &means, b"").unwrap(), DATA);
        assert_eq!(refused(&open(&mut tpm, &two, &policy, &means, b"")), why);
    }
}

#[test]
fn a_locality_or_a_presence_that_nobody_has_is_refused() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let means = Means::default();
    let here = Policy::new().and(Assertion::Locality(0b1));
    let sealed = guard(&mut tpm, &here, b"");
    assert_eq!(open(&mut tpm, &sealed, &here, &means, b"").unwrap(), DATA);
    tpm.flush(sealed.entity.handle).unwrap();
    let there = Policy::new().and(Assertion::Locality(0b1000));
    let sealed = guard(&mut tpm, &there, b"");
    assert_eq!(refused(&open(&mut tpm, &sealed, &there, &means, b"")), Unsatisfied::Locality);
    tpm.flush(sealed.entity.handle).unwrap();
    let present = Policy::new().and(Assertion::PhysicalPresence);
    let sealed = guard(&mut tpm, &present, b"");
    assert_eq!(refused(&open(&mut tpm, &sealed, &present, &means, b"")), Unsatisfied::Presence);
}

#[test]
fn an_index_is_written_once_by_its_policy() {
    const POLICYWRITE: u32 = 1 << 3;
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let policy = Policy::new().and(Assertion::NvWritten(false));
    let digest = policy.digest(&AwsLc, Sha256).unwrap();
    let index = define(&mut tpm, 0x0180_0012, POLICYWRITE | nv::OWNERREAD, digest.as_bytes());
    let mut write = || {
        let index = tpm.nv_index(index.entity.handle).unwrap().unwrap().entity;
        tpm.with_policy(&policy, Sha256, &Means::default(), &none(), |tpm, auth| {
            tpm.run(&nv_write(&index, auth, &index, &[1; 8], 0)?)
        })
    };
    assert!(write().is_ok());
    assert_eq!(write().unwrap_err(), Error::Unsatisfied(Unsatisfied::NvWritten));
}

/// What one of tpm2-tools computes in a trial session.
fn tools_digest(swtpm: &Swtpm, steps: &[&[&str]]) -> Vec<u8> {
    swtpm.tool(&["tpm2_startauthsession", "-S", "trial.ctx", "-g", "sha256"]);
    for step in steps {
        swtpm.tool(&[step, &["-S", "trial.ctx", "-L", "policy.digest"][..]].concat());
    }
    swtpm.tool(&["tpm2_flushcontext", "trial.ctx"]);
    swtpm.read("policy.digest")
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |hex, octet| format!("{hex}{octet:02x}"))
}

#[test]
fn every_digest_is_the_one_that_tpm2_tools_print() {
    let swtpm = Swtpm::blank_tcp();
    let holder = signer();
    let key = public_of(&holder);
    let native = key.encode().unwrap();
    let size = u16::try_from(native.len()).unwrap().to_be_bytes();
    swtpm.write("key.pub", &[&size[..], &native].concat());
    let name = name_of(&AwsLc, &native).unwrap();
    swtpm.write("key.name", &name);
    swtpm.write("some.digest", &[5; 32]);
    swtpm.write("sized.digest", &[&[0, 32][..], &[5; 32]].concat());
    swtpm.write("parent.name", &[&[0, 0x0B][..], &[3; 32]].concat());
    let mut tpm = talk(&swtpm);
    let index = define(&mut tpm, 0x0180_0010, OWNED, &[]);
    let index = write(&mut tpm, &index, &[7; 8]).entity;
    let kept = define_sized(&mut tpm, 0x0180_0013, OWNED, &[], 34);
    let held = Policy::new().auth_value().to_index(&AwsLc, Sha256).unwrap();
    let kept = write(&mut tpm, &kept, &held).entity;
    let pcrs = pcr_policy(&mut tpm, &[0, 7, 23]);
    drop(tpm);
    let digest = Digest::new(Sha256, &[5; 32]).unwrap();
    swtpm.write("operand", &[7; 8]);
    swtpm
        .write("pin.digest", Policy::new().auth_value().digest(&AwsLc, Sha256).unwrap().as_bytes());
    let unseal = Policy::new().command(code::UNSEAL);
    swtpm.write("unseal.digest", unseal.digest(&AwsLc, Sha256).unwrap().as_bytes());
    let select = Assertion::DuplicationSelect {
        object: name,
        parent: [&[0, 0x0B][..], &[3; 32]].concat(),
        include_object: false,
    };
    let compare =
        Assertion::Nv { index, operand: vec![7; 8], offset: 0, comparison: Comparison::Equal };
    let timer = Assertion::CounterTimer {
        operand: vec![0, 0, 0, 0, 0, 0, 0, 9],
        offset: 8,
        comparison: Comparison::AtLeast,
    };
    let authorize = ["tpm2_policyauthorize", "-i", "some.digest", "-n", "key.name"];
    let cases: Vec<(Policy, Vec<Vec<&str>>)> = vec![
        (pcrs, vec![vec!["tpm2_policypcr", "-l", "sha256:0,7,23"]]),
        (Policy::new().authorized_by(key.clone(), b""), vec![authorize.to_vec()]),
        (
            Policy::new().secret(&Hierarchy::Owner.entity()),
            vec![vec!["tpm2_policysecret", "-c", "o"]],
        ),
        (Policy::new().auth_value(), vec![vec!["tpm2_policyauthvalue"]]),
        (Policy::new().and(Assertion::Password), vec![vec!["tpm2_policypassword"]]),
        (
            Policy::new().and(compare),
            vec![vec!["tpm2_policynv", "-C", "0x1800010", "-i", "operand", "0x1800010", "eq"]],
        ),
        (Policy::new().and(timer), vec![vec!["tpm2_policycountertimer", "--uge", "clock=9"]]),
        (Policy::new().kept_in(kept), vec![vec!["tpm2_policyauthorizenv", "-C", "o", "0x1800013"]]),
        (unseal, vec![vec!["tpm2_policycommandcode", "TPM2_CC_Unseal"]]),
        (
            Policy::new().any_of([Policy::new().auth_value(), Policy::new().command(code::UNSEAL)]),
            vec![vec!["tpm2_policyor", "-l", "sha256:pin.digest,unseal.digest"]],
        ),
        // tpm2-tools 5.4 take --include-object and leave the object out all the same, so that digest
        // is compared with the TPM's alone.
        (
            Policy::new().and(select),
            vec![vec!["tpm2_policyduplicationselect", "-N", "parent.name", "-n", "key.name"]],
        ),
        (
            Policy::new().and(Assertion::Template(digest)),
            vec![vec!["tpm2_policytemplate", "--template-hash", "some.digest"]],
        ),
        (
            Policy::new().and(Assertion::Locality(0b1000)),
            vec![vec!["tpm2_policylocality", "three"]],
        ),
        (Policy::new().and(Assertion::NvWritten(true)), vec![vec!["tpm2_policynvwritten", "s"]]),
        (Policy::new().and(Assertion::NvWritten(false)), vec![vec!["tpm2_policynvwritten", "c"]]),
        (
            Policy::new().and(Assertion::CpHash(digest)),
            vec![vec!["tpm2_policycphash", "--cphash-input", "sized.digest"]],
        ),
        (
            Policy::new().and(Assertion::NameHash(digest)),
            vec![vec!["tpm2_policynamehash", "-n", "some.digest"]],
        ),
        (
            Policy::new().auth_value().command(code::UNSEAL),
            vec![vec!["tpm2_policyauthvalue"], vec!["tpm2_policycommandcode", "TPM2_CC_Unseal"]],
        ),
    ];
    for (policy, steps) in &cases {
        let steps: Vec<&[&str]> = steps.iter().map(Vec::as_slice).collect();
        let theirs = tools_digest(&swtpm, &steps);
        let ours = policy.digest(&AwsLc, Sha256).unwrap();
        assert_eq!(hex(&theirs), ours.to_hex(), "{steps:?}");
    }
    // A signature has to be there, but a trial session does not look at it.
    swtpm.tool(&["tpm2_loadexternal", "-C", "o", "-u", "key.pub", "-c", "key.ctx"]);
    swtpm.write("signature", &holder.sign(b"anything").unwrap());
    let signed = ["tpm2_policysigned", "-g", "sha256", "-s", "signature", "-f", "ecdsa"];
    let signed = [&signed[..], &["-c", "key.ctx", "-q", "some.digest"]].concat();
    let theirs = tools_digest(&swtpm, &[&signed]);
    let ours = Policy::new().signed_by(key, &[5; 32]).digest(&AwsLc, Sha256).unwrap();
    assert_eq!(hex(&theirs), ours.to_hex());
}

#[test]
fn what_a_policy_of_ours_seals_tpm2_tools_unseal_and_the_other_way() {
    let swtpm = Swtpm::blank_tcp();
    let mut tpm = talk(&swtpm);
    let policy = pcr_policy(&mut tpm, &[0, 7]);
    let digest = policy.digest(&AwsLc, Sha256).unwrap();
    let (parent, _) =
        tpm.create_primary(Hierarchy::Owner, Auth::empty(), &NewObject::new(srk())).unwrap();
    let kept = tpm.make_persistent(Hierarchy::Owner, &parent, 0x8100_0001).unwrap();
    let sealed = seal(&mut tpm, WITH_POLICY | NO_DA, digest.as_bytes(), b"", DATA);
    let (public, handle) = (sealed.entity.clone(), 0x8100_0002);
    let evict = Command::new(code::EVICT_CONTROL)
        .authorized(&Hierarchy::Owner.entity(), Auth::empty())
        .handle(&public)
        .parameters(Writer::default().u32(handle));
    tpm.run(&evict).unwrap();
    drop(tpm);
    let opened = swtpm.tool(&["tpm2_unseal", "-c", "0x81000002", "-p", "pcr:sha256:0,7"]);
    assert_eq!(opened, DATA);
    swtpm.write("data", b"their secret");
    swtpm.write("policy.digest", digest.as_bytes());
    let create = ["tpm2_create", "-C", "0x81000001", "-i", "data", "-L", "policy.digest"];
    swtpm.tool(&[&create[..], &["-u", "their.pub", "-r", "their.priv"]].concat());
    let (native, private) = (swtpm.read("their.pub"), swtpm.read("their.priv"));
    let mut tpm = talk(&swtpm);
    let load = Command::new(code::LOAD)
        .authorized(&kept.entity, Auth::empty())
        .parameters(Writer::default().octets(&private).octets(&native));
    let handle = tpm.run(&load).unwrap().handle().unwrap();
    let theirs = Reader::new(&native).sized().unwrap();
    let entity = Entity::named(handle, name_of(&AwsLc, theirs).unwrap());
    let sealed = Sealed { entity, parent: kept };
    let opened = open(&mut tpm, &sealed, &policy, &Means::default(), b"");
    assert_eq!(opened.unwrap(), b"their secret");
}
