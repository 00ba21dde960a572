//! PKCS#11 tokens as elements: smart cards, HSMs, SoftHSM, OP-TEE's trusted application; whatever has
//! a module.
//!
//! A [`Uri`] (RFC 7512) says which module, which token and where its PIN is; [`Token`] is the
//! element. What it offers is what the token's own list of mechanisms has. Keys are made so that they
//! cannot leave the token, and that is checked on each.
//!
//! What is not offered, and why: `Storage` and `Counting`, because PKCS#11 does not say whether a
//! token's objects can be put back to an older state (SoftHSM's are files); `Sealing` and
//! `Attesting`, because a token knows nothing of the device's state.
//!
//! A token that is taken away gives [`Error::Removed`](touchstone_element::Error::Removed); once it
//! is back, the next call finds it, logs in and goes on. After `fork` the child has to open its
//! tokens anew; one that was opened before refuses to work there.
//!
//! ```no_run
//! use touchstone_crypto_awslc::AwsLc;
//! use touchstone_element::{Element, Error, KeyAlgorithm, KeySpec, KeyUse};
//! use touchstone_element_pkcs11::{Token, Uri};
//!
//! fn device_key() -> Result<Vec<u8>, Error> {
//!     let uri: Uri = "pkcs11:token=device?module-name=softhsm2&pin-source=credential:hsm".parse()?;
//!     let mut token = Token::open(&uri, &AwsLc)?;
//!     let key = token.create_key("ldevid", &KeySpec::new(KeyUse::Sign, KeyAlgorithm::P256))?;
//!     Ok(key.spki_der)
//! }
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

mod ability;
mod certificate;
mod create;
mod element;
mod encoding;
#[doc(hidden)]
pub mod hostile;
mod module;
mod object;
mod offers;
mod pin_state;
mod refusal;
mod token;
pub mod uri;

pub use token::Token;
pub use uri::{Uri, UriError, UriFault};
