//! `touchstone reference import`: what others have written, in our words.

use super::{publish, unfit};
use crate::answer::{Answer, Answered, Failure};
use crate::cli::{Format, ImportReference};
use crate::files::{self, LARGE};
use crate::signing;
use touchstone_appraise::references::corim::{self, Elements, Trust};
use touchstone_appraise::references::{Imported, keylime};
use touchstone_certs::TrustStore;
use touchstone_crypto_awslc::AwsLc;

pub(super) fn import(arguments: &ImportReference) -> Answered {
    let octets = files::read(&arguments.file, LARGE)?;
    let shown = arguments.file.display();
    let imported = match arguments.format {
        Format::Keylime if arguments.signer.is_some() || arguments.boot_images => {
            let message = "--signer and --boot-images mean nothing to a policy of Keylime";
            return Err(Failure::usage(message, "leave them out"));
        }
        Format::Keylime => keylime::import(&octets).map_err(unfit(&shown))?,
        Format::Corim => corim(arguments, &octets)?,
    };
    if let Some(version) = imported.version.filter(|version| *version != arguments.about.version) {
        let message = format!("{shown} describes version {version}");
        return Err(Failure::usage(message, format_args!("give --version {version}")));
    }
    let mut answer = Answer::new("touchstone.reference.import/1")
        .with("notes", imported.notes.clone())
        .with("signer", imported.signer.clone());
    for note in &imported.notes {
        answer = answer.word(note);
    }
    let about = &arguments.about;
    let mut document = publish::document(about)?;
    let taken = imported.into_document(&about.tenant, &about.component, about.version);
    document.values = taken.values;
    document.valid_until = document.valid_until.into_iter().chain(taken.valid_until).min();
    document.check().map_err(unfit(&shown))?;
    if document.is_empty() {
        let next = "give a file with reference values";
        return Err(Failure::usage(format!("{shown} has no value for us"), next));
    }
    publish::sign(answer, &document, about)
}

fn corim(arguments: &ImportReference, octets: &[u8]) -> Result<Imported, Failure> {
    let elements =
        if arguments.boot_images { Elements::BootImages } else { Elements::Measurements };
    let anchors = match &arguments.signer {
        Some(path) => Some(TrustStore::new(signing::certificates(path)?)),
        None => None,
    };
    let now = files::now()?;
    let trust = anchors.as_ref().map(|anchors| Trust { anchors, now });
    corim::import(&AwsLc, octets, elements, trust).map_err(unfit(arguments.file.display()))
}
