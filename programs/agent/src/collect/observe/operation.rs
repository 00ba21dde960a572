//! How the machine fares: resources, disks, services, heat and time.

use super::{Collected, Fault, Root, list};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};
use touchstone_evidence::runtime::Observed;

/// A service that was started anew so often since the boot flaps.
const FLAPS: i64 = 3;

/// A clock that differs from the steady one by more than this has been set.
const JUMP: Duration = Duration::from_secs(2);

/// proc(5) `uptime`.
pub fn uptime(root: &Root) -> Collected {
    let text = root.required("/proc/uptime")?;
    let seconds = text.split(['.', ' ']).next().and_then(|seconds| seconds.parse::<u64>().ok());
    let path = root.path("/proc/uptime");
    let why = "no seconds".to_owned();
    Ok(Observed::Span(seconds.ok_or(Fault::Malformed { path, why })?.saturating_mul(1000)))
}

/// Which part of the last minute somebody waited for a resource, in hundredths of a percent
/// (Documentation/accounting/psi).
pub fn pressure(root: &Root) -> Collected {
    let mut found = Vec::new();
    for resource in ["cpu", "memory", "io"] {
        let name = format!("/proc/pressure/{resource}");
        let text =
            root.read(&name)?.ok_or(Fault::Absent("this kernel does not tell pressure (PSI)"))?;
        let path = root.path(&name);
        let why = "no average of a minute".to_owned();
        let average = average(&text).ok_or(Fault::Malformed { path, why })?;
        found.push((resource.to_owned(), average.into()));
    }
    Ok(Observed::Record(found))
}

/// `some avg10=0.12 avg60=1.50 avg300=0.00 total=1` to 150.
pub fn average(text: &str) -> Option<i64> {
    let some = text.lines().find(|line| line.starts_with("some "))?;
    let average = some.split(' ').find_map(|word| word.strip_prefix("avg60="))?;
    let (percent, hundredths) = average.split_once('.')?;
    let hundredths = hundredths.get(..2)?.parse::<i64>().ok()?;
    percent.parse::<i64>().ok()?.checked_mul(100)?.checked_add(hundredths)
}

/// How full each disk is.
pub fn disks(root: &Root) -> Collected {
    let mut found = Vec::new();
    let mut seen = Vec::new();
    for mount in super::mounts::read_mounts(root)? {
        if !mount.source.starts_with("/dev/") || seen.contains(&mount.source) {
            continue;
        }
        // Of another namespace, or gone.
        let Ok(stat) = rustix::fs::statvfs(&mount.target) else { continue };
        let used = |free: u64, of: u64| {
            let used = u128::from(of.saturating_sub(free)) * 100;
            i64::try_from(used.checked_div(of.into()).unwrap_or(0)).unwrap_or(100)
        };
        let fields = [
            ("target", super::plain(Path::new(&mount.target)).into()),
            ("used-percent", used(stat.f_bavail, stat.f_blocks).into()),
            ("inodes-used-percent", used(stat.f_favail, stat.f_files).into()),
        ];
        seen.push(mount.source);
        found.push(Observed::record(fields));
    }
    list(found)
}

/// Disks that have told the kernel of errors, or that their life is over.
pub fn disk_faults(root: &Root) -> Collected {
    let mut found = Vec::new();
    let mut tell = |device: &str, why: String| {
        found.push(Observed::record([("device", device.into()), ("why", why.into())]));
    };
    for (device, folder) in folders(&root.path("/sys/fs/ext4")) {
        let errors = number(&folder.join("errors_count")).unwrap_or(0);
        if errors > 0 {
            tell(&device, format!("its ext4 has counted {errors} errors"));
        }
    }
    for (device, folder) in folders(&root.path("/sys/block")) {
        let errors = number(&folder.join("device/ioerr_cnt")).unwrap_or(0);
        if errors > 0 {
            tell(&device, format!("{errors} of its requests failed"));
        }
        // JEDEC eMMC 5.1, EXT_CSD: 1 normal, 2 four fifths of the reserve used, 3 nine tenths.
        let reserve = text(&folder.join("device/pre_eol_info"));
        if let Some(level @ ("0x02" | "0x03")) = reserve.as_deref() {
            tell(&device, format!("its reserve is nearly used up ({level})"));
        }
        let life = text(&folder.join("device/life_time")).unwrap_or_default();
        if life.split(' ').any(|level| matches!(level, "0x0a" | "0x0b")) {
            tell(&device, format!("its life is over ({life})"));
        }
    }
    list(found)
}

/// Every thermal zone and every sensor of a device (hwmon), and whether it is where it must not be.
pub fn temperatures(root: &Root) -> Collected {
    let zones = folders(&root.path("/sys/class/thermal"));
    let zones = zones.into_iter().filter(|(name, _)| name.starts_with("thermal_zone"));
    let told = zones.filter_map(|(name, folder)| {
        let now = number(&folder.join("temp"))?;
        let limit = trip_point(&folder);
        let mut fields = vec![
            ("zone".to_owned(), text(&folder.join("type")).unwrap_or(name).into()),
            ("celsius".to_owned(), (now / 1000).into()),
        ];
        fields.extend(limit.map(|limit| ("limit".to_owned(), (limit / 1000).into())));
        fields.push(("too-hot".to_owned(), limit.is_some_and(|limit| now >= limit).into()));
        Some(Observed::Record(fields))
    });
    let sensors = folders(&root.path("/sys/class/hwmon")).into_iter().flat_map(sensors_of);
    list(told.chain(sensors).collect())
}

/// Documentation/hwmon/sysfs-interface: `tempN_input`, in thousandths, and `tempN_crit`.
fn sensors_of((name, folder): (String, PathBuf)) -> Vec<Observed> {
    let device = text(&folder.join("name")).unwrap_or(name);
    let told = (1..=16).filter_map(|sensor| {
        let now = number(&folder.join(format!("temp{sensor}_input")))?;
        let limit = number(&folder.join(format!("temp{sensor}_crit"))).filter(|at| *at > 0);
        let alarm = number(&folder.join(format!("temp{sensor}_crit_alarm"))).unwrap_or(0) != 0;
        let zone = super::plain(Path::new(&format!("{device} temp{sensor}")));
        let mut fields =
            vec![("zone".to_owned(), zone.into()), ("celsius".to_owned(), (now / 1000).into())];
        fields.extend(limit.map(|limit| ("limit".to_owned(), (limit / 1000).into())));
        let too_hot = alarm || limit.is_some_and(|limit| now >= limit);
        fields.push(("too-hot".to_owned(), too_hot.into()));
        Some(Observed::Record(fields))
    });
    told.collect()
}

/// The lowest temperature that is too much for a zone: `hot` or `critical`.
fn trip_point(folder: &Path) -> Option<i64> {
    (0..16)
        .map_while(|point| {
            let kind = text(&folder.join(format!("trip_point_{point}_type")))?;
            let at = number(&folder.join(format!("trip_point_{point}_temp")));
            Some((kind, at))
        })
        .filter(|(kind, _)| matches!(kind.as_str(), "hot" | "critical"))
        .filter_map(|(_, at)| at.filter(|at| *at > 0))
        .min()
}

/// Whether a daemon says that the clock is right.
pub fn time_synchronised(root: &Root) -> Collected {
    if root.path("/run/systemd/timesync/synchronized").exists() {
        return Ok(true.into());
    }
    if root.path("/run/systemd/timesync").exists() {
        return Ok(false.into());
    }
    if root.is_live() && root.path("/run/chrony").exists() {
        // chronyc(1): `Leap status : Not synchronised` while it is not.
        let told = ask("/usr/bin/chronyc", &["-n", "tracking"])?;
        return Ok((!told.contains("Not synchronised")).into());
    }
    Err(Fault::Absent("neither systemd-timesyncd nor chrony runs"))
}

/// Services that were started anew again and again.
pub fn flapping_units(root: &Root) -> Collected {
    if !root.is_live() || !root.path("/run/systemd/system").exists() {
        return Err(Fault::Absent("systemd does not run"));
    }
    let arguments = ["show", "*.service", "--property=Id", "--property=NRestarts"];
    flapping(&ask("/usr/bin/systemctl", &arguments)?)
}

/// What `systemctl show` says: blocks of `Name=value`, with blank lines between.
pub fn flapping(shown: &str) -> Collected {
    let property = |block: &str, name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
    };
    let units = shown.split("\n\n").filter_map(|block| {
        let restarts: i64 = property(block, "NRestarts")?.trim().parse().ok()?;
        let unit = super::plain(Path::new(&property(block, "Id")?));
        (restarts >= FLAPS).then(|| {
            let why = format!("{unit} was started anew {restarts} times");
            Observed::record([
                ("unit", unit.into()),
                ("restarts", restarts.into()),
                ("why", why.into()),
            ])
        })
    });
    list(units.collect())
}

fn ask(program: &str, arguments: &[&str]) -> Result<String, Fault> {
    let fault = |why: String| Fault::Program { program: program.to_owned(), why };
    let output = Command::new(program)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|error| fault(error.to_string()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let words = String::from_utf8_lossy(&output.stderr);
        Err(fault(words.trim().chars().take(200).collect()))
    }
}

/// The clock that can be set beside one that cannot.
#[derive(Debug)]
pub struct Clocks {
    steady: Instant,
    set: SystemTime,
    jumps: i64,
}

impl Clocks {
    /// Both as they are now.
    pub fn now() -> Self {
        Self { steady: Instant::now(), set: SystemTime::now(), jumps: 0 }
    }

    /// How often the clock was set since the agent's start, as far as it was looked at.
    pub fn jumps(&mut self) -> Collected {
        self.look(Instant::now(), SystemTime::now());
        Ok(self.jumps.into())
    }

    fn look(&mut self, steady: Instant, set: SystemTime) {
        let passed = steady.saturating_duration_since(self.steady);
        let expected = self.set + passed;
        let off = set.duration_since(expected).unwrap_or_else(|error| error.duration());
        if off > JUMP {
            self.jumps += 1;
        }
        (self.steady, self.set) = (steady, set);
    }
}

pub(super) fn folders(path: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut found: Vec<_> =
        entries.map(|entry| (super::plain(Path::new(&entry.file_name())), entry.path())).collect();
    found.sort();
    found
}

pub(super) fn text(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

pub(super) fn number(path: &Path) -> Option<i64> {
    text(path)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_read_in_hundredths() {
        assert_eq!(
            average("some avg10=0.00 avg60=12.34 avg300=0 total=1\nfull avg60=1.00\n"),
            Some(1234)
        );
        assert_eq!(average("full avg60=1.00"), None);
    }

    #[test]
    fn a_clock_that_was_set_is_counted_once() {
        let mut clocks = Clocks::now();
        let (steady, set) = (clocks.steady, clocks.set);
        let after = |seconds| Duration::from_secs(seconds);
        clocks.look(steady + after(10), set + after(10));
        assert_eq!(clocks.jumps, 0);
        clocks.look(steady + after(20), set + after(3600));
        clocks.look(steady + after(30), set + after(3610));
        assert_eq!(clocks.jumps, 1);
        clocks.look(steady + after(40), set);
        assert_eq!(clocks.jumps, 2);
    }

    #[test]
    fn services_that_flap_are_told_by_what_systemctl_shows() {
        let shown = "Id=a.service\nNRestarts=0\n\nNRestarts=7\nId=pump.service\n\nId=c.service\n";
        let Ok(Observed::List(units)) = flapping(shown) else { panic!("a list") };
        assert_eq!(units.len(), 1);
        let Observed::Record(fields) = &units[0] else { panic!("a record") };
        assert_eq!(fields[0].1, "pump.service".into());
    }
}
