//! `touchstone reference export`: what we have signed, in the words of others.

use super::unfit;
use crate::answer::{Answer, Answered, Failure};
use crate::cli::{ExportReference, Written};
use crate::files::{self, LARGE};
use crate::signing;
use serde_json::json;
use touchstone_appraise::references::{Document, corim};
use touchstone_certs::TrustStore;
use touchstone_crypto_awslc::AwsLc;

pub(super) fn export(arguments: &ExportReference) -> Answered {
    let shown = arguments.file.display();
    let trust = TrustStore::new(signing::certificates(&arguments.signer)?);
    let signed = files::read(&arguments.file, LARGE)?;
    let document = Document::open(&AwsLc, &signed, &trust, files::now()?).map_err(|error| {
        let next = "give signed reference values and, with --signer, their publisher";
        Failure::unknown(error.code(), format!("{shown}: {error}"), next)
    })?;
    let Written::Corim = arguments.format;
    let written = corim::export(&document).map_err(unfit(&shown))?;
    let left_out: Vec<String> =
        written.left_out.iter().map(|(what, count)| format!("{what} ({count})")).collect();
    if !left_out.is_empty() && !arguments.partly {
        let message = format!("{shown}: CoRIM has no words for {}", left_out.join(", "));
        let next = "give --partly to leave that out: others will then judge by less";
        return Err(Failure::unknown("reference.export.left-out", message, next));
    }
    let (certificate, key) = signing::load(&arguments.by)?;
    let manifest =
        corim::sign(&written.octets, &certificate, &key).map_err(unfit("the manifest"))?;
    files::write(&arguments.out, &manifest)?;
    let mut answer = Answer::new("touchstone.reference.export/1")
        .with("component", document.component.as_str())
        .with("version", document.version)
        .with("left_out", json!(written.left_out))
        .with("signers", vec![signing::to_json(&certificate)])
        .with("out", arguments.out.display().to_string())
        .line(format_args!("component  {}", document.component))
        .line(format_args!("version    {}", document.version))
        .line(format_args!("signed by  {}", certificate.subject()));
    for what in left_out {
        answer = answer.word(format_args!("left out: {what}"));
    }
    Ok(answer.word(format_args!("wrote {}", arguments.out.display())))
}
