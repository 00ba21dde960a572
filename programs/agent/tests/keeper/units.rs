//! Countermeasures against services of a real systemd, applied and undone.

use super::*;
use touchstone_agent::respond::freeze::hierarchy;

/// A systemd of its own, process 1 of namespaces of its own, with units of ours alone.
struct Systemd {
    child: Child,
    group: PathBuf,
    folder: tempfile::TempDir,
}

impl Systemd {
    /// Starts one that runs `pump.service`, and writes the `systemctl` that speaks to it.
    fn start(service: &str, systemctl: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let units = folder.path().join("units");
        let write = |path: &Path, text: &str| std::fs::write(path, text).unwrap();
        std::fs::create_dir(&units).unwrap();
        write(&units.join("lab.target"), "[Unit]\nDefaultDependencies=no\nWants=pump.service\n");
        let service = format!("[Unit]\nDefaultDependencies=no\n[Service]\n{service}\n");
        write(&units.join("pump.service"), &service);
        let name = folder.path().file_name().unwrap().to_str().unwrap().trim_start_matches('.');
        let group = hierarchy().unwrap().join(format!("touchstone-lab-{name}"));
        std::fs::create_dir(&group).expect("needs root and control groups of version 2");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keeper/systemd.sh");
        let join = "echo $$ > \"$0/cgroup.procs\" && exec unshare --pid --fork --kill-child \
                    --mount --cgroup --uts --ipc --net sh \"$1\" \"$2\"";
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "sh", "-c", join])
            .args([group.as_path(), &script, &units])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("needs setpriv of util-linux");
        let lab = Self { child, group, folder };
        let init = lab.until("systemd is process 1", || lab.members("init.scope").first().copied());
        let enter = format!("nsenter --target {init} --mount --root --pid --cgroup");
        write(
            systemctl,
            &format!("#!/bin/sh\nPATH=/usr/bin:/bin\nexport PATH\nexec {enter} systemctl \"$@\"\n"),
        );
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(systemctl, mode).unwrap();
        lab
    }

    fn members(&self, group: &str) -> Vec<u32> {
        let text = std::fs::read_to_string(self.group.join(group).join("cgroup.procs"));
        text.unwrap_or_default().lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// The processes of the service, as its control group has them.
    fn pumps(&self) -> Vec<u32> {
        self.members("system.slice/pump.service")
    }

    fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        for _ in 0..1_000 {
            if let Some(found) = look() {
                return found;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        panic!("not in time: {what}; systemd said: {log}");
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).unwrap();
        // Process 1 goes with the one above it, and everything with process 1.
        for _ in 0..500 {
            if Command::new("find")
                .arg(&self.group)
                .args(["-depth", "-type", "d", "-exec", "rmdir", "{}", ";"])
                .output()
                .is_ok_and(|_| !self.group.exists())
            {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A device with a service that evidence speaks of.
struct Plant {
    systemd: Systemd,
    world: World,
    systemctl: PathBuf,
    program: PathBuf,
}

impl Plant {
    /// `service` and `respond` name the device's folder as `HERE`.
    fn new(service: &str, respond: &str) -> Self {
        Self::with(service, &|_| respond.to_owned())
    }

    fn with(service: &str, respond: &dyn Fn(&Path) -> String) -> Self {
        let world = World::with(&|folder| {
            let program = Pump::put(folder).display().to_string();
            let at = folder.display().to_string();
            let respond = format!("systemctl = \"HERE/systemctl\"\n{}", respond(folder));
            (format!("watch = [\"{program}\"]"), respond.replace("HERE", &at))
        });
        let folder = world.tpm.dir.path();
        let (program, systemctl) = (folder.join("pump"), folder.join("systemctl"));
        let service = service.replace("HERE", &folder.display().to_string());
        let systemd = Systemd::start(&service, &systemctl);
        let plant = Self { systemd, world: world.and_onboarded(), systemctl, program };
        plant.runs();
        plant
    }

    /// What `systemctl is-active` says.
    fn state(&self) -> String {
        let said = Command::new(&self.systemctl).args(["is-active", "pump.service"]).output();
        String::from_utf8(said.unwrap().stdout).unwrap().trim().to_owned()
    }

    /// The service's process, once it runs and sleeps.
    fn runs(&self) -> u32 {
        self.systemd.until("the service runs", || {
            let sleeps = |pid: &u32| {
                std::fs::read_to_string(format!("/proc/{pid}/stat"))
                    .is_ok_and(|stat| stat.contains("(pump) S"))
            };
            let pid = self.systemd.pumps().into_iter().find(sleeps)?;
            (self.state() == "active").then_some(pid)
        })
    }

    fn condemn(&self, countermeasures: &[&str]) {
        let reason =
            format!("process {} ({}): its code was patched", self.runs(), self.program.display());
        self.world.condemn_for(&reason, countermeasures);
    }

    fn only(&self) -> Response {
        self.world.responses().remove(0)
    }

    /// How often the device's own log tells of that.
    fn told(&self, code: &str) -> usize {
        let log = self.world.tpm.dir.path().join("agent/audit.jsonl");
        std::fs::read_to_string(log).unwrap().matches(&format!("\"{code}\"")).count()
    }
}

const SERVICE: &str = "ExecStart=HERE/pump 600\nRestart=always\nRestartSec=0";

#[test]
fn a_service_is_stopped_by_a_verdict_and_started_again_by_a_good_one() {
    let plant = Plant::new(SERVICE, "actions = [\"stop-unit\"]");
    plant.condemn(&["alert", "stop-unit"]);
    let response = plant.only();
    assert_eq!(response.stage, Stage::Applied, "{response:?}");
    assert!(response.target.to_string().ends_with("of pump.service"), "{response:?}");
    assert!(response.preview.contains("stops the service") && response.undo.is_some());
    assert!(response.reason.contains("its code was patched"));
    assert_eq!((plant.state().as_str(), plant.systemd.pumps()), ("inactive", vec![]));
    plant.world.absolve();
    assert_eq!(plant.only().stage, Stage::Undone);
    plant.runs();
    assert_eq!((plant.told("respond.applied"), plant.told("respond.undone")), (1, 1));
}

#[test]
fn a_service_that_does_not_listen_is_killed_and_started_by_whoever_has_the_token() {
    // It is asked in vain for a minute and a half, if it is asked.
    let stubborn = "ExecStart=/bin/sh -c 'trap \"\" TERM; HERE/pump 600 & wait; wait'\n\
                    Restart=always\nRestartSec=0\nTimeoutStopSec=90";
    let plant = Plant::new(stubborn, "actions = [\"kill-unit\"]");
    let began = std::time::Instant::now();
    plant.condemn(&["kill-unit"]);
    let response = plant.only();
    assert_eq!(response.stage, Stage::Applied, "{response:?}");
    assert!(began.elapsed() < Duration::from_mins(1), "it was asked and not killed");
    assert_ne!(plant.state(), "active");
    assert!(plant.systemd.pumps().is_empty());
    let undone = plant.world.keeper.told(Question::Undo { id: response.undo.unwrap() });
    assert_eq!(undone.responses[0].stage, Stage::Undone, "{undone:?}");
    plant.systemd.until("it runs again", || (plant.state() == "active").then_some(()));
}

#[test]
fn a_service_is_frozen_where_it_stands_and_thawed_and_systemd_holds_it_for_running() {
    let plant = Plant::new(SERVICE, "actions = [\"freeze\"]");
    let pump = plant.runs();
    plant.condemn(&["freeze"]);
    assert_eq!(plant.only().stage, Stage::Applied, "{:?}", plant.only());
    assert!(freeze::is_frozen(pump));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(plant.state(), "active", "a service whose process is away is not started twice");
    assert!(plant.systemd.pumps().is_empty());
    plant.world.absolve();
    assert!(!freeze::is_frozen(pump));
    assert_eq!(plant.runs(), pump, "it is the same process, in its own group");
}

#[test]
fn a_safety_unit_runs_until_two_people_together_stop_it() {
    let (anna, boris) = (person("Anna"), person("Boris"));
    let (publisher_key, publisher) = person("Publisher");
    let approvers = [&anna, &boris].map(|it| it.1.to_pem().unwrap()).concat();
    let plant = Plant::with(SERVICE, &|folder| {
        let list =
            r#"{ "schema": "touchstone.assets/1", "safety": { "units": ["pump.service"] } }"#;
        let manifest = Manifest::new(&AwsLc, "assets", 1, list.as_bytes(), "").unwrap();
        let signers: [(_, &dyn Signer); 1] = [(&publisher, &publisher_key)];
        let envelope = seal(&AwsLc, &manifest, list.as_bytes(), &signers, now()).unwrap();
        std::fs::write(folder.join("assets.update"), envelope).unwrap();
        std::fs::write(folder.join("approvers.pem"), &approvers).unwrap();
        std::fs::write(folder.join("publisher.pem"), publisher.to_pem().unwrap()).unwrap();
        "actions = [\"freeze\", \"stop-unit\", \"kill-unit\"]\nassets = \"HERE/assets.update\"\n\
         approvers = \"HERE/approvers.pem\"\n[[update.role]]\nname = \"publisher\"\n\
         roots = \"HERE/publisher.pem\""
            .to_owned()
    });
    let pump = plant.runs();
    plant.condemn(&["alert", "freeze", "stop-unit", "kill-unit"]);
    let stages: Vec<_> = plant.world.responses().iter().map(|it| it.stage).collect();
    assert_eq!(stages, [Stage::Waiting; 3], "a policy asks for what the list forbids");
    let stop = plant.world.responses().into_iter().find(|it| it.action.name() == "stop-unit");
    let stop = stop.unwrap().id;
    assert_eq!(plant.world.approve(&stop, &anna).responses[0].stage, Stage::Waiting);
    assert!(plant.world.approve(&stop, &anna).refused.is_some());
    assert_eq!(plant.runs(), pump, "one person is not enough");
    assert!(!freeze::is_frozen(pump));
    assert_eq!(plant.world.approve(&stop, &boris).responses[0].stage, Stage::Applied);
    assert_eq!(plant.state(), "inactive");
    let undone = plant.world.keeper.told(Question::Undo { id: stop });
    assert_eq!(undone.responses[0].stage, Stage::Undone, "{undone:?}");
    plant.runs();
}

#[test]
fn a_service_is_started_again_when_no_verdict_asks_for_the_stop_any_more() {
    let plant = Plant::new(SERVICE, "actions = [\"stop-unit\"]\ndead_man = \"2s\"");
    plant.condemn(&["stop-unit"]);
    assert_eq!(plant.state(), "inactive");
    let Plant { systemd, world, systemctl, program } = plant;
    let World { keeper, tpm, .. } = world;
    let keeper = std::sync::Arc::new(keeper);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let looking = std::sync::Arc::clone(&keeper);
    runtime.spawn(async move { looking.look_after_responses().await });
    systemd.until("the dead man's switch", || {
        let told = keeper.told(Question::List);
        (told.responses[0].stage == Stage::Reverted).then_some(())
    });
    systemd.until("it runs again", || {
        let said = Command::new(&systemctl).args(["is-active", "pump.service"]).output().unwrap();
        said.stdout.starts_with(b"active").then_some(())
    });
    let log = std::fs::read_to_string(tpm.dir.path().join("agent/audit.jsonl")).unwrap();
    assert!(log.contains("\"respond.reverted\""), "{log}");
    drop((runtime, program));
}
