//! The words of `touchstone enrolment`.

use super::Fleet;
use clap::Subcommand;

#[derive(Subcommand, Debug)]
pub(crate) enum Enrolment {
    /// Enrolments that wait for an operator, and those that were decided lately
    #[command(after_help = "\
Examples:
  touchstone enrolment list --token file:op.token
  touchstone enrolment list --token file:op.token --json | jq '.enrolments[] | select(.state == \"waiting\")'

Which profiles want an operator's word is `approval` of [[authority.profile]] in fleet.toml. Compare the
SHA-256 of the key with what the device shows of it (`openssl pkey -in KEY -pubout -outform DER | sha256sum`).
Exits with 1 while any waits.")]
    List {
        #[command(flatten)]
        fleet: Fleet,
    },
    /// Let whoever asks have a certificate, once
    #[command(after_help = "\
Example:
  touchstone enrolment approve 4 --token file:op.token

The certificate is issued when it is asked for again: clients of SCEP poll, those of EST come back. What was
refused can be approved until its time is over.")]
    Approve {
        /// The enrolment's number, as `enrolment list` shows it
        id: u64,
        #[command(flatten)]
        fleet: Fleet,
    },
    /// Refuse whoever asks a certificate
    #[command(after_help = "\
Example:
  touchstone enrolment refuse 4 --reason \"not one of ours\" --token file:op.token

Whoever asked is told the reason (SCEP: failInfo badRequest; EST: status 403). What was approved can be refused
until its certificate is issued; then revoke that.")]
    Refuse {
        /// The enrolment's number, as `enrolment list` shows it
        id: u64,
        /// Why: whoever asked is told, and the audit log keeps it
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        fleet: Fleet,
    },
}
