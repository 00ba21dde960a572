//! A secure element in software, for devices without hardware and for tests.
//!
//! It is honest about what it is. [`About::kind`](touchstone_element::About::kind) says `software`;
//! it has no registers and does not attest, because nothing vouches for it. While it is open, its
//! keys are in the memory of the process; whoever is root on the device can have them. On disk they
//! are encrypted with AES-256-GCM under a key that comes from a machine secret, a systemd credential
//! or a passphrase ([`KeySource`]), and the whole store is authenticated: names, uses and a
//! generation counter with it.
//!
//! What is noticed: a damaged store ([`Error::Corrupt`]), one from another machine
//! ([`Error::Foreign`]), a wrong passphrase ([`Error::WrongAuthorization`]), and a second process
//! ([`Error::Busy`]). An older copy of the store is noticed ([`Error::RolledBack`]) if its generation
//! is also kept in a [`Second`] place, and only as far as that place is not put back together with
//! the store. Without one there are no counters and no storage here: they would go back with the
//! disk, and [`Counting`](touchstone_element::Counting) promises that they do not.
//!
//! ```
//! use touchstone_element::{Element, KeyAlgorithm, KeySpec, KeyUse};
//! use touchstone_element_software::{KeySource, Settings, Software};
//! # let folder = tempfile::tempdir()?;
//! # let (store, secret) = (folder.path().join("element"), folder.path().join("secret"));
//!
//! let settings = Settings::new(store, KeySource::MachineSecret(secret));
//! let mut element = Software::open(settings)?;
//! let key = element.create_key("ldevid", &KeySpec::new(KeyUse::Sign, KeyAlgorithm::MlDsa65))?;
//! let how = key.signature().expect("a key that signs");
//! let signature = element.sign("ldevid", how, b"a certificate request")?;
//! # assert_eq!(signature.len(), 3309);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

mod body;
mod cipher;
mod disk;
mod element;
mod header;
#[doc(hidden)]
pub mod hostile;
mod kem;
mod key;
mod root;
mod seal;
mod second;
mod settings;
mod store;

pub use element::Software;
pub use settings::{Cost, KeySource, Second, Settings};

#[cfg(doc)]
use touchstone_element::Error;
