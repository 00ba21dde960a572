//! A device that attests again and again: what was found of its IMA list before saves work, and changes
//! no verdict, however the list was cut into parts and whatever became of the reference values between.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

#[path = "../../evidence/tests/attester/mod.rs"]
mod attester;

use attester::{Attester, SHA256, challenge, signature};
use proptest::prelude::*;
use touchstone_appraise::references::{
    Assignment, Document, ReferenceValue, References, Supersedes,
};
use touchstone_appraise::{DeviceFacts, Judged, Verifier, catalog};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm, Verified};
use touchstone_crypto_awslc::AwsLc;
use touchstone_evidence::{Challenge, Evidence, History, QuoteParts};
use touchstone_measure::ima::Log;
use touchstone_policy::Policy;

const NOW: u64 = 1_800_000_000;
const FILES: u8 = 12;

const POLICY: &str = r#"policy files version 1 schema 1
control known    { title "k" severity low require ima.unknown-files is empty else executables warning }
control current  { title "c" severity low require ima.outdated-files is empty else executables warning }
control signed   { title "s" severity low require ima.badly-signed is empty else executables warning }
control still    { title "v" severity low require ima.violations == 0 else executables warning }
control listed   { title "l" severity low require every file in ima.files: file.known else executables warning }
control this-boot { title "b" severity low require ima.boot-aggregate else executables warning }
"#;

/// What becomes of the device, or of what it is judged by.
#[derive(Clone, Debug)]
enum Turn {
    /// It measures a file with one of a few contents, or while it is written.
    Measure { file: u8, content: u8, violation: bool },
    /// It attests: only what is new, or all of its list again.
    Attest { whole: bool },
    /// It starts anew.
    Reboot,
    /// Another version of the files is released; the one before is outdated from then on, or unknown.
    Release { files: Vec<u8>, content: u8, known: bool },
    /// A file is taken away from this device, or is not any more.
    Assign { file: u8 },
    /// Time goes on.
    Wait { seconds: u64 },
}

fn turn() -> impl Strategy<Value = Turn> {
    let file = 0..FILES;
    prop_oneof![
        4 => (file.clone(), 0..3u8, prop::bool::weighted(0.1))
            .prop_map(|(file, content, violation)| Turn::Measure { file, content, violation }),
        3 => prop::bool::weighted(0.2).prop_map(|whole| Turn::Attest { whole }),
        1 => Just(Turn::Reboot),
        1 => (prop::collection::vec(file.clone(), 1..6), 0..3u8, any::<bool>())
            .prop_map(|(files, content, known)| Turn::Release { files, content, known }),
        1 => file.prop_map(|file| Turn::Assign { file }),
        1 => (1..40u64).prop_map(|seconds| Turn::Wait { seconds }),
    ]
}

fn path(file: u8) -> String {
    format!("/usr/bin/{file}")
}

fn content(file: u8, content: u8) -> Digest {
    AwsLc.hash(SHA256, &[&[file, content]])
}

/// An `ima-ng` entry.
fn entry(file: u8, of: u8, violation: bool) -> Vec<u8> {
    let sized =
        |octets: &[u8]| [&u32::try_from(octets.len()).unwrap().to_le_bytes(), octets].concat();
    let digest = [b"sha256:\0", content(file, of).as_bytes()].concat();
    let data = [sized(&digest), sized(&[path(file).as_bytes(), &[0]].concat())].concat();
    let template = AwsLc.hash(HashAlgorithm::Sha1, &[&data]);
    let template = if violation { [0; 20].to_vec() } else { template.as_bytes().to_vec() };
    [&10u32.to_le_bytes(), &template[..], &sized(b"ima-ng"), &sized(&data)].concat()
}

struct Scene {
    attester: Attester,
    boot: u32,
    now: u64,
    verifier: Verifier,
    version: u64,
    assigned: u64,
    history: Option<History>,
    judged: Option<Judged>,
    /// How often what was found before could be used.
    attestations: usize,
}

impl Scene {
    fn new() -> Self {
        let mut references = References::new();
        let mut first = Document::new("acme", "files", 1);
        for file in 0..FILES / 2 {
            first.values.push(ReferenceValue::File { path: path(file), digest: content(file, 0) });
        }
        references.merge(&AwsLc, &Verified::vouch(first)).unwrap();
        let policy = Policy::parse(POLICY, &catalog()).unwrap();
        Self {
            attester: Attester::of_the_rig(),
            boot: 3,
            now: NOW,
            verifier: Verifier::new(policy, references),
            version: 1,
            assigned: 0,
            history: None,
            judged: None,
            attestations: 0,
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut References)) {
        let mut references = self.verifier.references().clone();
        change(&mut references);
        self.verifier = Verifier::new(self.verifier.policy().clone(), references);
    }

    fn play(&mut self, turn: Turn) {
        match turn {
            Turn::Measure { file, content, violation } => {
                self.attester.ima_log.extend(entry(file, content, violation));
            }
            Turn::Attest { whole } => self.attest(whole),
            Turn::Reboot => {
                self.boot += 1;
                self.attester.ima_log = Attester::of_the_rig().ima_log;
            }
            Turn::Release { files, content: of, known } => {
                self.version += 1;
                let mut next = Document::new("acme", "files", self.version);
                let until = if known { self.now + 30 } else { self.now };
                next.supersedes = Some(Supersedes { good_until: self.now, known_until: until });
                let mut files = files;
                files.sort_unstable();
                files.dedup();
                next.values.extend(files.iter().map(|file| ReferenceValue::File {
                    path: path(*file),
                    digest: content(*file, of),
                }));
                self.change(|references| references.merge(&AwsLc, &Verified::vouch(next)).unwrap());
            }
            Turn::Assign { file } => {
                self.assigned += 1;
                let mut assignment = Assignment::new("acme", "one", self.assigned);
                assignment.devices.push("device".into());
                let removed = ReferenceValue::File { path: path(file), digest: content(file, 0) };
                assignment.remove.push(removed);
                let assignment = Verified::vouch(assignment);
                self.change(|references| references.assign(&AwsLc, &assignment).unwrap());
            }
            Turn::Wait { seconds } => self.now += seconds,
        }
    }

    /// The device attests, and is judged with what was found before and without.
    fn attest(&mut self, whole: bool) {
        let history = self.history.as_ref();
        let mark = history.and_then(History::mark).filter(|mark| mark.boot.resets == self.boot);
        let first = mark.filter(|_| !whole).map_or(0, |mark| mark.entries);
        let challenge = Challenge { ima: history.and_then(History::mark), ..challenge() };
        let octets = self.sent(&challenge, first);
        let evidence = Evidence::decode(&octets).unwrap();
        let evidence =
            evidence.verify_after(&AwsLc, &self.attester.lak(), &challenge, history).unwrap();
        let device = DeviceFacts { id: "device".into(), ..DeviceFacts::default() };
        let alone = self.verifier.appraise(&AwsLc, &evidence, &device, self.now);
        let last = self.judged.as_ref();
        let (after, judged) =
            self.verifier.appraise_after(&AwsLc, &evidence, &device, self.now, last);
        assert_eq!(after, alone);
        self.history = History::of(&evidence);
        self.judged = judged;
        self.attestations += 1;
    }

    fn sent(&self, challenge: &Challenge, first: u32) -> Vec<u8> {
        let pcrs = self.attester.pcrs();
        let QuoteParts { mut attest, .. } = self.attester.quote(challenge, &pcrs);
        // Behind magic, type, signer, nonce and clock.
        attest[84..88].copy_from_slice(&self.boot.to_be_bytes());
        let quote = QuoteParts { signature: signature(&self.attester.key, &attest), attest };
        let list = Log::decode(&self.attester.ima_log).unwrap();
        let part = list.octets_from(first as usize);
        let runtime = self.attester.runtime.encode();
        let log = &self.attester.event_log;
        Evidence::encode_from(&quote, log, (first, part), &runtime, &[])
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_found_before_changes_no_verdict(turns in prop::collection::vec(turn(), 4..24)) {
        let mut scene = Scene::new();
        for turn in turns {
            scene.play(turn);
        }
        scene.attest(false);
        prop_assert!(scene.attestations > 0);
    }
}

/// That the way that saves work is taken at all: what was found of other entries would be believed.
#[test]
fn only_what_is_new_is_looked_at() {
    let mut scene = Scene::new();
    scene.play(Turn::Measure { file: 0, content: 0, violation: false });
    scene.attest(false);
    let clean = scene.judged.clone();
    scene.play(Turn::Measure { file: 0, content: 1, violation: false });
    scene.attest(false);
    let found = scene.judged.clone().unwrap();
    assert!(format!("{found:?}").contains("/usr/bin/0"), "{found:?}");
    // Findings about another moment are not taken: this one would hide the file.
    scene.judged = clean;
    scene.play(Turn::Measure { file: 1, content: 0, violation: false });
    scene.attest(false);
    assert!(format!("{:?}", scene.judged).contains("/usr/bin/0"));
    // With those of the moment before, the old entries' finding is there without another look.
    scene.play(Turn::Measure { file: 2, content: 0, violation: false });
    scene.attest(false);
    assert!(format!("{:?}", scene.judged).contains("/usr/bin/0"));
}
