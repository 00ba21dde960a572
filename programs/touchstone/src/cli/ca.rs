//! The words of `touchstone ca`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Subcommand, Debug)]
pub(crate) enum Ca {
    /// Make a certificate authority: a folder with its certificate, its key and its records
    #[command(after_help = "\
Example:
  touchstone ca init plant-ca --subject \"CN=Plant 7 CA,O=Acme\" --days 3650

The folder holds ca.pem, ca.key (only its owner reads it) and records.jsonl: what was issued and
revoked, written before anything is handed out. For a fleet, touchstone-fleet has a CA of its own.")]
    Init {
        /// The folder to make
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Whose CA it is
        #[arg(long, value_name = "NAME")]
        subject: String,
        /// How its key signs: ecdsa-p256-sha256, rsa-pkcs1-sha256, ed25519, ml-dsa-65, ..
        #[arg(long, value_name = "ALGORITHM", default_value = "ecdsa-p384-sha384")]
        algorithm: String,
        /// How many days it lives
        #[arg(long, value_name = "NUMBER", default_value_t = 3650)]
        days: u32,
    },
    /// Issue a certificate for a request, by a profile
    #[command(after_help = "\
Examples:
  touchstone ca issue plant-ca --request gateway.csr --profile device --days 90 --out gateway.pem
  touchstone ca issue plant-ca --request broker.csr --profile server --days 30 --out broker.pem
  touchstone ca issue vault --request issuing.csr --profile issuing --days 1825 --out issuing.pem \\
    --crl-url http://fleet.example/crl/root.crl --issuer-url http://fleet.example/ca/root.cer

The request proves that whoever asks holds the key. Subject and names are taken from it as they are:
look at what is printed before the certificate leaves the house.")]
    Issue(Box<IssueCa>),
    /// Revoke a certificate; the next CRL says so
    #[command(after_help = "\
Example:
  touchstone ca revoke plant-ca --serial 5f1c08.. --reason keyCompromise")]
    Revoke {
        /// The CA's folder
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// The certificate's serial number, as `cert show` prints it
        #[arg(long, value_name = "HEX")]
        serial: String,
        /// Why, in the words of RFC 5280: keyCompromise, superseded, cessationOfOperation,
        /// privilegeWithdrawn, certificateHold, ..
        #[arg(long, value_name = "REASON", default_value = "unspecified")]
        reason: String,
    },
    /// Sign the list of what is revoked
    #[command(after_help = "\
Examples:
  touchstone ca crl plant-ca --hours 24 --out plant.crl
  touchstone ca crl plant-ca --delta --hours 1 --out plant-delta.crl

A delta holds what changed since the last full list.")]
    Crl {
        /// The CA's folder
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// In how many hours the next one is due
        #[arg(long, value_name = "NUMBER", default_value_t = 24)]
        hours: u32,
        /// Only what changed since the last full list
        #[arg(long)]
        delta: bool,
        /// The list to write, PEM
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Give the CA a new key; what was issued under the old one stays valid
    #[command(after_help = "\
Example:
  touchstone ca rollover plant-ca --days 3650

Writes new-with-old.pem, which lets those who trust the old certificate believe the new one, and
old-with-new.pem for the other way round (RFC 4210 §4.4); hand them out with the chains. The old
certificate is kept as ca-1.pem, ca-2.pem, ..; its key is deleted.")]
    Rollover {
        /// The CA's folder
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// How many days the new certificate lives
        #[arg(long, value_name = "NUMBER", default_value_t = 3650)]
        days: u32,
    },
}

#[derive(Args, Debug)]
pub(crate) struct IssueCa {
    /// The CA's folder
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// The request, PKCS #10 in PEM or DER
    #[arg(long, value_name = "FILE")]
    pub(crate) request: PathBuf,
    /// What the certificate is for: device, idevid, ldevid, ak, server, client, peer, issuing,
    /// ocsp-signing, crl-signing, code-signing, ..
    #[arg(long, value_name = "PROFILE")]
    pub(crate) profile: String,
    /// How many days it lives
    #[arg(long, value_name = "NUMBER", default_value_t = 90)]
    pub(crate) days: u32,
    /// Where its status can be asked for
    #[arg(long, value_name = "URL")]
    pub(crate) ocsp_url: Option<String>,
    /// Where its CRL is found
    #[arg(long, value_name = "URL")]
    pub(crate) crl_url: Vec<String>,
    /// Where that list's delta is found
    #[arg(long, value_name = "URL")]
    pub(crate) delta_crl_url: Vec<String>,
    /// Where the CA's own certificate is found
    #[arg(long, value_name = "URL")]
    pub(crate) issuer_url: Option<String>,
    /// The certificate to write, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}
