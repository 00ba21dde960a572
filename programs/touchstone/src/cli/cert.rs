//! The words of `touchstone cert` and `touchstone ocsp`.

use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Subcommand, Debug)]
pub(crate) enum Cert {
    /// Say what certificates say; believes nothing
    #[command(after_help = "\
Examples:
  touchstone cert show gateway.pem
  touchstone cert show ek.der --json | jq '.certificates[0].extended_key_usages'

Reads PEM (every certificate of a file) and DER. A certificate that breaks the rules of DER is not
shown; the error says where it breaks them.")]
    Show {
        /// Certificates; `-` is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Judge a certificate: its path to a trust anchor, names, policies, purpose, revocation
    #[command(after_help = "\
Examples:
  touchstone cert verify gateway.pem --roots plant-root.pem --purpose tls-client
  touchstone cert verify broker.pem --roots root.pem --intermediates issuing.pem \\
      --purpose tls-server --name broker.plant.example --crl root.crl --crl issuing.crl
  touchstone cert verify old.pem --roots root.pem --at 2024-02-29T12:00:00Z

The first certificate of FILE is judged; others in it, and those of --intermediates, help to find the
path. With --crl or --ocsp, every certificate of the path needs a CRL or a response that speaks for
it and is not out of date. Exits with 1 if the answer is no: the reason is named, and the certificate
that it lies in.")]
    Verify(Box<VerifyCert>),
}

#[derive(Args, Debug)]
pub(crate) struct VerifyCert {
    /// The certificate, PEM or DER; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Trust anchors
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) roots: Vec<PathBuf>,
    /// Certificates that may be on the path, or sign CRLs
    #[arg(long, value_name = "FILE")]
    pub(crate) intermediates: Vec<PathBuf>,
    /// CRLs: full, delta or indirect, PEM or DER
    #[arg(long = "crl", value_name = "FILE")]
    pub(crate) crls: Vec<PathBuf>,
    /// OCSP responses, DER
    #[arg(long = "ocsp", value_name = "FILE")]
    pub(crate) responses: Vec<PathBuf>,
    /// How long after its time a CRL or response still counts: `1h`
    #[arg(long, value_name = "DURATION", default_value = "0s",
          value_parser = touchstone_policy::parse_duration)]
    pub(crate) grace: Duration,
    /// What it is to be good for: endorsement-key, device-identity, tls-client, tls-server,
    /// code-signing, ocsp-signing, any
    #[arg(long, value_name = "PURPOSE", default_value = "any")]
    pub(crate) purpose: String,
    /// A name that it must have: a host, an address, `email:MAILBOX` or `uri:URI`
    #[arg(long = "name", value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// A certificate policy of which one must hold for the whole path
    #[arg(long = "policy", value_name = "OID")]
    pub(crate) policies: Vec<String>,
    /// The moment to judge by: `2026-11-28T12:00:00Z`, or seconds since 1970; now if not given
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Ocsp {
    /// Ask a responder whether a certificate was revoked
    #[command(after_help = "\
Examples:
  touchstone ocsp query gateway.pem --issuer issuing.pem
  touchstone ocsp query gateway.pem --issuer issuing.pem --url http://ocsp.plant.example/ \\
      --out gateway.ocsp
  touchstone cert verify gateway.pem --roots root.pem --intermediates issuing.pem \\
      --ocsp gateway.ocsp

Asks the responder that the certificate names, or --url. The response is believed if the issuer, or a
responder that the issuer certified, signed it for this certificate and this moment, and it repeats
the nonce. Exits with 0 if the certificate is good, with 1 if it is revoked or unknown.")]
    Query {
        /// The certificate, PEM or DER
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Its issuer's certificate
        #[arg(long, value_name = "FILE")]
        issuer: PathBuf,
        /// The responder, if not the one that the certificate names
        #[arg(long, value_name = "URL")]
        url: Option<String>,
        /// Send no nonce: for responders that sign their answers beforehand (RFC 5019)
        #[arg(long)]
        no_nonce: bool,
        /// Keep the response, DER
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Answer for the CA in a folder, until told to end
    #[command(after_help = "\
Examples:
  touchstone ocsp serve plant-ca --listen 127.0.0.1:8889
  touchstone ca issue plant-ca --request ocsp.csr --profile ocsp-signing --out ocsp.pem
  touchstone ocsp serve plant-ca --responder ocsp.pem --key file:ocsp.key

Prints its address. Answers GET and POST, with the nonce that was asked with, from the CA's records as
they are at that moment. A responder of its own lets the CA's key stay elsewhere.")]
    Serve {
        /// The CA's folder
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Where to listen; port 0 takes a free one
        #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8889")]
        listen: std::net::SocketAddr,
        /// A responder that the CA has certified, PEM; the CA itself if not given
        #[arg(long, value_name = "FILE", requires = "key")]
        responder: Option<PathBuf>,
        /// The responder's key: `file:PATH`
        #[arg(long, value_name = "file:PATH", requires = "responder")]
        key: Option<String>,
        /// For how many minutes an answer holds
        #[arg(long, value_name = "NUMBER", default_value_t = 60,
            value_parser = clap::value_parser!(u64).range(1..=10_080))]
        minutes: u64,
    },
}
