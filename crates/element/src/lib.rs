//! Secure elements: what each of them can do, behind one API.
#![forbid(unsafe_code)]
