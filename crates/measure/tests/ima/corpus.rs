//! Lists of other people's machines.

use super::SHA256;
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::ima::{Extension, Log, Subject};
use touchstone_peers::corpus;

#[test]
fn five_thousand_entries_lead_to_the_pcr_of_that_machine() {
    let Some(folder) = corpus("lab/tcb-secboot") else { return };
    let log =
        Log::decode(&std::fs::read(folder.join("binary_runtime_measurements")).unwrap()).unwrap();
    let ascii = std::fs::read_to_string(folder.join("ascii_runtime_measurements")).unwrap();
    assert_eq!(log.len(), ascii.lines().count());
    for (entry, line) in log.entries().zip(ascii.lines()) {
        let mut words = line.split(' ');
        assert_eq!(words.nth(2), Some(entry.template.name()));
        assert_eq!(words.next().unwrap(), entry.file_digest().unwrap().to_string());
        assert_eq!(words.next().unwrap(), entry.path());
        assert_eq!(entry.explains(&AwsLc), Some(true), "entry {}", entry.index);
    }
    // Both files say the same, octet by octet.
    let read = Log::decode_ascii(&AwsLc, ascii.as_bytes()).unwrap();
    assert_eq!(read, log);
    let pcrs = std::fs::read_to_string(folder.join("pcrread.txt")).unwrap().to_lowercase();
    let sha256 = pcrs.split("sha256:").nth(1).unwrap();
    let pcr10 = sha256.lines().find_map(|line| line.trim().strip_prefix("10: 0x")).unwrap();
    let quoted = |value: &touchstone_crypto::Digest| value.to_hex() == pcr10;
    let prefix = log.prefix(&AwsLc, SHA256, quoted).unwrap();
    assert_eq!((prefix.quoted, prefix.extension), (log.len(), Extension::Hashed));
}

#[test]
fn a_signed_list_of_an_old_kernel_is_read() {
    let Some(folder) = corpus("ima/ibm-acs") else { return };
    let log = Log::decode(&std::fs::read(folder.join("imasig.log")).unwrap()).unwrap();
    let first = log.get(0).unwrap();
    assert!(first.is_boot_aggregate());
    assert_eq!(first.subject(), Subject::BootAggregate);
    assert!(log.entries().any(|entry| entry.is_signed()));
    // One entry was made to contradict its template digest.
    let odd = log.entries().filter(|entry| entry.explains(&AwsLc) == Some(false));
    assert_eq!(odd.map(|entry| entry.index).collect::<Vec<_>>(), [1079]);
}

#[test]
fn lists_of_every_hash_are_read_and_an_unknown_one_is_refused() {
    let Some(folder) = corpus("ima/keylime") else { return };
    let read = |hash: &str| {
        let text = std::fs::read(folder.join(format!("ima-log-{hash}"))).unwrap();
        Log::decode_ascii(&AwsLc, &text)
    };
    for hash in ["sha1", "sha256", "sha384", "sha512", "sm3_256"] {
        let log = read(hash).unwrap_or_else(|error| panic!("{hash}: {error}"));
        assert_eq!(log.len(), 2, "{hash}");
        let data = log.get(1).unwrap();
        assert_eq!(data.path(), "/data");
        let digest = data.file_digest().unwrap();
        assert_eq!(digest.known().is_some(), hash != "sm3_256");
        let name = if hash == "sm3_256" { "sm3" } else { hash };
        assert_eq!(digest.hash.name(), name);
    }
    let refused = read("unknown").unwrap_err();
    assert_eq!((refused.code(), refused.index), ("measure.ima.algorithm", 0));
}
