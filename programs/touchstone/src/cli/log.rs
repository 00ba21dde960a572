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
    /// The kernel's IMA list: what was measured, who signed it, and the register it leads to
    #[command(after_help = "\
Examples:
  touchstone log ima /sys/kernel/security/ima/binary_runtime_measurements
  touchstone log ima list.bin --pcrs pcrs.yaml --keys publisher.pem
  touchstone log ima list.txt --pcrs sha1:10=<40 digits>
  touchstone log ima list.bin --keys publisher.der --json | jq '.entries[] | select(.signature != \"good\")'

Lists are read in binary and in ASCII, of every template. The list is replayed until it leads to the
given value of PCR 10; entries that came after are counted. Names are shown escaped.

Exits with 1 if the list does not lead to the given registers, if an entry's fields are not those of its
template digest, or if a signature is not that of the publisher it names. Entries that are not signed, or
by a publisher whose key was not given, are shown and are no such reason.")]
    Ima(ImaLog),
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

#[derive(Args, Debug)]
pub(crate) struct ImaLog {
    /// The list as the kernel shows it, in binary or ASCII; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Who may have signed: certificates in PEM or DER, or a key in DER; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Vec<PathBuf>,
    /// Whose register is replayed: `sha1`; else that of the given registers, else `sha256`
    #[arg(long, value_name = "ALGORITHM", value_parser = bank)]
    pub(crate) bank: Option<HashAlgorithm>,
    /// What the registers hold: a file, or PCR=HEX; may be given more than once
    #[arg(long, value_name = "FILE|PCR=HEX")]
    pub(crate) pcrs: Vec<String>,
}

fn bank(name: &str) -> Result<HashAlgorithm, String> {
    HashAlgorithm::from_name(name)
        .ok_or_else(|| "known are sha1, sha256, sha384 and sha512".to_owned())
}
