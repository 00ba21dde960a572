//! Programs that are run to their end.

use std::path::Path;
use std::process::{Command, Output};

pub(crate) fn output(command: &mut Command) -> Output {
    let program = command.get_program().to_string_lossy().into_owned();
    command.output().unwrap_or_else(|error| {
        panic!("{program}: {error}; run cargo xtask test, which installs it")
    })
}

pub(crate) fn run(command: &mut Command) -> Vec<u8> {
    let output = output(command);
    let (out, err) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {err}{}", String::from_utf8_lossy(out));
    output.stdout
}

/// Runs a program that has to succeed, in this folder; its standard output.
pub fn tool(program: &str, folder: &Path, arguments: &[&str]) -> Vec<u8> {
    run(Command::new(program).current_dir(folder).args(arguments))
}

/// Runs a program that may fail; whether it succeeded, and all it said.
pub fn attempt(program: &str, folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = output(Command::new(program).current_dir(folder).args(arguments));
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// Runs `openssl`, which must succeed, in this folder; all that it said.
pub fn openssl(folder: &Path, arguments: &[&str]) -> String {
    let (good, said) = attempt("openssl", folder, arguments);
    assert!(good, "openssl {arguments:?}: {said}");
    said
}
