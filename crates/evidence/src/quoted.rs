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
/// There if the list goes on behind what is shown. It is empty.
const IMA_GOES_ON: (&str, &str) = ("ima-goes-on", "application/vnd.touchstone.ima-goes-on");
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
    goes_on: bool,
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

type Label = (&'static str, &'static str);

fn collection(
    quote: &QuoteParts,
    (first, ima_log): (u32, &[u8]),
    runtime: &[u8],
    more: [(Label, Option<&[u8]>); 2],
) -> Vec<u8> {
    let first = (first > 0).then(|| first.to_be_bytes());
    let parts = [
        (ATTEST, Some(quote.attest.as_slice())),
        (SIGNATURE, Some(&quote.signature)),
        (IMA_LOG, Some(ima_log)),
        (IMA_FIRST, first.as_ref().map(<[u8; 4]>::as_slice)),
        (RUNTIME, Some(runtime)),
    ];
    let mut collection = Collection { kind: Some(COLLECTION.into()), ..Collection::default() };
    for ((label, media_type), value) in parts.into_iter().chain(more) {
        let Some(value) = value else { continue };
        let kind = Kind::MediaType(media_type.into());
        let (value, indicator) = (Cow::Borrowed(value), Some(Indicator::EVIDENCE));
        collection.add(label, Cmw::Record(Record { kind, value, indicator }));
    }
    Cmw::Collection(collection).to_cbor()
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
        let pcr_values: Vec<u8> =
            pcr_values.iter().flat_map(|value| value.as_bytes().iter().copied()).collect();
        let values = (!pcr_values.is_empty()).then_some(pcr_values.as_slice());
        let more = [(EVENT_LOG, Some(event_log)), (PCR_VALUES, values)];
        collection(quote, (first, ima_log), runtime, more)
    }

    /// A part of a long IMA list, behind which the list goes on, with the quote that vouches for who sends
    /// it. It proves nothing before the rest has followed, so the event log comes along with that.
    pub fn encode_part(quote: &QuoteParts, part: (u32, &[u8]), runtime: &[u8]) -> Vec<u8> {
        collection(quote, part, runtime, [(IMA_GOES_ON, Some(&[])), (PCR_VALUES, None)])
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
        let goes_on = find(IMA_GOES_ON).is_some();
        let event_log = if goes_on { find(EVENT_LOG) } else { Some(need(EVENT_LOG)?) };
        Ok(Self {
            quote: QuoteParts {
                attest: need(ATTEST)?.to_vec(),
                signature: need(SIGNATURE)?.to_vec(),
            },
            event_log: event_log.map(EventLog::decode).transpose()?,
            ima_log: Some(ima::Log::read(list.to_vec(), ima::Format::of(list), limits, first)?),
            runtime: Some(RuntimeClaims::decode(&runtime_octets)?),
            runtime_octets,
            pcr_values: find(PCR_VALUES).unwrap_or(&[]).to_vec(),
            goes_on,
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
        self,
        crypto: &dyn Crypto,
        lak: &LakPublic,
        challenge: &Challenge,
        history: Option<&History>,
    ) -> Result<Verified<Self>, Error> {
        self.verify_going_on(crypto, lak, challenge, history.cloned())
    }

    /// As [`verify_after`](Self::verify_after), for a history that is not needed any more: a long list is
    /// not copied.
    pub fn verify_going_on(
        mut self,
        crypto: &dyn Crypto,
        lak: &LakPublic,
        challenge: &Challenge,
        history: Option<History>,
    ) -> Result<Verified<Self>, Error> {
        let last = history.as_ref().map(History::moment);
        let (attest, quoted) = self.quoted(crypto, lak, challenge, last)?;
        if self.goes_on {
            return Err(Error::Unfinished);
        }
        let boot = Moment::of(&attest).boot();
        let replayed = self.replay(crypto, &challenge.selection, &quoted, boot, history)?;
        let Replayed { pcrs, unquoted, ima } = replayed;
        let selection = challenge.selection.clone();
        self.proven = Some(Proven { pcrs, selection, attest, unquoted, ima });
        Ok(Verified::vouch(self))
    }

    /// Checks that a part of an IMA list ([`goes_on`](Self::goes_on)) is sent by who holds the key `lak`,
    /// in answer to `challenge`, and after `last`. What the list says is not proven by that: it counts when
    /// its end is quoted ([`behind`](Self::behind)).
    pub fn check_part(
        &self,
        crypto: &dyn Crypto,
        lak: &LakPublic,
        challenge: &Challenge,
        last: Option<&Moment>,
    ) -> Result<(), Error> {
        self.quoted(crypto, lak, challenge, last).map(drop)
    }

    /// The same, with the part of its IMA list that was sent earlier in front. Nothing of that has to be
    /// believed: verification replays all of it.
    pub fn behind(mut self, earlier: ima::Log) -> Result<Self, Error> {
        let mut list = earlier;
        let shown = self.ima_log.take().unwrap_or_default();
        if !list.append(&shown) {
            return Err(Error::Ima(ima::Discontinuity::NeedsAll { first: shown.first() }));
        }
        self.ima_log = Some(list);
        Ok(self)
    }

    /// The statement and the digest of PCRs in it: signed, fresh, over the PCRs that were asked for, and
    /// after `last`.
    fn quoted(
        &self,
        crypto: &dyn Crypto,
        lak: &LakPublic,
        challenge: &Challenge,
        last: Option<&Moment>,
    ) -> Result<(Attest, Digest), Error> {
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
        if let Some(last) = last {
            Moment::of(&attest).check_after(last).map_err(Error::TurnedBack)?;
        }
        Ok((attest, quoted))
    }

    /// The PCR values that the logs lead to, and how many IMA entries are not in the quote.
    fn replay(
        &mut self,
        crypto: &dyn Crypto,
        selection: &PcrSelection,
        quoted: &Digest,
        boot: ima::Boot,
        history: Option<History>,
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
        let known = history.as_ref().and_then(History::checkpoint);
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
        let first = list.first();
        let whole = match history.filter(|_| first > 0) {
            Some(history) => {
                history.with(&list).ok_or(Error::Ima(ima::Discontinuity::NeedsAll { first }))?
            }
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
            goes_on: false,
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

    /// Whether the IMA list goes on behind what is shown.
    pub const fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// The boot that the statement is said to be of, which nothing vouches for before verification.
    pub fn stated_boot(&self) -> Result<ima::Boot, Error> {
        Ok(Moment::of(&Attest::decode(&self.quote.attest)?).boot())
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
