//! The Relying Party at the network edge: admits or cuts a flow.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "answers go to stdout")]

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use touchstone_checkpoint::config::{Config, DEFAULT};
use touchstone_checkpoint::run::run;

/// Carries a device's flows only while the fleet vouches for the device.
///
/// A device connects with mutual TLS, sends `CONNECT host:port` with its attestation result in the
/// header `Attestation-Result`, and gets a tunnel to a route of the configuration. The fleet's feed
/// keeps the tunnel open, or cuts it within a second.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
To begin:
  touchstone-fleet issue-certificate --config fleet.toml --kind checkpoint --name edge-1 --san edge-1.example --out-dir /etc/touchstone
  touchstone-checkpoint --print-default > /etc/touchstone/checkpoint.toml
  touchstone-checkpoint --config /etc/touchstone/checkpoint.toml --check
  curl http://127.0.0.1:9480/status

Each admission, refusal and cut is one line of JSON on stderr, with a stable code.
Exit: 0 good; 2 wrong usage or configuration; 3 stopped by a fault."
)]
struct Arguments {
    /// The configuration file
    #[arg(long, default_value = "/etc/touchstone/checkpoint.toml")]
    config: PathBuf,
    /// Only check the configuration, and the files it names
    #[arg(long)]
    check: bool,
    /// Print a configuration to start from
    #[arg(long)]
    print_default: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.print_default {
        print!("{DEFAULT}");
        return ExitCode::SUCCESS;
    }
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("checkpoint: {error}");
            return ExitCode::from(2);
        }
    };
    match run(&config, arguments.check) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("checkpoint: {error}");
            ExitCode::from(if error.is_configuration() { 2 } else { 3 })
        }
    }
}
