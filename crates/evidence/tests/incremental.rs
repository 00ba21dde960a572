//! Attesting again: only what is new in the IMA list is sent and replayed, and what does not go on
//! from the last time is told apart.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod attester;

use attester::{Attester, SHA256, challenge, signature};
use proptest::prelude::*;
use touchstone_crypto::{Crypto, Verified};
use touchstone_crypto_awslc::AwsLc;
use touchstone_evidence::{Challenge, Error, Evidence, History, QuoteParts, claims};
use touchstone_measure::ima::{Continuity, Discontinuity, Log};

/// An `ima-ng` entry about a file.
fn entry(path: &str) -> Vec<u8> {
    let sized =
        |octets: &[u8]| [&u32::try_from(octets.len()).unwrap().to_le_bytes(), octets].concat();
    let digest = AwsLc.hash(SHA256, &[path.as_bytes()]);
    let digest = [b"sha256:\0", digest.as_bytes()].concat();
    let data = [sized(&digest), sized(&[path.as_bytes(), &[0]].concat())].concat();
    let template = AwsLc.hash(touchstone_crypto::HashAlgorithm::Sha1, &[&data]);
    [&10u32.to_le_bytes(), template.as_bytes(), &sized(b"ima-ng"), &sized(&data)].concat()
}

/// What the device sends in its `boot`th boot, of its list only what is behind `first`.
fn sent(attester: &Attester, challenge: &Challenge, boot: u32, first: u32) -> Vec<u8> {
    sent_at(attester, challenge, (None, boot, None), first)
}

/// The same, with what the TPM's clock and its count of restarts are said to be.
fn sent_at(
    attester: &Attester,
    challenge: &Challenge,
    (clock, boot, restarts): (Option<u64>, u32, Option<u32>),
    first: u32,
) -> Vec<u8> {
    let QuoteParts { mut attest, .. } = attester.quote(challenge, &attester.pcrs());
    // Behind magic, type, signer and nonce.
    if let Some(clock) = clock {
        attest[76..84].copy_from_slice(&clock.to_be_bytes());
    }
    attest[84..88].copy_from_slice(&boot.to_be_bytes());
    if let Some(restarts) = restarts {
        attest[88..92].copy_from_slice(&restarts.to_be_bytes());
    }
    let quote = QuoteParts { signature: signature(&attester.key, &attest), attest };
    let list = Log::decode(&attester.ima_log).unwrap();
    let part = list.octets_from(first as usize);
    let pcrs = attester.pcrs();
    let values: Vec<_> =
        challenge.selection.pcrs.iter().map(|pcr| pcrs.value(*pcr).unwrap()).collect();
    let runtime = attester.runtime.encode();
    Evidence::encode_from(&quote, &attester.event_log, (first, part), &runtime, &values)
}

/// One attestation: what is sent, and what it proves.
fn attest(
    attester: &Attester,
    history: Option<&History>,
    boot: u32,
    first: u32,
) -> Result<Verified<Evidence>, Error> {
    let challenge = Challenge { ima: history.and_then(History::mark), ..challenge() };
    assert_eq!(Challenge::decode(&challenge.encode()).unwrap(), challenge);
    let octets = sent(attester, &challenge, boot, first);
    Evidence::decode(&octets)?.verify_after(&AwsLc, &attester.lak(), &challenge, history)
}

/// A device that attested once in its third boot, and what the Verifier kept.
fn known() -> (Attester, History) {
    let attester = Attester::of_the_rig();
    let verified = attest(&attester, None, 3, 0).unwrap();
    assert_eq!(verified.ima_proven().unwrap().continuity, Continuity::Whole);
    let history = History::of(&verified).unwrap();
    (attester, History::decode(&history.encode()).unwrap())
}

fn refusal(result: Result<Verified<Evidence>, Error>) -> Error {
    result.map(|_| ()).unwrap_err()
}

#[test]
fn only_what_is_new_is_sent_and_the_whole_list_is_judged() {
    let (mut attester, mut history) = known();
    let known = history.mark().unwrap().entries;
    for round in 1..4 {
        attester.ima_log.extend(entry(&format!("/usr/bin/{round}")));
        let first = history.mark().unwrap().entries;
        let verified = attest(&attester, Some(&history), 3, first).unwrap();
        let proven = verified.ima_proven().unwrap();
        assert_eq!((proven.continuity, proven.prefix.quoted), (Continuity::Grown, 1));
        let whole = Log::decode(&attester.ima_log).unwrap();
        assert_eq!(verified.ima_log().unwrap(), &whole);
        // What was measured at first is still there to be judged.
        let claims = claims(&AwsLc, &verified).unwrap();
        assert_eq!(claims.boot_aggregate, Some(true));
        history = History::of(&verified).unwrap();
        assert_eq!(history.mark().unwrap().entries, known + round);
    }
    // Nothing new; and everything once more.
    let first = history.mark().unwrap().entries;
    assert!(attest(&attester, Some(&history), 3, first).is_ok());
    let whole = attest(&attester, Some(&history), 3, 0).unwrap();
    assert_eq!(History::of(&whole).unwrap(), history);
}

#[test]
fn a_reboot_shows_everything_and_a_verifier_without_memory_asks_for_it() {
    let (attester, history) = known();
    let first = history.mark().unwrap().entries;
    let part = refusal(attest(&attester, Some(&history), 4, first));
    assert_eq!(part, Error::Ima(Discontinuity::NeedsAll { first }));
    assert_eq!(part.code(), "measure.ima.needs-all");
    let whole = attest(&attester, Some(&history), 4, 0).unwrap();
    assert_eq!(whole.ima_proven().unwrap().continuity, Continuity::Rebooted);
    assert_eq!(History::of(&whole).unwrap().mark().unwrap().boot.resets, 4);

    let forgotten = refusal(attest(&attester, None, 3, first));
    assert_eq!(forgotten, Error::Ima(Discontinuity::NeedsAll { first }));
}

#[test]
fn a_cut_and_a_rewritten_list_are_told_apart_from_another_boot() {
    let (attester, history) = known();
    let acknowledged = history.mark().unwrap().entries;
    let list = Log::decode(&attester.ima_log).unwrap();
    let second = list.get(1).unwrap().at;

    let mut cut = Attester { ima_log: attester.ima_log[..second].to_vec(), ..attester };
    let refused = refusal(attest(&cut, Some(&history), 3, 0));
    let truncated = Discontinuity::Truncated { acknowledged, shown: 1 };
    assert_eq!(refused, Error::Ima(truncated));

    // Another history that leads to what is quoted.
    for at in 1..=acknowledged {
        cut.ima_log.extend(entry(&format!("/usr/bin/{at}")));
    }
    let rewritten = Error::Ima(Discontinuity::Rewritten { acknowledged });
    assert_eq!(refusal(attest(&cut, Some(&history), 3, 0)), rewritten);
    assert_eq!(refusal(attest(&cut, Some(&history), 3, acknowledged)), rewritten);
}

#[test]
fn another_register_that_differs_is_still_named() {
    let (attester, history) = known();
    let first = history.mark().unwrap().entries;
    let challenge = Challenge { ima: history.mark(), ..challenge() };
    let good = sent(&attester, &challenge, 3, first);
    // The log of another boot beside a quote of this one.
    let log = &attester.event_log;
    let event = touchstone_measure::tcg::EventLog::decode(log).unwrap().events()[4].clone();
    let digest = event.digest(SHA256).unwrap();
    let at = good.windows(32).position(|window| window == digest.as_bytes()).unwrap();
    let mut bad = good.clone();
    bad[at] ^= 1;
    let verify = |octets: &[u8]| {
        let evidence = Evidence::decode(octets).unwrap();
        evidence.verify_after(&AwsLc, &attester.lak(), &challenge, Some(&history)).map(|_| ())
    };
    assert_eq!(verify(&good), Ok(()));
    let Err(Error::Replay { pcr, .. }) = verify(&bad) else { panic!("not refused") };
    assert_eq!(pcr, Some(event.pcr));
}

#[test]
fn a_history_that_was_damaged_is_refused() {
    let (_, history) = known();
    let good = history.encode();
    for cut in 0..good.len() {
        assert!(History::decode(&good[..cut]).is_err(), "cut at {cut}");
    }
    // The number of entries stands before SHA-256's number.
    let entries = u8::try_from(history.mark().unwrap().entries).unwrap();
    let at = good.windows(3).position(|window| window == [entries, 0x0B, 0x58]).unwrap();
    let mut fewer = good.clone();
    fewer[at] -= 1;
    assert!(History::decode(&fewer).is_err());
}

#[test]
fn a_tpm_whose_state_was_put_back_is_refused_and_one_that_slept_is_not() {
    let attester = Attester::of_the_rig();
    let challenge = challenge();
    let (clock, resets, restarts) = (90_000, 3, 2);
    let verified = |at: (u64, u32, u32), history: Option<&History>| {
        let octets = sent_at(&attester, &challenge, (Some(at.0), at.1, Some(at.2)), 0);
        let evidence = Evidence::decode(&octets).unwrap();
        evidence.verify_after(&AwsLc, &attester.lak(), &challenge, history)
    };
    let history = History::of(&verified((clock, resets, restarts), None).unwrap()).unwrap();
    let history = History::decode(&history.encode()).unwrap();
    let shows = |at| verified(at, Some(&history));
    let refused = |at: (u64, u32, u32)| match refusal(shows(at)) {
        Error::TurnedBack(back) => back.code(),
        other => panic!("{other}"),
    };
    assert_eq!(refused((clock + 9, resets - 1, restarts)), "evidence.clock.reset-count");
    assert_eq!(refused((clock + 9, resets, restarts - 1)), "evidence.clock.restart-count");
    assert_eq!(refused((clock - 1, resets, restarts)), "evidence.clock.back");
    // Its registers went on through the sleep, as the whole list shows.
    let slept = shows((clock + 9, resets, restarts + 1)).unwrap();
    assert_eq!(slept.ima_proven().unwrap().continuity, Continuity::Grown);
}

/// A device whose TPM holds what one attester has, and that shows the list of another.
struct Device<'a> {
    holds: &'a Attester,
    list: &'a [u8],
    boot: u32,
}

impl Device<'_> {
    fn quote(&self, challenge: &Challenge) -> QuoteParts {
        let QuoteParts { mut attest, .. } = self.holds.quote(challenge, &self.holds.pcrs());
        attest[84..88].copy_from_slice(&self.boot.to_be_bytes());
        QuoteParts { signature: signature(&self.holds.key, &attest), attest }
    }

    /// Attests with a list that is sent in parts, which end behind these numbers of entries.
    fn attest(
        &self,
        history: Option<&History>,
        ends: &[usize],
    ) -> Result<Verified<Evidence>, Error> {
        let lak = self.holds.lak();
        let runtime = self.holds.runtime.encode();
        let list = Log::decode(self.list).unwrap();
        let mark = history.and_then(History::mark).filter(|mark| mark.boot.resets == self.boot);
        let known = mark.map_or(0, |mark| mark.entries as usize);
        let (mut first, mut earlier) = (known, None::<Log>);
        for &end in ends.iter().filter(|&&end| end > known) {
            let challenge = challenge();
            let part = list.octets_from(first);
            let part = &part[..part.len() - list.octets_from(end).len()];
            let part = (u32::try_from(first).unwrap(), part);
            let octets = Evidence::encode_part(&self.quote(&challenge), part, &runtime);
            let sent = Evidence::decode(&octets).unwrap();
            sent.check_part(&AwsLc, &lak, &challenge, None).unwrap();
            assert!(sent.goes_on() && sent.event_log().is_none());
            let pending = match earlier.take() {
                Some(earlier) => sent.behind(earlier).unwrap(),
                None => sent,
            };
            earlier = pending.ima_log().cloned();
            first = end;
            // A part proves nothing, whoever asks.
            let refused = pending.verify_after(&AwsLc, &lak, &challenge, history);
            assert_eq!(refusal(refused).code(), "evidence.ima.unfinished");
        }
        let challenge = challenge();
        let part = (u32::try_from(first).unwrap(), list.octets_from(first));
        let (quote, log) = (self.quote(&challenge), &self.holds.event_log);
        let octets = Evidence::encode_from(&quote, log, part, &runtime, &[]);
        let end = Evidence::decode(&octets)?;
        let whole = match earlier {
            Some(earlier) => end.behind(earlier)?,
            None => end,
        };
        whole.verify_after(&AwsLc, &lak, &challenge, history)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However a list is cut, whatever is wrong with it, and whether some of it was proven before.
    #[test]
    fn cutting_a_list_into_parts_changes_no_verdict(
        files in 1usize..30,
        cuts in proptest::collection::btree_set(1usize..60, 0..6),
        known in any::<bool>(),
        boot in 3u32..5,
        damage in proptest::option::of(0usize..30),
    ) {
        let (mut attester, history) = self::known();
        let history = known.then_some(history);
        for file in 0..files {
            attester.ima_log.extend(entry(&format!("/usr/bin/{file}")));
        }
        let list = Log::decode(&attester.ima_log).unwrap();
        let cuts: Vec<usize> = cuts.into_iter().filter(|&cut| cut < list.len()).collect();
        let mut shown = attester.ima_log.clone();
        if let Some(at) = damage.map(|back| list.len() - 1 - back % files) {
            // The name of what was measured is another than the TPM was told.
            let end = shown.len() - list.octets_from(at + 1).len();
            shown[end - 2] ^= 1;
        }
        let device = Device { holds: &attester, list: &shown, boot };
        let whole = device.attest(history.as_ref(), &[]);
        let parts = device.attest(history.as_ref(), &cuts);
        if damage.is_none() {
            prop_assert!(whole.is_ok());
        }
        match (whole, parts) {
            (Ok(whole), Ok(parts)) => {
                prop_assert_eq!(whole.ima_log(), parts.ima_log());
                prop_assert_eq!(whole.pcrs(), parts.pcrs());
                prop_assert_eq!(whole.event_log(), parts.event_log());
                let kept = History::beside_list(&parts).unwrap();
                let kept = History::decode(&kept.encode()).unwrap();
                prop_assert!(kept.lacks_list());
                let list = parts.ima_log().unwrap().octets().to_vec();
                let (kept, of) = (kept.with_list(list).unwrap(), History::of(&whole).unwrap());
                prop_assert_eq!(kept.mark(), of.mark());
            }
            (whole, parts) => prop_assert_eq!(refusal(whole), refusal(parts)),
        }
    }
}

#[test]
fn parts_between_which_something_is_missing_are_asked_for_from_the_start() {
    let (mut attester, _) = known();
    attester.ima_log.extend([entry("/usr/bin/1"), entry("/usr/bin/2")].concat());
    let list = Log::decode(&attester.ima_log).unwrap();
    let challenge = challenge();
    let from = |first: u32| {
        let octets = sent(&attester, &challenge, 3, first);
        Evidence::decode(&octets).unwrap()
    };
    let mut earlier = list.clone();
    earlier.truncate(1);
    let gap = from(2).behind(earlier.clone()).unwrap_err();
    assert_eq!(gap, Error::Ima(Discontinuity::NeedsAll { first: 2 }));
    let whole = from(1).behind(earlier).unwrap();
    assert_eq!(whole.ima_log(), Some(&list));
}

#[test]
fn a_history_whose_list_is_kept_elsewhere_proves_nothing_without_it() {
    let (mut attester, history) = known();
    attester.ima_log.extend(entry("/usr/bin/1"));
    let first = history.mark().unwrap().entries;
    let verified = attest(&attester, Some(&history), 3, first).unwrap();
    let kept = History::decode(&History::beside_list(&verified).unwrap().encode()).unwrap();
    attester.ima_log.extend(entry("/usr/bin/2"));
    let lacking = attest(&attester, Some(&kept), 3, first + 1);
    assert_eq!(refusal(lacking), Error::Ima(Discontinuity::NeedsAll { first: first + 1 }));
    let list = verified.ima_log().unwrap().octets();
    assert!(kept.clone().with_list(list[..list.len() - 1].to_vec()).is_err());
    let whole = kept.with_list(list.to_vec()).unwrap();
    attest(&attester, Some(&whole), 3, first + 1).unwrap();
}

#[test]
fn a_challenge_names_what_is_known_and_how_much_comes_at_a_time() {
    let mark = known().1.mark();
    for (ima, part) in [(None, None), (mark, None), (None, Some(1 << 18)), (mark, Some(9))] {
        let challenge = Challenge { ima, part, ..challenge() };
        assert_eq!(Challenge::decode(&challenge.encode()), Ok(challenge));
    }
}
