//! The words of `touchstone est`.

use super::Held;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Where the EST server is, and who asks.
#[derive(Args, Debug)]
pub(crate) struct EstServer {
    /// The EST server: `https://HOST[:PORT]`
    #[arg(long, value_name = "URL")]
    pub(crate) url: String,
    /// Which of its CAs or profiles, when it has several
    #[arg(long, value_name = "NAME")]
    pub(crate) label: Option<String>,
    /// Trust anchors, PEM: who may have issued the server's certificate, and yours. Only `cacerts
    /// --fingerprint` goes without
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
    /// The certificate to show in TLS, PEM with its chain
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// Its key: `file:PATH` (PKCS#8 PEM), `element:tpm/NAME`, `pkcs11:...`
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Who asks, by HTTP Digest or Basic
    #[arg(long, value_name = "NAME", requires = "password")]
    pub(crate) user: Option<String>,
    /// The password of --user: `file:PATH`
    #[arg(long, value_name = "file:PATH")]
    pub(crate) password: Option<String>,
    #[command(flatten)]
    pub(crate) held: Held,
}

/// What is asked for.
#[derive(Args, Debug)]
pub(crate) struct EstRequest {
    /// The name to be certified; may be left out where the server dictates it
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(crate) subject: String,
    /// A host, an address or a URI to be certified; may be given several times
    #[arg(long = "san", value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Do not ask first what the request has to contain
    #[arg(long)]
    pub(crate) no_csrattrs: bool,
    /// How often to come back while somebody decides
    #[arg(long, value_name = "NUMBER", default_value_t = 30)]
    pub(crate) retries: u32,
    /// The certificate to write, PEM, with those between it and its trust anchor
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// By what the TPM of this device says that the key to be certified lives in it.
#[derive(Args, Debug)]
pub(crate) struct EstProof {
    /// The attestation key of the element that has the key to be certified: `element:tpm/NAME`. It certifies
    /// that key in the request, and opens the credential by which a server has the TPM proven
    #[arg(long = "attest-key", value_name = "KEY")]
    pub(crate) attest_key: Option<String>,
    /// The id by which the server knows this device; the common name that is asked for otherwise
    #[arg(long = "device", value_name = "ID", requires = "attest_key")]
    pub(crate) device: Option<String>,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Est {
    /// The certificates of an EST server's CA
    #[command(after_help = "\
Examples:
  touchstone est cacerts --url https://ca.plant.example --trust roots.pem --out ca.pem
  touchstone est cacerts --url https://ca.plant.example --fingerprint 5f1c08.. --out ca.pem

Writes those that lead to a trust anchor, and new roots that an old one vouches for. Of a CA that is
not known yet give the SHA-256 of its certificate, which came another way: whatever answers is asked
then, and nothing is believed but that certificate and what it has signed. Go on with --trust ca.pem.")]
    Cacerts {
        #[command(flatten)]
        server: EstServer,
        /// The SHA-256 of the CA's certificate, by which it is known
        #[arg(long, value_name = "HEX")]
        fingerprint: Option<String>,
        /// Where to put them, PEM
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// What a request has to contain
    #[command(after_help = "\
Example:
  touchstone est csrattrs --url https://ca.plant.example --trust roots.pem")]
    Csrattrs {
        #[command(flatten)]
        server: EstServer,
    },
    /// A first certificate
    #[command(after_help = "\
Examples:
  touchstone est enroll --url https://ca.plant.example --trust roots.pem --subject CN=pump-3 \\
      --new-key file:pump-3.key --user pump-3 --password file:password --out pump-3.pem
  touchstone est enroll --url https://ca.plant.example --trust roots.pem --subject CN=pump-3 \\
      --cert idevid.pem --key element:tpm/idevid --new-key element:tpm/ldevid --out pump-3.pem
  touchstone est enroll --url https://ca.plant.example --trust roots.pem --subject CN=dev-17 \\
      --cert idevid.pem --key file:idevid.key --new-key element:tpm/ldevid \\
      --attest-key element:tpm/lak --element tpm:/dev/tpmrm0 --out dev-17.pem

The request contains what the server asks for, and is bound to the connection where it asks for that.
Redirects to other hosts are not followed.")]
    Enroll {
        #[command(flatten)]
        server: EstServer,
        /// The key to be certified: `file:PATH`, `element:tpm/NAME`, `pkcs11:...`
        #[arg(long = "new-key", value_name = "KEY")]
        new_key: String,
        #[command(flatten)]
        proof: EstProof,
        #[command(flatten)]
        request: EstRequest,
    },
    /// A certificate after the one that --cert and --key show
    #[command(after_help = "\
Example:
  touchstone est renew --url https://ca.plant.example --trust roots.pem --cert pump-3.pem \\
      --key file:pump-3.key --out pump-3.pem

Subject and names are those of the certificate. With --new-key it is for another key.")]
    Renew {
        #[command(flatten)]
        server: EstServer,
        /// The key to be certified, if not the same
        #[arg(long = "new-key", value_name = "KEY")]
        new_key: Option<String>,
        #[command(flatten)]
        proof: EstProof,
        #[command(flatten)]
        request: EstRequest,
    },
    /// A certificate and a key that the server makes
    #[command(after_help = "\
Example:
  touchstone est serverkeygen --url https://ca.plant.example --trust roots.pem --subject CN=pump-3 \\
      --user pump-3 --password file:password --out pump-3.pem --key-out pump-3.key

A key that others made was theirs first: better make your own. --encrypted takes it only encrypted to
the key of --cert.")]
    Serverkeygen {
        #[command(flatten)]
        server: EstServer,
        #[command(flatten)]
        request: EstRequest,
        /// Where to put the key, PKCS#8 PEM; only its owner reads it
        #[arg(long = "key-out", value_name = "FILE")]
        key_out: PathBuf,
        /// Take the key only encrypted to the key of --cert, which is a file
        #[arg(long, requires = "cert")]
        encrypted: bool,
    },
}
