//! The steps of the scene, in their order.

use super::factory::{AGENT_FOLDER, Signatory};
use super::gateway::{self, AGENT_CONFIG};
use super::{Options, Report, Scene, until};
use crate::device::SecureBoot;
use crate::sensor::TOPIC;
use crate::tools::{self, run};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};

/// The firmware's variable: four octets of attributes, then 1 or 0 (UEFI §3.3).
const SECURE_BOOT: &str =
    "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
// How long to wait before giving up, on a machine that is busy with other things as well.
const BOOT: Duration = Duration::from_mins(4);
const SOON: Duration = Duration::from_mins(2);
/// What stands in the image's command line, and what somebody makes of it.
const MODE: &str = "gateway.mode=plant";
const ROGUE: &str = "gateway.mode=rogue";
/// Where systemd's stub measures extensions of the system, of which the scene's image has none.
const EXTENDED: u8 = 13;

/// What the agent takes of the device's memory at its peak, in kilobytes.
#[derive(Clone, Copy, Debug)]
pub struct AgentMemory {
    /// Resident memory of the half with the keys and of the one with the network.
    pub halves: [u64; 2],
    /// Of both, with the pages of the program and of libraries that they share counted once.
    pub together: u64,
    /// Of both now, at rest.
    pub steady: u64,
}

impl Scene {
    /// 1. A measured boot under Secure Boot with our own keys.
    pub(super) fn boot(&mut self, report: &mut Report) -> Result<()> {
        report.begin("switching the device on");
        let device = self.hardware.power_on()?;
        let took = device.wait_until_up(BOOT)?;
        let state = device.pull(SECURE_BOOT)?;
        ensure!(state.last() == Some(&1), "the firmware says that Secure Boot is {state:?}");
        let events = device.pull("/sys/kernel/security/tpm0/binary_bios_measurements")?;
        let log = touchstone_measure::tcg::EventLog::decode(&events)?;
        let ima = device.ask("cat /sys/kernel/security/ima/runtime_measurements_count")?;
        report.proven(
            "booted",
            &format!(
                "Secure Boot under the maker's keys, {} firmware events and {ima} IMA entries in the TPM; user space after {:.0} s",
                log.events().len(),
                took.as_secs_f64()
            ),
        );
        self.device = Some(device);
        Ok(())
    }

    /// 2. Onboarding: the endorsement certificate, and the attestation key in the same TPM.
    pub(super) fn onboard(&mut self, report: &mut Report) -> Result<()> {
        report.begin("onboarding: is this a TPM, and is the attestation key in it?");
        self.id = until("the device in the fleet", SOON, || self.device_named("gateway-0001"))?;
        let shown = self.show()?;
        let issuer = text(&shown, "/identity/ek_issuer");
        let subject = text(&shown, "/identity/idevid_subject");
        ensure!(!text(&shown, "/identity/lak_sha256").is_empty(), "no LAK is recorded");
        report.proven(
            "onboarded",
            &format!("{} is {subject}; EK certified by {issuer}; the LAK opened a credential made for that EK", self.id),
        );
        Ok(())
    }

    /// 3. Evidence and verdict.
    pub(super) fn affirm(&mut self, report: &mut Report) -> Result<()> {
        report.begin("appraising boot, files and running code");
        self.wait_for_tier("affirming", SOON)?;
        let shown = self.show()?;
        let controls = shown.pointer("/controls").and_then(Value::as_array).map_or(0, Vec::len);
        ensure!(controls >= 8, "only {controls} controls were judged: {shown}");
        report.proven(
            "affirming",
            &format!(
                "quote and logs agree; all {controls} controls of the policy are met; EAR signed"
            ),
        );
        Ok(())
    }

    /// 4. An identity, only with proof.
    pub(super) fn identify(&mut self, report: &mut Report) -> Result<()> {
        report.begin("enrolling the LDevID by EST");
        let serial = until("a good certificate", SOON, || self.certificate("good", ""))?;
        let status = self.plant.ocsp_status(&serial)?;
        ensure!(status == "good", "OCSP says {status}");
        report.proven("enrolled", &format!("LDevID {serial}, its key certified by the LAK inside the TPM; openssl's OCSP: {status}"));
        Ok(())
    }

    /// 5. Through the checkpoint, end to end.
    pub(super) fn connect(&mut self, report: &mut Report) -> Result<()> {
        report.begin("carrying the sensor's plain MQTT through the checkpoint");
        let start = Instant::now();
        let reading = until("a reading at the broker", SOON, || Ok(self.watch.since(start).pop()))?;
        ensure!(reading.millidegrees < 21_000, "the reading is wrong: {reading:?}");
        until("the admission in the checkpoint's log", SOON, || {
            Ok(self.plant.checkpoint_log()?.contains("\"event\":\"admitted\"").then_some(()))
        })?;
        let capture = std::fs::read(self.hardware.capture())?;
        ensure!(capture.len() > 10_000, "the capture of the device's network is empty");
        let topic = TOPIC.as_bytes();
        let plain = capture.windows(topic.len()).any(|window| window == topic);
        ensure!(!plain, "the topic `{TOPIC}` stands in plaintext in the device's network");
        report.proven(
            "connected",
            &format!("the broker hears {}.{:03} degrees; {} kB captured outside the device hold no plaintext", reading.millidegrees / 1_000, reading.millidegrees % 1_000, capture.len() / 1_000),
        );
        Ok(())
    }

    /// Memory of the agent after its first life: onboarded, attested, enrolled, connected.
    pub fn agent_memory(&mut self, report: &mut Report) -> Result<AgentMemory> {
        self.boot(report)?;
        self.onboard(report)?;
        self.affirm(report)?;
        self.identify(report)?;
        self.connect(report)?;
        let device = self.device()?;
        let of = |half: u32, file: &str, name: &str| -> Result<u64> {
            let line = device.ask(&format!("grep ^{name}: /proc/{half}/{file}"))?;
            let kilobytes = line.split_whitespace().nth(1);
            Ok(kilobytes.with_context(|| format!("no {name}"))?.parse()?)
        };
        let mut memory = AgentMemory { halves: [0; 2], together: 0, steady: 0 };
        let halves = [device.service("agent")?, self.network_half()?];
        for (half, peak) in halves.into_iter().zip(&mut memory.halves) {
            *peak = of(half, "status", "VmHWM")?;
            let given_back = peak.saturating_sub(of(half, "status", "VmRSS")?);
            let now = of(half, "smaps_rollup", "Pss")?;
            memory.together += given_back + now;
            memory.steady += now;
        }
        Ok(memory)
    }

    /// The process of the agent that speaks with the network: its only child.
    fn network_half(&self) -> Result<u32> {
        let device = self.device()?;
        let agent = device.service("agent")?;
        let children = device.ask(&format!("cat /proc/{agent}/task/{agent}/children"))?;
        let children: Vec<&str> = children.split_whitespace().collect();
        ensure!(children.len() == 1, "the agent has not one child but {children:?}");
        Ok(children.concat().parse()?)
    }

    /// Killed fleet and agent pick up where they were.
    pub(super) fn kill(&mut self, report: &mut Report) -> Result<()> {
        report.begin("killing the fleet");
        let events = self.events()?.len();
        self.plant.kill_and_restart_fleet()?;
        ensure!(self.events()?.len() >= events, "the killed fleet lost events");
        ensure!(self.device_named("gateway-0001")? == Some(self.id.clone()), "the device is gone");
        self.wait_for_tier("affirming", SOON)?;
        report.proven("restarted", "the killed fleet lost nothing and appraises again");

        report.begin("killing the agent");
        let device = self.device()?;
        let before = device.service("agent")?;
        let other = self.network_half()?;
        let rights =
            device.ask(&format!("grep -E '^(Uid|CapEff|NoNewPrivs)' /proc/{other}/status"))?;
        let rights: Vec<&str> = rights.split_whitespace().collect();
        let none = "Uid: 990 990 990 990 CapEff: 0000000000000000 NoNewPrivs: 1";
        ensure!(rights.join(" ") == none, "the network half has rights: {rights:?}");
        device.ask(&format!("kill -9 {before}"))?;
        until("the end of the network half of the killed agent", SOON, || {
            let left = device.ask(&format!("[ -e /proc/{other} ] && echo there || echo gone"))?;
            Ok(Some(()).filter(|()| left.trim() == "gone"))
        })?;
        until("a new agent", SOON, || {
            Ok(Some(device.service("agent")?).filter(|id| *id != before))
        })?;
        let killed = Instant::now();
        until("readings after the agent's restart", SOON, || Ok(self.watch.since(killed).pop()))?;
        ensure!(self.devices()?.len() == 1, "the restarted agent onboarded a second time");
        self.wait_for_tier("affirming", SOON)?;
        report.proven("restarted", "the killed agent kept its identity; readings flow again");

        report.begin("waiting for half of the certificate's life");
        let old = self.certificate("good", "")?.context("no certificate to renew")?;
        let renewed = until("a renewed certificate", Duration::from_secs(75), || {
            self.certificate("good", &old)
        })?;
        report.proven("renewed", &format!("simplereenroll replaced {old} by {renewed} in time"));
        Ok(())
    }

    /// 6. A running process's code is patched in memory.
    pub(super) fn catch(&mut self, report: &mut Report) -> Result<()> {
        report.begin("patching the running sensor's code in memory");
        let serial = self.certificate("good", "")?.context("no certificate before the attack")?;
        let program = std::fs::read(&self.sensors[0])?;
        self.patch_sensor(&program)?;
        let attacked = Instant::now();
        self.wait_for_tier("contraindicated", SOON)?;
        let caught = attacked.elapsed();
        let told = self.watch.since(attacked).iter().any(|heard| heard.millidegrees > 90_000);
        let reason = self.reason_of("code-in-memory")?;
        report.proven(
            "caught",
            &format!(
                "{:.1} s after the patch{}: {reason}",
                caught.as_secs_f64(),
                if told { " made the sensor lie" } else { "" }
            ),
        );

        report.begin("the consequences");
        until("the cut in the checkpoint's log", SOON, || {
            Ok(self.plant.checkpoint_log()?.contains("\"event\":\"cut\"").then_some(()))
        })?;
        let cut = Instant::now();
        std::thread::sleep(Duration::from_secs(3));
        let after = self.watch.since(cut + Duration::from_secs(1));
        ensure!(after.is_empty(), "readings still arrive after the cut: {after:?}");
        report.proven("cut off", "the checkpoint cut the open flow; the broker hears nothing more");

        let status = until("the revocation", SOON, || {
            Ok(Some(self.plant.ocsp_status(&serial)?).filter(|status| status == "revoked"))
        })?;
        report.proven("revoked", &format!("openssl's OCSP about {serial}: {status}"));

        let device = self.device()?;
        until("the quarantine", SOON, || {
            let table = device.shell("nft list table inet touchstone", Duration::from_secs(5))?;
            Ok((table.status == 0 && table.text().contains("drop")).then_some(()))
        })?;
        let reach = |port: u16| {
            let script = format!("nc -w 2 10.0.2.2 {port} </dev/null");
            device.shell(&script, Duration::from_secs(6)).map(|said| said.status == 0)
        };
        ensure!(
            !reach(self.plant.checkpoint.port())?,
            "the quarantined device reaches the checkpoint"
        );
        ensure!(reach(self.plant.fleet.port())?, "the quarantined device cannot reach the fleet");
        report.proven("quarantined", "nftables lets the device reach its fleet and nothing else");

        let message = until("the event at rsyslog", SOON, || {
            let messages = self.plant.collector.received()?;
            Ok(messages.into_iter().rfind(|line| line.contains("contraindicated")))
        })?;
        ensure!(message.starts_with('<') && message.contains(">1 "), "not RFC 5424: {message}");
        // Only the kernel's hooks see who takes hold of whom: the whole way from one of them.
        for code in ["process.traced", "code.changed"] {
            self.wait_for_event(code)?;
        }
        report.proven(
            "told",
            "the kernel's hooks saw who took hold of the application; that, and what was found, is at rsyslog",
        );
        let audit = self.plant.audit_log().display().to_string();
        self.asked(&["audit", "verify", &audit, "--ask-fleet"], 0)?;
        self.asked(&["device", "show", &self.id], 1)?;
        report.proven(
            "recorded",
            "rsyslog has the event over mutual TLS; the audit log's hash chain verifies, up to the fleet's head",
        );
        Ok(())
    }

    /// 7. Healed by an update that both parties signed; four bad ones are refused first.
    pub(super) fn heal(&mut self, report: &mut Report) -> Result<()> {
        report.begin("offering bad updates");
        let program = std::fs::read(&self.sensors[1])?;
        let factory = &self.factory;
        let (publisher, operator) = (&factory.publisher, &factory.operator);
        let both: &[&Signatory] = &[publisher, operator];
        let good = self.sign_update(2, &self.sensors[1])?;
        let mut flipped = good.clone();
        if let Some(octet) = flipped.get_mut(good.len() / 2) {
            *octet ^= 1;
        }
        let bad = [
            ("a wrong signer", factory.update(2, &program, &[publisher, &factory.stranger])?),
            ("a missing signer", factory.update(2, &program, &[publisher])?),
            ("a flipped bit", flipped),
        ];
        let device = self.device()?;
        for (what, envelope) in &bad {
            self.offer_in_vain(report, what, envelope)?;
        }
        let now = device.ask("sha256sum /data/app/sensor")?;
        let expected = run(Command::new("sha256sum").arg(&self.sensors[0]))?;
        let digest = |text: &str| text.split_whitespace().next().unwrap_or_default().to_owned();
        let expected = digest(&String::from_utf8_lossy(expected.as_ref()));
        ensure!(digest(&now) == expected, "a refused update changed the sensor");

        report.begin("healing by the update that publisher and operator signed");
        let old = self.certificate("revoked", "")?.context("no revoked certificate")?;
        let references = self.factory.sensor_references(2, &self.sensors[1])?;
        self.plant.post("/api/v1/references", &references)?;
        self.plant.post("/api/v1/updates", &good)?;
        let start = Instant::now();
        self.wait_for_tier("affirming", SOON)?;
        report.proven("healed", "version 2 of the sensor runs; the verdict is affirming again");
        let serial = until("a new certificate", SOON, || self.certificate("good", &old))?;
        until("readings of version 2", SOON, || {
            Ok(self.watch.since(start).into_iter().find(|heard| heard.sensor.starts_with('2')))
        })?;
        until("the end of the quarantine", SOON, || {
            let table = device.shell("nft list table inet touchstone", Duration::from_secs(5))?;
            Ok((table.status != 0).then_some(()))
        })?;
        report.proven(
            "reconnected",
            &format!("new certificate {serial}; quarantine lifted; readings flow"),
        );

        report.begin("offering the version before, signed by both");
        let older = factory.update(1, &std::fs::read(&self.sensors[0])?, both)?;
        self.offer_in_vain(report, "an older version", &older)
    }

    /// Puts an envelope into the device's inbox, as from a memory stick, and waits for its refusal.
    fn offer_in_vain(&self, report: &mut Report, what: &str, envelope: &[u8]) -> Result<()> {
        let seen = self.events()?.len();
        self.device()?.push(envelope, "/data/inbox/offered.p7m", false)?;
        let reason =
            until(what, SOON, || Ok(self.events()?.iter().skip(seen).find_map(refusal_of)))?;
        report.proven("refused", &format!("{what}: {reason}"));
        Ok(())
    }

    /// The agent's own configuration is judged too: a change of it is caught, and stays in the IMA
    /// list until the device starts anew without it.
    pub(super) fn reconfigure(&mut self, report: &mut Report) -> Result<()> {
        report.begin("switching the quarantine off in the agent's configuration");
        let device = self.device()?;
        let file = format!("{AGENT_FOLDER}{AGENT_CONFIG}");
        let before = device.service("agent")?;
        device.ask(&format!(
            "sed 's/\"quarantine\"/\"report\"/' {file} >/run/changed && cp /run/changed {file} && \
             kill -9 {before}"
        ))?;
        self.wait_for_tier("contraindicated", SOON)?;
        let reason = self.reason_of("agent-configuration")?;
        ensure!(reason.contains(&file), "the reason does not name {file}: {reason}");
        report.proven("caught", &reason);

        report.begin("extending a register that nothing of the image is measured into");
        let seen = self.events()?.len();
        self.extend_register(EXTENDED)?;
        let reason = until("evidence that is not believed", SOON, || {
            let told = self.events()?.split_off(seen).into_iter();
            let mut told = told.filter(|event| text(event, "/code") == "attest.evidence.refused");
            Ok(told.find_map(|event| {
                let why = text(&event, "/message");
                why.contains(&format!("PCR {EXTENDED} ")).then_some(why)
            }))
        })?;
        report.proven("refused", &reason);

        report.begin("putting it back, and starting the device anew");
        let stands = |(name, _): &&(String, Vec<u8>)| name == AGENT_CONFIG;
        let (_, content) = self.configuration.iter().find(stands).context("no configuration")?;
        device.push(content, &file, false)?;
        let device = self.device.take().context("the device is off")?;
        device.power_off()?;
        let start = Instant::now();
        let device = self.hardware.power_on()?;
        device.wait_until_up(BOOT)?;
        self.device = Some(device);
        self.wait_for_tier("affirming", SOON)?;
        until("readings after the restart", SOON, || Ok(self.watch.since(start).pop()))?;
        report.proven("healed", "after a new start the verdict is affirming and readings flow");
        for code in ["flow.admitted", "flow.cut"] {
            self.wait_for_event(code)?;
        }
        report.proven("told", "what the checkpoint admitted and cut is at rsyslog");
        Ok(())
    }

    /// 8. An image that was changed after it was signed.
    pub(super) fn refuse_changed(&mut self, report: &mut Report) -> Result<()> {
        report.begin("booting a second device with a manipulated image");
        let folder = self.scratch.folder("gateway-2")?;
        let tpm = gateway::manufacture(&folder, "gateway-0002", &self.authority, &self.factory)?;
        let tampered = self.image.tampered(MODE, ROGUE, &folder.join("signed-then-changed.efi"))?;
        let keys = SecureBoot::On(&self.keys);
        let (sensor, files) = (&self.sensors[0], &self.configuration);
        let hardware = gateway::assemble(&folder, &tampered, &keys, sensor, files, tpm)?;
        match hardware.power_on()?.boot(BOOT)? {
            crate::device::Boot::Refused(line) => {
                let what = "Secure Boot does not start an image that was changed after signing";
                report.proven("refused", &format!("{what}: {line}"));
                Ok(())
            }
            crate::device::Boot::Up(_) => bail!("the firmware booted an image that was changed"),
        }
    }

    /// 9. A device with a manipulated boot is switched on, and boots while the first one starts anew.
    pub(super) fn switch_on_rogue(&mut self) -> Result<()> {
        let folder = self.scratch.folder("gateway-3")?;
        let rogue = self.unsigned.tampered(MODE, ROGUE, &folder.join("rogue.efi"))?;
        let tpm = gateway::manufacture(&folder, "gateway-0003", &self.authority, &self.factory)?;
        let (sensor, files) = (&self.sensors[0], &self.configuration);
        let hardware = gateway::assemble(&folder, &rogue, &SecureBoot::Off, sensor, files, tpm)?;
        self.second = Some(hardware.power_on()?);
        Ok(())
    }

    /// What becomes of it.
    pub(super) fn refuse(&mut self, report: &mut Report) -> Result<()> {
        report.begin("waiting for the manipulated device, whose Secure Boot is switched off");
        let second = self.second.as_ref().context("the second device is off")?;
        second.wait_until_up(BOOT)?;
        let id =
            until("the second device in the fleet", SOON, || self.device_named("gateway-0003"))?;
        let shown = until("its verdict", SOON, || {
            let shown = self.plant.api(&format!("/api/v1/devices/{id}"))?;
            let device = shown.get("device").cloned().unwrap_or_default();
            Ok(Some(device).filter(|device| text(device, "/tier") == "contraindicated"))
        })?;
        for (control, why) in failed_controls(&shown) {
            report.proven("refused", &format!("{control}: {why}"));
        }
        let failed = failed_controls(&shown);
        for wanted in ["secure-boot", "boot-image", "kernel-command-line", "registers"] {
            ensure!(
                failed.iter().any(|(control, _)| control == wanted),
                "{wanted} did not fail: {failed:?}"
            );
        }
        ensure!(failed.iter().any(|(_, why)| why.contains("event")), "no reason names an event");
        ensure!(
            text(&shown, "/certificate/status") == "none",
            "the refused device got a certificate"
        );
        report.proven("refused", &format!("{id} gets no certificate, and so no flow"));
        Ok(())
    }

    /// An event's way to the SIEM.
    fn wait_for_event(&self, code: &str) -> Result<()> {
        until(&format!("{code} at rsyslog"), SOON, || {
            let messages = self.plant.collector.received()?;
            Ok(messages.iter().any(|line| line.contains(&format!(" {code} "))).then_some(()))
        })
    }

    /// A picture of the console, if pictures are wanted.
    pub(super) fn picture(&self, options: &Options, name: &str) -> Result<()> {
        let Some(folder) = &options.screenshots else { return Ok(()) };
        std::fs::create_dir_all(folder)?;
        let pages = [
            ("devices", "/console".to_owned()),
            ("device", format!("/console/devices/{}", self.id)),
        ];
        for (page, path) in pages {
            let work = tempfile::tempdir()?;
            let link = self.plant.post(&format!("/api/v1/console/link?next={path}"), b"")?;
            let url = format!("http://{}{}", self.plant.console, text(&link, "/path"));
            run(Command::new(tools::find("chromium", "chromium")?)
                .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
                .args(["--no-first-run", "--disable-background-networking", "--disable-sync"])
                // Virtual time would wait for the end of the live event stream.
                .args(["--window-size=1280,1000", "--timeout=3000"])
                .arg(format!("--user-data-dir={}", work.path().display()))
                .arg(format!(
                    "--screenshot={}",
                    folder.join(format!("{name}-{page}.png")).display()
                ))
                .arg(url))?;
        }
        Ok(())
    }

    fn devices(&self) -> Result<Vec<Value>> {
        let list = self.plant.api("/api/v1/devices")?;
        list.get("devices").and_then(Value::as_array).cloned().context("no list of devices")
    }

    /// The id of the device whose IDevID names this serial number, once it is onboarded.
    fn device_named(&self, serial: &str) -> Result<Option<String>> {
        for device in self.devices()? {
            let id = text(&device, "/id");
            let shown = self.plant.api(&format!("/api/v1/devices/{id}"))?;
            if text(&shown, "/device/identity/idevid_subject").contains(serial) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    fn show(&self) -> Result<Value> {
        let shown = self.plant.api(&format!("/api/v1/devices/{}", self.id))?;
        shown.get("device").cloned().context("no device in the answer")
    }

    fn wait_for_tier(&self, tier: &str, limit: Duration) -> Result<()> {
        let waited = until(&format!("the verdict `{tier}`"), limit, || {
            Ok((text(&self.show()?, "/tier") == tier).then_some(()))
        });
        waited.with_context(|| match self.show() {
            Ok(shown) => format!("the fleet says: {:?}", failed_controls(&shown)),
            Err(error) => format!("the fleet does not answer: {error}"),
        })
    }

    fn reason_of(&self, control: &str) -> Result<String> {
        failed_controls(&self.show()?)
            .into_iter()
            .find_map(|(name, why)| (name == control).then_some(why))
            .with_context(|| format!("the control `{control}` did not fail"))
    }

    /// The serial number of the device's newest certificate, if it has this status and is not `not`.
    fn certificate(&self, status: &str, not: &str) -> Result<Option<String>> {
        let shown = self.show()?;
        let serial = text(&shown, "/certificate/serial");
        let fits = text(&shown, "/certificate/status") == status;
        Ok((fits && !serial.is_empty() && serial != not).then_some(serial))
    }

    fn events(&self) -> Result<Vec<Value>> {
        let list = self.plant.api("/api/v1/events?after=0&limit=1000")?;
        list.get("events").and_then(Value::as_array).cloned().context("no list of events")
    }
}

pub(super) fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The controls that were not met, with the reason of each.
fn failed_controls(device: &Value) -> Vec<(String, String)> {
    let controls = device.get("controls").and_then(Value::as_array);
    let failed = controls
        .into_iter()
        .flatten()
        .filter(|control| control.get("passed").and_then(Value::as_bool) == Some(false));
    failed.map(|control| (text(control, "/name"), text(control, "/reason"))).collect()
}

/// The reason in an event that says that an update was refused.
fn refusal_of(event: &Value) -> Option<String> {
    let code = text(event, "/code");
    // What the device's own log tells of it comes later, maybe only when the next is offered.
    let own_log = text(event, "/detail/origin") == "device";
    (code.contains("update") && code.contains("refused") && !own_log).then(|| {
        let reason = text(event, "/detail/reason");
        if reason.is_empty() { text(event, "/message") } else { reason }
    })
}
