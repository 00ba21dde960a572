//! What happened, as events with stable codes, in a hash-chained log.
#![forbid(unsafe_code)]
