//! `touchstone respond`: what the agent on this device did about verdicts. It is asked over the socket
//! in its state folder; this program decides nothing.

use crate::answer::{Answer, Answered, Failure, table};
use crate::cli::{Agent, Respond, Signatory};
use crate::{files, signing};
use base64ct::{Base64, Encoding};
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use touchstone_cms::{DATA, SignedData};
use touchstone_crypto_awslc::AwsLc;

const SCHEMA: &str = "touchstone.respond/1";
/// The longest answer that is read, in octets.
const LONGEST: u64 = 4 << 20;

pub(crate) fn run(verb: &Respond) -> Answered {
    match verb {
        Respond::List { agent } => list(agent),
        Respond::Approve { id, by, agent } => approve(id, by, agent),
        Respond::Undo { id, agent } => undo(id, agent),
    }
}

/// What the agent tells (`touchstone.agent.respond/1`).
#[derive(Debug, Deserialize)]
struct Told {
    schema: String,
    device: Option<String>,
    responses: Vec<Value>,
    statement: Option<String>,
    refused: Option<Refused>,
}

#[derive(Debug, Deserialize)]
struct Refused {
    code: String,
    words: String,
}

fn list(agent: &Agent) -> Answered {
    let told = ask(agent, &json!({ "verb": "list" }))?;
    let waiting = told.responses.iter().any(|it| text(it, "stage") == "waiting");
    let mut rows = vec![["ID", "STAGE", "ACTION", "TARGET", "WHY"].map(str::to_owned).to_vec()];
    rows.extend(told.responses.iter().map(row));
    let mut answer = Answer::new(SCHEMA).good(!waiting).with("device", told.device);
    if told.responses.is_empty() {
        answer = answer.word("nothing was done");
    } else {
        answer = answer.line(table(&rows));
    }
    if waiting {
        answer = answer.word("some wait for two approvals: touchstone respond approve ID");
    }
    Ok(answer.with("responses", told.responses))
}

fn row(response: &Value) -> Vec<String> {
    let target = match response.pointer("/target/process") {
        Some(process) => {
            let pid = process.get("pid").and_then(Value::as_u64).unwrap_or(0);
            format!("process {pid} ({})", text(process, "program"))
        }
        None => "this device".to_owned(),
    };
    let why = format!("{}: {}", text(response, "control"), text(response, "outcome"));
    let cells = [text(response, "id"), text(response, "stage"), text(response, "action")];
    cells.into_iter().map(str::to_owned).chain([target, why]).collect()
}

fn approve(id: &str, by: &Signatory, agent: &Agent) -> Answered {
    let told = ask(agent, &json!({ "verb": "statement", "id": id }))?;
    if let Some(refused) = told.refused {
        return Ok(no(&refused));
    }
    let statement = told.statement.ok_or_else(|| other("it gives nothing to sign"))?;
    let (certificate, key) = signing::load(by)?;
    let signers: [(_, &dyn touchstone_crypto::Signer); 1] = [(&certificate, &key)];
    let signed = SignedData::sign(&AwsLc, statement.as_bytes(), DATA, &signers, files::now()?);
    let signed = signed.map_err(|error| {
        Failure::unknown(error.code(), error, "give another certificate and its key")
    })?;
    let approval = Base64::encode_string(&signed);
    let told = ask(agent, &json!({ "verb": "approve", "id": id, "approval": approval }))?;
    Ok(one(told, |stage| stage != "waiting").word(format_args!("signed: {statement}")))
}

fn undo(id: &str, agent: &Agent) -> Answered {
    let told = ask(agent, &json!({ "verb": "undo", "id": id }))?;
    Ok(one(told, |stage| stage == "undone"))
}

/// The answer about one response.
fn one(told: Told, good: impl Fn(&str) -> bool) -> Answer {
    if let Some(refused) = told.refused {
        return no(&refused);
    }
    let Some(response) = told.responses.into_iter().next() else {
        return Answer::new(SCHEMA).good(false).word("the agent tells of no response");
    };
    let line = format!(
        "{} {}: {}",
        text(&response, "id"),
        text(&response, "stage"),
        text(&response, "outcome")
    );
    Answer::new(SCHEMA).good(good(text(&response, "stage"))).with("response", response).line(line)
}

fn no(refused: &Refused) -> Answer {
    Answer::new(SCHEMA)
        .good(false)
        .with("code", refused.code.as_str())
        .with("reason", refused.words.as_str())
        .word(format_args!("{} ({})", refused.words, refused.code))
}

fn text<'v>(of: &'v Value, name: &str) -> &'v str {
    of.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn other(why: &str) -> Failure {
    let message = format!("the agent answers something else: {why}");
    Failure::unknown("touchstone.respond.answer", message, "are both of one version?")
}

fn ask(agent: &Agent, question: &Value) -> Result<Told, Failure> {
    let path = agent.state.join("respond.sock");
    let asked = UnixStream::connect(&path).and_then(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_mins(1)))?;
        stream.write_all(question.to_string().as_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        let mut json = Vec::new();
        stream.take(LONGEST).read_to_end(&mut json)?;
        Ok(json)
    });
    let json = asked.map_err(|error| {
        let message = format!("no agent answers at {}: {error}", path.display());
        let next = "start it, name its state folder with --state, or run this as its user";
        Failure::unknown("touchstone.respond.agent", message, next)
    })?;
    let told: Told = serde_json::from_slice(&json).map_err(|error| other(&error.to_string()))?;
    if told.schema == "touchstone.agent.respond/1" { Ok(told) } else { Err(other(&told.schema)) }
}
