//! The sans-IO contract: Engine, Output, Ask, Answer, Instant, Blame.
#![forbid(unsafe_code)]
