//! Going on where the last attestation ended.

use super::SHA256;
use super::made::{file, name, violation};
use proptest::prelude::*;
use touchstone_crypto::Digest;
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::ima::{
    Boot, Checkpoint, Continuity, Discontinuity, Extension, Format, Limits, Log, Proven,
};

/// So many different entries; every third is a violation.
fn entries(range: std::ops::Range<u32>) -> Vec<Vec<u8>> {
    range
        .map(|at| {
            let path = format!("/usr/bin/{at}");
            if at % 3 == 2 {
                let zeros = [&b"sha256:\0"[..], &[0; 20]].concat();
                violation("ima-ng", &[&zeros, &name(&path)])
            } else {
                file(&path, path.as_bytes())
            }
        })
        .collect()
}

fn part(entries: &[Vec<u8>], first: u32) -> Log {
    Log::read(entries.concat(), Format::default(), Limits::default(), first).unwrap()
}

fn value(entries: &[Vec<u8>]) -> Digest {
    part(entries, 0).replay_pcr10(&AwsLc, SHA256)
}

fn prove(
    shown: &Log,
    kept: Option<&Checkpoint>,
    boot: Boot,
    quoted: Digest,
) -> Result<Proven, Discontinuity> {
    shown.prove(&AwsLc, kept, boot, SHA256, |value| *value == quoted)
}

/// A boot without a sleep.
const fn boot(resets: u32) -> Boot {
    Boot { resets, restarts: 0 }
}

/// A checkpoint after so many entries of boot 5.
fn checkpoint(entries: &[Vec<u8>]) -> Checkpoint {
    prove(&part(entries, 0), None, boot(5), value(entries)).unwrap().checkpoint
}

#[test]
fn only_what_is_new_is_shown_and_replayed() {
    let list = entries(0..20);
    let kept = checkpoint(&list[..12]);
    assert_eq!((kept.entries, kept.value, kept.boot), (12, value(&list[..12]), boot(5)));
    let proven = prove(&part(&list[12..], 12), Some(&kept), boot(5), value(&list[..18])).unwrap();
    assert_eq!(proven.continuity, Continuity::Grown);
    assert_eq!((proven.prefix.quoted, proven.prefix.left_over), (6, 2));
    assert_eq!(proven.checkpoint, checkpoint(&list[..18]));
    // Nothing new.
    let nothing = prove(&part(&[], 12), Some(&kept), boot(5), kept.value).unwrap();
    assert_eq!(nothing.checkpoint, kept);
}

#[test]
fn a_reboot_begins_anew_and_shows_everything() {
    let (old, new) = (entries(0..9), entries(100..104));
    let kept = checkpoint(&old);
    let proven = prove(&part(&new, 0), Some(&kept), boot(6), value(&new)).unwrap();
    assert_eq!((proven.continuity, proven.checkpoint.boot), (Continuity::Rebooted, boot(6)));
    // A part of the list says nothing about the entries before it.
    let more = prove(&part(&new[2..], 2), Some(&kept), boot(6), value(&new)).unwrap_err();
    assert_eq!(more, Discontinuity::NeedsAll { first: 2 });
    // A boot that the TPM does not count as one is none: the value cannot be reached.
    let same = prove(&part(&new, 0), Some(&kept), boot(5), value(&new)).unwrap_err();
    assert_eq!(same, Discontinuity::Truncated { acknowledged: 9, shown: 4 });
}

/// Hibernation: the TPM counts a restart and no reset, and its registers are zeros again. Suspension:
/// it counts the same, and they go on.
#[test]
fn after_a_sleep_the_list_begins_anew_or_goes_on() {
    let (old, new) = (entries(0..9), entries(100..104));
    let kept = checkpoint(&old[..6]);
    let slept = Boot { resets: 5, restarts: 1 };
    let anew = prove(&part(&new, 0), Some(&kept), slept, value(&new)).unwrap();
    assert_eq!((anew.continuity, anew.checkpoint.boot), (Continuity::Rebooted, slept));
    let on = prove(&part(&old, 0), Some(&kept), slept, value(&old)).unwrap();
    assert_eq!((on.continuity, on.checkpoint.entries), (Continuity::Grown, 9));
    // Which of them it is shows only in the whole list.
    let part_of_it = prove(&part(&old[6..], 6), Some(&kept), slept, value(&old)).unwrap_err();
    assert_eq!(part_of_it, Discontinuity::NeedsAll { first: 6 });
}

#[test]
fn a_verifier_without_memory_asks_for_everything() {
    let list = entries(0..9);
    let refused = prove(&part(&list[4..], 4), None, boot(5), value(&list)).unwrap_err();
    assert_eq!(refused, Discontinuity::NeedsAll { first: 4 });
    let whole = prove(&part(&list, 0), None, boot(5), value(&list)).unwrap();
    assert_eq!(whole.continuity, Continuity::Whole);
}

#[test]
fn a_whole_list_has_to_pass_where_the_last_one_ended() {
    let list = entries(0..9);
    let kept = checkpoint(&list[..6]);
    let whole = prove(&part(&list, 0), Some(&kept), boot(5), value(&list)).unwrap();
    assert_eq!((whole.continuity, whole.checkpoint.entries), (Continuity::Grown, 9));
}

#[test]
fn truncated_rewritten_and_skipped_lists_are_told_apart() {
    let list = entries(0..9);
    let kept = checkpoint(&list[..6]);
    let with = |shown: &Log, quoted| prove(shown, Some(&kept), boot(5), quoted).unwrap_err();
    let cut = with(&part(&list[..4], 0), value(&list[..4]));
    assert_eq!(cut, Discontinuity::Truncated { acknowledged: 6, shown: 4 });

    let rewritten = Discontinuity::Rewritten { acknowledged: 6 };
    let mut other = list.clone();
    other[2] = file("/usr/bin/innocent", b"innocent");
    assert_eq!(with(&part(&other, 0), value(&other)), rewritten);
    // An entry between the checkpoint and what is shown was left out.
    assert_eq!(with(&part(&list[7..], 6), value(&list)), rewritten);
    // What is shown continues another history.
    assert_eq!(with(&part(&other[6..], 6), value(&other)), rewritten);
    // The PCR went back.
    assert_eq!(with(&part(&list, 0), value(&list[..3])), rewritten);

    assert_eq!(with(&part(&list[7..], 7), value(&list)), Discontinuity::NeedsAll { first: 7 });
    assert_eq!(with(&part(&list[3..], 3), value(&list)), Discontinuity::NeedsAll { first: 3 });
    let unexplained = with(&part(&list, 0), value(&entries(50..51)));
    assert_eq!(unexplained, Discontinuity::Unexplained);
}

proptest! {
    /// However a list is delivered, in which steps and with how much that is not quoted yet, the
    /// kept checkpoint is that of the whole list.
    #[test]
    fn steps_of_any_size_end_in_the_same_place(
        steps in proptest::collection::vec((0..6usize, 0..4usize, any::<bool>()), 1..8),
    ) {
        let list = entries(0..60);
        let mut kept = None;
        let mut quoted = 0;
        for (new, unquoted, whole) in steps {
            let from = if whole { 0 } else { quoted };
            quoted += new;
            let shown = part(&list[from..quoted + unquoted], u32::try_from(from).unwrap());
            let proven = prove(&shown, kept.as_ref(), boot(5), value(&list[..quoted])).unwrap();
            prop_assert_eq!(proven.prefix.left_over, unquoted);
            prop_assert_eq!(proven.checkpoint.entries as usize, quoted);
            prop_assert_eq!(proven.checkpoint.value, value(&list[..quoted]));
            prop_assert_eq!(proven.checkpoint.extension, Extension::Hashed);
            kept = Some(proven.checkpoint);
        }
    }

    /// Entries in another order lead to another value.
    #[test]
    fn order_is_part_of_what_is_proven(a in 0..8usize, b in 0..8usize) {
        let list = entries(0..8);
        let mut swapped = list.clone();
        swapped.swap(a, b);
        prop_assume!(swapped != list);
        // Two violations are the same to the PCR, and so are their places.
        prop_assume!(!(a % 3 == 2 && b % 3 == 2));
        let refused = prove(&part(&swapped, 0), None, boot(5), value(&list)).unwrap_err();
        prop_assert_eq!(refused, Discontinuity::Unexplained);
    }
}
