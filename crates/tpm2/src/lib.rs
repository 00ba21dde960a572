//! TPM 2.0 down to the wire: commands, sessions, policies, transports.
//!
//! Anything that carries one command and its response is a [`Transport`]; a [`Tpm`] is one
//! conversation over it. What is secret in a command or a response is encrypted by default, in a
//! session that the conversation keeps open.
//!
//! What this is not: an element with named keys (`touchstone-element-tpm2` is), nor a judge of what
//! a TPM states. [`credential::make`] and [`public`] also serve those who have no TPM.
//!
#![cfg_attr(
    feature = "std",
    doc = "
```no_run
use touchstone_tpm2::transport::Device;
use touchstone_tpm2::{Auth, Command, Error, PcrSelection, Tpm, code};
# fn provider() -> &'static dyn touchstone_crypto::TpmCrypto { unimplemented!() }

let device = Device::open(\"/dev/tpmrm0\")?;
let mut tpm = Tpm::new(Box::new(device), provider());
tpm.recover()?;
let boot = PcrSelection::new(touchstone_crypto::HashAlgorithm::Sha256, &[0, 1, 2, 3, 4, 5, 6, 7])?;
let values = tpm.pcr_read(&boot)?;
let mut nonce = [0; 32];
tpm.random(&mut nonce)?; // encrypted on its way
tpm.run(&Command::new(code::SELF_TEST).parameters(
    touchstone_tpm2::marshal::Writer::default().u8(1)
))?;
# Ok::<(), Error>(())
```
"
)]
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod transport;

#[cfg(feature = "alloc")]
pub mod admin;
#[cfg(feature = "alloc")]
pub mod attestation;
#[cfg(feature = "alloc")]
pub mod auth;
#[cfg(feature = "alloc")]
pub mod code;
#[cfg(feature = "alloc")]
mod command;
#[cfg(feature = "alloc")]
pub mod credential;
#[cfg(feature = "alloc")]
mod error;
#[cfg(feature = "alloc")]
mod handle;
#[doc(hidden)]
#[cfg(feature = "alloc")]
pub mod hostile;
#[cfg(feature = "alloc")]
pub mod kdf;
#[cfg(feature = "alloc")]
pub mod marshal;
#[cfg(feature = "alloc")]
pub mod nv;
#[cfg(feature = "alloc")]
pub mod object;
#[cfg(feature = "alloc")]
pub mod pcr;
#[cfg(feature = "alloc")]
pub mod pem;
#[cfg(feature = "alloc")]
pub mod policy;
#[cfg(feature = "alloc")]
mod protect;
#[cfg(feature = "alloc")]
pub mod public;
#[cfg(feature = "alloc")]
pub mod response;
#[cfg(feature = "alloc")]
pub mod response_code;
#[cfg(feature = "alloc")]
pub mod session;
#[cfg(feature = "alloc")]
pub mod signature;
#[cfg(feature = "alloc")]
pub mod template;
#[cfg(feature = "alloc")]
mod tpm;

#[cfg(feature = "alloc")]
pub use auth::{Auth, AuthValue, Hierarchies};
#[cfg(feature = "alloc")]
pub use command::{Answer, Command};
#[cfg(feature = "alloc")]
pub use credential::Credential;
#[cfg(feature = "alloc")]
pub use error::{Error, Lockout, Refusal, Slots};
#[cfg(feature = "alloc")]
pub use handle::{Entity, HandleKind, Hierarchy};
#[cfg(feature = "alloc")]
pub use object::{Created, NewObject, Object, Sensitive};
#[cfg(feature = "alloc")]
pub use pcr::PcrSelection;
#[cfg(feature = "alloc")]
pub use policy::{Policy, Unsatisfied};
#[cfg(feature = "alloc")]
pub use public::{Public, name_of};
#[cfg(feature = "alloc")]
pub use session::{NewSession, SessionId, SessionKind};
#[cfg(feature = "alloc")]
pub use tpm::Tpm;

pub use transport::{Locality, MAX_MESSAGE, Transport, TransportError, tis};
