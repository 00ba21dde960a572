//! `touchstone-fleet`: registrar, certification authority, verifier, courier of updates, console.
//!
//! Answers go to stdout, words to stderr. Exit: 0 good, 1 the answer is no, 2 usage or
//! configuration, 3 could not tell.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "answers go to stdout")]

use clap::{Parser, Subcommand, ValueEnum};
use serde::Serialize;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use touchstone_drive::ServiceManager;
use touchstone_fleet::authority::For;
use touchstone_fleet::commands::{self, Guest, Order};
use touchstone_fleet::config::{self, Config};
use touchstone_fleet::state::StateDir;
use touchstone_fleet::trust::Trust;
use touchstone_fleet::{Error, api, check, run};
use tracing::level_filters::LevelFilter;

const USAGE: u8 = 2;
const COULD_NOT_TELL: u8 = 3;

/// Onboards devices, judges their evidence, and gives certificates to those that it affirms.
///
/// The fleet is registrar (endorsement keys, IDevID), Verifier (evidence against signed reference
/// values and a policy), CA (EST, OCSP), courier of updates, and console. Devices and checkpoints
/// connect with mutual TLS; operators use the console or the command line `touchstone`, each with a
/// token of their own.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
To begin:
  touchstone-fleet --print-default > /etc/touchstone/fleet.toml
  touchstone-fleet --check                       every fault, with its line; who does not answer
  touchstone-fleet init                          CA, keys, the first operator's token
  touchstone-fleet issue-certificate --kind checkpoint --name edge-1 --san edge-1.example --out-dir edge-1
  touchstone-fleet                               run; words go to stderr
  touchstone device list --token file:/var/lib/touchstone-fleet/operator.token

It keeps all that matters in its state directory: back that up, and let nobody else read it. With
`[database] url = \"postgres://..\"` in the configuration, the records are in PostgreSQL: back up both.

Exit: 0 good; 1 the answer is no; 2 wrong usage or configuration; 3 could not tell."
)]
struct Arguments {
    /// The configuration file
    #[arg(long, global = true, default_value = "/etc/touchstone/fleet.toml")]
    config: PathBuf,
    /// Check the configuration, every file it names, the database and other CAs, and end; `files` connects
    /// to nobody
    #[arg(long, value_name = "WHAT", num_args = 0..=1, require_equals = true,
          default_missing_value = "all")]
    check: Option<Looked>,
    /// Print a configuration with every default and end
    #[arg(long)]
    print_default: bool,
    /// Answer in JSON
    #[arg(long, global = true)]
    json: bool,
    /// How much to tell on stderr: error, warn, info, debug, trace
    #[arg(long, global = true, default_value = "info")]
    log: LevelFilter,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What a check looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Looked {
    /// Files, the database, other CAs
    All,
    /// Files
    Files,
}

#[derive(Subcommand)]
enum Command {
    /// Make the state directory: CA, keys, the first operator's token, database
    Init,
    /// Issue a certificate by hand, with a new key
    #[command(after_help = "\
Examples:
  touchstone-fleet issue-certificate --kind checkpoint --name edge-1 --san edge-1.example --out-dir edge-1
  touchstone-fleet issue-certificate --kind server --name broker --san broker.example --out-dir broker

Writes NAME.pem (with its chain), NAME.key and roots.pem. Devices need none: they enroll by EST.")]
    IssueCertificate {
        /// For whom
        #[arg(long)]
        kind: Kind,
        /// Its common name, and the name of the files
        #[arg(long)]
        name: String,
        /// A DNS name, an address or a URI; may be given several times
        #[arg(long = "san")]
        names: Vec<String>,
        /// Where the files go
        #[arg(long)]
        out_dir: PathBuf,
        /// How many days it is valid
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=3650))]
        days: u64,
    },
    /// Revoke a certificate that the fleet issued
    #[command(after_help = "\
Example:
  touchstone-fleet revoke-certificate --serial 5f1c08.. --reason keyCompromise

The next answer about its status says so, and the next CRL within seconds. A device is better kept out
with `touchstone device override set ID --deny`: this revokes one certificate, and it may get another.")]
    RevokeCertificate {
        /// Its serial number, as `touchstone cert show` prints it
        #[arg(long)]
        serial: String,
        /// Whose, where several CAs gave the number: an upstream's name, or the issuer's as in `CN=..`
        #[arg(long)]
        issuer: Option<String>,
        /// Why: keyCompromise, superseded, cessationOfOperation, privilegeWithdrawn, ..
        #[arg(long, default_value = "unspecified")]
        reason: String,
    },
    /// Let somebody enrol once without a device's identity: by SCEP, or by EST with a password
    #[command(after_help = "\
Examples:
  touchstone-fleet invite --name plc-12 --minutes 60 > challenge
  touchstone scep enroll --url http://fleet.example:8081/scep --subject CN=plc-12 --challenge file:challenge ..
  touchstone est enroll --url https://fleet.example:8443 --user plc-12 --password file:challenge ..

Prints the challenge once; only its digest is kept. Whoever uses it gets a certificate for this name
alone. It is used up by the first key; the same key may ask again.")]
    Invite {
        /// The common name of the certificate, and the user name in HTTP
        #[arg(long)]
        name: String,
        /// What the certificate is for
        #[arg(long, default_value = "client", value_parser = ["client", "server"])]
        kind: String,
        /// For how many minutes it is open
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=44_640))]
        minutes: u64,
    },
    /// Print the public key that attestation results are verified with
    ShowVerifierKey,
    /// Print the description of the operator API
    PrintOpenapi,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Checkpoint,
    Server,
    Client,
}

impl From<Kind> for For {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Checkpoint => Self::Checkpoint,
            Kind::Server => Self::Server,
            Kind::Client => Self::Client,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_max_level(arguments.log)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    if arguments.print_default {
        print!("{}", config::DEFAULT);
        return ExitCode::SUCCESS;
    }
    if let Some(Command::PrintOpenapi) = arguments.command {
        print!("{}", api::openapi::printed());
        return ExitCode::SUCCESS;
    }
    let config = match read(&arguments.config) {
        Ok(config) => config,
        Err(words) => {
            for line in words.lines() {
                eprintln!("fleet: {line}");
            }
            return ExitCode::from(USAGE);
        }
    };
    if let Some(at) = arguments.check {
        return check(&config, at, arguments.json);
    }
    match act(&arguments, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleet: {error} ({})", error.code());
            ExitCode::from(match error {
                Error::Conflict(_) | Error::Unknown { .. } => 1,
                _ => COULD_NOT_TELL,
            })
        }
    }
}

fn read(path: &Path) -> Result<Config, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        format!("{shown}: {error}; `touchstone-fleet --print-default` shows a configuration")
    })?;
    let base = path.parent().unwrap_or(Path::new("."));
    config::read(&shown.to_string(), &text, base).map_err(|faults| faults.to_string())
}

fn check(config: &Config, at: Looked, json: bool) -> ExitCode {
    let mut faults = match Trust::load(&config.trust, &config.tenant) {
        Ok(trust) => check::files(config, &trust),
        Err(faults) => faults,
    };
    let mut code = if faults.is_empty() { 0 } else { USAGE };
    // Whoever lacks a password is refused, which says nothing more.
    if faults.is_empty() && at == Looked::All {
        faults = commands::waited(async { Ok(check::connections(config).await) })
            .unwrap_or_else(|error| vec![error]);
        code = if faults.is_empty() { 0 } else { COULD_NOT_TELL };
    }
    for fault in &faults {
        eprintln!("fleet: {fault}");
    }
    let words: Vec<String> = faults.iter().map(ToString::to_string).collect();
    if json {
        answer("touchstone.fleet.check/1", &serde_json::json!({ "faults": words }));
    } else if faults.is_empty() {
        println!("the configuration is good");
    }
    ExitCode::from(code)
}

fn act(arguments: &Arguments, config: Config) -> Result<(), Error> {
    match &arguments.command {
        Some(Command::Init) => {
            let state = commands::init(&config)?;
            if arguments.json {
                answer("touchstone.fleet.init/1", &state);
            } else {
                println!("state           {}", state.state_dir.display());
                println!("roots           {}", state.roots.display());
                println!("verifier key    {}", state.verifier_key.display());
                println!("operator token  {}", state.operator_token.display());
                println!("database        {}", state.database.display());
                println!("audit log       {}", state.audit_log.display());
            }
            Ok(())
        }
        Some(Command::IssueCertificate { kind, name, names, out_dir, days }) => {
            let order = Order {
                what: (*kind).into(),
                name: name.clone(),
                names: names.clone(),
                out_dir: out_dir.clone(),
                days: *days,
            };
            let issued = commands::issue_certificate(&config, &order)?;
            if arguments.json {
                answer("touchstone.certificate.issue/1", &issued);
            } else {
                println!("certificate  {}", issued.certificate.display());
                println!("key          {}", issued.key.display());
                println!("roots        {}", issued.roots.display());
            }
            Ok(())
        }
        Some(Command::RevokeCertificate { serial, issuer, reason }) => {
            let revoked = commands::revoke_certificate(&config, serial, issuer.as_deref(), reason)?;
            if arguments.json {
                answer("touchstone.certificate.revoke/1", &revoked);
            } else {
                println!("revoked  {} of {}: {}", revoked.serial, revoked.subject, revoked.reason);
            }
            Ok(())
        }
        Some(Command::Invite { name, kind, minutes }) => {
            let what = touchstone_fleet::registration::kind(kind);
            let guest = Guest { name: name.clone(), what, minutes: *minutes };
            let invited = commands::invite(&config, &guest)?;
            if arguments.json {
                answer("touchstone.fleet.invite/1", &invited);
            } else {
                println!("{}", invited.challenge);
                eprintln!("fleet: good once, for `{}`, {minutes} minutes", invited.name);
            }
            Ok(())
        }
        Some(Command::ShowVerifierKey) => {
            let pem = commands::show_verifier_key(&config)?;
            if arguments.json {
                answer("touchstone.verifier-key.show/1", &serde_json::json!({ "pem": pem }));
            } else {
                print!("{pem}");
            }
            Ok(())
        }
        Some(Command::PrintOpenapi) => Ok(()),
        None => serve(config),
    }
}

fn serve(config: Config) -> Result<(), Error> {
    let trust = Trust::load(&config.trust, &config.tenant).map_err(|faults| {
        let words: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Error::Unready(words.join("; "))
    });
    commands::init(&config)?;
    let state = StateDir::open(&config.state_dir)?;
    let _lock = state.lock()?;
    let trust = match trust {
        Ok(trust) => trust,
        Err(unready) => {
            if let Err(error) = run::note_refused_policy(&config, &state) {
                tracing::error!(code = error.code(), %error, "the refused policy was not recorded");
            }
            return Err(unready);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Error::Network { what: "cannot start the runtime".into(), error })?;
    runtime.block_on(async {
        let signals = |error| Error::Network { what: "cannot hear signals".into(), error };
        let mut interrupt = signal(SignalKind::interrupt()).map_err(signals)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(signals)?;
        let manager = ServiceManager::of_this_process().map_err(|error| Error::Network {
            what: "the service manager cannot be told".into(),
            error,
        })?;
        let (end, stop) = tokio::sync::watch::channel(false);
        let running = run::start(config, trust, &state, stop).await?;
        let listening = running.listening;
        tracing::info!(%listening.device, %listening.console, %listening.ocsp, "the fleet serves");
        answer("touchstone.fleet.ready/1", &listening);
        let words = format!("serves devices at {}", listening.device);
        told(manager.ready(&words));
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = manager.keep_alive(std::slice::from_ref(&running.pulse)) => {}
        }
        tracing::info!("ending");
        told(manager.stopping());
        running.end(&end).await;
        Ok(())
    })
}

/// A service manager that cannot be told will draw its own conclusions.
fn told(told: std::io::Result<()>) {
    if let Err(error) = told {
        tracing::warn!(%error, "the service manager was not told");
    }
}

/// One line of JSON with its schema in front.
fn answer(schema: &str, body: &impl Serialize) {
    #[derive(Serialize)]
    struct Named<'a, T> {
        schema: &'a str,
        #[serde(flatten)]
        body: &'a T,
    }
    match serde_json::to_string(&Named { schema, body }) {
        Ok(line) => println!("{line}"),
        Err(error) => eprintln!("fleet: the answer could not be written: {error}"),
    }
}
