//! A device that attests again and again, to a fleet that remembers what it found of the device's IMA
//! list and to one that remembers nothing: both come to the same.

#[path = "../../../../../crates/evidence/tests/attester/mod.rs"]
mod attester;

use super::*;
use crate::api::types::Identity;
use crate::store::Kept;
use attester::{Attester, LAK_ATTRIBUTES, SHA256, challenge, ecc_public, signature};
use touchstone_appraise::references::{Document, ReferenceValue, References};
use touchstone_certs::issue::{Kind, Template};
use touchstone_certs::{Name, TrustStore};
use touchstone_cms::SignedData;
use touchstone_crypto::{Digest, HashAlgorithm, SignatureAlgorithm, Signer};
use touchstone_evidence::{History, ImaMark, QuoteParts};
use touchstone_measure::ima::Log;
use touchstone_policy::Policy;

const FILES: &str = r#"policy files version 1 schema 1
control known { title "k" severity high require ima.unknown-files is empty else executables contraindicated }
"#;
/// It asks for every file, and for nothing that was found.
const LISTED: &str = r#"policy files version 2 schema 1
control listed { title "l" severity high require every file in ima.files: file.known else executables warning }
"#;
const STILL: &str = r#"policy files version 3 schema 1
control still { title "v" severity low require ima.violations == 0 else executables warning }
"#;

fn content(file: &str, version: u8) -> Digest {
    AwsLc.hash(SHA256, &[file.as_bytes(), &[version]])
}

/// An `ima-ng` entry.
fn entry(file: &str, version: u8) -> Vec<u8> {
    let sized =
        |octets: &[u8]| [&u32::try_from(octets.len()).unwrap().to_le_bytes(), octets].concat();
    let digest = [b"sha256:\0", content(file, version).as_bytes()].concat();
    let data = [sized(&digest), sized(&[file.as_bytes(), &[0]].concat())].concat();
    let template = AwsLc.hash(HashAlgorithm::Sha1, &[&data]);
    [&10u32.to_le_bytes(), template.as_bytes(), &sized(b"ima-ng"), &sized(&data)].concat()
}

/// A document that its publisher has signed.
fn opened(document: &Document) -> Verified<Document> {
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let (name, now) = (Name::common_name("publisher").unwrap(), clock::now());
    let template = Template::new(Kind::CodeSigner, name, now - 60, now + 3_600);
    let certificate = template.self_sign(&AwsLc, &key).unwrap();
    let (signer, text) = ((&certificate, &key as &dyn Signer), document.to_json());
    let message = SignedData::sign(&AwsLc, &text, touchstone_cms::DATA, &[signer], now).unwrap();
    let trust = TrustStore::new(vec![certificate]);
    Document::open(&AwsLc, &message, &trust, now).unwrap()
}

/// A verifier to whom these files are good.
fn verifier(policy: &str, files: &[(&str, u8)]) -> Arc<Verifier> {
    let mut good = Document::new("default", "files", 1);
    good.values.extend(files.iter().map(|(file, version)| ReferenceValue::File {
        path: (*file).to_owned(),
        digest: content(file, *version),
    }));
    // What the rig's own device measured is nobody's business here.
    good.values.push(ReferenceValue::FileScope { prefix: "/opt/".into() });
    let mut references = References::new();
    references.merge(&AwsLc, &opened(&good)).unwrap();
    let policy = Policy::parse(policy, &touchstone_appraise::catalog()).unwrap();
    Arc::new(Verifier::new(policy, references))
}

struct Scene {
    attester: Attester,
    boot: u32,
    verifier: Arc<Verifier>,
    remembered: Arc<Remembered>,
    history: Option<History>,
}

impl Scene {
    fn new(verifier: Arc<Verifier>) -> Self {
        Self {
            attester: Attester::of_the_rig(),
            boot: 3,
            verifier,
            remembered: Arc::default(),
            history: None,
        }
    }

    fn measures(&mut self, file: &str, version: u8) {
        self.attester.ima_log.extend(entry(file, version));
    }

    fn reboots(&mut self) {
        self.boot += 1;
        self.attester.ima_log = Attester::of_the_rig().ima_log;
    }

    /// The list of this boot lost everything behind what the rig measured.
    fn is_cut(&mut self) {
        self.attester.ima_log = Attester::of_the_rig().ima_log;
    }

    /// Why the controls that are not met are not, which is the same with what is remembered and without.
    fn attests(&mut self) -> String {
        let challenge =
            Challenge { ima: self.history.as_ref().and_then(History::mark), ..challenge() };
        let shown = Log::decode(&self.attester.ima_log).unwrap().len();
        let goes_on =
            |mark: &ImaMark| mark.boot.resets == self.boot && mark.entries as usize <= shown;
        let known = self.history.as_ref().and_then(History::mark).filter(goes_on);
        let evidence = self.sent(&challenge, known.map_or(0, |mark| mark.entries));
        let judged = |remembered: &Arc<Remembered>| {
            let case = self.case(&challenge, &evidence, remembered);
            let mut result = case.judge().unwrap().result;
            // What is dated.
            (result.issued, result.expires) = (0, 0);
            if let Some(times) = result.claims.as_mut() {
                (times.evidence_at, times.appraised_at, times.expires) = (0, 0, 0);
                times.claims.remove("evidence.age");
            }
            result
        };
        let alone = judged(&Arc::new(Remembered::within(0)));
        let result = judged(&self.remembered);
        assert_eq!(format!("{result:?}"), format!("{alone:?}"));
        if let Some(new) = result.history {
            // What is kept in parts, put together again.
            let list = new.more.iter().flat_map(|(_, _, octets)| octets.clone()).collect();
            let history = History::decode(&new.history).unwrap();
            self.history = Some(history.with_list(list).unwrap());
        }
        let failed = result.controls.iter().filter(|control| !control.passed);
        failed.map(|control| control.reason.clone()).collect::<Vec<_>>().join("; ")
    }

    fn case(&self, challenge: &Challenge, evidence: &[u8], remembered: &Arc<Remembered>) -> Case {
        let spki = self.attester.key.spki_der();
        let device = DeviceRow {
            id: "device-1".into(),
            name: String::new(),
            idevid_spki: Vec::new(),
            lak_public: ecc_public(spki, LAK_ATTRIBUTES),
            lak_spki: spki.to_vec(),
            ek_public: None,
            last_seen: None,
            tier: String::new(),
            identity: Identity::default(),
        };
        let history = self.history.as_ref().map(History::encode);
        let kept = Kept { history, ..Kept::default() };
        let sender = Sender { key: &[], nonce: &challenge.nonce, ueid: None };
        Case {
            shown: Shown::read(evidence, &sender, kept, "device-1"),
            pending: Pending { device, challenge: challenge.clone(), given_at: clock::now() },
            verifier: Arc::clone(&self.verifier),
            tenant: "default".into(),
            lifetime: 60,
            ldevid: None,
            remembered: Arc::clone(remembered),
        }
    }

    fn sent(&self, challenge: &Challenge, first: u32) -> Vec<u8> {
        let QuoteParts { mut attest, .. } = self.attester.quote(challenge, &self.attester.pcrs());
        // Behind magic, type, signer, nonce and clock.
        attest[84..88].copy_from_slice(&self.boot.to_be_bytes());
        let quote = QuoteParts { signature: signature(&self.attester.key, &attest), attest };
        let list = Log::decode(&self.attester.ima_log).unwrap();
        let part = (first, list.octets_from(first as usize));
        let runtime = self.attester.runtime.encode();
        Evidence::encode_from(&quote, &self.attester.event_log, part, &runtime, &[])
    }
}

/// Whether the verifier in force has findings of the device to go on from.
fn remembers(scene: &Scene) -> bool {
    let found = scene.remembered.take(&scene.verifier, "device-1");
    found.map(|found| scene.remembered.put(&scene.verifier, "device-1", found)).is_some()
}

#[test]
fn what_was_found_before_is_found_again_and_changes_no_verdict() {
    let mut scene = Scene::new(verifier(FILES, &[("/opt/a", 1), ("/opt/b", 1)]));
    scene.measures("/opt/a", 1);
    assert_eq!(scene.attests(), "");
    scene.measures("/opt/b", 2);
    let found = scene.attests();
    assert!(found.contains("/opt/b is sha256:"), "{found}");
    // Nothing new: what is wrong stays wrong, without another look.
    assert_eq!(scene.attests(), found);
    scene.measures("/opt/a", 1);
    assert_eq!(scene.attests(), found);
    assert!(remembers(&scene));
    // The fleet lost the list, and is shown all of it.
    scene.history = None;
    assert_eq!(scene.attests(), found);
}

#[test]
fn other_reference_values_are_honoured_for_files_that_were_judged_before() {
    let mut scene = Scene::new(verifier(FILES, &[("/opt/a", 1)]));
    scene.measures("/opt/a", 1);
    assert_eq!(scene.attests(), "");
    assert!(remembers(&scene));
    scene.verifier = verifier(FILES, &[("/opt/a", 2)]);
    assert!(!remembers(&scene), "what another verifier found is nothing to go on from");
    let found = scene.attests();
    assert!(found.contains("/opt/a is sha256:"), "{found}");
    scene.verifier = verifier(FILES, &[("/opt/a", 1)]);
    assert_eq!(scene.attests(), "");
}

#[test]
fn another_policy_is_honoured_for_files_that_were_judged_before() {
    let mut scene = Scene::new(verifier(STILL, &[("/opt/a", 1)]));
    scene.measures("/opt/a", 2);
    assert_eq!(scene.attests(), "");
    scene.verifier = verifier(LISTED, &[("/opt/a", 1)]);
    let found = scene.attests();
    assert!(found.contains("/opt/a is sha256:"), "{found}");
    scene.verifier = verifier(FILES, &[("/opt/a", 1)]);
    assert!(scene.attests().contains("/opt/a is sha256:"));
}

#[test]
fn after_a_reboot_nothing_of_the_boot_before_counts() {
    let mut scene = Scene::new(verifier(FILES, &[("/opt/a", 1)]));
    scene.measures("/opt/a", 2);
    assert!(scene.attests().contains("/opt/a is sha256:"));
    scene.reboots();
    assert_eq!(scene.attests(), "");
    scene.measures("/opt/c", 1);
    let found = scene.attests();
    assert!(found.contains("/opt/c") && !found.contains("/opt/a"), "{found}");
}

#[test]
fn no_more_is_remembered_than_was_set() {
    let mut scene = Scene::new(verifier(FILES, &[("/opt/a", 1)]));
    scene.attests();
    let judged = scene.remembered.take(&scene.verifier, "device-1").unwrap();
    let each = judged.octets() + 256;
    let small = Remembered::within(3 * each);
    assert!(small.take(&scene.verifier, "none").is_none());
    for device in ["a", "b", "c"] {
        small.put(&scene.verifier, device, judged.clone());
    }
    // The one that attested again stays; of the others the oldest goes.
    let a = small.take(&scene.verifier, "a").unwrap();
    small.put(&scene.verifier, "a", a);
    small.put(&scene.verifier, "d", judged.clone());
    let kept = |device| small.take(&scene.verifier, device).is_some();
    assert_eq!(["a", "b", "c", "d"].map(kept), [true, false, true, true]);
    // What was taken takes no room.
    small.put(&scene.verifier, "e", judged.clone());
    // One that came too late: other reference values are in force.
    let other = verifier(FILES, &[]);
    assert!(small.take(&other, "e").is_none());
    small.put(&scene.verifier, "e", judged);
    assert!(small.take(&scene.verifier, "e").is_none());
}

#[test]
fn a_tpm_that_was_put_back_and_a_list_that_was_cut_are_told() {
    let mut scene = Scene::new(verifier(FILES, &[("/opt/a", 1)]));
    scene.boot = 5;
    scene.measures("/opt/a", 1);
    assert_eq!(scene.attests(), "");
    scene.is_cut();
    let found = scene.attests();
    assert!(found.contains("the IMA list was cut"), "{found}");
    scene.measures("/opt/a", 1);
    assert_eq!(scene.attests(), "");
    // What is refused is not what the next one is compared with.
    for _ in 0..2 {
        scene.boot = 4;
        let found = scene.attests();
        assert!(found.contains("the TPM counts 4 resets and counted 5 before"), "{found}");
    }
    scene.boot = 5;
    scene.reboots();
    assert_eq!(scene.attests(), "");
}
