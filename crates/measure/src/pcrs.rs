//! A bank of platform configuration registers, as replay computes it.

use touchstone_crypto::{Crypto, Digest, HashAlgorithm};

/// Registers in a bank (TCG PC Client PTP §4.6).
pub const PCR_COUNT: u32 = 24;

/// The values of one bank of PCRs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pcrs {
    algorithm: HashAlgorithm,
    values: [Digest; PCR_COUNT as usize],
    touched: u32,
}

impl Pcrs {
    /// The bank after TPM2_Startup(CLEAR): PCR 17 to 22 are all ones, the others all zeros
    /// (TCG PC Client PTP §4.6.2).
    pub fn reset(algorithm: HashAlgorithm) -> Self {
        let zero = Digest::zero(algorithm);
        let ones = ones(algorithm);
        let mut values = [zero; PCR_COUNT as usize];
        for value in values.iter_mut().take(23).skip(17) {
            *value = ones;
        }
        Self { algorithm, values, touched: 0 }
    }

    /// The bank's algorithm.
    pub const fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// The value of a PCR; `None` if there is no PCR of that number.
    pub fn value(&self, pcr: u32) -> Option<Digest> {
        self.values.get(usize::try_from(pcr).ok()?).copied()
    }

    /// Whether anything was extended into this PCR.
    pub const fn is_touched(&self, pcr: u32) -> bool {
        pcr < PCR_COUNT && self.touched & (1 << pcr) != 0
    }

    /// PCR := H(PCR || digest) (TPM 2.0 Part 1 §17.3). A digest of another algorithm, or a PCR
    /// that does not exist, changes nothing and returns false.
    pub fn extend(&mut self, crypto: &dyn Crypto, pcr: u32, digest: &Digest) -> bool {
        let Some(value) = usize::try_from(pcr).ok().and_then(|pcr| self.values.get_mut(pcr)) else {
            return false;
        };
        if digest.algorithm() != self.algorithm {
            return false;
        }
        *value = crypto.hash(self.algorithm, &[value.as_bytes(), digest.as_bytes()]);
        self.touched |= 1 << pcr;
        true
    }

    /// Sets a PCR to a value, as a locality other than 0 does at start-up, or another log's
    /// replay. Same conditions as [`extend`](Self::extend).
    pub fn set(&mut self, pcr: u32, value: Digest) -> bool {
        let Some(slot) = usize::try_from(pcr).ok().and_then(|pcr| self.values.get_mut(pcr)) else {
            return false;
        };
        if value.algorithm() != self.algorithm {
            return false;
        }
        *slot = value;
        self.touched |= 1 << pcr;
        true
    }

    /// The digest over the selected PCRs in ascending order, as TPMS_QUOTE_INFO holds it
    /// (TPM 2.0 Part 1 §17.6); `None` if one of them does not exist.
    pub fn composite(
        &self,
        crypto: &dyn Crypto,
        algorithm: HashAlgorithm,
        pcrs: &[u32],
    ) -> Option<Digest> {
        let mut parts = [&[][..]; PCR_COUNT as usize];
        let mut sorted = [false; PCR_COUNT as usize];
        for &pcr in pcrs {
            *sorted.get_mut(usize::try_from(pcr).ok()?)? = true;
        }
        let mut count = 0;
        for (value, _) in self.values.iter().zip(sorted).filter(|(_, wanted)| *wanted) {
            *parts.get_mut(count)? = value.as_bytes();
            count += 1;
        }
        Some(crypto.hash(algorithm, parts.get(..count)?))
    }
}

pub(crate) fn ones(algorithm: HashAlgorithm) -> Digest {
    Digest::new(algorithm, [0xFF; 64].get(..algorithm.len()).unwrap_or(&[]))
        .unwrap_or(Digest::zero(algorithm))
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_crypto_awslc::AwsLc;

    #[test]
    fn the_order_of_a_selection_does_not_matter() {
        let mut pcrs = Pcrs::reset(HashAlgorithm::Sha256);
        assert!(pcrs.extend(&AwsLc, 7, &Digest::zero(HashAlgorithm::Sha256)));
        let sha256 = HashAlgorithm::Sha256;
        assert_eq!(
            pcrs.composite(&AwsLc, sha256, &[7, 0]),
            pcrs.composite(&AwsLc, sha256, &[0, 7, 7])
        );
        assert_ne!(pcrs.composite(&AwsLc, sha256, &[0]), pcrs.composite(&AwsLc, sha256, &[7]));
        assert_eq!(pcrs.composite(&AwsLc, sha256, &[24]), None);
    }

    #[test]
    fn an_extend_that_cannot_be_is_refused() {
        let mut pcrs = Pcrs::reset(HashAlgorithm::Sha256);
        assert!(!pcrs.extend(&AwsLc, 24, &Digest::zero(HashAlgorithm::Sha256)));
        assert!(!pcrs.extend(&AwsLc, 0, &Digest::zero(HashAlgorithm::Sha1)));
        assert!(!pcrs.is_touched(0));
        assert_eq!(pcrs, Pcrs::reset(HashAlgorithm::Sha256));
    }
}
