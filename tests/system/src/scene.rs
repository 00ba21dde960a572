//! The whole loop, as it is shown by the demo and checked by the system test.

pub mod factory;
