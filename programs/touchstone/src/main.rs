//! The command line of Touchstone: `touchstone <noun> <verb>`.
//!
//! Data goes to stdout, words to stderr; `--json` puts the data into one JSON object that names its
//! schema. The exit code is 0 if the answer is good, 1 if the answer is no, 2 for wrong usage, and
//! 3 if the question could not be answered.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

mod answer;
mod appraise;
mod audit;
mod ca;
mod cert;
mod cli;
mod cms;
mod device;
mod ear;
mod element;
mod enrolment;
mod est;
mod evidence;
mod files;
mod fleet;
mod log;
mod ocsp;
mod policy;
mod reference;
mod respond;
mod scep;
mod signing;
mod token;
mod update;

use clap::Parser;
use cli::{Cli, Noun};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let answered = match cli.noun {
        Noun::Device(verb) => device::run(&verb),
        Noun::Enrolment(verb) => enrolment::run(&verb),
        Noun::Policy(verb) => policy::run(&verb),
        Noun::Audit(verb) => audit::run(&verb),
        Noun::Update(verb) => update::run(&verb),
        Noun::Reference(verb) => reference::run(&verb),
        Noun::Appraise(arguments) => appraise::run(&arguments),
        Noun::Evidence(verb) => evidence::run(&verb),
        Noun::Ear(verb) => ear::run(&verb),
        Noun::Cms(verb) => cms::run(&verb),
        Noun::Est(verb) => est::run(&verb),
        Noun::Scep(verb) => scep::run(&verb),
        Noun::Element(element) => element::run(&element),
        Noun::Cert(verb) => cert::run(&verb),
        Noun::Ocsp(verb) => ocsp::run(&verb),
        Noun::Ca(verb) => ca::run(&verb),
        Noun::Respond(verb) => respond::run(&verb),
        Noun::Log(verb) => log::run(&verb),
    };
    answer::finish(answered, cli.json)
}
