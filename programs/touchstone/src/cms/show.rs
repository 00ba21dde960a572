//! What an envelope says of itself.

use super::no;
use crate::answer::{Answer, Answered};
use crate::files::{self, Pieces};
use crate::signing;
use std::path::Path;
use touchstone_certs::Certificate;
use touchstone_cms::{Enveloped, Kind, SignedReader};
use touchstone_crypto_awslc::AwsLc;

const SCHEMA: &str = "touchstone.cms.show/1";

pub(super) fn show(file: &Path) -> Answered {
    let (mut reader, mut pieces) = (SignedReader::new(&AwsLc), Pieces::open(file)?);
    let (mut octets, mut first): (u64, bool) = (0, true);
    while let Some(piece) = pieces.next()? {
        if first && matches!(Kind::peek(piece), Some(Kind::Enveloped | Kind::AuthEnveloped)) {
            return encrypted(file);
        }
        first = false;
        let read = reader.read(piece, |content| octets += content.dangerous().len() as u64);
        if let Err(error) = read {
            return Ok(no(SCHEMA, file, &error));
        }
    }
    match reader.unverified() {
        Ok(said) => {
            let inside = if said.attached { "inside" } else { "elsewhere" };
            let mut answer = Answer::new(SCHEMA)
                .with("kind", "signed")
                .with("content_type", said.content_type.as_str())
                .with("attached", said.attached)
                .with("octets", octets)
                .with("signatures", said.signatures)
                .with("signers", json(&said.signers))
                .with("certificates", json(&said.certificates))
                .line("kind         signed")
                .line(format_args!("type         {}", said.content_type))
                .line(format_args!("content      {inside}, {octets} octets"))
                .line(format_args!("signatures   {}", said.signatures));
            for certificate in &said.signers {
                answer = answer.line(format_args!("signed by    {}", certificate.subject()));
            }
            Ok(answer.word("not verified: this is what the envelope says of itself"))
        }
        Err(error) => Ok(no(SCHEMA, file, &error)),
    }
}

fn json(certificates: &[Certificate]) -> Vec<serde_json::Value> {
    certificates.iter().map(signing::to_json).collect()
}

fn encrypted(file: &Path) -> Answered {
    let envelope = match Enveloped::decode(&files::read(file, super::MOST)?) {
        Ok(envelope) => envelope,
        Err(error) => return Ok(no(SCHEMA, file, &error)),
    };
    let answer = Answer::new(SCHEMA)
        .with("kind", "encrypted")
        .with("content_type", envelope.content_type())
        .with("cipher", envelope.cipher().name())
        .with("recipients", envelope.recipients())
        .with("ways", envelope.ways())
        .line("kind         encrypted")
        .line(format_args!("type         {}", envelope.content_type()))
        .line(format_args!("cipher       {}", envelope.cipher().name()))
        .line(format_args!("recipients   {}", envelope.recipients()))
        .line(format_args!("keys by      {}", envelope.ways().join(", ")));
    Ok(answer)
}
