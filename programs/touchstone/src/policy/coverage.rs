//! `touchstone policy coverage`: which requirements of which standards the controls of a policy
//! answer, and which they do not.

use super::{Words, load};
use crate::answer::{Answer, Answered, Failure, table};
use crate::files;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use touchstone_policy::Policy;

/// The standards that come with this program.
const SHIPPED: [&str; 4] = [
    include_str!("../../../../packaging/policies/standards/iec-62443-4-2.toml"),
    include_str!("../../../../packaging/policies/standards/etsi-en-303-645.toml"),
    include_str!("../../../../packaging/policies/standards/nist-8259a.toml"),
    include_str!("../../../../packaging/policies/standards/cra.toml"),
];

/// A standard as its list of requirements.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Standard {
    /// What `maps` calls it.
    id: String,
    title: String,
    url: String,
    requirement: Vec<Requirement>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Requirement {
    id: String,
    /// Where it stands.
    source: String,
    /// In our own words.
    words: String,
    shown_by: ShownBy,
}

/// Who can show that a requirement is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ShownBy {
    /// The device, by its evidence: a control can ask for it.
    Device,
    /// The maker, by design and documents.
    Maker,
    /// The operator, by how the device is used.
    Operator,
}

impl ShownBy {
    const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Maker => "maker",
            Self::Operator => "operator",
        }
    }
}

pub(super) fn coverage(file: &Path, only: &[String], more: &[PathBuf], words: &Words) -> Answered {
    let policy = load(file, &words.catalog()?)?;
    let standards = chosen(only, more)?;
    let mut answer = Answer::new("touchstone.policy.coverage/1")
        .with("name", policy.name())
        .with("version", policy.version());
    let mut list = Vec::new();
    let mut open = 0;
    for standard in &standards {
        let (text, json, uncovered) = covered(standard, &policy);
        answer = answer.line(text);
        list.push(json);
        open += uncovered;
    }
    let strangers = strangers(&policy, &standards, only.is_empty());
    for (control, map, near) in &strangers {
        answer = answer.word(format_args!("control `{control}` maps \"{map}\": {near}"));
    }
    let unknown: Vec<Value> = strangers
        .iter()
        .map(|(control, map, near)| json!({ "control": control, "maps": map, "problem": near }))
        .collect();
    Ok(answer
        .good(open == 0 && strangers.is_empty())
        .with("standards", list)
        .with("unknown", unknown))
}

fn chosen(only: &[String], more: &[PathBuf]) -> Result<Vec<Standard>, Failure> {
    let parse = |text: &str, from: &str| {
        toml::from_str::<Standard>(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let words = format!("line {line}: {}", error.message().trim_end());
            let next = "write it as the standards in packaging/policies/standards are written";
            Failure::unknown("touchstone.standard", format!("{from}: {words}"), next)
        })
    };
    let mut standards = Vec::new();
    for text in SHIPPED {
        standards.push(parse(text, "a standard of this program")?);
    }
    for path in more {
        let text = files::read_text(path, files::SMALL)?;
        standards.push(parse(&text, &path.display().to_string())?);
    }
    if let Some(missing) = only.iter().find(|id| !standards.iter().any(|known| known.id == **id)) {
        let names: Vec<&str> = standards.iter().map(|known| known.id.as_str()).collect();
        let message = format!("no standard named `{missing}`");
        return Err(Failure::usage(message, format!("known are {}", names.join(", "))));
    }
    if !only.is_empty() {
        standards.retain(|standard| only.contains(&standard.id));
    }
    Ok(standards)
}

/// The table of a standard, the same in JSON, and how many requirements no control answers that
/// one could.
fn covered(standard: &Standard, policy: &Policy) -> (String, Value, usize) {
    let mut rows = vec![["requirement", "asks that", "answered by"].map(str::to_owned).to_vec()];
    let mut list = Vec::new();
    let (mut answered, mut possible) = (0, 0);
    for requirement in &standard.requirement {
        let map = format!("{}:{}", standard.id, requirement.id);
        let controls: Vec<&str> = policy
            .controls()
            .iter()
            .filter(|control| control.maps().contains(&map))
            .map(touchstone_policy::Control::name)
            .collect();
        let by_device = requirement.shown_by == ShownBy::Device;
        possible += usize::from(by_device || !controls.is_empty());
        answered += usize::from(!controls.is_empty());
        let by = match (controls.is_empty(), requirement.shown_by) {
            (false, _) => controls.join(", "),
            (true, ShownBy::Device) => "NOT COVERED".into(),
            (true, ShownBy::Maker) => "- (for the maker to show)".into(),
            (true, ShownBy::Operator) => "- (for the operator to show)".into(),
        };
        rows.push(vec![requirement.id.clone(), requirement.words.clone(), by]);
        list.push(json!({
            "id": requirement.id, "words": requirement.words, "source": requirement.source,
            "shown_by": requirement.shown_by.name(), "controls": controls,
        }));
    }
    let total = standard.requirement.len();
    let text = format!(
        "{}\n{}\n{}\n{answered} of the {possible} that a device can show, of {total} in all\n",
        standard.title,
        standard.url,
        table(&rows)
    );
    let json = json!({
        "id": standard.id, "title": standard.title, "url": standard.url, "answered": answered,
        "possible": possible, "total": total, "requirements": list,
    });
    (text, json, possible - answered)
}

/// What controls map to that no standard has.
fn strangers(
    policy: &Policy,
    standards: &[Standard],
    every: bool,
) -> Vec<(String, String, String)> {
    let mut known = BTreeSet::new();
    for standard in standards {
        known.extend(standard.requirement.iter().map(|one| format!("{}:{}", standard.id, one.id)));
    }
    let mut found = Vec::new();
    for control in policy.controls() {
        for map in control.maps().iter().filter(|map| !known.contains(*map)) {
            let id = map.split(':').next().unwrap_or_default();
            let standard = standards.iter().find(|standard| standard.id == id);
            let problem = match standard {
                Some(standard) => {
                    let near = near(standard, map).map(|near| format!("; did you mean `{near}`?"));
                    format!(
                        "{} has no such requirement{}",
                        standard.title,
                        near.unwrap_or_default()
                    )
                }
                None if every => format!("`{id}` is not known; give its list with --standard"),
                None => continue,
            };
            found.push((control.name().to_owned(), map.clone(), problem));
        }
    }
    found
}

/// The requirement that is meant by the number that an earlier edition gave it: `5.6-4` became `5.6-4A`
/// and `5.6-4B`, `6.1` became `6-1`.
fn near<'s>(standard: &'s Standard, map: &str) -> Option<&'s str> {
    let (_, id) = map.split_once(':')?;
    let dashed = id.replacen('.', "-", 1);
    let ids = standard.requirement.iter().map(|one| one.id.as_str());
    let parted = |now: &str| now.strip_prefix(id).is_some_and(|rest| rest == "A");
    ids.into_iter().find(|now| parted(now) || *now == dashed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The provisions of table B.1 of V3.1.3.
    const ETSI: &str = "5.0-1 5.1-1 5.1-2 5.1-2A 5.1-3 5.1-4 5.1-5 5.2-1 5.2-2 5.2-3 5.3-1 5.3-2 \
        5.3-3 5.3-4A 5.3-4B 5.3-5 5.3-6A 5.3-6B 5.3-7 5.3-8 5.3-9 5.3-10 5.3-11 5.3-12 \
        5.3-13 5.3-14 5.3-15A 5.3-15B 5.3-16 5.4-1 5.4-2 5.4-3 5.4-4 5.5-1 5.5-2 5.5-3 \
        5.5-4 5.5-5 5.5-6 5.5-7 5.5-8 5.6-1 5.6-2 5.6-3 5.6-4A 5.6-4B 5.6-5 5.6-6 \
        5.6-7 5.6-8 5.6-9 5.7-1 5.7-2 5.8-1 5.8-2 5.8-3 5.9-1 5.9-2 5.9-3 5.10-1 \
        5.11-1 5.11-2 5.11-3 5.11-4 5.12-1 5.12-2 5.12-3 5.13-1A 5.13-1B 6-1 6-2 6-3A \
        6-3B 6-4 6-5 6-6 6-7 6-8";

    #[test]
    fn the_shipped_standards_are_whole() {
        let standards = chosen(&[], &[]).unwrap();
        for standard in &standards {
            let mut ids = BTreeSet::new();
            for requirement in &standard.requirement {
                assert!(ids.insert(&requirement.id), "{}:{}", standard.id, requirement.id);
                assert!(!requirement.words.is_empty() && !requirement.source.is_empty());
            }
            assert!(standard.url.starts_with("https://") && !ids.is_empty());
        }
        assert_eq!(standards.len(), 4);
        let of = |at: usize| {
            let requirements: &[Requirement] = &standards[at].requirement;
            requirements.iter().map(|one| one.id.as_str()).collect::<Vec<_>>()
        };
        let iec = of(0);
        for kind in ["EDR", "HDR", "NDR"] {
            for at in ["2.4", "2.13", "3.2", "3.10", "3.11", "3.12", "3.13", "3.14"] {
                assert!(iec.contains(&format!("{kind}{at}").as_str()), "{kind}{at}");
            }
        }
        assert!(iec.contains(&"CR3.4(1)") && iec.contains(&"NDR5.2(3)") && iec.contains(&"CCSC4"));
        assert_eq!(of(1), ETSI.split_whitespace().collect::<Vec<_>>());
        assert_eq!(of(1).len(), 78);
        assert!(chosen(&["IEC62443".into()], &[]).is_err());
    }
}
