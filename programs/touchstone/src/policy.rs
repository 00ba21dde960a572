//! `touchstone policy`. What a policy means is in `touchstone-policy`; here are files and words.

mod claims;
mod coverage;
mod difference;
mod explain;
mod layout;
mod seal;
mod signed;
mod trial;

pub(crate) use signed::load_signed;

use crate::answer::{Answer, Answered, Failure};
use crate::cli::{Policy as Verb, Words};
use crate::files;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use touchstone_appraise::references::forgetful;
use touchstone_appraise::{catalog, extension};
use touchstone_policy::{Bundle, Catalog, Fault, Limits, Policy};

/// Octets of a file of claims.
const MOST_CLAIMS: u64 = 64 << 20;

pub(crate) fn run(verb: &Verb) -> Answered {
    match verb {
        Verb::Check { files, words } => check(files, words),
        Verb::Fmt { files, check } => layout::fmt(files, *check),
        Verb::Test { files, words } => trial::test(files, words),
        Verb::Explain { file, control, claims, device, words, fleet } => {
            let from = (claims.as_ref(), device.as_ref());
            explain::explain(file, control.as_deref(), from, words, fleet)
        }
        Verb::Claims { words } => claims::list(words),
        Verb::Diff { before, after, words } => difference::diff(before, after, words),
        Verb::Coverage { file, only, standards, words } => {
            coverage::coverage(file, only, standards, words)
        }
        Verb::Sign { file, note, by, out, words } => seal::sign(file, note, by, out, words),
    }
}

fn check(paths: &[PathBuf], words: &Words) -> Answered {
    let catalog = words.catalog()?;
    let mut answer = Answer::new("touchstone.policy.check/1");
    let mut checked = Vec::new();
    let mut good = true;
    for path in paths {
        let shown = path.display().to_string();
        let bundle = gather(path)?;
        match Policy::parse(bundle.text(), &catalog) {
            Ok(policy) => {
                let (name, version) = (policy.name(), policy.version());
                let (controls, claims) = (policy.controls().len(), policy.claims().count());
                answer = answer.line(format_args!(
                    "{shown}: good: policy {name} version {version}, {controls} controls on \
                     {claims} claims"
                ));
                let hints = forgetful(&policy);
                for hint in &hints {
                    answer = answer.word(format_args!("{shown}: {hint} ({})", hint.code()));
                }
                let hints: Vec<String> = hints.iter().map(ToString::to_string).collect();
                checked.push(json!({
                    "file": shown, "good": true, "name": name, "version": version,
                    "controls": controls, "claims": claims, "faults": [], "hints": hints,
                }));
            }
            Err(faults) => {
                good = false;
                for fault in &faults {
                    answer = answer.word(told(&bundle, fault));
                }
                let faults: Vec<Value> =
                    faults.iter().map(|fault| fault_json(&bundle, fault)).collect();
                checked.push(json!({ "file": shown, "good": false, "faults": faults }));
            }
        }
    }
    Ok(answer.good(good).with("policies", checked))
}

/// A fault as a compiler tells one: its file and place, what and what next, and the line.
fn told(bundle: &Bundle, fault: &Fault) -> String {
    let (file, at) = bundle.place(fault.at);
    let excerpt = fault.excerpt(bundle.text());
    // The number of the line is that in its file.
    let excerpt = match excerpt.split_once(" | ") {
        Some((number, rest)) if number.trim() != at.line.to_string() => {
            let width = number.len();
            format!("{:>width$} | {rest}", at.line)
        }
        _ => excerpt,
    };
    format!("{file}:{}\n{excerpt}", Fault { at, ..fault.clone() })
}

fn fault_json(bundle: &Bundle, fault: &Fault) -> Value {
    let (file, at) = bundle.place(fault.at);
    json!({
        "file": file, "line": at.line, "column": at.column, "length": fault.len,
        "code": fault.code(), "problem": fault.problem, "remedy": fault.remedy,
    })
}

/// A policy behind its bases, which lie beside it as `NAME.policy`.
fn gather(path: &Path) -> Result<Bundle, Failure> {
    let limit = u64::try_from(Limits::TEXT).unwrap_or(u64::MAX) + 1;
    let text = files::read_text(path, limit)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    Bundle::gather(&path.display().to_string(), text, |base| {
        let beside = folder.join(format!("{base}.policy"));
        if !beside.exists() {
            return Ok(None);
        }
        Ok(Some((beside.display().to_string(), files::read_text(&beside, limit)?)))
    })
}

/// A policy that has to be good for what was asked.
pub(crate) fn load(path: &Path, catalog: &Catalog) -> Result<Policy, Failure> {
    let bundle = gather(path)?;
    Policy::parse(bundle.text(), catalog).map_err(|faults| bad(path, &bundle, &faults))
}

fn bad(path: &Path, bundle: &Bundle, faults: &[Fault]) -> Failure {
    let shown = path.display();
    let Some(fault) = faults.first() else {
        return Failure::unknown("policy", format_args!("{shown} does not load"), "check it");
    };
    let (file, at) = bundle.place(fault.at);
    let first = Fault { at, ..fault.clone() };
    let next = format!("`touchstone policy check {shown}` shows all {} faults", faults.len());
    Failure::unknown(fault.code(), format!("{file}:{first}"), next)
}

impl Words {
    /// The verifier's catalogue, with what the product adds to it.
    fn catalog(&self) -> Result<Catalog, Failure> {
        let mut catalog = catalog();
        for path in &self.words {
            let text = files::read_text(path, files::SMALL)?;
            catalog = extension::extend(catalog, &text).map_err(|error| {
                let next = "the book's reference of policies shows the form";
                Failure::unknown(error.code(), format!("{}: {error}", path.display()), next)
            })?;
        }
        Ok(catalog)
    }
}
