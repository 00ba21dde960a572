//! Nothing here: the tests compare what `touchstone-tpm2` computes with the TSS in C.
#![forbid(unsafe_code)]
