//! A quote (TPM 2.0 Part 3 §18.4), and PCR values that are those it is over.
//!
//! What a quote signs is a selection of PCRs and one digest over their values. Values come beside
//! it, from whoever sent it, and so does what they are said to be the values of. Here only the
//! *signed* selection says which value is which: a list that names other PCRs, another order, more
//! or fewer of them is refused, even if its digest fits.

use super::attest::{Attest, Attested};
use super::clock::Moment;
use super::kind::ST_ATTEST_QUOTE;
use super::{AttestationKey, Signature};
use crate::{Error, PcrSelection};
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm, SignatureAlgorithm, Verified};

/// What a quote has to be: whose, how fresh, and not before which moment.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    key: &'a AttestationKey,
    qualifying: &'a [u8],
    last: Option<Moment>,
    sha1: bool,
}

impl<'a> Expected<'a> {
    /// A quote by `key` with this qualifying data: the nonce that was given out.
    pub const fn new(key: &'a AttestationKey, qualifying: &'a [u8]) -> Self {
        Self { key, qualifying, last: None, sha1: false }
    }

    /// And made no earlier than a moment that the same key signed.
    #[must_use]
    pub const fn after(mut self, last: Moment) -> Self {
        self.last = Some(last);
        self
    }

    /// What makes a quote worth less.
    pub const fn dangerous(self) -> Dangerous<'a> {
        Dangerous(self)
    }

    /// The key.
    pub const fn key(&self) -> &'a AttestationKey {
        self.key
    }

    pub(crate) const fn takes_sha1(&self) -> bool {
        self.sha1
    }
}

/// Settings of [`Expected`] that can hurt.
#[derive(Clone, Copy, Debug)]
pub struct Dangerous<'a>(Expected<'a>);

impl<'a> Dangerous<'a> {
    /// Takes signatures, PCR digests and banks of SHA-1: others can be made to fit them (RFC 9155
    /// §1).
    #[must_use]
    pub const fn accept_sha1(mut self) -> Expected<'a> {
        self.0.sha1 = true;
        self.0
    }
}

/// A quote as it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    attest: Attest,
    algorithm: SignatureAlgorithm,
    selections: Vec<PcrSelection>,
    digest: Digest,
    takes_sha1: bool,
}

/// PCR values of one bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bank {
    /// The bank.
    pub algorithm: HashAlgorithm,
    /// PCRs, ascending, with their values.
    pub values: Vec<(u32, Digest)>,
}

/// The PCR values that a quote is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotedPcrs(Vec<Bank>);

impl Quote {
    /// Checks that a TPMS_ATTEST is a quote that a TPM made, signed by the expected key, fresh, and
    /// not before the last known moment.
    pub fn verify(
        crypto: &dyn Crypto,
        attest: &[u8],
        signature: &Signature,
        expected: &Expected<'_>,
    ) -> Result<Verified<Self>, Error> {
        let decoded = Attest::decode(attest)?;
        let algorithm = expected.key.check(crypto, attest, signature)?;
        if algorithm.is_weak() && !expected.sha1 {
            return Err(Error::Weak);
        }
        let Attested::Quote { selections, pcr_digest } = &decoded.attested else {
            return Err(Error::WrongType { wanted: ST_ATTEST_QUOTE, found: decoded.kind });
        };
        if decoded.extra_data != expected.qualifying {
            return Err(Error::NotFresh);
        }
        if let Some(last) = &expected.last {
            Moment::of(&decoded).check_after(last).map_err(Error::TurnedBack)?;
        }
        let digest = signature.pcr_digest(pcr_digest)?;
        let selections = unambiguous(selections)?;
        let takes_sha1 = expected.sha1;
        Ok(Verified::vouch(Self { attest: decoded, algorithm, selections, digest, takes_sha1 }))
    }

    /// What the TPM signed.
    pub const fn attest(&self) -> &Attest {
        &self.attest
    }

    /// How it was signed.
    pub const fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// The signed selection: banks in the order in which their values were hashed.
    pub fn selections(&self) -> &[PcrSelection] {
        &self.selections
    }

    /// When it was, by the TPM's clock.
    pub const fn moment(&self) -> Moment {
        Moment::of(&self.attest)
    }

    /// The digest over all values.
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

/// Binds values to a quote. `values` are in the order of the selection, bank after bank;
/// `labels`, where the sender named what they are of, has to be the signed selection.
pub(crate) fn bind(
    crypto: &dyn Crypto,
    quote: &Verified<Quote>,
    labels: Option<&[PcrSelection]>,
    values: &[Vec<u8>],
) -> Result<Verified<QuotedPcrs>, Error> {
    if let Some(labels) = labels
        && unambiguous(labels)? != quote.selections
    {
        return Err(Error::PcrLabels);
    }
    let wanted: usize = quote.selections.iter().map(|selection| selection.pcrs.len()).sum();
    if values.len() != wanted {
        return Err(Error::PcrCount { wanted, found: values.len() });
    }
    let mut rest = values.iter();
    let mut banks = Vec::new();
    for selection in &quote.selections {
        let algorithm = selection.algorithm;
        if algorithm == HashAlgorithm::Sha1 && !quote.takes_sha1 {
            // Its values are in the digest all the same; nobody gets to see them.
            rest.by_ref().take(selection.pcrs.len()).for_each(drop);
            continue;
        }
        let mut bank = Bank { algorithm, values: Vec::new() };
        for (&pcr, value) in selection.pcrs.iter().zip(rest.by_ref()) {
            let value = Digest::new(algorithm, value).ok_or(Error::PcrValues)?;
            bank.values.push((pcr, value));
        }
        banks.push(bank);
    }
    let parts: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    // TPM 2.0 Part 3 §18.4.1: the values one after another, in the order of the selection.
    if crypto.hash(quote.digest.algorithm(), &parts) != quote.digest {
        return Err(Error::PcrValues);
    }
    if banks.is_empty() {
        return Err(Error::Weak);
    }
    Ok(Verified::vouch(QuotedPcrs(banks)))
}

impl QuotedPcrs {
    /// The banks, as they were selected.
    pub fn banks(&self) -> &[Bank] {
        &self.0
    }

    /// The values of one bank.
    pub fn bank(&self, algorithm: HashAlgorithm) -> Option<&Bank> {
        self.0.iter().find(|bank| bank.algorithm == algorithm)
    }
}

impl Bank {
    /// The value of a PCR, if it was quoted.
    pub fn value(&self, pcr: u32) -> Option<Digest> {
        self.values.iter().find(|(quoted, _)| *quoted == pcr).map(|(_, value)| *value)
    }
}

/// Banks without PCRs are left out. A bank that comes twice could be read in two ways, and a
/// selection without any PCR says nothing.
fn unambiguous(selections: &[PcrSelection]) -> Result<Vec<PcrSelection>, Error> {
    let mut banks: Vec<PcrSelection> = Vec::new();
    for selection in selections.iter().filter(|selection| !selection.pcrs.is_empty()) {
        if banks.iter().any(|bank| bank.algorithm == selection.algorithm) {
            return Err(Error::PcrBankTwice(selection.algorithm));
        }
        banks.push(selection.clone());
    }
    if banks.is_empty() { Err(Error::Selection) } else { Ok(banks) }
}
