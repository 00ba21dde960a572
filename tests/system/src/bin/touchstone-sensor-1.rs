//! Version 1 of the application on the device.
#![forbid(unsafe_code)]

fn main() -> anyhow::Result<()> {
    touchstone_system::sensor::run("1.0.0")
}
