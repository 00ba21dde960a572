//! `touchstone log boot`: the firmware's event log.

mod compare;
mod fields;

use super::registers::{self, Register};
use crate::answer::{Answer, Answered, Failure, hex, table};
use crate::cli::BootLog;
use crate::files::{self, SMALL};
use serde_json::{Map, Value, json};
use touchstone_crypto::HashAlgorithm;
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::Error;
use touchstone_measure::tcg::{Anomaly, Binding, Event, EventLog, MAX_LOG, Registers, describe};

pub(crate) fn run(arguments: &BootLog) -> Answered {
    let log = read(arguments)?;
    let mut given = Vec::new();
    for argument in &arguments.pcrs {
        given.extend(registers::read(argument)?);
    }
    let bank = bank(&log, arguments, &given)?;
    let answer = Answer::new("touchstone.log.boot/1").with("bank", bank.name());
    let answer = anomalies(events(answer, &log, bank), &log, bank);
    let contradicted: Vec<u32> = log
        .events()
        .iter()
        .filter(|event| event.binding(&AwsLc, bank) == Binding::Differs)
        .map(|event| event.index)
        .collect();
    let (mut answer, leads) = compare::registers(answer, &log, bank, &given);
    if !contradicted.is_empty() {
        let list: Vec<String> = contradicted.iter().map(ToString::to_string).collect();
        answer = answer.word(format_args!(
            "event {} says something else than what was measured; do not believe its words",
            list.join(", ")
        ));
    }
    let good = leads && contradicted.is_empty();
    Ok(answer.with("contradicted", contradicted).good(good))
}

/// The log, with the final events that were logged behind it.
fn read(arguments: &BootLog) -> Result<EventLog, Failure> {
    let limit = u64::try_from(MAX_LOG).unwrap_or(u64::MAX);
    let octets = files::read(&arguments.file, limit)?;
    let read = if arguments.cc { EventLog::decode_cc(&octets) } else { EventLog::decode(&octets) };
    let failed = |file: &std::path::Path, error: Error| {
        let message = format!("{}: {error}", file.display());
        Failure::unknown(error.code(), message, "check that it is the firmware's log, and whole")
    };
    let mut log = read.map_err(|error| failed(&arguments.file, error))?;
    if let Some(file) = &arguments.final_events {
        let table = files::read(file, SMALL)?;
        log.append_final_events(&table).map_err(|error| failed(file, error))?;
    }
    Ok(log)
}

/// The bank to show: the one that was asked for, else that of the given registers, else the best.
fn bank(log: &EventLog, arguments: &BootLog, given: &[Register]) -> Result<HashAlgorithm, Failure> {
    let has = log.algorithms();
    let of_given = given.iter().map(|register| register.value.algorithm());
    let of_given = of_given.filter(|bank| has.contains(bank)).max_by_key(|bank| rank(*bank));
    let best = has.iter().copied().max_by_key(|bank| rank(*bank));
    let bank = arguments.bank.or(of_given).or(best);
    bank.filter(|bank| has.contains(bank)).ok_or_else(|| {
        let names: Vec<String> = log.banks().iter().map(compare::bank_name).collect();
        let asked = bank.map_or("that can be replayed here", HashAlgorithm::name);
        Failure::usage(
            format!("the log has no bank {asked}"),
            format!("it has {}", names.join(", ")),
        )
    })
}

/// SHA-1 only where there is nothing else; SHA-256 is what most others show.
fn rank(bank: HashAlgorithm) -> u8 {
    match bank {
        HashAlgorithm::Sha1 => 0,
        HashAlgorithm::Sha256 => 3,
        HashAlgorithm::Sha384 => 2,
        _ => 1,
    }
}

fn events(answer: Answer, log: &EventLog, bank: HashAlgorithm) -> Answer {
    let register = match log.registers() {
        Registers::Pcrs => "pcr",
        Registers::ConfidentialComputing => "register",
    };
    let heads = ["#", register, "type", "data", "digest", "says"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    let mut list = Vec::new();
    for event in log.events() {
        let binding = event.binding(&AwsLc, bank).name();
        let digest = event.digest(bank).map(|digest| digest.to_hex()).unwrap_or_default();
        let kind = event.kind.to_string();
        let says = describe(event);
        list.push(json!({
            "index": event.index, "at": event.at, "pcr": number(event), "type": kind,
            "type_number": event.kind.0, "digests": digests(event), "data": binding,
            "says": says.to_string(), "fields": fields::of(event, &says),
            "octets": hex(&event.data),
        }));
        rows.push(vec![
            event.index.to_string(),
            number(event).map_or_else(|| "-".into(), |number| compare::register_name(log, number)),
            kind.strip_prefix("EV_").unwrap_or(&kind).to_owned(),
            binding.to_owned(),
            digest.chars().take(16).collect(),
            one_line(&says.to_string()),
        ]);
    }
    answer.line(table(&rows)).with("events", list)
}

/// The register; none where the firmware names none.
fn number(event: &Event) -> Option<u32> {
    Some(event.pcr).filter(|pcr| *pcr != u32::MAX)
}

fn digests(event: &Event) -> Map<String, Value> {
    let known = event
        .digests
        .iter()
        .map(|digest| (digest.algorithm().name().to_owned(), Value::from(digest.to_hex())));
    let others = event.others.iter().map(|digest| {
        let bank = touchstone_measure::tcg::Bank { id: digest.id, len: digest.octets.len() };
        (compare::bank_name(&bank), Value::from(hex(&digest.octets)))
    });
    known.chain(others).collect()
}

/// Text of an event on one line of a table, so that it cannot pretend to be another row.
fn one_line(text: &str) -> String {
    const MOST: usize = 160;
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let flat = text.chars().map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c });
    let flat: String = flat.map(|c| if breaks(c) { '\u{fffd}' } else { c }).collect();
    if flat.chars().count() <= MOST {
        return flat;
    }
    flat.chars().take(MOST).chain("...".chars()).collect()
}

fn anomalies(mut answer: Answer, log: &EventLog, bank: HashAlgorithm) -> Answer {
    let found = log.anomalies(&AwsLc, bank);
    let mut list = Vec::new();
    if !found.is_empty() {
        answer = answer.line("");
    }
    for Anomaly { oddity, event, pcr } in found {
        list.push(json!({
            "code": oddity.code(), "event": event, "pcr": pcr, "about": oddity.to_string(),
        }));
        let place = match (event, pcr) {
            (Some(event), _) => format!("event {event}"),
            (None, Some(pcr)) => format!("PCR {pcr}"),
            (None, None) => "the log".into(),
        };
        answer = answer.line(format_args!("odd  {place}: {oddity}"));
    }
    answer.with("anomalies", list)
}
