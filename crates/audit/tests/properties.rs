//! What holds for every event and every file.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use proptest::prelude::*;
use std::fmt::Write as _;
use std::sync::Arc;
use touchstone_audit::{Code, Entries, Event, Format, Known, Log, Reporter, frame, verify};
use touchstone_crypto_awslc::AwsLc;

fn event() -> impl Strategy<Value = Event> {
    let reserved = [Code::AuditSigned, Code::AuditContinued];
    let codes: Vec<Code> =
        Code::ALL.iter().copied().filter(|code| !reserved.contains(code)).collect();
    let code = prop::sample::select(codes);
    let detail = prop::collection::vec((any::<String>(), any::<String>()), 0..6);
    (code, any::<String>(), any::<String>(), detail).prop_map(|(code, tenant, subject, detail)| {
        let event = Event::new(code, &tenant, &subject);
        detail.iter().fold(event, |event, (name, value)| event.with(name, value))
    })
}

/// The length in front of a message, and the message (RFC 5425 §4.3).
fn unframe(framed: &[u8]) -> (usize, &[u8]) {
    let blank = framed.iter().position(|c| *c == b' ').unwrap();
    let (length, message) = framed.split_at(blank);
    (std::str::from_utf8(length).unwrap().parse().unwrap(), &message[1..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_appended_is_what_is_read(events in prop::collection::vec((any::<u64>(), event()), 1..5)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let (mut log, _) = Log::open(&path, Arc::new(AwsLc), 0).unwrap();
        let written: Vec<_> =
            events.iter().map(|(time, event)| log.append(*time, event).unwrap()).collect();
        let file = std::fs::File::open(&path).unwrap();
        let read: Vec<_> = Entries::new(file, &AwsLc).map(Result::unwrap).collect();
        prop_assert_eq!(&written, &read);
        for entry in &read {
            for format in Format::ALL {
                let line = Reporter::new("h", "p", "1", 1).syslog(*format, entry);
                prop_assert!(line.len() <= 8 * 1024, "{}: {}", format, line.len());
                prop_assert!(!line.chars().any(|c| c.is_control() && c != '\t'), "{}", line);
            }
            let message = Reporter::new("h", "p", "1", 1).encode(Format::Rfc5424, entry);
            let framed = frame(&message);
            let (length, rest) = unframe(&framed);
            prop_assert_eq!((length, rest), (message.len(), message.as_bytes()));
        }
    }

    #[test]
    fn any_file_ends_in_a_report_or_a_line(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        if let Err(error) = verify(bytes.as_slice(), &AwsLc, &Known::default()) {
            let mut shown = String::new();
            write!(shown, "{error}").unwrap();
            prop_assert!(shown.starts_with("line "), "{}", shown);
        }
    }
}
