//! What a TPM command costs through us, beside the same octets sent raw, the TSS in C and
//! tpm2-tools, on one software TPM in one run. Prints ratios; it is no timed test.
//!
//! Every command works on persistent objects, so that each operation is one command for everybody.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "it ends loudly")]
#![allow(clippy::print_stdout, reason = "a program that talks to a person")]

use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use touchstone_crypto::{Curve, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_peers::Swtpm;
use touchstone_tpm2::attestation::Attester;
use touchstone_tpm2::object::SigningScheme;
use touchstone_tpm2::template::{self, ENDORSEMENT, KeyPair};
use touchstone_tpm2::transport::Stream;
use touchstone_tpm2::{
    Auth, Hierarchy, NewObject, Object, PcrSelection, Public, Tpm, Transport, TransportError,
    credential,
};
use tss_esapi::attributes::SessionAttributesBuilder;
use tss_esapi::constants::SessionType;
use tss_esapi::handles::{KeyHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{
    Data, Digest, EncryptedSecret, HashcheckTicket, IdObject, PcrSelectionList,
    PcrSelectionListBuilder, PcrSlot, Public as TheirPublic, SignatureScheme, SymmetricDefinition,
};
use tss_esapi::traits::UnMarshall;
use tss_esapi::tss2_esys::TPMT_TK_HASHCHECK;
use tss_esapi::{Context, TctiNameConf};

const SHA256: HashAlgorithm = HashAlgorithm::Sha256;
const PARENT: u32 = 0x8100_0001;
const SIGNING: u32 = 0x8100_0010;
const ATTESTATION: u32 = 0x8100_0011;
const SEALED: u32 = 0x8100_0012;
const EK: u32 = 0x8101_0014;
const DIGEST: [u8; 32] = [7; 32];
const SECRET: &[u8] = b"a secret of 32 octets, no more..";
const OPERATIONS: [&str; 5] = ["sign", "quote", "unseal", "activate", "create"];
const ROUNDS: usize = 200;
const TOOL_ROUNDS: usize = 15;

fn main() {
    // `cargo bench` hands its own arguments on.
    let swtpm = Swtpm::blank_tcp();
    furnish(&swtpm);
    let raw = raw(&swtpm);
    let plain = ours(&swtpm, true);
    let encrypted = ours(&swtpm, false);
    let tss_plain = tss(&swtpm, false);
    let tss_encrypted = tss(&swtpm, true);
    let tools = tools(&swtpm);
    println!("one TPM command on swtpm, median microseconds, and as a multiple of the raw command");
    println!(
        "{:<9} {:>8} {:>16} {:>16} {:>16} {:>16} {:>18}",
        "",
        "raw",
        "touchstone plain",
        "and encrypted",
        "tss-esapi plain",
        "and encrypted",
        "tpm2-tools"
    );
    for (at, operation) in OPERATIONS.iter().enumerate() {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let cell = |time: Duration| {
            format!("{:.0} ({:.2}x)", micros(time), micros(time) / micros(raw[at]))
        };
        println!(
            "{operation:<9} {:>8.0} {:>16} {:>16} {:>16} {:>16} {:>18}",
            micros(raw[at]),
            cell(plain[at]),
            cell(encrypted[at]),
            cell(tss_plain[at]),
            cell(tss_encrypted[at]),
            cell(tools[at]),
        );
    }
    println!(
        "touchstone encrypts what is secret by itself: the secret that comes out, the key that is made"
    );
}

fn median(rounds: usize, mut operation: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            operation();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

fn connect(swtpm: &Swtpm) -> Tpm {
    let mut tpm = Tpm::new(Box::new(Stream::tcp(swtpm.address()).unwrap()), &AwsLc);
    tpm.recover().unwrap();
    tpm
}

fn signing_template(restricted: bool) -> Public {
    let (pair, scheme) = (KeyPair::Ecc(Curve::P256), SigningScheme::Ecdsa(SHA256));
    if restricted {
        template::attestation(pair, scheme).unwrap()
    } else {
        template::signing(pair, scheme)
    }
}

/// Makes what all sides use, and keeps it in the TPM.
fn furnish(swtpm: &Swtpm) {
    let mut tpm = connect(swtpm);
    let new = NewObject::new(template::key_file_parent(false));
    let (parent, _) = tpm.create_primary(Hierarchy::Owner, Auth::empty(), &new).unwrap();
    tpm.make_persistent(Hierarchy::Owner, &parent, PARENT).unwrap();
    let kind = ENDORSEMENT.iter().find(|kind| kind.certificate == 0x01C0_0014).unwrap();
    let new = NewObject::new((kind.template)(&AwsLc));
    let (ek, _) = tpm.create_primary(Hierarchy::Endorsement, Auth::empty(), &new).unwrap();
    tpm.make_persistent(Hierarchy::Owner, &ek, EK).unwrap();
    for (new, handle) in [
        (NewObject::new(signing_template(false)), SIGNING),
        (NewObject::new(signing_template(true)), ATTESTATION),
        (NewObject::new(template::sealed()).data(SECRET), SEALED),
    ] {
        let made = tpm.create(&parent, Auth::empty(), &new).unwrap();
        let object = tpm.load(&parent, Auth::empty(), &made.private, &made.native).unwrap();
        tpm.make_persistent(Hierarchy::Owner, &object, handle).unwrap();
        tpm.flush(object.entity.handle).unwrap();
    }
    for object in [parent, ek] {
        tpm.flush(object.entity.handle).unwrap();
    }
}

/// Our side of each operation, in the order of [`OPERATIONS`].
struct Ours {
    tpm: Tpm,
    parent: Object,
    signing: Object,
    attestation: Object,
    sealed: Object,
    ek: Object,
    pcrs: PcrSelection,
    credential: touchstone_tpm2::Credential,
}

impl Ours {
    fn new(mut tpm: Tpm) -> Self {
        let [parent, signing, attestation, sealed, ek] = [PARENT, SIGNING, ATTESTATION, SEALED, EK]
            .map(|handle| tpm.read_public(handle).unwrap());
        let credential =
            credential::make(&ek.native, &attestation.entity.name, &DIGEST, &AwsLc).unwrap();
        let pcrs = PcrSelection::new(SHA256, &[0, 1, 2, 3, 4, 5, 6, 7]).unwrap();
        Self { tpm, parent, signing, attestation, sealed, ek, pcrs, credential }
    }

    fn run(&mut self, operation: &str) {
        let tpm = &mut self.tpm;
        match operation {
            "sign" => {
                let scheme = SigningScheme::Ecdsa(SHA256);
                tpm.sign(&self.signing, Auth::empty(), scheme, &DIGEST).unwrap();
            }
            "quote" => {
                let by = Attester::new(&self.attestation, Auth::empty(), &DIGEST);
                tpm.quote(&by, &self.pcrs).unwrap();
            }
            "unseal" => {
                let secret = tpm.unseal(&self.sealed, Auth::empty()).unwrap();
                assert_eq!(&secret[..], SECRET);
            }
            "activate" => {
                let (key, ek) = (&self.attestation, &self.ek);
                let auths = (Auth::empty(), Auth::empty());
                let opened = tpm.activate_credential(key, auths.0, ek, auths.1, &self.credential);
                assert_eq!(&opened.unwrap()[..], DIGEST);
            }
            _ => {
                let new = NewObject::new(signing_template(false));
                tpm.create(&self.parent, Auth::empty(), &new).unwrap();
            }
        }
    }
}

fn ours(swtpm: &Swtpm, plain: bool) -> Vec<Duration> {
    let mut tpm = connect(swtpm);
    tpm.dangerous_plain(plain);
    let mut ours = Ours::new(tpm);
    let mut times = Vec::new();
    for operation in OPERATIONS {
        // The first starts what is kept.
        ours.run(operation);
        times.push(median(ROUNDS, || ours.run(operation)));
    }
    times
}

/// Remembers the last command.
struct Recorder {
    stream: Stream<std::net::TcpStream>,
    last: Arc<Mutex<Vec<u8>>>,
}

impl Transport for Recorder {
    fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TransportError> {
        *self.last.lock().unwrap() = command.to_vec();
        self.stream.transact(command, response)
    }

    fn pause(&mut self, millis: u32) {
        self.stream.pause(millis);
    }
}

/// The octets of each operation, sent again and again by nobody but a socket.
fn raw(swtpm: &Swtpm) -> Vec<Duration> {
    let last = Arc::new(Mutex::new(Vec::new()));
    let stream = Stream::tcp(swtpm.address()).unwrap();
    let mut tpm = Tpm::new(Box::new(Recorder { stream, last: Arc::clone(&last) }), &AwsLc);
    tpm.recover().unwrap();
    tpm.dangerous_plain(true);
    let mut ours = Ours::new(tpm);
    let commands = OPERATIONS.map(|operation| {
        ours.run(operation);
        last.lock().unwrap().clone()
    });
    drop(ours);
    let mut stream = Stream::tcp(swtpm.address()).unwrap();
    let mut response = [0; 4096];
    let send = |command: &Vec<u8>| {
        median(ROUNDS, || {
            let len = stream.transact(command, &mut response).unwrap();
            assert_eq!(response[6..10], [0; 4], "{len} octets");
        })
    };
    commands.iter().map(send).collect()
}

fn tss(swtpm: &Swtpm, encrypted: bool) -> Vec<Duration> {
    let credential = {
        let mut tpm = connect(swtpm);
        let (ek, ak) = (tpm.read_public(EK).unwrap(), tpm.read_public(ATTESTATION).unwrap());
        credential::make(&ek.native, &ak.entity.name, &DIGEST, &AwsLc).unwrap()
    };
    let mut tss = Context::new(TctiNameConf::from_str(&swtpm.tcti()).unwrap()).unwrap();
    let mut find = |handle: u32| {
        let handle = TpmHandle::try_from(handle).unwrap();
        tss.execute_without_session(|tss| tss.tr_from_tpm_public(handle)).unwrap()
    };
    let [parent, signing, attestation, sealed, ek] =
        [PARENT, SIGNING, ATTESTATION, SEALED, EK].map(|handle| find(handle));
    let [parent, signing, attestation, ek] =
        [parent, signing, attestation, ek].map(KeyHandle::from);
    let session =
        if encrypted { Some(their_session(&mut tss, parent)) } else { Some(AuthSession::Password) };
    let second = Some(AuthSession::Password);
    let blob = IdObject::try_from(credential.blob).unwrap();
    let secret = EncryptedSecret::try_from(credential.secret).unwrap();
    let template = TheirPublic::unmarshall(&signing_template(false).encode().unwrap()).unwrap();
    let mut times = Vec::new();
    for operation in OPERATIONS {
        let mut run = || match operation {
            "sign" => {
                let digest = Digest::try_from(DIGEST.as_slice()).unwrap();
                tss.execute_with_session(session, |tss| {
                    tss.sign(signing, digest, SignatureScheme::Null, no_ticket())
                })
                .map(drop)
                .unwrap();
            }
            "quote" => {
                let nonce = Data::try_from(DIGEST.as_slice()).unwrap();
                tss.execute_with_session(session, |tss| {
                    tss.quote(attestation, nonce, SignatureScheme::Null, their_pcrs())
                })
                .map(drop)
                .unwrap();
            }
            "unseal" => {
                let secret = tss.execute_with_session(session, |tss| tss.unseal(sealed)).unwrap();
                assert_eq!(secret.value(), SECRET);
            }
            "activate" => {
                let (blob, secret) = (blob.clone(), secret.clone());
                let opened = tss.execute_with_sessions((session, second, None), |tss| {
                    tss.activate_credential(attestation, ek, blob, secret)
                });
                assert_eq!(opened.unwrap().value(), DIGEST);
            }
            _ => {
                let template = template.clone();
                tss.execute_with_session(session, |tss| {
                    tss.create(parent, template, None, None, None, None)
                })
                .map(drop)
                .unwrap();
            }
        };
        run();
        times.push(median(ROUNDS, run));
    }
    times
}

/// A salted HMAC session that encrypts both ways.
fn their_session(tss: &mut Context, salted_to: KeyHandle) -> AuthSession {
    let session = tss
        .start_auth_session(
            Some(salted_to),
            None,
            None,
            SessionType::Hmac,
            SymmetricDefinition::AES_128_CFB,
            HashingAlgorithm::Sha256,
        )
        .unwrap()
        .unwrap();
    let (attributes, mask) =
        SessionAttributesBuilder::new().with_decrypt(true).with_encrypt(true).build();
    tss.tr_sess_set_attributes(session, attributes, mask).unwrap();
    session
}

fn no_ticket() -> HashcheckTicket {
    // TPM_ST_HASHCHECK of the null hierarchy (TPM 2.0 Part 2 §10.7.6).
    let ticket =
        TPMT_TK_HASHCHECK { tag: 0x8024, hierarchy: 0x4000_0007, digest: Default::default() };
    HashcheckTicket::try_from(ticket).unwrap()
}

fn their_pcrs() -> PcrSelectionList {
    let slots = [
        PcrSlot::Slot0,
        PcrSlot::Slot1,
        PcrSlot::Slot2,
        PcrSlot::Slot3,
        PcrSlot::Slot4,
        PcrSlot::Slot5,
        PcrSlot::Slot6,
        PcrSlot::Slot7,
    ];
    PcrSelectionListBuilder::new().with_selection(HashingAlgorithm::Sha256, &slots).build().unwrap()
}

/// tpm2-tools: a program started for each operation, as scripts do.
fn tools(swtpm: &Swtpm) -> Vec<Duration> {
    let folder = swtpm.dir.path();
    let file = |name: &str| folder.join(name).display().to_string();
    swtpm.write("digest", &DIGEST);
    let credential = {
        let mut tpm = connect(swtpm);
        let (ek, ak) = (tpm.read_public(EK).unwrap(), tpm.read_public(ATTESTATION).unwrap());
        credential::make(&ek.native, &ak.entity.name, &DIGEST, &AwsLc).unwrap()
    };
    // The file of tpm2_makecredential: a magic number, a version, and both structures.
    let sized = |octets: &[u8]| {
        let len = u16::try_from(octets.len()).unwrap().to_be_bytes();
        [len.as_slice(), octets].concat()
    };
    let head = [0xBA, 0xDC, 0xC0, 0xDE, 0, 0, 0, 1];
    let blob = [head.as_slice(), &sized(&credential.blob), &sized(&credential.secret)].concat();
    swtpm.write("credential", &blob);
    let handle = |handle: u32| format!("{handle:#x}");
    let nonce: String = DIGEST.iter().map(|octet| format!("{octet:02x}")).collect();
    let [parent, signing, attestation, sealed, ek] =
        [PARENT, SIGNING, ATTESTATION, SEALED, EK].map(handle);
    let commands: [Vec<String>; 5] = [
        vec![
            "tpm2_sign",
            "-c",
            &signing,
            "-g",
            "sha256",
            "-d",
            &file("digest"),
            "-o",
            &file("signature"),
        ],
        vec![
            "tpm2_quote",
            "-c",
            &attestation,
            "-l",
            "sha256:0,1,2,3,4,5,6,7",
            "-q",
            &nonce,
            "-m",
            &file("attest"),
            "-s",
            &file("signature"),
        ],
        vec!["tpm2_unseal", "-c", &sealed, "-o", &file("unsealed")],
        vec![
            "tpm2_activatecredential",
            "-c",
            &attestation,
            "-C",
            &ek,
            "-i",
            &file("credential"),
            "-o",
            &file("opened"),
        ],
        vec![
            "tpm2_create",
            "-C",
            &parent,
            "-G",
            "ecc256:ecdsa-sha256",
            "-u",
            &file("public"),
            "-r",
            &file("private"),
        ],
    ]
    .map(|words| words.into_iter().map(str::to_owned).collect());
    let run = |words: &Vec<String>| {
        median(TOOL_ROUNDS, || {
            let status = Command::new(&words[0])
                .args(&words[1..])
                .env("TPM2TOOLS_TCTI", swtpm.tcti())
                .current_dir(folder)
                .stdout(Stdio::null())
                .status()
                .expect("tpm2-tools are missing; run cargo xtask bench, which installs them");
            assert!(status.success(), "{words:?}");
        })
    };
    commands.iter().map(run).collect()
}
