//! The words of `touchstone element`.

mod nv;

pub(crate) use nv::{Authorization, Lock, Lockout, Nv};

use clap::{Args, Subcommand};
use std::path::PathBuf;
use touchstone_crypto::{HashAlgorithm, SignatureAlgorithm};
use touchstone_element::{KeyAlgorithm, KeyUse, PcrSelection};

/// Which element, and what of it.
#[derive(Args, Debug)]
pub(crate) struct Element {
    /// Which: tpm:/dev/tpmrm0, tpm-unix:PATH, tpm-tcp:ADDRESS:PORT, software:DIR?secret=file:PATH, or
    /// a pkcs11: URI
    #[arg(
        long = "element",
        global = true,
        value_name = "WHERE",
        env = "TOUCHSTONE_ELEMENT",
        default_value = "tpm:/dev/tpmrm0"
    )]
    pub(crate) at: String,
    /// Where the files of a TPM's keys are
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "TOUCHSTONE_ELEMENT_STATE",
        default_value = "/var/lib/touchstone/element"
    )]
    pub(crate) state: PathBuf,
    #[command(subcommand)]
    pub(crate) verb: ElementVerb,
}

#[derive(Subcommand, Debug)]
pub(crate) enum ElementVerb {
    /// What the element is, what it can do, and how it is
    #[command(after_help = "\
Examples:
  touchstone element info
  touchstone element --element tpm-unix:/run/swtpm.sock info --json | jq .abilities")]
    Info,
    /// Keys that never leave the element
    #[command(subcommand)]
    Keys(Keys),
    /// Platform Configuration Registers
    #[command(subcommand)]
    Pcr(Pcr),
    /// Random octets from the element
    #[command(after_help = "\
Examples:
  touchstone element random 32
  touchstone element random 32 --out seed.bin")]
    Random {
        /// How many, 1 to 65536
        #[arg(value_name = "OCTETS", value_parser = clap::value_parser!(u32).range(1..=65536))]
        octets: u32,
        /// A new file for them; else they are shown in hexadecimal
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Seal a secret to this element, and to the state of the device
    #[command(after_help = "\
Examples:
  touchstone element seal secret.bin --out secret.sealed
  touchstone element seal secret.bin --pcr sha256:7,11 --out secret.sealed
  pwgen -s 32 1 | touchstone element seal - --password file:pin --out disk.sealed")]
    Seal {
        /// The secret; `-` is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// It comes out only while these registers are as they are now: `sha256:0,7`
        #[arg(long, value_name = "BANK:LIST", value_parser = registers)]
        pcr: Option<PcrSelection>,
        /// It comes out only with this password
        #[arg(long, value_name = "file:PATH")]
        password: Option<String>,
        /// The file to write; it is no secret
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Get a sealed secret back
    #[command(after_help = "\
Example:
  touchstone element unseal disk.sealed --password file:pin --out /run/disk.key

Exits with 1 if the device is in another state, the password is another, or another element sealed
it. A wrong password counts towards the element's lockout, so it is tried once.")]
    Unseal {
        /// What `seal` wrote
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Its password
        #[arg(long, value_name = "file:PATH")]
        password: Option<String>,
        /// The file to write, for its owner only; else standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// A signed statement of the registers
    #[command(after_help = "\
Examples:
  touchstone element keys create ak --use attest
  touchstone element quote ak --pcr sha256:0,1,2,3,4,5,6,7 --nonce 00112233 --out boot
  tpm2_checkquote -u ak.pem -m boot.attest -s boot.signature -q 00112233

The statement is checked here before it is shown: its signature, its nonce, and the registers.")]
    Quote {
        /// A key of use `attest`
        #[arg(value_name = "KEY")]
        key: String,
        /// Which registers: `sha256:0,7`
        #[arg(long, value_name = "BANK:LIST", value_parser = registers)]
        pcr: PcrSelection,
        /// The freshness that the verifier asked for, in hexadecimal, at most 64 octets
        #[arg(long, value_name = "HEX", value_parser = hex_octets, default_value = "")]
        nonce: Octets,
        /// Write PREFIX.attest and PREFIX.signature
        #[arg(long, value_name = "PREFIX")]
        out: Option<PathBuf>,
    },
    /// Indices in a TPM's own storage
    #[command(subcommand)]
    Nv(Nv),
    /// Have a TPM test itself
    #[command(after_help = "\
Examples:
  touchstone element selftest
  touchstone element selftest --full --json

Exits with 1 if something in the TPM is broken.")]
    Selftest {
        /// Everything anew, not only what was not tested since the start
        #[arg(long)]
        full: bool,
    },
    /// Whether wrong passwords locked a TPM, and its end
    #[command(after_help = "\
Examples:
  touchstone element lockout
  touchstone element lockout reset --password file:lockout.pin")]
    Lockout {
        #[command(subcommand)]
        verb: Option<Lockout>,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum Keys {
    /// Every key, its kind and its use
    #[command(after_help = "\
Example:
  touchstone element keys list --json")]
    List,
    /// A key's public part, PEM
    #[command(after_help = "\
Example:
  touchstone element keys show ldevid > ldevid.pub.pem")]
    Show {
        /// Its name
        name: String,
    },
    /// Make a key inside the element
    #[command(after_help = "\
Examples:
  touchstone element keys create web
  touchstone element keys create vault --use decrypt --algorithm rsa-3072
  touchstone element keys create boot-only --pcr sha256:7

`touchstone element info` lists the algorithms that the element has.")]
    Create {
        /// Its name: 1 to 64 of a-z, 0-9, `-` and `_`
        name: String,
        /// What it may do: sign, attest, decrypt, agree, decapsulate, mac
        #[arg(long = "use", value_name = "USE", value_parser = key_use, default_value = "sign")]
        key_use: KeyUse,
        /// What kind: p-256, p-384, rsa-2048, ed25519, ml-dsa-65, ...
        #[arg(long, value_name = "NAME", value_parser = key_algorithm, default_value = "p-256")]
        algorithm: KeyAlgorithm,
        /// It works only while these registers are as they are now
        #[arg(long, value_name = "BANK:LIST", value_parser = registers)]
        pcr: Option<PcrSelection>,
    },
    /// Take a key over that was made elsewhere
    #[command(after_help = "\
Example:
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out web.key
  touchstone element keys import web --key file:web.key && shred -u web.key

Whoever saw the file still has the key: prefer `keys create`.")]
    Import {
        /// Its name in the element
        name: String,
        /// What it may do
        #[arg(long = "use", value_name = "USE", value_parser = key_use, default_value = "sign")]
        key_use: KeyUse,
        /// What kind
        #[arg(long, value_name = "NAME", value_parser = key_algorithm, default_value = "p-256")]
        algorithm: KeyAlgorithm,
        /// PKCS#8 in PEM, or the raw octets of a symmetric key
        #[arg(long, value_name = "file:PATH")]
        key: String,
    },
    /// Sign a file
    #[command(after_help = "\
Example:
  touchstone element keys sign web firmware.bin --out firmware.sig
  openssl dgst -sha256 -verify web.pub.pem -signature firmware.sig firmware.bin")]
    Sign {
        /// The key
        name: String,
        /// The message; `-` is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// How: the key's usual way unless said
        #[arg(long, value_name = "NAME", value_parser = signature_algorithm)]
        algorithm: Option<SignatureAlgorithm>,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Give a key another name, replacing the key that had it
    #[command(after_help = "\
Example:
  touchstone element keys create web-new && touchstone element keys rename web-new web")]
    Rename {
        /// The name it has
        name: String,
        /// The name it gets
        to: String,
    },
    /// Forget a key. What it protected is lost
    #[command(after_help = "\
Example:
  touchstone element keys delete web")]
    Delete {
        /// Its name
        name: String,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum Pcr {
    /// Their values
    #[command(after_help = "\
Examples:
  touchstone element pcr read
  touchstone element pcr read sha384:0,2,4,7 --json")]
    Read {
        /// Which; all of every bank unless said
        #[arg(value_name = "BANK:LIST", value_parser = registers)]
        selection: Option<PcrSelection>,
    },
    /// Measure a file into a register: nothing takes it back before the next boot
    #[command(after_help = "\
Example:
  touchstone element pcr extend 16 config.toml")]
    Extend {
        /// The register
        #[arg(value_parser = clap::value_parser!(u8).range(0..24))]
        pcr: u8,
        /// What is measured, in every bank; `-` is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Octets that were given in hexadecimal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Octets(pub(crate) Vec<u8>);

pub(super) fn hex_octets(text: &str) -> Result<Octets, String> {
    let even = text.len().is_multiple_of(2);
    if !even || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
        return Err("write two hexadecimal digits for each octet".to_owned());
    }
    let pair = |at: usize| text.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    let octets: Option<Vec<u8>> = (0..text.len()).step_by(2).map(pair).collect();
    octets.map(Octets).ok_or_else(|| "not hexadecimal".to_owned())
}

pub(super) fn registers(text: &str) -> Result<PcrSelection, String> {
    const FORM: &str = "write the bank and the registers: `sha256:0,2,7`";
    let (bank, list) = text.split_once(':').ok_or(FORM)?;
    let algorithm = HashAlgorithm::from_name(bank)
        .ok_or_else(|| format!("no bank `{bank}`; banks are sha1, sha256, sha384, sha512"))?;
    let mut pcrs = Vec::new();
    for item in list.split(',') {
        let (from, to) = item.split_once('-').unwrap_or((item, item));
        let number = |text: &str| {
            text.parse::<u8>().ok().filter(|pcr| *pcr < 24).ok_or("registers are 0 to 23")
        };
        pcrs.extend(number(from)?..=number(to)?);
    }
    if pcrs.is_empty() {
        return Err(FORM.to_owned());
    }
    Ok(PcrSelection::new(algorithm, &pcrs))
}

/// The one of that name, or what there is.
fn by_name<T: Copy>(text: &str, all: &[T], name: impl Fn(T) -> &'static str) -> Result<T, String> {
    all.iter().copied().find(|one| name(*one) == text).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|one| name(*one)).collect();
        format!("there are: {}", names.join(", "))
    })
}

fn key_use(text: &str) -> Result<KeyUse, String> {
    by_name(text, KeyUse::ALL, KeyUse::name)
}

fn key_algorithm(text: &str) -> Result<KeyAlgorithm, String> {
    by_name(text, KeyAlgorithm::ALL, KeyAlgorithm::name)
}

fn signature_algorithm(text: &str) -> Result<SignatureAlgorithm, String> {
    by_name(text, &SignatureAlgorithm::ALL, SignatureAlgorithm::name)
}
