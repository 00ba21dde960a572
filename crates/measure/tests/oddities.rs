//! Logs as firmware writes them in all its ways, made here: each is read, and what is odd is told.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod writer;

use proptest::prelude::*;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::tcg::{
    Binding, Ccel, Description, EventLog, EventType, GuestKind, Guid, Oddity, Registers, describe,
    rtmr_of_pcr, variable_data,
};
use touchstone_measure::{Pcrs, Problem};
use writer::{Log, Measured, SM3, action, separator};

const SHA1: HashAlgorithm = HashAlgorithm::Sha1;
const SHA256: HashAlgorithm = HashAlgorithm::Sha256;
const SHA384: HashAlgorithm = HashAlgorithm::Sha384;

fn oddities(log: &EventLog, bank: HashAlgorithm) -> Vec<Oddity> {
    log.anomalies(&AwsLc, bank).iter().map(|anomaly| anomaly.oddity).collect()
}

/// A boot in order: every register of the firmware has its separator, and the end is told.
fn boot() -> Vec<Measured> {
    let mut events = vec![action(0, EventType::S_CRTM_VERSION, b"1\0.\0")];
    let secure = variable_data(Guid::GLOBAL_VARIABLE, "SecureBoot", &[1]);
    events.push(Measured::data(7, EventType::EFI_VARIABLE_DRIVER_CONFIG, &secure));
    events.extend((0..8).map(|pcr| separator(pcr, 0)));
    events.push(action(5, EventType::EFI_ACTION, b"Exit Boot Services Invocation"));
    events.push(action(5, EventType::EFI_ACTION, b"Exit Boot Services Returned with Success"));
    events
}

/// The values that these events lead to, computed without any log.
fn values(events: &[Measured], bank: HashAlgorithm) -> Pcrs {
    let mut pcrs = Pcrs::reset(bank);
    for event in events.iter().filter(|event| event.kind != EventType::NO_ACTION) {
        pcrs.extend(&AwsLc, event.pcr, &AwsLc.hash(bank, &[&event.octets]));
    }
    pcrs
}

#[test]
fn a_boot_in_order_has_nothing_odd() {
    for (log, banks) in [
        (Log::sha1(), vec![SHA1]),
        (Log::agile(&[SHA256]), vec![SHA256]),
        (Log::agile(&HashAlgorithm::ALL), HashAlgorithm::ALL.to_vec()),
    ] {
        let log = EventLog::decode(&log.with(&boot()).octets()).unwrap();
        assert_eq!(log.algorithms(), banks);
        for bank in banks {
            assert_eq!(log.replay(&AwsLc, bank), values(&boot(), bank));
            assert_eq!(oddities(&log, bank), []);
        }
    }
}

#[test]
fn banks_of_algorithms_that_are_not_known_are_carried() {
    let other = (0x7777, 70);
    let log = Log::agile(&[SHA256]).bank(SM3.0, SM3.1).bank(other.0, other.1);
    let log = EventLog::decode(&log.with(&boot()).octets()).unwrap();
    let names: Vec<_> = log.banks().iter().map(|bank| (bank.name(), bank.len)).collect();
    assert_eq!(names, [(Some("sha256"), 32), (Some("sm3_256"), 32), (None, 70)]);
    assert_eq!(log.events()[1].others.len(), 2);
    assert_eq!(log.events()[1].others[1].octets.len(), 70);
    assert_eq!(log.replay(&AwsLc, SHA256), values(&boot(), SHA256));
    assert_eq!(oddities(&log, SHA256), [Oddity::UnknownBank]);
}

#[test]
fn a_log_with_only_unknown_banks_parses_and_leads_nowhere() {
    let log = Log::agile(&[]).bank(SM3.0, SM3.1).with(&boot()).octets();
    let log = EventLog::decode(&log).unwrap();
    assert_eq!(log.algorithms(), []);
    assert_eq!(log.replay(&AwsLc, SHA256), Pcrs::reset(SHA256));
    assert!(oddities(&log, SHA256).contains(&Oddity::NoDigest));
}

#[test]
fn padding_of_zeros_or_ones_ends_a_log() {
    for form in [Log::sha1(), Log::agile(&[SHA256])] {
        let whole = form.with(&boot()).octets();
        for octet in [0x00, 0xFF] {
            let mut padded = whole.clone();
            padded.resize(whole.len() + 4096, octet);
            let log = EventLog::decode(&padded).unwrap();
            assert_eq!(log.padding(), 4096);
            assert_eq!(log.events(), EventLog::decode(&whole).unwrap().events());
            // Something behind it is not padding.
            padded.extend([1, 2, 3]);
            assert!(EventLog::decode(&padded).is_err());
            // And less than an event's register and type is an event that was cut off.
            padded.truncate(whole.len() + 7);
            let error = EventLog::decode(&padded).unwrap_err();
            assert_eq!((error.problem, error.at), (Problem::EventLogTruncated, whole.len()));
        }
    }
    for octet in [0x00, 0xFF] {
        let error = EventLog::decode(&[octet; 64]).unwrap_err();
        assert_eq!(error.problem, Problem::EventLogEmpty);
    }
}

#[test]
fn spec_id_events_of_all_sorts_are_read() {
    let plain = Log::agile(&[SHA256]);
    let vendor = plain.clone().vendor(b"\xde\xad\xbe\xef");
    let log = EventLog::decode(&vendor.with(&boot()).octets()).unwrap();
    assert_eq!(log.spec_id().unwrap().vendor.as_deref(), Some(&b"\xde\xad\xbe\xef"[..]));
    assert_eq!(oddities(&log, SHA256), []);

    for (odd, oddity) in [
        (plain.clone().without_vendor(), Oddity::SpecIdLength),
        (plain.clone().behind_vendor(b"more"), Oddity::SpecIdLength),
        (plain.clone().spec_id_pcr(5), Oddity::SpecIdMeasured),
        (plain.clone().spec_id_pcr(u32::MAX), Oddity::SpecIdMeasured),
    ] {
        let log = EventLog::decode(&odd.with(&boot()).octets()).unwrap();
        assert_eq!(log.replay(&AwsLc, SHA256), values(&boot(), SHA256));
        assert_eq!(oddities(&log, SHA256), [oddity]);
    }

    for bad in [
        plain.clone().bank(SHA256.tpm_id(), 32), // twice
        plain.clone().bank(SHA1.tpm_id(), 19),   // a digest length that lies
        plain.clone().bank(0x7777, 0),           // no digest at all
        plain.clone().bank(0x7777, 4_000),       // one that would only take room
        plain.clone().banks_declared(17),        // more than there are
        plain.clone().banks_declared(u32::MAX),
        plain.clone().banks_declared(0),
    ] {
        let error = EventLog::decode(&bad.with(&boot()).octets()).unwrap_err();
        assert_eq!(error.problem, Problem::EventLogSpecId);
    }
}

#[test]
fn a_log_of_a_tpm_1_2_tells_so_and_is_read() {
    let mut events = vec![Measured::unmeasured(0, b"Spec ID Event00\0 \x01 ")];
    events.extend(boot());
    let log = EventLog::decode(&Log::sha1().with(&events).octets()).unwrap();
    assert_eq!(log.replay(&AwsLc, SHA1), values(&boot(), SHA1));
    assert_eq!(log.spec_id(), None);
}

#[test]
fn the_locality_counts_only_before_anything_was_measured() {
    let told =
        |locality: u8| Measured::unmeasured(0, &[&b"StartupLocality\0"[..], &[locality]].concat());
    let zero = values(&boot(), SHA256).value(0);
    for (locality, counts) in [(0, false), (1, false), (3, true), (4, true), (9, false)] {
        let mut events = vec![told(locality)];
        events.extend(boot());
        let log = EventLog::decode(&Log::agile(&[SHA256]).with(&events).octets()).unwrap();
        let value = log.replay(&AwsLc, SHA256).value(0);
        assert_eq!(value != zero, counts, "locality {locality}");
        let odd: &[Oddity] = if counts || locality == 0 { &[] } else { &[Oddity::LateLocality] };
        assert_eq!(oddities(&log, SHA256), odd, "locality {locality}");
    }
    // Later, it must not throw away what was measured before.
    let mut events = boot();
    events.push(told(3));
    let log = EventLog::decode(&Log::agile(&[SHA256]).with(&events).octets()).unwrap();
    assert_eq!(log.replay(&AwsLc, SHA256).value(0), zero);
    assert_eq!(oddities(&log, SHA256), [Oddity::LateLocality]);
}

#[test]
fn a_hcrtm_makes_pcr_0_begin_with_its_locality() {
    let mut events = vec![Measured::other(0, EventType::EFI_HCRTM_EVENT, b"HCRTM", b"the code")];
    events.extend(boot());
    let log = EventLog::decode(&Log::agile(&[SHA256]).with(&events).octets()).unwrap();
    let mut expected = Pcrs::reset(SHA256);
    let mut start = [0; 32];
    start[31] = 4;
    expected.set(0, Digest::new(SHA256, &start).unwrap());
    for event in events.iter().filter(|event| event.pcr == 0) {
        expected.extend(&AwsLc, 0, &AwsLc.hash(SHA256, &[&event.octets]));
    }
    assert_eq!(log.replay(&AwsLc, SHA256).value(0), expected.value(0));
}

#[test]
fn a_dynamic_launch_begins_with_zeros() {
    let mut events = boot();
    events.push(Measured::other(17, EventType(0x501), b"DRTM", b"the code"));
    let log = EventLog::decode(&Log::agile(&[SHA256]).with(&events).octets()).unwrap();
    let measured = AwsLc.hash(SHA256, &[b"the code"]);
    let expected = AwsLc.hash(SHA256, &[&[0; 32], measured.as_bytes()]);
    assert_eq!(log.replay(&AwsLc, SHA256).value(17), Some(expected));
    assert_eq!(oddities(&log, SHA256), [Oddity::UnknownType]);
}

#[test]
fn events_that_are_not_measured_may_be_short_and_without_digest() {
    let mut events = vec![Measured::unmeasured(u32::MAX, b""), Measured::unmeasured(0, b"x")];
    events.extend(boot());
    let log = Log::agile(&[SHA256]).with(&events).no_action_without_digests().octets();
    let log = EventLog::decode(&log).unwrap();
    assert_eq!(log.replay(&AwsLc, SHA256), values(&boot(), SHA256));
    assert_eq!(oddities(&log, SHA256), []);
    // What is measured has a digest.
    let bad = Log::agile(&[SHA256]).with(&boot()).without_digests().octets();
    assert_eq!(EventLog::decode(&bad).unwrap_err().problem, Problem::EventLogDigests);
}

#[test]
fn a_large_event_is_read_and_a_length_that_lies_is_not() {
    let mut events = boot();
    events.push(Measured::other(2, EventType::EFI_BOOT_SERVICES_DRIVER, &vec![7; 1 << 20], b"rom"));
    let octets = Log::agile(&[SHA256]).with(&events).octets();
    let log = EventLog::decode(&octets).unwrap();
    assert_eq!(log.events().last().unwrap().data.len(), 1 << 20);
    let at = log.events().last().unwrap().at;
    let mut lying = octets.clone();
    lying[at + 12 + 34..at + 12 + 38].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = EventLog::decode(&lying).unwrap_err();
    let index = u32::try_from(log.events().len() - 1).unwrap();
    assert_eq!((error.problem, error.at, error.index), (Problem::EventLogTruncated, at, index));
}

#[test]
fn what_is_missing_or_contradicts_is_told() {
    let read = |events: &[Measured]| {
        EventLog::decode(&Log::agile(&[SHA256]).with(events).octets()).unwrap()
    };
    let mut events = boot();
    events.truncate(events.len() - 2);
    assert_eq!(oddities(&read(&events), SHA256), [Oddity::NoExitBootServices]);
    let mut events = boot();
    events.retain(|event| (event.pcr, event.kind) != (7, EventType::SEPARATOR));
    let log = read(&events);
    assert_eq!(oddities(&log, SHA256), [Oddity::NoSeparator]);
    assert_eq!(log.anomalies(&AwsLc, SHA256)[0].pcr, Some(7));
    let mut events = boot();
    events.push(separator(7, 0));
    events.push(separator(3, 1));
    let second = [Oddity::SecondSeparator, Oddity::SecondSeparator, Oddity::ErrorSeparator];
    assert_eq!(oddities(&read(&events), SHA256), second);
    // A variable whose words were changed behind the measurement.
    let mut events = boot();
    let end = events[1].data.len() - 1;
    events[1].data[end] = 0;
    let log = read(&events);
    assert_eq!(oddities(&log, SHA256), [Oddity::Differs]);
    assert_eq!(log.events()[2].binding(&AwsLc, SHA256), Binding::Differs);
    assert_eq!(log.replay(&AwsLc, SHA256), values(&boot(), SHA256));
    // An error tells its reason, and is measured as 1.
    let mut events = boot();
    events.push(Measured::other(6, EventType::SEPARATOR, b"fan broken", &1u32.to_le_bytes()));
    assert!(oddities(&read(&events), SHA256).contains(&Oddity::ErrorSeparator));
}

#[test]
fn final_events_are_added_once() {
    let events = boot();
    for (known, from) in [(12, 12), (12, 9), (10, 10), (10, 4), (12, 0), (3, 3)] {
        let main = Log::agile(&[SHA1, SHA256]).with(&events[..known]).octets();
        let table = Log::agile(&[SHA1, SHA256]).with(&events[from..]).final_events();
        let mut log = EventLog::decode(&main).unwrap();
        assert_eq!(log.append_final_events(&table), Ok(known - from), "{known} {from}");
        for bank in [SHA1, SHA256] {
            assert_eq!(log.replay(&AwsLc, bank), values(&events, bank), "{known} {from}");
        }
        let indexes: Vec<u32> = log.events().iter().map(|event| event.index).collect();
        assert_eq!(indexes, (0..=u32::try_from(events.len()).unwrap()).collect::<Vec<_>>());
    }
}

#[test]
fn a_table_that_is_none_or_lies_is_refused() {
    let main = Log::agile(&[SHA256]).with(&boot()).octets();
    let table = Log::agile(&[SHA256]).with(&boot()[10..]).final_events();
    let mut log = EventLog::decode(&main).unwrap();
    let whole = log.clone();
    for (bad, problem) in [
        (vec![], Problem::EventLogFinalEvents),
        ([&2u64.to_le_bytes()[..], &table[8..]].concat(), Problem::EventLogFinalEvents),
        (table[..table.len() - 1].to_vec(), Problem::EventLogTruncated),
        ([&table[..8], &u64::MAX.to_le_bytes(), &table[16..]].concat(), Problem::EventLogTruncated),
        (Log::agile(&[SHA384]).with(&boot()[10..]).final_events(), Problem::EventLogDigests),
    ] {
        assert_eq!(log.append_final_events(&bad).unwrap_err().problem, problem);
        assert_eq!(log, whole, "nothing was added");
    }
    let mut old = EventLog::decode(&Log::sha1().with(&boot()).octets()).unwrap();
    assert!(old.append_final_events(&table).is_err());
}

#[test]
fn a_confidential_guests_log_leads_to_its_registers() {
    let mut events = boot();
    for event in &mut events {
        event.pcr = rtmr_of_pcr(event.pcr).map_or(0, |rtmr| rtmr + 1);
    }
    events.retain(|event| event.pcr != 0);
    let mut octets = Log::agile(&[SHA384]).with(&events).octets();
    octets.resize(64 << 10, 0xFF);
    let log = EventLog::decode_cc(&octets).unwrap();
    assert_eq!(log.registers(), Registers::ConfidentialComputing);
    let rtmrs = log.rtmrs(&AwsLc);
    for rtmr in 0..4 {
        let mut expected = Digest::zero(SHA384);
        for event in events.iter().filter(|event| event.pcr == rtmr + 1) {
            let digest = AwsLc.hash(SHA384, &[&event.octets]);
            expected = AwsLc.hash(SHA384, &[expected.as_bytes(), digest.as_bytes()]);
        }
        assert_eq!(rtmrs.value(rtmr), Some(expected), "RTMR {rtmr}");
        assert_eq!(rtmrs.is_touched(rtmr), rtmr < 2);
    }
    assert_eq!(rtmrs.value(4), None);
    // Neither is taken for the other, and there is no fifth RTMR.
    assert_eq!(log.replay(&AwsLc, SHA384), Pcrs::reset(SHA384));
    assert!(!EventLog::decode(&octets).unwrap().rtmrs(&AwsLc).is_touched(0));
    events[0].pcr = 5;
    let bad = Log::agile(&[SHA384]).with(&events).octets();
    assert_eq!(EventLog::decode_cc(&bad).unwrap_err().problem, Problem::EventLogPcr);
}

#[test]
fn the_acpi_table_says_where_the_log_is() {
    let mut table = vec![0; 56];
    table[..4].copy_from_slice(b"CCEL");
    table[4] = 56;
    table[36] = 2;
    table[40..48].copy_from_slice(&0x1_0000u64.to_le_bytes());
    table[48..56].copy_from_slice(&0x7F00_0000u64.to_le_bytes());
    let sum = table.iter().fold(0u8, |sum, octet| sum.wrapping_add(*octet));
    table[9] = 0u8.wrapping_sub(sum);
    let ccel = Ccel::decode(&table).unwrap();
    assert_eq!((ccel.kind, ccel.area_len, ccel.area_at), (GuestKind::Tdx, 0x1_0000, 0x7F00_0000));
    table[50] ^= 1;
    assert_eq!(Ccel::decode(&table), None, "the checksum is wrong");
    assert_eq!(Ccel::decode(&table[..55]), None);
}

#[test]
fn what_grub_measures_is_behind_its_prefix() {
    let command =
        Measured::other(8, EventType::IPL, b"grub_cmd: linux /vmlinuz\0", b"linux /vmlinuz");
    let old = Measured::other(8, EventType::IPL, b"grub_cmd insmod ext2\0", b"insmod ext2\0");
    let line =
        Measured::other(8, EventType::IPL, b"kernel_cmdline: /vmlinuz quiet\0", b"/vmlinuz quiet");
    let forged = Measured::other(8, EventType::IPL, b"grub_cmd: boot\0", b"chainloader /evil.efi");
    let file = Measured::other(9, EventType::IPL, b"(hd0)/vmlinuz\0", b"\x7FELF");
    let events = [command, old, line, forged, file];
    let log = EventLog::decode(&Log::agile(&[SHA256]).with(&events).octets()).unwrap();
    let bindings: Vec<Binding> =
        log.events()[1..].iter().map(|event| event.binding(&AwsLc, SHA256)).collect();
    let matches = Binding::Matches;
    assert_eq!(bindings, [matches, matches, matches, Binding::Differs, Binding::Describes]);
    assert_eq!(log.events()[3].grub_command().unwrap().0, "kernel_cmdline");
    assert_eq!(describe(&log.events()[5]), Description::Text("(hd0)/vmlinuz".into()));
}

fn some_events() -> impl Strategy<Value = Vec<Measured>> {
    let event = (0u32..24, 0u32..0x20, proptest::collection::vec(any::<u8>(), 0..64));
    let event = event.prop_map(|(pcr, kind, data)| match kind {
        3 => Measured::unmeasured(pcr, &data),
        kind => Measured::data(pcr, EventType(kind), &data),
    });
    proptest::collection::vec(event, 0..40)
}

proptest! {
    /// However a log says it: the registers are the same.
    #[test]
    fn the_replay_does_not_depend_on_the_form(
        events in some_events(),
        padding in 0usize..200,
        vendor in proptest::collection::vec(any::<u8>(), 0..255),
        split in any::<prop::sample::Index>(),
        back in 0usize..8,
    ) {
        let wanted = |bank| {
            let mut pcrs = values(&events, bank);
            for pcr in 17..=22 {
                let of: Vec<_> = events
                    .iter()
                    .filter(|event| event.pcr == pcr && event.kind != EventType::NO_ACTION)
                    .collect();
                if !of.is_empty() {
                    let mut value = Digest::zero(bank);
                    for event in of {
                        let digest = AwsLc.hash(bank, &[&event.octets]);
                        value = AwsLc.hash(bank, &[value.as_bytes(), digest.as_bytes()]);
                    }
                    pcrs.set(pcr, value);
                }
            }
            pcrs
        };
        let forms = [
            (Log::agile(&HashAlgorithm::ALL), SHA1),
            (Log::agile(&[SHA384, SHA1, SHA256]).vendor(&vendor), SHA256),
            (Log::agile(&[SHA256]).bank(SM3.0, SM3.1), SHA256),
        ];
        for (form, bank) in forms {
            let mut octets = form.clone().with(&events).octets();
            // A whole event of zeros is taken for padding; there is none among these.
            octets.resize(octets.len() + if padding < 8 { 0 } else { padding }, 0xFF);
            let log = EventLog::decode(&octets).unwrap();
            prop_assert_eq!(log.replay(&AwsLc, bank), wanted(bank));
            // The same in two parts that overlap.
            let known = split.index(events.len() + 1);
            let from = known.saturating_sub(back);
            let mut parts = EventLog::decode(&form.clone().with(&events[..known]).octets()).unwrap();
            let overlap = parts.append_final_events(&form.with(&events[from..]).final_events()).unwrap();
            prop_assert!(overlap >= known - from);
            if overlap == known - from {
                prop_assert_eq!(parts.replay(&AwsLc, bank), wanted(bank));
            }
        }
    }

    #[test]
    fn whatever_is_damaged_nothing_panics(
        events in some_events(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..16),
    ) {
        let mut octets = Log::agile(&[SHA1, SHA256]).with(&events).octets();
        for (at, value) in damage {
            let at = at.index(octets.len());
            octets[at] = value;
        }
        for read in [EventLog::decode, EventLog::decode_cc] {
            match read(&octets) {
                Ok(log) => {
                    log.anomalies(&AwsLc, SHA256);
                    log.rtmrs(&AwsLc);
                    for event in log.events() {
                        drop(describe(event).to_string());
                        drop(event.content().map(|content| content.to_string()));
                    }
                }
                Err(error) => prop_assert!(error.at <= octets.len()),
            }
        }
    }
}
