//! The demo: the whole loop on this machine, one line for each thing that was proven.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program that talks to a person")]

use anyhow::Result;
use clap::Parser;
use std::path::PathBuf;
use std::time::Duration;
use touchstone_system::scene::{Options, Report, Scene};

/// Boots a measured device and walks it through the whole loop.
#[derive(Parser)]
struct Cli {
    /// Leave everything running at the end; Ctrl-C stops and cleans up
    #[arg(long)]
    keep: bool,
    /// Save pictures of the console into this folder
    #[arg(long, value_name = "DIR")]
    screenshots: Option<PathBuf>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    touchstone_system::interrupt::clean_up_when_interrupted()?;
    let mut report = Report::new();
    let programs = touchstone_system::programs()?;
    let mut scene = Scene::set(&programs, &mut report)?;
    println!("console: http://{}/console  (token: {})", scene.plant.console, scene.plant.token());
    let options = Options { kill: false, screenshots: cli.screenshots };
    let played = scene.play(&mut report, &options);
    report.end();
    if let Err(error) = played {
        let folder = scene.keep_folder();
        return Err(error.context(format!("the logs are in {}", folder.display())));
    }
    println!("{} things proven in {:.0} s", report.lines().len(), report.elapsed().as_secs_f64());
    if cli.keep {
        println!("everything keeps running; Ctrl-C stops and cleans up");
        loop {
            std::thread::sleep(Duration::from_hours(1));
        }
    }
    Ok(())
}
