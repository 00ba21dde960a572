//! What an operator does with the command line, at the fleet of the scene.

use super::factory::{COMPONENT, write};
use super::steps::text;
use super::{Report, Scene};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::Path;

/// A control that the scene's device does not meet.
const STRICTER: &str = r#"
control newer-agent {
  title    "The agent is of the next release"
  severity low
  require  agent.version >= 99.0.0
  else     executables warning
  because  "the next release of the agent measures more"
}
"#;

impl Scene {
    /// Asks the command line, which must end with this exit code; its answer in JSON.
    pub(super) fn asked(&self, arguments: &[&str], code: i32) -> Result<Value> {
        let output = self.plant.touchstone(&[arguments, &["--json"]].concat())?;
        ensure!(
            output.status.code() == Some(code),
            "`touchstone {}` ended with {}, not {code}: {}{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).context("the command line's answer")
    }

    /// An affirmed device as the command line sees it, and what a stricter policy would do to it.
    pub(super) fn try_policy(&self, report: &mut Report) -> Result<()> {
        report.begin("trying a stricter policy on the device's claims");
        let id = self.id.as_str();
        let list = self.asked(&["device", "list"], 0)?;
        let devices = list.get("devices").and_then(Value::as_array).context("no devices")?;
        let row = devices.iter().find(|device| text(device, "/id") == id);
        ensure!(row.is_some_and(|row| text(row, "/tier") == "affirming"), "{list}");
        self.asked(&["device", "show", id], 0)?;

        let policy = include_str!("../../scene/gateway.policy");
        let file = |name: &str, text: &str| -> Result<String> {
            let path = self.scratch.path().join(name);
            write(&path, text.as_bytes())?;
            Ok(path.display().to_string())
        };
        let same = file("same.policy", policy)?;
        let same = self.asked(&["policy", "explain", &same, "--device", id], 0)?;
        let next = file("next.policy", &format!("{policy}{STRICTER}"))?;
        let next = self.asked(&["policy", "explain", &next, "--device", id], 1)?;
        let tier = |answer: &Value| text(answer, "/tier");
        ensure!(tier(&same) == "affirming" && tier(&next) == "warning", "{same}{next}");
        let controls = next.get("controls").and_then(Value::as_array).into_iter().flatten();
        let mut failed = controls.filter(|control| text(control, "/status") != "passed");
        let why = text(failed.next().context("no control fails")?, "/explanation");
        ensure!(failed.next().is_none() && why.contains("99.0.0"), "{next}");
        report.proven("explained", &format!("a stricter policy would give a warning: {why}"));
        Ok(())
    }

    /// An update for the sensor, signed by the publisher and countersigned by the operator.
    pub(super) fn sign_update(&self, version: u64, program: &Path) -> Result<Vec<u8>> {
        let folder = self.scratch.folder("signing")?;
        let path = |name: &str| folder.join(name).display().to_string();
        let (once, twice) = (path("once.p7m"), path("twice.p7m"));
        for (name, signatory) in
            [("publisher", &self.factory.publisher), ("operator", &self.factory.operator)]
        {
            signatory.write_certificate(&folder, name)?;
            signatory.write_key(&folder, name)?;
        }
        let (version, program) = (version.to_string(), program.display().to_string());
        let (publisher, operator) = (path("publisher"), path("operator"));
        let (certificate, key) = (format!("{publisher}.pem"), format!("file:{publisher}.key"));
        let what = ["--component", COMPONENT, "--version", &version, "--payload", &program];
        let by = ["--note", "restores the sensor", "--cert", &certificate, "--key", &key];
        self.asked(&[&["update", "sign", "--out", &once], &what[..], &by[..]].concat(), 0)?;
        let (certificate, key) = (format!("{operator}.pem"), format!("file:{operator}.key"));
        let by = ["--cert", &certificate, "--key", &key, "--out", &twice];
        self.asked(&[&["update", "countersign", &once], &by[..]].concat(), 0)?;
        std::fs::read(&twice).context("the countersigned update")
    }
}
