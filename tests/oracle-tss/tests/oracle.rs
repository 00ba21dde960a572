//! Names, public parts, policies, creation data and quotes, as the TSS in C sees them on the same
//! software TPM.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use std::str::FromStr;
use touchstone_crypto::{Crypto, Curve, Digest, HashAlgorithm, SignatureAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_peers::Swtpm;
use touchstone_tpm2::object::{Created, CreationData, SigningScheme};
use touchstone_tpm2::template::{self, ENDORSEMENT, KeyPair};
use touchstone_tpm2::transport::Stream;
use touchstone_tpm2::{
    Auth, Hierarchy, NewObject, PcrSelection, Policy, Public, Tpm, code, name_of, signature,
};
use tss_esapi::constants::{CommandCode, SessionType};
use tss_esapi::handles::{KeyHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::Hierarchy as TheirHierarchy;
use tss_esapi::interface_types::session_handles::PolicySession;
use tss_esapi::structures::{
    Attest, AttestInfo, Data, Digest as TheirDigest, PcrSelectionListBuilder, PcrSlot, Private,
    Public as TheirPublic, Signature, SignatureScheme, SymmetricDefinition,
};
use tss_esapi::traits::{Marshall, UnMarshall};
use tss_esapi::tss2_esys::TPMS_CREATION_DATA;
use tss_esapi::{Context, TctiNameConf};

const SHA256: HashAlgorithm = HashAlgorithm::Sha256;
const PARENT: u32 = 0x8100_0001;

/// A TPM with a storage key for both sides.
fn rig() -> Swtpm {
    let swtpm = Swtpm::blank_tcp();
    let mut tpm = ours(&swtpm);
    let new = NewObject::new(template::key_file_parent(false));
    let (parent, _) = tpm.create_primary(Hierarchy::Owner, Auth::empty(), &new).unwrap();
    tpm.make_persistent(Hierarchy::Owner, &parent, PARENT).unwrap();
    drop(tpm);
    swtpm
}

fn ours(swtpm: &Swtpm) -> Tpm {
    let stream = Stream::tcp(swtpm.address()).unwrap();
    let mut tpm = Tpm::new(Box::new(stream), &AwsLc);
    tpm.recover().unwrap();
    tpm
}

fn theirs(swtpm: &Swtpm) -> (Context, KeyHandle) {
    let mut tss = Context::new(TctiNameConf::from_str(&swtpm.tcti()).unwrap()).unwrap();
    let handle = TpmHandle::try_from(PARENT).unwrap();
    let parent = tss.execute_without_session(|tss| tss.tr_from_tpm_public(handle)).unwrap();
    (tss, KeyHandle::from(parent))
}

fn templates() -> Vec<Public> {
    let ecc = |curve| KeyPair::Ecc(curve);
    let mut all = vec![
        template::srk(),
        template::srk_rsa(),
        template::key_file_parent(true),
        template::signing(ecc(Curve::P256), SigningScheme::Ecdsa(SHA256)),
        template::signing(ecc(Curve::P521), SigningScheme::OfKey),
        template::signing(KeyPair::Rsa(3072), SigningScheme::RsaPss(HashAlgorithm::Sha384)),
        template::attestation(KeyPair::Rsa(2048), SigningScheme::RsaPkcs1(SHA256)).unwrap(),
        template::decryption(2048, Some(SHA256)),
        template::agreement(Curve::P384),
        template::hmac(HashAlgorithm::Sha512),
        template::cipher(256),
        template::sealed(),
    ];
    all.extend(ENDORSEMENT.iter().map(|kind| (kind.template)(&AwsLc)));
    all
}

#[test]
fn every_template_is_the_structure_that_the_tss_reads_and_writes() {
    for template in templates() {
        let native = template.encode().unwrap();
        let read = TheirPublic::unmarshall(&native).unwrap();
        assert_eq!(read.marshall().unwrap(), native);
        assert_eq!(Public::decode(&read.marshall().unwrap()).unwrap(), template);
    }
}

#[test]
fn names_are_those_that_the_tss_gets_from_the_tpm() {
    let swtpm = rig();
    let (mut tss, parent) = theirs(&swtpm);
    let (public, name, _) = tss.execute_without_session(|tss| tss.read_public(parent)).unwrap();
    let native = public.marshall().unwrap();
    assert_eq!(name.value(), name_of(&AwsLc, &native).unwrap());
    let template = template::signing(KeyPair::Ecc(Curve::P384), SigningScheme::OfKey);
    let asked = TheirPublic::unmarshall(&template.encode().unwrap()).unwrap();
    let made = tss
        .execute_with_nullauth_session(|tss| tss.create(parent, asked, None, None, None, None))
        .unwrap();
    let native = made.out_public.marshall().unwrap();
    let loaded = tss
        .execute_with_nullauth_session(|tss| tss.load(parent, made.out_private, made.out_public))
        .unwrap();
    let name = tss.tr_get_name(loaded.into()).unwrap();
    assert_eq!(name.value(), name_of(&AwsLc, &native).unwrap());
    assert!(Public::decode(&native).unwrap().is_like(&template));
}

fn their_policy_digest(tss: &mut Context, steps: &dyn Fn(&mut Context, PolicySession)) -> Vec<u8> {
    let session = tss
        .start_auth_session(
            None,
            None,
            None,
            SessionType::Trial,
            SymmetricDefinition::AES_128_CFB,
            HashingAlgorithm::Sha256,
        )
        .unwrap();
    let session = PolicySession::try_from(session.unwrap()).unwrap();
    steps(tss, session);
    tss.policy_get_digest(session).unwrap().value().to_vec()
}

#[test]
fn policy_digests_are_those_of_the_tss_in_a_trial_session() {
    let swtpm = rig();
    let values = [AwsLc.hash(SHA256, &[b"one"]), AwsLc.hash(SHA256, &[b"two"])];
    let parts: Vec<&[u8]> = values.iter().map(Digest::as_bytes).collect();
    let pcr_digest = AwsLc.hash(SHA256, &parts);
    let pcrs = PcrSelection::new(SHA256, &[4, 16]).unwrap();
    let their_pcrs = PcrSelectionListBuilder::new()
        .with_selection(HashingAlgorithm::Sha256, &[PcrSlot::Slot4, PcrSlot::Slot16])
        .build()
        .unwrap();
    let (mut tss, _) = theirs(&swtpm);

    let bound = Policy::new().pcrs(pcrs, &values).auth_value();
    let theirs = their_policy_digest(&mut tss, &|tss, session| {
        let digest = TheirDigest::try_from(pcr_digest.as_bytes()).unwrap();
        tss.policy_pcr(session, digest, their_pcrs.clone()).unwrap();
        tss.policy_auth_value(session).unwrap();
    });
    assert_eq!(bound.digest(&AwsLc, SHA256).unwrap().as_bytes(), theirs);

    let command = Policy::new().command(code::DUPLICATE);
    let theirs = their_policy_digest(&mut tss, &|tss, session| {
        tss.policy_command_code(session, CommandCode::Duplicate).unwrap();
    });
    assert_eq!(command.digest(&AwsLc, SHA256).unwrap().as_bytes(), theirs);

    let either = Policy::new().any_of([bound.clone(), command.clone()]);
    let branches = [bound, command].map(|branch| branch.digest(&AwsLc, SHA256).unwrap());
    let theirs = their_policy_digest(&mut tss, &|tss, session| {
        let mut list = tss_esapi::structures::DigestList::new();
        for branch in &branches {
            list.add(TheirDigest::try_from(branch.as_bytes()).unwrap()).unwrap();
        }
        tss.policy_or(session, list).unwrap();
    });
    assert_eq!(either.digest(&AwsLc, SHA256).unwrap().as_bytes(), theirs);
}

#[test]
fn creation_data_is_read_as_the_tss_reads_it() {
    let swtpm = rig();
    let pcrs = PcrSelection::new(SHA256, &[0, 7]).unwrap();
    let mut tpm = ours(&swtpm);
    let parent = tpm.read_public(PARENT).unwrap();
    let template = template::signing(KeyPair::Ecc(Curve::P256), SigningScheme::OfKey);
    let new = NewObject::new(template.clone()).outside(b"a nonce").pcrs(pcrs);
    let made = tpm.create(&parent, Auth::empty(), &new).unwrap();
    drop(tpm);

    let (mut tss, their_parent) = theirs(&swtpm);
    let asked = TheirPublic::unmarshall(&template.encode().unwrap()).unwrap();
    let their_pcrs = PcrSelectionListBuilder::new()
        .with_selection(HashingAlgorithm::Sha256, &[PcrSlot::Slot0, PcrSlot::Slot7])
        .build()
        .unwrap();
    let outside = Data::try_from(b"a nonce".to_vec()).unwrap();
    let theirs = tss
        .execute_with_nullauth_session(|tss| {
            tss.create(their_parent, asked, None, None, Some(outside), Some(their_pcrs))
        })
        .unwrap();
    // The same was asked twice, so the TPM states the same, and hashes the same.
    assert_eq!(theirs.creation_hash.value(), made.creation.hash.as_bytes());
    let stated = TPMS_CREATION_DATA::from(theirs.creation_data);
    let data: &CreationData = &made.creation.data;
    let outside = &stated.outsideInfo;
    assert_eq!(outside.buffer[..usize::from(outside.size)], data.outside);
    let digest = &stated.pcrDigest;
    assert_eq!(digest.buffer[..usize::from(digest.size)], data.pcr_digest);
    let name = &stated.parentName;
    assert_eq!(name.name[..usize::from(name.size)], data.parent_name);
    let qualified = &stated.parentQualifiedName;
    assert_eq!(qualified.name[..usize::from(qualified.size)], data.parent_qualified_name);
    assert_eq!(stated.locality, data.locality);
}

/// An attestation key made by us.
fn attestation_key(swtpm: &Swtpm) -> Created {
    let mut tpm = ours(swtpm);
    let parent = tpm.read_public(PARENT).unwrap();
    let scheme = SigningScheme::Ecdsa(SHA256);
    let template = template::attestation(KeyPair::Ecc(Curve::P256), scheme).unwrap();
    tpm.create(&parent, Auth::empty(), &NewObject::new(template)).unwrap()
}

#[test]
fn a_key_of_ours_quotes_through_the_tss_and_the_quote_verifies_here() {
    let swtpm = rig();
    let made = attestation_key(&swtpm);
    let (mut tss, parent) = theirs(&swtpm);
    let private = Private::try_from(made.private.clone()).unwrap();
    let public = TheirPublic::unmarshall(&made.native).unwrap();
    let pcrs = PcrSelectionListBuilder::new()
        .with_selection(HashingAlgorithm::Sha256, &[PcrSlot::Slot0, PcrSlot::Slot7])
        .build()
        .unwrap();
    let nonce = Data::try_from(b"a nonce".to_vec()).unwrap();
    let (attest, signed) = tss
        .execute_with_nullauth_session(|tss| {
            let key = tss.load(parent, private, public)?;
            tss.quote(key, nonce, SignatureScheme::Null, pcrs)
        })
        .unwrap();
    let (attest, signed): (Vec<u8>, Vec<u8>) =
        (attest.marshall().unwrap(), signed.marshall().unwrap());
    let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
    let x509 = signature::to_x509(&signed, algorithm).unwrap();
    let spki = Public::decode(&made.native).unwrap().spki_der().unwrap();
    AwsLc.verify(algorithm, &spki, &attest, &x509).unwrap();
}

#[test]
fn a_quote_of_ours_is_what_the_tss_reads_and_its_tpm_verifies() {
    let swtpm = rig();
    let made = attestation_key(&swtpm);
    let mut tpm = ours(&swtpm);
    let parent = tpm.read_public(PARENT).unwrap();
    let key = tpm.load(&parent, Auth::empty(), &made.private, &made.native).unwrap();
    let pcrs = PcrSelection::new(SHA256, &[0, 7]).unwrap();
    let values = tpm.pcr_read(&pcrs).unwrap();
    let parameters = touchstone_tpm2::marshal::Writer::default()
        .sized(b"a nonce")
        .unwrap()
        .u16(0x0010)
        .octets(&pcrs.encode());
    let quote = touchstone_tpm2::Command::new(code::QUOTE)
        .authorized(&key.entity, Auth::empty())
        .parameters(parameters);
    let answer = tpm.run(&quote).unwrap();
    let mut reader = touchstone_tpm2::marshal::Reader::new(&answer.parameters);
    let attest = reader.sized().unwrap().to_vec();
    let signed = reader.rest().to_vec();
    drop(tpm);

    let read = Attest::unmarshall(&attest).unwrap();
    assert_eq!(read.extra_data().value(), b"a nonce");
    assert_eq!(read.marshall().unwrap(), attest);
    let AttestInfo::Quote { info } = read.attested() else { panic!("{read:?}") };
    let parts: Vec<&[u8]> = values.iter().map(Digest::as_bytes).collect();
    assert_eq!(info.pcr_digest().value(), AwsLc.hash(SHA256, &parts).as_bytes());

    let signed = Signature::unmarshall(&signed).unwrap();
    let (mut tss, _) = theirs(&swtpm);
    let public = TheirPublic::unmarshall(&made.native).unwrap();
    let digest = TheirDigest::try_from(AwsLc.hash(SHA256, &[&attest]).as_bytes()).unwrap();
    let verified = tss.execute_without_session(|tss| {
        let key = tss.load_external_public(public, TheirHierarchy::Owner)?;
        tss.verify_signature(key, digest, signed)
    });
    assert!(verified.is_ok(), "{verified:?}");
}
