//! Sessions against sessions: who gets in, how it ends, and the laws.

mod admission;
mod endings;
mod laws;
mod pair;
mod pki;
