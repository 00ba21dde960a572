//! The type that carries the proof.

use core::ops::Deref;

/// A value that was checked: signed by whom it should be, and fresh where that matters.
///
/// A crate that verifies something names its check in the function that calls [`Verified::vouch`];
/// those calls are the lines a reviewer has to read, and `cargo xtask tidy` lists the crates that
/// may make them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// States that the caller has just checked `value`.
    pub fn vouch(value: T) -> Self {
        Self(value)
    }

    /// The value, without the proof.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
