//! IMA lists on their way: parts of long ones are kept until the end comes, and with the end all of it is
//! judged as if it had come at once.
//!
//! A part proves nothing, and nothing is told of the device by it: no result, and none that counts longer.

use super::appraise::Pending;
use super::{Judge, No};
use crate::api::types::{EvidenceContinue, Named};
use crate::clock;
use crate::store::{Kept, NewEvent, NewHistory, NewPart, PendingList, ProvenList, Taken};
use touchstone_audit::Code;
use touchstone_crypto::Verified;
use touchstone_crypto_awslc::AwsLc;
use touchstone_evidence::envelope::{self, Sender};
use touchstone_evidence::tpm::LakPublic;
use touchstone_evidence::{Error, Evidence, History};
use touchstone_measure::ima::{Discontinuity, Format, Limits, Log};

/// Octets that a part has at the least, so that a list does not come in crumbs.
const SHORTEST: u32 = 16 << 10;
/// Octets of a part that are asked for at the most.
const LONGEST: u32 = 1 << 20;
/// Octets of a list that are kept together.
const TOGETHER: usize = 1 << 20;

/// About so many octets of a list are asked for at a time, where a message has so many.
pub(super) fn part(message: usize) -> u32 {
    u32::try_from(message / 4).unwrap_or(LONGEST).clamp(SHORTEST, LONGEST)
}

/// Evidence that was read, and what there is of its IMA list already.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) evidence: Result<Evidence, Error>,
    /// Whether it came in a token.
    pub(super) in_token: bool,
    pub(super) kept: Kept,
    /// What was proven last, without the list if that is kept in parts.
    history: Option<History>,
    /// The list that was proven.
    proven: Option<Vec<u8>>,
    /// What came of the list before, from that entry on.
    earlier: Option<(u32, Vec<u8>)>,
}

impl Shown {
    pub(super) fn read(octets: &[u8], sender: &Sender<'_>, kept: Kept, device: &str) -> Self {
        let history = kept.history.as_deref().map(History::decode).transpose();
        let history = history.unwrap_or_else(|error| {
            // Without it the device is asked for everything; nothing passes by it.
            tracing::error!(device, %error, "what was proven last is unusable");
            None
        });
        let evidence = sender.evidence(&AwsLc, octets, clock::now());
        let in_token = envelope::is_token(octets);
        Self { evidence, in_token, kept, history, proven: None, earlier: None }
    }

    fn goes_on(&self) -> bool {
        self.evidence.as_ref().is_ok_and(Evidence::goes_on)
    }

    /// A list that is under way and that the evidence goes on from.
    fn follows(&self) -> Option<PendingList> {
        let evidence = self.evidence.as_ref().ok()?;
        let first = evidence.ima_log()?.first();
        let boot = evidence.stated_boot().ok()?;
        let pending = self.kept.pending.filter(|pending| pending.boot == boot);
        pending.filter(|pending| first > 0 && pending.entries == first)
    }

    /// Verifies the evidence with all of its list.
    pub(super) fn verify(
        self,
        lak: &LakPublic,
        pending: &Pending,
    ) -> Result<(Verified<Evidence>, Option<NewHistory>), Error> {
        let (kept, follows) = (self.kept.clone(), self.follows());
        let evidence = match self.earlier {
            Some((first, octets)) => {
                let format = Format::of(&octets);
                let earlier = Log::read(octets, format, Limits::DEFAULT, first)?;
                self.evidence?.behind(earlier)?
            }
            None => self.evidence?,
        };
        let history = match (self.history, self.proven) {
            (Some(history), Some(octets)) => Some(history.with_list(octets)?),
            (history, _) => history,
        };
        let challenge = &pending.challenge;
        let evidence = evidence.verify_going_on(&AwsLc, lak, challenge, history)?;
        let new = new_history(&evidence, &kept, follows);
        Ok((evidence, new))
    }
}

impl Judge {
    /// Keeps a part of a list, and says where the device goes on. Evidence that is not a part, or that is
    /// not believed, comes back.
    pub(super) async fn take_part(
        &self,
        shown: Shown,
        pending: &Pending,
    ) -> Result<Result<Vec<u8>, Shown>, No> {
        if !shown.goes_on() {
            return Ok(Err(shown));
        }
        let (lak, challenge) = (pending.lak()?, pending.challenge.clone());
        let shown = self.heavy(move || shown.checked(&lak, &challenge)).await?;
        let Ok(evidence) = &shown.evidence else { return Ok(Err(shown)) };
        let list = evidence.ima_log().ok_or(No::Failed)?;
        let new = NewPart {
            device: pending.device.id.clone(),
            boot: evidence.stated_boot().map_err(|_| No::Failed)?,
            first: list.first(),
            entries: u32::try_from(list.len()).unwrap_or(u32::MAX),
            octets: list.octets().to_vec(),
        };
        if new.octets.len() < SHORTEST as usize {
            return Err(No::refused(
                "attest.ima.part-short",
                format!("a part of an IMA list that goes on has at least {SHORTEST} octets"),
            ));
        }
        let (limits, now, device) = (self.config.limits.lists, clock::now(), new.device.clone());
        let first = new.first;
        let taken = self.store.call(move |db| db.take_part(&new, limits, now)).await?;
        match taken {
            Taken::Kept(PendingList { entries, octets, .. }) => {
                tracing::info!(device, entries, octets, "a part of an IMA list came");
                Ok(Ok(Named::new(EvidenceContinue { device, entries, octets }).to_vec()))
            }
            Taken::Elsewhere => Err(needs_all(first)),
            Taken::TooLong => Err(self.too_long(&device).await?),
            Taken::NoRoom => Err(No::refused(
                "attest.ima.no-room",
                "the IMA lists of other devices take all that `ima_pending` in [limits] of the \
                 fleet allows; attest again in a minute",
            )),
        }
    }

    /// Evidence with what there is of its list already; refused if the list is too long.
    pub(super) async fn with_lists(&self, mut shown: Shown, device: &str) -> Result<Shown, No> {
        let follows = shown.follows();
        let Some(list) = shown.evidence.as_ref().ok().and_then(Evidence::ima_log) else {
            return Ok(shown);
        };
        let first = list.first();
        let proven = shown.kept.proven.filter(|_| first > 0);
        let before = follows.map(|list| list.octets).or(proven.map(|list| list.octets));
        let shown_octets = u64::try_from(list.octets().len()).unwrap_or(u64::MAX);
        let entries = first.saturating_add(u32::try_from(list.len()).unwrap_or(u32::MAX));
        let octets = before.unwrap_or(0).saturating_add(shown_octets);
        if self.config.limits.lists.is_exceeded(octets, entries) {
            return Err(self.too_long(device).await?);
        }
        let mut begins = first;
        if let Some(pending) = follows {
            if pending.refused {
                let id = device.to_owned();
                self.store.call(move |db| db.drop_pending_list(&id)).await?;
                return Err(needs_all(first));
            }
            let same = proven.filter(|proven| proven.list == pending.list);
            begins = same.map_or(0, |proven| proven.entries);
            let octets = self.list(device, pending.list, (begins, pending.entries)).await?;
            shown.earlier = Some((begins, octets));
        }
        let lacks = shown.history.as_ref().is_some_and(History::lacks_list);
        if let Some(proven) = proven.filter(|_| begins > 0 && lacks) {
            shown.proven = Some(self.list(device, proven.list, (0, proven.entries)).await?);
        }
        Ok(shown)
    }

    /// The octets of a list's entries from one up to another.
    async fn list(&self, device: &str, list: u64, (first, end): (u32, u32)) -> Result<Vec<u8>, No> {
        let (mut next, mut all) = (first, Vec::new());
        while next < end {
            let id = device.to_owned();
            let read = self.store.call(move |db| db.list_octets(&id, list, (next, end))).await?;
            // Another attestation of the device may have ended meanwhile.
            if read.0 == next || read.0 > end {
                return Err(needs_all(next));
            }
            next = read.0;
            all.extend_from_slice(&read.1);
        }
        Ok(all)
    }

    async fn too_long(&self, device: &str) -> Result<No, No> {
        const CODE: &str = "attest.ima.too-long";
        let limits = self.config.limits.lists;
        let words = format!(
            "the IMA list is longer than {} octets or {} entries; raise `ima_list` or \
             `ima_entries` in [limits] of the fleet, have the device's IMA policy measure less, or \
             restart the device, so that its list begins anew",
            limits.octets, limits.entries
        );
        let now = clock::now();
        if self.refusals.may_tell(device, now) {
            let event = NewEvent::new(Code::EvidenceRefused, device, words.as_str());
            let event = event.with("reason_code", CODE);
            self.store.call(move |db| db.record_event(now, &event)).await?;
        }
        Ok(No::refused(CODE, words))
    }
}

impl Shown {
    fn checked(mut self, lak: &LakPublic, challenge: &touchstone_evidence::Challenge) -> Self {
        let last = self.history.as_ref().map(History::moment);
        self.evidence = self.evidence.and_then(|evidence| {
            evidence.check_part(&AwsLc, lak, challenge, last).map(|()| evidence)
        });
        self
    }
}

fn needs_all(first: u32) -> No {
    let why = Discontinuity::NeedsAll { first };
    No::refused(why.code(), format!("{why}; attest again"))
}

/// What is to be kept of evidence, where that is there already.
fn new_history(
    evidence: &Verified<Evidence>,
    kept: &Kept,
    follows: Option<PendingList>,
) -> Option<NewHistory> {
    let history = History::beside_list(evidence)?;
    let entries = history.mark().map_or(0, |mark| mark.entries);
    let goes_on = evidence.ima_proven().is_some_and(|proven| proven.from.is_some());
    let (number, keep) = match (follows, kept.proven) {
        (Some(pending), _) if pending.list > 0 && pending.entries <= entries => {
            (pending.list, pending.entries)
        }
        (_, Some(proven)) if proven.list > 0 && goes_on => (proven.list, proven.entries),
        (_, proven) => (proven.map_or(0, |proven| proven.list) + 1, 0),
    };
    let list = evidence.ima_log().filter(|_| history.mark().is_some());
    let octets = list.map_or(0, |list| list.octets().len());
    Some(NewHistory {
        proven: ProvenList {
            list: number,
            boot: history.moment().boot(),
            entries,
            octets: u64::try_from(octets).unwrap_or(u64::MAX),
        },
        history: history.encode(),
        before: (kept.proven, kept.pending),
        keep,
        more: list.map_or_else(Vec::new, |list| pieces(list, keep)),
    })
}

/// The entries of a list from one on, in pieces that are kept together.
fn pieces(list: &Log, from: u32) -> Vec<(u32, u32, Vec<u8>)> {
    let mut pieces = Vec::new();
    let (mut first, mut count) = (from, 0);
    let place = |index: u32| usize::try_from(index).unwrap_or(usize::MAX);
    let mut rest = list.octets_from(place(from));
    let end = list.octets().len();
    let ends = list.entries_from(place(from)).map(|entry| entry.at).skip(1).chain([end]);
    for at in ends.take(list.len().saturating_sub(place(from))) {
        count += 1;
        let len = at.saturating_sub(end - rest.len());
        if len < TOGETHER && at < end {
            continue;
        }
        let (piece, behind) = rest.split_at(len.min(rest.len()));
        pieces.push((first, count, piece.to_vec()));
        (rest, first, count) = (behind, first + count, 0);
    }
    pieces
}
