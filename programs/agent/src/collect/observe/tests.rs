//! A system in a folder: what is told of it, and that nothing is passed over in silence.

use super::*;
use std::os::unix::fs::PermissionsExt;

struct System(tempfile::TempDir);

impl System {
    fn new() -> Self {
        let system = Self(tempfile::tempdir().unwrap());
        system.put("proc/self/mountinfo", "1 0 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n2 1 0:6 / /sys/kernel/security rw - securityfs securityfs rw\n");
        system.put("proc/sys/kernel/tainted", "4096\n");
        system.put("proc/uptime", "12.34 1.0\n");
        system.put("etc/shadow", "root::19000:0:99999:7:::\nservice:$y$j9T$a$b:19000::::::\n");
        system
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn mode(&self, path: &str, mode: u32) {
        let path = self.0.path().join(path);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn observe(&self) -> Vec<Observation> {
        Observer::new(self.0.path(), Duration::from_mins(1)).observations(Duration::ZERO)
    }

    fn of(&self, name: &str) -> Result<Observed, Failure> {
        let all = self.observe();
        all.into_iter().find(|it| it.name == name).expect(name).found
    }
}

fn field<'v>(value: &'v Observed, index: usize, name: &str) -> &'v Observed {
    let Observed::List(values) = value else { panic!("no list: {value:?}") };
    let Observed::Record(fields) = &values[index] else { panic!("no record: {value:?}") };
    &fields.iter().find(|(known, _)| known == name).expect(name).1
}

#[test]
fn every_claim_is_there_or_says_why_not() {
    let told = System::new().observe();
    let told_of: Vec<&str> = told.iter().map(|it| it.name.as_str()).collect();
    for name in names() {
        assert_eq!(told_of.iter().filter(|it| **it == name).count(), 1, "{name}");
    }
    // Without a firewall to ask, that is what is said.
    let firewall = told.iter().find(|it| it.name == "config.firewall").unwrap();
    assert_eq!(firewall.found.as_ref().unwrap_err().code, "agent.observe.absent");
}

#[test]
fn what_was_said_before_is_said_again_with_its_age() {
    let system = System::new();
    let observer = Observer::new(system.0.path(), Duration::from_mins(1));
    let taint = |age| {
        let told = observer.observations(age);
        told.into_iter().find(|it| it.name == "system.taint").unwrap()
    };
    let before = taint(Duration::from_hours(1));
    assert_eq!((before.age_ms, before.found), (0, Ok(4096_i64.into())));
    system.put("proc/sys/kernel/tainted", "0\n");
    std::thread::sleep(Duration::from_millis(20));
    let again = taint(Duration::from_hours(1));
    assert_eq!(again.found, Ok(4096_i64.into()));
    assert!(again.age_ms >= 20);
    assert_eq!(taint(Duration::from_millis(1)).found, Ok(0_i64.into()));
}

#[test]
fn the_kernels_state_is_told() {
    let system = System::new();
    assert_eq!(system.of("system.taint"), Ok(4096_i64.into()));
    assert_eq!(system.of("system.lockdown"), Ok("none".into()));
    assert_eq!(system.of("system.secure-boot"), Ok(false.into()));
    system.put("sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
    system.put("proc/modules", "x 1 0\n");
    assert_eq!(system.of("system.lockdown"), Ok("integrity".into()));
    assert_eq!(system.of("system.module-signatures"), Ok(true.into()));
    assert_eq!(system.of("system.security-modules").unwrap_err().code, "agent.observe.absent");
    system.put("proc/sys/kernel/tainted", "no number");
    assert_eq!(system.of("system.taint").unwrap_err().code, "agent.observe.malformed");
}

#[test]
fn sensors_of_devices_are_told_beside_thermal_zones() {
    let system = System::new();
    system.put("sys/class/thermal/thermal_zone0/temp", "41000");
    system.put("sys/class/hwmon/hwmon0/name", "nvme\n");
    system.put("sys/class/hwmon/hwmon0/temp1_input", "85000");
    system.put("sys/class/hwmon/hwmon0/temp1_crit", "84850");
    let told = system.of("operation.temperatures").unwrap();
    assert_eq!(field(&told, 0, "celsius"), &41_i64.into());
    assert_eq!(field(&told, 1, "zone"), &"nvme temp1".into());
    assert_eq!(field(&told, 1, "too-hot"), &true.into());
}

#[test]
fn what_is_weak_in_files_is_told_with_its_place() {
    let system = System::new();
    system.put("etc/ssh/sshd_config", "Ciphers 3des-cbc\nPermitRootLogin yes\n");
    system.put("etc/ssh/sshd_config.d/10-x.conf", "PermitEmptyPasswords yes\n");
    system.put("etc/ssh/sshd_config.d/x.bak", "PermitRootLogin yes\n");
    let tls = system.of("config.weak-tls").unwrap();
    assert_eq!(field(&tls, 0, "path"), &"/etc/ssh/sshd_config".into());
    let Ok(Observed::List(settings)) = system.of("config.insecure-settings") else { panic!() };
    assert_eq!(settings.len(), 2);
    let passwords = system.of("config.weak-passwords").unwrap();
    assert_eq!(field(&passwords, 0, "user"), &"root".into());
}

#[test]
fn keys_and_programs_that_anybody_can_have_are_told() {
    let system = System::new();
    let key = "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n";
    system.put("etc/app/tls.key", key);
    system.put("etc/app/tpm.key", &key.replace("PRIVATE", "TSS2 PRIVATE"));
    system.put("etc/app/notes.txt", key);
    system.put("usr/bin/tool", "#!/bin/sh\n");
    system.mode("usr/bin/tool", 0o4777);
    let keys = system.of("config.private-keys").unwrap();
    assert!(matches!(&keys, Observed::List(list) if list.len() == 1), "{keys:?}");
    assert_eq!(field(&keys, 0, "encrypted"), &false.into());
    assert_eq!(field(&keys, 0, "readable-by-others"), &true.into());
    let open = system.of("config.world-writable").unwrap();
    assert_eq!(field(&open, 0, "path"), &"/usr/bin/tool".into());
    let suid = system.of("config.privileged-programs").unwrap();
    assert_eq!(field(&suid, 0, "mode"), &"4777".into());
}

#[test]
fn a_key_under_a_passphrase_is_told_from_one_in_the_clear() {
    use super::folders::private_key;
    let pem = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n");
    assert_eq!(private_key(&pem("ENCRYPTED PRIVATE KEY", "MII")), Some(true));
    assert_eq!(private_key(&pem("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED")), Some(true));
    assert_eq!(private_key(&pem("RSA PRIVATE KEY", "MII")), Some(false));
    let openssh = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ";
    assert_eq!(private_key(&pem("OPENSSH PRIVATE KEY", openssh)), Some(false));
    assert_eq!(
        private_key(&pem("OPENSSH PRIVATE KEY", "b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHI")),
        Some(true)
    );
    assert_eq!(private_key(&pem("CERTIFICATE", "MII")), None);
}

#[test]
fn more_than_fits_is_a_failure_and_no_part() {
    let system = System::new();
    let many = "u::1::::::\n".repeat(MOST + 1);
    system.put("etc/shadow", &many);
    assert_eq!(system.of("config.weak-passwords").unwrap_err().code, "agent.observe.too-many");
}

#[test]
fn this_very_system_is_observed_without_a_panic() {
    let observer = Observer::new(Path::new("/"), Duration::from_mins(1));
    for (name, of) in QUICK {
        let told = observation(name, 0, of(&observer.root));
        assert!(told.found.as_ref().map_or_else(|failure| !failure.words.is_empty(), |_| true));
    }
}
