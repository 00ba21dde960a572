//! What an appraisal costs, beside the raw cryptography that nobody can save: its signature check
//! and its hashing. Printed as a ratio, never a timed test.

use crate::scene::factory::Factory;
use anyhow::{Context, Result, bail};
use std::hint::black_box;
use std::time::{Duration, Instant};
use touchstone_appraise::references::{Database, Document, ReferenceValue, References};
use touchstone_appraise::{DeviceFacts, Verifier};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm, SignatureAlgorithm, Signer, ecdsa};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_evidence::runtime::RuntimeClaims;
use touchstone_evidence::tpm::LakPublic;
use touchstone_evidence::{Challenge, Evidence, PcrSelection, QuoteParts, binding};
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
        let mut pcrs = log.replay(&AwsLc, SHA256);
        pcrs.set(10, list.replay_pcr10(&AwsLc, SHA256));
        let selection = PcrSelection::boot();
        let composite =
            pcrs.composite(&AwsLc, SHA256, &selection.pcrs).context("a PCR is missing")?;
        let runtime = RuntimeClaims {
            agent_version: "0.1.0".into(),
            command_line: COMMAND_LINE.into(),
            ..RuntimeClaims::default()
        }
        .encode();
        let lak = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
        let attest = quote(&binding(&AwsLc, &NONCE, &runtime), &selection, composite.as_bytes())?;
        let signature_der = lak.sign(&attest)?;
        let parts = QuoteParts { attest: attest.clone(), signature: tpmt_ecdsa(&signature_der)? };
        let case = Self {
            lak_public: LakPublic::from_native(&attestation_key(lak.spki_der())?)?,
            octets: Evidence::encode(&parts, EVENT_LOG, &ima_log, &runtime, &[]),
            templates: templates(&ima_log)?,
            events: log.events().iter().filter_map(|event| event.digest(SHA256)).collect(),
            challenge: Challenge { nonce: NONCE.to_vec(), selection },
            verifier: verifier(&log, &list, files)?,
            lak,
            attest,
            signature_der,
        };
        let verdict = case.appraise()?;
        if verdict.controls.len() < 5 {
            bail!("the policy judged only {} controls", verdict.controls.len());
        }
        Ok(case)
    }

    fn appraise(&self) -> Result<touchstone_appraise::Appraisal> {
        let evidence =
            Evidence::decode(&self.octets)?.verify(&AwsLc, &self.lak_public, &self.challenge)?;
        let device = DeviceFacts {
            id: "dev-bench".into(),
            tenant: "default".into(),
            onboarded: Some(true),
            endorsed: Some(true),
            element_kind: Some("tpm2".into()),
            evidence_at: Some(1_800_000_000),
        };
        Ok(black_box(self.verifier.appraise(&AwsLc, &evidence, &device, 1_800_000_001)))
    }

    /// The signature check and the hashing that every verifier has to do.
    fn raw(&self) -> Result<()> {
        let key = self.lak.spki_der();
        AwsLc.verify(self.lak.algorithm(), key, &self.attest, &self.signature_der)?;
        let mut pcr = Digest::zero(SHA256);
        for template in &self.templates {
            let digest = AwsLc.hash(SHA256, &[template]);
            pcr = AwsLc.hash(SHA256, &[pcr.as_bytes(), digest.as_bytes()]);
        }
        for event in &self.events {
            pcr = AwsLc.hash(SHA256, &[pcr.as_bytes(), event.as_bytes()]);
        }
        black_box(pcr);
        Ok(())
    }
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
    let mut log = IMA_LOG.to_vec();
    let mut files = Vec::with_capacity(entries);
    for number in 0..entries {
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
    references.merge(&factory.opened(&document)?)?;
    let policy = Policy::parse(POLICY, &touchstone_appraise::catalog())
        .map_err(|faults| anyhow::anyhow!("the scene's policy: {faults:?}"))?;
    Ok(Verifier::new(policy, references))
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
