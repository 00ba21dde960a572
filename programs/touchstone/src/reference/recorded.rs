//! A device that is good now: what its quote proves becomes reference values, marked as recorded.

use crate::answer::{Answer, Failure};
use crate::cli::RecordedBoot;
use crate::files::{self, LARGE, SMALL};
use std::collections::BTreeMap;
use std::path::Path;
use touchstone_appraise::references::{Database, Document, ReferenceValue};
use touchstone_crypto::Digest;
use touchstone_crypto_awslc::AwsLc;
use touchstone_evidence::claims::{BootClaims, Key};
use touchstone_evidence::tpm::Expected;
use touchstone_evidence::tpm2_tools::{self, PcrFile};
use touchstone_evidence::{Claims, Error, Recorded, claims};
use touchstone_measure::{ima, tcg::EventLog};

/// PCRs that are the same after every good boot: firmware, its configuration and boot path, Secure
/// Boot, the kernel and what it is told. Not IMA's, and none that the running system extends.
const BOOT: [u32; 11] = [0, 1, 2, 3, 4, 6, 7, 9, 11, 12, 13];

/// Adds what a quote and its logs prove.
pub(super) fn take(
    answer: Answer,
    document: &mut Document,
    boot: &RecordedBoot,
    wants: impl Fn(&str) -> bool,
) -> Result<Answer, Failure> {
    let (Some(quote), Some(signature), Some(pcrs), Some(ak), Some(nonce)) =
        (&boot.quote, &boot.signature, &boot.pcrs, &boot.ak, &boot.nonce)
    else {
        return Ok(answer);
    };
    let key = read(ak, SMALL, tpm2_tools::attestation_key)?;
    let (attest, signature) = (files::read(quote, SMALL)?, files::read(signature, SMALL)?);
    let log = |path: &Path| read(path, LARGE, |octets| Ok(EventLog::decode(octets)?));
    let list = |path: &Path| read(path, LARGE, |octets| Ok(files::ima_list(octets)?));
    let recorded = Recorded {
        attest: &attest,
        signature: &signature,
        pcrs: read(pcrs, SMALL, PcrFile::decode)?,
        event_log: boot.event_log.as_deref().map(log).transpose()?,
        ima_log: boot.ima_log.as_deref().map(list).transpose()?,
    };
    let (evidence, _) =
        recorded.verify(&AwsLc, &Expected::new(&key, &nonce.0)).map_err(|error| {
            let next = "give the logs and the quote of one moment, and the nonce of that quote";
            Failure::unknown(
                error.code(),
                format!("the recorded boot is not proven: {error}"),
                next,
            )
        })?;
    let Some(claims) = claims(&AwsLc, &evidence) else {
        let message = "the quote proves no PCR values";
        return Err(Failure::unknown("reference.recorded", message, "quote PCRs 0 to 14"));
    };
    let before = document.recorded.len();
    registers(document, &claims);
    if let Some(boot) = &claims.boot {
        events(document, boot);
    }
    if let Some(list) = claims.ima {
        entries(document, list, wants);
    }
    document.recorded.sort_unstable();
    document.recorded.dedup();
    Ok(answer.with("recorded", document.recorded.len() - before))
}

fn read<T>(
    path: &Path,
    limit: u64,
    decode: impl FnOnce(&[u8]) -> Result<T, Error>,
) -> Result<T, Failure> {
    decode(&files::read(path, limit)?).map_err(|error| {
        let next = "give the files that tpm2_quote and the kernel wrote; see --help";
        Failure::unknown(error.code(), format!("{}: {error}", path.display()), next)
    })
}

fn registers(document: &mut Document, claims: &Claims<'_>) {
    for (index, value) in claims.pcrs().filter(|(index, _)| BOOT.contains(index)) {
        document.recorded.push(ReferenceValue::Pcr { index, value });
        if index == 0 {
            let firmware = ReferenceValue::Firmware { name: "firmware".into(), pcr0: value };
            document.recorded.push(firmware);
        }
    }
}

fn events(document: &mut Document, boot: &BootClaims) {
    let mut keys = |keys: &Option<Vec<Key>>, database| {
        let values = keys.iter().flatten().map(|key| {
            let fingerprint = key.fingerprint;
            ReferenceValue::SecureBootKey { database, fingerprint }
        });
        document.recorded.extend(values);
    };
    keys(&boot.platform_keys, Database::Pk);
    keys(&boot.key_exchange_keys, Database::Kek);
    keys(&boot.signature_db, Database::Db);
    let images = boot.images.iter().map(|image| {
        let name = if image.path.is_empty() { image.kind.to_string() } else { image.path.clone() };
        ReferenceValue::BootImage { name, digest: image.digest }
    });
    document.recorded.extend(images);
    let others = boot.others.iter().map(|other| {
        let name = other.text.chars().filter(|c| !c.is_control()).take(200).collect();
        ReferenceValue::Measurement { name, digest: other.digest }
    });
    document.recorded.extend(others);
    let lines = boot.command_lines.iter().filter_map(|line| line.text.clone());
    document.recorded.extend(lines.map(|text| ReferenceValue::CommandLine { text }));
}

fn entries(document: &mut Document, list: &ima::Log, wants: impl Fn(&str) -> bool) {
    let mut files: BTreeMap<String, Vec<Digest>> = BTreeMap::new();
    let measured = list.entries().filter(|entry| !entry.is_boot_aggregate() && !entry.violation);
    for entry in measured {
        let (path, Some(digest)) = (entry.path(), entry.digest()) else { continue };
        if wants(&path) {
            let digests = files.entry(path.into_owned()).or_default();
            if !digests.contains(&digest) {
                digests.push(digest);
            }
        }
    }
    document.recorded.extend(files.into_iter().map(|(path, digests)| match digests.as_slice() {
        [digest] => ReferenceValue::File { path, digest: *digest },
        _ => ReferenceValue::FileVariants { path, digests },
    }));
}
