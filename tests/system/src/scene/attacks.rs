//! What an attacker does to the scene's device.

use super::Scene;
use crate::sensor::CALIBRATION;
use anyhow::{Context, Result, ensure};
use std::fmt::Write as _;

impl Scene {
    /// Writes one changed constant into the running sensor's code, as a debugger would.
    pub(super) fn patch_sensor(&self, program: &[u8]) -> Result<()> {
        let pattern = CALIBRATION.to_le_bytes();
        let offset = program
            .windows(pattern.len())
            .position(|window| window == pattern)
            .context("the constant is not in the program")?;
        let device = self.device()?;
        let id = device.ask(
            "for p in /proc/[0-9]*; do [ \"$(readlink $p/exe)\" = /data/app/sensor ] && echo ${p#/proc/}; done | tail -n 1",
        )?;
        let maps = device.ask(&format!("grep r-xp /proc/{id}/maps | grep /data/app/sensor"))?;
        let mut address = None;
        for line in maps.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [range, _, file_offset, ..] = words.as_slice() else { continue };
            let (start, end) = range.split_once('-').context("a line of maps without range")?;
            let hex = |text: &str| usize::from_str_radix(text, 16);
            let (start, end, file_offset) = (hex(start)?, hex(end)?, hex(file_offset)?);
            if (file_offset..file_offset + (end - start)).contains(&offset) {
                address = Some(start + (offset - file_offset));
            }
        }
        let address = address.context("the constant is not in the program's code")?;
        let lie = CALIBRATION.wrapping_add(80_000).to_le_bytes();
        let [a, b, c, d] = lie;
        let script = format!(
            "printf '\\x{a:02x}\\x{b:02x}\\x{c:02x}\\x{d:02x}' | dd of=/proc/{id}/mem bs=1 seek={address} conv=notrunc 2>&1"
        );
        device.ask(&script).map(drop)
    }
    /// Extends a register of the TPM by some value, as whoever is root can at any time (TPM 2.0 part 3,
    /// `TPM2_PCR_Extend`, with an empty authorization).
    pub(super) fn extend_register(&self, pcr: u8) -> Result<()> {
        let head = [0x80, 0x02, 0, 0, 0, 65, 0, 0, 0x01, 0x82, 0, 0, 0, pcr];
        let password = [0, 0, 0, 9, 0x40, 0, 0, 0x09, 0, 0, 0, 0, 0];
        let sha256 = [0, 0, 0, 1, 0, 0x0B];
        let command = [&head[..], &password, &sha256, &[0x5A; 32]].concat();
        let mut escaped = String::new();
        for octet in command {
            write!(escaped, "\\x{octet:02x}")?;
        }
        let script = format!(
            "exec 3<>/dev/tpmrm0; printf '{escaped}' >&3; dd bs=4096 count=1 <&3 2>/dev/null | hexdump -v -e '1/1 \"%02x\"'"
        );
        let said = self.device()?.ask(&script)?;
        let code = said.get(12..20).unwrap_or_default();
        ensure!(code == "00000000", "the TPM does not extend PCR {pcr}: it said `{said}`");
        Ok(())
    }
}
