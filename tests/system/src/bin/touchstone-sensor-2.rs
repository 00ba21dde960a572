//! Version 2 of the application on the device.
#![forbid(unsafe_code)]

fn main() -> anyhow::Result<()> {
    touchstone_system::sensor::run("2.0.0")
}
