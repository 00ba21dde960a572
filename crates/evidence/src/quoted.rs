//! Evidence: a quote, the logs that explain it, and the run-time claims that it binds.

use crate::cmw::{Cmw, Collection, Indicator, Kind, Record};
use crate::runtime::RuntimeClaims;
use crate::tpm::{Attest, Attested, LakPublic, Moment, Signature, verify_attest};
use crate::{Challenge, Error, History, PcrSelection, eat};
use alloc::borrow::Cow;
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm, Verified};
use touchstone_measure::{Pcrs, ima, tcg::EventLog};

/// The largest evidence that is read, in octets.
pub const MAX_EVIDENCE: usize = 16 * 1024 * 1024;

pub(crate) const COLLECTION: &str = "tag:touchstone-trust.org,2026:evidence/1";
const ATTEST: (&str, &str) = ("attest", "application/vnd.touchstone.tpms-attest");
const SIGNATURE: (&str, &str) = ("signature", "application/vnd.touchstone.tpmt-signature");
const EVENT_LOG: (&str, &str) = ("event-log", "application/vnd.touchstone.tcg-event-log");
const IMA_LOG: (&str, &str) = ("ima-log", "application/vnd.touchstone.ima-list");
/// The index of the list's first entry, 32 bits, where it is not 0.
const IMA_FIRST: (&str, &str) = ("ima-first", "application/vnd.touchstone.ima-first");
const RUNTIME: (&str, &str) = ("runtime", "application/vnd.touchstone.runtime+cbor");
const PCR_VALUES: (&str, &str) = ("pcr-values", "application/vnd.touchstone.pcr-values");

/// What TPM2_Quote returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuoteParts {
    /// TPMS_ATTEST.
    pub attest: Vec<u8>,
    /// TPMT_SIGNATURE.
    pub signature: Vec<u8>,
}

/// Evidence of one boot and of the moment that the challenge was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    quote: QuoteParts,
    event_log: Option<EventLog>,
    ima_log: Option<ima::Log>,
    runtime: Option<RuntimeClaims>,
    runtime_octets: Vec<u8>,
    pcr_values: Vec<u8>,
    proven: Option<Proven>,
}

/// What verification adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proven {
    /// The values of one bank; of PCRs that are not selected they are not proven.
    pub(crate) pcrs: Pcrs,
    pub(crate) selection: PcrSelection,
    pub(crate) attest: Attest,
    pub(crate) unquoted: usize,
    /// Where the IMA list goes on next time; `None` if it was not proven from its start on.
    pub(crate) ima: Option<ima::Proven>,
}

/// What replay leads to.
struct Replayed {
    pcrs: Pcrs,
    unquoted: usize,
    ima: Option<ima::Proven>,
}

/// The qualifying data of a quote:
/// SHA-256("touchstone-evidence-v1" || nonce || SHA-256(runtime)), where `runtime` is
/// [`RuntimeClaims::encode`]'s octets.
pub fn binding(crypto: &dyn Crypto, nonce: &[u8], runtime: &[u8]) -> [u8; 32] {
    let sha256 = HashAlgorithm::Sha256;
    let runtime = crypto.hash(sha256, &[runtime]);
    let digest = crypto.hash(sha256, &[b"touchstone-evidence-v1", nonce, runtime.as_bytes()]);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_bytes());
    out
}

impl Evidence {
    /// Writes evidence as a RATS CMW collection, from the parts as the Attester has them:
    /// `event_log` and `ima_log` as the kernel shows them, `runtime` as [`RuntimeClaims::encode`]
    /// gave it to [`binding`]. `pcr_values` are the values of the quoted PCRs as read at about the
    /// same time, ascending: they prove nothing, but let the Verifier name the PCR that a log does
    /// not explain. They may be empty.
    pub fn encode(
        quote: &QuoteParts,
        event_log: &[u8],
        ima_log: &[u8],
        runtime: &[u8],
        pcr_values: &[Digest],
    ) -> Vec<u8> {
        Self::encode_from(quote, event_log, (0, ima_log), runtime, pcr_values)
    }

    /// As [`encode`](Self::encode), with only a part of the IMA list: the index of its first entry,
    /// and the octets from there on.
    pub fn encode_from(
        quote: &QuoteParts,
        event_log: &[u8],
        (first, ima_log): (u32, &[u8]),
        runtime: &[u8],
        pcr_values: &[Digest],
    ) -> Vec<u8> {
        let first = (first > 0).then(|| first.to_be_bytes());
        let pcr_values: Vec<u8> =
            pcr_values.iter().flat_map(|value| value.as_bytes().iter().copied()).collect();
        let mut collection = Collection { kind: Some(COLLECTION.into()), ..Collection::default() };
        let mut add = |(label, media_type): (&'static str, &'static str), value| {
            let kind = Kind::MediaType(media_type.into());
            let (value, indicator) = (Cow::Borrowed(value), Some(Indicator::EVIDENCE));
            collection.add(label, Cmw::Record(Record { kind, value, indicator }));
        };
        add(ATTEST, quote.attest.as_slice());
        add(SIGNATURE, quote.signature.as_slice());
        add(EVENT_LOG, event_log);
        add(IMA_LOG, ima_log);
        if let Some(first) = &first {
            add(IMA_FIRST, first);
        }
        add(RUNTIME, runtime);
        if !pcr_values.is_empty() {
            add(PCR_VALUES, pcr_values.as_slice());
        }
        Cmw::Collection(collection).to_cbor()
    }

    /// Parses evidence, logs and all.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_EVIDENCE {
            return Err(Error::TooLarge { item: "evidence", limit: MAX_EVIDENCE });
        }
        Self::of(&Cmw::from_cbor(bytes)?)
    }

    /// Parses the evidence in a wrapper, logs and all.
    pub fn of(cmw: &Cmw<'_>) -> Result<Self, Error> {
        let collection = match cmw {
            Cmw::Collection(collection) => collection,
            Cmw::Record(record) if record.is_token() => {
                return Err(Error::Token(eat::Error::Nested));
            }
            Cmw::Record(_) => return Err(Error::Collection),
        };
        if collection.kind.as_deref() != Some(COLLECTION) {
            return Err(Error::Collection);
        }
        let is_evidence = |record: &&Record<'_>| {
            record.indicator.is_none_or(|indicator| indicator == Indicator::EVIDENCE)
        };
        let find = |(label, media_type)| {
            let record = collection.record(label, media_type).filter(is_evidence);
            record.map(|record| record.value.as_ref())
        };
        let need =
            |wanted: (&'static str, &'static str)| find(wanted).ok_or(Error::Missing(wanted.0));
        let runtime_octets = need(RUNTIME)?.to_vec();
        let first = match find(IMA_FIRST).map(<[u8; 4]>::try_from) {
            None => 0,
            Some(Ok(first)) => u32::from_be_bytes(first),
            Some(Err(_)) => return Err(Error::Malformed { item: IMA_FIRST.0, at: 0 }),
        };
        let list = need(IMA_LOG)?;
        let limits = ima::Limits::DEFAULT;
        Ok(Self {
            quote: QuoteParts {
                attest: need(ATTEST)?.to_vec(),
                signature: need(SIGNATURE)?.to_vec(),
            },
            event_log: Some(EventLog::decode(need(EVENT_LOG)?)?),
            ima_log: Some(ima::Log::read(list.to_vec(), ima::Format::of(list), limits, first)?),
            runtime: Some(RuntimeClaims::decode(&runtime_octets)?),
            runtime_octets,
            pcr_values: find(PCR_VALUES).unwrap_or(&[]).to_vec(),
            proven: None,
        })
    }

    /// Checks that this is the answer to `challenge` by the key `lak`: made by a TPM, signed,
    /// fresh, over the PCRs that were asked for, and that the logs lead to what was quoted. IMA
    /// entries that came after the quote are dropped; see [`unquoted`](Self::unquoted).
    pub fn verify(
        self,
        crypto: &dyn Crypto,
        lak: &LakPublic,
        challenge: &Challenge,
    ) -> Result<Verified<Self>, Error> {
        self.verify_after(crypto, lak, challenge, None)
    }

    /// As [`verify`](Self::verify), going on from what was proven before: the TPM's clock and counters may
    /// not have gone back, and the evidence may show only the IMA entries behind `history`. After verification [`ima_log`](Self::ima_log) is the
    /// whole list of this boot again, so what was judged of it stays judged.
    pub fn verify_after(
        mut self,
        crypto: &dyn Crypto,
        lak: &LakPublic,
        challenge: &Challenge,
        history: Option<&History>,
    ) -> Result<Verified<Self>, Error> {
        let attest = verify_attest(crypto, &self.quote.attest, &self.quote.signature, lak)?;
        let signature = Signature::decode(&self.quote.signature)?;
        if attest.extra_data != binding(crypto, &challenge.nonce, &self.runtime_octets) {
            return Err(Error::NotFresh);
        }
        let Attested::Quote { selections, pcr_digest } = &attest.attested else {
            return Err(Error::WrongType { wanted: 0x8018, found: attest.kind });
        };
        if selections.as_slice() != [challenge.selection.clone()] {
            return Err(Error::Selection);
        }
        let quoted = signature.pcr_digest(pcr_digest)?;
        let moment = Moment::of(&attest);
        if let Some(history) = history {
            moment.check_after(history.moment()).map_err(Error::TurnedBack)?;
        }
        let boot = moment.boot();
        let replayed = self.replay(crypto, &challenge.selection, &quoted, boot, history)?;
        let Replayed { pcrs, unquoted, ima } = replayed;
        let selection = challenge.selection.clone();
        self.proven = Some(Proven { pcrs, selection, attest, unquoted, ima });
        Ok(Verified::vouch(self))
    }

    /// The PCR values that the logs lead to, and how many IMA entries are not in the quote.
    fn replay(
        &mut self,
        crypto: &dyn Crypto,
        selection: &PcrSelection,
        quoted: &Digest,
        boot: ima::Boot,
        history: Option<&History>,
    ) -> Result<Replayed, Error> {
        let bank = selection.algorithm;
        let composite = |pcrs: &Pcrs| pcrs.composite(crypto, quoted.algorithm(), &selection.pcrs);
        let mut list = self.ima_log.take().unwrap_or_default();
        let mut pcrs = match &self.event_log {
            Some(log) => log.replay(crypto, bank),
            None => Pcrs::reset(bank),
        };
        if !selection.pcrs.contains(&ima::PCR) {
            // Without PCR 10 in the quote nothing vouches for the list.
            let unquoted = list.len();
            let same = composite(&pcrs).as_ref() == Some(quoted);
            return if same {
                Ok(Replayed { pcrs, unquoted, ima: None })
            } else {
                Err(self.explain(crypto, selection, quoted, &pcrs))
            };
        }
        // A firmware event in IMA's PCR would be mistaken for the list's start.
        if pcrs.is_touched(ima::PCR) {
            return Err(self.explain(crypto, selection, quoted, &pcrs));
        }
        let known = history.and_then(History::checkpoint);
        let proven = list.prove(crypto, known, boot, bank, |value| {
            pcrs.set(ima::PCR, *value);
            composite(&pcrs).as_ref() == Some(quoted)
        });
        let proven = match proven {
            Ok(proven) => proven,
            Err(why) => {
                let from = known.filter(|known| known.entries == list.first());
                let from = from.map_or(
                    ima::Replay::new(bank, ima::Extension::Hashed),
                    ima::Checkpoint::replay,
                );
                pcrs.set(ima::PCR, list.replay(crypto, from).value());
                return Err(self.explain_ima(crypto, selection, quoted, &pcrs, why));
            }
        };
        pcrs.set(ima::PCR, proven.prefix.value);
        list.truncate(proven.prefix.quoted);
        let whole = match history.filter(|_| list.first() > 0) {
            Some(history) => history
                .with(&list)
                .ok_or(Error::Ima(ima::Discontinuity::NeedsAll { first: list.first() }))?,
            None => list,
        };
        self.ima_log = Some(whole);
        Ok(Replayed { pcrs, unquoted: proven.prefix.left_over, ima: Some(proven) })
    }

    /// What is wrong where the IMA list does not lead to the quote: itself, or another PCR.
    fn explain_ima(
        &self,
        crypto: &dyn Crypto,
        selection: &PcrSelection,
        quoted: &Digest,
        replayed: &Pcrs,
        why: ima::Discontinuity,
    ) -> Error {
        match (self.explain(crypto, selection, quoted, replayed), why) {
            (error, ima::Discontinuity::Unexplained) => error,
            (error @ Error::Replay { pcr: Some(pcr), .. }, _) if pcr != ima::PCR => error,
            (_, why) => Error::Ima(why),
        }
    }

    /// Which PCR the logs do not explain. The values sent along count only if they are the quoted
    /// ones.
    fn explain(
        &self,
        crypto: &dyn Crypto,
        selection: &PcrSelection,
        quoted: &Digest,
        replayed: &Pcrs,
    ) -> Error {
        let bank = selection.algorithm;
        let mut held = Pcrs::reset(bank);
        let values = self.pcr_values.chunks_exact(bank.len());
        for (&pcr, value) in selection.pcrs.iter().zip(values) {
            if let Some(value) = Digest::new(bank, value) {
                held.set(pcr, value);
            }
        }
        let unknown = Error::Replay { pcr: None, replayed: None, quoted: None };
        if held.composite(crypto, quoted.algorithm(), &selection.pcrs).as_ref() != Some(quoted) {
            return unknown;
        }
        let differs = |pcr: &&u32| held.value(**pcr) != replayed.value(**pcr);
        match selection.pcrs.iter().find(differs) {
            Some(&pcr) => Error::Replay {
                pcr: Some(pcr),
                replayed: replayed.value(pcr),
                quoted: held.value(pcr),
            },
            None => unknown,
        }
    }

    /// The evidence of a quote and logs that are verified by other means.
    pub(crate) fn proven(
        quote: QuoteParts,
        event_log: Option<EventLog>,
        ima_log: Option<ima::Log>,
        proven: Proven,
    ) -> Self {
        Self {
            quote,
            event_log,
            ima_log,
            runtime: None,
            runtime_octets: Vec::new(),
            pcr_values: Vec::new(),
            proven: Some(proven),
        }
    }

    /// What the TPM returned.
    pub(crate) const fn quote(&self) -> &QuoteParts {
        &self.quote
    }

    /// The event log, if there is one.
    pub const fn event_log(&self) -> Option<&EventLog> {
        self.event_log.as_ref()
    }

    /// The IMA list: after verification, the quoted part of it; `None` if no quoted PCR vouches for
    /// one.
    pub const fn ima_log(&self) -> Option<&ima::Log> {
        self.ima_log.as_ref()
    }

    /// How the IMA list goes on from what was known, and where it goes on next time; `None` before
    /// verification, and if no quoted PCR vouches for a list.
    pub fn ima_proven(&self) -> Option<&ima::Proven> {
        self.proven.as_ref().and_then(|proven| proven.ima.as_ref())
    }

    /// The run-time claims, if the Attester made some.
    pub const fn runtime(&self) -> Option<&RuntimeClaims> {
        self.runtime.as_ref()
    }

    /// The quoted PCR values; `None` before verification.
    pub fn pcrs(&self) -> Option<&Pcrs> {
        self.proven.as_ref().map(|proven| &proven.pcrs)
    }

    /// The PCRs that were quoted; `None` before verification.
    pub fn selection(&self) -> Option<&PcrSelection> {
        self.proven.as_ref().map(|proven| &proven.selection)
    }

    /// What the TPM signed; `None` before verification.
    pub fn attest(&self) -> Option<&Attest> {
        self.proven.as_ref().map(|proven| &proven.attest)
    }

    /// How many IMA entries came after the quote and were dropped by verification.
    pub fn unquoted(&self) -> usize {
        self.proven.as_ref().map_or(0, |proven| proven.unquoted)
    }
}
