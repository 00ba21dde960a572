//! The update envelope: who must sign, what may follow what.
#![forbid(unsafe_code)]
