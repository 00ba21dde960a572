//! An IMA list in binary: nothing panics, the whole list is a prefix of itself, and so is each part.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_crypto::HashAlgorithm;
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::ima::{Entries, Extension, Log, Replay};

fuzz_target!(|data: &[u8]| {
    let sha256 = HashAlgorithm::Sha256;
    let Ok(list) = Log::decode(data) else { return };
    let streamed = Entries::new(data, list.format());
    assert!(streamed.zip(list.entries()).all(|(one, other)| one == Ok(other)));
    for entry in list.entries() {
        let _ = (entry.path(), entry.digest(), entry.subject().to_string(), entry.explains(&AwsLc));
    }
    let whole = list.replay_pcr10(&AwsLc, sha256);
    let prefix = list.prefix(&AwsLc, sha256, |value| *value == whole);
    assert_eq!(prefix.map(|prefix| prefix.value), Some(whole));

    let cut = list.len() / 2;
    let first = u32::try_from(cut).unwrap();
    let rest = list.octets_from(cut).to_vec();
    let rest = Log::read(rest, list.format(), Default::default(), first).unwrap();
    let mut start = list.clone();
    start.truncate(cut);
    let replay = start.replay(&AwsLc, Replay::new(sha256, Extension::Hashed));
    assert_eq!(rest.replay(&AwsLc, replay).value(), whole);
    assert!(start.append(&rest));
    assert_eq!(start, list);
});
