//! Names of algorithms and the traits of a crypto provider.
#![forbid(unsafe_code)]
