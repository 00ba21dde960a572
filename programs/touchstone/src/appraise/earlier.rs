//! The last known moment of a TPM, from an earlier answer of this program.

use crate::answer::{Failure, hex};
use crate::files::{self, SMALL};
use serde::Deserialize;
use std::path::Path;
use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_evidence::tpm::{AttestationKey, ClockInfo, Moment};

#[derive(Deserialize)]
struct Earlier {
    schema: String,
    key: Key,
    quote: Option<Quote>,
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

pub(super) fn moment(path: &Path, key: &AttestationKey) -> Result<Moment, Failure> {
    let shown = path.display();
    let other = |why: &str| {
        let next = "give what `touchstone appraise --json` printed about a good quote of this key";
        Failure::unknown("touchstone.appraise.after", format!("{shown}: {why}"), next)
    };
    let earlier: Earlier = serde_json::from_slice(&files::read(path, SMALL)?)
        .map_err(|error| other(&format!("no earlier answer: {error}")))?;
    if earlier.schema != "touchstone.appraise/1" {
        return Err(other("an answer of another schema"));
    }
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
