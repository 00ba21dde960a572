//! Lines of an audit log: an entry that reads is the line that it came from, fits a syslog message,
//! and no file makes the reader panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_audit::{Entry, Syslog, frame, verify};
use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;

fuzz_target!(|data: &[u8]| {
    read(data);
    // The same with a hash that fits, so that what is behind that check is met too.
    let hash = AwsLc.hash(HashAlgorithm::Sha256, &[data]).to_hex();
    read(&[data, b",\"hash\":\"", hash.as_bytes(), b"\"}"].concat());
    if let Ok(report) = verify(data, &AwsLc, None) {
        assert_eq!(usize::try_from(report.length + report.torn), Ok(data.len()));
        assert!(report.entries == 0 || verify(data, &AwsLc, Some(&report.head)).is_ok());
    }
});

fn read(line: &[u8]) {
    let Ok(entry) = Entry::decode(&AwsLc, line) else { return };
    assert_eq!(entry.line().as_bytes(), line);
    let message = Syslog::new("fleet", "touchstone-fleet", 1).message(&entry);
    assert!(message.len() <= 8 * 1024 && !message.chars().any(char::is_control));
    assert!(frame(&message).ends_with(message.as_bytes()));
}
