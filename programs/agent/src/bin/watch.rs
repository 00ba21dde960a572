//! Puts the agent's BPF programs into the kernel, pins them, sees that they tell, and ends.
#![forbid(unsafe_code)]

use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use touchstone_agent::collect::lsm;

/// Has the kernel tell the agent at once when code may have changed.
///
/// Loads BPF programs that listen to the kernel's security hooks: programs that start, memory that
/// becomes executable, processes that take hold of others, kernel modules. They are pinned into bpffs
/// and stay until the next boot, or until `--remove`; the agent reads what they tell. They refuse
/// nothing.
#[derive(Parser)]
#[command(
    name = "touchstone-agent-watch",
    version,
    after_help = "\
To begin:
  touchstone-agent-watch                  at every boot, before the agent
  touchstone-agent-watch --remove

It needs root (CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN), /sys/fs/bpf mounted, a kernel with
CONFIG_BPF_LSM and CONFIG_DEBUG_INFO_BTF, and `bpf` in lsm= on the kernel's command line. Where it
fails, the agent says so in a claim, and sees programs start by fanotify.

Exit: 0 good; 1 the kernel does not do it; 2 wrong usage."
)]
struct Arguments {
    /// The programs, as clang has compiled them
    #[arg(long, default_value = "/usr/lib/touchstone/watch.bpf.o")]
    object: PathBuf,
    /// Where they are pinned
    #[arg(long, default_value = lsm::PINS)]
    pins: PathBuf,
    /// Take them out
    #[arg(long)]
    remove: bool,
    /// Do nothing: what is started to see whether the kernel tells of it
    #[arg(long, hide = true)]
    probe: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.probe {
        return ExitCode::SUCCESS;
    }
    let done = if arguments.remove {
        lsm::remove(&arguments.pins)
    } else {
        let own = std::env::current_exe().unwrap_or_else(|_| Path::new("/proc/self/exe").into());
        lsm::load(&arguments.object, &arguments.pins, Command::new(own).arg("--probe"))
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agent-watch: {error} [{}]", error.code());
            ExitCode::FAILURE
        }
    }
}
