//! `touchstone reference build`: values worked out from what is installed, packaged or recorded.

use super::gathered::Gathered;
use super::rpmdb::Signatures;
use super::{dpkg, publish, recorded, root, rpmdb, uki, unfit};
use crate::answer::{Answer, Answered, Failure};
use crate::cli::BuildReference;
use crate::{files, signing};
use serde_json::json;
use std::path::Path;
use touchstone_appraise::references::{Publisher, ReferenceValue};
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::ima::signature::{Publishers, Signature};

pub(super) fn build(arguments: &BuildReference) -> Answered {
    let mut document = publish::document(&arguments.about)?;
    let mut gathered = Gathered::new(arguments.algorithm.into(), &arguments.excludes);
    let mut signatures = Signatures::default();
    for folder in &arguments.roots {
        root::gather(&mut gathered, folder)?;
    }
    for source in &arguments.dpkg {
        dpkg::gather(&mut gathered, source, arguments.take_changed)?;
    }
    for source in &arguments.rpm {
        rpmdb::gather(&mut gathered, source, &mut signatures)?;
    }
    let publishers = publishers(arguments)?;
    let mut answer =
        signed_files(Answer::new("touchstone.reference.build/1"), &signatures, &publishers)?;
    answer = told(answer, &gathered);
    answer = uki::predict(answer, &mut document, &arguments.images)?;
    answer =
        recorded::take(answer, &mut document, &arguments.recorded, |path| gathered.wants(path))?;
    gathered.into_values(&mut document);
    document.values.extend(publishers.into_iter().map(ReferenceValue::Publisher));
    for prefix in &arguments.scopes {
        document.file_scope(prefix);
    }
    document.check().map_err(unfit("what was gathered"))?;
    if document.is_empty() {
        let next =
            "give --root, --dpkg, --rpm, --uki, --publisher or the quote of a device; see --help";
        return Err(Failure::usage("there are no values to sign", next));
    }
    publish::sign(answer, &document, &arguments.about)
}

fn publishers(arguments: &BuildReference) -> Result<Vec<Publisher>, Failure> {
    let mut publishers: Vec<Publisher> = Vec::new();
    for argument in &arguments.publishers {
        let (name, path) = files::pair(argument, "`--publisher NAME=FILE`")?;
        for certificate in signing::certificates(Path::new(path))? {
            publishers.push(Publisher {
                name: name.to_owned(),
                key: certificate.der().to_vec(),
                paths: Vec::new(),
                good_until: None,
                known_until: None,
            });
        }
    }
    for argument in &arguments.publisher_paths {
        let (name, prefix) = files::pair(argument, "`--publisher-path NAME=PREFIX`")?;
        let mut known = false;
        for publisher in publishers.iter_mut().filter(|publisher| publisher.name == name) {
            publisher.paths.push(prefix.to_owned());
            known = true;
        }
        if !known {
            let message = format!("no publisher is named `{name}`");
            return Err(Failure::usage(message, "give --publisher NAME=FILE as well"));
        }
    }
    Ok(publishers)
}

/// Checks the IMA signatures that packages carry with the publishers that were named: a file that a
/// package says is signed and is not would be refused on every device.
fn signed_files(
    answer: Answer,
    signatures: &Signatures,
    publishers: &[Publisher],
) -> Result<Answer, Failure> {
    if signatures.0.is_empty() {
        return Ok(answer);
    }
    let mut keys = Publishers::new();
    for publisher in publishers {
        keys.add_certificate(&AwsLc, &publisher.key).map_err(|error| {
            let message = format!("the key of publisher {}: {error}", publisher.name);
            Failure::unknown(
                error.code(),
                message,
                "give the certificate that files are signed with",
            )
        })?;
    }
    let mut strangers = 0_usize;
    for (path, digest, octets) in &signatures.0 {
        let signature = Signature::decode(octets);
        let found = signature.and_then(|of| of.verify_digest(&AwsLc, &keys, digest).map(drop));
        match found {
            Ok(()) => {}
            Err(touchstone_measure::ima::signature::SignatureFault::UnknownKey(_)) => {
                strangers += 1;
            }
            Err(fault) => {
                let message = format!("{path}: {fault}");
                let next = "sign the package's files anew (rpmsign --signfiles)";
                return Err(Failure::unknown(fault.code(), message, next));
            }
        }
    }
    let signed = signatures.0.len();
    let answer = answer
        .with("signed_files", signed)
        .with("signed_by_strangers", strangers)
        .line(format_args!("signed     {signed} files carry an IMA signature"));
    Ok(if strangers > 0 {
        answer.word(format_args!(
            "{strangers} of them are signed by keys that no --publisher has: they are known by \
             their digests only"
        ))
    } else {
        answer
    })
}

/// What was gathered and what was left out.
fn told(mut answer: Answer, gathered: &Gathered) -> Answer {
    answer = answer.with("files", gathered.len());
    let mut left_out = Vec::new();
    for (why, count, first) in gathered.left_out() {
        left_out.push(json!({ "why": why, "count": count, "first": first }));
        answer = answer.word(format_args!("left out: {count}: {why}"));
        for path in first {
            answer = answer.word(format_args!("  {path}"));
        }
        if count > first.len() {
            answer = answer.word(format_args!("  and {} more", count - first.len()));
        }
    }
    let unchecked = gathered.not_checked();
    if unchecked > 0 {
        answer = answer.word(format_args!(
            "{unchecked} files are taken as they lie there: their packages have no digests of them"
        ));
    }
    answer.with("left_out", left_out).with("not_checked", unchecked)
}
