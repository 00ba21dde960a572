//! How each disk fares, as far as the kernel and the disk's own controller tell: NVMe's health log, and
//! SMART of ATA disks. Where nothing tells of wear the disk's health is untold, and that is what is said.

mod smart;

use super::operation::{folders, number, text};
use super::{Collected, Root, list};
use std::path::Path;
use touchstone_evidence::runtime::Observed;

/// Devices that are no disks: their health is that of what is beneath.
const NO_DISKS: [&str; 8] = ["loop", "ram", "zram", "dm-", "nbd", "sr", "fd", "mtdblock"];

/// States of a device that works, or will again by itself (nvme, scsi).
const WORKING: [&str; 5] = ["live", "running", "new", "resetting", "connecting"];

/// Every disk: `good` if something tells of its wear and nothing is wrong, `failing` if something is,
/// and `untold` if all that can be said is that it answers.
pub fn disk_health(root: &Root) -> Collected {
    let all = folders(&root.path("/sys/block"));
    let disks = all.into_iter().filter(|(name, _)| !NO_DISKS.iter().any(|no| name.starts_with(no)));
    list(disks.map(|(name, folder)| health(root, &name, &folder)).collect())
}

fn health(root: &Root, name: &str, folder: &Path) -> Observed {
    let kind = kind(name, folder);
    let mut bad = Vec::new();
    let mut told = false;
    let mut untold = "nothing tells of its wear".to_owned();
    let state = text(&folder.join("device/state"));
    if let Some(state) = state.as_deref().filter(|state| !WORKING.contains(state)) {
        bad.push(format!("the kernel says it is {}", super::plain(Path::new(state))));
    }
    // JEDEC eMMC 5.1, EXT_CSD: 1 normal, 2 four fifths of the reserve used, 3 nine tenths.
    if let Some(reserve) = text(&folder.join("device/pre_eol_info")) {
        told |= matches!(reserve.as_str(), "0x01" | "0x02" | "0x03");
        if matches!(reserve.as_str(), "0x02" | "0x03") {
            bad.push(format!("its reserve is nearly used up ({reserve})"));
        }
    }
    // Documentation/admin-guide/md: members that an array lacks.
    if let Some(degraded) = number(&folder.join("md/degraded")) {
        told = true;
        if degraded > 0 {
            bad.push(format!("{degraded} of its members are missing"));
        }
    }
    for (_, sensor) in sensors(folder) {
        for alarm in ["temp1_crit_alarm", "temp1_alarm"] {
            if number(&sensor.join(alarm)).is_some_and(|alarm| alarm != 0) {
                bad.push(format!("it is too hot ({alarm})"));
            }
        }
    }
    match smart::ask(root, kind, name) {
        None => {}
        Some(Ok(wrong)) => {
            told = true;
            bad.extend(wrong);
        }
        Some(Err(why)) => untold = why,
    }
    let (health, why) = match (bad.is_empty(), told) {
        (false, _) => ("failing", bad.join("; ")),
        (true, true) => ("good", String::new()),
        (true, false) => ("untold", untold),
    };
    Observed::record([
        ("device", name.into()),
        ("kind", kind.into()),
        ("health", health.into()),
        ("why", why.into()),
    ])
}

/// The sensors of a disk: below its controller (nvme), or below itself (drivetemp).
fn sensors(folder: &Path) -> Vec<(String, std::path::PathBuf)> {
    let device = folder.join("device");
    let below = folders(&device.join("hwmon")).into_iter().chain(folders(&device));
    below.filter(|(name, _)| name.starts_with("hwmon") && name != "hwmon").collect()
}

fn kind(name: &str, folder: &Path) -> &'static str {
    match name {
        _ if name.starts_with("nvme") => "nvme",
        _ if name.starts_with("mmcblk") => "mmc",
        _ if name.starts_with("md") => "array",
        _ if name.starts_with("vd") || name.starts_with("xvd") => "virtual",
        // The SCSI layer's word for a disk behind ATA (SAT-4 §8.2).
        _ if text(&folder.join("device/vendor")).as_deref() == Some("ATA") => "ata",
        _ => "scsi",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn a_disk_is_good_failing_or_untold_and_never_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        put(root, "sys/block/loop0/size", "0");
        put(root, "sys/block/sda/device/state", "running\n");
        put(root, "sys/block/sdb/device/state", "offline\n");
        put(root, "sys/block/sdc/device/vendor", "ATA     \n");
        put(root, "sys/block/mmcblk0/device/pre_eol_info", "0x01\n");
        put(root, "sys/block/mmcblk1/device/pre_eol_info", "0x03\n");
        put(root, "sys/block/md0/md/degraded", "1\n");
        put(root, "sys/block/nvme0n1/device/state", "live\n");
        put(root, "sys/block/nvme1n1/device/hwmon3/temp1_alarm", "1\n");
        let Ok(Observed::List(disks)) = disk_health(&Root::new(root)) else { panic!("no list") };
        let told: Vec<_> = disks
            .iter()
            .map(|disk| {
                let Observed::Record(fields) = disk else { panic!("no record") };
                let text = |at: usize| match &fields[at].1 {
                    Observed::Text(text) => text.clone(),
                    other => panic!("{other:?}"),
                };
                assert_eq!(text(3).is_empty(), text(2) == "good", "a reason for all but good");
                format!("{} {} {}", text(0), text(1), text(2))
            })
            .collect();
        assert_eq!(
            told,
            [
                "md0 array failing",
                "mmcblk0 mmc good",
                "mmcblk1 mmc failing",
                "nvme0n1 nvme untold",
                "nvme1n1 nvme failing",
                "sda scsi untold",
                "sdb scsi failing",
                "sdc ata untold",
            ]
        );
    }
}
