//! `touchstone audit`.

use crate::answer::{Answer, Answered, Failure};
use crate::cli::Audit;
use crate::fleet;
use serde_json::Value;
use std::fs::File;
use touchstone_audit::{Error, Head, verify};
use touchstone_crypto_awslc::AwsLc;

pub(crate) fn run(verb: &Audit) -> Answered {
    let Audit::Verify { file, head, ask_fleet, fleet } = verb;
    // The head first: what is written while the log is read can only come after it.
    let known =
        if *ask_fleet { Some(head_of(&fleet::get(fleet, "/api/v1/audit/head")?)?) } else { *head };
    let shown = file.display();
    let log = File::open(file).map_err(|error| {
        let message = format!("cannot read {shown}: {error}");
        Failure::unknown("touchstone.file.read", message, "check the path and who may read it")
    })?;
    let answer = Answer::new("touchstone.audit.verify/1").with("file", shown.to_string());
    match verify(log, &AwsLc, known.as_ref()) {
        Ok(report) => {
            let mut answer = answer
                .with("entries", report.entries)
                .with("head", report.head.to_string())
                .with("torn", report.torn)
                .with("known_head", known.map(|head| head.to_string()))
                .line(format_args!(
                    "{shown}: whole, {} entries, head {}",
                    report.entries, report.head
                ));
            if report.torn > 0 {
                answer = answer.word(format_args!(
                    "{shown}: {} octets of an unfinished line at the end; the fleet cuts them off \
                     when it starts",
                    report.torn
                ));
            }
            if known.is_none() {
                answer = answer.word(
                    "whether the end was cut off cannot be told without a known head; give --head \
                     or --ask-fleet",
                );
            }
            Ok(answer)
        }
        Err(Error::Broken(broken)) => Ok(answer
            .good(false)
            .with("line", broken.line)
            .with("code", broken.flaw.code())
            .with("reason", broken.flaw.to_string())
            .with("known_head", known.map(|head| head.to_string()))
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
