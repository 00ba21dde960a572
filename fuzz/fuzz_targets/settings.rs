//! Configuration files of the agent and of the checkpoint: any text is read or refused with lines.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let lines = text.lines().count() + 1;
    let told = |faults: &touchstone_settings::Faults| {
        assert!(!faults.as_slice().is_empty());
        for fault in faults.as_slice() {
            assert!((1..=lines).contains(&fault.line) && !fault.words.is_empty());
        }
    };
    if let Err(faults) = touchstone_agent::config::Config::read("agent.toml", text) {
        told(&faults);
    }
    if let Err(faults) = touchstone_checkpoint::config::Config::read("checkpoint.toml", text) {
        told(&faults);
    }
});
