//! What a disk's own controller tells of it, and what that means.

use super::Root;
use crate::collect::finding::hex;
use crate::collect::kernel::disks::{NVME_LOG, ata_status, nvme_health};
use rustix::io::Errno;
use std::fs::File;

/// What is wrong with the disk, or why it cannot be told; `None` for disks that have no such word.
pub(super) fn ask(root: &Root, kind: &str, name: &str) -> Option<Result<Vec<String>, String>> {
    let read: fn(&File) -> Result<Vec<String>, String> = match kind {
        "nvme" => {
            |disk| nvme_health(disk).map(|log| nvme(&log)).map_err(|why| refused(why, "ADMIN"))
        }
        "ata" => {
            |disk| ata_status(disk).map_err(|why| refused(why, "RAWIO")).and_then(|it| ata(&it))
        }
        _ => return None,
    };
    let path = root.path("/dev").join(name);
    let disk = File::open(&path);
    Some(
        disk.map_err(|why| format!("/dev/{name} cannot be opened: {why}")).and_then(|it| read(&it)),
    )
}

fn refused(why: Errno, capability: &str) -> String {
    match why {
        Errno::PERM | Errno::ACCESS => {
            format!("it may not be asked for its health: the agent lacks CAP_SYS_{capability}")
        }
        why => format!("it does not tell its health: {why}"),
    }
}

/// NVM Express Base 2.0 §5.16.1.3, SMART / Health Information.
fn nvme(log: &[u8; NVME_LOG]) -> Vec<String> {
    const WARNINGS: [&str; 6] = [
        "its spare blocks run out",
        "its temperature is out of bounds",
        "it is no longer reliable",
        "it can only be read",
        "its memory is not saved when power fails",
        "its persistent memory is not reliable",
    ];
    let [warnings, _, _, spare, least, used, ..] = *log;
    let mut wrong: Vec<String> = WARNINGS
        .iter()
        .enumerate()
        .filter(|(bit, _)| warnings >> bit & 1 == 1)
        .map(|(_, words)| (*words).to_owned())
        .collect();
    if warnings >> WARNINGS.len() != 0 {
        wrong.push(format!("it warns of what is not known here ({warnings:#04x})"));
    }
    if spare < least && warnings & 1 == 0 {
        wrong.push(format!("{spare} % of its spare blocks are left, {least} % is the least"));
    }
    // Its maker's estimate; 255 stands for more.
    if used >= 100 {
        wrong.push(format!("{used} % of its rated life are used"));
    }
    wrong
}

/// The registers behind SMART RETURN STATUS (ACS-3 §7.53.5): LBA mid and high are 4Fh and C2h where no
/// threshold is exceeded, F4h and 2Ch where one is.
fn ata(sense: &[u8]) -> Result<Vec<String>, String> {
    const ABORTED: u8 = 0x0b;
    let (key, registers) = match sense {
        // Descriptor format, with an ATA status return descriptor first (SAT-4 §12.2.2.6).
        [0x72, key, _, _, _, _, _, _, 0x09, 0x0c, rest @ ..] => {
            let registers = if let [_, _, _, _, _, _, _, mid, _, high, ..] = rest {
                Some((*mid, *high))
            } else {
                None
            };
            (*key, registers)
        }
        // Fixed format: COMMAND-SPECIFIC INFORMATION ends with them (SAT-4 §12.2.2.7).
        [0x70, _, key, _, _, _, _, _, _, _, mid, high, ..] => (*key, Some((*mid, *high))),
        [0x72, key, ..] => (*key, None),
        _ => (0, None),
    };
    match registers {
        _ if key & 0x0f == ABORTED => {
            Err("it does not tell its health: SMART is off, or it has none".to_owned())
        }
        Some((0x4f, 0xc2)) => Ok(Vec::new()),
        Some((0xf4, 0x2c)) => Ok(vec!["SMART says that it is about to fail".to_owned()]),
        _ => {
            let told = hex(sense.get(..22).unwrap_or(sense));
            Err(format!("it does not tell its health: the answer is not understood ({told})"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_nvme_log_says_what_is_wrong() {
        let of = |octets: [u8; 6]| {
            let mut log = [0; NVME_LOG];
            log[..6].copy_from_slice(&octets);
            nvme(&log).join("; ")
        };
        assert_eq!(of([0, 0x36, 1, 100, 10, 3]), "");
        assert_eq!(of([0, 0, 0, 10, 10, 99]), "");
        assert_eq!(of([0, 0, 0, 9, 10, 0]), "9 % of its spare blocks are left, 10 % is the least");
        assert_eq!(of([1, 0, 0, 9, 10, 0]), "its spare blocks run out");
        assert_eq!(of([0, 0, 0, 100, 10, 255]), "255 % of its rated life are used");
        assert_eq!(of([0x0c, 0, 0, 1, 1, 0]), "it is no longer reliable; it can only be read");
        assert_eq!(of([0x80, 0, 0, 1, 1, 0]), "it warns of what is not known here (0x80)");
    }

    #[test]
    fn the_registers_of_an_ata_disk_are_read_in_both_formats() {
        let descriptor = |key: u8, mid: u8, high: u8| {
            let mut sense = [0; 22];
            sense[..2].copy_from_slice(&[0x72, key]);
            sense[7..10].copy_from_slice(&[0x0e, 0x09, 0x0c]);
            (sense[17], sense[19], sense[21]) = (mid, high, 0x50);
            ata(&sense)
        };
        let fixed = |key: u8, mid: u8, high: u8| {
            let mut sense = [0; 18];
            (sense[0], sense[2], sense[10], sense[11]) = (0x70, key, mid, high);
            ata(&sense)
        };
        for read in [descriptor, fixed] as [fn(u8, u8, u8) -> _; 2] {
            assert_eq!(read(1, 0x4f, 0xc2), Ok(Vec::new()));
            let failing = vec!["SMART says that it is about to fail".to_owned()];
            assert_eq!(read(1, 0xf4, 0x2c), Ok(failing));
            assert!(read(0x0b, 0x4f, 0xc2).unwrap_err().contains("SMART is off"));
            assert!(read(1, 0, 0).unwrap_err().contains("not understood"));
        }
        // As a disk of QEMU's answers by Linux 6.1, whose fixed format has its registers elsewhere.
        let off = [0x70, 0, 0x0b, 0, 0, 0, 0, 0x0a, 0x04, 0x41, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(ata(&off).unwrap_err().contains("SMART is off"));
        for sense in [&[][..], &[0x72, 1, 0], &[0x70; 11], &[0x72, 1, 0, 0, 0, 0, 0, 14, 9, 12, 0]]
        {
            assert!(ata(sense).is_err());
        }
    }

    #[test]
    fn a_disk_that_is_none_tells_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("dev")).unwrap();
        std::fs::write(folder.path().join("dev/sda"), b"").unwrap();
        let root = Root::new(folder.path());
        assert_eq!(ask(&root, "mmc", "mmcblk0"), None);
        for (kind, name, words) in [
            ("nvme", "nvme0n1", "cannot be opened"),
            ("nvme", "sda", "does not tell its health"),
            ("ata", "sda", "does not tell its health"),
        ] {
            let why = ask(&root, kind, name).unwrap().unwrap_err();
            assert!(why.contains(words), "{why}");
        }
    }
}
