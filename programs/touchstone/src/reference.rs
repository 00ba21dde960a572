//! `touchstone reference`.

mod assign;
mod build;
mod deb;
mod dpkg;
mod export;
mod gathered;
mod import;
mod publish;
mod recorded;
mod root;
mod rpm;
mod rpmdb;
mod uki;

use crate::answer::{Answer, Answered, Failure};
use crate::cli::{Reference, SignReference};
use crate::files::{self, LARGE, SMALL};
use crate::{policy, signing};
use publish::described;
use serde_json::Value;
use std::fmt::Display;
use std::path::Path;
use touchstone_appraise::References;
use touchstone_appraise::references::{Database, Document, Error, MAX_DOCUMENT, Set};
use touchstone_certs::{Certificate, TrustStore};
use touchstone_cms::SignedData;
use touchstone_crypto::Digest;
use touchstone_crypto_awslc::AwsLc;

pub(crate) fn run(verb: &Reference) -> Answered {
    match verb {
        Reference::Sign(arguments) => sign(arguments),
        Reference::Build(arguments) => build::build(arguments),
        Reference::Import(arguments) => import::import(arguments),
        Reference::Export(arguments) => export::export(arguments),
        Reference::Assign(arguments) => assign::assign(arguments),
        Reference::Show { file, signer, policy } => {
            show(file, signer.as_deref(), policy.as_deref())
        }
    }
}

fn sign(arguments: &SignReference) -> Answered {
    let document = document(arguments)?;
    if document.is_empty() {
        let next = "give --boot-image, --command-line, --file or others; see --help";
        return Err(Failure::usage("there are no values to sign", next));
    }
    document.check().map_err(unfit("the values"))?;
    publish::sign(Answer::new("touchstone.reference.sign/1"), &document, &arguments.about)
}

fn document(arguments: &SignReference) -> Result<Document, Failure> {
    let mut document = publish::document(&arguments.about)?;
    if let Some(path) = &arguments.values {
        let limit = u64::try_from(MAX_DOCUMENT).unwrap_or(u64::MAX);
        let taken =
            Document::from_json(&files::read(path, limit)?).map_err(unfit(path.display()))?;
        document.values = taken.values;
        document.recorded = taken.recorded;
    }
    for argument in &arguments.boot_images {
        let (name, path) = files::pair(argument, "`--boot-image NAME=FILE`")?;
        let image = files::read(Path::new(path), LARGE)?;
        document.boot_image(&AwsLc, name, &image).map_err(unfit(path))?;
    }
    for argument in &arguments.measurements {
        let (name, path) = files::pair(argument, "`--measurement NAME=FILE`")?;
        document.measurement(&AwsLc, name, &files::read(Path::new(path), LARGE)?);
    }
    for argument in &arguments.secure_boot_keys {
        let (database, path) = files::pair(argument, "`--secure-boot-key db=FILE`")?;
        let database = match database {
            "pk" => Database::Pk,
            "kek" => Database::Kek,
            "db" => Database::Db,
            other => {
                let message = format!("`{other}` is no database of Secure Boot");
                return Err(Failure::usage(message, "write pk, kek or db"));
            }
        };
        for certificate in signing::certificates(Path::new(path))? {
            document.secure_boot_key(&AwsLc, database, certificate.der());
        }
    }
    for path in &arguments.revocations {
        let octets = files::read(path, SMALL)?;
        document.revocations(&AwsLc, &octets).map_err(unfit(path.display()))?;
    }
    for line in &arguments.command_lines {
        document.command_line(line);
    }
    for argument in &arguments.firmware {
        let (name, pcr0) = files::pair(argument, "`--firmware NAME=sha256:HEX`")?;
        let pcr0 = Digest::parse(pcr0)
            .map_err(|error| Failure::usage(format!("`{pcr0}`: {error}"), "write sha256:<hex>"))?;
        document.firmware(name, pcr0);
    }
    for argument in &arguments.files {
        let (path, local) = files::pair(argument, "`--file PATH=FILE`")?;
        let content = files::read(Path::new(local), LARGE)?;
        document.file(&AwsLc, path, &content).map_err(unfit(local))?;
    }
    for prefix in &arguments.scopes {
        document.file_scope(prefix);
    }
    Ok(document)
}

fn unfit(file: impl Display) -> impl FnOnce(Error) -> Failure {
    move |error| {
        let message = format!("{file}: {error}");
        let next = match error {
            Error::NotUnderstood { .. } => {
                "leave out or rewrite what it names, and import the rest"
            }
            Error::Json { .. } | Error::Schema(_) => {
                "give a whole file of the format that is asked for"
            }
            Error::TooLarge => "split it into several documents",
            _ => "give the file that the device will have",
        };
        Failure::unknown(error.code(), message, next)
    }
}

fn show(file: &Path, wanted: Option<&Path>, judge: Option<&Path>) -> Answered {
    let schema = "touchstone.reference.show/1";
    let shown = file.display();
    let no = |code: &str, reason: &dyn Display| {
        Ok(Answer::new(schema)
            .good(false)
            .with("code", code)
            .with("reason", reason.to_string())
            .word(format_args!("{shown}: refused: {reason} ({code})")))
    };
    let octets = files::read(file, LARGE)?;
    if let Some(wanted) = wanted {
        let trust = TrustStore::new(signing::certificates(wanted)?);
        if let Err(error) = Document::open(&AwsLc, &octets, &trust, files::now()?) {
            return no(error.code(), &error);
        }
    }
    let signed = match SignedData::decode(&octets).and_then(|signed| signed.verify(&AwsLc)) {
        Ok(signed) => signed.into_inner(),
        Err(error) => return no(error.code(), &error),
    };
    let document = match Document::from_json(signed.content()) {
        Ok(document) => document,
        Err(error) => return no(error.code(), &error),
    };
    if let Some(path) = judge {
        let mut references = References::new();
        references.add(Set::new(&AwsLc, &document).into()).map_err(unfit(&shown))?;
        if let Some(unread) =
            references.unevaluated(&policy::load(path, &touchstone_appraise::catalog())?).first()
        {
            return no(unread.code(), unread);
        }
    }
    let signers: Vec<&Certificate> = signed.signers().iter().map(|by| &by.certificate).collect();
    let mut answer = Answer::new(schema).with("trusted", wanted.is_some());
    answer = described(answer, &document);
    for signer in &signers {
        answer = answer.line(format_args!("signed by  {}", signer.subject()));
    }
    if wanted.is_none() {
        answer = answer.word("the signature is good; whether the signer counts, --signer tells");
    }
    let signers: Vec<Value> = signers.into_iter().map(signing::to_json).collect();
    Ok(answer.with("signers", signers))
}
