//! The words of `touchstone appraise`.

use super::element::{Octets, hex_octets, registers};
use clap::Args;
use std::path::PathBuf;
use touchstone_element::PcrSelection;

pub(crate) const EXAMPLES: &str = "\
Examples:
  On the device, with a nonce that the verifier drew:
    tpm2_quote -c ak.ctx -l sha256:0,1,2,3,4,5,6,7,8,9,10,11,12,13,14 -q 3ab1.. -m q.msg -s q.sig -o q.pcrs
  Anywhere else, without network:
    touchstone appraise --quote q.msg --signature q.sig --pcrs q.pcrs --ak ak.pub --nonce 3ab1.. \\
        --event-log binary_bios_measurements --ima-log binary_runtime_measurements \\
        --references boot-3.references --signer publisher.pem --policy gateway.policy
  The same as a signed result for others:
    touchstone appraise .. --device gateway-17 --asked-at 1795900000 \\
        --ear gateway-17.jwt --key file:verifier.key
  What an agent sent, as a wrapper (CMW) or in a token (EAT) that the device's key signed:
    touchstone appraise --evidence gateway-17.cwt --evidence-key gateway-17.pem --ak lak.pub \\
        --nonce 48df.. --policy gateway.policy
  Only that the quote is genuine and that the logs lead to it:
    touchstone appraise --quote q.msg --signature q.sig --pcrs q.pcrs --ak ak.pub --nonce 3ab1.. \\
        --event-log binary_bios_measurements --json > today.json
  And that the TPM was not put back since:
    touchstone appraise .. --after yesterday.json
  On the device itself, offline: by a policy and reference values that others have signed
    touchstone appraise --element tpm:/dev/tpmrm0 --policy gateway.signed.policy \\
        --policy-signer operator.pem --references boot-3.references --signer publisher.pem

With a policy, good (0) is a device that is affirming. Without one, good is a genuine quote to which
the logs that were given lead; nothing of what was measured is judged then.";

#[derive(Args, Debug)]
pub(crate) struct Appraise {
    #[command(flatten)]
    pub(crate) sent: Sent,
    /// What the TPM signed (TPMS_ATTEST): `tpm2_quote -m`
    #[arg(long, value_name = "FILE", required_unless_present_any = ["element", "evidence"])]
    pub(crate) quote: Option<PathBuf>,
    /// Its signature: `tpm2_quote -s`, in the format `tss` or `plain`
    #[arg(long, value_name = "FILE", required_unless_present_any = ["element", "evidence"])]
    pub(crate) signature: Option<PathBuf>,
    /// The PCR values: `tpm2_quote -o`, in the format `serialized` or `values`, or what `tpm2_quote`
    /// or `tpm2_pcrread` print
    #[arg(long, value_name = "FILE", required_unless_present_any = ["element", "evidence"])]
    pub(crate) pcrs: Option<PathBuf>,
    /// The attestation key: `tpm2_readpublic -f tss|tpmt|pem|der`. That it is in a TPM at all is for
    /// you to know
    #[arg(long, value_name = "FILE", required_unless_present = "element")]
    pub(crate) ak: Option<PathBuf>,
    /// The nonce that was given out for this quote, in hexadecimal: `tpm2_quote -q`
    #[arg(long, value_name = "HEX", value_parser = hex_octets, required_unless_present = "element")]
    pub(crate) nonce: Option<Octets>,
    #[command(flatten)]
    pub(crate) here: Here,
    /// The firmware's event log: /sys/kernel/security/tpm0/binary_bios_measurements
    #[arg(long, value_name = "FILE")]
    pub(crate) event_log: Option<PathBuf>,
    /// The kernel's IMA list: /sys/kernel/security/ima/binary_runtime_measurements
    #[arg(long, value_name = "FILE")]
    pub(crate) ima_log: Option<PathBuf>,
    /// Signed reference values; each has to be evaluated by the policy
    #[arg(long, value_name = "FILE", requires = "policy", requires = "signer")]
    pub(crate) references: Vec<PathBuf>,
    /// Who may sign reference values: certificates, PEM; a CA's stands for those below it
    #[arg(long, value_name = "FILE")]
    pub(crate) signer: Option<PathBuf>,
    /// What the device has to prove
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// The policy is what `touchstone policy sign` wrote, and this certificate (PEM), or one that a CA
    /// among these issued for signing code, must have signed it; once for each who must
    #[arg(long = "policy-signer", value_name = "FILE", requires = "policy")]
    pub(crate) policy_signers: Vec<PathBuf>,
    /// When the nonce was given out, in seconds since 1970; without it the age of the evidence is
    /// not known
    #[arg(long, value_name = "SECONDS")]
    pub(crate) asked_at: Option<u64>,
    /// An earlier answer (`--json`) about the same key: the TPM must not have been put back since
    #[arg(long, value_name = "FILE")]
    pub(crate) after: Option<PathBuf>,
    /// The device's name, for the result
    #[arg(long, value_name = "NAME", default_value = "device")]
    pub(crate) device: String,
    /// Write the result as a signed EAR: a CWT if the name ends in .cwt, otherwise a JWT
    #[arg(long, value_name = "FILE", requires = "key", requires = "policy")]
    pub(crate) ear: Option<PathBuf>,
    /// Where the key is that signs the EAR, PKCS#8 PEM: `file:PATH`
    #[arg(long, value_name = "file:PATH", requires = "ear")]
    pub(crate) key: Option<String>,
    /// How long the EAR may be relied upon, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) lifetime: u64,
    /// Take SHA-1 signatures and banks, which can be forged: for old TPMs and for looking at old
    /// quotes only
    #[arg(long)]
    pub(crate) dangerous_accept_sha1: bool,
}

/// What an agent sent.
#[derive(Args, Debug)]
pub(crate) struct Sent {
    /// What an agent sent, logs and all: a conceptual message wrapper (CMW, RFC 9999), or an entity
    /// attestation token (EAT, RFC 9711; CWT or JWT) with one in it
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "quote", "signature", "pcrs", "element", "event_log", "ima_log",
            "dangerous_accept_sha1"
        ]
    )]
    pub(crate) evidence: Option<PathBuf>,
    /// The key that must have signed the token: a `PUBLIC KEY` in PEM, or the device's certificate
    #[arg(long, value_name = "FILE", requires = "evidence")]
    pub(crate) evidence_key: Option<PathBuf>,
}

/// The device that the program runs on, asked by itself.
#[derive(Args, Debug)]
pub(crate) struct Here {
    /// Ask the element of this machine instead of reading a quote from files, with a nonce of its own:
    /// tpm:/dev/tpmrm0, tpm-unix:PATH, tpm-tcp:ADDRESS:PORT. Logs are the kernel's own, unless given
    #[arg(
        long,
        value_name = "WHERE",
        conflicts_with_all = ["quote", "signature", "pcrs", "ak", "nonce", "asked_at"]
    )]
    pub(crate) element: Option<String>,
    /// Where the files of the TPM's keys are
    #[arg(
        long,
        value_name = "DIR",
        env = "TOUCHSTONE_ELEMENT_STATE",
        default_value = "/var/lib/touchstone/element"
    )]
    pub(crate) state: PathBuf,
    /// The element's key that attests; `touchstone element keys create NAME --use attest` makes one
    #[arg(long, value_name = "NAME", default_value = "lak", requires = "element")]
    pub(crate) attestation_key: String,
    /// The registers to quote, or that an agent was asked to quote
    #[arg(
        long,
        value_name = "BANK:LIST",
        value_parser = registers,
        default_value = "sha256:0-14",
        conflicts_with_all = ["quote", "signature", "pcrs"]
    )]
    pub(crate) pcr: PcrSelection,
}
