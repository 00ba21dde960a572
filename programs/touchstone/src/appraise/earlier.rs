//! The last known moment of a TPM, from an earlier answer of this program.

use crate::answer::{Failure, hex};
use crate::files::{self, SMALL};
use serde::Deserialize;
use std::path::Path;
use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_evidence::tpm::{AttestationKey, ClockInfo, Moment};
use touchstone_policy::Policy;

#[derive(Deserialize)]
struct Earlier {
    schema: String,
    key: Key,
    quote: Option<Quote>,
    policy: Option<String>,
}

#[derive(Deserialize)]
struct Key {
    spki_sha256: String,
}

#[derive(Deserialize)]
struct Quote {
    clock: u64,
    clock_safe: bool,
    reset_count: u32,
    restart_count: u32,
    firmware_version: String,
}

/// How this program names a key in its answers.
pub(super) fn fingerprint(key: &AttestationKey) -> String {
    hex(AwsLc.hash(HashAlgorithm::Sha256, &[key.spki_der()]).as_bytes())
}

/// That the policy is not an earlier version of the one that judged then.
pub(super) fn follows(path: &Path, policy: &Policy) -> Result<(), Failure> {
    let earlier = read(path)?;
    let before = earlier.policy.as_deref().and_then(|id| id.rsplit_once('/'));
    let version = before.filter(|(name, _)| *name == policy.name());
    let version = version.and_then(|(_, version)| version.parse::<u64>().ok());
    match version {
        Some(before) if before > policy.version() => {
            let (name, now) = (policy.name(), policy.version());
            let message = format!("version {before} of {name} has judged before, this is {now}");
            let next = format!("give version {before} of it, or a later one");
            Err(Failure::unknown("touchstone.appraise.policy-rollback", message, next))
        }
        _ => Ok(()),
    }
}

pub(super) fn moment(path: &Path, key: &AttestationKey) -> Result<Moment, Failure> {
    let other = |why: &str| other(path, why);
    let earlier = read(path)?;
    if earlier.key.spki_sha256 != fingerprint(key) {
        return Err(other("an answer about another key"));
    }
    let quote = earlier.quote.ok_or_else(|| other("an answer about a quote that was refused"))?;
    let version = quote.firmware_version.trim_start_matches("0x");
    Ok(Moment {
        clock: ClockInfo {
            clock: quote.clock,
            reset_count: quote.reset_count,
            restart_count: quote.restart_count,
            safe: quote.clock_safe,
        },
        firmware_version: u64::from_str_radix(version, 16)
            .map_err(|_| other("no firmware version"))?,
    })
}

fn read(path: &Path) -> Result<Earlier, Failure> {
    let earlier: Earlier = serde_json::from_slice(&files::read(path, SMALL)?)
        .map_err(|error| other(path, &format!("no earlier answer: {error}")))?;
    if earlier.schema != "touchstone.appraise/1" {
        return Err(other(path, "an answer of another schema"));
    }
    Ok(earlier)
}

fn other(path: &Path, why: &str) -> Failure {
    let next = "give what `touchstone appraise --json` printed about a good quote of this key";
    Failure::unknown("touchstone.appraise.after", format!("{}: {why}", path.display()), next)
}
