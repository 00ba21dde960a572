//! `touchstone policy fmt`: the one layout of a policy.

use super::{fault_json, told};
use crate::answer::{Answer, Answered};
use crate::files;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use touchstone_policy::{Bundle, Limits, format};

pub(super) fn fmt(paths: &[PathBuf], check: bool) -> Answered {
    let limit = u64::try_from(Limits::TEXT).unwrap_or(u64::MAX) + 1;
    let mut answer = Answer::new("touchstone.policy.fmt/1");
    let mut list = Vec::new();
    let mut good = true;
    for path in paths {
        let shown = path.display().to_string();
        let text = files::read_text(path, limit)?;
        let laid = match format(&text) {
            Ok(laid) => laid,
            Err(faults) => {
                good = false;
                // A policy is laid out by itself; its bases do not matter.
                let none = |_: &str| Ok::<_, std::convert::Infallible>(None);
                let Ok(bundle) = Bundle::gather(&shown, text, none);
                for fault in &faults {
                    answer = answer.word(told(&bundle, fault));
                }
                let faults: Vec<Value> =
                    faults.iter().map(|fault| fault_json(&bundle, fault)).collect();
                list.push(json!({ "file": shown, "changed": false, "faults": faults }));
                continue;
            }
        };
        let changed = laid != text;
        list.push(json!({ "file": shown, "changed": changed, "faults": [] }));
        if path == Path::new("-") {
            if check {
                good &= !changed;
            } else {
                answer = answer.line(laid.trim_end());
            }
        } else if changed && check {
            good = false;
            answer = answer.line(format_args!("{shown}: would be laid out otherwise"));
        } else if changed {
            files::write(path, laid.as_bytes())?;
            answer = answer.word(format_args!("laid out {shown}"));
        }
    }
    Ok(answer.good(good).with("policies", list))
}
