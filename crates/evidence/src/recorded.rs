//! A quote that was recorded as files, with the logs that explain it, as far as there are any.
//!
//! Other than the [`Evidence`] of an agent, the nonce alone is the qualifying data, values of the
//! PCRs come along, and a log may be missing. What is missing says nothing; what is there has to be
//! the whole truth about the PCRs that it is measured into.

use crate::quoted::Proven;
use crate::tpm::{AttestationKey, Bank, Expected, Moment, Quote, QuotedPcrs, Signature};
use crate::tpm2_tools::{PcrFile, signatures};
use crate::{Error, Evidence, PcrSelection, QuoteParts};
use alloc::vec;
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, HashAlgorithm, Verified};
use touchstone_measure::{Pcrs, ima, tcg::EventLog};

/// PCRs that firmware, boot loaders and the kernel's start extend, and that an event log has to
/// explain: all below 15 but IMA's. 15 is the system's, 16 to 23 are others' (PFP §3.3.4).
const BOOT: core::ops::Range<u32> = 0..15;

/// The files of a quote.
#[derive(Clone, Debug)]
pub struct Recorded<'a> {
    /// TPMS_ATTEST.
    pub attest: &'a [u8],
    /// The signature: TPMT_SIGNATURE, or plain.
    pub signature: &'a [u8],
    /// The PCR values.
    pub pcrs: PcrFile,
    /// The event log, if it was recorded.
    pub event_log: Option<EventLog>,
    /// The IMA list, if it was recorded.
    pub ima_log: Option<ima::Log>,
}

/// What verification found, beside the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The quote.
    pub quote: Verified<Quote>,
    /// The PCR values that it is over.
    pub pcrs: Verified<QuotedPcrs>,
    /// The quoted PCRs that a log explains, by bank.
    pub explained: Vec<(HashAlgorithm, Vec<u32>)>,
    /// The quoted PCRs that no log explains: their values are proven, and what they mean is not
    /// known.
    pub unexplained: Vec<(HashAlgorithm, Vec<u32>)>,
}

impl Account {
    /// The account of evidence that an agent sent, which the same key signed: its logs lead to every PCR that
    /// was quoted. The TPM may not have been at a later moment before.
    pub fn of(
        crypto: &dyn Crypto,
        evidence: &Verified<Evidence>,
        key: &AttestationKey,
        last: Option<Moment>,
    ) -> Result<Self, Error> {
        let (Some(attest), Some(selection)) = (evidence.attest(), evidence.selection()) else {
            return Err(Error::Missing("attest"));
        };
        let mut expected = Expected::new(key, &attest.extra_data);
        if let Some(last) = last {
            expected = expected.after(last);
        }
        let QuoteParts { attest, signature } = evidence.quote();
        let quote = Quote::verify(crypto, attest, &Signature::decode(signature)?, &expected)?;
        let values = selection.pcrs.iter().map(|pcr| evidence.pcrs()?.value(*pcr));
        let values: Vec<_> = values.collect::<Option<_>>().ok_or(Error::PcrValues)?;
        let pcrs = PcrFile::of(selection.clone(), &values).bind(crypto, &quote)?;
        let explained = vec![(selection.algorithm, selection.pcrs.clone())];
        Ok(Self { quote, pcrs, explained, unexplained: Vec::new() })
    }
}

impl Recorded<'_> {
    /// Checks the quote, binds the PCR values to it, and replays what logs there are.
    pub fn verify(
        self,
        crypto: &dyn Crypto,
        expected: &Expected<'_>,
    ) -> Result<(Verified<Evidence>, Account), Error> {
        let (quote, signature) = self.quote(crypto, expected)?;
        let pcrs = self.pcrs.bind(crypto, &quote)?;
        let bank = self.bank(&pcrs, expected)?;
        let mut account =
            Account { quote, pcrs: pcrs.clone(), explained: Vec::new(), unexplained: Vec::new() };
        for other in pcrs.banks() {
            self.explain(crypto, other, other == bank, &mut account)?;
        }
        let (list, unquoted) = quoted_list(self.ima_log, crypto, bank)?;
        let mut values = Pcrs::reset(bank.algorithm);
        for (pcr, value) in &bank.values {
            values.set(*pcr, *value);
        }
        let numbers = bank.values.iter().map(|(pcr, _)| *pcr).collect();
        let proven = Proven {
            pcrs: values,
            selection: PcrSelection { algorithm: bank.algorithm, pcrs: numbers },
            attest: account.quote.attest().clone(),
            unquoted,
            ima: None,
        };
        let parts = QuoteParts { attest: self.attest.to_vec(), signature };
        let evidence = Evidence::proven(parts, self.event_log, list, proven);
        Ok((Verified::vouch(evidence), account))
    }

    /// The quote, by the first of the algorithms that fits. Each of them is one that the key may
    /// have signed with, so it does not matter which was meant.
    fn quote(
        &self,
        crypto: &dyn Crypto,
        expected: &Expected<'_>,
    ) -> Result<(Verified<Quote>, Vec<u8>), Error> {
        let mut refused = Error::Signature(touchstone_crypto::Error::BadSignature);
        for signature in signatures(self.signature, expected.key())? {
            match Quote::verify(crypto, self.attest, &signature, expected) {
                Ok(quote) => return Ok((quote, self.signature.to_vec())),
                Err(Error::Signature(error)) => refused = Error::Signature(error),
                Err(other) => return Err(other),
            }
        }
        Err(refused)
    }

    /// The bank that claims are made from: the longest that was quoted, and that the event log, if
    /// there is one, has digests for.
    fn bank<'p>(&self, pcrs: &'p QuotedPcrs, expected: &Expected<'_>) -> Result<&'p Bank, Error> {
        let logged = |bank: &&Bank| match &self.event_log {
            Some(log) => log.algorithms().contains(&bank.algorithm),
            None => true,
        };
        let found = pcrs.banks().iter().filter(logged).max_by_key(|bank| bank.algorithm.len());
        let bank = found.ok_or(Error::NotCovered("event log"))?;
        if bank.algorithm == HashAlgorithm::Sha1 && !expected.takes_sha1() {
            return Err(Error::Weak);
        }
        Ok(bank)
    }

    /// Compares a bank with what the event log leads to. The IMA list is replayed in the `chosen`
    /// one: before Linux 5.8 the others hold something else.
    fn explain(
        &self,
        crypto: &dyn Crypto,
        bank: &Bank,
        chosen: bool,
        account: &mut Account,
    ) -> Result<(), Error> {
        let log = self.event_log.as_ref();
        let log = log.filter(|log| log.algorithms().contains(&bank.algorithm));
        let replayed = log.map(|log| log.replay(crypto, bank.algorithm));
        // An event in IMA's PCR would be believed for what the list explains.
        if let Some(replayed) = replayed.as_ref().filter(|of| of.is_touched(ima::PCR))
            && let Some(quoted) = bank.value(ima::PCR)
        {
            let (replayed, quoted) = (replayed.value(ima::PCR), Some(quoted));
            return Err(Error::Replay { pcr: Some(ima::PCR), replayed, quoted });
        }
        let (mut explained, mut unexplained) = (Vec::new(), Vec::new());
        for (pcr, value) in &bank.values {
            let ours = replayed.as_ref().filter(|replayed| {
                *pcr != ima::PCR && (BOOT.contains(pcr) || replayed.is_touched(*pcr))
            });
            match ours.and_then(|replayed| replayed.value(*pcr)) {
                Some(led_to) if led_to == *value => explained.push(*pcr),
                Some(led_to) => {
                    let (replayed, quoted) = (Some(led_to), Some(*value));
                    return Err(Error::Replay { pcr: Some(*pcr), replayed, quoted });
                }
                None if chosen && *pcr == ima::PCR && self.ima_log.is_some() => {
                    explained.push(*pcr);
                }
                None => unexplained.push(*pcr),
            }
        }
        if replayed.is_some() && !explained.iter().any(|pcr| *pcr != ima::PCR) {
            return Err(Error::NotCovered("event log"));
        }
        account.explained.push((bank.algorithm, explained));
        account.unexplained.push((bank.algorithm, unexplained));
        Ok(())
    }
}

/// The quoted part of the IMA list, and how many entries came after it.
fn quoted_list(
    list: Option<ima::Log>,
    crypto: &dyn Crypto,
    bank: &Bank,
) -> Result<(Option<ima::Log>, usize), Error> {
    let Some(mut list) = list else { return Ok((None, 0)) };
    let quoted = bank.value(ima::PCR).ok_or(Error::NotCovered("IMA list"))?;
    let prefix = list.prefix(crypto, bank.algorithm, |value| *value == quoted);
    let prefix = prefix.ok_or_else(|| Error::Replay {
        pcr: Some(ima::PCR),
        replayed: Some(list.replay_pcr10(crypto, bank.algorithm)),
        quoted: Some(quoted),
    })?;
    list.truncate(prefix.quoted);
    Ok((Some(list), prefix.left_over))
}
