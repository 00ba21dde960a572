use super::*;
use crate::{Code, Event, Head, Severity};
use serde_json::Value;
use touchstone_crypto_awslc::AwsLc;

fn entry(event: &Event) -> Entry {
    Entry::after(&Head::EMPTY, &AwsLc, 1_793_448_000, event)
}

fn reporter() -> Reporter {
    Reporter::new("fleet.example", "touchstone-fleet", "1.2.3", 212)
}

fn verdict() -> Entry {
    let event = Event::new(Code::VerdictChanged, "plant", "device:17")
        .with("tier", "contraindicated")
        .severity(Severity::Critical);
    entry(&event)
}

fn hostile() -> Entry {
    let event = Event::new(Code::FlowCut, "t|t", "s\n<34>1 forged|=\\\u{1b}[2J")
        .with("a b]=\"", "x\"] evil=\"\\\n<34>1\tz=1|")
        .with("path", "/tmp/\u{202e}gpj.exe\u{9b}31m");
    entry(&event)
}

/// What no line may have, whatever a device is called.
fn safe(line: &str, tab: bool) {
    let bad = |c: char| text::steers(c) && c != '\u{feff}' && !(tab && c == '\t');
    assert!(!line.chars().any(bad), "{line:?}");
    assert!(line.len() <= MAX_MESSAGE, "{} octets", line.len());
}

#[test]
fn a_message_has_the_parts_of_rfc_5424() {
    let entry = verdict();
    let message = reporter().encode(Format::Rfc5424, &entry);
    assert_eq!(
        message,
        format!(
            "<106>1 2026-10-31T12:00:00Z fleet.example touchstone-fleet 212 \
             attest.verdict.changed [touchstone@32473 seq=\"1\" hash=\"{}\" tenant=\"plant\" \
             subject=\"device:17\" tier=\"contraindicated\"] \
             \u{feff}device:17: the trust tier of a device changed",
            entry.hash()
        )
    );
    let framed = frame(&message);
    assert!(framed.starts_with(format!("{} <106>1 ", message.len()).as_bytes()));
}

#[test]
fn cef_has_seven_fields_and_pairs() {
    let entry = verdict();
    assert_eq!(
        reporter().encode(Format::Cef, &entry),
        format!(
            "CEF:0|Touchstone|touchstone-fleet|1.2.3|attest.verdict.changed|the trust tier of a \
             device changed|9|rt=1793448000000 externalId={} cn1Label=seq cn1=1 \
             dvchost=fleet.example dvcpid=212 deviceExternalId=device:17 cs1Label=tenant cs1=plant \
             msg=the trust tier of a device changed touchstoneTier=contraindicated",
            entry.hash()
        )
    );
}

#[test]
fn leef_has_its_attributes_between_tabs() {
    let entry = verdict();
    let event = reporter().encode(Format::Leef, &entry);
    let start = "LEEF:2.0|Touchstone|touchstone-fleet|1.2.3|attest.verdict.changed|x09|devTime=";
    assert!(event.starts_with(start), "{event}");
    let attributes: Vec<&str> = event.split('\t').skip(1).collect();
    for pair in
        ["sev=9", "cat=attest", "resource=device:17", "seq=1", "touchstone_tier=contraindicated"]
    {
        assert!(attributes.contains(&pair), "{pair}: {event}");
    }
}

#[test]
fn json_formats_are_json_and_name_the_entry() {
    let entry = verdict();
    let parse = |format| serde_json::from_str::<Value>(&reporter().encode(format, &entry)).unwrap();
    let ocsf = parse(Format::Ocsf);
    assert_eq!((&ocsf["class_uid"], &ocsf["type_uid"]), (&2003.into(), &200_302.into()));
    assert_eq!(ocsf["metadata"]["uid"], entry.hash());
    assert_eq!(ocsf["compliance"]["status"], "Fail");
    assert_eq!(ocsf["unmapped"]["tier"], "contraindicated");
    let otlp = parse(Format::Otlp);
    let record = &otlp["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    assert_eq!(record["timeUnixNano"], "1793448000000000000");
    assert_eq!(record["attributes"][0]["value"]["stringValue"], entry.hash());
    let hec = parse(Format::Hec);
    assert_eq!(
        (&hec["event"]["hash"], &hec["host"]),
        (&entry.hash().into(), &"fleet.example".into())
    );
}

#[test]
fn every_code_has_a_class_whose_numbers_fit() {
    for code in Code::ALL {
        let class = Class::of(*code);
        let event = entry(&Event::new(*code, "t", "device:1"));
        let shown: Value = serde_json::from_str(&reporter().encode(Format::Ocsf, &event)).unwrap();
        assert_eq!(shown["type_uid"], class.uid * 100 + class.activity, "{code}");
        assert_eq!(shown["category_uid"], class.uid / 1000, "{code}");
        assert_ne!(class.category_name(), "Uncategorized", "{code}");
    }
}

#[test]
fn a_hostile_name_stays_inside_its_place_in_every_format() {
    let entry = hostile();
    for format in Format::ALL {
        for line in [reporter().encode(*format, &entry), reporter().syslog(*format, &entry)] {
            safe(&line, *format == Format::Leef);
            assert!(line.contains("<0a>") && line.contains("<202e>"), "{format}: {line}");
        }
    }
    let message = reporter().encode(Format::Rfc5424, &entry);
    assert!(message.contains(r#" a_b___="x\"\] evil=\"\\<0a><34>1<09>z=1|" path=""#), "{message}");
    let cef = reporter().encode(Format::Cef, &entry);
    assert!(cef.contains(r#"touchstoneAB=x"] evil\="\\<0a><34>1<09>z\=1|"#), "{cef}");
    let leef = reporter().encode(Format::Leef, &entry);
    assert_eq!(leef.matches('\t').count(), 11, "{leef}");
}

#[test]
fn a_code_of_another_version_is_no_way_in_either() {
    let mut entry = verdict();
    entry.code = format!("x\u{9b}2J\n|{}", "]".repeat(100_000));
    for format in Format::ALL {
        for line in [reporter().encode(*format, &entry), reporter().syslog(*format, &entry)] {
            safe(&line, *format == Format::Leef);
        }
    }
}

#[test]
fn a_long_event_still_fits_and_says_that_it_was_cut() {
    for text in ["]", "\\", "\"", "=", "é", "\u{1b}"] {
        let event = (0..32)
            .fold(Event::new(Code::FlowCut, &"\n".repeat(300), &"|".repeat(300)), |event, at| {
                event.with(&format!("{at}{}", text.repeat(200)), text.repeat(4_000))
            });
        let entry = entry(&event);
        let reporter = Reporter::new(&"h".repeat(999), &"p".repeat(999), &"9".repeat(999), 1);
        for format in Format::ALL {
            for line in [reporter.encode(*format, &entry), reporter.syslog(*format, &entry)] {
                safe(&line, *format == Format::Leef);
                assert!(
                    line.to_lowercase().contains("truncated")
                        && !line.contains("truncated\":false"),
                    "{format}: {line}"
                );
            }
        }
    }
}

#[test]
fn a_format_is_read_by_its_name() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse(), Ok(*format));
    }
    assert_eq!("gelf".parse::<Format>(), Err(ParseFormatError));
}
