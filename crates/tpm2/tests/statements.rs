//! What a real TPM states, signed by its keys, as openssl verifies it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod lab;

use lab::talk;
use touchstone_crypto::{HashAlgorithm, SignatureAlgorithm};
use touchstone_peers::{Swtpm, openssl};
use touchstone_tpm2::attestation::{Attester, Stated};
use touchstone_tpm2::nv::{Attributes, By, NewIndex, Party};
use touchstone_tpm2::object::{Creation, Object};
use touchstone_tpm2::{
    Auth, Error, Hierarchy, NewObject, PcrSelection, Tpm, code, signature, template,
};

const NONCE: &[u8] = b"the verifier's nonce";
const ALGORITHM: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;

fn attestation_key(tpm: &mut Tpm) -> (Object, Creation) {
    let key = NewObject::new(template::signing_for(ALGORITHM, true).unwrap()).outside(b"why");
    tpm.create_primary(Hierarchy::Endorsement, Auth::empty(), &key).unwrap()
}

/// Everything that a TPM states, by its name.
fn all(tpm: &mut Tpm, key: &Object, creation: &Creation) -> Vec<(&'static str, Stated)> {
    let by = Attester::new(key, Auth::empty(), NONCE);
    let owner = [Party::Owner];
    let attributes = Attributes::new().written_by(&owner).read_by(&owner);
    let new = NewIndex::ordinary(0x0180_0001, 8).attributes(attributes);
    let mut index = tpm.nv_define(Hierarchy::Owner, &new).unwrap();
    let unwritten = tpm.nv_certify(&index, &By::Owner, (8, 0), &by).unwrap_err();
    assert_eq!(unwritten.code(), "tpm2.nv.not-written");
    tpm.nv_write(&mut index, &By::Owner, b"contents", 0).unwrap();
    tpm.set_audit_hash(Hierarchy::Owner, HashAlgorithm::Sha256).unwrap();
    tpm.audit_commands(Hierarchy::Owner, &[code::PCR_RESET], &[]).unwrap();
    assert!(tpm.audited_commands().unwrap().contains(&code::PCR_RESET.number));
    tpm.pcr_reset(16).unwrap();
    let pcrs = PcrSelection::new(HashAlgorithm::Sha256, &[0, 16]).unwrap();
    vec![
        ("quote", tpm.quote(&by, &pcrs).unwrap()),
        ("certify", tpm.certify(key, Auth::empty(), &by).unwrap()),
        ("creation", tpm.certify_creation(key, creation, &by).unwrap()),
        ("nv", tpm.nv_certify(&index, &By::Owner, (6, 2), &by).unwrap()),
        ("nv digest", tpm.nv_certify(&index, &By::Owner, (0, 0), &by).unwrap()),
        ("time", tpm.time_stated(&by).unwrap()),
        ("command audit", tpm.command_audit_stated(&by).unwrap()),
    ]
}

#[test]
fn openssl_verifies_every_statement_and_each_is_of_its_kind() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let (key, creation) = attestation_key(&mut tpm);
    swtpm.write("key.der", &key.public.spki_der().unwrap());
    let kinds = [0x8018, 0x8017, 0x801A, 0x8014, 0x801C, 0x8019, 0x8015_u16];
    for ((name, stated), kind) in all(&mut tpm, &key, &creation).into_iter().zip(kinds) {
        assert_eq!(stated.attest[..4], *b"\xFFTCG", "{name}");
        assert_eq!(stated.attest[4..6], kind.to_be_bytes(), "{name}");
        assert!(stated.attest.windows(NONCE.len()).any(|part| part == NONCE), "{name}");
        swtpm.write("attest", &stated.attest);
        let der = signature::to_x509(&stated.signature, ALGORITHM).unwrap();
        swtpm.write("signature", &der);
        let verify =
            ["dgst", "-sha256", "-verify", "key.der", "-keyform", "DER", "-signature", "signature"];
        let said = openssl(swtpm.dir.path(), &[&verify[..], &["attest"]].concat());
        assert!(said.contains("Verified OK"), "{name}: {said}");
    }
}

#[test]
fn tpm2_tools_state_the_same_things() {
    let swtpm = Swtpm::blank_tcp();
    let ours = {
        let mut tpm = talk(&swtpm);
        let (key, creation) = attestation_key(&mut tpm);
        let stated = all(&mut tpm, &key, &creation);
        tpm.make_persistent(Hierarchy::Owner, &key, 0x8101_0001).unwrap();
        stated
    };
    let part = |name: &str, from: usize| {
        let stated = ours.iter().find(|(known, _)| *known == name).unwrap();
        stated.1.attest[from..].to_vec()
    };
    let nonce = NONCE.iter().fold(String::new(), |hex, octet| format!("{hex}{octet:02x}"));
    let key = "0x81010001";
    let nv = [
        "tpm2_nvcertify",
        "-C",
        key,
        "-g",
        "sha256",
        "-f",
        "plain",
        "-c",
        "o",
        "-q",
        &nonce,
        "--size",
        "6",
        "--offset",
        "2",
        "-o",
        "nv.signature",
        "--attestation",
        "nv.attest",
        "0x1800001",
    ];
    swtpm.tool(&nv);
    let time = [
        "tpm2_gettime",
        "-c",
        key,
        "-q",
        &nonce,
        "-g",
        "sha256",
        "-o",
        "time.signature",
        "--attestation",
        "time.attest",
    ];
    swtpm.tool(&time);
    // Behind magic, kind, signer and nonce comes the clock, which moves; behind it, what is stated.
    let signer = 2 + 34;
    let head = 6 + signer + 2 + NONCE.len();
    let (ours, theirs) = (part("nv", 0), swtpm.read("nv.attest"));
    assert_eq!(ours[..head], theirs[..head]);
    assert_eq!(ours[head + 25..], theirs[head + 25..]);
    let (ours, theirs) = (part("time", 0), swtpm.read("time.attest"));
    assert_eq!(ours[..head], theirs[..head]);
    assert_eq!(ours.len(), theirs.len());
}

#[test]
fn a_creation_of_another_key_is_not_certified_and_long_qualifying_data_is_not_sent() {
    let swtpm = Swtpm::blank();
    let mut tpm = talk(&swtpm);
    let (key, creation) = attestation_key(&mut tpm);
    let by = Attester::new(&key, Auth::empty(), NONCE);
    let srk = tpm.srk().unwrap();
    let refused = tpm.certify_creation(&srk, &creation, &by).unwrap_err();
    assert!(refused.to_string().contains("TPM_RC_TICKET"), "{refused}");
    let long = [7; 67];
    let by = Attester::new(&key, Auth::empty(), &long);
    assert!(matches!(tpm.time_stated(&by), Err(Error::BadInput(_))));
    let unsigned = tpm.time_stated(&Attester::unsigned(NONCE)).unwrap();
    assert_eq!(unsigned.signature, [0, 0x10], "TPM_ALG_NULL");
}
