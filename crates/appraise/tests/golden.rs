//! The rig's device, as it is and with one thing wrong at a time: which control says so, and in
//! which words.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests fail loudly"
)]

#[path = "../../evidence/tests/attester/mod.rs"]
mod attester;

use attester::{Attester, SHA256, challenge};
use touchstone_appraise::ear::{to_cbor, to_json};
use touchstone_appraise::references::{
    Database, Document, Error as ReferenceError, Publisher, ReferenceValue, References, Set,
    Supersedes,
};
use touchstone_appraise::{
    Appraisal, DeviceFacts, Ear, EventRef, LogName, Status, Tier, Verifier, catalog, claims,
    reason, rests_on,
};
use touchstone_crypto::{Crypto, Digest, Verified};
use touchstone_crypto_awslc::AwsLc;
use touchstone_evidence::runtime::{
    CodeRange, Component, Observation, Observed, Process, code_digest,
};
use touchstone_evidence::{Challenge, Error, Evidence, PcrSelection};
use touchstone_measure::predict::signature_list;
use touchstone_measure::tcg::{Event, EventLog, EventType, Guid, variable_data};
use touchstone_peers::rig;
use touchstone_policy::ar4si::Dimension;
use touchstone_policy::{ClaimSet, Claims, Policy, Type, tier};

const NOW: u64 = 1_800_000_000;
const APP: &str = "/data/app/pump";

/// Events of the rig's log.
const IMAGE: usize = 23;
const COMMAND_LINE: [usize; 2] = [27, 30];
const INITRD: usize = 31;

/// A policy that reads every claim that this catalogue has about a boot and what runs after it.
const POLICY: &str = r#"policy golden version 3 schema 1

control known-instance {
  title    "Only onboarded devices take part"
  severity critical
  require  device.onboarded and device.endorsed and element.kind == "tpm2"
  else     instance-identity unrecognized-instance
  do       alert, quarantine
}

control fresh-evidence {
  title    "Old evidence says nothing about now"
  severity medium
  require  evidence.age <= 60s
  else     instance-identity warning
}

control secure-boot {
  title    "Images must be signed"
  severity high
  require  boot.secure-boot
  else     configuration contraindicated
}

control secure-boot-keys {
  title    "Other keys sign other images"
  severity critical
  require  every boot.pk in reference.pk and boot.pk is not empty
  require  every boot.kek in reference.kek and boot.kek is not empty
  require  every boot.db in reference.db and boot.db is not empty
  else     configuration contraindicated
}

control boot-images {
  title    "Only released images may boot"
  severity critical
  require  boot.images is not empty
  require  boot.unknown-images is empty
  require  boot.unknown-measurements is empty
  require  boot.contradictions is empty
  else     executables contraindicated
}

control firmware {
  title    "Only released firmware may boot"
  severity high
  require  boot.firmware in reference.firmware
  else     hardware contraindicated
}

control kernel-command-line {
  title    "A parameter can switch off IMA"
  severity high
  require  boot.command-line in reference.command-lines
  else     configuration contraindicated
}

control known-files {
  title    "Nothing else may run"
  severity critical
  require  ima.unknown-files is empty
  require  ima.violations == 0
  require  ima.boot-aggregate
  else     executables contraindicated
}

control code-pages {
  title    "Code must be as it was released"
  severity critical
  require  runtime.code is not empty
  require  runtime.changed-code is empty
  require  runtime.foreign-code is empty
  require  runtime.missing is empty
  else     executables contraindicated
  do       alert, capture, quarantine, stop-unit
}

control up-to-date {
  title    "Old versions have known faults"
  severity low
  require  agent.version >= 0.1.0
  require  components.outdated is empty
  else     file-system warning
}
"#;

fn digest(octets: &[u8]) -> Digest {
    AwsLc.hash(SHA256, &[octets])
}

/// The rig's device with an application that runs from a file of its own.
fn attester() -> Attester {
    let mut attester = Attester::of_the_rig();
    attester.ima_log.extend(ima_entry(APP, digest(b"sensor"), false));
    attester.ima_log.extend(ima_entry("/var/log/other", digest(b"noise"), false));
    let code = code_digest(&AwsLc, &[0x90; 4096]);
    attester.runtime.watched = vec![APP.into()];
    attester.runtime.processes = vec![Process {
        path: APP.into(),
        pid: 212,
        start: 900,
        anonymous_executable: 0,
        ranges: vec![CodeRange { path: APP.into(), offset: 4096, len: 4096, digest: code }],
    }];
    attester.runtime.components = vec![Component { name: "sensor".into(), version: 2 }];
    attester
}

/// An entry of an `ima-ng` list.
fn ima_entry(path: &str, digest: Digest, violation: bool) -> Vec<u8> {
    ima_entry_of("sha256:", path, digest.as_bytes(), violation)
}

fn ima_entry_of(algorithm: &str, path: &str, digest: &[u8], violation: bool) -> Vec<u8> {
    let block =
        |octets: &[u8]| [&u32::try_from(octets.len()).unwrap().to_le_bytes(), octets].concat();
    let digest = [algorithm.as_bytes(), &[0], digest].concat();
    let path = [path.as_bytes(), &[0]].concat();
    let data = [block(&digest), block(&path)].concat();
    let template_digest = if violation { [0; 20] } else { [7; 20] };
    [&10u32.to_le_bytes(), &template_digest[..], &block(b"ima-ng"), &block(&data)].concat()
}

/// What the maker of that device released.
fn references() -> References {
    let mut references = References::new();
    references.merge(&AwsLc, &Verified::vouch(released())).unwrap();
    references.merge(&AwsLc, &Verified::vouch(sensor(2))).unwrap();
    references
}

fn released() -> Document {
    let log = EventLog::decode(&rig("binary_bios_measurements")).unwrap();
    let value = |at: usize| log.events()[at].digest(SHA256).unwrap();
    let mut document = Document::new("acme", "gateway-os", 7);
    document
        .values
        .push(ReferenceValue::BootImage { name: "uki.efi".into(), digest: value(IMAGE) });
    for at in (IMAGE + 1..=INITRD).filter(|at| !COMMAND_LINE.contains(at)) {
        let name = format!("event {at}");
        document.values.push(ReferenceValue::Measurement { name, digest: value(at) });
    }
    document.firmware("OVMF", log.replay(&AwsLc, SHA256).value(0).unwrap());
    document.command_line(&String::from_utf8(rig("cmdline.txt")).unwrap());
    let list = rig("binary_runtime_measurements");
    for entry in touchstone_measure::ima::Log::decode(&list).unwrap().entries().skip(1) {
        let (path, digest) = (entry.path().into_owned(), entry.digest().unwrap());
        document.values.push(ReferenceValue::File { path, digest });
    }
    for (database, file) in [
        (Database::Pk, "secure-boot-pk.der"),
        (Database::Kek, "secure-boot-kek.der"),
        (Database::Db, "secure-boot-db.der"),
    ] {
        document.secure_boot_key(&AwsLc, database, &rig(file));
    }
    document
}

fn sensor(version: u64) -> Document {
    let mut document = Document::new("acme", "sensor", version);
    document.file_scope("/data/app/");
    document.file(&AwsLc, APP, b"sensor").unwrap();
    let code = code_digest(&AwsLc, &[0x90; 4096]);
    let range = CodeRange { path: APP.into(), offset: 4096, len: 4096, digest: code };
    document.values.push(ReferenceValue::Code { path: APP.into(), ranges: vec![(&range).into()] });
    document
}

fn device() -> DeviceFacts {
    DeviceFacts {
        id: "device-1".into(),
        tenant: "acme".into(),
        onboarded: Some(true),
        endorsed: Some(true),
        proofs: Some(vec!["endorsement-key".into()]),
        element_kind: Some("tpm2".into()),
        evidence_at: Some(NOW - 2),
    }
}

fn verifier() -> Verifier {
    Verifier::new(Policy::parse(POLICY, &catalog()).unwrap(), references())
}

fn appraise_with(verifier: &Verifier, attester: &Attester, device: &DeviceFacts) -> Appraisal {
    let challenge = challenge();
    appraise_over(&challenge.selection.pcrs, verifier, attester, device)
}

/// A quote over these PCRs only.
fn appraise_over(
    pcrs: &[u32],
    verifier: &Verifier,
    attester: &Attester,
    device: &DeviceFacts,
) -> Appraisal {
    let selection = PcrSelection::new(SHA256, pcrs).unwrap();
    let challenge = Challenge { selection, ..challenge() };
    let evidence = Evidence::decode(&attester.evidence(&challenge)).unwrap();
    let evidence = evidence.verify(&AwsLc, &attester.lak(), &challenge).unwrap();
    verifier.appraise(&AwsLc, &evidence, device, NOW)
}

/// Values of kinds that the maker of that device has none of.
fn more() -> Document {
    let mut document = Document::new("acme", "more", 1);
    let hole = digest(b"a loader with a hole");
    let lists = signature_list(Guid::CERT_SHA256, Guid::SHIM_LOCK, hole.as_bytes());
    document.revocations(&AwsLc, &lists).unwrap();
    document.values.push(register(0, attester().pcrs().value(0).unwrap()));
    document.values.push(ReferenceValue::Publisher(Publisher {
        name: "Acme".into(),
        key: rig("secure-boot-db.der"),
        paths: Vec::new(),
        good_until: None,
        known_until: None,
    }));
    document
}

fn register(index: u32, value: Digest) -> ReferenceValue {
    ReferenceValue::Pcr { index, value }
}

fn with(documents: Vec<Document>) -> References {
    let mut references = references();
    for document in documents {
        references.merge(&AwsLc, &Verified::vouch(document)).unwrap();
    }
    references
}

/// The claims as they travel: to JSON, and back.
fn claims_of(attester: &Attester) -> ClaimSet {
    let challenge = challenge();
    let evidence = Evidence::decode(&attester.evidence(&challenge)).unwrap();
    let evidence = evidence.verify(&AwsLc, &attester.lak(), &challenge).unwrap();
    let policy = Policy::parse(POLICY, &catalog()).unwrap();
    let verifier = Verifier::new(policy, with(vec![more()]));
    let mut json =
        claims::to_json(&verifier.judge(&AwsLc, &evidence, &device(), NOW, None).claims.unwrap());
    json.extend(claims::to_json(&verifier.reference_claims("device-1", NOW)));
    let read = claims::from_json(&json, &catalog()).unwrap();
    assert_eq!(claims::to_json(&read), json, "nothing is lost on the way");
    read
}

fn appraise(attester: &Attester) -> Appraisal {
    appraise_with(&verifier(), attester, &device())
}

/// The log with one event changed, as the firmware would have written and measured it.
fn with_event(attester: &mut Attester, index: usize, change: impl FnOnce(&mut Event)) {
    with_events(attester, |events| change(&mut events[index]));
}

fn with_events(attester: &mut Attester, change: impl FnOnce(&mut Vec<Event>)) {
    let log = EventLog::decode(&attester.event_log).unwrap();
    let mut events = log.events().to_vec();
    change(&mut events);
    let header = 32 + events[0].data.len();
    let mut bytes = attester.event_log[..header].to_vec();
    for event in &events[1..] {
        bytes.extend(event.pcr.to_le_bytes());
        bytes.extend(event.kind.0.to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(0x000Bu16.to_le_bytes());
        bytes.extend(event.digest(SHA256).unwrap().as_bytes());
        bytes.extend(u32::try_from(event.data.len()).unwrap().to_le_bytes());
        bytes.extend(&event.data);
    }
    attester.event_log = bytes;
    repair_boot_aggregate(attester);
}

/// A kernel on that firmware would have begun its IMA list otherwise.
fn repair_boot_aggregate(attester: &mut Attester) {
    let list = touchstone_measure::ima::Log::decode(&attester.ima_log).unwrap();
    let old = list.get(0).unwrap().digest().unwrap();
    let boot: Vec<u32> = (0..10).collect();
    let new = EventLog::decode(&attester.event_log)
        .unwrap()
        .replay(&AwsLc, SHA256)
        .composite(&AwsLc, SHA256, &boot)
        .unwrap();
    let at = attester.ima_log.windows(32).position(|w| w == old.as_bytes()).unwrap();
    attester.ima_log[at..at + 32].copy_from_slice(new.as_bytes());
}

fn measured(event: &mut Event, data: Vec<u8>) {
    event.digests = vec![digest(&data)];
    event.data = data;
}

#[track_caller]
fn assert_caught(appraisal: &Appraisal, control: &str, events: &[(LogName, u32)], words: &[&str]) {
    assert_eq!(appraisal.tier, Tier::Contraindicated, "{}", appraisal.summary());
    let failed: Vec<_> = appraisal.failed().collect();
    let names: Vec<_> = failed.iter().map(|control| control.name.as_str()).collect();
    assert_eq!(names, [control], "{}", appraisal.summary());
    let expected: Vec<_> = events.iter().map(|&(log, index)| EventRef { log, index }).collect();
    assert_eq!(failed[0].events, expected, "{}", failed[0].reason);
    for word in words {
        assert!(failed[0].reason.contains(word), "{:?} lacks {word:?}", failed[0].reason);
    }
}

#[test]
fn the_device_as_it_was_released_is_affirmed() {
    let appraisal = appraise(&attester());
    assert_eq!(appraisal.tier, Tier::Affirming, "{}", appraisal.summary());
    assert_eq!(appraisal.summary(), "affirming");
    assert_eq!(appraisal.controls.len(), 10);
    assert!(
        appraisal.controls.iter().all(|control| control.passed() && !control.reason.is_empty())
    );
    assert_eq!(appraisal.vector.value(Dimension::Executables), 2);
    assert_eq!(appraisal.vector.value(Dimension::SourcedData), 0);
    assert_eq!((appraisal.policy_id.as_str(), appraisal.appraised_at), ("golden/3", NOW));
}

#[test]
fn secure_boot_off_is_caught() {
    let mut attester = attester();
    with_event(&mut attester, 4, |event| {
        let mut data = event.data.clone();
        *data.last_mut().unwrap() = 0;
        measured(event, data);
    });
    let words = ["event 4 (PCR 7): SecureBoot is 0, expected 1"];
    assert_caught(&appraise(&attester), "secure-boot", &[(LogName::EventLog, 4)], &words);
}

#[test]
fn a_foreign_key_in_db_is_caught() {
    let mut attester = attester();
    with_event(&mut attester, 7, |event| {
        let mut data = event.data.clone();
        *data.last_mut().unwrap() ^= 1; // another certificate
        measured(event, data);
    });
    let words = ["event 7 (PCR 7): db holds sha256:", "which is not in the reference values"];
    assert_caught(&appraise(&attester), "secure-boot-keys", &[(LogName::EventLog, 7)], &words);
}

#[test]
fn an_unknown_boot_image_is_caught() {
    let mut attester = attester();
    with_event(&mut attester, IMAGE, |event| event.digests = vec![digest(b"evil")]);
    let words = [
        "event 23 (PCR 4, EV_EFI_BOOT_SERVICES_APPLICATION): image sha256:",
        "is not in the reference values of boot-image",
    ];
    assert_caught(&appraise(&attester), "boot-images", &[(LogName::EventLog, 23)], &words);
}

#[test]
fn an_image_that_hides_behind_another_event_type_is_caught() {
    let mut attester = attester();
    with_event(&mut attester, 14, |event| event.digests = vec![digest(b"evil")]);
    let words = ["event 14 (PCR 4, EV_EFI_ACTION): sha256:"];
    assert_caught(&appraise(&attester), "boot-images", &[(LogName::EventLog, 14)], &words);

    // Nor does it help to call it a separator, or to bring along what was hashed.
    for kind in [EventType::SEPARATOR, EventType::IPL, EventType(0x4242)] {
        let mut attester = self::attester();
        with_event(&mut attester, 14, |event| {
            event.kind = kind;
            measured(event, b"MZ\0\0 the image itself".to_vec());
        });
        let words = ["event 14 (PCR 4, "];
        assert_caught(&appraise(&attester), "boot-images", &[(LogName::EventLog, 14)], &words);
    }
}

#[test]
fn another_initrd_is_caught() {
    let mut attester = attester();
    with_event(&mut attester, INITRD, |event| event.digests = vec![digest(b"initrd with a shell")]);
    let words = ["event 31 (PCR 9, EV_EVENT_TAG)", "reference values of measurement"];
    assert_caught(&appraise(&attester), "boot-images", &[(LogName::EventLog, 31)], &words);
}

#[test]
fn another_firmware_is_caught() {
    let mut attester = attester();
    with_event(&mut attester, 2, |event| event.digests = vec![digest(b"firmware with an implant")]);
    assert_caught(&appraise(&attester), "firmware", &[], &["boot.firmware is sha256:"]);
}

#[test]
fn another_command_line_is_caught_and_shown() {
    let line = "console=ttyS0 ima_policy=tcb init=/bin/sh";
    let forms = touchstone_evidence::claims::measured_forms(line);
    let tampered = |told: &str| {
        let mut attester = attester();
        with_event(&mut attester, COMMAND_LINE[0], |event| event.digests = vec![digest(&forms[0])]);
        with_event(&mut attester, COMMAND_LINE[1], |event| event.digests = vec![digest(&forms[3])]);
        attester.runtime.command_line = told.into();
        appraise(&attester)
    };
    let events = [(LogName::EventLog, 27), (LogName::EventLog, 30)];
    // The device tells its command line, and it is the measured one.
    let words = ["event 27 (PCR 11): the kernel's command line is `console=", line, "expected `"];
    assert_caught(&tampered(line), "kernel-command-line", &events, &words);
    // It lies.
    let words = ["event 27 (PCR 11): the kernel's command line is unknown (sha256:"];
    let told = String::from_utf8(rig("cmdline.txt")).unwrap();
    assert_caught(&tampered(&told), "kernel-command-line", &events, &words);
}

#[test]
fn data_that_was_not_measured_is_caught() {
    let mut attester = attester();
    with_event(&mut attester, 9, |event| event.data = vec![1, 0, 0, 0]);
    let words = ["event 9 (PCR 7, EV_SEPARATOR): its data is not what was measured"];
    assert_caught(&appraise(&attester), "boot-images", &[(LogName::EventLog, 9)], &words);
}

#[test]
fn a_changed_or_unknown_file_is_caught() {
    let mut changed = attester();
    changed.ima_log.extend(ima_entry(APP, digest(b"trojan"), false));
    let expected = digest(b"sensor").to_string();
    let words = ["IMA entry 4: /data/app/pump is sha256:", "expected sha256:", &expected];
    assert_caught(&appraise(&changed), "known-files", &[(LogName::Ima, 4)], &words);

    let mut unknown = attester();
    unknown.ima_log.extend(ima_entry("/data/app/miner", digest(b"sensor"), false));
    let words = ["IMA entry 4: /data/app/miner (sha256:", "is not in the reference values of file"];
    assert_caught(&appraise(&unknown), "known-files", &[(LogName::Ima, 4)], &words);
}

#[test]
fn a_measurement_violation_is_caught() {
    let mut attester = attester();
    attester.ima_log.extend(ima_entry(APP, Digest::zero(SHA256), true));
    let words = ["IMA entry 4: /data/app/pump was open for writing while it was measured"];
    assert_caught(&appraise(&attester), "known-files", &[(LogName::Ima, 4)], &words);
}

#[test]
fn the_ima_list_of_another_boot_is_caught() {
    let mut attester = attester();
    let list = touchstone_measure::ima::Log::decode(&attester.ima_log).unwrap();
    let aggregate = list.get(0).unwrap().digest().unwrap();
    let at = attester.ima_log.windows(32).position(|w| w == aggregate.as_bytes()).unwrap();
    attester.ima_log[at] ^= 1;
    let words = ["IMA entry 0: the boot aggregate is not that of the quoted PCRs"];
    assert_caught(&appraise(&attester), "known-files", &[(LogName::Ima, 0)], &words);
}

#[test]
fn a_boot_aggregate_that_cannot_be_compared_is_unknown_and_says_why() {
    let aggregate = "policy p version 1 schema 1 control c { title \"t\" severity low \
                     require ima.boot-aggregate else file-system contraindicated }";
    let verifier =
        || Verifier::new(Policy::parse(aggregate, &catalog()).unwrap(), References::new());
    let of = |attester: &Attester, pcrs: &[u32]| {
        let appraisal = appraise_over(pcrs, &verifier(), attester, &device());
        (appraisal.controls[0].status, appraisal.controls[0].reason.clone())
    };
    let with = |from: &[u8], to: &[u8]| {
        let mut attester = attester();
        let at = attester.ima_log.windows(from.len()).position(|w| w == from).unwrap();
        attester.ima_log[at..at + from.len()].copy_from_slice(to);
        attester
    };
    assert_eq!(of(&attester(), &ALL).0, Status::Passed);
    let list = touchstone_measure::ima::Log::decode(&attester().ima_log).unwrap();
    let digest = list.get(0).unwrap().digest().unwrap();
    let zeros = with(digest.as_bytes(), &[0; 32]);
    let (status, why) = of(&zeros, &ALL);
    assert_eq!(status, Status::Failed);
    assert!(why.contains("is zeros: IMA began without the TPM"), "{why}");
    // Over PCR 0 to 9, of which some were not quoted.
    for without in [0, 7] {
        let (status, why) = of(&attester(), &but(without));
        assert_eq!(status, Status::Unknown, "{without}");
        assert!(
            why.contains(&format!("PCR {without} was not quoted; ask for PCR 0 to 9")),
            "{why}"
        );
    }
    let (status, why) = of(&with(digest.as_bytes(), &[7; 32]), &but(9));
    assert_eq!(status, Status::Unknown);
    assert!(why.contains("PCR 9 was not quoted; ask for PCR 0 to 9"), "{why}");
    let mut other = attester();
    let entry = ima_entry_of("sha512:", "boot_aggregate", &[7; 64], false);
    other.ima_log = entry;
    let (status, why) = of(&other, &ALL);
    assert_eq!(status, Status::Unknown);
    assert!(why.contains("of another bank than the quote"), "{why}");
}

#[test]
fn code_that_was_patched_in_memory_is_caught() {
    let mut attester = attester();
    let mut page = [0x90; 4096];
    page[100] = 0xCC;
    attester.runtime.processes[0].ranges[0].digest = code_digest(&AwsLc, &page);
    let words = [
        "process 212 (/data/app/pump): /data/app/pump at 0x1000, 4096 octets of code, is sha256:",
        "in memory, expected sha256:",
    ];
    assert_caught(&appraise(&attester), "code-pages", &[], &words);
}

#[test]
fn code_from_nowhere_is_caught() {
    let mut injected = attester();
    injected.runtime.processes[0].anonymous_executable = 1;
    let words = ["process 212 (/data/app/pump) has 1 executable mappings that no file backs"];
    assert_caught(&appraise(&injected), "code-pages", &[], &words);

    let mut foreign = attester();
    let mut range = foreign.runtime.processes[0].ranges[0].clone();
    range.path = "/tmp/inject.so".into();
    foreign.runtime.processes[0].ranges.push(range);
    let words = ["/tmp/inject.so", "is of a file that is not in the reference values of code"];
    assert_caught(&appraise(&foreign), "code-pages", &[], &words);

    let mut split = attester();
    split.runtime.processes[0].ranges[0].len = 8192;
    let words = ["is mapped otherwise than the released file would be"];
    assert_caught(&appraise(&split), "code-pages", &[], &words);
}

#[test]
fn a_watched_program_that_does_not_run_is_caught() {
    let mut attester = attester();
    attester.runtime.watched.push("/data/app/guard".into());
    let words = ["/data/app/guard"];
    assert_caught(&appraise(&attester), "code-pages", &[], &words);

    let mut hollow = self::attester();
    hollow.runtime.processes[0].ranges[0].path = "/lib/other.so".into();
    let appraisal = appraise(&hollow);
    assert!(appraisal.summary().contains("none of its executable's code is mapped"));
}

/// A control that passes if nothing is wrong, for each claim that an event makes.
const EMPTY: [(&str, &str); 17] = [
    ("boot.secure-boot", "boot.secure-boot"),
    ("boot.pk", "every it in boot.pk: it in reference.pk"),
    ("boot.kek", "every it in boot.kek: it in reference.kek"),
    ("boot.db", "every it in boot.db: it in reference.db"),
    ("boot.dbx", "boot.dbx is empty"),
    ("boot.missing-revocations", "boot.missing-revocations is empty"),
    ("boot.authorities", "every it in boot.authorities: it in reference.db"),
    ("boot.shim-authorities", "boot.shim-authorities is empty"),
    ("boot.sbat", "boot.sbat[\"shim\"] >= 4"),
    ("boot.sbat-date", "boot.sbat-date >= 2024010900"),
    ("boot.firmware", "boot.firmware in reference.firmware"),
    ("boot.images", "boot.images is not empty"),
    ("boot.unknown-images", "boot.unknown-images is empty"),
    ("boot.unknown-measurements", "boot.unknown-measurements is empty"),
    ("boot.outdated", "boot.outdated is empty"),
    ("boot.command-line", "not boot.command-line contains \"init=\""),
    ("boot.contradictions", "boot.contradictions is empty"),
];

#[test]
fn what_rests_on_a_register_that_was_not_quoted_is_unknown() {
    let mut attester = attester();
    with_shim(&mut attester, b"sbat,1,2024010900\nshim,4\n");
    let references = with(vec![more()]);
    for (claim, require) in EMPTY {
        let text = format!(
            "policy p version 1 schema 1 control c {{ title \"t\" severity low \
             require {require} else configuration contraindicated }}"
        );
        let policy = Policy::parse(&text, &catalog()).unwrap_or_else(|fault| panic!("{fault:?}"));
        let verifier = Verifier::new(policy, references.clone());
        let of = |pcrs: &[u32]| appraise_over(pcrs, &verifier, &attester, &device());
        assert_ne!(of(&ALL).controls[0].status, Status::Unknown, "{claim}");
        assert!(!rests_on(claim).is_empty(), "{claim}");
        for without in rests_on(claim) {
            let appraisal = of(&but(*without));
            let control = &appraisal.controls[0];
            assert_eq!(control.status, Status::Unknown, "{claim} without PCR {without}");
            let words = format!("PCR {without} was not quoted; ask for it in the quote");
            assert!(control.reason.contains(&words), "{claim}: {}", control.reason);
        }
    }
}

const ALL: [u32; 15] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];

fn but(without: u32) -> Vec<u32> {
    ALL.into_iter().filter(|pcr| *pcr != without).collect()
}

/// The sender of a quote chooses what it is over, where nobody asked.
#[test]
fn a_quote_over_fewer_registers_is_never_affirmed() {
    assert_eq!(
        appraise_over(&ALL, &verifier(), &attester(), &device()).tier,
        Tier::Affirming,
        "over all of them"
    );
    for without in ALL {
        let appraisal = appraise_over(&but(without), &verifier(), &attester(), &device());
        assert_ne!(appraisal.tier, Tier::Affirming, "without PCR {without}");
        let unknown = appraisal.controls.iter().any(|it| it.status == Status::Unknown);
        assert!(unknown, "without PCR {without}: {}", appraisal.summary());
    }
    let appraisal = appraise_over(&[0], &verifier(), &attester(), &device());
    let passed = appraisal.controls.iter().filter(|control| control.passed());
    let passed: Vec<_> = passed.map(|control| control.name.as_str()).collect();
    assert_eq!(
        passed,
        ["known-instance", "fresh-evidence", "firmware", "code-pages", "up-to-date"]
    );
}

#[test]
fn keys_that_no_event_tells_are_unknown() {
    for (event, claim, name) in [(5, "boot.pk", "pk"), (6, "boot.kek", "kek"), (7, "boot.db", "db")]
    {
        let mut attester = attester();
        with_events(&mut attester, |events| drop(events.remove(event)));
        let (status, why) =
            judged(&attester, references(), &format!("require every {claim} in reference.{name}"));
        assert_eq!(status, Status::Unknown, "{claim}");
        assert!(why.contains(&format!("no event tells what {name} holds")), "{why}");
    }
}

/// What Secure Boot verified with is measured into PCR 7; whoever was started later could add to
/// another.
#[test]
fn an_authority_in_another_register_is_none() {
    let mut attester = attester();
    let authority = |event: &Event| event.kind == EventType::EFI_VARIABLE_AUTHORITY;
    with_events(&mut attester, |events| {
        events.iter_mut().filter(|event| authority(event)).for_each(|event| event.pcr = 5);
    });
    let (status, _) = judged(&attester, references(), "require boot.authorities is not empty");
    assert_eq!(status, Status::Failed);
}

/// systemd-stub hands the extensions beside an image to the system, and measures them into PCR 13.
#[test]
fn an_extension_that_nobody_released_is_caught() {
    let mut attester = attester();
    let mut at = 0;
    with_events(&mut attester, |events| {
        let last = events.last().unwrap().clone();
        at = last.index + 1;
        let data: Vec<u8> = "sysext".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let digests = vec![digest(b"an extension with a shell")];
        events.push(Event { pcr: 13, kind: EventType::IPL, data, digests, ..last });
    });
    let place = format!("event {at} (PCR 13, EV_IPL)");
    let words = [place.as_str(), "reference values of measurement"];
    assert_caught(&appraise(&attester), "boot-images", &[(LogName::EventLog, at)], &words);
}

/// What stands in TPMS_ATTEST behind the qualifying data: clock, counters, firmware version.
const RESTARTS: usize = 76 + 12;
const FIRMWARE: usize = 76 + 17;

#[test]
fn a_claim_of_the_quote_is_what_the_tpm_signed() {
    let challenge = challenge();
    let attester = attester();
    let mut quote = attester.quote(&challenge, &attester.pcrs());
    quote.attest[RESTARTS..RESTARTS + 4].copy_from_slice(&3u32.to_be_bytes());
    quote.attest[FIRMWARE..FIRMWARE + 8].copy_from_slice(&0x2024_0101_0000_0007u64.to_be_bytes());
    quote.signature = attester::signature(&attester.key, &quote.attest);
    let evidence = Evidence::decode(&attester.wrap(&challenge, &quote)).unwrap();
    let evidence = evidence.verify(&AwsLc, &attester.lak(), &challenge).unwrap();
    let pcr4 = attester.pcrs().value(4).unwrap();
    let db = digest(&rig("secure-boot-db.der"));
    for (good, bad) in [
        ("quote.restart-count == 3", "quote.restart-count == 0"),
        (
            "quote.firmware-version == \"0x2024010100000007\"",
            "quote.firmware-version == \"0x0000000000000000\"",
        ),
        ("count(quote.pcrs) == 15", "count(quote.pcrs) == 24"),
        (
            &format!("some it in quote.pcrs: it.pcr == 4 and it.digest == {pcr4}"),
            &format!("some it in quote.pcrs: it.pcr == 5 and it.digest == {pcr4}"),
        ),
        ("ima.unquoted == 0", "ima.unquoted > 0"),
        ("device.tenant == \"acme\"", "device.tenant == \"globex\""),
        (&format!("every boot.authorities in [{db}]"), "boot.authorities is empty"),
    ] {
        for (require, wanted) in [(good, Status::Passed), (bad, Status::Failed)] {
            let text = format!(
                "policy p version 1 schema 1 control c {{ title \"t\" severity low \
                 require {require} else hardware warning }}"
            );
            let policy =
                Policy::parse(&text, &catalog()).unwrap_or_else(|fault| panic!("{fault:?}"));
            let verifier = Verifier::new(policy, references());
            let appraisal = verifier.appraise(&AwsLc, &evidence, &device(), NOW);
            assert_eq!(appraisal.controls[0].status, wanted, "{require}");
        }
    }
}

fn pcr_document(version: u64, values: &[(u32, Digest)]) -> Document {
    let mut document = Document::new("acme", "registers", version);
    document.values.extend(values.iter().map(|(index, value)| register(*index, *value)));
    document
}

#[test]
fn registers_are_compared_with_their_reference_values_or_nothing_is_known() {
    let (held, sha384) = (attester().pcrs(), touchstone_crypto::HashAlgorithm::Sha384);
    let good = |index| (index, held.value(index).unwrap());
    let other = digest(b"other");
    let of_sha384 = AwsLc.hash(sha384, &[b"other"]);
    let cases = [
        (vec![good(4), good(7)], Status::Passed, ""),
        (vec![(4, other), good(4)], Status::Passed, ""),
        (vec![(4, of_sha384), good(4)], Status::Passed, ""),
        (vec![(4, other), good(7)], Status::Failed, "PCR 4 is sha256:"),
        (vec![good(7), (4, of_sha384)], Status::Unknown, "of PCR 4 are of sha384, the quote is of"),
        (vec![(7, other), (4, of_sha384)], Status::Failed, "PCR 7 is sha256:"),
        (vec![good(7), (15, other)], Status::Unknown, "PCR 15 was not quoted"),
        (vec![], Status::Unknown, "no reference values of pcr are in force"),
    ];
    for (values, wanted, words) in cases {
        let references = with(vec![pcr_document(1, &values)]);
        let (status, why) =
            judged(&attester(), references, "require boot.unexpected-pcrs is empty");
        assert_eq!(status, wanted, "{values:?}: {why}");
        assert!(why.contains(words), "{why}");
    }
}

#[test]
fn values_that_were_compared_with_nothing_are_told_kind_by_kind() {
    let policy = "policy p version 1 schema 1 control c { title \"t\" severity low \
                  require boot.unexpected-pcrs is empty and boot.command-line in \
                  reference.command-lines else configuration contraindicated }";
    let challenge = challenge();
    let attester = attester();
    let evidence = Evidence::decode(&attester.evidence(&challenge)).unwrap();
    let evidence = evidence.verify(&AwsLc, &attester.lak(), &challenge).unwrap();
    let never = |document: &Document| {
        let policy = Policy::parse(policy, &catalog()).unwrap();
        let verifier = Verifier::new(policy, with(vec![document.clone()]));
        let set = Set::new(&AwsLc, document);
        verifier.never_evaluated(&AwsLc, &evidence, &device(), &set)
    };
    let mut document = pcr_document(1, &[(4, digest(b"a value"))]);
    document.command_line("quiet");
    assert_eq!(never(&document), Vec::<String>::new());
    document.firmware("OVMF", digest(b"firmware"));
    let told = never(&document);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("no control compares values of firmware"), "{told:?}");

    let sha384 = AwsLc.hash(touchstone_crypto::HashAlgorithm::Sha384, &[b"a value"]);
    let told = never(&pcr_document(1, &[(4, sha384)]));
    assert_eq!(told, ["nothing to compare values of pcr with: the quote is of sha256"]);
}

#[test]
fn a_claim_that_compares_with_nothing_is_unknown() {
    let text = include_str!("../../../packaging/policies/linux-gateway.policy");
    let parsed = || Policy::parse(text, &catalog()).unwrap_or_else(|fault| panic!("{fault:?}"));
    let mut attester = attester();
    attester.runtime.observations.push(Observation {
        name: "runtime.mapped-files".into(),
        age_ms: 0,
        found: Ok(Observed::List(Vec::new())),
    });
    let nothing = Verifier::new(parsed(), References::new());
    let appraisal = appraise_with(&nothing, &attester, &device());
    let lacking = References::new().unsupplied(&parsed());
    let reads = |name: &str| {
        let policy = parsed();
        let control = policy.controls().iter().find(|control| control.name() == name).unwrap();
        control.claims().iter().any(|claim| lacking.iter().any(|it| it.claim == *claim))
    };
    let mut seen = 0;
    for control in appraisal.controls.iter().filter(|control| reads(&control.name)) {
        assert!(!control.passed(), "{}: {}", control.name, control.reason);
        seen += 1;
    }
    assert!(seen >= 10, "{seen}");

    for require in [
        "boot.missing-revocations is empty",
        "every it in reference.dbx: it in boot.dbx",
        "boot.unexpected-pcrs is empty",
        "boot.outdated is empty",
        "ima.outdated-files is empty",
        "ima.badly-signed is empty",
        "components.outdated is empty",
    ] {
        let (status, why) = judged(&attester, References::new(), &format!("require {require}"));
        assert_eq!(status, Status::Unknown, "{require}: {why}");
        assert!(why.contains("no reference values"), "{require}: {why}");
    }
}

/// What a set demanded is not met because its time is over.
#[test]
fn no_verdict_gets_better_when_a_set_runs_out() {
    let hole = |name: &str, content: &[u8]| {
        let mut document = Document::new("acme", name, 1);
        let list = signature_list(Guid::CERT_SHA256, Guid::SHIM_LOCK, digest(content).as_bytes());
        document.revocations(&AwsLc, &list).unwrap();
        document
    };
    let mut patched = attester();
    let list = signature_list(Guid::CERT_SHA256, Guid::SHIM_LOCK, digest(b"b").as_bytes());
    let data = variable_data(Guid::IMAGE_SECURITY_DATABASE, "dbx", &list);
    with_event(&mut patched, DBX, |event| measured(event, data));
    let held = attester().pcrs();
    let (good, bad) = ((0, held.value(0).unwrap()), (4, digest(b"other")));
    let mut others = pcr_document(1, &[good]);
    others.component = "others".into();
    let cases = [
        ("boot.missing-revocations is empty", hole("a", b"a"), hole("b", b"b")),
        ("every it in reference.dbx: it in boot.dbx", hole("a", b"a"), hole("b", b"b")),
        ("boot.unexpected-pcrs is empty", pcr_document(1, &[bad]), others),
        ("components.outdated is empty", sensor(3), hole("b", b"b")),
    ];
    for (require, mut ends, stays) in cases {
        let require = format!("require {require}");
        let of = |ends: Document| judged(&patched, with(vec![ends, stays.clone()]), &require);
        assert_eq!(of(ends.clone()).0, Status::Failed, "{require}");
        ends.valid_until = Some(NOW);
        let (status, why) = of(ends);
        assert_ne!(status, Status::Passed, "{require}: {why}");
    }
}

#[test]
fn what_booted_and_is_known_by_a_superseded_version_only_is_told() {
    let log = EventLog::decode(&rig("binary_bios_measurements")).unwrap();
    let image = log.events()[IMAGE].digest(SHA256).unwrap();
    let document = |version, digest| {
        let mut document = Document::new("acme", "kernel", version);
        document.values.push(ReferenceValue::BootImage { name: "uki.efi".into(), digest });
        document
    };
    let mut newer = document(2, digest(b"another image"));
    let of = |documents: &[Document]| {
        let mut references = References::new();
        for document in documents {
            references.merge(&AwsLc, &Verified::vouch(document.clone())).unwrap();
        }
        judged(&attester(), references, "require boot.outdated is empty")
    };
    assert_eq!(of(&[document(1, image), newer.clone()]).0, Status::Passed, "both are good");
    newer.supersedes = Some(Supersedes { good_until: NOW, known_until: NOW + 1 });
    let (status, why) = of(&[document(1, image), newer]);
    assert_eq!(status, Status::Failed);
    let words = "is uki.efi of kernel version 1, which a newer version has superseded";
    assert!(why.contains("event 23 (PCR 4, ") && why.contains(words), "{why}");
}

#[test]
fn a_component_that_no_set_names_may_be_outdated() {
    let mut attester = attester();
    attester.runtime.components.push(Component { name: "stray".into(), version: 9 });
    let (status, why) = judged(&attester, references(), "require components.outdated is empty");
    assert_eq!(status, Status::Unknown, "{why}");
    assert!(why.contains("component stray is version 9, and no reference values"), "{why}");
    attester.runtime.components[0].version = 1;
    let (status, _) = judged(&attester, references(), "require components.outdated is empty");
    assert_eq!(status, Status::Failed);
}

/// A kernel without an IMA policy, or another list put in place of one.
#[test]
fn a_list_that_ima_did_not_begin_says_nothing() {
    let mut off = attester();
    off.ima_log.clear();
    let mut forged = self::attester();
    forged.ima_log.clear();
    forged.ima_log.extend(ima_entry(APP, digest(b"sensor"), false));
    for attester in [off, forged] {
        for require in
            ["ima.unknown-files is empty", "ima.violations == 0", "ima.badly-signed is empty"]
        {
            let (status, why) =
                judged(&attester, with(vec![more()]), &format!("require {require}"));
            assert_eq!(status, Status::Unknown, "{require}: {why}");
            assert!(why.contains("IMA measured nothing"), "{why}");
        }
    }
}

type Change = fn(&mut DeviceFacts);

#[test]
fn a_device_that_is_not_what_it_should_be_is_caught() {
    let verifier = verifier();
    let changes: [(Change, &str); 3] = [
        (|device| device.onboarded = Some(false), "device.onboarded is false, wanted true"),
        (|device| device.endorsed = Some(false), "device.endorsed is false, wanted true"),
        (|device| device.element_kind = Some("software".into()), "element.kind is \"software\""),
    ];
    for (change, words) in changes {
        let mut device = device();
        change(&mut device);
        let appraisal = appraise_with(&verifier, &attester(), &device);
        assert_caught(&appraisal, "known-instance", &[], &[words]);
        assert_eq!(appraisal.vector.value(Dimension::InstanceIdentity), 97);
    }
}

#[test]
fn old_evidence_and_old_versions_are_a_warning() {
    let mut old = device();
    old.evidence_at = Some(NOW - 61);
    let appraisal = appraise_with(&verifier(), &attester(), &old);
    assert_eq!(appraisal.tier, Tier::Warning, "{}", appraisal.summary());

    let mut outdated = attester();
    outdated.runtime.components[0].version = 1;
    let appraisal = appraise(&outdated);
    assert_eq!(
        appraisal.summary(),
        "warning: up-to-date: component sensor is version 1, the newest release is 2"
    );
}

#[test]
fn evidence_that_cannot_be_what_it_says_fails_closed() {
    // From the future: no age, so no freshness.
    let mut future = device();
    future.evidence_at = Some(NOW + 100);
    let appraisal = appraise_with(&verifier(), &attester(), &future);
    let control = appraisal.failed().find(|control| control.name == "fresh-evidence").unwrap();
    assert_eq!(control.status, Status::Unknown, "not known is neither passed nor failed");

    // Without reference values nothing is known.
    let policy = Policy::parse(POLICY, &catalog()).unwrap();
    let appraisal =
        appraise_with(&Verifier::new(policy, References::new()), &attester(), &device());
    assert_eq!(appraisal.tier, Tier::Contraindicated);

    let appraisal = verifier().appraise_unverified(&Error::NotFresh, &device(), NOW);
    assert_eq!(appraisal.tier, Tier::Contraindicated);
    assert!(Dimension::ALL.iter().all(|dimension| appraisal.vector.value(*dimension) == 99));
    assert!(appraisal.summary().contains("evidence.attest.not-fresh"), "{}", appraisal.summary());
}

#[test]
fn the_policy_crates_example_can_be_judged_with_this_catalogue() {
    let text = include_str!("../../policy/examples/gateway.policy");
    let policy = Policy::parse(text, &catalog()).unwrap_or_else(|faults| panic!("{faults:?}"));
    let appraisal = appraise_with(&Verifier::new(policy, references()), &attester(), &device());
    let failed: Vec<_> = appraisal.failed().map(|control| control.name.as_str()).collect();
    assert_eq!(failed, Vec::<&str>::new(), "{}", appraisal.summary());
}

#[test]
fn what_was_seen_too_long_ago_is_not_known() {
    let strict = POLICY.replace(
        "severity critical\n  require  runtime.code",
        "severity critical\n  \
         fresh    1s\n  require  runtime.code",
    );
    let policy = Policy::parse(&strict, &catalog()).unwrap();
    let verifier = Verifier::new(policy, references());
    let appraisal = appraise_with(&verifier, &attester(), &device());
    let stale = appraisal.failed().next().unwrap();
    assert_eq!((stale.name.as_str(), stale.status), ("code-pages", Status::Unknown));
    let words = "what is known about runtime.code is 2s old, wanted at most 1s";
    assert!(stale.reason.contains(words), "{}", stale.reason);
    assert_eq!(stale.countermeasures, ["alert", "capture", "quarantine", "stop-unit"]);
    let mut now = device();
    now.evidence_at = Some(NOW - 1);
    assert_eq!(appraise_with(&verifier, &attester(), &now).tier, Tier::Affirming);
}

#[test]
fn an_exception_is_told_with_the_result_and_ends() {
    let leave = |until: &str, id: &str| {
        let text = format!(
            "{POLICY}exception lab {{ for known-instance by \"Jane Doe\" because \"a lab device\" \
             until {until} when device.id == \"{id}\" }}"
        );
        let policy = Policy::parse(&text, &catalog()).unwrap();
        let mut device = device();
        device.endorsed = Some(false);
        appraise_with(&Verifier::new(policy, references()), &attester(), &device)
    };
    let excepted = leave("2027-06-01", "device-1");
    assert_eq!((excepted.tier, excepted.failed().count()), (Tier::Affirming, 0));
    let control = &excepted.controls[0];
    assert_eq!((control.status, control.value), (Status::Failed, 0));
    assert_eq!(control.exception.as_deref(), Some("lab"));
    assert!(control.countermeasures.is_empty());
    assert!(control.reason.contains("excepted until 2027-06-01 by Jane Doe"), "{}", control.reason);

    let expired = leave("2027-01-15", "device-1");
    assert_eq!(expired.tier, Tier::Contraindicated);
    let reason = &expired.failed().next().unwrap().reason;
    assert!(reason.contains("the exception `lab` by Jane Doe counts no more"), "{reason}");
    assert_eq!(expired.controls[0].countermeasures, ["alert", "quarantine"]);
    assert_eq!(leave("2027-06-01", "device-2").tier, Tier::Contraindicated);
}

#[test]
fn an_update_adds_values_and_does_not_take_the_old_ones() {
    let mut references = references();
    references.merge(&AwsLc, &Verified::vouch(sensor(3))).unwrap();
    assert_eq!(references.newest("sensor"), Some(3));
    let policy = Policy::parse(POLICY, &catalog()).unwrap();
    let appraisal = appraise_with(&Verifier::new(policy, references), &attester(), &device());
    let failed: Vec<_> = appraisal.failed().map(|control| control.name.as_str()).collect();
    assert_eq!(failed, ["up-to-date"]);
}

/// Nothing of how input was ordered, or of how a map is laid out in memory, shows in a result.
#[test]
fn the_same_input_gives_the_same_octets_to_sign_in_any_order() {
    let mut attester = attester();
    let unknown = ima_entry("/data/app/other", digest(b"other"), false);
    attester.ima_log.extend(unknown);
    attester.ima_log.extend(ima_entry("/data/app/open", digest(b"open"), true));
    let challenge = challenge();
    let octets = attester.evidence(&challenge);
    let signed = |documents: &[Document]| {
        let mut references = References::new();
        for document in documents {
            references.merge(&AwsLc, &Verified::vouch(document.clone())).unwrap();
        }
        let verifier = Verifier::new(Policy::parse(POLICY, &catalog()).unwrap(), references);
        let evidence = Evidence::decode(&octets).unwrap();
        let evidence = evidence.verify(&AwsLc, &attester.lak(), &challenge).unwrap();
        let appraisal = verifier.appraise(&AwsLc, &evidence, &device(), NOW);
        assert_eq!(appraisal.tier, Tier::Contraindicated);
        let ear = Ear::new(&appraisal, &device(), 60).with_nonce(&challenge.nonce);
        (to_json(&ear).unwrap(), to_cbor(&ear).unwrap())
    };
    let first = signed(&[released(), sensor(2)]);
    for turn in 0..12 {
        let mut documents = [released(), sensor(2)];
        for document in &mut documents {
            let len = document.values.len();
            document.values.rotate_left(turn * 5 % len);
            if turn % 3 == 1 {
                document.values.reverse();
            }
        }
        documents.rotate_left(turn % 2);
        assert_eq!(signed(&documents), first, "turn {turn}");
    }
}

/// Something of that type, as an agent would tell it.
fn observed(kind: &Type) -> Observed {
    match kind {
        Type::Boolean => true.into(),
        Type::Integer => 1_i64.into(),
        Type::Digest => digest(b"x").into(),
        Type::Duration => Observed::Span(1500),
        Type::Time => Observed::Time(1_700_000_000),
        Type::List(element) => Observed::list([observed(element)]),
        Type::Record(fields) => Observed::Record(
            fields.iter().map(|(name, kind)| (name.to_string(), observed(kind))).collect(),
        ),
        _ => "x".into(),
    }
}

#[test]
fn claims_that_travelled_are_judged_as_where_they_were_made() {
    let policy = Policy::parse(POLICY, &catalog()).unwrap();
    let unsaid = |claims: &ClaimSet| -> Vec<String> {
        let names = catalog();
        let names = names.claims().map(|(name, _)| name.to_owned());
        names.filter(|name| claims.claim(name).is_none()).collect()
    };
    // An agent of before tells nothing of the system; one of now tells all.
    let (mut attester, mut shimmed) = (attester(), attester());
    with_shim(&mut shimmed, b"sbat,1,2024010900\nshim,4\n");
    let before = unsaid(&claims_of(&shimmed));
    assert!(before.iter().any(|name| name == "system.lockdown"), "{before:?}");
    for name in before {
        let found = Ok(observed(&catalog().claim(&name).unwrap().kind));
        let observation = Observation { name, age_ms: 0, found };
        attester.runtime.observations.push(observation.clone());
        shimmed.runtime.observations.push(observation);
    }
    let unsaid = unsaid(&claims_of(&shimmed));
    assert_eq!(unsaid, Vec::<String>::new(), "every claim of the catalogue is made");
    assert_eq!(tier(&policy.evaluate(&claims_of(&attester))), Tier::Affirming);

    let mut changed = attester;
    changed.ima_log.extend(ima_entry(APP, digest(b"trojan"), false));
    let claims = claims_of(&changed);
    let outcomes = policy.evaluate(&claims);
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.passed()).collect();
    assert_eq!(failed.len(), 1, "{outcomes:?}");
    let here = appraise(&changed);
    assert_eq!(reason(failed[0]), here.failed().next().unwrap().reason);
}

#[test]
fn two_thousand_entries_are_judged_in_milliseconds() {
    let mut attester = attester();
    for at in 0..2000 {
        attester.ima_log.extend(ima_entry(&format!("/usr/lib/{at}"), digest(b"lib"), false));
    }
    let (verifier, challenge) = (verifier(), challenge());
    let bytes = attester.evidence(&challenge);
    let lak = attester.lak();
    let run = || {
        let evidence = Evidence::decode(&bytes).unwrap().verify(&AwsLc, &lak, &challenge).unwrap();
        verifier.appraise(&AwsLc, &evidence, &device(), NOW)
    };
    let start = std::time::Instant::now();
    assert_eq!(run().tier, Tier::Affirming);
    let took = start.elapsed();
    eprintln!("decode, verify and appraise in a debug build: {took:?}");
    assert!(took.as_millis() < 1000, "{took:?}");
}

/// The rig's firmware revokes nothing.
const DBX: usize = 8;

/// What shim measures on its way: its SBAT level, the key that it verified the next image with, and its
/// owner's keys.
fn with_shim(attester: &mut Attester, level: &[u8]) {
    let shim = |events: &[Event], pcr, kind, data: Vec<u8>, octets: &[u8]| {
        let digests = vec![digest(octets)];
        Event { pcr, kind, data, digests, ..events.last().unwrap().clone() }
    };
    let authority = |name: &str, content: &[u8]| variable_data(Guid::SHIM_LOCK, name, content);
    with_events(attester, |events| {
        let (level, key) =
            (authority("SbatLevel", level), authority("Shim", &rig("secure-boot-db.der")));
        let kind = EventType::EFI_VARIABLE_AUTHORITY;
        let added = [
            shim(events, 7, kind, level.clone(), &level),
            shim(events, 7, kind, key.clone(), &key),
            shim(events, 14, EventType::IPL, b"MokList\0".to_vec(), b"a list of keys"),
        ];
        events.extend(added);
    });
}

fn judged(attester: &Attester, references: References, require: &str) -> (Status, String) {
    let text = format!(
        "policy p version 1 schema 1 control c {{ title \"t\" severity low {require} \
         else configuration contraindicated }}"
    );
    let policy = Policy::parse(&text, &catalog()).unwrap();
    let appraisal = appraise_with(&Verifier::new(policy, references), attester, &device());
    (appraisal.controls[0].status, appraisal.controls[0].reason.clone())
}

#[test]
fn a_policy_can_demand_what_shim_refuses() {
    let mut shimmed = attester();
    with_shim(&mut shimmed, b"sbat,1,2024010900\nshim,4\ngrub,3\n");
    let of = |attester: &Attester, require: &str| judged(attester, References::new(), require);
    let passes = |require: &str| assert_eq!(of(&shimmed, require).0, Status::Passed, "{require}");
    passes("require boot.sbat-date >= 2024010900");
    passes("require boot.sbat[\"shim\"] >= 4 and boot.sbat[\"grub\"] == 3");
    passes("require count(boot.shim-authorities) == 1");
    passes("require some entry in boot.shim-variables: entry.name == \"MokList\"");
    let (status, why) = of(&shimmed, "require boot.sbat-date >= 2025000000");
    assert_eq!(status, Status::Failed);
    assert!(why.contains("the SBAT level is of 2024010900: grub,3 sbat,1 shim,4"), "{why}");
    let key = digest(&rig("secure-boot-db.der"));
    passes(&format!("require every boot.shim-authorities in [{key}]"));

    // Without shim, or with a level that cannot be read, nothing is known of it.
    let (status, why) = of(&attester(), "require boot.sbat[\"shim\"] >= 4");
    assert_eq!(status, Status::Unknown);
    assert!(why.contains("no event tells an SBAT level"), "{why}");
    let mut garbled = attester();
    with_shim(&mut garbled, b"shim,9\nsbat,1,2024010900\n");
    assert_eq!(of(&garbled, "require boot.sbat-date >= 1").0, Status::Unknown);
    assert_eq!(of(&garbled, "require boot.contradictions is empty").0, Status::Failed);
    // What was started later cannot add a level of its own.
    with_shim(&mut shimmed, b"sbat,1,2099000000\nshim,9\n");
    let of = |require: &str| judged(&shimmed, References::new(), require).0;
    assert_eq!(of("require boot.sbat-date == 2024010900"), Status::Passed);
    assert_eq!(of("require boot.contradictions is empty"), Status::Failed);
}

#[test]
fn a_policy_can_demand_what_the_firmware_revokes() {
    let (image, certificate) = (digest(b"a loader with a hole"), rig("secure-boot-kek.der"));
    let mut document = Document::new("acme", "revocations", 1);
    let mut lists = signature_list(Guid::CERT_SHA256, Guid::SHIM_LOCK, image.as_bytes());
    lists.extend(signature_list(Guid::CERT_X509, Guid::SHIM_LOCK, &certificate));
    document.revocations(&AwsLc, &lists).unwrap();
    let mut references = References::new();
    references.merge(&AwsLc, &Verified::vouch(document)).unwrap();
    let with_dbx = |content: &[u8]| {
        let mut attester = attester();
        let data = variable_data(Guid::IMAGE_SECURITY_DATABASE, "dbx", content);
        with_event(&mut attester, DBX, |event| measured(event, data));
        attester
    };
    let require =
        "require boot.missing-revocations is empty require every reference.dbx in boot.dbx";
    let of = |attester: &Attester| judged(attester, references.clone(), require);
    assert_eq!(of(&with_dbx(&lists)).0, Status::Passed);
    let (status, why) = of(&with_dbx(&lists[..28 + 16 + 32]));
    assert_eq!(status, Status::Failed);
    assert!(why.contains(&format!("dbx does not revoke {}", digest(&certificate))), "{why}");
    assert_eq!(of(&with_dbx(&[])).0, Status::Failed);
    let (status, why) = of(&with_dbx(&lists[..50]));
    assert_eq!(status, Status::Unknown);
    assert!(why.contains("event 8 (PCR 7): dbx does not parse"), "{why}");
    assert_eq!(document_of(b"no list"), Err(ReferenceError::Revocations));
}

fn document_of(octets: &[u8]) -> Result<(), ReferenceError> {
    Document::new("acme", "revocations", 1).revocations(&AwsLc, octets).map(drop)
}
