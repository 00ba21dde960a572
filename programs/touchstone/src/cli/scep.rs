//! The words of `touchstone scep`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Where the SCEP server is.
#[derive(Args, Debug)]
pub(crate) struct Server {
    /// The SCEP server: `http://HOST:PORT/PATH`. Plain http, since SCEP protects its messages itself
    #[arg(long, value_name = "URL")]
    pub(crate) url: String,
    /// Which of its CAs, when it has several
    #[arg(long = "ca-id", value_name = "NAME")]
    pub(crate) ca_id: Option<String>,
}

/// What a message needs.
#[derive(Args, Debug)]
pub(crate) struct Enrolling {
    #[command(flatten)]
    pub(crate) server: Server,
    /// The CA's certificates, PEM, as `scep cacert` writes them; compare their fingerprints first
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: PathBuf,
    /// How long to ask again while somebody decides
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) wait: u64,
    /// What to write, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Scep {
    /// What a SCEP server says it can do
    #[command(after_help = "\
Example:
  touchstone scep caps --url http://ca.plant.example/scep

Exits with 1 when it cannot do AES and SHA-256: nothing weaker is spoken here.")]
    Caps {
        #[command(flatten)]
        server: Server,
    },
    /// The certificates of a SCEP server's CA, with their fingerprints
    #[command(after_help = "\
Example:
  touchstone scep cacert --url http://ca.plant.example/scep --out ca.pem

Nobody has signed the answer: compare the fingerprint with one that came another way.")]
    Cacert {
        #[command(flatten)]
        server: Server,
        /// Where to put them, PEM
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// A first certificate for an RSA key
    #[command(after_help = "\
Example:
  openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out pump-3.key
  touchstone scep enroll --url http://ca.plant.example/scep --ca ca.pem --subject CN=pump-3 \\
      --key file:pump-3.key --challenge file:challenge --out pump-3.pem

SCEP encrypts its replies to the key by RSA, so the key is RSA and in a file.")]
    Enroll {
        #[command(flatten)]
        with: Enrolling,
        /// The name to be certified
        #[arg(long, value_name = "NAME")]
        subject: String,
        /// The private key, PKCS#8 PEM: `file:PATH`
        #[arg(long, value_name = "file:PATH")]
        key: String,
        /// The challenge that the CA's operator gave: `file:PATH`
        #[arg(long, value_name = "file:PATH")]
        challenge: Option<String>,
    },
    /// The certificates of the CA to come, which the CA that is has signed
    #[command(
        name = "next-cacert",
        after_help = "\
Example:
  touchstone scep next-cacert --url http://ca.plant.example/scep --ca ca.pem --out next.pem"
    )]
    NextCacert {
        #[command(flatten)]
        server: Server,
        /// The CA's certificates, PEM, as `scep cacert` writes them
        #[arg(long, value_name = "FILE")]
        ca: PathBuf,
        /// Where to put them, PEM
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// The revocation list that would have a certificate
    #[command(after_help = "\
Example:
  touchstone scep crl --url http://ca.plant.example/scep --ca ca.pem --cert pump-3.pem \\
      --key file:pump-3.key --out ca.crl.pem

Exits with 1 when the list is not by one of the CAs, or is stale.")]
    Crl {
        #[command(flatten)]
        with: Enrolling,
        /// The certificate that asks, PEM
        #[arg(long, value_name = "FILE")]
        cert: PathBuf,
        /// Its private key: `file:PATH`
        #[arg(long, value_name = "file:PATH")]
        key: String,
        /// Whose revocation it is about, if not its own, PEM
        #[arg(long, value_name = "FILE")]
        of: Option<PathBuf>,
    },
    /// A certificate that the CA issued, by its serial number
    #[command(after_help = "\
Example:
  touchstone scep cert --url http://ca.plant.example/scep --ca ca.pem --cert pump-3.pem \\
      --key file:pump-3.key --serial 5f1c08.. --out pump-4.pem")]
    Cert {
        #[command(flatten)]
        with: Enrolling,
        /// The certificate that asks, PEM
        #[arg(long, value_name = "FILE")]
        cert: PathBuf,
        /// Its private key: `file:PATH`
        #[arg(long, value_name = "file:PATH")]
        key: String,
        /// The serial number, hexadecimal
        #[arg(long, value_name = "HEX")]
        serial: String,
    },
    /// A certificate for a new key after one that there is
    #[command(after_help = "\
Example:
  touchstone scep renew --url http://ca.plant.example/scep --ca ca.pem --cert pump-3.pem \\
      --key file:pump-3.key --new-key file:pump-3.next.key --out pump-3.next.pem")]
    Renew {
        #[command(flatten)]
        with: Enrolling,
        /// The certificate that there is, PEM
        #[arg(long, value_name = "FILE")]
        cert: PathBuf,
        /// Its private key: `file:PATH`
        #[arg(long, value_name = "file:PATH")]
        key: String,
        /// The new private key: `file:PATH`
        #[arg(long = "new-key", value_name = "file:PATH")]
        new_key: String,
    },
}
