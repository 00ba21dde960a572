//! Documents from the command line's words, signed and described.

use crate::answer::{Answer, Answered, Failure};
use crate::cli::{About, Signatory};
use crate::{files, signing};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use touchstone_appraise::references::{Document, Supersedes};
use touchstone_certs::Certificate;
use touchstone_cms::{DATA, SignedData};
use touchstone_crypto::Signer;
use touchstone_crypto_awslc::AwsLc;

/// A document without values.
pub(super) fn document(about: &About) -> Result<Document, Failure> {
    let now = files::now()?;
    let after = |span: Duration| now.saturating_add(span.as_secs());
    let mut document = Document::new(&about.tenant, &about.component, about.version);
    document.valid_until = about.valid_for.map(after);
    document.supersedes = about.grace.map(|grace| {
        let outdated = grace.saturating_add(about.outdated.unwrap_or_default());
        Supersedes { good_until: after(grace), known_until: after(outdated) }
    });
    Ok(document)
}

/// Signs a document and says what is in it.
pub(super) fn sign(answer: Answer, document: &Document, about: &About) -> Answered {
    let answer = envelope(answer, &document.to_json(), &about.by, &about.out)?;
    Ok(described(answer, document))
}

/// Signs JSON and writes it.
pub(super) fn envelope(answer: Answer, json: &[u8], by: &Signatory, out: &Path) -> Answered {
    let (certificate, key) = signing::load(by)?;
    let signer: (&Certificate, &dyn Signer) = (&certificate, &key);
    let envelope =
        SignedData::sign(&AwsLc, json, DATA, &[signer], files::now()?).map_err(|error| {
            Failure::unknown(error.code(), error, "check the certificate and the key")
        })?;
    files::write(out, &envelope)?;
    Ok(answer
        .with("out", out.display().to_string())
        .with("signers", vec![signing::to_json(&certificate)])
        .word(format_args!("wrote {}", out.display())))
}

/// What a document says, for people and as JSON.
pub(super) fn described(answer: Answer, document: &Document) -> Answer {
    let json = serde_json::to_value(document).unwrap_or_default();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let of = |member| json.get(member).and_then(Value::as_array).into_iter().flatten();
    for kind in of("values").chain(of("recorded")).filter_map(|value| value.get("kind")?.as_str()) {
        *kinds.entry(kind).or_default() += 1;
    }
    let counted: Vec<String> =
        kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let id = document.id(&AwsLc).to_string();
    let mut answer = answer
        .line(format_args!("tenant     {}", document.tenant))
        .line(format_args!("component  {}", document.component))
        .line(format_args!("version    {}", document.version))
        .line(format_args!("set        {id}"))
        .line(format_args!("values     {}", counted.join(", ")));
    if !document.recorded.is_empty() {
        let recorded = document.recorded.len();
        answer = answer.line(format_args!("recorded   {recorded} of them, released by nobody"));
    }
    if let Some(Supersedes { good_until, known_until }) = document.supersedes {
        answer = answer.line(format_args!(
            "supersedes lower versions: good until {good_until}, known until {known_until}"
        ));
    }
    if let Some(until) = document.valid_until {
        answer = answer.line(format_args!("valid      until {until}"));
    }
    answer.with("set", id).with("document", json)
}
