//! `touchstone reference assign`: which devices are judged by which sets.

use super::{publish, unfit};
use crate::answer::{Answer, Answered, Failure};
use crate::cli::AssignReference;
use crate::files::{self, LARGE};
use std::path::Path;
use touchstone_appraise::references::{Assignment, Document, SetName};
use touchstone_crypto::Digest;
use touchstone_crypto_awslc::AwsLc;

pub(super) fn assign(arguments: &AssignReference) -> Answered {
    let mut assignment = Assignment::new(&arguments.tenant, &arguments.name, arguments.version);
    assignment.devices.clone_from(&arguments.devices);
    for name in &arguments.sets {
        assignment.sets.push(match Digest::parse(name) {
            Ok(id) => SetName::Id(id),
            Err(error) if name.contains(':') => {
                return Err(Failure::usage(format!("`{name}`: {error}"), "give a set's id"));
            }
            Err(_) => SetName::Component(name.clone()),
        });
    }
    let mut added = Document::new(&arguments.tenant, &arguments.name, arguments.version);
    for argument in &arguments.files {
        let (path, local) = files::pair(argument, "`--file PATH=FILE`")?;
        let content = files::read(Path::new(local), LARGE)?;
        added.file(&AwsLc, path, &content).map_err(unfit(local))?;
    }
    assignment.add = added.values;
    if let Some(path) = &arguments.remove {
        let document = Document::from_json(&files::read(path, LARGE)?);
        assignment.remove = document.map_err(unfit(path.display()))?.values;
    }
    let json = assignment.to_json();
    Assignment::from_json(&json).map_err(unfit("the assignment"))?;
    let answer = Answer::new("touchstone.reference.assign/1")
        .line(format_args!("tenant     {}", assignment.tenant))
        .line(format_args!("name       {}", assignment.name))
        .line(format_args!("version    {}", assignment.version))
        .line(format_args!("devices    {}", assignment.devices.join(", ")))
        .line(format_args!("added      {} values", assignment.add.len()))
        .line(format_args!("removed    {} values", assignment.remove.len()))
        .with("assignment", serde_json::to_value(&assignment).unwrap_or_default());
    publish::envelope(answer, &json, &arguments.by, &arguments.out)
}
