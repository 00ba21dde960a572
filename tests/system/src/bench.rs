//! What an appraisal costs, beside the raw cryptography that nobody can save: its signature check
//! and its hashing. Printed as a ratio, never a timed test.

mod policy;

pub use policy::{PolicyCost, policy};

use crate::scene::factory::Factory;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};
use touchstone_appraise::references::{Database, Document, ReferenceValue, References};
use touchstone_appraise::{DeviceFacts, Tier, Verifier};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm, SignatureAlgorithm, Signer, ecdsa};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_evidence::runtime::RuntimeClaims;
use touchstone_evidence::tpm::LakPublic;
use touchstone_evidence::{Challenge, Evidence, History, PcrSelection, QuoteParts, binding};
use touchstone_measure::{ima, tcg::EventLog, tcg::EventType};
use touchstone_policy::Policy;

const EVENT_LOG: &[u8] = include_bytes!("../../vectors/rig/binary_bios_measurements");
const IMA_LOG: &[u8] = include_bytes!("../../vectors/rig/binary_runtime_measurements");
const COMMAND_LINE: &str = include_str!("../../vectors/rig/cmdline.txt");
const SECURE_BOOT_KEYS: [(Database, &[u8]); 3] = [
    (Database::Pk, include_bytes!("../../vectors/rig/secure-boot-pk.der")),
    (Database::Kek, include_bytes!("../../vectors/rig/secure-boot-kek.der")),
    (Database::Db, include_bytes!("../../vectors/rig/secure-boot-db.der")),
];
const POLICY: &str = include_str!("../scene/gateway.policy");
/// What the lab's device has to prove.
const LAB_POLICY: &str = r#"policy lab version 1 schema 1

control boot {
  title    "Only what was released may boot"
  severity critical
  require  boot.secure-boot and boot.contradictions is empty
  require  boot.unknown-images is empty and boot.unknown-measurements is empty
  else     configuration contraindicated
}

control files {
  title    "Only what was released may run"
  severity critical
  require  ima.unknown-files is empty and ima.boot-aggregate
  else     executables contraindicated
}
"#;
const NONCE: [u8; 32] = [7; 32];
const SHA256: HashAlgorithm = HashAlgorithm::Sha256;

/// What was measured for one length of the IMA log.
pub struct Cost {
    /// Entries in the IMA log.
    pub entries: usize,
    /// Decode, verify and appraise.
    pub appraisal: Duration,
    /// One signature check, and the hashing of the same octets.
    pub raw: Duration,
}

/// Measures appraisals of the rig's capture with its IMA log made longer.
pub fn appraisal(entries: usize, rounds: u32) -> Result<Cost> {
    let case = Case::new(entries)?;
    let appraisal = best(rounds, || case.appraise().map(drop))?;
    let raw = best(rounds, || case.raw())?;
    Ok(Cost { entries, appraisal, raw })
}

/// Parts of a device's attestation, each for itself, and the whole.
pub struct LabCost {
    /// Events in the boot log.
    pub events: usize,
    /// Entries in the IMA list.
    pub entries: usize,
    /// Reference values of files.
    pub references: usize,
    /// What the reference values take in memory, once for all devices, in octets.
    pub memory: usize,
    /// Decode, verify and appraise.
    pub appraisal: Duration,
    /// One signature check, and the hashing of the same octets.
    pub raw: Duration,
    /// Decoding and replaying the boot log.
    pub boot_log: Duration,
    /// Ten entries more: decoding them and going on from where the last quoted list ended, with
    /// the signature check.
    pub more: Duration,
    /// The same through the whole verifier: decoding, verifying and appraising evidence that shows
    /// these ten, all of the list judged.
    pub again: Duration,
    /// The signature check and the hashing for these ten.
    pub raw_more: Duration,
}

/// Measures the appraisal of a device of ours that was recorded: Secure Boot, shim, GRUB, a
/// distribution's kernel with `ima_policy=tcb`; its 16 PCRs quoted anew by a key of the bench.
pub fn lab(folder: &Path, rounds: u32) -> Result<LabCost> {
    let read = |name: &str| {
        std::fs::read(folder.join(name)).with_context(|| format!("cannot read {name} of the lab"))
    };
    let event_log = read("binary_bios_measurements")?;
    let ima_log = read("binary_runtime_measurements")?;
    let sums = String::from_utf8(read("sha256sums.txt")?)?;
    let (log, list) = (EventLog::decode(&event_log)?, ima::Log::decode(&ima_log)?);
    let document = recorded(&log, &list, &sums)?;
    let references = document.len();
    let mut values = References::new();
    values.merge(&AwsLc, &Factory::new()?.opened(&document)?)?;
    let memory = values.octets();
    let verifier = Verifier::new(parsed(LAB_POLICY)?, values);
    let quoted: Vec<u32> = (0..16).collect();
    let selection = PcrSelection::new(SHA256, &quoted).context("no such selection")?;
    let case = Case::of(&event_log, &ima_log, selection, verifier)?;
    let verdict = case.appraise()?;
    if verdict.tier != Tier::Affirming {
        bail!("what is timed is not a good device: {}", verdict.summary());
    }
    let ten = ten_more(&list)?;
    Ok(LabCost {
        events: log.events().len(),
        entries: list.len(),
        references,
        memory,
        appraisal: best(rounds, || case.appraise().map(drop))?,
        raw: best(rounds, || case.raw())?,
        boot_log: best(rounds, || {
            black_box(EventLog::decode(&event_log)?.replay(&AwsLc, SHA256));
            Ok(())
        })?,
        again: case.again(&event_log, &ima_log, &ten.octets, rounds)?,
        more: best(rounds, || case.check_signature().and_then(|()| ten.prove()))?,
        raw_more: best(rounds, || case.check_signature().map(|()| ten.hash()))?,
    })
}

/// What a list costs by its length: to read and to replay, without judging it.
pub struct LengthCost {
    /// Entries.
    pub entries: usize,
    /// Octets of the list.
    pub octets: usize,
    /// Decoding and replaying.
    pub replay: Duration,
    /// The hashing alone.
    pub raw: Duration,
    /// What a process grows by at its peak while it does so, in kilobytes.
    pub memory: u64,
}

/// Measures reading and replaying a list of so many entries; `memory_of` another process's
/// [`memory_of`] for the list in that file, because what this one has freed it would use again.
pub fn length(
    entries: usize,
    rounds: u32,
    memory_of: impl FnOnce(&Path) -> Result<u64>,
) -> Result<LengthCost> {
    let (log, _) = longer(entries);
    let file = tempfile::NamedTempFile::new().context("cannot make a file for the list")?;
    std::fs::write(file.path(), &log).context("cannot write the list")?;
    let memory = memory_of(file.path())?;
    let replay = best(rounds, || replay(&log))?;
    let templates = templates(&log)?;
    let raw = best(rounds, || {
        black_box(hash_templates(&templates));
        Ok(())
    })?;
    Ok(LengthCost { entries, octets: log.len(), replay, raw, memory })
}

/// By how many kilobytes this process grows at its peak while it replays the list in a file.
pub fn memory_of(list: &Path) -> Result<u64> {
    let log = std::fs::read(list).context("cannot read the list")?;
    // What is made only once, such as the tables of the cryptography, is no cost of a list.
    replay(IMA_LOG)?;
    // Linux, Documentation/filesystems/proc.rst: the peak begins anew with what is resident now.
    std::fs::write("/proc/self/clear_refs", "5").context("cannot reset the peak of memory")?;
    let before = peak_kilobytes()?;
    replay(&log)?;
    Ok(peak_kilobytes()?.saturating_sub(before))
}

fn replay(log: &[u8]) -> Result<()> {
    black_box(ima::Log::decode(log)?.replay_pcr10(&AwsLc, SHA256));
    Ok(())
}

/// The most memory that this process has had resident.
fn peak_kilobytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.context("no VmHWM in /proc/self/status")?.parse().context("VmHWM is no number")
}

/// Everything that the lab's device showed, and every file of its disk.
fn recorded(log: &EventLog, list: &ima::Log, sums: &str) -> Result<Document> {
    let mut document = Document::new("default", "lab", 1);
    let mut files: BTreeMap<String, Vec<Digest>> = BTreeMap::new();
    for line in sums.lines() {
        let (hex, path) = line.split_once("  ").context("no line of sha256sum")?;
        files.entry(path.to_owned()).or_default().push(
            Digest::parse(&format!("sha256:{hex}")).map_err(|error| anyhow::anyhow!("{error}"))?,
        );
    }
    for entry in list.entries().skip(1) {
        let digests = files.entry(entry.path().into_owned()).or_default();
        digests.extend(entry.digest().filter(|digest| !digests.contains(digest)));
    }
    for event in log.events() {
        let (Some(digest), name) = (event.digest(SHA256), format!("event {}", event.index)) else {
            continue;
        };
        document.values.push(ReferenceValue::BootImage { name: name.clone(), digest });
        document.values.push(ReferenceValue::Measurement { name, digest });
    }
    document.values.extend(
        files.into_iter().map(|(path, digests)| ReferenceValue::FileVariants { path, digests }),
    );
    Ok(document)
}

/// Ten entries that came after a list.
struct Ten {
    octets: Vec<u8>,
    templates: Vec<Vec<u8>>,
    start: Digest,
    value: Digest,
    first: u32,
}

fn ten_more(list: &ima::Log) -> Result<Ten> {
    let octets = entries(10).0;
    let templates = templates(&octets)?;
    let start = list.replay_pcr10(&AwsLc, SHA256);
    let value = templates.iter().fold(start, |value, template| extended(&value, template));
    Ok(Ten { octets, templates, start, value, first: u32::try_from(list.len())? })
}

impl Ten {
    /// Reads the entries and replays them from the last quoted value on.
    fn prove(&self) -> Result<()> {
        let format = ima::Format::default();
        let mut replay = ima::Replay::resume(self.start, ima::Extension::Hashed, self.first);
        for entry in ima::Entries::new(&self.octets, format).counted_from(self.first) {
            replay.extend(&AwsLc, &entry?);
        }
        if replay.value() != self.value {
            bail!("the ten entries do not lead to the quoted value");
        }
        Ok(())
    }

    fn hash(&self) {
        let value =
            self.templates.iter().fold(self.start, |value, template| extended(&value, template));
        black_box(value);
    }
}

fn extended(value: &Digest, template: &[u8]) -> Digest {
    let digest = AwsLc.hash(SHA256, &[template]);
    AwsLc.hash(SHA256, &[value.as_bytes(), digest.as_bytes()])
}

fn hash_templates(templates: &[Vec<u8>]) -> Digest {
    templates.iter().fold(Digest::zero(SHA256), |value, template| extended(&value, template))
}

struct Case {
    lak: SoftSigner,
    lak_public: LakPublic,
    attest: Vec<u8>,
    signature_der: Vec<u8>,
    octets: Vec<u8>,
    templates: Vec<Vec<u8>>,
    events: Vec<Digest>,
    challenge: Challenge,
    verifier: Verifier,
}

impl Case {
    fn new(entries: usize) -> Result<Self> {
        let (ima_log, files) = longer(entries);
        let log = EventLog::decode(EVENT_LOG)?;
        let list = ima::Log::decode(&ima_log)?;
        let verifier = verifier(&log, &list, files)?;
        let case = Self::of(EVENT_LOG, &ima_log, PcrSelection::boot(), verifier)?;
        let verdict = case.appraise()?;
        if verdict.controls.len() < 5 {
            bail!("the policy judged only {} controls", verdict.controls.len());
        }
        Ok(case)
    }

    fn of(
        event_log: &[u8],
        ima_log: &[u8],
        selection: PcrSelection,
        verifier: Verifier,
    ) -> Result<Self> {
        let log = EventLog::decode(event_log)?;
        let lak = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
        let (parts, runtime, signature_der) =
            signed(event_log, &ima::Log::decode(ima_log)?, &selection, &lak)?;
        let attest = parts.attest.clone();
        Ok(Self {
            lak_public: LakPublic::from_native(&attestation_key(lak.spki_der())?)?,
            octets: Evidence::encode(&parts, event_log, ima_log, &runtime, &[]),
            templates: templates(ima_log)?,
            events: log.events().iter().filter_map(|event| event.digest(SHA256)).collect(),
            challenge: Challenge { nonce: NONCE.to_vec(), selection, ima: None, part: None },
            verifier,
            lak,
            attest,
            signature_der,
        })
    }

    fn appraise(&self) -> Result<touchstone_appraise::Appraisal> {
        let evidence =
            Evidence::decode(&self.octets)?.verify(&AwsLc, &self.lak_public, &self.challenge)?;
        Ok(black_box(self.verifier.appraise(&AwsLc, &evidence, &device(), 1_800_000_001)))
    }

    /// The device attests again, ten entries later, and shows these.
    fn again(&self, event_log: &[u8], ima_log: &[u8], ten: &[u8], rounds: u32) -> Result<Duration> {
        let decoded = |octets: &[u8]| Evidence::decode(octets);
        let first = decoded(&self.octets)?.verify(&AwsLc, &self.lak_public, &self.challenge)?;
        let history = History::of(&first).context("nothing was proven")?;
        let (device, now) = (device(), 1_800_000_001);
        let (_, judged) = self.verifier.appraise_after(&AwsLc, &first, &device, now, None);
        let entries = history.mark().context("no list was proven")?.entries;
        let list = ima::Log::decode(&[ima_log, ten].concat())?;
        let part = list.octets_from(usize::try_from(entries)?);
        let (parts, runtime, _) = signed(event_log, &list, &self.challenge.selection, &self.lak)?;
        let octets = Evidence::encode_from(&parts, event_log, (entries, part), &runtime, &[]);
        best(rounds, || {
            let evidence = decoded(&octets)?;
            let (lak, history) = (&self.lak_public, Some(&history));
            let evidence = evidence.verify_after(&AwsLc, lak, &self.challenge, history)?;
            let known = judged.as_ref();
            black_box(self.verifier.appraise_after(&AwsLc, &evidence, &device, now, known));
            Ok(())
        })
    }

    /// The signature check and the hashing that every verifier has to do.
    fn raw(&self) -> Result<()> {
        self.check_signature()?;
        let mut pcr = hash_templates(&self.templates);
        for event in &self.events {
            pcr = AwsLc.hash(SHA256, &[pcr.as_bytes(), event.as_bytes()]);
        }
        black_box(pcr);
        Ok(())
    }
}

impl Case {
    fn check_signature(&self) -> Result<()> {
        let key = self.lak.spki_der();
        Ok(AwsLc.verify(self.lak.algorithm(), key, &self.attest, &self.signature_der)?)
    }
}

fn device() -> DeviceFacts {
    DeviceFacts {
        id: "dev-bench".into(),
        tenant: "default".into(),
        onboarded: Some(true),
        endorsed: Some(true),
        proofs: Some(vec!["endorsement-key".into()]),
        element_kind: Some("tpm2".into()),
        evidence_at: Some(1_800_000_000),
    }
}

/// A quote of what the logs lead to, the run-time claims that it binds, and its signature in DER.
fn signed(
    event_log: &[u8],
    list: &ima::Log,
    selection: &PcrSelection,
    lak: &SoftSigner,
) -> Result<(QuoteParts, Vec<u8>, Vec<u8>)> {
    let mut pcrs = EventLog::decode(event_log)?.replay(&AwsLc, SHA256);
    pcrs.set(10, list.replay_pcr10(&AwsLc, SHA256));
    let composite = pcrs.composite(&AwsLc, SHA256, &selection.pcrs).context("a PCR is missing")?;
    let runtime = RuntimeClaims {
        agent_version: "0.1.0".into(),
        command_line: COMMAND_LINE.into(),
        ..RuntimeClaims::default()
    }
    .encode();
    let attest = quote(&binding(&AwsLc, &NONCE, &runtime), selection, composite.as_bytes())?;
    let der = lak.sign(&attest)?;
    let signature = tpmt_ecdsa(&der)?;
    Ok((QuoteParts { attest, signature }, runtime, der))
}

/// The shortest of some rounds: what it costs when nothing else disturbs.
fn best(rounds: u32, mut work: impl FnMut() -> Result<()>) -> Result<Duration> {
    let mut shortest = Duration::MAX;
    for _ in 0..rounds {
        let start = Instant::now();
        work()?;
        shortest = shortest.min(start.elapsed());
    }
    Ok(shortest)
}

/// The capture's IMA log with entries for files of our own behind it.
fn longer(entries: usize) -> (Vec<u8>, Vec<(String, Digest)>) {
    let (more, files) = self::entries(entries);
    ([IMA_LOG, &more].concat(), files)
}

/// Entries for files of our own, as a kernel writes them.
fn entries(count: usize) -> (Vec<u8>, Vec<(String, Digest)>) {
    let mut log = Vec::new();
    let mut files = Vec::with_capacity(count);
    for number in 0..count {
        let path = format!("/data/app/file-{number}");
        let digest = AwsLc.hash(SHA256, &[path.as_bytes()]);
        let mut data = field(&[b"sha256:\0", digest.as_bytes()].concat());
        data.extend(field(format!("{path}\0").as_bytes()));
        log.extend(10u32.to_le_bytes());
        log.extend(AwsLc.hash(HashAlgorithm::Sha1, &[&data]).as_bytes());
        log.extend(field(b"ima-ng"));
        log.extend(field(&data));
        files.push((path, digest));
    }
    (log, files)
}

fn field(octets: &[u8]) -> Vec<u8> {
    let len = u32::try_from(octets.len()).unwrap_or(u32::MAX);
    [&len.to_le_bytes(), octets].concat()
}

/// The template data of every entry: what is hashed.
fn templates(log: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut rest = log;
    let mut out = Vec::new();
    let take = |rest: &mut &[u8], len: usize| -> Result<Vec<u8>> {
        let (head, tail) = rest.split_at_checked(len).context("the IMA log ends too early")?;
        *rest = tail;
        Ok(head.to_vec())
    };
    let length =
        |octets: &[u8]| -> Result<usize> { Ok(u32::from_le_bytes(octets.try_into()?).try_into()?) };
    while !rest.is_empty() {
        take(&mut rest, 24)?;
        let name = length(&take(&mut rest, 4)?)?;
        take(&mut rest, name)?;
        let data = length(&take(&mut rest, 4)?)?;
        out.push(take(&mut rest, data)?);
    }
    Ok(out)
}

/// A `TPMS_ATTEST` of type quote (TPM 2.0 Library Part 2 §10.12.8), as a TPM would make it.
fn quote(extra: &[u8], selection: &PcrSelection, digest: &[u8]) -> Result<Vec<u8>> {
    let sized = |octets: &[u8]| -> Result<Vec<u8>> {
        Ok([&u16::try_from(octets.len())?.to_be_bytes()[..], octets].concat())
    };
    let mut bitmap = 0u32;
    selection.pcrs.iter().for_each(|pcr| bitmap |= 1 << pcr);
    let mut out = vec![0xff, b'T', b'C', b'G', 0x80, 0x18];
    out.extend(sized(&[&[0x00, 0x0b][..], &[0; 32]].concat())?);
    out.extend(sized(extra)?);
    out.extend([0; 17]);
    out.extend([0; 8]);
    out.extend([0, 0, 0, 1, 0x00, 0x0b, 3]);
    out.extend(&bitmap.to_le_bytes()[..3]);
    out.extend(sized(digest)?);
    Ok(out)
}

/// The `TPMT_PUBLIC` of a restricted P-256 signing key, as a TPM would describe it.
fn attestation_key(spki_der: &[u8]) -> Result<Vec<u8>> {
    let point = spki_der.last_chunk::<64>().context("no P-256 key")?;
    let (x, y) = point.split_at(32);
    let head = [0, 0x23, 0, 0x0b, 0, 0x05, 0, 0x72, 0, 0, 0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10];
    Ok([&head[..], &[0, 32], x, &[0, 32], y].concat())
}

/// A `TPMT_SIGNATURE` with ECDSA and SHA-256.
fn tpmt_ecdsa(der: &[u8]) -> Result<Vec<u8>> {
    let fixed = ecdsa::der_to_fixed(der, 32)?;
    let (r, s) = fixed.split_at(32);
    Ok([&[0x00, 0x18, 0x00, 0x0b, 0, 32][..], r, &[0, 32], s].concat())
}

/// The scene's policy with reference values that say yes to the capture.
fn verifier(log: &EventLog, list: &ima::Log, files: Vec<(String, Digest)>) -> Result<Verifier> {
    let mut document = Document::new("default", "bench", 1);
    document.command_line(COMMAND_LINE).file_scope("/data/app/");
    for (database, key) in SECURE_BOOT_KEYS {
        document.secure_boot_key(&AwsLc, database, key);
    }
    let images =
        log.events().iter().filter(|event| event.kind == EventType::EFI_BOOT_SERVICES_APPLICATION);
    for digest in images.filter_map(|event| event.digest(SHA256)) {
        document.values.push(ReferenceValue::BootImage { name: "capture".into(), digest });
    }
    for (path, digest) in files {
        document.values.push(ReferenceValue::File { path, digest });
    }
    for entry in list.entries() {
        let (path, Some(digest)) = (entry.path().into_owned(), entry.digest()) else { continue };
        document.values.push(ReferenceValue::File { path, digest });
    }
    let mut references = References::new();
    let factory = Factory::new()?;
    references.merge(&AwsLc, &factory.opened(&document)?)?;
    Ok(Verifier::new(parsed(POLICY)?, references))
}

fn parsed(text: &str) -> Result<Policy> {
    Policy::parse(text, &touchstone_appraise::catalog())
        .map_err(|faults| anyhow::anyhow!("the bench's policy: {faults:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_timed_is_a_real_appraisal() {
        let cost = appraisal(10, 1).unwrap();
        assert_eq!(cost.entries, 10);
        assert!(cost.appraisal > Duration::ZERO && cost.raw > Duration::ZERO);
    }
}
