//! Many users of the TPM at the same time, for the rig's device.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it tells the rig what it saw")]

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use touchstone_system::tpm_users::{self, Open};
use touchstone_tpm2::transport::Device;

#[derive(Parser)]
struct Cli {
    /// The device
    device: String,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Uses it as many would
    Crowd { users: usize, rounds: usize },
    /// Takes more than there is
    Limits,
    /// What is loaded and open in the TPM
    Left,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let device = cli.device.as_str();
    let open: &Open<'_> =
        &|| Ok(Box::new(Device::open(device).with_context(|| device.to_owned())?));
    match cli.verb {
        Verb::Crowd { users, rounds } => {
            tpm_users::provision(open)?;
            println!("{:?}", tpm_users::crowd(open, users, rounds)?);
        }
        Verb::Limits => {
            tpm_users::provision(open)?;
            tpm_users::unknown_command(open)?;
            println!("{} objects for one", tpm_users::greedy(open)?);
            println!("{} sessions for all", tpm_users::full_house(open)?);
        }
        Verb::Left => {
            let left = tpm_users::left(open)?;
            ensure!(left.is_empty(), "left behind: {left:x?}");
        }
    }
    Ok(())
}
