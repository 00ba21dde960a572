//! `touchstone audit`.

use crate::answer::{Answer, Answered, Failure};
use crate::cli::Audit;
use crate::{files, fleet};
use serde_json::Value;
use std::fs::File;
use std::path::Path;
use touchstone_audit::{Error, Head, Known, LogKey, verify};
use touchstone_crypto_awslc::AwsLc;

pub(crate) fn run(verb: &Audit) -> Answered {
    let Audit::Verify { file, head, checkpoint, key, ask_fleet, fleet } = verb;
    // The head first: what is written while the log is read can only come after it.
    let (head, key) = if *ask_fleet {
        let told = fleet::get(fleet, "/api/v1/audit/head")?;
        (Some(head_of(&told)?), told.get("key").and_then(Value::as_str).map(read_key).transpose()?)
    } else {
        (*head, key.as_deref().map(text).transpose()?.as_deref().map(read_key).transpose()?)
    };
    let note = checkpoint.as_deref().map(text).transpose()?;
    let shown = file.display();
    let log = File::open(file).map_err(|error| {
        let message = format!("cannot read {shown}: {error}");
        Failure::unknown("touchstone.file.read", message, "check the path and who may read it")
    })?;
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
    match verify(log, &AwsLc, &known) {
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
            .with("line", broken.line)
            .with("code", broken.flaw.code())
            .with("reason", broken.flaw.to_string())
            .with("known_head", known_head)
            .word(format_args!(
                "{shown}:{}: {}; keep the file, and compare it with a copy ({})",
                broken.line,
                broken.flaw,
                broken.flaw.code()
            ))),
        Err(error) => {
            Err(Failure::unknown(error.code(), format!("{shown}: {error}"), "check the disk"))
        }
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    files::read_text(path, files::SMALL)
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
