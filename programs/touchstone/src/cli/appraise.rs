//! The words of `touchstone appraise`.

use super::element::{Octets, hex_octets};
use clap::Args;
use std::path::PathBuf;

pub(crate) const EXAMPLES: &str = "\
Examples:
  On the device, with a nonce that the verifier drew:
    tpm2_quote -c ak.ctx -l sha256:0,1,2,3,4,5,6,7,8,9,10,11,12,14 -q 3ab1.. -m q.msg -s q.sig -o q.pcrs
  Anywhere else, without network:
    touchstone appraise --quote q.msg --signature q.sig --pcrs q.pcrs --ak ak.pub --nonce 3ab1.. \\
        --event-log binary_bios_measurements --ima-log binary_runtime_measurements \\
        --references boot-3.references --signer publisher.pem --policy gateway.policy
  The same as a signed result for others:
    touchstone appraise .. --device gateway-17 --asked-at 1795900000 \\
        --ear gateway-17.jwt --key file:verifier.key
  Only that the quote is genuine and that the logs lead to it:
    touchstone appraise --quote q.msg --signature q.sig --pcrs q.pcrs --ak ak.pub --nonce 3ab1.. \\
        --event-log binary_bios_measurements --json > today.json
  And that the TPM was not put back since:
    touchstone appraise .. --after yesterday.json

With a policy, good (0) is a device that is affirming. Without one, good is a genuine quote to which
the logs that were given lead; nothing of what was measured is judged then.";

#[derive(Args, Debug)]
pub(crate) struct Appraise {
    /// What the TPM signed (TPMS_ATTEST): `tpm2_quote -m`
    #[arg(long, value_name = "FILE")]
    pub(crate) quote: PathBuf,
    /// Its signature: `tpm2_quote -s`, in the format `tss` or `plain`
    #[arg(long, value_name = "FILE")]
    pub(crate) signature: PathBuf,
    /// The PCR values: `tpm2_quote -o`, in the format `serialized` or `values`, or what `tpm2_quote`
    /// or `tpm2_pcrread` print
    #[arg(long, value_name = "FILE")]
    pub(crate) pcrs: PathBuf,
    /// The attestation key: `tpm2_readpublic -f tss|tpmt|pem|der`. That it is in a TPM at all is for
    /// you to know
    #[arg(long, value_name = "FILE")]
    pub(crate) ak: PathBuf,
    /// The nonce that was given out for this quote, in hexadecimal: `tpm2_quote -q`
    #[arg(long, value_name = "HEX", value_parser = hex_octets)]
    pub(crate) nonce: Octets,
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
