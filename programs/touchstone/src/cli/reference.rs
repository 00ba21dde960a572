//! The words of `touchstone reference`.

use super::Signatory;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;
use touchstone_crypto::HashAlgorithm;

#[derive(Subcommand, Debug)]
pub(crate) enum Reference {
    /// Sign reference values for one version of a component
    #[command(after_help = "\
Examples:
  touchstone reference sign --tenant plant --component boot --version 3 \\
      --boot-image \"gateway image 3=uki.efi\" --command-line \"quiet ima_policy=tcb\" \\
      --secure-boot-key db=db.pem --secure-boot-key kek=kek.pem --secure-boot-key pk=pk.pem \\
      --cert publisher.pem --key file:publisher.key --out boot-3.references
  touchstone reference sign --tenant plant --component application --version 2 \\
      --file /data/app/pump=build/pump --scope /data/app/ \\
      --cert publisher.pem --key file:publisher.key --out application-2.references")]
    Sign(Box<SignReference>),
    /// Work reference values out of what is installed, packaged or recorded, and sign them
    #[command(after_help = "\
Examples:
  # Every file of an image that is mounted, with the code of its programs
  touchstone reference build --root /mnt/image --exclude /var/ --tenant plant --component os \\
      --version 12 --cert publisher.pem --key file:publisher.key --out os-12.references
  # What dpkg has installed there, or packages as they are
  touchstone reference build --dpkg /mnt/image/var/lib/dpkg ...
  touchstone reference build --dpkg pump_2.1_amd64.deb ...
  # rpm: a database, or packages
  touchstone reference build --rpm /mnt/image/var/lib/rpm ...
  # A unified kernel image, and the registers that a boot of it leads to
  touchstone reference build --uki gateway.efi \\
      --efi-variable pk=PK.esl --efi-variable kek=KEK.esl --efi-variable db=db.esl \\
      --efi-variable dbx=dbx.esl --signed-by db.pem --phase ready ...
  # Signature first: what Acme signed is good, wherever it lies below /usr/
  touchstone reference build --publisher Acme=acme-ima.pem --publisher-path Acme=/usr/ ...
  # A device that is good now: its logs, proven by its quote
  touchstone reference build --quote q.msg --signature q.sig --pcrs q.pcrs --ak ak.pub --nonce 0a1b.. \\
      --event-log binary_bios_measurements --ima-log binary_runtime_measurements ...

Version 12 leaves lower versions as good as they were. With --grace 14d they are good for two weeks
more, with --outdated 30d known for 30 days after that, and then unknown.
What nobody released but a device showed is marked as recorded.")]
    Build(Box<BuildReference>),
    /// Take reference values over from Keylime or a CoRIM, and sign them
    #[command(after_help = "\
Examples:
  touchstone reference import keylime runtime-policy.json --tenant plant --component os --version 12 \\
      --cert publisher.pem --key file:publisher.key --out os-12.references
  touchstone reference import corim firmware.corim --signer vendor.pem --boot-images ...

A file is taken over whole or not at all: what has no counterpart is named.")]
    Import(Box<ImportReference>),
    /// Write signed reference values as others read them
    #[command(after_help = "\
Examples:
  touchstone reference export corim boot-3.references --signer publisher.pem \\
      --cert publisher.pem --key file:publisher.key --out boot-3.corim

What CoRIM has no words for (publishers, which files are judged, code in memory, what was only
recorded, grace) is named, and nothing is written; --partly leaves it out.")]
    Export(Box<ExportReference>),
    /// Say which devices are judged by which sets, and what is different on them
    #[command(after_help = "\
Examples:
  touchstone reference assign --tenant plant --name line-a --version 1 --device 'gateway-a-*' \\
      --set os --set application --file /etc/hostname=hostname \\
      --cert publisher.pem --key file:publisher.key --out line-a.assignment

Devices that no assignment names are judged by every set. A set is named by its component, so that
the next version of it counts as well, or by its id (sha256:...), as `reference show` prints it.")]
    Assign(Box<AssignReference>),
    /// Say what a signed file of reference values holds, and whether its signature is good
    #[command(after_help = "\
Examples:
  touchstone reference show boot-3.references
  touchstone reference show boot-3.references --signer publisher.pem --json | jq .document.values")]
    Show {
        /// The signed file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Who must have signed it: certificates, PEM; a CA's stands for those below it
        #[arg(long, value_name = "FILE")]
        signer: Option<PathBuf>,
        /// Which values of it a policy never reads: a value that nobody reads is an error
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
    },
}

/// What a document is called, how long it counts, and where it goes.
#[derive(Args, Debug)]
pub(crate) struct About {
    /// Whose devices it is for
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: String,
    /// The component that it describes
    #[arg(long, value_name = "NAME")]
    pub(crate) component: String,
    /// The component's version
    #[arg(long, value_name = "NUMBER")]
    pub(crate) version: u64,
    /// How long lower versions stay as good: `14d`; without it for ever
    #[arg(long, value_name = "DURATION", value_parser = touchstone_policy::parse_duration)]
    pub(crate) grace: Option<Duration>,
    /// How long lower versions are known after that, as outdated
    #[arg(long, value_name = "DURATION", value_parser = touchstone_policy::parse_duration, requires = "grace")]
    pub(crate) outdated: Option<Duration>,
    /// How long the values count; without it until a higher version supersedes them
    #[arg(long, value_name = "DURATION", value_parser = touchstone_policy::parse_duration)]
    pub(crate) valid_for: Option<Duration>,
    #[command(flatten)]
    pub(crate) by: Signatory,
    /// The signed file to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct SignReference {
    /// A document in JSON whose values are taken over, as `reference show --json` prints it
    #[arg(long, value_name = "FILE")]
    pub(crate) values: Option<PathBuf>,
    /// An image that the firmware may load: a name for people, and the PE file; of a unified kernel
    /// image also its sections and the command line in it
    #[arg(long = "boot-image", value_name = "NAME=FILE")]
    pub(crate) boot_images: Vec<String>,
    /// Something that is measured as it is: an initrd
    #[arg(long = "measurement", value_name = "NAME=FILE")]
    pub(crate) measurements: Vec<String>,
    /// A certificate (PEM) that may be in PK, KEK or db
    #[arg(long = "secure-boot-key", value_name = "pk|kek|db=FILE")]
    pub(crate) secure_boot_keys: Vec<String>,
    /// What dbx has to revoke: signature lists, or an update as UEFI publishes it (dbxupdate.bin)
    #[arg(long = "revocations", value_name = "FILE")]
    pub(crate) revocations: Vec<PathBuf>,
    /// A command line that the kernel may be given
    #[arg(long = "command-line", value_name = "TEXT")]
    pub(crate) command_lines: Vec<String>,
    /// A firmware by the PCR 0 that it leads to
    #[arg(long = "firmware", value_name = "NAME=sha256:HEX")]
    pub(crate) firmware: Vec<String>,
    /// A file: its path on the device, and its content here; of ELF files also the code in memory
    #[arg(long = "file", value_name = "PATH=FILE")]
    pub(crate) files: Vec<String>,
    /// A folder on the device all of whose measured files are among the references
    #[arg(long = "scope", value_name = "PREFIX")]
    pub(crate) scopes: Vec<String>,
    #[command(flatten)]
    pub(crate) about: About,
}

#[derive(Args, Debug)]
pub(crate) struct BuildReference {
    /// A root file system: every regular file in it, but not what is mounted in it
    #[arg(long = "root", value_name = "DIR")]
    pub(crate) roots: Vec<PathBuf>,
    /// dpkg's database (DIR/var/lib/dpkg): the files of installed packages, hashed as they lie
    /// there; or a package (.deb): the files in it
    #[arg(long = "dpkg", value_name = "DIR|FILE")]
    pub(crate) dpkg: Vec<PathBuf>,
    /// rpm's database (DIR/var/lib/rpm) or a package (.rpm): the digests that packages carry
    #[arg(long = "rpm", value_name = "DIR|FILE")]
    pub(crate) rpm: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) images: Images,
    #[command(flatten)]
    pub(crate) recorded: RecordedBoot,
    /// Who signs files: a name for policies, and their certificate (PEM)
    #[arg(long = "publisher", value_name = "NAME=FILE")]
    pub(crate) publishers: Vec<String>,
    /// Where files of a publisher may be; everywhere if nothing is said
    #[arg(long = "publisher-path", value_name = "NAME=PREFIX")]
    pub(crate) publisher_paths: Vec<String>,
    /// Leave out what lies below: /var/log/
    #[arg(long = "exclude", value_name = "PREFIX")]
    pub(crate) excludes: Vec<String>,
    /// A folder on the device all of whose measured files are among the references
    #[arg(long = "scope", value_name = "PREFIX")]
    pub(crate) scopes: Vec<String>,
    /// How IMA hashes files on the device (`ima_hash=`)
    #[arg(long, value_name = "NAME", default_value = "sha256")]
    pub(crate) algorithm: Algorithm,
    /// Take files over although they are not as their package says
    #[arg(long)]
    pub(crate) take_changed: bool,
    #[command(flatten)]
    pub(crate) about: About,
}

/// Unified kernel images, and what decides what a boot of them measures.
#[derive(Args, Debug)]
pub(crate) struct Images {
    /// A unified kernel image: what it is measured as, and the registers that a boot of it leads to
    /// (PCR 4, 9, 11 to 13 and, with --efi-variable, 7)
    #[arg(long = "uki", value_name = "FILE")]
    pub(crate) ukis: Vec<PathBuf>,
    /// An image that the firmware loads before it, in their order: shim, a boot manager
    #[arg(long = "loader", value_name = "FILE", requires = "ukis")]
    pub(crate) loaders: Vec<PathBuf>,
    /// What the kernel is given as initrd, if it is not what is in the image
    #[arg(long, value_name = "FILE", requires = "ukis")]
    pub(crate) initrd: Option<PathBuf>,
    /// The command line of the boot entry; with Secure Boot it counts only if the image has none
    #[arg(long, value_name = "TEXT", requires = "ukis")]
    pub(crate) command_line: Option<String>,
    /// The last phase that systemd has measured into PCR 11 when a device quotes: enter-initrd,
    /// leave-initrd, sysinit, ready; several if devices quote at several; none if nothing measures them
    #[arg(long = "phase", value_name = "PHASE", requires = "ukis")]
    pub(crate) phases: Vec<String>,
    /// A variable of Secure Boot as the firmware holds it, from efivarfs or as a signature list
    #[arg(long = "efi-variable", value_name = "pk|kek|db|dbx=FILE", requires_all = ["ukis", "signed_by"])]
    pub(crate) efi_variables: Vec<String>,
    /// The certificate in db (PEM) that the images are verified with
    #[arg(long, value_name = "FILE", requires = "efi_variables")]
    pub(crate) signed_by: Option<PathBuf>,
    /// The bank of PCRs that devices quote
    #[arg(long, value_name = "NAME", default_value = "sha256")]
    pub(crate) bank: Algorithm,
}

/// A device that is good now.
#[derive(Args, Debug)]
pub(crate) struct RecordedBoot {
    /// What it quoted (`tpm2_quote --message`): proves its logs
    #[arg(long, value_name = "FILE", requires_all = ["signature", "pcrs", "ak", "nonce"])]
    pub(crate) quote: Option<PathBuf>,
    /// The quote's signature (`tpm2_quote --signature`)
    #[arg(long, value_name = "FILE", requires = "quote")]
    pub(crate) signature: Option<PathBuf>,
    /// The PCR values (`tpm2_quote --pcr`)
    #[arg(long, value_name = "FILE", requires = "quote")]
    pub(crate) pcrs: Option<PathBuf>,
    /// The attestation key (`tpm2_readpublic`)
    #[arg(long, value_name = "FILE", requires = "quote")]
    pub(crate) ak: Option<PathBuf>,
    /// The nonce of the quote, in hexadecimal
    #[arg(long, value_name = "HEX", value_parser = super::element::hex_octets, requires = "quote")]
    pub(crate) nonce: Option<super::element::Octets>,
    /// Its event log
    #[arg(long, value_name = "FILE", requires = "quote")]
    pub(crate) event_log: Option<PathBuf>,
    /// Its IMA list
    #[arg(long, value_name = "FILE", requires = "quote")]
    pub(crate) ima_log: Option<PathBuf>,
}

/// A hash algorithm of IMA or of PCRs.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Algorithm {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl From<Algorithm> for HashAlgorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha1 => Self::Sha1,
            Algorithm::Sha256 => Self::Sha256,
            Algorithm::Sha384 => Self::Sha384,
            Algorithm::Sha512 => Self::Sha512,
        }
    }
}

/// Formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A runtime policy in JSON, or an allowlist in text
    Keylime,
    /// A concise reference integrity manifest (draft-ietf-rats-corim-11)
    Corim,
}

#[derive(Args, Debug)]
pub(crate) struct ImportReference {
    /// What the file is
    #[arg(value_name = "FORMAT")]
    pub(crate) format: Format,
    /// The file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Who may have signed the CoRIM: certificates, PEM; one that is not signed is read without
    #[arg(long, value_name = "FILE")]
    pub(crate) signer: Option<PathBuf>,
    /// Digests of a CoRIM's elements are those of boot images, not of other measurements
    #[arg(long)]
    pub(crate) boot_images: bool,
    #[command(flatten)]
    pub(crate) about: About,
}

/// Formats that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Written {
    /// A concise reference integrity manifest (draft-ietf-rats-corim-11), in COSE_Sign1
    Corim,
}

#[derive(Args, Debug)]
pub(crate) struct ExportReference {
    /// What to write
    #[arg(value_name = "FORMAT")]
    pub(crate) format: Written,
    /// Signed reference values
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Who must have signed them: certificates, PEM; a CA's stands for those below it
    #[arg(long, value_name = "FILE")]
    pub(crate) signer: PathBuf,
    /// Leave out what the format has no words for
    #[arg(long)]
    pub(crate) partly: bool,
    #[command(flatten)]
    pub(crate) by: Signatory,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct AssignReference {
    /// Whose devices it is for
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: String,
    /// Its name; a higher version of the same name replaces it
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// Its version
    #[arg(long, value_name = "NUMBER")]
    pub(crate) version: u64,
    /// A device's id; with `*` at its end every id that begins so
    #[arg(long = "device", value_name = "ID", required = true)]
    pub(crate) devices: Vec<String>,
    /// A set that counts for them: a component, or an id (sha256:...)
    #[arg(long = "set", value_name = "NAME")]
    pub(crate) sets: Vec<String>,
    /// A file that is good on them beside the sets
    #[arg(long = "file", value_name = "PATH=FILE")]
    pub(crate) files: Vec<String>,
    /// A document in JSON whose values are taken away from them
    #[arg(long, value_name = "FILE")]
    pub(crate) remove: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) by: Signatory,
    /// The signed file to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}
