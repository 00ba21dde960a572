//! The words of `touchstone cms`.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Where keys that are no files live.
#[derive(Args, Debug)]
pub(crate) struct Held {
    /// The element that `element:` keys are on: tpm:/dev/tpmrm0, software:DIR?secret=file:PATH
    #[arg(long = "element", value_name = "WHERE", env = "TOUCHSTONE_ELEMENT")]
    pub(crate) at: Option<String>,
    /// Where the files of a TPM's keys are
    #[arg(
        long,
        value_name = "DIR",
        env = "TOUCHSTONE_ELEMENT_STATE",
        default_value = "/var/lib/touchstone/element"
    )]
    pub(crate) state: PathBuf,
}

/// How content is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cipher {
    #[value(name = "aes-128-gcm")]
    Aes128Gcm,
    #[value(name = "aes-256-gcm")]
    Aes256Gcm,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Cms {
    /// Sign a file, by one or several
    #[command(after_help = "\
Examples:
  touchstone cms sign firmware.bin --detached --out firmware.p7s \\
      --signer build.pem=file:build.key --signer release.pem=element:tpm/release
  touchstone cms sign report.txt --signer me.pem=file:me.key --out report.p7m

A key is a PKCS#8 file (`file:PATH`) or one that never leaves its element (`element:tpm/NAME`,
`element:software/NAME`, `pkcs11:...`). Files of any size; several signers name each other, so that
none can be taken out unseen.")]
    Sign {
        /// What is signed
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Who signs: the certificate (PEM) and the key
        #[arg(long = "signer", value_name = "CERT=KEY", required = true)]
        signers: Vec<String>,
        /// Leave the content where it is, and write the signatures alone
        #[arg(long)]
        detached: bool,
        /// RSA keys sign by RSASSA-PSS
        #[arg(long)]
        pss: bool,
        /// The type of the content, an object identifier
        #[arg(long = "type", value_name = "OID", default_value = touchstone_cms::DATA)]
        content_type: String,
        #[command(flatten)]
        held: Held,
        /// The envelope to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Say who signed, and whether all of it is good; write the content only then
    #[command(after_help = "\
Examples:
  touchstone cms verify firmware.p7s --content firmware.bin --trust release-ca.pem
  touchstone cms verify report.p7m --trust me.pem --out report.txt

Everybody who signed has to be one of the certificates in --trust, or lead to a CA among them.")]
    Verify {
        /// The envelope, in DER or BER
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The content, when it is not inside
        #[arg(long, value_name = "FILE")]
        content: Option<PathBuf>,
        /// Whose signatures count: certificates, PEM; a CA's stands for those below it
        #[arg(long, value_name = "FILE", required = true)]
        trust: PathBuf,
        /// Further certificates, PEM, for when the signers' are not inside
        #[arg(long, value_name = "FILE")]
        certs: Option<PathBuf>,
        /// At least as many have to have signed
        #[arg(long, value_name = "NUMBER", default_value_t = 1)]
        signatures: usize,
        /// Where to put the content from inside
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Encrypt a file so that only the holders of these certificates can open it
    #[command(after_help = "\
Example:
  touchstone cms encrypt secrets.tar --to gateway-17.pem --to operator.pem --out secrets.p7m

RSA keys are encrypted to by RSAES-OAEP, P-256 to P-521 by ECDH, ML-KEM keys by encapsulation. Up to
256 MB, in memory: nothing of a file is given out before all of it is known to be unchanged.")]
    Encrypt {
        /// What is encrypted
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Who can open it: a certificate, PEM
        #[arg(long, value_name = "FILE", required = true)]
        to: Vec<PathBuf>,
        /// How the content is encrypted
        #[arg(long, value_enum, default_value = "aes-256-gcm")]
        cipher: Cipher,
        /// The envelope to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Open a file that was encrypted to you
    #[command(after_help = "\
Examples:
  touchstone cms decrypt secrets.p7m --cert gateway-17.pem --key element:tpm/opener --out secrets.tar
  touchstone cms decrypt old.p7m --legacy --cert me.pem --key file:me.key --out old.txt")]
    Decrypt {
        /// The envelope, in DER or BER
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Your certificate, PEM
        #[arg(long, value_name = "FILE")]
        cert: PathBuf,
        /// Your key: `file:PATH`, `element:KIND/NAME` or a pkcs11: URI
        #[arg(long, value_name = "KEY")]
        key: String,
        /// Also open what only old peers make: AES-CBC, RSAES-PKCS1-v1_5, SHA-1 in key derivation.
        /// Nothing shows whether such a file was changed
        #[arg(long)]
        legacy: bool,
        #[command(flatten)]
        held: Held,
        /// The file to write; only its owner may read it
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Say what an envelope says of itself; believes nothing
    #[command(after_help = "\
Example:
  touchstone cms show firmware.p7s --json | jq .signers")]
    Show {
        /// The envelope, in DER or BER
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}
