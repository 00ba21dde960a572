//! The words of `touchstone log`.

use clap::{Args, Subcommand};
use std::path::PathBuf;
use touchstone_crypto::HashAlgorithm;

#[derive(Subcommand, Debug)]
pub(crate) enum Log {
    /// The firmware's event log: what each event says, and the registers that they lead to
    #[command(after_help = "\
Examples:
  touchstone log boot /sys/kernel/security/tpm0/binary_bios_measurements
  tpm2_pcrread sha256 > pcrs.yaml && touchstone log boot events.bin --pcrs pcrs.yaml
  touchstone log boot events.bin --pcrs 7=<64 digits> --pcrs 4=<64 digits>
  touchstone log boot /sys/firmware/acpi/tables/data/CCEL --cc
  touchstone log boot events.bin --json | jq '.events[] | select(.data == \"differs\")'

What an event says is proven only where the column `data` says `matches`: there, what it says is what
was measured. Where it says `describes`, only the digest is proven, as of an image that was loaded.

Registers come from a file (`tpm2_pcrread`, `tpm2_quote --pcrs`, `touchstone element pcr read`) or as
PCR=HEX. Exits with 1 if the log does not lead to them, or if an event says something else than what
was measured. What is only odd is told and is no verdict: firmware is odd.")]
    Boot(BootLog),
}

#[derive(Args, Debug)]
pub(crate) struct BootLog {
    /// The log as the firmware keeps it; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Whose digests are shown and replayed: `sha256`; else the best that the log has
    #[arg(long, value_name = "ALGORITHM", value_parser = bank)]
    pub(crate) bank: Option<HashAlgorithm>,
    /// What the registers hold: a file, or PCR=HEX; may be given more than once
    #[arg(long, value_name = "FILE|PCR=HEX")]
    pub(crate) pcrs: Vec<String>,
    /// The firmware's final events table: what it logged after the log was first read
    #[arg(long, value_name = "FILE")]
    pub(crate) final_events: Option<PathBuf>,
    /// The log is a confidential guest's (CCEL): its events count RTMRs, in SHA-384
    #[arg(long)]
    pub(crate) cc: bool,
}

fn bank(name: &str) -> Result<HashAlgorithm, String> {
    HashAlgorithm::from_name(name)
        .ok_or_else(|| "known are sha1, sha256, sha384 and sha512".to_owned())
}
