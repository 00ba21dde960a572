//! The words of the command line. What they do is in the module of each noun.

mod appraise;
mod audit;
mod ca;
mod cert;
mod cms;
mod element;
mod enrolment;
mod est;
mod log;
mod reference;
mod respond;
mod scep;
mod token;

pub(crate) use appraise::{Appraise, Here};
pub(crate) use audit::{Audit, Filter};
pub(crate) use ca::{Ca, IssueCa};
pub(crate) use cert::{Cert, Ocsp, VerifyCert};
pub(crate) use cms::{Cipher, Cms, Held};
pub(crate) use element::{Authorization, Element, ElementVerb, Keys, Lock, Lockout, Nv, Pcr};
pub(crate) use enrolment::Enrolment;
pub(crate) use est::{Est, EstProof, EstRequest, EstServer};
pub(crate) use log::{BootLog, ImaLog, Log};
pub(crate) use reference::{
    About, AssignReference, BuildReference, ExportReference, Format, Images, ImportReference,
    RecordedBoot, Reference, SignReference, Written,
};
pub(crate) use respond::{Agent, Respond};
pub(crate) use scep::{Enrolling, Scep, Server};
pub(crate) use token::{Ear, Evidence};

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

const EXIT: &str = "\
Exit codes: 0 the answer is good, 1 the answer is no, 2 wrong usage, 3 could not tell.
Data goes to stdout, words to stderr; with --json the data is one object with a `schema`.";

/// Judge devices, check trust policies, verify audit logs, sign updates, reference values and files.
#[derive(Parser, Debug)]
#[command(name = "touchstone", version, after_help = EXIT, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) noun: Noun,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Noun {
    /// Devices of a fleet, and why each is trusted or not
    #[command(subcommand)]
    Device(Device),
    /// Enrolments that an operator of a fleet has to agree to: list, approve, refuse
    #[command(subcommand)]
    Enrolment(Enrolment),
    /// Trust policies: what a device has to prove
    #[command(subcommand)]
    Policy(Policy),
    /// Audit logs
    #[command(subcommand)]
    Audit(Audit),
    /// Update envelopes: what is installed, and who signed it
    #[command(subcommand)]
    Update(Update),
    /// Reference values: what is known to be good, and who says so
    #[command(subcommand)]
    Reference(Reference),
    /// Judge a device by a quote of its TPM and its logs, all of them files
    #[command(after_help = appraise::EXAMPLES)]
    Appraise(Box<Appraise>),
    /// Evidence: what a token (EAT) or a wrapper (CMW) in a file says
    #[command(subcommand)]
    Evidence(Evidence),
    /// Attestation results (EAR): what a verifier said about a device
    #[command(subcommand)]
    Ear(Ear),
    /// Envelopes (CMS): sign, verify, encrypt and decrypt files
    #[command(subcommand)]
    Cms(Cms),
    /// Certificates from a CA, over EST
    #[command(subcommand)]
    Est(Box<Est>),
    /// Certificates from CAs that speak nothing better than SCEP
    #[command(subcommand)]
    Scep(Scep),
    /// The secure element of this machine: its keys, registers, storage and state
    Element(Element),
    /// Certificates: what they say, and whether to believe them
    #[command(subcommand)]
    Cert(Cert),
    /// OCSP: whether a certificate was revoked
    #[command(subcommand)]
    Ocsp(Ocsp),
    /// A small certificate authority in a folder
    #[command(subcommand)]
    Ca(Ca),
    /// Countermeasures of the agent on this device: list, approve, take back
    #[command(subcommand)]
    Respond(Respond),
    /// Logs of measurements: what was measured, and what it leads to
    #[command(subcommand)]
    Log(Log),
}

/// How to reach a fleet.
#[derive(Args, Debug)]
pub(crate) struct Fleet {
    /// The fleet's operator API; http is for this machine only, https needs --roots
    #[arg(
        long = "fleet",
        value_name = "URL",
        env = "TOUCHSTONE_FLEET",
        default_value = "http://127.0.0.1:8080"
    )]
    pub(crate) url: String,
    /// Where the operator's token is: `file:PATH`
    #[arg(long, value_name = "file:PATH", env = "TOUCHSTONE_TOKEN")]
    pub(crate) token: Option<String>,
    /// Who may have issued the fleet's certificate, PEM; for https
    #[arg(long, value_name = "FILE", env = "TOUCHSTONE_ROOTS")]
    pub(crate) roots: Option<std::path::PathBuf>,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Device {
    /// Every device with its trust tier
    #[command(after_help = "\
Examples:
  touchstone device list --token file:/var/lib/touchstone-fleet/operator.token
  touchstone device list --token file:op.token --json | jq '.devices[] | select(.tier != \"affirming\")'

Good (0) however the devices fare; ask `device show` for one.")]
    List {
        #[command(flatten)]
        fleet: Fleet,
    },
    /// One device: its tier, and what each control of the policy found
    #[command(after_help = "\
Examples:
  touchstone device show gateway-17 --token file:op.token
  touchstone device show gateway-17 --token file:op.token >/dev/null && echo trusted

Exits with 0 if the device is affirming by a result that still counts, otherwise with 1.")]
    Show {
        /// The device's id, as `device list` shows it
        id: String,
        #[command(flatten)]
        fleet: Fleet,
    },
    /// Decide about a device's certificates for a while, whatever its verdict says
    #[command(subcommand)]
    Override(Override),
    /// Devices that are held back from countermeasures because too many were told to act
    #[command(subcommand)]
    Hold(Hold),
}

#[derive(Subcommand, Debug)]
pub(crate) enum Hold {
    /// Devices that are told to act; those that wait come first
    #[command(after_help = "\
Examples:
  touchstone device hold list --token file:op.token
  touchstone device hold list --token file:op.token --json | jq -r '.holds[] | select(.held) | .device'

How many devices are told to act within how long is [respond] of fleet.toml. One that waits keeps its
verdict: checkpoints let none of its flows through. Exits with 1 while any waits.")]
    List {
        #[command(flatten)]
        fleet: Fleet,
    },
    /// Let a device do what its verdict asks for
    #[command(after_help = "\
Example:
  touchstone device hold release gateway-17 --token file:op.token

It is told with its next result. Who released it stands in the audit log.")]
    Release {
        /// The device's id
        id: String,
        #[command(flatten)]
        fleet: Fleet,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum Override {
    /// Have certificates issued and none revoked, or none issued and all revoked
    #[command(after_help = "\
Examples:
  touchstone device override set gateway-17 --allow --for 2h --reason \"sensor exchanged on site\" --token file:op.token
  touchstone device override set gateway-17 --deny --for 7d --reason \"stolen, see ticket 4711\" --token file:op.token

It ends by itself. Who decided, why, and until when stands in the audit log. With --allow the device
still has to attest in time; only what the verdict says is passed over.")]
    Set {
        /// The device's id, as `device list` shows it
        id: String,
        /// Issue certificates though the verdict is no better, and revoke none
        #[arg(long, conflicts_with = "deny", required_unless_present = "deny")]
        allow: bool,
        /// Issue none, and revoke those that there are
        #[arg(long)]
        deny: bool,
        /// Why, for those who read it later
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// For how long: 30m, 2h, 7d; 30 days at the most
        #[arg(long = "for", value_name = "TIME")]
        lasting: String,
        #[command(flatten)]
        fleet: Fleet,
    },
    /// End the decision in force
    #[command(after_help = "\
Example:
  touchstone device override end gateway-17 --token file:op.token")]
    End {
        /// The device's id
        id: String,
        #[command(flatten)]
        fleet: Fleet,
    },
    /// Every decision, in force or over, newest first
    #[command(after_help = "\
Examples:
  touchstone device override list --token file:op.token
  touchstone device override list gateway-17 --token file:op.token --json")]
    List {
        /// The device's id; every device's otherwise
        id: Option<String>,
        #[command(flatten)]
        fleet: Fleet,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum Policy {
    /// Load policies as the fleet would, and show every fault
    #[command(after_help = "\
Examples:
  touchstone policy check gateway.policy
  gateway.policy:24:15: no claim named `boot.securebot`; did you mean `boot.secure-boot`?

  git show HEAD:gateway.policy | touchstone policy check -")]
    Check {
        /// Policies; `-` is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        words: Words,
    },
    /// Give policies their one layout, comments included
    #[command(after_help = "\
Examples:
  touchstone policy fmt gateway.policy
  touchstone policy fmt --check *.policy
  touchstone policy fmt - < gateway.policy

Files are laid out in place, standard input to standard output. With --check nothing is written, and
the answer is no (1) if a file would change.")]
    Fmt {
        /// Policies; `-` is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Only say which would change
        #[arg(long)]
        check: bool,
    },
    /// Run the tests that policies bring along, and those of their bases
    #[command(after_help = "\
Examples:
  touchstone policy test gateway.policy

A test stands in the policy:
  test \"patched process\" {
    given    runtime.changed-code = [{ path \"/usr/bin/app\" }]
    given    runtime.foreign-code = []
    expect   code-pages fails
  }
The answer is no (1) if an expectation is not met.")]
    Test {
        /// Policies
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        words: Words,
    },
    /// Say in plain language what a policy requires, and what would happen to a device
    #[command(after_help = "\
Examples:
  touchstone policy explain gateway.policy
  touchstone policy explain gateway.policy --control secure-boot
  touchstone policy explain gateway.policy --claims device.json
  touchstone policy explain gateway.policy --device gateway-17 --token file:op.token

A claims file says what is known of a device, by the names that `policy claims` lists:
  { \"schema\": \"touchstone.claims/1\", \"at\": \"2026-12-31T12:00:00Z\", \"age\": \"2s\",
    \"claims\": { \"boot.secure-boot\": true, \"evidence.age\": \"2s\", \"agent.version\": \"1.4.2\",
                \"boot.db\": [\"sha256:<64 digits>\"],
                \"components\": [{ \"name\": \"application\", \"version\": 2 }] } }

The policy is evaluated here: with --claims by those of a file, with --device by what the device
proved to the fleet last (which takes an operator's token), so that a new policy can be tried
before it is in force. Exits with 1 if a control is not met, or if the claims are stale.")]
    Explain {
        /// The policy; `-` is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Only this control
        #[arg(long, value_name = "NAME")]
        control: Option<String>,
        /// Evaluate the policy with the claims in this file
        #[arg(long, value_name = "FILE", conflicts_with = "device")]
        claims: Option<PathBuf>,
        /// Evaluate the policy with what this device proved to the fleet last
        #[arg(long, value_name = "ID")]
        device: Option<String>,
        #[command(flatten)]
        words: Words,
        #[command(flatten)]
        fleet: Fleet,
    },
    /// Say what a new version asks for more, less, or otherwise
    #[command(after_help = "\
Examples:
  touchstone policy diff gateway-6.policy gateway-7.policy
  touchstone policy diff linux-gateway.policy plant.policy --json | jq '.differences[]'

Good (0) if nothing is weaker: no control is gone or asks for less, as far as that can be shown, no
exception is new, and the version counts up.")]
    Diff {
        /// The policy as it was
        before: PathBuf,
        /// The policy as it is to be
        after: PathBuf,
        #[command(flatten)]
        words: Words,
    },
    /// Show which requirements of which standards the controls answer, and which they do not
    #[command(after_help = "\
Examples:
  touchstone policy coverage gateway.policy
  touchstone policy coverage gateway.policy --only CRA --json

IEC 62443-4-2, ETSI EN 303 645, NIST IR 8259A and the CRA are known; --standard adds others. The
answer is no (1) if a requirement that a device can show is not covered.")]
    Coverage {
        /// The policy
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Only this standard
        #[arg(long, value_name = "STANDARD")]
        only: Vec<String>,
        /// The requirements of another standard, in TOML
        #[arg(long = "standard", value_name = "FILE")]
        standards: Vec<PathBuf>,
        #[command(flatten)]
        words: Words,
    },
    /// Sign a policy with its bases, or add a signature to one that is signed
    #[command(after_help = "\
Example:
  touchstone policy sign plant.policy --cert security.pem --key file:security.key --out plant.p7m
  touchstone policy sign plant.p7m --cert plant.pem --key file:plant.key --out plant-2.p7m

It has to load, and its tests have to pass. The envelope is an update of the component policy.NAME:
`touchstone update show` and `update verify` read it. A fleet that names `policy_signers` takes it
only with every signature, and no version below the last.")]
    Sign {
        /// The policy, or the envelope
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// A line for people
        #[arg(long, value_name = "TEXT", default_value = "")]
        note: String,
        #[command(flatten)]
        by: Signatory,
        /// The envelope to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        words: Words,
    },
    /// What a policy can speak of: claims, functions and countermeasures
    #[command(after_help = "\
Examples:
  touchstone policy claims
  touchstone policy claims --schema pump.toml
  touchstone policy claims --json | jq -r '.claims[].name'")]
    Claims {
        #[command(flatten)]
        words: Words,
    },
}

/// What policies may speak of beyond what every verifier knows.
#[derive(Args, Debug)]
pub(crate) struct Words {
    /// Claims and countermeasures that a product adds: a file in TOML
    #[arg(long = "schema", value_name = "FILE")]
    pub(crate) words: Vec<PathBuf>,
}

/// Who signs.
#[derive(Args, Debug)]
pub(crate) struct Signatory {
    /// The signer's certificate, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: PathBuf,
    /// Where the signer's private key is, PKCS#8 PEM: `file:PATH`
    #[arg(long, value_name = "file:PATH")]
    pub(crate) key: String,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Update {
    /// Make an envelope around a payload, signed by its publisher
    #[command(after_help = "\
Example:
  touchstone update sign --component application --version 2 --payload app \\
      --note \"fixes the valve\" --cert publisher.pem --key file:publisher.key --out app-2.update
  touchstone update countersign app-2.update --cert operator.pem --key file:operator.key \\
      --out app-2.signed.update")]
    Sign {
        /// What it is for
        #[arg(long, value_name = "NAME")]
        component: String,
        /// Its version; devices take only what is above their last
        #[arg(long, value_name = "NUMBER")]
        version: u64,
        /// What is to be installed
        #[arg(long, value_name = "FILE")]
        payload: PathBuf,
        /// A line for people
        #[arg(long, value_name = "TEXT", default_value = "")]
        note: String,
        /// How long it may be applied: `30d`, `12h`
        #[arg(long, value_name = "DURATION", value_parser = touchstone_policy::parse_duration)]
        expires_in: Option<std::time::Duration>,
        #[command(flatten)]
        by: Signatory,
        /// The envelope to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Add a signature to an envelope whose signatures are good
    #[command(after_help = "\
Example:
  touchstone update countersign app-2.update --cert operator.pem --key file:operator.key \\
      --out app-2.signed.update

Look first at what you sign: `touchstone update show app-2.update`.")]
    Countersign {
        /// The envelope
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        by: Signatory,
        /// The envelope to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Say what an envelope says of itself; believes nothing
    #[command(after_help = "\
Example:
  touchstone update show app-2.update")]
    Show {
        /// The envelope
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Judge an envelope as a device would
    #[command(after_help = "\
Example:
  touchstone update verify app-2.signed.update --component application --above 1 \\
      --role publisher=publisher.pem --role operator=operator.pem

A role is filled by the very certificate in the file; if that is a CA's, by any code signing
certificate that leads to it. Every role must have signed, and nobody else.")]
    Verify {
        /// The envelope
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// What it must be for
        #[arg(long, value_name = "NAME")]
        component: String,
        /// The last version applied
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        above: u64,
        /// Who must have signed, and the certificate that shows it
        #[arg(long = "role", value_name = "NAME=FILE", required = true)]
        roles: Vec<String>,
    },
}
