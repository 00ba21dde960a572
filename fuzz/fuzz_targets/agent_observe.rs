//! What the agent reads of a system that somebody else may have set up: configurations, tables of the
//! kernel, accounts, keys; and the questions at its socket.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_agent::collect::observe::configuration::{mosquitto, nginx, openssl, ssh};
use touchstone_agent::collect::observe::{accounts, folders, mounts, network, operation};
use touchstone_agent::respond::{desk, freeze};

fuzz_target!(|bytes: &[u8]| {
    let _ = desk::question(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lines = text.lines().count();
    for weak in [openssl::weak, ssh::weak, mosquitto::weak, nginx::weak] {
        for found in weak(text) {
            assert!((1..=lines).contains(&found.line));
            assert!(!found.why.is_empty());
        }
    }
    for line in text.lines() {
        let _ = (accounts::account(line), mounts::mount(line), network::socket(line));
    }
    let _ = (folders::private_key(text), operation::average(text), operation::flapping(text));
    if let Some(unit) = freeze::unit(text) {
        assert!(unit.ends_with(".service") && !unit.starts_with('-') && !unit.contains('/'));
    }
});
