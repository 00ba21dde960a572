//! `touchstone log ima`: the kernel's measurement list.

use super::registers::{self, Register};
use crate::answer::{Answer, Answered, Failure, table};
use crate::cli::ImaLog;
use crate::files::{self, SMALL};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use touchstone_certs::Certificate;
use touchstone_crypto::HashAlgorithm;
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::Pcrs;
use touchstone_measure::ima::signature::{Publishers, SignatureFault};
use touchstone_measure::ima::{BootAggregate, Entry, Extension, Limits, Log, PCR, boot_aggregate};

pub(crate) fn run(arguments: &ImaLog) -> Answered {
    let limit = u64::try_from(Limits::DEFAULT.octets).unwrap_or(u64::MAX);
    let octets = files::read(&arguments.file, limit)?;
    let log = files::ima_list(&octets).map_err(|error| {
        let message = format!("{}: {error}", arguments.file.display());
        Failure::unknown(error.code(), message, "check that it is the kernel's list, and whole")
    })?;
    let publishers = publishers(&arguments.keys)?;
    let mut given = Vec::new();
    for argument in &arguments.pcrs {
        given.extend(registers::read(argument)?);
    }
    let answer = Answer::new("touchstone.log.ima/1");
    let (answer, doubts) = entries(answer, &log, publishers.as_ref());
    let answer = answer.line("").with("count", log.len());
    let (answer, leads) = replayed(answer, &log, arguments.bank, &given);
    let (mut answer, aggregate) = aggregate(answer, &log, &given);
    // Who gives registers wants them compared.
    let compared = given.is_empty() || leads.is_some() || aggregate.is_some();
    if !compared {
        let bank = arguments.bank.map_or_else(|| "its bank".to_owned(), |bank| bank.to_string());
        answer = answer.with("compared", false).word(format_args!(
            "none of the registers given could be compared with the list; give PCR 10 of {bank}, \
             or PCR 0 to 9"
        ));
    }
    let good = leads.unwrap_or(true) && aggregate.unwrap_or(true);
    Ok(answer.good(doubts == 0 && compared && good))
}

/// The publishers of certificates in DER or PEM, or of keys in DER; `None` if none are given.
fn publishers(files: &[std::path::PathBuf]) -> Result<Option<Publishers>, Failure> {
    let mut publishers = Publishers::new();
    for path in files {
        let octets = files::read(path, SMALL)?;
        add(&mut publishers, path, &octets).map_err(|(code, why)| {
            let message = format!("{}: {why}", path.display());
            Failure::unknown(code, message, "give a certificate in PEM or DER, or a key in DER")
        })?;
    }
    Ok((!files.is_empty()).then_some(publishers))
}

fn add(
    publishers: &mut Publishers,
    path: &Path,
    octets: &[u8],
) -> Result<(), (&'static str, String)> {
    if octets.starts_with(b"-----BEGIN") {
        let certificates =
            Certificate::from_pem(octets).map_err(|error| (error.code(), error.to_string()))?;
        for certificate in certificates {
            publishers
                .add_certificate(&AwsLc, certificate.der())
                .map_err(|fault| (fault.code(), fault.to_string()))?;
        }
        return Ok(());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // A bare key has no subject; the file names it.
    publishers
        .add_certificate(&AwsLc, octets)
        .or_else(|fault| publishers.add_key(&AwsLc, &name, octets).map_err(|_| fault))
        .map_err(|fault| (fault.code(), fault.to_string()))
}

/// Every entry, and how many of them cannot be as they say.
fn entries(answer: Answer, log: &Log, publishers: Option<&Publishers>) -> (Answer, usize) {
    let mut rows = vec![["#", "kind", "digest", "signature", "name"].map(str::to_owned).to_vec()];
    let (mut list, mut doubts, mut violations) = (Vec::new(), Vec::new(), 0);
    let mut signatures: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in log.entries() {
        let verdict = verdict(&entry, publishers);
        let subject = entry.subject();
        let digest = entry.file_digest().map(|digest| digest.to_string()).unwrap_or_default();
        if let Some(doubt) = doubt(&entry, &verdict) {
            doubts.push(format!("entry {}: {doubt}", entry.index));
        }
        violations += usize::from(entry.violation);
        *signatures.entry(verdict.code).or_default() += 1;
        rows.push(vec![
            entry.index.to_string(),
            if entry.violation { "violation" } else { subject.kind() }.to_owned(),
            short(&digest),
            verdict.words.clone(),
            one_line(&subject.to_string()),
        ]);
        list.push(json!({
            "index": entry.index, "template": entry.template.name(), "kind": subject.kind(),
            "violation": entry.violation, "digest": digest, "name": entry.path(),
            "says": subject.to_string(), "signature": verdict.code, "publisher": verdict.publisher,
        }));
    }
    let count = doubts.len();
    let mut answer = answer.line(table(&rows)).with("entries", list).with("violations", violations);
    let counts = signatures.iter().map(|(code, count)| (*code, json!(count)));
    answer = answer.with("signatures", Value::Object(counts.map(owned).collect()));
    answer = answer.with("doubts", doubts.clone());
    for doubt in doubts.iter().take(MOST_TOLD) {
        answer = answer.word(doubt);
    }
    if count > MOST_TOLD {
        answer = answer.word(format_args!("and {} more", count - MOST_TOLD));
    }
    let signed = signatures.get(GOOD).copied().unwrap_or(0);
    let words = match publishers {
        Some(_) => format!("{signed} are signed by the publishers given"),
        None => "signatures were not checked; give --keys".to_owned(),
    };
    let count_all = log.len();
    (answer.word(format_args!("{count_all} entries, {violations} violations; {words}")), count)
}

fn owned((name, value): (&str, Value)) -> (String, Value) {
    (name.to_owned(), value)
}

/// As many doubts as are told one by one.
const MOST_TOLD: usize = 10;
const GOOD: &str = "good";

struct Verdict {
    code: &'static str,
    words: String,
    publisher: Option<String>,
    fault: Option<SignatureFault>,
}

fn verdict(entry: &Entry<'_>, publishers: Option<&Publishers>) -> Verdict {
    let Some(publishers) = publishers else {
        let code = if entry.is_signed() { "unchecked" } else { SignatureFault::Absent.code() };
        let words = if entry.is_signed() { "unchecked" } else { "" };
        return Verdict { code, words: words.to_owned(), publisher: None, fault: None };
    };
    match entry.verify_signature(&AwsLc, publishers) {
        Ok(publisher) => {
            let name = publisher.name().to_owned();
            Verdict { code: GOOD, words: one_line(&name), publisher: Some(name), fault: None }
        }
        Err(SignatureFault::Absent) => {
            let code = SignatureFault::Absent.code();
            Verdict { code, words: String::new(), publisher: None, fault: None }
        }
        Err(fault) => {
            let short = fault.code().rsplit('.').next().unwrap_or_default().to_owned();
            Verdict { code: fault.code(), words: short, publisher: None, fault: Some(fault) }
        }
    }
}

/// Why an entry cannot be as it says: its fields are not what the list says was extended, or its
/// signature is somebody's forgery. A publisher that is not known is no such reason.
fn doubt(entry: &Entry<'_>, verdict: &Verdict) -> Option<String> {
    if entry.explains(&AwsLc) == Some(false) && entry.template_digest.len() == 20 {
        return Some("its fields are not those of its template digest".to_owned());
    }
    verdict
        .fault
        .filter(|fault| {
            matches!(
                fault,
                SignatureFault::Wrong
                    | SignatureFault::Metadata
                    | SignatureFault::OtherContent
                    | SignatureFault::OtherDigest
            )
        })
        .map(|fault| fault.to_string())
}

/// The value of PCR 10 that the list leads to, and whether that is the one given; `None` if none is.
fn replayed(
    answer: Answer,
    log: &Log,
    asked: Option<HashAlgorithm>,
    given: &[Register],
) -> (Answer, Option<bool>) {
    let held = given.iter().find(|register| {
        register.pcr == PCR && asked.is_none_or(|bank| bank == register.value.algorithm())
    });
    let Some(held) = held else {
        let bank = asked.unwrap_or(HashAlgorithm::Sha256);
        let value = log.replay_pcr10(&AwsLc, bank);
        let answer = answer.line(format_args!("{bank} {PCR}  {}", value.to_hex()));
        return (answer.with("bank", bank.name()).with("pcr10", value.to_hex()), None);
    };
    let bank = held.value.algorithm();
    let answer = answer.with("bank", bank.name());
    let Some(prefix) = log.prefix(&AwsLc, bank, |value| *value == held.value) else {
        let value = log.replay_pcr10(&AwsLc, bank);
        let answer = answer
            .line(format_args!("{bank} {PCR}  {}  differs from what was given", value.to_hex()))
            .with("pcr10", value.to_hex())
            .with("leads", false)
            .word(
                "the list does not lead to the given value of PCR 10: entries are missing, were \
                 added or changed, or the register is of another boot",
            );
        return (answer, Some(false));
    };
    let way = match prefix.extension {
        Extension::Hashed => "",
        Extension::PaddedSha1 => ", extended as padded SHA-1 (a kernel before 5.8)",
        Extension::PaddedSha1Only => ", extended as padded SHA-1 (the kernel lacked this hash)",
    };
    let behind = match prefix.left_over {
        0 => String::new(),
        more => format!(" and {more} came after"),
    };
    let answer = answer
        .line(format_args!("{bank} {PCR}  {}  as given", prefix.value.to_hex()))
        .with("pcr10", prefix.value.to_hex())
        .with("leads", true)
        .with("extension", prefix.extension.name())
        .with("quoted", prefix.quoted)
        .with("left_over", prefix.left_over)
        .word(format_args!(
            "{} entries lead to the given value of PCR 10{behind}{way}",
            prefix.quoted
        ));
    (answer, Some(true))
}

/// Whether the list begins with the aggregate of the boot registers that were given; `None` if they
/// do not tell.
fn aggregate(answer: Answer, log: &Log, given: &[Register]) -> (Answer, Option<bool>) {
    let mut banks: BTreeMap<HashAlgorithm, (Pcrs, u32)> = BTreeMap::new();
    for register in given {
        let bank = register.value.algorithm();
        let (pcrs, seen) = banks.entry(bank).or_insert_with(|| (Pcrs::reset(bank), 0));
        pcrs.set(register.pcr, register.value);
        *seen |= 1 << register.pcr;
    }
    // Both forms need PCR 0 to 7 at the least.
    let known: Vec<&Pcrs> =
        banks.values().filter(|(_, seen)| seen & 0xFF == 0xFF).map(|(pcrs, _)| pcrs).collect();
    let first = log.get(0).filter(Entry::is_boot_aggregate);
    let Some(first) = first.filter(|_| !known.is_empty()) else { return (answer, None) };
    let (words, name, good) = match boot_aggregate(&AwsLc, &first, &known) {
        BootAggregate::Over { last } => {
            (format!("the boot aggregate is that of PCR 0 to {last}"), "matches", Some(true))
        }
        BootAggregate::WithoutTpm => {
            let words = "the boot aggregate is zeros: IMA started without a TPM";
            (words.into(), "without-tpm", Some(false))
        }
        BootAggregate::Unknown => {
            ("the boot aggregate is of a bank that was not given".into(), "unknown", None)
        }
        BootAggregate::Different => {
            let words = "the boot aggregate is not that of the registers given";
            (words.into(), "differs", Some(false))
        }
    };
    (answer.word(words).with("boot_aggregate", name), good)
}

/// The algorithm and the first digits.
fn short(digest: &str) -> String {
    const DIGITS: usize = 12;
    match digest.rsplit_once(':') {
        Some((label, digits)) => {
            format!("{label}:{}", digits.chars().take(DIGITS).collect::<String>())
        }
        None => digest.to_owned(),
    }
}

/// Whatever a file is called: one line, nothing that steers a terminal, and not without end.
fn one_line(text: &str) -> String {
    const MOST: usize = 200;
    let mut line = String::new();
    for character in text.chars() {
        if line.len() >= MOST {
            line.push_str("...");
            break;
        }
        if character.is_control()
            || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_on_its_line() {
        assert_eq!(one_line("/tmp/a\nb\u{1b}[2J\u{202e}"), "/tmp/a\\nb\\u{1b}[2J\\u{202e}");
        assert_eq!(one_line(&"x".repeat(500)).len(), 203);
        assert_eq!(short("verity:sha256:0123456789abcdef"), "verity:sha256:0123456789ab");
    }
}
