//! Signing and verifying files of any size.

use super::{failed, keys::By, no};
use crate::answer::{Answer, Answered, Failure};
use crate::files::{self, NewFile, Pieces};
use crate::signing;
use serde_json::{Value, json};
use std::path::Path;
use touchstone_certs::{Certificate, Purpose, TrustStore};
use touchstone_cms::{Detached, Error, SignedBy, SignedReader, SignedWriter, Signers};
use touchstone_crypto_awslc::AwsLc;

pub(super) fn sign(
    file: &Path,
    by: &[By],
    content_type: &str,
    detached: bool,
    out: &Path,
) -> Answered {
    let signers: Vec<_> = by.iter().map(|by| (&by.certificate, by.key.algorithm())).collect();
    let make = if detached { SignedWriter::detached } else { SignedWriter::attached };
    let mut writer = make(&AwsLc, content_type, &signers).map_err(|error| failed(&error))?;
    let mut pieces = Pieces::open(file)?;
    let mut target = NewFile::create(out)?;
    let mut buf = Vec::new();
    while let Some(piece) = pieces.next()? {
        writer.write(piece, &mut buf);
        target.write(&buf)?;
        buf.clear();
    }
    let len = pieces.len();
    let mut to_sign = writer.end(files::now()?).map_err(|error| failed(&error))?;
    let messages: Vec<Vec<u8>> = to_sign.messages().iter().map(|it| it.to_vec()).collect();
    for (index, (by, message)) in by.iter().zip(&messages).enumerate() {
        let signature = by.key.sign(message).map_err(|error| {
            let message = format!("`{}`: {error}", by.certificate.subject());
            Failure::unknown(error.code(), message, "`touchstone element info` shows how it is")
        })?;
        to_sign.answer(index, signature).map_err(|error| failed(&error))?;
    }
    to_sign.finish(&mut buf).map_err(|error| failed(&error))?;
    target.write(&buf)?;
    target.keep()?;
    let mut answer = Answer::new("touchstone.cms.sign/1")
        .with("out", out.display().to_string())
        .with("octets", len)
        .with("detached", detached)
        .with("signers", by.iter().map(|by| signing::to_json(&by.certificate)).collect::<Vec<_>>());
    for by in by {
        answer = answer.line(format_args!("signed by  {}", by.certificate.subject()));
    }
    Ok(answer.word(format_args!("wrote {}", out.display())))
}

/// What a verifier asks for.
pub(super) struct Wanted {
    pub(super) trust: Vec<Certificate>,
    pub(super) beside: Vec<Certificate>,
    pub(super) signatures: usize,
}

const VERIFY: &str = "touchstone.cms.verify/1";

pub(super) fn verify(
    file: &Path,
    content: Option<&Path>,
    wanted: &Wanted,
    out: Option<&Path>,
) -> Answered {
    if content.is_some() && out.is_some() {
        let message = "with --content there is nothing inside that --out could take";
        return Err(Failure::usage(message, "leave one of them away"));
    }
    // What comes out is nobody's yet: it becomes a file under its name only when all is good.
    let mut target = out.map(NewFile::create).transpose()?;
    let said = match content {
        Some(content) => verify_detached(file, content, wanted)?,
        None => verify_attached(file, wanted, target.as_mut())?,
    };
    let signers = match said {
        Ok(signers) => signers,
        Err(error) => return Ok(no(VERIFY, file, &error)),
    };
    if let Err((code, reason)) = judge(&signers, wanted)? {
        let answer = Answer::new(VERIFY)
            .good(false)
            .with("code", code)
            .with("reason", reason.as_str())
            .with("signers", listed(&signers));
        return Ok(answer.word(format_args!("{}: refused: {reason} ({code})", file.display())));
    }
    if let Some(target) = target {
        target.keep()?;
    }
    let mut answer = Answer::new(VERIFY)
        .with("content_type", signers.content_type())
        .with("signers", listed(&signers))
        .line(format_args!("{}: good", file.display()));
    for by in signers.signers() {
        answer = answer.line(format_args!("  signed by  {}", words(by)));
        for counter in &by.countersigned {
            answer = answer.line(format_args!("    countersigned by  {}", words(counter)));
        }
    }
    Ok(match out {
        Some(out) => answer
            .with("out", out.display().to_string())
            .word(format_args!("wrote {}", out.display())),
        None => answer,
    })
}

type Said = Result<Result<Signers, Error>, Failure>;

fn verify_attached(file: &Path, wanted: &Wanted, mut target: Option<&mut NewFile>) -> Said {
    let (mut reader, mut pieces) = (SignedReader::new(&AwsLc), Pieces::open(file)?);
    while let Some(piece) = pieces.next()? {
        let mut written = Ok(());
        let read = reader.read(piece, |content| {
            if let (Some(target), Ok(())) = (target.as_mut(), &written) {
                written = target.write(content.dangerous());
            }
        });
        written?;
        if let Err(error) = read {
            return Ok(Err(error));
        }
    }
    Ok(reader.verify(&wanted.beside).map(touchstone_crypto::Verified::into_inner))
}

fn verify_detached(file: &Path, content: &Path, wanted: &Wanted) -> Said {
    let mut envelope = match detached(file)? {
        Ok(envelope) => envelope,
        Err(error) => return Ok(Err(error)),
    };
    let mut pieces = Pieces::open(content)?;
    while let Some(piece) = pieces.next()? {
        envelope.read(piece);
    }
    Ok(envelope.verify(&wanted.beside).map(touchstone_crypto::Verified::into_inner))
}

fn detached(file: &Path) -> Result<Result<Detached<'static>, Error>, Failure> {
    let (mut reader, mut pieces) = (SignedReader::new(&AwsLc), Pieces::open(file)?);
    while let Some(piece) = pieces.next()? {
        if let Err(error) = reader.read(piece, |_| {}) {
            return Ok(Err(error));
        }
    }
    Ok(reader.detached())
}

/// Whether everybody who signed counts, and enough have.
fn judge(
    signers: &Signers,
    wanted: &Wanted,
) -> Result<Result<(), (&'static str, String)>, Failure> {
    let (now, store) = (files::now()?, TrustStore::new(wanted.trust.clone()));
    for by in signers.signers() {
        let certificate = &by.certificate;
        let pinned = wanted.trust.contains(certificate)
            && (certificate.not_before()..=certificate.not_after()).contains(&now);
        if pinned {
            continue;
        }
        let chain = signers.certificates();
        if let Err(error) = store.validate(&AwsLc, certificate, chain, now, Purpose::Any) {
            return Ok(Err((error.code(), error.to_string())));
        }
    }
    let (there, least) = (signers.signers().len(), wanted.signatures);
    if there < least {
        let reason = format!("{there} signed, and {least} have to");
        return Ok(Err(("touchstone.cms.too-few-signatures", reason)));
    }
    Ok(Ok(()))
}

fn listed(signers: &Signers) -> Value {
    signers.signers().iter().map(to_json).collect()
}

fn to_json(by: &SignedBy) -> Value {
    json!({
        "certificate": signing::to_json(&by.certificate),
        "algorithm": by.algorithm.name(),
        "signing_time": by.signing_time,
        "countersigned": by.countersigned.iter().map(to_json).collect::<Vec<_>>(),
    })
}

fn words(by: &SignedBy) -> String {
    let (who, how) = (by.certificate.subject(), by.algorithm.name());
    match by.signing_time {
        Some(at) => format!("{who} ({how}; at {at}, they say)"),
        None => format!("{who} ({how})"),
    }
}
