//! Tells the linker where a Cortex-M4's memory is, when the firmware is what is built.

use std::{env, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let out = PathBuf::from(env::var("OUT_DIR")?);
        // A microcontroller of the middle: 256 kB of flash, 64 kB of memory.
        let memory = "MEMORY {\n\
                      FLASH : ORIGIN = 0x00000000, LENGTH = 256K\n\
                      RAM : ORIGIN = 0x20000000, LENGTH = 64K\n}\n";
        fs::write(out.join("memory.x"), memory)?;
        println!("cargo:rustc-link-search={}", out.display());
        println!("cargo:rustc-link-arg-bins=-Tlink.x");
        // Functions with the same code become one.
        println!("cargo:rustc-link-arg-bins=--icf=all");
    }
    Ok(())
}
