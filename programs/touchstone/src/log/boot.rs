//! `touchstone log boot`: the firmware's event log.

use super::registers::{self, Register};
use crate::answer::{Answer, Answered, Failure, hex, table};
use crate::cli::BootLog;
use crate::files;
use serde_json::{Map, Value, json};
use touchstone_crypto::HashAlgorithm;
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::tcg::{Event, EventLog, EventType, MAX_LOG, describe};
use touchstone_measure::{PCR_COUNT, Pcrs};

pub(crate) fn run(arguments: &BootLog) -> Answered {
    let limit = u64::try_from(MAX_LOG).unwrap_or(u64::MAX);
    let octets = files::read(&arguments.file, limit)?;
    let log = EventLog::decode(&octets).map_err(|error| {
        let message = format!("{}: {error}", arguments.file.display());
        Failure::unknown(error.code(), message, "check that it is the firmware's log, and whole")
    })?;
    let mut given = Vec::new();
    for argument in &arguments.pcrs {
        given.extend(registers::read(argument)?);
    }
    let bank = bank(&log, arguments.bank, &given)?;
    let pcrs = log.replay(&AwsLc, bank);
    let answer = Answer::new("touchstone.log.boot/1").with("bank", bank.name());
    let answer = events(answer, &log, bank);
    Ok(compared(answer, &pcrs, bank, &given))
}

/// The bank to show: the one that was asked for, else that of the given registers, else the best.
fn bank(
    log: &EventLog,
    asked: Option<HashAlgorithm>,
    given: &[Register],
) -> Result<HashAlgorithm, Failure> {
    let has = log.algorithms();
    let bank = asked.or(given.first().map(|register| register.value.algorithm())).or_else(|| {
        // SHA-1 only where there is nothing else; SHA-256 is what most others show.
        [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512, HashAlgorithm::Sha1]
            .into_iter()
            .find(|bank| has.contains(bank))
    });
    match bank {
        Some(bank) if has.contains(&bank) => Ok(bank),
        _ => {
            let names: Vec<&str> = has.iter().map(|bank| bank.name()).collect();
            let asked = bank.map_or("a known one", HashAlgorithm::name);
            let message = format!("the log has no bank of {asked}");
            let next = format!("it has {}", names.join(", "));
            Err(Failure::usage(message, next))
        }
    }
}

/// Whether what an event says is what was measured.
fn data(event: &Event, bank: HashAlgorithm) -> &'static str {
    if event.kind == EventType::NO_ACTION {
        "not measured"
    } else if event.digest(bank).is_none() {
        "no digest"
    } else if event.explains(&AwsLc, bank) {
        "matches"
    } else {
        "describes"
    }
}

fn events(answer: Answer, log: &EventLog, bank: HashAlgorithm) -> Answer {
    let mut rows = vec![["#", "pcr", "type", "data", "digest", "says"].map(str::to_owned).to_vec()];
    let mut list = Vec::new();
    for event in log.events() {
        let digest = event.digest(bank).map(|digest| digest.to_hex()).unwrap_or_default();
        let says = describe(event).to_string();
        let kind = event.kind.to_string();
        list.push(json!({
            "index": event.index, "pcr": event.pcr, "type": kind, "digest": digest,
            "data": data(event, bank), "says": says, "octets": hex(&event.data),
        }));
        rows.push(vec![
            event.index.to_string(),
            pcr_name(event.pcr),
            kind.strip_prefix("EV_").unwrap_or(&kind).to_owned(),
            data(event, bank).to_owned(),
            digest.chars().take(16).collect(),
            one_line(&says),
        ]);
    }
    answer.line(table(&rows)).with("events", list)
}

fn pcr_name(pcr: u32) -> String {
    if pcr == u32::MAX { "-".into() } else { pcr.to_string() }
}

/// Text of an event on one line of a table.
fn one_line(text: &str) -> String {
    const MOST: usize = 160;
    let flat: String = text.split(['\n', '\r', '\t']).collect::<Vec<_>>().join(" ");
    if flat.chars().count() <= MOST {
        return flat;
    }
    flat.chars().take(MOST).chain("...".chars()).collect()
}

/// The registers that the log leads to, and whether they are those that were given.
fn compared(answer: Answer, pcrs: &Pcrs, bank: HashAlgorithm, given: &[Register]) -> Answer {
    let (mut answer, mut values, mut differing) = (answer.line(""), Map::new(), Vec::new());
    for pcr in (0..PCR_COUNT).filter(|pcr| pcrs.is_touched(*pcr)) {
        let Some(value) = pcrs.value(pcr) else { continue };
        values.insert(pcr.to_string(), value.to_hex().into());
    }
    let mut compared = 0;
    for register in given.iter().filter(|register| register.value.algorithm() == bank) {
        compared += 1;
        if pcrs.value(register.pcr) != Some(register.value) {
            differing.push(register.pcr);
        }
    }
    for pcr in 0..PCR_COUNT {
        let register =
            given.iter().find(|known| known.pcr == pcr && known.value.algorithm() == bank);
        let verdict = match register {
            None => "",
            Some(_) if differing.contains(&pcr) => "  differs from what was given",
            Some(_) => "  as given",
        };
        if let Some(value) = pcrs.value(pcr).filter(|_| pcrs.is_touched(pcr)) {
            answer = answer.line(format_args!("{bank} {pcr:>2}  {}{verdict}", value.to_hex()));
        }
    }
    if compared > 0 && differing.is_empty() {
        answer = answer.word(format_args!("the log leads to all {compared} registers given"));
    } else if !differing.is_empty() {
        let list: Vec<String> = differing.iter().map(ToString::to_string).collect();
        answer = answer.word(format_args!(
            "the log does not lead to the given value of PCR {}: events are missing, were added or \
             changed, or the registers are of another boot",
            list.join(", ")
        ));
    }
    let good = differing.is_empty();
    answer
        .with("pcrs", Value::Object(values))
        .with("compared", compared)
        .with("differing", differing)
        .good(good)
}
