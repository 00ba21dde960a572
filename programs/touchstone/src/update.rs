//! `touchstone update`.

use crate::answer::{Answer, Answered, Failure};
use crate::cli::Update;
use crate::files::{self, LARGE};
use crate::signing;
use serde_json::{Value, json};
use std::path::Path;
use touchstone_crypto_awslc::AwsLc;
use touchstone_update::{Manifest, Refused, Role, Rules, countersign, inspect, open, seal};

pub(crate) fn run(verb: &Update) -> Answered {
    match verb {
        Update::Sign { component, version, payload, note, expires_in, by, out } => {
            let (certificate, key) = signing::load(by)?;
            let (payload, now) = (files::read(payload, LARGE)?, files::now()?);
            let mut manifest = Manifest::new(&AwsLc, component, *version, &payload, note)
                .map_err(|refused| Failure::usage(refused, "write it otherwise"))?;
            manifest.expires = expires_in.map(|expires| now.saturating_add(expires.as_secs()));
            let envelope = seal(&AwsLc, &manifest, &payload, &[(&certificate, &key)], now)
                .map_err(|refused| unmade(&refused))?;
            files::write(out, &envelope)?;
            written("touchstone.update.sign/1", &envelope, out)
        }
        Update::Countersign { file, by, out } => {
            let (certificate, key) = signing::load(by)?;
            let envelope = files::read(file, LARGE)?;
            let signed = match countersign(&AwsLc, &envelope, (&certificate, &key), files::now()?) {
                Ok(signed) => signed,
                Err(refused) => return Ok(no("touchstone.update.countersign/1", file, &refused)),
            };
            files::write(out, &signed)?;
            written("touchstone.update.countersign/1", &signed, out)
        }
        Update::Show { file } => {
            let schema = "touchstone.update.show/1";
            match described(Answer::new(schema), &files::read(file, LARGE)?) {
                Ok(answer) => {
                    Ok(answer.word("not verified: this is what the envelope says of itself"))
                }
                Err(refused) => Ok(no(schema, file, &refused)),
            }
        }
        Update::Verify { file, component, above, roles } => verify(file, component, *above, roles),
    }
}

fn verify(file: &Path, component: &str, above: u64, by: &[String]) -> Answered {
    let schema = "touchstone.update.verify/1";
    let roles = by.iter().map(|argument| role(argument)).collect::<Result<_, _>>()?;
    let wanted = Rules { component: component.into(), above, roles };
    let envelope = files::read(file, LARGE)?;
    let update = match open(&AwsLc, &envelope, &wanted, files::now()?) {
        Ok(update) => update,
        Err(refused) => return Ok(no(schema, file, &refused)),
    };
    let signers: Vec<Value> = update
        .signers()
        .iter()
        .map(|(role, certificate)| json!({ "role": role, "certificate": signing::to_json(certificate) }))
        .collect();
    let manifest = update.manifest();
    let mut answer = Answer::new(schema)
        .with("manifest", manifest_json(manifest))
        .with("signers", signers)
        .line(format_args!(
            "{}: good: {} version {}",
            file.display(),
            manifest.component,
            manifest.version
        ));
    for (role, certificate) in update.signers() {
        answer = answer.line(format_args!("  {role}: {}", certificate.subject()));
    }
    Ok(answer)
}

fn role(argument: &str) -> Result<Role, Failure> {
    let (name, file) = files::pair(argument, "`--role NAME=FILE`")?;
    let trust = signing::trust(signing::certificates(Path::new(file))?);
    Ok(Role { name: name.into(), trust })
}

/// What was written, as a reader will find it.
fn written(schema: &'static str, envelope: &[u8], out: &Path) -> Answered {
    let answer = Answer::new(schema).with("out", out.display().to_string());
    described(answer, envelope)
        .map(|answer| answer.word(format_args!("wrote {}", out.display())))
        .map_err(|refused| unmade(&refused))
}

fn described(answer: Answer, envelope: &[u8]) -> Result<Answer, Refused> {
    let inspected = inspect(envelope)?;
    let manifest = &inspected.manifest;
    let signers: Vec<Value> = inspected.signers.iter().map(signing::to_json).collect();
    let mut answer = answer
        .with("manifest", manifest_json(manifest))
        .with("signers", signers)
        .line(format_args!("component  {}", manifest.component))
        .line(format_args!("version    {}", manifest.version))
        .line(format_args!("size       {} octets", manifest.size))
        .line(format_args!("sha256     {}", manifest.sha256));
    if let Some(expires) = manifest.expires {
        answer = answer.line(format_args!("expires    {expires} (Unix seconds)"));
    }
    if !manifest.note.is_empty() {
        answer = answer.line(format_args!("note       {}", manifest.note));
    }
    for signer in &inspected.signers {
        answer = answer.line(format_args!("signed by  {}", signer.subject()));
    }
    Ok(answer)
}

fn manifest_json(manifest: &Manifest) -> Value {
    json!({
        "component": manifest.component,
        "version": manifest.version,
        "sha256": manifest.sha256,
        "size": manifest.size,
        "note": manifest.note,
        "expires": manifest.expires,
    })
}

/// The answer is no, and this is why.
fn no(schema: &'static str, file: &Path, refused: &Refused) -> Answer {
    Answer::new(schema)
        .good(false)
        .with("code", refused.code())
        .with("reason", refused.to_string())
        .word(format_args!("{}: refused: {refused} ({})", file.display(), refused.code()))
}

fn unmade(refused: &Refused) -> Failure {
    Failure::unknown(refused.code(), refused, "check the certificate and the key")
}
