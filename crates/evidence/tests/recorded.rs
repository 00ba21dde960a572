//! Quotes as files: what verifies, and each attack on what stands beside the signature. The TPM is
//! a key in software here, so that every field can be wrong in turn.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod attester;

use attester::{LAK_ATTRIBUTES, SIGN_ATTRIBUTES, attest, ecc_public, key, signature, sized};
use proptest::prelude::*;
use touchstone_crypto::{Crypto, HashAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_evidence::tpm::{AttestationKey, ClockInfo, Expected, Moment, TurnedBack};
use touchstone_evidence::tpm2_tools::{PcrFile, attestation_key};
use touchstone_evidence::{Account, Error, Recorded, claims};
use touchstone_measure::tcg::{Event, EventLog};
use touchstone_measure::{Pcrs, ima};
use touchstone_peers::{pcr_file as serialized, rig};

const SHA1: HashAlgorithm = HashAlgorithm::Sha1;
const SHA256: HashAlgorithm = HashAlgorithm::Sha256;
const SHA384: HashAlgorithm = HashAlgorithm::Sha384;
const NONCE: &[u8] = b"the verifier's nonce";

/// TPML_PCR_SELECTION and the values, as a TPM puts them into a quote.
struct Quoted {
    key: SoftSigner,
    selection: Vec<(u16, Vec<u32>)>,
    values: Vec<Vec<u8>>,
}

impl Quoted {
    /// PCRs of one bank, each with a value of its own.
    fn of(algorithm: HashAlgorithm, pcrs: &[u32]) -> Self {
        Self { key: key(), selection: Vec::new(), values: Vec::new() }.and(algorithm, pcrs)
    }

    fn and(mut self, algorithm: HashAlgorithm, pcrs: &[u32]) -> Self {
        let value = |pcr: &u32| vec![u8::try_from(*pcr).unwrap() + 1; algorithm.len()];
        self.selection.push((algorithm.tpm_id(), pcrs.to_vec()));
        self.values.extend(pcrs.iter().map(value));
        self
    }

    fn attest(&self) -> Vec<u8> {
        let mut body = u32::try_from(self.selection.len()).unwrap().to_be_bytes().to_vec();
        for (id, pcrs) in &self.selection {
            let mut bits = [0u8; 3];
            for pcr in pcrs {
                bits[*pcr as usize / 8] |= 1 << (pcr % 8);
            }
            body.extend(id.to_be_bytes());
            body.push(3);
            body.extend(bits);
        }
        let parts: Vec<&[u8]> = self.values.iter().map(Vec::as_slice).collect();
        body.extend(sized(AwsLc.hash(SHA256, &parts).as_bytes()));
        attest(0x8018, NONCE, &body)
    }

    fn attestation_key(&self) -> AttestationKey {
        AttestationKey::from_native(&ecc_public(self.key.spki_der(), LAK_ATTRIBUTES)).unwrap()
    }

    /// Verifies the quote with a file of PCR values.
    fn with(&self, pcrs: &[u8]) -> Result<Account, Error> {
        self.expecting(pcrs, |expected| expected)
    }

    fn expecting(
        &self,
        pcrs: &[u8],
        change: impl for<'a> FnOnce(Expected<'a>) -> Expected<'a>,
    ) -> Result<Account, Error> {
        let attest = self.attest();
        let signature = signature(&self.key, &attest);
        let pcrs = PcrFile::decode(pcrs)?;
        let (attest, signature) = (attest.as_slice(), signature.as_slice());
        let recorded = Recorded { attest, signature, pcrs, event_log: None, ima_log: None };
        let key = self.attestation_key();
        let expected = change(Expected::new(&key, NONCE));
        recorded.verify(&AwsLc, &expected).map(|(_, account)| account)
    }

    /// The honest file, in the format `serialized`.
    fn file(&self) -> Vec<u8> {
        serialized(&self.selection, &self.values)
    }
}

#[test]
fn honest_values_are_bound_and_keep_their_numbers() {
    let quoted = Quoted::of(SHA256, &[0, 4, 7]).and(SHA384, &[7]);
    let account = quoted.with(&quoted.file()).unwrap();
    let bank = account.pcrs.bank(SHA256).unwrap();
    assert_eq!(bank.value(4).unwrap().as_bytes(), [5; 32]);
    assert_eq!(bank.value(5), None);
    assert_eq!(account.pcrs.bank(SHA384).unwrap().value(7).unwrap().as_bytes(), [8; 48]);
    assert_eq!(account.unexplained, [(SHA256, vec![0, 4, 7]), (SHA384, vec![7])]);
    // Values alone stand in the order of the signed selection.
    assert_eq!(quoted.with(&quoted.values.concat()).unwrap().pcrs, account.pcrs);
}

/// The digest fits, because the values are the quoted ones; the labels say that PCR 4 is PCR 7.
#[test]
fn a_blob_that_relabels_pcrs_is_refused() {
    let quoted = Quoted::of(SHA256, &[0, 4]);
    for selection in [
        vec![(0x0B, vec![0, 7])],
        vec![(0x0B, vec![1, 4])],
        vec![(0x0C, vec![0, 4])],
        vec![(0x0B, vec![0]), (0x0C, vec![4])],
        vec![(0x0B, vec![4]), (0x0C, vec![0])],
    ] {
        let file = serialized(&selection, &quoted.values);
        assert_eq!(quoted.with(&file).unwrap_err(), Error::PcrLabels, "{selection:?}");
    }
    let hex = |octet: &str| octet.repeat(32);
    let printed = format!("  sha256:\n    0 : 0x{}\n    7 : 0x{}\n", hex("01"), hex("05"));
    assert_eq!(quoted.with(printed.as_bytes()).unwrap_err(), Error::PcrLabels);
}

#[test]
fn banks_that_come_twice_are_refused_on_either_side() {
    let quoted = Quoted::of(SHA256, &[0, 4]);
    let twice = serialized(&[(0x0B, vec![0]), (0x0B, vec![4])], &quoted.values);
    assert_eq!(quoted.with(&twice).unwrap_err(), Error::PcrBankTwice(SHA256));
    // A TPM signs what it is asked for, so the signed selection may do so, too.
    let signed = Quoted::of(SHA256, &[0]).and(SHA256, &[4]);
    assert_eq!(signed.with(&signed.file()).unwrap_err(), Error::PcrBankTwice(SHA256));
    assert_eq!(signed.with(&signed.values.concat()).unwrap_err(), Error::PcrBankTwice(SHA256));
}

#[test]
fn reordered_values_and_banks_are_refused() {
    let quoted = Quoted::of(SHA256, &[0, 4]).and(SHA384, &[7]);
    let mut swapped = quoted.values.clone();
    swapped.swap(0, 1);
    let refused = quoted.with(&serialized(&quoted.selection, &swapped)).unwrap_err();
    assert_eq!(refused, Error::PcrValues);
    assert_eq!(quoted.with(&swapped.concat()).unwrap_err(), Error::PcrValues);
    let mut banks = quoted.selection.clone();
    banks.reverse();
    let refused = quoted.with(&serialized(&banks, &quoted.values)).unwrap_err();
    assert_eq!(refused, Error::PcrLabels);
}

#[test]
fn more_or_fewer_values_are_refused() {
    let quoted = Quoted::of(SHA256, &[0, 4]);
    let file = |values: &[Vec<u8>]| serialized(&quoted.selection, values);
    let more = [&quoted.values[..], &[vec![9; 32]]].concat();
    let refused = quoted.with(&file(&more)).unwrap_err();
    assert_eq!(refused, Error::PcrCount { wanted: 2, found: 3 });
    let refused = quoted.with(&file(&quoted.values[..1])).unwrap_err();
    assert_eq!(refused, Error::PcrCount { wanted: 2, found: 1 });
    let labelled = serialized(&[(0x0B, vec![0, 4, 9])], &more);
    assert_eq!(quoted.with(&labelled).unwrap_err(), Error::PcrLabels);
    assert_eq!(quoted.with(&more.concat()).unwrap_err(), Error::PcrValues);
    assert_eq!(quoted.with(&[]).unwrap_err(), Error::PcrValues);
    // One value cut in two gives the same octets to hash.
    let (left, right) = quoted.values[0].split_at(16);
    let cut = [left.to_vec(), right.to_vec(), quoted.values[1].clone()];
    assert!(quoted.with(&file(&cut)).is_err());
    let cut = [left.to_vec(), [right, &quoted.values[1]].concat()];
    assert_eq!(quoted.with(&file(&cut)).unwrap_err(), Error::PcrValues);
}

#[test]
fn a_quote_of_no_pcr_says_nothing() {
    let none = Quoted::of(SHA256, &[]);
    assert_eq!(none.with(&[]).unwrap_err(), Error::Selection);
    let empty = Quoted { selection: Vec::new(), ..none };
    assert_eq!(empty.with(&[]).unwrap_err(), Error::Selection);
}

#[test]
fn values_of_sha1_are_passed_over_unless_asked_for() {
    let both = Quoted::of(SHA1, &[0]).and(SHA256, &[0]);
    let account = both.with(&both.file()).unwrap();
    assert_eq!(account.pcrs.bank(SHA1), None);
    assert!(account.pcrs.bank(SHA256).is_some());
    let alone = Quoted::of(SHA1, &[0]);
    assert_eq!(alone.with(&alone.file()).unwrap_err(), Error::Weak);
    let taken =
        alone.expecting(&alone.file(), |expected| expected.dangerous().accept_sha1()).unwrap();
    assert!(taken.pcrs.bank(SHA1).is_some());
}

#[test]
fn another_nonce_or_key_or_an_unrestricted_one_is_refused() {
    let quoted = Quoted::of(SHA256, &[0]);
    let (attest, pcrs) = (quoted.attest(), PcrFile::decode(&quoted.file()).unwrap());
    let signed = signature(&quoted.key, &attest);
    let recorded = |pcrs: PcrFile| Recorded {
        attest: &attest,
        signature: &signed,
        pcrs,
        event_log: None,
        ima_log: None,
    };
    let key = quoted.attestation_key();
    let old = Expected::new(&key, b"another nonce");
    let refused = recorded(pcrs.clone()).verify(&AwsLc, &old).unwrap_err();
    assert_eq!(refused, Error::NotFresh);
    let stranger = Quoted::of(SHA256, &[0]).attestation_key();
    let refused = recorded(pcrs).verify(&AwsLc, &Expected::new(&stranger, NONCE)).unwrap_err();
    assert_eq!(refused.code(), "evidence.attest.signature");
    let native = ecc_public(quoted.key.spki_der(), SIGN_ATTRIBUTES);
    let refused = attestation_key(&native).unwrap_err();
    assert_eq!(refused, Error::KeyAttributes("restricted to what the TPM made"));
}

#[test]
fn a_clock_that_was_put_back_is_refused() {
    let quoted = Quoted::of(SHA256, &[0]);
    let at = |clock, reset_count, restart_count| Moment {
        clock: ClockInfo { clock, reset_count, restart_count, safe: true },
        firmware_version: 0,
    };
    let after = |last| quoted.expecting(&quoted.file(), |expected| expected.after(last));
    assert!(after(at(0, 0, 0)).is_ok());
    for (last, back) in [
        (at(0, 1, 0), TurnedBack::ResetCount { last: 1, now: 0 }),
        (at(0, 0, 1), TurnedBack::RestartCount { last: 1, now: 0 }),
        (at(1, 0, 0), TurnedBack::Clock { last: 1, now: 0 }),
    ] {
        let refused = after(last).unwrap_err();
        assert_eq!((refused.code(), &refused), (back.code(), &Error::TurnedBack(back)));
    }
}

/// The rig's logs, quoted as a TPM would.
fn rig_quote(pcrs: &[u32]) -> (Quoted, EventLog, ima::Log) {
    let log = EventLog::decode(&rig("binary_bios_measurements")).unwrap();
    let list = ima::Log::decode(&rig("binary_runtime_measurements")).unwrap();
    let mut values: Pcrs = log.replay(&AwsLc, SHA256);
    values.set(ima::PCR, list.replay_pcr10(&AwsLc, SHA256));
    let octets = |pcr: &u32| values.value(*pcr).unwrap().as_bytes().to_vec();
    let values = pcrs.iter().map(octets).collect();
    let quoted = Quoted { key: key(), selection: vec![(0x0B, pcrs.to_vec())], values };
    (quoted, log, list)
}

fn appraised(
    quoted: &Quoted,
    event_log: Option<EventLog>,
    ima_log: Option<ima::Log>,
) -> Result<(touchstone_crypto::Verified<touchstone_evidence::Evidence>, Account), Error> {
    let attest = quoted.attest();
    let signature = signature(&quoted.key, &attest);
    let pcrs = PcrFile::decode(&quoted.file()).unwrap();
    let recorded = Recorded { attest: &attest, signature: &signature, pcrs, event_log, ima_log };
    recorded.verify(&AwsLc, &Expected::new(&quoted.attestation_key(), NONCE))
}

const ALL: [u32; 15] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];

#[test]
fn logs_that_lead_to_the_quote_make_claims_and_missing_ones_make_none() {
    let (quoted, log, list) = rig_quote(&ALL);
    let (evidence, account) = appraised(&quoted, Some(log.clone()), Some(list)).unwrap();
    assert_eq!(account.explained, [(SHA256, ALL.to_vec())]);
    let found = claims(&AwsLc, &evidence).unwrap();
    assert_eq!(found.boot_aggregate, Some(true));
    assert_eq!(found.ima.unwrap().len(), 2);
    assert_eq!(found.boot.unwrap().images.len(), 1);
    assert_eq!(found.runtime, None);

    let (evidence, account) = appraised(&quoted, Some(log), None).unwrap();
    assert_eq!(account.unexplained, [(SHA256, vec![10])]);
    let found = claims(&AwsLc, &evidence).unwrap();
    assert_eq!((found.ima, found.boot_aggregate), (None, None));

    let (evidence, account) = appraised(&quoted, None, None).unwrap();
    assert_eq!(account.unexplained, [(SHA256, ALL.to_vec())]);
    let found = claims(&AwsLc, &evidence).unwrap();
    assert_eq!(found.boot, None);
    assert_eq!(found.pcr(0).unwrap().as_bytes(), quoted.values[0]);
    assert_eq!(found.pcr(15), None);
}

#[test]
fn a_log_that_leaves_a_pcr_out_is_refused_with_that_pcr() {
    let (quoted, log, list) = rig_quote(&ALL);
    // All that was measured into PCR 4 is gone from the log, and with it every boot image.
    let octets = rig("binary_bios_measurements");
    let mut kept = Vec::new();
    let mut at = 0;
    for event in log.events() {
        let len = if event.index == 0 {
            32 + event.data.len()
        } else {
            let digests: usize =
                event.digests.iter().map(|digest| 2 + digest.algorithm().len()).sum();
            12 + digests + 4 + event.data.len()
        };
        if event.pcr != 4 {
            kept.extend_from_slice(&octets[at..at + len]);
        }
        at += len;
    }
    assert_eq!(at, octets.len());
    let without = EventLog::decode(&kept).unwrap();
    let refused = appraised(&quoted, Some(without), Some(list)).unwrap_err();
    let Error::Replay { pcr: Some(4), .. } = refused else { panic!("{refused}") };
}

/// The rig's log in the SHA-256 bank, with its events changed.
fn changed(change: impl FnOnce(&mut Vec<Event>)) -> EventLog {
    let octets = rig("binary_bios_measurements");
    let log = EventLog::decode(&octets).unwrap();
    let mut events = log.events().to_vec();
    change(&mut events);
    let mut written = octets[..32 + events[0].data.len()].to_vec();
    for event in &events[1..] {
        written.extend(event.pcr.to_le_bytes());
        written.extend(event.kind.0.to_le_bytes());
        written.extend(1u32.to_le_bytes());
        written.extend(SHA256.tpm_id().to_le_bytes());
        written.extend(event.digest(SHA256).unwrap().as_bytes());
        written.extend(u32::try_from(event.data.len()).unwrap().to_le_bytes());
        written.extend(&event.data);
    }
    EventLog::decode(&written).unwrap()
}

/// The event of the image that was booted.
const IMAGE: usize = 23;

#[test]
fn an_event_that_claims_another_pcr_is_refused() {
    let (quoted, _, list) = rig_quote(&ALL);
    let same = appraised(&quoted, Some(changed(|_| {})), Some(list.clone()));
    assert!(same.is_ok(), "{:?}", same.err());
    for pcr in (0..24).filter(|pcr| *pcr != 4) {
        let moved = changed(|events| events[IMAGE].pcr = pcr);
        let refused = appraised(&quoted, Some(moved), Some(list.clone())).unwrap_err();
        assert_eq!(refused.code(), "evidence.quote.replay", "PCR {pcr}: {refused}");
    }
}

/// What the IMA list explains is no place to hide an event in.
#[test]
fn an_event_in_the_pcr_of_ima_is_refused() {
    for pcrs in [&ALL[..], &[0, 7, 10]] {
        let (quoted, _, list) = rig_quote(pcrs);
        let added = changed(|events| events.push(Event { pcr: 10, ..events[IMAGE].clone() }));
        for list in [Some(list), None] {
            let refused = appraised(&quoted, Some(added.clone()), list).unwrap_err();
            let Error::Replay { pcr: Some(10), .. } = refused else { panic!("{refused}") };
        }
    }
    // Nobody vouches for PCR 10, and nothing is made of what is in it.
    let (quoted, ..) = rig_quote(&[0, 7]);
    let added = changed(|events| events.push(Event { pcr: 10, ..events[IMAGE].clone() }));
    let (evidence, _) = appraised(&quoted, Some(added), None).unwrap();
    assert_eq!(claims(&AwsLc, &evidence).unwrap().boot.unwrap().images, []);
}

#[test]
fn a_log_that_no_quoted_pcr_vouches_for_is_refused() {
    let (quoted, log, list) = rig_quote(&[10]);
    let refused = appraised(&quoted, Some(log.clone()), Some(list.clone())).unwrap_err();
    assert_eq!(refused, Error::NotCovered("event log"));
    let (quoted, ..) = rig_quote(&[0, 4]);
    let refused = appraised(&quoted, Some(log), Some(list.clone())).unwrap_err();
    assert_eq!(refused, Error::NotCovered("IMA list"));
    let (quoted, log, _) = rig_quote(&ALL);
    let other = ima::Log::decode(&[]).unwrap();
    let refused = appraised(&quoted, Some(log), Some(other)).unwrap_err();
    let Error::Replay { pcr: Some(10), .. } = refused else { panic!("{refused}") };
    let sha384 = Quoted::of(SHA384, &[0]);
    let refused = appraised(&sha384, None, Some(list)).unwrap_err();
    assert_eq!(refused, Error::NotCovered("IMA list"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_damaged_file_of_values_never_binds_to_others(
        at in any::<prop::sample::Index>(),
        value in 1u8..,
    ) {
        let quoted = Quoted::of(SHA256, &[0, 4, 7]);
        let honest = quoted.with(&quoted.file()).unwrap();
        let mut file = quoted.file();
        let at = at.index(file.len());
        file[at] ^= value;
        // What the values are not read from may differ, and nothing else.
        if let Ok(account) = quoted.with(&file) {
            prop_assert_eq!(account.pcrs, honest.pcrs);
        }
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..1300)) {
        let quoted = Quoted::of(SHA256, &[0]);
        prop_assert!(quoted.with(&bytes).is_err());
        let _ = attestation_key(&bytes);
    }
}
