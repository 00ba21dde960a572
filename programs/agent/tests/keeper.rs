//! The keeper, asked by a network half that was taken over: what it does not do.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use base64ct::{Base64, Encoding};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use touchstone_agent::config::Config;
use touchstone_agent::keeper::{Handshake, Keeper};
use touchstone_agent::link::{Answer, Ask, Forget, Key, Reply, Standing};
use touchstone_agent::respond::desk::{Answer as _, Question, Told};
use touchstone_agent::respond::freeze;
use touchstone_agent::respond::journal::{Response, Stage};
use touchstone_agent::status::Board;
use touchstone_appraise::ear::{Ear, VerifierId, to_jwt};
use touchstone_appraise::{ControlResult, Status, Tier, TrustVector};
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::{Certificate, CertificateRequest, Name};
use touchstone_cms::{DATA, SignedData};
use touchstone_crypto::{Crypto, SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_element_tpm2::{Tpm, manufacture};
use touchstone_enroll::AttestedRequest;
use touchstone_evidence::Challenge;
use touchstone_evidence::endorse::{Bundle, challenge_binding};
use touchstone_evidence::envelope::{self, Sender};
use touchstone_evidence::tpm::{LakPublic, verify_certify};
use touchstone_peers::{Swtpm, rig};
use touchstone_tpm2::credential;
use touchstone_update::{Manifest, seal};

#[path = "keeper/rotation.rs"]
mod rotation;
#[path = "keeper/units.rs"]
mod units;

const P256: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;
const NONCE: [u8; 32] = [7; 32];

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn soft() -> SoftSigner {
    SoftSigner::generate(P256).unwrap()
}

fn pem(key: &SoftSigner) -> String {
    let ending = pem_rfc7468::LineEnding::LF;
    pem_rfc7468::encode_string("PUBLIC KEY", ending, key.spki_der()).unwrap()
}

/// A device out of its maker's factory, its keeper, and the fleet's keys.
struct World {
    keeper: Keeper,
    board: Board,
    verifier: SoftSigner,
    ca: SoftSigner,
    root: Certificate,
    maker_key: Vec<u8>,
    config: String,
    tpm: Swtpm,
}

impl World {
    fn new() -> Self {
        Self::with(&|_| (String::new(), String::new()))
    }

    /// With these lines at the end of the configuration's `[collect]` and `[respond]`, made in the
    /// folder where the element is.
    fn with(more: &dyn Fn(&Path) -> (String, String)) -> Self {
        let tpm = Swtpm::blank();
        let (ca, verifier) = (soft(), soft());
        let name = Name::common_name("CA").unwrap();
        let root = Template::new(Kind::Root, name, now() - 60, now() + 3600)
            .self_sign(&AwsLc, &ca)
            .unwrap();
        let issuer = Issuer::new(&root, &ca).unwrap();
        let mut element = Tpm::connect_unix(tpm.socket(), tpm.dir.path().join("maker")).unwrap();
        let maker = manufacture::idevid(&mut element, |public| {
            let name = Name::common_name("serial-1").unwrap();
            let leaf = Template::new(Kind::Device, name, now() - 60, now() + 3600)
                .issue(&AwsLc, &issuer, &public.spki_der)
                .unwrap();
            Ok::<_, touchstone_element::Error>(leaf.der().to_vec())
        })
        .unwrap();
        // A simulator serves one at a time.
        drop(element);
        let at = tpm.dir.path().display();
        let (collect, respond) = more(tpm.dir.path());
        let watch = if collect.is_empty() { "watch = []" } else { &collect };
        let text = format!(
            r#"state_dir = "{at}/agent"
[fleet]
address = "192.0.2.10:8443"
name = "fleet.example"
roots = "{at}/roots.pem"
[element]
use = "tpm-unix:{}"
[collect]
{watch}
scope = "watched"
[respond]
contraindicated = "quarantine"
nft = "/bin/true"
trial = "0s"
{respond}
"#,
            tpm.socket().display()
        );
        let config = Config::read("agent.toml", &text).unwrap();
        let board = Board::default();
        let keeper = Keeper::start(&config, board.clone()).unwrap();
        let maker_key = maker.public.spki_der;
        Self { keeper, board, verifier, ca, root, maker_key, config: text, tpm }
    }

    fn onboarded() -> Self {
        World::new().and_onboarded()
    }

    fn and_onboarded(self) -> Self {
        let world = self;
        // The attestation key is made on the way.
        assert!(matches!(world.keeper.answer(Ask::Endorse), Reply::Bytes(_)));
        assert_eq!(world.welcome(&world.verifier), Reply::Done);
        world
    }

    fn welcome(&self, verifier: &SoftSigner) -> Reply {
        self.keeper.answer(Ask::Welcome {
            device: "dev-1".into(),
            tenant: "default".into(),
            verifier_key_pem: pem(verifier),
        })
    }

    fn refusal(&self, ask: Ask) -> String {
        code(self.keeper.answer(ask))
    }

    fn give_evidence(&self) {
        let challenge = Challenge::standard(NONCE.to_vec());
        let reply = self.keeper.answer(evidence(Key::Maker, challenge.encode()));
        assert!(matches!(reply, Reply::Bytes(_)), "{reply:?}");
    }

    fn result(&self, change: impl FnOnce(&mut Ear)) -> Ask {
        Self::result_by(&self.verifier, change)
    }

    fn result_by(verifier: &SoftSigner, change: impl FnOnce(&mut Ear)) -> Ask {
        let mut ear = Ear {
            issued_at: now(),
            expires: now() + 60,
            verifier: VerifierId::this(),
            nonce: Some(NONCE.to_vec()),
            confirmation: None,
            device: "dev-1".into(),
            tenant: "default".into(),
            evidence_at: Some(now()),
            status: Tier::Affirming,
            vector: TrustVector::default(),
            policy_id: "p/1".into(),
            controls: Vec::new(),
            not_evaluated: Vec::new(),
            held: None,
        };
        change(&mut ear);
        Ask::Verdict(to_jwt(&ear, verifier).unwrap())
    }

    fn request(&self, renew: bool) -> CertificateRequest {
        match self.keeper.answer(Ask::Request { renew, challenge: Vec::new() }) {
            Reply::Request { request, spki_der } => {
                let request = CertificateRequest::decode(&request).unwrap();
                assert_eq!(request.spki_der(), spki_der);
                request
            }
            other => panic!("{other:?}"),
        }
    }

    fn issue(&self, spki_der: &[u8]) -> Vec<Vec<u8>> {
        let issuer = Issuer::new(&self.root, &self.ca).unwrap();
        let name = Name::common_name("dev-1").unwrap();
        let leaf = Template::new(Kind::Device, name, now() - 60, now() + 3600)
            .issue(&AwsLc, &issuer, spki_der)
            .unwrap();
        vec![leaf.der().to_vec()]
    }

    fn standing(&self) -> Standing {
        match self.keeper.answer(Ask::Standing) {
            Reply::Standing(standing) => standing,
            other => panic!("{other:?}"),
        }
    }

    /// Has a handshake signed, and checks it.
    fn authenticates(&self, key: Key, spki_der: &[u8], hash: usize) {
        let message = handshake("client", hash);
        let Reply::Bytes(signature) =
            self.keeper.answer(Ask::Sign { key, message: message.clone() })
        else {
            panic!("no signature by {key:?}")
        };
        AwsLc.verify(P256, spki_der, &message, &signature).unwrap();
    }
}

fn evidence(key: Key, challenge: Vec<u8>) -> Ask {
    Ask::Evidence { key, challenge }
}

fn code(reply: Reply) -> String {
    match reply {
        Reply::Refused(no) => no.code,
        other => panic!("not refused: {other:?}"),
    }
}

fn handshake(role: &str, hash: usize) -> Vec<u8> {
    let context = format!("TLS 1.3, {role} CertificateVerify\0");
    [&[0x20; 64][..], context.as_bytes(), &vec![9; hash]].concat()
}

#[test]
fn evidence_goes_into_a_token_that_the_key_shown_in_tls_signs() {
    let world = World::with(&|folder| {
        let log = folder.join("event-log");
        std::fs::write(&log, rig("binary_bios_measurements")).unwrap();
        let collect = format!("watch = []\nenvelope = \"eat\"\nevent_log = {log:?}");
        (collect, String::new())
    });
    let world = world.and_onboarded();
    let challenge = Challenge::standard(NONCE.to_vec());
    let given = |key| match world.keeper.answer(evidence(key, challenge.encode())) {
        Reply::Bytes(token) => Ok(token),
        other => Err(code(other)),
    };
    let device = envelope::ueid(&AwsLc, &world.maker_key);
    let opened = |token: &[u8], key: &[u8]| {
        let sender = Sender { key, nonce: &NONCE, ueid: Some(&device) };
        sender.evidence(&AwsLc, token, now()).map_err(|error| error.code())
    };
    let token = given(Key::Maker).unwrap();
    assert!(envelope::is_cwt(&token));
    let found = opened(&token, &world.maker_key).unwrap();
    assert_eq!(found.runtime().unwrap().agent_version, env!("CARGO_PKG_VERSION"));
    assert_eq!(given(Key::Fleet).unwrap_err(), "agent.identity.none", "not yet");

    world.give_evidence();
    assert_eq!(world.keeper.answer(world.result(|_| {})), Reply::Truth(true));
    let requested = world.request(false).spki_der().to_vec();
    let issued = Ask::Certificate(world.issue(&requested));
    assert_eq!(world.keeper.answer(issued), Reply::Done);
    let token = given(Key::Fleet).unwrap();
    opened(&token, &requested).unwrap();
    assert_eq!(opened(&token, &world.maker_key), Err("evidence.token.signature"));
    opened(&given(Key::Maker).unwrap(), &world.maker_key).unwrap();
}

#[test]
fn a_key_signs_handshakes_of_a_client_and_nothing_else() {
    let world = World::new();
    world.authenticates(Key::Maker, &world.maker_key, 32);
    world.authenticates(Key::Maker, &world.maker_key, 48);
    // A quote of its own making; a certificate; a server's handshake; a hash; one octet more.
    let mut longer = handshake("client", 32);
    longer.push(0);
    let quote = b"\xffTCG\x80\x18".to_vec();
    let others =
        [quote, world.root.der().to_vec(), handshake("server", 32), vec![1; 32], longer, vec![]];
    for message in others {
        assert_eq!(Handshake::decode(&message), None);
        for key in [Key::Maker, Key::Fleet] {
            let ask = Ask::Sign { key, message: message.clone() };
            assert_eq!(world.refusal(ask), "agent.keeper.forbidden");
        }
    }
    // There is no key of the fleet yet, and no way to name the attestation key.
    let ask = Ask::Sign { key: Key::Fleet, message: handshake("client", 32) };
    assert_eq!(world.refusal(ask), "agent.identity.none");
}

#[test]
fn a_verdict_is_believed_once_and_only_about_the_last_evidence() {
    let world = World::onboarded();
    assert_eq!(world.refusal(world.result(|_| {})), "agent.result.not-ours", "nothing was given");
    world.give_evidence();
    let signed_by_another = world.refusal(World::result_by(&soft(), |_| {}));
    assert_ne!(signed_by_another, "agent.result.not-ours");
    let other = world.result(|ear| ear.device = "dev-2".into());
    assert_eq!(world.refusal(other), "agent.result.not-ours");
    let other = world.result(|ear| ear.nonce = Some(vec![8; 32]));
    assert_eq!(world.refusal(other), "agent.result.not-ours");
    let other = world.result(|ear| ear.nonce = None);
    assert_eq!(world.refusal(other), "agent.result.not-ours");
    world.refusal(Ask::Verdict("no.to.ken".into()));
    assert_eq!(world.board.read().tier, "none");
    assert_eq!(world.keeper.answer(world.result(|_| {})), Reply::Truth(true));
    assert_eq!(world.board.read().tier, "affirming");
    assert_eq!(world.refusal(world.result(|_| {})), "agent.result.not-ours", "it counts once");
}

#[test]
fn a_quarantine_ends_by_a_fresh_verdict_alone_and_leaves_open_what_the_configuration_says() {
    let world = World::onboarded();
    world.give_evidence();
    let good = world.result(|_| {});
    let bad = world.result(|ear| ear.status = Tier::Contraindicated);
    assert_eq!(world.keeper.answer(bad), Reply::Truth(false));
    let quarantine = world.board.read().quarantine.unwrap();
    assert_eq!(quarantine.allow, ["192.0.2.10:8443".parse().unwrap()]);
    // A better result that was kept back does not end it, nor does coming back as a new device.
    assert_eq!(world.refusal(good), "agent.result.not-ours");
    assert_eq!(world.keeper.answer(Ask::Forget(Forget::Device)), Reply::Done);
    assert_eq!(world.refusal(world.result(|_| {})), "agent.result.not-ours");
    assert!(world.board.read().quarantine.is_some());
    assert_eq!(world.welcome(&world.verifier), Reply::Done);
    world.give_evidence();
    assert_eq!(world.keeper.answer(world.result(|_| {})), Reply::Truth(true));
    assert!(world.board.read().quarantine.is_none());
}

#[test]
fn the_key_that_verdicts_are_believed_by_does_not_change_when_the_device_is_onboarded_anew() {
    let world = World::onboarded();
    let other = soft();
    assert_eq!(code(world.welcome(&other)), "agent.keeper.forbidden", "it is onboarded");
    assert_eq!(world.keeper.answer(Ask::Forget(Forget::Device)), Reply::Done);
    assert_eq!(code(world.welcome(&other)), "agent.verifier.changed");
    assert_eq!(world.standing().device, None);
    assert_eq!(world.welcome(&world.verifier), Reply::Done);
    assert_eq!(world.standing().device.as_deref(), Some("dev-1"));
}

#[test]
fn a_certificate_is_kept_only_for_the_key_that_it_was_requested_for() {
    let world = World::new();
    assert_eq!(
        world.refusal(Ask::Request { renew: false, challenge: Vec::new() }),
        "agent.keeper.forbidden"
    );
    assert_eq!(world.welcome(&world.verifier), Reply::Done);
    assert!(matches!(world.keeper.answer(Ask::Endorse), Reply::Bytes(_)));
    let stranger = world.issue(soft().spki_der());
    assert_eq!(world.refusal(Ask::Certificate(stranger.clone())), "agent.keeper.forbidden");
    world.request(false);
    assert_eq!(world.refusal(Ask::Certificate(stranger)), "agent.certificate.other");
    assert_eq!(world.standing().serial, None);

    let request = world.request(false);
    let chain = world.issue(request.spki_der());
    assert_eq!(world.keeper.answer(Ask::Certificate(chain.clone())), Reply::Done);
    let standing = world.standing();
    assert!(standing.serial.is_some() && !standing.due);
    assert_eq!(
        world.refusal(Ask::Request { renew: false, challenge: Vec::new() }),
        "agent.keeper.forbidden"
    );
    assert_eq!(world.request(true).spki_der(), request.spki_der(), "renewed for the same key");
    match world.keeper.answer(Ask::Identity(Key::Fleet)) {
        Reply::Identity(identity) => assert_eq!(identity.chain, chain),
        other => panic!("{other:?}"),
    }
    world.authenticates(Key::Fleet, request.spki_der(), 32);
}

#[test]
fn a_challenge_of_the_fleet_is_opened_and_answered_in_the_request() {
    let world = World::new();
    let Reply::Bytes(bundle) = world.keeper.answer(Ask::Endorse) else { panic!() };
    let bundle = Bundle::decode(&bundle).unwrap();
    assert_eq!(world.welcome(&world.verifier), Reply::Done);
    let challenge = |name: &[u8]| {
        let made = credential::make(&bundle.ek_public, name, &[9; 32], &AwsLc).unwrap();
        let sized =
            |part: &[u8]| [&u16::try_from(part.len()).unwrap().to_be_bytes(), part].concat();
        [sized(&made.blob), sized(&made.secret)].concat()
    };
    let ask = |renew, challenge| world.keeper.answer(Ask::Request { renew, challenge });
    let answers = |reply: Reply| {
        let Reply::Request { request, spki_der } = reply else { panic!("{reply:?}") };
        let request = AttestedRequest::decode(&request).unwrap();
        let (certify, secret) = (request.certify(), [9; 32]);
        let lak = LakPublic::from_native(&bundle.lak_public).unwrap();
        let qualifying = challenge_binding(&AwsLc, "dev-1", &secret);
        let (attest, signature) = (&certify.attest, &certify.signature);
        verify_certify(&AwsLc, attest, signature, &lak, &certify.public, &qualifying).unwrap();
        spki_der
    };
    let name = touchstone_tpm2::name_of(&AwsLc, &bundle.lak_public).unwrap();
    let spki = answers(ask(false, challenge(&name)));
    assert_eq!(answers(ask(false, challenge(&name))), spki, "asked again, the key is the same");
    assert_eq!(world.keeper.answer(Ask::Certificate(world.issue(&spki))), Reply::Done);
    assert_eq!(answers(ask(true, challenge(&name))), spki, "renewals answer, too");
    // One for another key, and what is none.
    let other = touchstone_tpm2::name_of(&AwsLc, &bundle.ek_public).unwrap();
    assert!(matches!(ask(true, challenge(&other)), Reply::Refused(_)));
    let refused = world.refusal(Ask::Request { renew: true, challenge: vec![1, 2, 3] });
    assert_eq!(refused, "agent.identity.request");
    world.authenticates(Key::Fleet, &spki, 32);
}

#[test]
fn a_request_that_is_under_way_survives_the_agent() {
    let world = World::onboarded();
    let asked = world.request(false);
    let World { keeper, config, tpm, .. } = world;
    drop(keeper);
    let keeper = taken_up(&config);
    let ask = || match keeper.answer(Ask::Request { renew: false, challenge: Vec::new() }) {
        Reply::Request { request, .. } => CertificateRequest::decode(&request).unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(ask().der(), asked.der(), "the same request, for the same key");
    assert_eq!(keeper.answer(Ask::Forget(Forget::Request)), Reply::Done);
    assert_ne!(ask().spki_der(), asked.spki_der(), "given up: a new key");
    drop(tpm);
}

/// A keeper on what another has left.
fn taken_up(config: &str) -> Keeper {
    Keeper::start(&Config::read("agent.toml", config).unwrap(), Board::default()).unwrap()
}

/// Gets certificates again and again, renews them and forgets them, until it is killed.
fn enrol_for_ever(folder: &std::path::Path) {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let ca = SoftSigner::from_pkcs8_pem(&read("ca.key")).unwrap();
    let root = Certificate::from_pem(read("ca.pem").as_bytes()).unwrap().remove(0);
    let keeper = taken_up(&read("agent.toml"));
    for round in 0_u32.. {
        let Reply::Standing(standing) = keeper.answer(Ask::Standing) else { panic!() };
        let renew = standing.serial.is_some();
        let Reply::Request { spki_der, .. } =
            keeper.answer(Ask::Request { renew, challenge: Vec::new() })
        else {
            panic!("no request")
        };
        let issuer = Issuer::new(&root, &ca).unwrap();
        let name = Name::common_name("dev-1").unwrap();
        let leaf = Template::new(Kind::Device, name, now() - 60, now() + 3600)
            .issue(&AwsLc, &issuer, &spki_der)
            .unwrap();
        let kept = keeper.answer(Ask::Certificate(vec![leaf.der().to_vec()]));
        assert_eq!(kept, Reply::Done);
        if round % 2 == 1 {
            assert_eq!(keeper.answer(Ask::Forget(Forget::Certificate)), Reply::Done);
        }
    }
}

#[test]
fn a_device_that_is_killed_while_it_enrols_always_has_an_identity() {
    const TEST: &str = "a_device_that_is_killed_while_it_enrols_always_has_an_identity";
    const FOLDER: &str = "TOUCHSTONE_ENROL_FOR_EVER";
    if let Some(folder) = std::env::var_os(FOLDER) {
        return enrol_for_ever(folder.as_ref());
    }
    let World { keeper, ca, root, maker_key, config, tpm, .. } = World::onboarded();
    drop(keeper);
    let write = |name: &str, text: &str| std::fs::write(tpm.dir.path().join(name), text).unwrap();
    write("ca.key", &ca.to_pkcs8_pem());
    write("ca.pem", &root.to_pem().unwrap());
    write("agent.toml", &config);
    let (mut with, mut without, mut pause) = (0, 0, 60);
    for round in 0..24 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", TEST, "--test-threads=1"])
            .env(FOLDER, tpm.dir.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Each time a little later, so that every step is met; much later where nothing was, yet.
        std::thread::sleep(std::time::Duration::from_millis(pause));
        pause += if with == 0 { 120 } else { 17 };
        assert_eq!(child.try_wait().unwrap(), None, "it ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        let keeper = taken_up(&config);
        let sign = |key, spki: &[u8]| {
            let message = handshake("client", 32);
            let reply = keeper.answer(Ask::Sign { key, message: message.clone() });
            let Reply::Bytes(signature) = reply else { panic!("{key:?}: {reply:?}") };
            AwsLc.verify(P256, spki, &message, &signature).unwrap();
        };
        sign(Key::Maker, &maker_key);
        let Reply::Standing(standing) = keeper.answer(Ask::Standing) else { panic!() };
        assert_eq!(standing.device.as_deref(), Some("dev-1"));
        if standing.serial.is_some() {
            let Reply::Identity(identity) = keeper.answer(Ask::Identity(Key::Fleet)) else {
                panic!("round {round}: a certificate without its chain")
            };
            let leaf = Certificate::decode(&identity.chain[0]).unwrap();
            sign(Key::Fleet, leaf.spki_der());
            with += 1;
        } else {
            without += 1;
        }
        drop(keeper);
    }
    println!("killed {} times: {with} with a certificate, {without} without", with + without);
    assert!(with > 0);
}

#[test]
fn a_certificate_whose_key_is_gone_is_forgotten_and_the_makers_identity_remains() {
    let world = World::onboarded();
    let request = world.request(false);
    let chain = world.issue(request.spki_der());
    assert_eq!(world.keeper.answer(Ask::Certificate(chain)), Reply::Done);
    let World { keeper, ca, root, maker_key, config, tpm, .. } = world;
    drop(keeper);
    let state = tpm.dir.path().join("agent");
    {
        let mut element = Tpm::connect_unix(tpm.socket(), state.join("element")).unwrap();
        touchstone_element::Element::delete_key(&mut element, "ldevid-a").unwrap();
    }
    let keeper = taken_up(&config);
    let Reply::Standing(standing) = keeper.answer(Ask::Standing) else { panic!() };
    assert_eq!(standing.serial, None);
    drop(keeper);
    std::fs::write(state.join("ldevid.json"), "{ not json").unwrap();
    let world = World {
        keeper: taken_up(&config),
        board: Board::default(),
        verifier: soft(),
        ca,
        root,
        maker_key,
        config,
        tpm,
    };
    assert_eq!(world.standing().serial, None);
    world.authenticates(Key::Maker, &world.maker_key, 32);
    world.request(false);
}

#[test]
fn what_has_no_reason_is_forbidden_and_what_does_not_parse_is_told_apart() {
    let world = World::onboarded();
    assert_eq!(world.refusal(Ask::Activate(vec![0, 0, 0, 0])), "agent.keeper.forbidden");
    assert_eq!(world.refusal(Ask::Reported), "agent.keeper.forbidden");
    let by_hand = Ask::Envelope { order: 0, envelope: vec![1] };
    assert_eq!(world.refusal(by_hand), "agent.keeper.forbidden");
    assert_eq!(world.refusal(evidence(Key::Maker, vec![0xff; 9])), "agent.exchange.question");
    let envelope = Ask::Envelope { order: 5, envelope: vec![0x30, 0x80, 1] };
    assert_eq!(world.keeper.answer(envelope), Reply::Truth(false), "refused by its rules");
    assert_eq!(world.keeper.answer(Ask::Settled(5)), Reply::Truth(true));
    let Reply::Errands { installed: false, report: Some(report) } =
        world.keeper.answer(Ask::Errands)
    else {
        panic!("nothing is to be reported")
    };
    assert_eq!((report.order, report.outcome.as_str()), (5, "refused"));
    assert_eq!(world.keeper.answer(Ask::Reported), Reply::Done);
    assert_eq!(
        world.keeper.answer(Ask::Errands),
        Reply::Errands { installed: false, report: None }
    );
}

/// A process of a program of its own, in the keeper's folder.
struct Pump(Child, PathBuf);

impl Pump {
    fn put(folder: &Path) -> PathBuf {
        let program = folder.join("pump");
        // Not by this process: one that forks meanwhile would hold the file open for writing.
        assert!(Command::new("cp").arg("/usr/bin/sleep").arg(&program).status().unwrap().success());
        program
    }

    fn start(world: &World) -> Self {
        let program = world.tpm.dir.path().join("pump");
        let child = Command::new(&program).arg("600").spawn().unwrap();
        // A program that has only begun to start has no code yet that evidence could speak of.
        let sleeps = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
            stat.contains("(pump) S")
        };
        while !sleeps() {
            std::thread::sleep(Duration::from_millis(5));
        }
        Self(child, program)
    }

    fn reason(&self) -> String {
        format!("process {} ({}): its code was patched", self.0.id(), self.1.display())
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).unwrap();
    }
}

impl World {
    fn watching(respond: &str) -> Self {
        let world = World::with(&|folder| {
            let program = Pump::put(folder).display().to_string();
            let respond = respond.replace("HERE", &folder.display().to_string());
            (format!("watch = [\"{program}\"]"), respond)
        });
        world.and_onboarded()
    }

    /// A verdict by which a control was not met, and these are its countermeasures.
    fn condemn(&self, pump: &Pump, countermeasures: &[&str]) {
        self.condemn_for(&pump.reason(), countermeasures);
    }

    fn condemn_for(&self, reason: &str, countermeasures: &[&str]) {
        self.give_evidence();
        let failed = ControlResult {
            name: "code-in-memory".into(),
            status: Status::Failed,
            dimension: "executables".into(),
            value: 96,
            reason: reason.to_owned(),
            events: Vec::new(),
            severity: "critical".into(),
            countermeasures: countermeasures.iter().map(|it| (*it).to_owned()).collect(),
            exception: None,
        };
        let bad = self.result(|ear| {
            ear.status = Tier::Warning;
            ear.controls = vec![failed];
        });
        // A warning: the fleet says what certificate it is worth.
        assert_eq!(self.keeper.answer(bad), Reply::Truth(true));
    }

    fn absolve(&self) {
        self.give_evidence();
        assert_eq!(self.keeper.answer(self.result(|_| {})), Reply::Truth(true));
    }

    fn responses(&self) -> Vec<Response> {
        self.keeper.told(Question::List).responses
    }

    fn approve(&self, id: &str, by: &(SoftSigner, Certificate)) -> Told {
        let statement = self.keeper.told(Question::Statement { id: id.into() }).statement.unwrap();
        let signers: [(_, &dyn Signer); 1] = [(&by.1, &by.0)];
        let signed = SignedData::sign(&AwsLc, statement.as_bytes(), DATA, &signers, now()).unwrap();
        let approval = Base64::encode_string(&signed);
        self.keeper.told(Question::Approve { id: id.into(), approval })
    }
}

fn person(name: &str) -> (SoftSigner, Certificate) {
    let key = soft();
    let name = Name::common_name(name).unwrap();
    let template = Template::new(Kind::CodeSigner, name, now() - 60, now() + 3600);
    let certificate = template.self_sign(&AwsLc, &key).unwrap();
    (key, certificate)
}

#[test]
fn a_verdict_captures_and_freezes_the_process_that_evidence_spoke_of_and_a_good_one_thaws_it() {
    let world = World::watching("actions = [\"capture\", \"freeze\"]");
    let pump = Pump::start(&world);
    world.condemn(&pump, &["alert", "capture", "freeze"]);
    let responses = world.responses();
    let told: Vec<_> = responses.iter().map(|it| (it.action.name(), it.stage)).collect();
    let wanted = [("capture", Stage::Done), ("freeze", Stage::Applied)];
    assert_eq!(told, wanted, "{responses:?}");
    assert!(freeze::is_frozen(pump.0.id()));
    assert_eq!(world.board.read().open_responses, 1);

    // What was captured is whole and the device's, says OpenSSL; tar reads it.
    let folder = world.tpm.dir.path();
    let tar = folder.join("agent/captures").join(format!("{}.tar", responses[0].id));
    std::fs::write(folder.join("root.pem"), world.root.to_pem().unwrap()).unwrap();
    let checked = Command::new("openssl")
        .args(["cms", "-verify", "-binary", "-inform", "DER", "-purpose", "any", "-in"])
        .arg(tar.with_extension("tar.p7s"))
        .arg("-content")
        .arg(&tar)
        .arg("-CAfile")
        .arg(folder.join("root.pem"))
        .args(["-out", "/dev/null"])
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let listed = Command::new("tar").arg("-tf").arg(&tar).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for name in
        ["response.json", "process/maps", "process/files.txt", "processes.txt", "system/net/tcp"]
    {
        assert!(listed.lines().any(|line| line == name), "{name}: {listed}");
    }

    world.absolve();
    assert!(!freeze::is_frozen(pump.0.id()));
    assert_eq!(world.responses()[1].stage, Stage::Undone);

    let log = std::fs::read_to_string(folder.join("agent/audit.jsonl")).unwrap();
    let told = |code: &str| log.matches(&format!("\"{code}\"")).count();
    assert_eq!((told("respond.applied"), told("respond.undone")), (2, 1), "{log}");
}

#[test]
fn a_verdict_points_at_no_process_that_evidence_did_not_speak_of() {
    let world = World::watching("actions = [\"freeze\"]");
    let pump = Pump::start(&world);
    let stranger = Pump(Command::new("sleep").arg("600").spawn().unwrap(), "/usr/bin/sleep".into());
    world.condemn(&stranger, &["freeze"]);
    assert_eq!(world.responses(), []);
    assert!(!freeze::is_frozen(stranger.0.id()));
    drop(pump);
}

#[test]
fn a_safety_program_is_stopped_by_two_people_together_and_by_no_verdict() {
    let (anna, boris, eve) = (person("Anna"), person("Boris"), person("Eve"));
    let (publisher_key, publisher) = person("Publisher");
    let approvers = [&anna, &boris].map(|it| it.1.to_pem().unwrap()).concat();
    let publisher_pem = publisher.to_pem().unwrap();
    let world = World::with(&|folder| {
        let program = Pump::put(folder).display().to_string();
        let list = format!(
            "{{ \"schema\": \"touchstone.assets/1\", \"safety\": {{ \"programs\": [\"{program}\"] }} }}"
        );
        let manifest = Manifest::new(&AwsLc, "assets", 1, list.as_bytes(), "").unwrap();
        let signers: [(_, &dyn Signer); 1] = [(&publisher, &publisher_key)];
        let envelope = seal(&AwsLc, &manifest, list.as_bytes(), &signers, now()).unwrap();
        std::fs::write(folder.join("assets.update"), envelope).unwrap();
        std::fs::write(folder.join("approvers.pem"), &approvers).unwrap();
        std::fs::write(folder.join("publisher.pem"), &publisher_pem).unwrap();
        let at = folder.display();
        let respond = format!(
            "actions = [\"stop-unit\"]\nassets = \"{at}/assets.update\"\n\
             approvers = \"{at}/approvers.pem\"\n[[update.role]]\nname = \"publisher\"\n\
             roots = \"{at}/publisher.pem\""
        );
        (format!("watch = [\"{program}\"]"), respond)
    });
    let world = world.and_onboarded();
    let mut pump = Pump::start(&world);
    world.condemn(&pump, &["alert", "stop-unit"]);
    let waiting = world.responses().remove(0);
    assert_eq!(waiting.stage, Stage::Waiting, "{waiting:?}");

    let refused = |told: Told| told.refused.unwrap().code;
    assert_eq!(refused(world.approve(&waiting.id, &eve)), "agent.approval.signature");
    assert_eq!(world.approve(&waiting.id, &anna).responses[0].stage, Stage::Waiting);
    assert_eq!(refused(world.approve(&waiting.id, &anna)), "agent.respond.twice");
    assert!(pump.0.try_wait().unwrap().is_none(), "one person is not enough");
    let stopped = world.approve(&waiting.id, &boris);
    assert_eq!(stopped.responses[0].stage, Stage::Applied, "{stopped:?}");
    assert!(!pump.0.wait().unwrap().success());
}

#[test]
fn a_program_that_was_tampered_with_is_put_back_from_its_signed_release_by_a_verdict() {
    let (publisher_key, publisher) = person("Publisher");
    let publisher_pem = publisher.to_pem().unwrap();
    let world = World::with(&|folder| {
        let program = Pump::put(folder).display().to_string();
        std::fs::write(folder.join("publisher.pem"), &publisher_pem).unwrap();
        let respond = format!(
            "actions = [\"restore\"]\n[[update.role]]\nname = \"publisher\"\nroots = \"{}/publisher.pem\"\n\
             [[update.component]]\nname = \"pump\"\npath = \"{program}\"\nrestart_signal = \"TERM\"",
            folder.display()
        );
        (format!("watch = [\"{program}\"]"), respond)
    });
    let world = world.and_onboarded();
    let program = world.tpm.dir.path().join("pump");
    let released = std::fs::read(&program).unwrap();
    let manifest = Manifest::new(&AwsLc, "pump", 2, &released, "").unwrap();
    let signers: [(_, &dyn Signer); 1] = [(&publisher, &publisher_key)];
    let envelope = seal(&AwsLc, &manifest, &released, &signers, now()).unwrap();
    assert_eq!(world.keeper.answer(Ask::Envelope { order: 5, envelope }), Reply::Truth(true));

    let tampered = [&released[..], b"and more"].concat();
    std::fs::write(program.with_extension("new"), &tampered).unwrap();
    let mode = std::fs::metadata(&program).unwrap().permissions();
    std::fs::set_permissions(program.with_extension("new"), mode).unwrap();
    std::fs::rename(program.with_extension("new"), &program).unwrap();
    let pump = Pump::start(&world);
    world.condemn(&pump, &["restore"]);
    assert!(std::fs::read(&program).unwrap() == released, "{:?}", world.responses());
    let response = world.responses().remove(0);
    assert!(response.outcome.contains("pump 2"), "{response:?}");
}

#[test]
fn a_response_is_taken_back_by_a_person() {
    let world = World::watching("actions = [\"freeze\"]");
    let pump = Pump::start(&world);
    world.condemn(&pump, &["freeze"]);
    let token = world.responses()[0].undo.clone().unwrap();
    let told = world.keeper.told(Question::Undo { id: token });
    assert_eq!(told.responses[0].stage, Stage::Undone, "{told:?}");
    assert!(!freeze::is_frozen(pump.0.id()));
}

#[test]
fn keys_are_locked_by_extending_the_register_that_is_named_and_no_other() {
    let world = World::watching(
        "actions = [\"lock-keys\", \"safe-mode\"]\nlock_pcr = 15\nsafe_mode = [\"/usr/bin/touch\", \"HERE/safe\"]\nsafe_mode_undo = [\"/bin/rm\", \"HERE/safe\"]",
    );
    let pump = Pump::start(&world);
    let safe = world.tpm.dir.path().join("safe");
    world.condemn(&pump, &["safe-mode", "lock-keys"]);
    let told: Vec<_> = world.responses().iter().map(|it| it.stage).collect();
    assert_eq!(told, [Stage::Applied, Stage::Done], "{:?}", world.responses());
    assert!(safe.exists());
    world.absolve();
    assert!(!safe.exists(), "the hook was taken back");
    // What extends a register cannot be taken back before the next start.
    assert_eq!(world.responses()[1].stage, Stage::Done);
}
