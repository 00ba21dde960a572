//! The registers that a log leads to, and whether they are those that were given.

use crate::answer::Answer;
use crate::log::registers::Register;
use serde_json::{Map, Value};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::PCR_COUNT;
use touchstone_measure::predict::PHASES;
use touchstone_measure::tcg::{Bank, EventLog, RTMR_COUNT, Registers};

/// How a register that was given stands to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// The log leads to it.
    AsGiven,
    /// It does once the running system has measured these phases, which no firmware logs.
    AfterPhases(usize),
    /// The log has no event of it, and is not the only one that could.
    NotInLog,
    /// It does not.
    Differs,
}

/// Adds the registers to the answer; whether the log leads to all that it should.
pub(super) fn registers(
    mut answer: Answer,
    log: &EventLog,
    bank: HashAlgorithm,
    given: &[Register],
) -> (Answer, bool) {
    let values = replayed(log, bank);
    let (mut members, mut verdicts) = (Map::new(), Map::new());
    let (mut led_to, mut differing) = (0, Vec::new());
    answer = answer.line("");
    for (number, value, touched) in values {
        let known = given.iter().find(|one| one.pcr == number && one.value.algorithm() == bank);
        let verdict = known.map(|known| judge(log, number, value, touched, known.value));
        let words = verdict.as_ref().map(Verdict::words).unwrap_or_default();
        if touched || verdict == Some(Verdict::Differs) {
            let name = register_name(log, number);
            answer = answer.line(format_args!("{bank} {name:>2}  {}{words}", value.to_hex()));
        }
        if touched {
            members.insert(number.to_string(), value.to_hex().into());
        }
        match verdict {
            Some(Verdict::Differs) => differing.push(number),
            Some(Verdict::AsGiven | Verdict::AfterPhases(_)) => led_to += 1,
            _ => {}
        }
        if verdict.is_some() {
            verdicts.insert(number.to_string(), Value::from(words.trim_start().to_owned()));
        }
    }
    answer = answer
        .with("pcrs", members)
        .with("verdicts", verdicts)
        .with("compared", led_to + differing.len())
        .with("differing", differing.clone());
    if !given.is_empty() && led_to + differing.len() == 0 {
        let words = format!("none of the registers given is of the bank {bank} and in the log");
        return (answer.word(words), false);
    }
    if led_to > 0 && differing.is_empty() {
        let all = if led_to == 1 {
            "the register given".to_owned()
        } else {
            format!("all {led_to} registers given")
        };
        answer = answer.word(format_args!("the log leads to {all}"));
    }
    if !differing.is_empty() {
        let kind = match log.registers() {
            Registers::Pcrs => "PCR",
            Registers::ConfidentialComputing => "RTMR",
        };
        let list: Vec<String> = differing.iter().map(u32::to_string).collect();
        answer = answer.word(format_args!(
            "the log does not lead to the given value of {kind} {}: events are missing, were added \
             or changed, or the registers are of another boot",
            list.join(", ")
        ));
    }
    (answer, differing.is_empty())
}

impl Verdict {
    fn words(&self) -> String {
        match self {
            Self::AsGiven => "  as given".into(),
            Self::AfterPhases(count) => {
                format!(
                    "  as given, once {} was measured",
                    PHASES.get(..*count).unwrap_or_default().join(", ")
                )
            }
            Self::NotInLog => "  not in this log".into(),
            Self::Differs => "  differs from what was given".into(),
        }
    }
}

/// Every register with its value, and whether an event extended it.
fn replayed(log: &EventLog, bank: HashAlgorithm) -> Vec<(u32, Digest, bool)> {
    match log.registers() {
        Registers::Pcrs => {
            let pcrs = log.replay(&AwsLc, bank);
            let all = (0..PCR_COUNT).map(|pcr| Some((pcr, pcrs.value(pcr)?, pcrs.is_touched(pcr))));
            all.flatten().collect()
        }
        Registers::ConfidentialComputing => {
            let rtmrs = log.rtmrs(&AwsLc);
            let all = (0..RTMR_COUNT)
                .map(|rtmr| Some((rtmr, rtmrs.value(rtmr)?, rtmrs.is_touched(rtmr))));
            all.flatten().collect()
        }
    }
}

fn judge(log: &EventLog, number: u32, value: Digest, touched: bool, given: Digest) -> Verdict {
    if value == given {
        return Verdict::AsGiven;
    }
    let of_tpm = log.registers() == Registers::Pcrs;
    if of_tpm
        && number == 11
        && let Some(count) = phases(value, given)
    {
        return Verdict::AfterPhases(count);
    }
    // The firmware alone extends PCR 0 to 7; others are the system's as well, and of IMA's.
    if of_tpm && number >= 8 && !touched { Verdict::NotInLog } else { Verdict::Differs }
}

/// How many boot phases lead from one value to the other (`systemd-pcrphase`).
fn phases(value: Digest, given: Digest) -> Option<usize> {
    let bank = value.algorithm();
    let mut value = value;
    (1..).zip(PHASES).find_map(|(count, phase)| {
        let measured = AwsLc.hash(bank, &[phase.as_bytes()]);
        value = AwsLc.hash(bank, &[value.as_bytes(), measured.as_bytes()]);
        (value == given).then_some(count)
    })
}

/// A register's number, and in a confidential guest what it is.
pub(super) fn register_name(log: &EventLog, number: u32) -> String {
    match log.registers() {
        Registers::Pcrs => number.to_string(),
        Registers::ConfidentialComputing => format!("RTMR {number}"),
    }
}

pub(super) fn bank_name(bank: &Bank) -> String {
    bank.name().map_or_else(|| format!("{:#06x}", bank.id), str::to_owned)
}
