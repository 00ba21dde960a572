//! The asset list: which services, programs and devices keep people safe, so that nothing but an
//! alert happens to them without two approvals. It is an update envelope of the component `assets`,
//! signed by every role of `[update]`; a list that cannot be believed protects everything.
//!
//! ```json
//! { "schema": "touchstone.assets/1",
//!   "safety": { "device": false, "units": ["interlock.service"], "programs": ["/usr/bin/interlock"] } }
//! ```

use super::action::Target;
use serde::Deserialize;
use touchstone_crypto_awslc::AwsLc;
use touchstone_update::{Role, Rules, open};

/// The component that the envelope has to be of.
pub const COMPONENT: &str = "assets";

/// What is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assets {
    known: Result<Safety, String>,
    version: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Safety {
    #[serde(default)]
    device: bool,
    #[serde(default)]
    units: Vec<String>,
    #[serde(default)]
    programs: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: String,
    safety: Safety,
}

impl Assets {
    /// Nothing is: nobody named a list.
    pub fn none() -> Self {
        Self { known: Ok(Safety::default()), version: 0 }
    }

    /// Everything is, because the list cannot be had.
    pub fn unknown(why: String) -> Self {
        Self { known: Err(why), version: 0 }
    }

    /// Opens a list. One below `least`, the version that was seen last, is an old one brought back.
    pub fn open(envelope: &[u8], signers: &[Role], least: u64, now: u64) -> Self {
        let rules = Rules {
            component: COMPONENT.to_owned(),
            above: least.saturating_sub(1),
            roles: signers.to_vec(),
        };
        let update = match open(&AwsLc, envelope, &rules, now) {
            Ok(update) => update,
            Err(refused) => return Self::unknown(format!("{refused} ({})", refused.code())),
        };
        match safety(update.payload()) {
            Ok(safety) => Self { known: Ok(safety), version: update.manifest().version },
            Err(why) => Self::unknown(why),
        }
    }

    /// The list's version; 0 without one.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Why everything is protected, if that is so.
    pub fn fault(&self) -> Option<&str> {
        self.known.as_ref().err().map(String::as_str)
    }

    /// Why a target is protected, if it is.
    pub fn protects(&self, target: &Target) -> Option<String> {
        let safety = match &self.known {
            Ok(safety) => safety,
            Err(why) => return Some(format!("the asset list is not believed: {why}")),
        };
        match target {
            Target::Device if safety.device => Some("this device keeps people safe".to_owned()),
            Target::Process { program, .. } if safety.programs.contains(program) => {
                Some(format!("{program} is a safety program"))
            }
            Target::Process { unit: Some(unit), .. } if safety.units.contains(unit) => {
                Some(format!("{unit} is a safety unit"))
            }
            _ => None,
        }
    }
}

fn safety(payload: &[u8]) -> Result<Safety, String> {
    let file: File =
        serde_json::from_slice(payload).map_err(|error| format!("not an asset list: {error}"))?;
    if file.schema == "touchstone.assets/1" {
        Ok(file.safety)
    } else {
        Err("its `schema` is not \"touchstone.assets/1\"".to_owned())
    }
}

#[cfg(test)]
pub(super) fn of(json: &str) -> Assets {
    match safety(json.as_bytes()) {
        Ok(safety) => Assets { known: Ok(safety), version: 1 },
        Err(why) => Assets::unknown(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(program: &str, unit: Option<&str>) -> Target {
        Target::Process { pid: 1, start: 1, program: program.into(), unit: unit.map(Into::into) }
    }

    #[test]
    fn what_is_listed_is_protected_and_nothing_else() {
        let assets = of(r#"{ "schema": "touchstone.assets/1",
            "safety": { "units": ["sis.service"], "programs": ["/usr/bin/sis"] } }"#);
        assert!(assets.protects(&process("/usr/bin/sis", None)).is_some());
        assert!(assets.protects(&process("/bin/sh", Some("sis.service"))).is_some());
        assert!(assets.protects(&process("/bin/sh", Some("web.service"))).is_none());
        assert!(assets.protects(&Target::Device).is_none());
    }

    #[test]
    fn a_list_that_is_not_believed_protects_everything() {
        for bad in ["", "{}", r#"{ "schema": "touchstone.assets/2", "safety": {} }"#] {
            assert!(of(bad).protects(&Target::Device).is_some(), "{bad}");
        }
        let forged = Assets::open(b"no envelope", &[], 0, 1);
        assert!(forged.protects(&process("/bin/sh", None)).unwrap().contains("not believed"));
    }
}
