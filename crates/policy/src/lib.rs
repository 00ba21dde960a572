//! The trust policy grammar: parse, check, evaluate, explain.
#![forbid(unsafe_code)]
