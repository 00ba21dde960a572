//! Whether a log is whole.

use super::read::files;
use crate::answer::{Answer, Answered, Failure};
use crate::cli::Fleet;
use crate::fleet;
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use touchstone_audit::{Error, Head, Known, LogKey, Report, verify_parts};
use touchstone_crypto_awslc::AwsLc;

/// What is known of the log from elsewhere, as the command line says it.
pub(super) struct Asked<'a> {
    pub(super) head: Option<Head>,
    pub(super) checkpoint: &'a Option<PathBuf>,
    pub(super) key: &'a Option<PathBuf>,
    pub(super) ask_fleet: bool,
    pub(super) fleet: &'a Fleet,
}

impl Asked<'_> {
    fn head_and_key(&self) -> Result<(Option<Head>, Option<LogKey>), Failure> {
        if !self.ask_fleet {
            let key = self.key.as_deref().map(text).transpose()?.as_deref().map(read_key);
            return Ok((self.head, key.transpose()?));
        }
        let told = fleet::get(self.fleet, "/api/v1/audit/head")?;
        let key = told.get("key").and_then(Value::as_str).ok_or_else(|| {
            let message =
                "the fleet's answer holds no key, so by whom the log is signed cannot be told";
            let next = "check that the fleet and this program are of one release, or give --key";
            Failure::unknown("touchstone.fleet.answer", message, next)
        })?;
        Ok((Some(head_of(&told)?), Some(read_key(key)?)))
    }
}

pub(super) fn run(file: &Path, from: Option<u64>, asked: &Asked<'_>) -> Answered {
    // The head first: what is written while the log is read can only come after it.
    let (head, key) = asked.head_and_key()?;
    let checkpoint = asked.checkpoint;
    let note = checkpoint.as_deref().map(text).transpose()?;
    let shown = file.display();
    let (paths, files): (Vec<PathBuf>, Vec<File>) = files(file)?.into_iter().unzip();
    let answer = Answer::new("touchstone.audit.verify/2").with("file", shown.to_string());
    let checkpoint = match key.as_ref().zip(note).map(|(key, note)| key.open(&AwsLc, &note)) {
        None => None,
        Some(Ok(checkpoint)) => Some(checkpoint),
        Some(Err(fault)) => {
            return Ok(answer
                .good(false)
                .with("code", fault.code())
                .with("reason", format!("the checkpoint: {fault}"))
                .word(format_args!("the checkpoint: {fault} ({})", fault.code())));
        }
    };
    let known = Known { head, checkpoint, key: key.as_ref() };
    let known_head = known.head.map(|head| head.to_string());
    match verify_parts(files, &AwsLc, &known) {
        Ok(report) if missing(&report, from) => {
            let words = format!(
                "entries 1 to {} are not here, and the log does not say that they were removed",
                report.first - 1
            );
            Ok(answer
                .good(false)
                .with("code", "audit.parts.missing")
                .with("reason", words.clone())
                .with("first", report.first)
                .word(format_args!(
                    "{shown}: {words}; give --from {} if they are kept elsewhere \
                     (audit.parts.missing)",
                    report.first
                )))
        }
        Ok(report) => {
            let by = match known.key {
                Some(key) => format!("signed up to entry {} by {}", report.signed, key.name()),
                None if report.signed > 0 => {
                    format!("signed up to entry {}, by whom was not checked", report.signed)
                }
                None => "never signed".to_owned(),
            };
            let mut answer = answer
                .with("entries", report.entries)
                .with("first", report.first)
                .with("pruned", report.pruned)
                .with("parts", paths.len())
                .with("head", report.head.to_string())
                .with("signed", report.signed)
                .with("signed_by", known.key.map(LogKey::name))
                .with("torn", report.torn)
                .with("known_head", known_head)
                .with("known_checkpoint", known.checkpoint.as_ref().map(|known| known.size))
                .line(format_args!(
                    "{shown}: whole, {} entries, head {}\n{shown}: {by}",
                    report.entries, report.head
                ));
            if report.first > 1 {
                let upto = report.first - 1;
                answer = answer.word(format_args!("{shown}: entries 1 to {upto} are not here"));
            }
            if report.torn > 0 {
                answer = answer.word(format_args!(
                    "{shown}: {} octets of an unfinished line at the end; the fleet cuts them off \
                     when it starts",
                    report.torn
                ));
            }
            if known.head.is_none() && known.checkpoint.is_none() {
                answer = answer.word(
                    "whether the end was cut off cannot be told without a known head; give --head, \
                     --checkpoint or --ask-fleet",
                );
            }
            Ok(answer)
        }
        Err(Error::Broken(broken)) => Ok(answer
            .good(false)
            .with("part", part(&paths, broken.part, file))
            .with("line", broken.line)
            .with("code", broken.flaw.code())
            .with("reason", broken.flaw.to_string())
            .with("known_head", known_head)
            .word(format_args!(
                "{}:{}: {}; keep the file, and compare it with a copy ({})",
                part(&paths, broken.part, file),
                broken.line,
                broken.flaw,
                broken.flaw.code()
            ))),
        Err(error) => {
            Err(Failure::unknown(error.code(), format!("{shown}: {error}"), "check the disk"))
        }
    }
}

/// Whether entries are missing that neither the log nor the question accounts for.
fn missing(report: &Report, from: Option<u64>) -> bool {
    report.first > 1
        && report.pruned + 1 < report.first
        && from.is_none_or(|from| from < report.first)
}

/// The name of the part that was read as that.
fn part(paths: &[PathBuf], part: usize, file: &Path) -> String {
    paths.get(part).map_or(file, PathBuf::as_path).display().to_string()
}

fn text(path: &Path) -> Result<String, Failure> {
    crate::files::read_text(path, crate::files::SMALL)
}

fn read_key(text: &str) -> Result<LogKey, Failure> {
    LogKey::parse(&AwsLc, text).map_err(|fault| {
        let next = "give the file `audit.pub` from the fleet's state folder";
        Failure::unknown(fault.code(), fault.to_string(), next)
    })
}

/// The head that a fleet tells.
fn head_of(body: &Value) -> Result<Head, Failure> {
    let entries = body.get("entries").and_then(Value::as_u64);
    let hash = body.get("head").and_then(Value::as_str);
    let head =
        entries.zip(hash).and_then(|(entries, hash)| format!("{entries}:{hash}").parse().ok());
    head.ok_or_else(|| {
        let next = "check that the fleet and this program are of one release";
        Failure::unknown("touchstone.fleet.answer", "the fleet's answer holds no head", next)
    })
}
