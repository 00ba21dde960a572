//! The Attester: a daemon on the device.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "answers go to stdout")]

use clap::{Parser, Subcommand};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use touchstone_agent::config::{Config, DEFAULT};
use touchstone_agent::{network, run, status};

/// Proves a device's state to its fleet, and obeys the verdict.
///
/// The agent measures (firmware log, IMA list, code of running programs), has the TPM sign, sends
/// the evidence to the fleet, and keeps the certificate that only a good verdict earns. With it,
/// programs on the device reach their broker through the checkpoint by connecting to a local port.
/// When the verdict is contraindicated it cuts the device off from all but the fleet, until it is
/// healed by a signed update.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
To begin:
  touchstone-agent --print-default > /etc/touchstone/agent.toml
  touchstone-agent --check                       every fault, with its line
  touchstone-agent                               run; words go to stderr
  touchstone-agent status [--json]               tier, reasons, quarantine, updates

It needs the TPM (/dev/tpmrm0), CAP_SYS_PTRACE to read the code of watched programs, and
CAP_NET_ADMIN for the quarantine. What speaks with the network is a second process, without any of
these, as the user of [network]. To end a quarantine by hand: nft delete table inet touchstone

Exit: 0 good; 1 the answer is no; 2 wrong usage or configuration; 3 could not tell."
)]
struct Arguments {
    /// The configuration file
    #[arg(long, default_value = "/etc/touchstone/agent.toml", global = true)]
    config: PathBuf,
    /// Only check the configuration, and the files it names
    #[arg(long)]
    check: bool,
    /// Print a configuration to start from
    #[arg(long)]
    print_default: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Ask the running agent how things are: exit 0 affirming, 1 not, 3 no agent answers
    Status {
        /// As JSON: touchstone.agent.status/1
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    if let Some(config) = run::network_half() {
        return network_half(Path::new(&config));
    }
    let arguments = Arguments::parse();
    if arguments.print_default {
        print!("{DEFAULT}");
        return ExitCode::SUCCESS;
    }
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(error) => return failed(2, &error, error.code()),
    };
    match arguments.command {
        Some(Command::Status { json }) => tell_status(&config.state_dir, json),
        None if arguments.check => match run::check(&config) {
            Ok(()) => {
                eprintln!("agent: the configuration is good");
                ExitCode::SUCCESS
            }
            Err(error) => failed(2, &error, error.code()),
        },
        None => {
            log();
            match run::run(&config, &arguments.config) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failed(3, &error, error.code()),
            }
        }
    }
}

/// Not for people: the agent itself starts this.
fn network_half(config: &Path) -> ExitCode {
    log();
    let config = match Config::load(config) {
        Ok(config) => config,
        Err(error) => return failed(2, &error, error.code()),
    };
    match network::run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(3, &error, error.code()),
    }
}

fn log() {
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(ansi)
        .with_target(false)
        .init();
}

fn tell_status(folder: &Path, json: bool) -> ExitCode {
    let status = match status::ask(folder) {
        Ok(status) => status,
        Err(error) => return failed(3, &error, "agent.status"),
    };
    if json {
        match serde_json::to_string_pretty(&status) {
            Ok(json) => println!("{json}"),
            Err(error) => return failed(3, &error, "agent.status"),
        }
    } else {
        println!("{}", status.in_words());
    }
    let good = status.tier == "affirming" && status.quarantine.is_none();
    if good { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn failed(code: u8, error: &dyn std::fmt::Display, stable: &str) -> ExitCode {
    eprintln!("agent: {error} [{stable}]");
    ExitCode::from(code)
}
