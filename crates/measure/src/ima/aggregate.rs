//! The boot aggregate: the first entry of every list, a digest over the PCRs that hold the boot.

use super::entry::Entry;
use crate::{PCR_COUNT, Pcrs};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};

/// What a boot aggregate turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootAggregate {
    /// The digest over these PCRs, 0 to the one named.
    Over {
        /// 7, or since Linux 5.8 and with another hash than SHA-1, 9.
        last: u32,
    },
    /// Zeros: the kernel found no TPM when IMA started.
    WithoutTpm,
    /// Another digest than that of these PCRs.
    Different,
    /// It cannot be checked: no values of its bank are known, or its algorithm is not known here.
    Unknown,
}

/// Compares the boot aggregate with PCR values. The kernel takes the values of the bank of
/// `ima_hash`, of SHA-256 or of SHA-1, the first that the TPM has, and hashes them with the same
/// algorithm; kernels before 5.8 take SHA-1's whatever `ima_hash` is. `banks` are the values that
/// are known, of any banks.
pub fn boot_aggregate(crypto: &dyn Crypto, entry: &Entry<'_>, banks: &[&Pcrs]) -> BootAggregate {
    let Some(told) = entry.file_digest() else { return BootAggregate::Different };
    if told.octets.iter().all(|octet| *octet == 0) {
        return BootAggregate::WithoutTpm;
    }
    let Some(digest) = entry.digest() else { return BootAggregate::Unknown };
    for pcrs in banks {
        for last in [9, 7] {
            if over(crypto, pcrs, digest.algorithm(), last) == Some(digest) {
                return BootAggregate::Over { last };
            }
        }
    }
    if banks.iter().any(|pcrs| pcrs.algorithm() == digest.algorithm()) {
        BootAggregate::Different
    } else {
        BootAggregate::Unknown
    }
}

fn over(crypto: &dyn Crypto, pcrs: &Pcrs, algorithm: HashAlgorithm, last: u32) -> Option<Digest> {
    let mut selected = [0; PCR_COUNT as usize];
    for (pcr, slot) in (0..).zip(&mut selected) {
        *slot = pcr;
    }
    let selected = selected.get(..=usize::try_from(last).ok()?)?;
    pcrs.composite(crypto, algorithm, selected)
}
