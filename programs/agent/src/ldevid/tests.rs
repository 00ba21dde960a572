//! A device, a fleet and a clock that nobody has to wait for: killed after every step, and alone for days.

use super::*;
use crate::network::enrolment::setup;
use crate::network::pace::{Pace, Patience};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::{Name, request as csr};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::SoftSigner;
use touchstone_engine::{Answer, AskKind, Engine, Instant as Time, Output, Path};
use touchstone_enroll::est::{self, Client, Decision, Event, Question, Server, ServerSetup, Want};
use touchstone_enroll::exchange::{Headers, Limits, Message, Request, Response, What};

const DAY: u64 = 86_400;
const START: u64 = 1_800_000_000;
const INTERVAL: Duration = Duration::from_mins(5);
const ORIGIN: &str = "https://fleet.test:8443";

fn key() -> SoftSigner {
    SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap()
}

/// An element and a disk: what was done stays, and after so many steps nothing is done any more.
#[derive(Default)]
struct Memory(RefCell<Disk>);

#[derive(Default)]
struct Disk {
    keys: BTreeMap<String, Arc<SoftSigner>>,
    certificate: Option<Ldevid>,
    requested: Option<Requested>,
    renew_key: RenewKey,
    done: Vec<&'static str>,
    kill_after: Option<usize>,
}

impl Memory {
    /// Does a step, and is killed after it if it is the one.
    fn step<T>(&self, name: &'static str, does: impl FnOnce(&mut Disk) -> T) -> Result<T, Error> {
        let mut disk = self.0.borrow_mut();
        // What is dead does nothing, and the reason is nobody's to look at.
        if disk.kill_after.is_some_and(|after| disk.done.len() >= after) {
            return Err(Error::NoIdentity);
        }
        let done = does(&mut disk);
        disk.done.push(name);
        if disk.kill_after == Some(disk.done.len()) { Err(Error::NoIdentity) } else { Ok(done) }
    }

    fn killed_after(&self, step: usize) {
        let mut disk = self.0.borrow_mut();
        disk.done.clear();
        disk.kill_after = Some(step);
    }

    /// The next process.
    fn restart(&self) -> Option<Ldevid> {
        let mut disk = self.0.borrow_mut();
        disk.kill_after = None;
        disk.done.clear();
        drop(disk);
        resume(self).unwrap()
    }

    fn names(&self) -> Vec<String> {
        self.0.borrow().keys.keys().cloned().collect()
    }
}

impl Vault for Memory {
    fn certificate(&self) -> Result<Option<Ldevid>, Error> {
        Ok(self.0.borrow().certificate.clone())
    }

    fn keep_certificate(&self, ldevid: &Ldevid) -> Result<(), Error> {
        self.step("certificate kept", |disk| disk.certificate = Some(ldevid.clone()))
    }

    fn forget_certificate(&self) -> Result<(), Error> {
        self.step("certificate forgotten", |disk| disk.certificate = None)
    }

    fn requested(&self) -> Result<Option<Requested>, Error> {
        Ok(self.0.borrow().requested.clone())
    }

    fn keep_request(&self, requested: &Requested) -> Result<(), Error> {
        self.step("request kept", |disk| disk.requested = Some(requested.clone()))
    }

    fn forget_request(&self) -> Result<(), Error> {
        self.step("request forgotten", |disk| disk.requested = None)
    }

    fn key(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.borrow().keys.get(name).map(|key| key.spki_der().to_vec()))
    }

    fn make_key(&self, name: &str) -> Result<(), Error> {
        self.step("key made", |disk| drop(disk.keys.insert(name.to_owned(), Arc::new(key()))))
    }

    fn delete_key(&self, name: &str) -> Result<(), Error> {
        self.step("key deleted", |disk| drop(disk.keys.remove(name)))
    }

    fn certify(&self, _: &str, _: &str, _: &[u8]) -> Result<TpmCertify, Error> {
        let certify = TpmCertify { attest: vec![1], signature: vec![2], public: vec![3] };
        self.step("key certified", |_| certify)
    }

    fn sign(&self, name: &str, device: &str, _: Option<&TpmCertify>) -> Result<Vec<u8>, Error> {
        let key = self.0.borrow().keys.get(name).cloned().ok_or(Error::NoCertificate)?;
        let subject = Name::common_name(device).unwrap();
        self.step("request signed", |_| csr::build(&subject, &[], &[], &*key).unwrap())
    }
}

/// Where the network, and everybody on it, ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lost {
    Nothing,
    /// The request was sent, and did not arrive.
    Request,
    /// The certificate was issued and recorded, and did not arrive.
    Response,
    /// The certificate came, and was not kept.
    Certificate,
}

/// A fleet: EST's server, and a CA that gives a key its certificate once in a while.
struct Fleet {
    ca: (Certificate, SoftSigner),
    lifetime: u64,
    issued: Vec<Certificate>,
    up: bool,
    /// Requests that it puts off, and for how long.
    later: (u32, u32),
    redirect: Option<&'static str>,
    lost: Lost,
}

impl Fleet {
    fn new(lifetime: u64) -> Self {
        let signer = key();
        let name = Name::common_name("Fleet Root").unwrap();
        let root = Template::new(Kind::Root, name, START - DAY, START + 3650 * DAY);
        let root = root.self_sign(&AwsLc, &signer).unwrap();
        let (issued, up, later) = (Vec::new(), true, (0, 0));
        Self {
            ca: (root, signer),
            lifetime,
            issued,
            up,
            later,
            redirect: None,
            lost: Lost::Nothing,
        }
    }

    fn issue(&mut self, spki: &[u8], now: u64) -> Certificate {
        let again = |it: &&Certificate| it.spki_der() == spki && it.not_before() + 300 > now;
        if let Some(before) = self.issued.iter().find(again) {
            return before.clone();
        }
        let issuer = Issuer::new(&self.ca.0, &self.ca.1).unwrap();
        let name = Name::common_name("dev-1").unwrap();
        let leaf = Template::new(Kind::Device, name, now, now + self.lifetime)
            .issue(&AwsLc, &issuer, spki)
            .unwrap();
        self.issued.push(leaf.clone());
        leaf
    }

    fn decide(&mut self, kind: AskKind, question: &[u8], now: u64) -> Decision {
        let question = Question::decode(question).unwrap();
        match kind {
            AskKind::Authorities => Decision::Certificates(vec![self.ca.0.clone()]),
            AskKind::Attributes => Decision::Attributes(vec![0x30, 0]),
            AskKind::Admit => Decision::Admitted,
            AskKind::Issue if self.later.0 > 0 => {
                self.later.0 -= 1;
                Decision::Later(self.later.1)
            }
            AskKind::Issue => {
                let request = CertificateRequest::decode(&question.request).unwrap();
                Decision::Certificates(vec![self.issue(request.spki_der(), now)])
            }
            other => panic!("{other:?}"),
        }
    }

    /// The response to one request; `None` for one that does not arrive.
    fn respond(&mut self, request: &Request, now: u64) -> Option<Response> {
        let enrols = request.path.ends_with("enroll");
        if enrols && self.lost == Lost::Request {
            return None;
        }
        if let Some(location) = self.redirect.filter(|_| enrols) {
            let headers = Headers::new().with("location", location);
            return Some(Response { status: 302, headers, body: Vec::new() });
        }
        let setup = ServerSetup { crypto: Arc::new(AwsLc), now, binding: est::Binding::default() };
        let mut server = Server::of(setup, Limits::default());
        let (at, mut buf) = (Time::from_millis(0), vec![0; 1 << 16]);
        server.handle_wire(at, Path::ONLY, &mut Message::only(request.clone()).encode());
        let response = loop {
            match server.poll_output(at, &mut buf) {
                Output::Transmit { len, .. } => break Message::response(&buf[..len]).unwrap(),
                Output::Ask(ask) => {
                    let decision = self.decide(ask.kind, &buf[..ask.len], now).encode();
                    server.handle_answer(at, ask.ticket, Answer::Bytes(&decision));
                }
                other => panic!("{other:?}"),
            }
        };
        (!enrols || self.lost != Lost::Response).then_some(response)
    }
}

/// What came of asking.
#[derive(Debug, PartialEq)]
enum Came {
    Certificate,
    Later(Duration),
    Refused(est::Error),
    /// Whoever asked is not there any more.
    Killed,
}

/// The way to a certificate: the agent's client, the vault, the fleet.
fn enrol(vault: &Memory, fleet: &mut Fleet, now: u64) -> Came {
    let renew = vault.0.borrow().certificate.is_some();
    let renew = renew.then(|| vault.0.borrow().renew_key);
    let want = if renew.is_some() { Want::Reenroll } else { Want::Enroll };
    let mut client = Client::of(want, setup(ORIGIN, now), [7; 16], Limits::default());
    let (at, mut buf, mut event) = (Time::from_millis(0), vec![0; 1 << 16], None);
    loop {
        match client.poll_output(at, &mut buf) {
            Output::Transmit { len, .. } => {
                let message = Message::decode(&buf[..len], usize::MAX).unwrap();
                let What::Request(request) = &message.what else { panic!() };
                let Some(response) = fleet.respond(request, now) else { return Came::Killed };
                let what = What::Response(response);
                client.handle_wire(at, Path::ONLY, &mut Message { what, ..message }.encode());
            }
            Output::Ask(ask) => {
                assert_eq!(ask.kind, AskKind::Request);
                let Ok(requested) = request(vault, "dev-1", renew, &[]) else {
                    return Came::Killed;
                };
                let (der, _) = requested.decode().unwrap();
                client.handle_answer(at, ask.ticket, Answer::Bytes(&der));
            }
            Output::Event(told) => event = Some(told),
            Output::Closed(end) => {
                return match (event, end) {
                    (Some(Event::Issued { .. }), _) if fleet.lost == Lost::Certificate => {
                        Came::Killed
                    }
                    (Some(Event::Issued { certificate, .. }), _) => {
                        match certified(vault, &[certificate]) {
                            Ok(_) => Came::Certificate,
                            Err(_) => Came::Killed,
                        }
                    }
                    (Some(Event::Later { after }), _) => Came::Later(after),
                    (_, end) => Came::Refused(end.unwrap_err()),
                };
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A certificate counts, and its key is there.
fn is_usable(vault: &Memory, now: u64) -> bool {
    let disk = vault.0.borrow();
    disk.certificate.as_ref().is_some_and(|held| {
        let leaf = chain(held).unwrap().remove(0);
        let key = disk.keys.get(&held.key).map(|key| key.spki_der().to_vec());
        !held.is_over(now) && key.as_deref() == Some(leaf.spki_der())
    })
}

/// What the device has before it sets out, on its way to another certificate.
#[derive(Clone, Copy, Debug, PartialEq)]
enum From {
    Nothing,
    AGoodCertificate,
    /// It is renewed for a new key.
    AGoodCertificateAndTheKeyIsReplaced,
    ACertificateThatIsGivenUp,
}

impl From {
    /// Something that counts is there all the time.
    fn is_good(self) -> bool {
        matches!(self, Self::AGoodCertificate | Self::AGoodCertificateAndTheKeyIsReplaced)
    }
}

fn prepared(from: From) -> (Memory, Fleet) {
    let (vault, mut fleet) = (Memory::default(), Fleet::new(10 * DAY));
    if from != From::Nothing {
        assert_eq!(enrol(&vault, &mut fleet, START), Came::Certificate);
    }
    vault.restart();
    if from == From::AGoodCertificateAndTheKeyIsReplaced {
        vault.0.borrow_mut().renew_key = RenewKey::New;
    }
    (vault, fleet)
}

fn goes(vault: &Memory, fleet: &mut Fleet, from: From, now: u64) -> Came {
    if from == From::ACertificateThatIsGivenUp && give_up(vault).is_err() {
        return Came::Killed;
    }
    enrol(vault, fleet, now)
}

fn steps(from: From) -> &'static [&'static str] {
    const ENROLS: &[&str] = &[
        "request forgotten",
        "key made",
        "key certified",
        "request signed",
        "request kept",
        "certificate kept",
        "request forgotten",
    ];
    match from {
        From::Nothing => ENROLS,
        From::AGoodCertificate => {
            &["request signed", "request kept", "certificate kept", "request forgotten"]
        }
        From::AGoodCertificateAndTheKeyIsReplaced => &[
            "request forgotten",
            "key made",
            "key certified",
            "request signed",
            "request kept",
            "certificate kept",
            "request forgotten",
            "key deleted",
        ],
        From::ACertificateThatIsGivenUp => &[
            "certificate forgotten",
            "key deleted",
            "request forgotten",
            "key made",
            "key certified",
            "request signed",
            "request kept",
            "certificate kept",
            "request forgotten",
        ],
    }
}

#[test]
fn killed_after_any_step_the_device_has_an_identity_and_goes_on() {
    let now = START + 7 * DAY;
    for from in [
        From::Nothing,
        From::AGoodCertificate,
        From::AGoodCertificateAndTheKeyIsReplaced,
        From::ACertificateThatIsGivenUp,
    ] {
        let (vault, mut fleet) = prepared(from);
        assert_eq!(goes(&vault, &mut fleet, from, now), Came::Certificate);
        assert_eq!(vault.0.borrow().done, steps(from), "{from:?}");

        for killed in 1..=steps(from).len() {
            let (vault, mut fleet) = prepared(from);
            let before = fleet.issued.len();
            vault.killed_after(killed);
            let step = steps(from)[killed - 1];
            assert_eq!(goes(&vault, &mut fleet, from, now), Came::Killed, "{from:?}: {step}");
            let held = vault.restart();
            // The maker's identity is not touched by any of this; a certificate that was good still is.
            assert_eq!(held.is_some(), is_usable(&vault, now), "{from:?}: {step}");
            assert!(!from.is_good() || held.is_some(), "{step}");
            if held.is_none_or(|held| held.is_due(now)) {
                assert_eq!(enrol(&vault, &mut fleet, now), Came::Certificate, "{from:?}: {step}");
            }
            assert!(is_usable(&vault, now), "{from:?}: {step}");
            assert_eq!(fleet.issued.len(), before + 1, "{from:?}: {step}: one, and not two");
            assert_eq!(vault.names().len(), 1, "{from:?}: {step}: no key is left over");
            assert_eq!(vault.0.borrow().requested, None, "{from:?}: {step}");
        }
    }
}

#[test]
fn what_the_network_loses_is_asked_for_again_by_the_same_request() {
    let now = START + 7 * DAY;
    for from in [From::Nothing, From::AGoodCertificate, From::AGoodCertificateAndTheKeyIsReplaced] {
        for lost in [Lost::Request, Lost::Response, Lost::Certificate] {
            let (vault, mut fleet) = prepared(from);
            let before = fleet.issued.len();
            fleet.lost = lost;
            assert_eq!(enrol(&vault, &mut fleet, now), Came::Killed);
            let asked = vault.0.borrow().requested.clone().unwrap();
            fleet.lost = Lost::Nothing;
            let held = vault.restart();
            assert_eq!(held.is_some(), from.is_good(), "{lost:?}");
            assert_eq!(
                enrol(&vault, &mut fleet, now + 60),
                Came::Certificate,
                "{from:?}: {lost:?}"
            );
            let got = vault.0.borrow().certificate.clone().unwrap();
            assert_eq!(chain(&got).unwrap()[0].spki_der(), asked.decode().unwrap().1);
            assert_eq!(fleet.issued.len(), before + 1, "{from:?}: {lost:?}: one, and not two");
        }
    }
}

#[test]
fn a_request_that_is_put_off_is_sent_again_as_it_was_also_after_a_restart() {
    let (vault, mut fleet) = prepared(From::Nothing);
    fleet.later = (2, 900);
    assert_eq!(enrol(&vault, &mut fleet, START), Came::Later(Duration::from_mins(15)));
    let asked = vault.0.borrow().requested.clone();
    assert_eq!(enrol(&vault, &mut fleet, START + 900), Came::Later(Duration::from_mins(15)));
    assert_eq!(vault.restart(), None);
    assert_eq!(vault.0.borrow().requested, asked, "it goes on");
    assert_eq!(enrol(&vault, &mut fleet, START + 1800), Came::Certificate);
}

#[test]
fn a_new_challenge_is_answered_for_the_same_key() {
    let (vault, mut fleet) = prepared(From::Nothing);
    let first = request(&vault, "dev-1", None, b"first").unwrap();
    let made = vault.names();
    let second = request(&vault, "dev-1", None, b"second").unwrap();
    assert_eq!(first.decode().unwrap().1, second.decode().unwrap().1);
    assert_eq!(vault.names(), made);
    assert_eq!(request(&vault, "dev-1", None, b"").unwrap(), second, "without one as before");
    assert_ne!(request(&vault, "dev-2", None, b"").unwrap().request, second.request);
    assert_eq!(enrol(&vault, &mut fleet, START), Came::Certificate);
    vault.restart();
    request(&vault, "dev-1", Some(RenewKey::Same), b"third").unwrap();
    assert_eq!(vault.0.borrow().done, ["key certified", "request signed", "request kept"]);
}

#[test]
fn a_renewal_for_a_new_key_leaves_the_key_before_until_it_is_answered() {
    let now = START + 7 * DAY;
    let (vault, mut fleet) = prepared(From::AGoodCertificateAndTheKeyIsReplaced);
    let before = vault.0.borrow().certificate.clone().unwrap();
    fleet.later = (2, 900);
    assert_eq!(enrol(&vault, &mut fleet, now), Came::Later(Duration::from_mins(15)));
    let asked = vault.0.borrow().requested.clone();
    assert_eq!(vault.names().len(), 2);
    // The agent before is gone; the request goes on, and what counts is as it was.
    assert_eq!(vault.restart().unwrap(), before);
    assert_eq!(vault.0.borrow().requested, asked);
    assert!(is_usable(&vault, now));
    assert_eq!(enrol(&vault, &mut fleet, now + 900), Came::Later(Duration::from_mins(15)));
    assert_eq!(vault.0.borrow().requested, asked, "the same one");
    // Whoever takes the configuration back renews by the key that there is.
    let same = request(&vault, "dev-1", Some(RenewKey::Same), &[]).unwrap();
    assert_eq!(same.key, before.key);
    assert_eq!(vault.restart().unwrap(), before);
    assert_eq!(
        vault.names(),
        std::slice::from_ref(&before.key),
        "the key that nobody asks for is gone"
    );
    assert_eq!(enrol(&vault, &mut fleet, now + 1800), Came::Certificate);
    let held = vault.0.borrow().certificate.clone().unwrap();
    assert_ne!(held.key, before.key);
    assert_eq!(vault.names(), std::slice::from_ref(&held.key));
    assert_eq!(enrol(&vault, &mut fleet, now + 7 * DAY), Came::Certificate);
    assert_eq!(vault.names(), [before.key], "back and forth");
}

#[test]
fn nobody_is_followed_to_another_host() {
    for elsewhere in ["https://fleet.test.evil.example/", "https://fleet.test/", "//evil.example/x"]
    {
        let (vault, mut fleet) = prepared(From::Nothing);
        fleet.redirect = Some(elsewhere);
        let came = enrol(&vault, &mut fleet, START);
        assert_eq!(came, Came::Refused(est::Error::CrossHostRedirect), "{elsewhere}");
        assert_eq!(fleet.issued.len(), 0);
    }
}

/// Lives as [`crate::network::Network`] does, by a clock of its own.
struct Life {
    vault: Memory,
    patience: Patience,
    pace: Pace,
    began: Instant,
    dice: u64,
}

impl Life {
    fn chance(&mut self) -> u8 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.dice.to_le_bytes()[7]
    }

    /// One round; how long to wait for the next.
    fn round(&mut self, fleet: &mut Fleet, now: u64) -> Duration {
        let held = self.vault.certificate().unwrap();
        if held.as_ref().is_some_and(|held| held.is_over(now)) {
            give_up(&self.vault).unwrap();
        }
        if !fleet.up {
            let chance = self.chance();
            return self.patience.failed(INTERVAL, chance);
        }
        self.patience.succeeded();
        let at = self.began + Duration::from_secs(now - START);
        let held = self.vault.certificate().unwrap();
        if self.pace.is_due(at) && held.is_none_or(|held| held.is_due(now)) {
            match enrol(&self.vault, fleet, now) {
                Came::Certificate => self.pace.granted(),
                Came::Later(after) => self.pace.put_off(at, after),
                other => panic!("{other:?}"),
            }
        }
        INTERVAL
    }

    /// Lives until then; says when it got a certificate, and the longest time between two rounds.
    fn live(&mut self, fleet: &mut Fleet, from: u64, until: u64) -> (Option<u64>, Duration) {
        let (mut now, mut longest, mut got) = (Duration::from_secs(from), Duration::ZERO, None);
        while now.as_secs() < until {
            let before = fleet.issued.len();
            let wait = self.round(fleet, now.as_secs());
            if fleet.issued.len() > before {
                got.get_or_insert(now.as_secs());
            }
            longest = longest.max(wait);
            now += wait;
        }
        (got, longest)
    }
}

#[test]
fn a_fleet_that_is_down_for_days_is_survived_and_found_again_at_once() {
    for dice in 0..8 {
        let (vault, mut fleet) = prepared(From::Nothing);
        let (patience, pace, began) = (Patience::default(), Pace::default(), Instant::now());
        let mut life = Life { vault, patience, pace, began, dice };
        let day = |day: u64| START + day * DAY;
        let (got, _) = life.live(&mut fleet, START, day(4));
        assert_eq!(got, Some(START));

        // Five days without a fleet, in which the renewal falls due: the certificate goes on to its end.
        fleet.up = false;
        let (got, longest) = life.live(&mut fleet, day(4), day(9));
        assert!(got.is_none() && longest <= Duration::from_secs(75), "{longest:?}");
        assert!(is_usable(&life.vault, day(9)), "it counts until day 10");
        fleet.up = true;
        let (got, _) = life.live(&mut fleet, day(9), day(9) + 3600);
        assert_eq!(got, Some(day(9)), "found in the first round that finds the fleet");
        let first = fleet.issued[0].spki_der().to_vec();
        assert_eq!(fleet.issued[1].spki_der(), first, "renewed for the same key");

        // Twelve days: it runs out on day 19. Then the device is who its maker says it is.
        fleet.up = false;
        life.live(&mut fleet, day(9) + 3600, day(19) - 1);
        assert!(is_usable(&life.vault, day(19) - 1), "to its last second");
        let (_, longest) = life.live(&mut fleet, day(19) - 1, day(21));
        assert!(!is_usable(&life.vault, day(21)) && longest <= Duration::from_secs(75));
        assert_eq!(life.vault.names(), [""; 0], "a key without a certificate is not kept");
        fleet.up = true;
        let (got, _) = life.live(&mut fleet, day(21), day(21) + 3600);
        assert_eq!(got, Some(day(21)));
        assert!(is_usable(&life.vault, day(21)));
        assert_ne!(fleet.issued[2].spki_der(), first, "a new key");
    }
}

#[test]
fn renewals_of_a_fleet_are_spread_whatever_the_serial_numbers_are() {
    let of = |index: u32| Ldevid {
        key: "ldevid-a".into(),
        chain: format!("certificate {index}"),
        not_before: START,
        not_after: START + 6000,
        serial: "01".into(),
    };
    let due = |index| (START..START + 6000).find(|now| of(index).is_due(*now)).unwrap() - START;
    let moments: Vec<u64> = (0..200).map(due).collect();
    assert!(moments.iter().all(|at| (3000..=4000).contains(at)), "{moments:?}");
    for tenth in 0..10 {
        let part = 3000 + tenth * 100..3100 + tenth * 100;
        let count = moments.iter().filter(|at| part.contains(*at)).count();
        assert!(count >= 5, "{count} of 200 between {part:?}");
    }
}
