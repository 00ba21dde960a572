//! Replay: prefixes, ways of extending, the original template, the boot aggregate.

use super::made::{entry, file, labelled, name, sized, violation};
use super::{SHA1, SHA256};
use proptest::prelude::*;
use touchstone_crypto::{Crypto, Digest};
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::Pcrs;
use touchstone_measure::ima::{
    BootAggregate, Extension, Format, Limits, Log, Replay, boot_aggregate,
};
use touchstone_peers::rig;

#[test]
fn entries_behind_the_quote_are_left_over() {
    let bytes = rig("binary_runtime_measurements");
    let list = Log::decode(&bytes).unwrap();
    let quoted = list.replay_pcr10(&AwsLc, SHA256);
    let longer = Log::decode(&[&bytes[..], &bytes[..]].concat()).unwrap();
    let prefix = longer.prefix(&AwsLc, SHA256, |value| *value == quoted).unwrap();
    let count = list.len();
    assert_eq!((prefix.quoted, prefix.left_over, prefix.value), (count, count, quoted));
    assert_eq!(longer.prefix(&AwsLc, SHA256, |_| false), None);
    let empty = Log::default().prefix(&AwsLc, SHA256, |_| true).unwrap();
    assert_eq!((empty.quoted, empty.value), (0, Digest::zero(SHA256)));
}

#[test]
fn an_old_quote_is_found_behind_thousands_of_newer_entries() {
    let one = file("/bin/a", b"a");
    let mut list = Log::decode(&one.repeat(3000)).unwrap();
    let mut replay = Replay::new(SHA256, Extension::Hashed);
    list.entries().take(7).for_each(|entry| replay.extend(&AwsLc, &entry));
    let quoted = replay.value();
    let prefix = list.prefix(&AwsLc, SHA256, |value| *value == quoted).unwrap();
    assert_eq!((prefix.quoted, prefix.left_over), (7, 2993));
    list.truncate(7);
    assert_eq!((list.replay_pcr10(&AwsLc, SHA256), list.octets().len()), (quoted, 7 * one.len()));
}

#[test]
fn a_violation_is_extended_as_ones_and_its_words_prove_nothing() {
    let bytes = rig("binary_runtime_measurements");
    let list = Log::decode(&bytes).unwrap();
    let mut violated = bytes.clone();
    violated[4..24].fill(0); // the template digest of the first entry
    let violated = Log::decode(&violated).unwrap();
    let first = violated.get(0).unwrap();
    assert!(first.violation);
    assert_eq!(first.extended(&AwsLc, SHA256, Extension::Hashed).as_bytes(), [0xFF; 32]);
    assert_ne!(violated.replay_pcr10(&AwsLc, SHA256), list.replay_pcr10(&AwsLc, SHA256));
}

#[test]
fn how_a_kernel_extended_a_bank_is_found_out() {
    let zeros = [&b"sha256:\0"[..], &[0; 20]].concat();
    let list = [
        file("/bin/a", b"a"),
        violation("ima-ng", &[&zeros, &name("/var/log/b")]),
        file("/bin/c", b"c"),
    ];
    let list = Log::decode(&list.concat()).unwrap();
    // By hand: SHA-1 of the data with zeros behind it, and ones for the violation.
    let by_hand = |violation: &[u8; 32]| {
        let mut value = Digest::zero(SHA256);
        for entry in list.entries() {
            let mut extended = [0; 32];
            extended[..20].copy_from_slice(entry.template_digest);
            if entry.violation {
                extended = *violation;
            }
            value = AwsLc.hash(SHA256, &[value.as_bytes(), &extended]);
        }
        value
    };
    let mut short = [0; 32];
    short[..20].fill(0xFF);
    for (quoted, extension) in [
        (by_hand(&short), Extension::PaddedSha1),
        (by_hand(&[0xFF; 32]), Extension::PaddedSha1Only),
        (list.replay_pcr10(&AwsLc, SHA256), Extension::Hashed),
    ] {
        let prefix = list.prefix(&AwsLc, SHA256, |value| *value == quoted).unwrap();
        assert_eq!((prefix.quoted, prefix.extension), (3, extension));
    }
    // In SHA-1's own bank there is nothing to pad.
    let sha1 = list.replay_pcr10(&AwsLc, SHA1);
    let prefix = list.prefix(&AwsLc, SHA1, |value| *value == sha1).unwrap();
    assert_eq!(prefix.extension, Extension::Hashed);
}

#[test]
fn the_original_template_hashes_a_padded_name() {
    let digest = AwsLc.hash(SHA1, &[b"a"]);
    let mut padded = [0; 256];
    padded[..6].copy_from_slice(b"/bin/a");
    let template_digest = AwsLc.hash(SHA1, &[digest.as_bytes(), &padded]);
    let bytes = [
        &10u32.to_le_bytes()[..],
        template_digest.as_bytes(),
        &sized(b"ima"),
        digest.as_bytes(),
        &sized(b"/bin/a"),
    ]
    .concat();
    let list = Log::decode(&[&bytes[..], &file("/bin/b", b"b")].concat()).unwrap();
    let first = list.get(0).unwrap();
    assert_eq!((first.digest(), first.path().as_ref()), (Some(digest), "/bin/a"));
    assert_eq!(first.explains(&AwsLc), Some(true));
    assert_eq!(list.get(1).unwrap().path(), "/bin/b");
    let long = [&bytes[..bytes.len() - 10], &sized(&[b'a'; 256])].concat();
    assert!(Log::decode(&long).is_err(), "the kernel cuts names at 255 octets");
}

/// Zeros, or with some kernels nothing.
#[test]
fn a_violation_of_the_original_template_has_a_digest_of_zeros_or_none() {
    let violation = |digest: &[u8]| {
        let head = [&10u32.to_le_bytes()[..], &[0; 20], &sized(b"ima"), digest].concat();
        [head, sized(b"/data/log")].concat()
    };
    let after = file("/bin/b", b"b");
    let values = [&[0; 20][..], &[]].map(|digest| {
        let list = Log::decode(&[violation(digest), after.clone()].concat()).unwrap();
        let first = list.get(0).unwrap();
        assert!(first.violation);
        assert_eq!((first.path().as_ref(), first.explains(&AwsLc)), ("/data/log", None));
        assert_eq!(first.digest().is_some(), !digest.is_empty());
        assert_eq!(list.get(1).unwrap().path(), "/bin/b");
        assert_eq!(Log::decode(&violation(digest)).unwrap().len(), 1, "at the end");
        list.replay_pcr10(&AwsLc, SHA256)
    });
    assert_eq!(values[0], values[1]);
    let zeros = "0".repeat(40);
    let line = format!("10 {zeros} ima  /data/log\n");
    let list = Log::decode_ascii(&AwsLc, line.as_bytes()).unwrap();
    assert_eq!(list.octets(), violation(&[]));
    // An entry that is none has a digest.
    let mut other = violation(&[]);
    other[4] = 1;
    assert!(Log::decode(&other).is_err());
}

#[test]
fn a_boot_aggregate_is_over_seven_or_nine_registers_of_its_bank() {
    let mut sha256 = Pcrs::reset(SHA256);
    let mut sha1 = Pcrs::reset(SHA1);
    for pcr in 0..10 {
        sha256.extend(&AwsLc, pcr, &AwsLc.hash(SHA256, &[&[7]]));
        sha1.extend(&AwsLc, pcr, &AwsLc.hash(SHA1, &[&[7]]));
    }
    let told = |digest: &Digest, banks: &[&Pcrs]| {
        let list = entry("ima-ng", &[&labelled(digest), &name("boot_aggregate")]);
        let list = Log::decode(&list).unwrap();
        boot_aggregate(&AwsLc, &list.get(0).unwrap(), banks)
    };
    let seven: Vec<u32> = (0..8).collect();
    let nine: Vec<u32> = (0..10).collect();
    let over =
        |pcrs: &Pcrs, selected: &[u32]| pcrs.composite(&AwsLc, pcrs.algorithm(), selected).unwrap();
    assert_eq!(told(&over(&sha256, &nine), &[&sha256]), BootAggregate::Over { last: 9 });
    assert_eq!(told(&over(&sha256, &seven), &[&sha256]), BootAggregate::Over { last: 7 });
    assert_eq!(told(&over(&sha1, &seven), &[&sha256, &sha1]), BootAggregate::Over { last: 7 });
    assert_eq!(told(&over(&sha1, &seven), &[&sha256]), BootAggregate::Unknown);
    assert_eq!(told(&over(&sha256, &nine[..5]), &[&sha256]), BootAggregate::Different);
    assert_eq!(told(&Digest::zero(SHA256), &[&sha256]), BootAggregate::WithoutTpm);
}

proptest! {
    /// A list that comes in pieces says what the whole says, wherever it is cut between entries.
    #[test]
    fn chunking_never_changes_a_verdict(
        files in proptest::collection::vec(("[a-z/]{1,20}", any::<bool>()), 1..20),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let made: Vec<Vec<u8>> = files
            .iter()
            .map(|(path, violated)| {
                let fields: [&[u8]; 2] =
                    [&labelled(&AwsLc.hash(SHA256, &[path.as_bytes()])), &name(path)];
                if *violated { violation("ima-ng", &fields) } else { entry("ima-ng", &fields) }
            })
            .collect();
        let whole = Log::decode(&made.concat()).unwrap();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(made.len() + 1)).collect();
        cuts.push(0);
        cuts.push(made.len());
        cuts.sort_unstable();
        let mut grown = Log::default();
        let mut replay = Replay::new(SHA256, Extension::Hashed);
        for pair in cuts.windows(2) {
            let part = made[pair[0]..pair[1]].concat();
            let first = u32::try_from(pair[0]).unwrap();
            let part = Log::read(part, Format::default(), Limits::default(), first).unwrap();
            replay = part.replay(&AwsLc, replay);
            prop_assert!(grown.append(&part));
        }
        prop_assert_eq!(&grown, &whole);
        prop_assert_eq!(replay.value(), whole.replay_pcr10(&AwsLc, SHA256));
        prop_assert_eq!(replay.entries() as usize, whole.len());
    }
}
