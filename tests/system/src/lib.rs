//! The rig: a measured-boot device, its fleet, a checkpoint and real peers on one machine.
#![forbid(unsafe_code)]

pub mod bench;
pub mod scene;
pub mod sensor;
