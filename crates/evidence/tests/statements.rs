//! What a software TPM states, as a verifier reads it, and every way in which it does not hold.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use touchstone_crypto::{Crypto, Digest, HashAlgorithm, SignatureAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_evidence::Error;
use touchstone_evidence::tpm::{Attest, Attested, LakPublic, Stated};
use touchstone_peers::Swtpm;
use touchstone_tpm2::attestation::{Attester, Stated as Made};
use touchstone_tpm2::nv::{Attributes, By, Index, NewIndex, Party};
use touchstone_tpm2::object::{Creation, Object};
use touchstone_tpm2::transport::Stream;
use touchstone_tpm2::{
    Auth, Command, Entity, Hierarchy, NewObject, NewSession, Tpm, code, template,
};

const SHA256: HashAlgorithm = HashAlgorithm::Sha256;
const NONCE: &[u8] = b"the verifier's nonce";

struct Device {
    tpm: Tpm,
    key: Object,
    creation: Creation,
    index: Index,
    lak: LakPublic,
    _swtpm: Swtpm,
}

impl Device {
    fn new() -> Self {
        let swtpm = Swtpm::blank();
        let mut tpm = Tpm::new(Box::new(Stream::unix(swtpm.socket()).unwrap()), &AwsLc);
        let public = template::signing_for(SignatureAlgorithm::EcdsaP256Sha256, true).unwrap();
        let new = NewObject::new(public).outside(b"why");
        let made = tpm.create_primary(Hierarchy::Endorsement, Auth::empty(), &new);
        let (key, creation) = made.unwrap();
        let attributes = Attributes::new().written_by(&[Party::Owner]).read_by(&[Party::Owner]);
        let new = NewIndex::ordinary(0x0180_0001, 8).attributes(attributes);
        let mut index = tpm.nv_define(Hierarchy::Owner, &new).unwrap();
        tpm.nv_write(&mut index, &By::Owner, b"contents", 0).unwrap();
        let lak = LakPublic::from_native(&key.native).unwrap();
        Self { tpm, key, creation, index, lak, _swtpm: swtpm }
    }

    fn states<T>(&mut self, ask: impl FnOnce(&mut Tpm, &Attester<'_>) -> T) -> T {
        ask(&mut self.tpm, &Attester::new(&self.key, Auth::empty(), NONCE))
    }

    fn read<'a>(&'a self, made: &'a Made) -> Stated<'a> {
        let Made { attest, signature } = made;
        Stated { attest, signature, signer: &self.lak, qualifying: NONCE }
    }
}

/// What the TPM counts of a command without parameters: `cpHash` and `rpHash` (TPM 2.0 Part 1 §16.7,
/// §16.8).
fn counted(before: Digest, code: u32, names: &[&Entity], parameters: &[u8]) -> Digest {
    let code = code.to_be_bytes();
    let mut parts: Vec<&[u8]> = vec![&code];
    parts.extend(names.iter().map(|entity| entity.name.as_slice()));
    parts.push(parameters);
    let sent = AwsLc.hash(SHA256, &parts);
    let received = AwsLc.hash(SHA256, &[&[0; 4], &code]);
    AwsLc.hash(SHA256, &[before.as_bytes(), sent.as_bytes(), received.as_bytes()])
}

#[test]
fn how_a_key_was_created_is_known_and_nothing_else_passes_for_it() {
    let mut device = Device::new();
    let (key, creation) = (device.key.clone(), device.creation.clone());
    let made = device.states(|tpm, by| tpm.certify_creation(&key, &creation, by)).unwrap();
    let stated = device.read(&made);
    let data = creation.data.native();
    stated.creation(&AwsLc, &key.native, data).unwrap();

    let mut other = data.to_vec();
    *other.last_mut().unwrap() ^= 1;
    assert_eq!(stated.creation(&AwsLc, &key.native, &other).unwrap_err(), Error::Creation);
    let srk = template::srk().encode().unwrap();
    assert_eq!(stated.creation(&AwsLc, &srk, data).unwrap_err(), Error::WrongName);
    let stale = Stated { qualifying: b"another", ..stated };
    assert_eq!(stale.creation(&AwsLc, &key.native, data).unwrap_err(), Error::NotFresh);
    assert!(matches!(stated.time(&AwsLc), Err(Error::WrongType { found: 0x801A, .. })));
}

#[test]
fn what_stands_in_an_index_is_known_and_another_index_does_not_pass_for_it() {
    let mut device = Device::new();
    let index = device.index.clone();
    let certify = |device: &mut Device, part| {
        device.states(|tpm, by| tpm.nv_certify(&index, &By::Owner, part, by)).unwrap()
    };
    let (part, whole) = (certify(&mut device, (6, 2)), certify(&mut device, (0, 0)));
    let public = index.encode().unwrap();
    let contents = device.read(&part).nv(&AwsLc, &public).unwrap().into_inner();
    assert_eq!((contents.offset, contents.octets.as_slice()), (2, &b"ntents"[..]));
    assert_eq!(contents.attributes, index.attributes.bits());
    let mut other = public.clone();
    other[3] ^= 1;
    assert_eq!(device.read(&part).nv(&AwsLc, &other).unwrap_err(), Error::WrongName);
    for cut in 0..public.len() {
        assert!(device.read(&part).nv(&AwsLc, &public[..cut]).is_err());
    }

    let stated = device.read(&whole);
    stated.nv_digest(&AwsLc, &public, b"contents").unwrap();
    assert_eq!(stated.nv_digest(&AwsLc, &public, b"contentz").unwrap_err(), Error::Contents);
    assert!(matches!(stated.nv(&AwsLc, &public), Err(Error::WrongType { found: 0x801C, .. })));
}

#[test]
fn the_time_is_the_tpms_own_and_signed() {
    let mut device = Device::new();
    let made = device.states(Tpm::time_stated).unwrap();
    let now = device.tpm.clock().unwrap();
    let stated = device.read(&made).time(&AwsLc).unwrap().into_inner();
    assert!(stated.time <= now.time && now.time < stated.time + 60_000);
    assert_eq!(stated.clock.reset_count, now.clock.reset_count);
    let mut flipped = made.clone();
    for at in 0..made.attest.len() {
        flipped.attest[at] ^= 1;
        assert!(device.read(&flipped).time(&AwsLc).is_err(), "octet {at}");
        flipped.attest[at] ^= 1;
    }
    for cut in 0..made.attest.len() {
        assert!(Attest::decode(&made.attest[..cut]).is_err());
    }
}

#[test]
fn a_session_counts_what_it_ran_and_a_log_that_leaves_something_out_is_noticed() {
    let mut device = Device::new();
    let session = device.tpm.start(&NewSession::hmac()).unwrap();
    let pcr = Entity::pcr(16);
    let reset = Command::new(code::PCR_RESET).authorized(&pcr, Auth::empty());
    for _ in 0..2 {
        device.tpm.run(&reset.clone().audited(session)).unwrap();
    }
    let key = device.key.entity.clone();
    let made = device.tpm.session_audit(session, Some((&key, Auth::empty())), NONCE).unwrap();
    let once = counted(Digest::zero(SHA256), code::PCR_RESET.number, &[&pcr], &[]);
    let twice = counted(once, code::PCR_RESET.number, &[&pcr], &[]);
    let exclusive = device.read(&made).session_audit(&AwsLc, &twice).unwrap().into_inner();
    assert!(exclusive, "nothing else ran in between");
    let short = device.read(&made).session_audit(&AwsLc, &once);
    assert_eq!(short.unwrap_err(), Error::Audit);

    device.tpm.pcr_reset(16).unwrap();
    let signer = Some((&key, Auth::empty()));
    let made = device.tpm.session_audit(session, signer, NONCE).unwrap();
    let exclusive = device.read(&made).session_audit(&AwsLc, &twice).unwrap().into_inner();
    assert!(!exclusive, "something else ran since");
}

#[test]
fn a_command_audit_counts_what_ran_and_which_commands_it_counts() {
    let mut device = Device::new();
    device.tpm.set_audit_hash(Hierarchy::Owner, SHA256).unwrap();
    device.tpm.audit_commands(Hierarchy::Owner, &[code::PCR_RESET], &[]).unwrap();
    // A signed statement begins the count anew.
    device.states(Tpm::command_audit_stated).unwrap();
    device.tpm.pcr_reset(16).unwrap();
    let made = device.states(Tpm::command_audit_stated).unwrap();
    let commands = device.tpm.audited_commands().unwrap();
    let log = counted(Digest::zero(SHA256), code::PCR_RESET.number, &[&Entity::pcr(16)], &[]);
    let stated = device.read(&made);
    let first = stated.command_audit(&AwsLc, &commands, &log).unwrap().into_inner();
    let none = Digest::zero(SHA256);
    assert_eq!(stated.command_audit(&AwsLc, &commands, &none).unwrap_err(), Error::Audit);
    assert_eq!(stated.command_audit(&AwsLc, &[], &log).unwrap_err(), Error::Audit);

    device.tpm.pcr_reset(16).unwrap();
    let made = device.states(Tpm::command_audit_stated).unwrap();
    let second = device.read(&made).command_audit(&AwsLc, &commands, &log).unwrap().into_inner();
    assert_eq!(second.counter, first.counter + 1);
    let decoded = Attest::decode(&made.attest).unwrap();
    assert!(matches!(decoded.attested, Attested::CommandAudit { algorithm: 0x0B, .. }));
}

#[test]
fn what_tpm2_tools_have_stated_is_read_and_believed_alike() {
    let swtpm = Swtpm::blank_tcp();
    let nonce = NONCE.iter().fold(String::new(), |hex, octet| format!("{hex}{octet:02x}"));
    let flush = || swtpm.tool(&["tpm2_flushcontext", "-t"]);
    swtpm.tool(&["tpm2_createek", "-c", "ek.ctx", "-G", "ecc"]);
    flush();
    let ak = [
        "tpm2_createak",
        "-C",
        "ek.ctx",
        "-c",
        "ak.ctx",
        "-G",
        "ecc",
        "-g",
        "sha256",
        "-s",
        "ecdsa",
        "-u",
        "ak.pub",
    ];
    swtpm.tool(&ak);
    flush();
    swtpm.tool(&["tpm2_createprimary", "-C", "o", "-c", "srk.ctx"]);
    flush();
    let create = [
        "tpm2_create",
        "-C",
        "srk.ctx",
        "-G",
        "ecc",
        "-u",
        "key.pub",
        "-r",
        "key.priv",
        "-q",
        "77",
        "--creation-data",
        "data",
        "-d",
        "digest",
        "-t",
        "ticket",
    ];
    swtpm.tool(&create);
    flush();
    let load = ["tpm2_load", "-C", "srk.ctx", "-u", "key.pub", "-r", "key.priv", "-c", "key.ctx"];
    swtpm.tool(&load);
    flush();
    let certify = [
        "tpm2_certifycreation",
        "-C",
        "ak.ctx",
        "-c",
        "key.ctx",
        "-d",
        "digest",
        "-t",
        "ticket",
        "-g",
        "sha256",
        "-q",
        &nonce,
        "-o",
        "signature",
        "--attestation",
        "attest",
    ];
    swtpm.tool(&certify);
    flush();
    // Files of tpm2-tools have a TPM2B around a public area, and one around creation data.
    let inner = |name: &str| swtpm.read(name)[2..].to_vec();
    let lak = LakPublic::from_native(&inner("ak.pub")).unwrap();
    let (attest, signature) = (swtpm.read("attest"), swtpm.read("signature"));
    let stated = Stated { attest: &attest, signature: &signature, signer: &lak, qualifying: NONCE };
    stated.creation(&AwsLc, &inner("key.pub"), &inner("data")).unwrap();
    let other = stated.creation(&AwsLc, &inner("ak.pub"), &inner("data")).unwrap_err();
    assert_eq!(other, Error::WrongName);

    let time = [
        "tpm2_gettime",
        "-c",
        "ak.ctx",
        "-q",
        &nonce,
        "-g",
        "sha256",
        "-o",
        "signature",
        "--attestation",
        "attest",
    ];
    swtpm.tool(&time);
    let (attest, signature) = (swtpm.read("attest"), swtpm.read("signature"));
    let stated = Stated { attest: &attest, signature: &signature, signer: &lak, qualifying: NONCE };
    assert!(stated.time(&AwsLc).unwrap().clock.clock > 0);
}
