//! Lines of an audit log: an entry that reads is the line that it came from, every format of it is a
//! safe line of bounded length, and no file makes the reader panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_audit::{Entry, Format, Known, MAX_MESSAGE, Reporter, frame, verify, verify_parts};
use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;

fuzz_target!(|data: &[u8]| {
    read(data);
    // The same with a hash that fits, so that what is behind that check is met too.
    let hash = AwsLc.hash(HashAlgorithm::Sha256, &[data]).to_hex();
    read(&[data, b",\"hash\":\"", hash.as_bytes(), b"\"}"].concat());
    if let Ok(report) = verify(data, &AwsLc, &Known::default()) {
        assert_eq!(usize::try_from(report.length + report.torn), Ok(data.len()));
        let known = Known { head: Some(report.head), ..Known::default() };
        assert!(report.entries == 0 || verify(data, &AwsLc, &known).is_ok());
    }
    let (one, other) = data.split_at(data.len() / 2);
    let _ = verify_parts([one, other], &AwsLc, &Known::default());
});

fn read(line: &[u8]) {
    let Ok(entry) = Entry::decode(&AwsLc, line) else { return };
    assert_eq!(entry.line().as_bytes(), line);
    let reporter = Reporter::new("fleet", "touchstone-fleet", "1", 1);
    for format in Format::ALL {
        for line in [reporter.encode(*format, &entry), reporter.syslog(*format, &entry)] {
            let bad = |c: char| c.is_control() && !(c == '\t' && *format == Format::Leef);
            assert!(line.len() <= MAX_MESSAGE && !line.chars().any(bad), "{format}: {line}");
        }
    }
    let message = reporter.encode(Format::Rfc5424, &entry);
    assert!(frame(&message).ends_with(message.as_bytes()));
}
