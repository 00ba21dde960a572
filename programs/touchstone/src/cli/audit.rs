//! The words of `touchstone audit`.

use super::Fleet;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use touchstone_audit::{Format, Severity};

#[derive(Subcommand, Debug)]
pub(crate) enum Audit {
    /// Check that a log is whole: nothing changed, removed, put in, or cut off
    #[command(after_help = "\
Examples:
  touchstone audit verify /var/lib/touchstone-fleet/audit.jsonl
  touchstone audit verify audit.jsonl --head 1042:5f1c..
  touchstone audit verify audit.jsonl --key audit.pub --checkpoint kept.note
  touchstone audit verify audit.jsonl --ask-fleet --token file:op.token

Older parts of the log (`audit.000000000001.jsonl`) are found beside it and read with it.

Only whoever knows the head of the log from elsewhere can tell that its end was cut off: note the
head that this prints, keep a signed head (the detail `checkpoint` of an event `audit.signed`, which
the SIEM has), or ask the running fleet. With the key of the log, signed heads are checked, so that
nobody else can have written the log anew.")]
    Verify {
        /// The log
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Entries before this one are kept elsewhere, and their absence is no fault
        #[arg(long, value_name = "SEQ")]
        from: Option<u64>,
        /// A head that is known from before, as this verb prints it: `seq:hash`
        #[arg(long, value_name = "HEAD", conflicts_with = "ask_fleet")]
        head: Option<touchstone_audit::Head>,
        /// A signed head that was kept (a C2SP checkpoint); needs --key
        #[arg(long, value_name = "FILE", requires = "key")]
        checkpoint: Option<PathBuf>,
        /// Who signs the heads of the log: `audit.pub` of the fleet
        #[arg(long, value_name = "FILE", conflicts_with = "ask_fleet")]
        key: Option<PathBuf>,
        /// Ask the fleet for the head and the key, and check that the log leads up to it
        #[arg(long)]
        ask_fleet: bool,
        #[command(flatten)]
        fleet: Fleet,
    },
    /// Show entries of a log
    #[command(after_help = "\
Examples:
  touchstone audit show audit.jsonl --severity warning
  touchstone audit show audit.jsonl --code attest. --subject device:dev-17
  touchstone audit show audit.jsonl --from 1000 --limit 50 --json")]
    Show {
        /// The log; its older parts are read with it
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        filter: Filter,
    },
    /// Write entries in the format of a SIEM, one a line
    #[command(after_help = "\
Examples:
  touchstone audit export audit.jsonl --format cef
  touchstone audit export audit.jsonl --format ocsf --code respond. > responses.json

It writes the same lines that the fleet sends, so that a gap in a SIEM can be filled: see `compare`.")]
    Export {
        /// The log; its older parts are read with it
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// rfc5424, cef, leef, ocsf, otlp or hec
        #[arg(long, value_name = "FORMAT")]
        format: Format,
        /// The host that messages name; default: this machine
        #[arg(long, value_name = "NAME")]
        hostname: Option<String>,
        #[command(flatten)]
        filter: Filter,
    },
    /// Compare a log with what a SIEM received: which entries it misses, which it has twice
    #[command(after_help = "\
Example:
  touchstone audit compare audit.jsonl --received /var/log/siem/touchstone.log

What was received is a file in any of the formats that are sent: entries are found by their hash.")]
    Compare {
        /// The log; its older parts are read with it
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// What the SIEM wrote down
        #[arg(long, value_name = "FILE")]
        received: PathBuf,
        #[command(flatten)]
        filter: Filter,
    },
}

/// Which entries.
#[derive(Args, Debug)]
pub(crate) struct Filter {
    /// From this entry on
    #[arg(long, value_name = "SEQ", default_value_t = 1)]
    pub(crate) from: u64,
    /// Up to this entry
    #[arg(long, value_name = "SEQ", default_value_t = u64::MAX, hide_default_value = true)]
    pub(crate) to: u64,
    /// Codes that start like this: `attest.`, `respond.applied`
    #[arg(long, value_name = "CODE", default_value = "", hide_default_value = true)]
    pub(crate) code: String,
    /// This subject alone: `device:dev-17`
    #[arg(long, value_name = "SUBJECT")]
    pub(crate) subject: Option<String>,
    /// This severity or worse: info, notice, warning, error, critical, alert
    #[arg(long, value_name = "SEVERITY", default_value = "info", value_parser = severity)]
    pub(crate) severity: Severity,
    /// Written at this time or later, in Unix seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0, hide_default_value = true)]
    pub(crate) since: u64,
    /// Written at this time or earlier, in Unix seconds
    #[arg(long, value_name = "SECONDS", default_value_t = u64::MAX, hide_default_value = true)]
    pub(crate) until: u64,
    /// So many entries at the most
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    pub(crate) limit: usize,
}

fn severity(word: &str) -> Result<Severity, String> {
    Severity::ALL.iter().copied().find(|severity| severity.name() == word).ok_or_else(|| {
        let names: Vec<&str> = Severity::ALL.iter().map(|severity| severity.name()).collect();
        format!("severities are {}", names.join(", "))
    })
}
