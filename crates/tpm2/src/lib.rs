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

macro_rules! with_alloc {
    ($($item:item)*) => { $(#[cfg(feature = "alloc")] $item)* };
}

with_alloc! {
    pub mod auth;
    pub mod code;
    mod command;
    pub mod credential;
    mod error;
    mod handle;
    #[doc(hidden)]
    pub mod hostile;
    pub mod kdf;
    pub mod marshal;
    pub mod nv;
    pub mod object;
    pub mod pcr;
    pub mod pem;
    pub mod policy;
    mod protect;
    pub mod public;
    pub mod response;
    pub mod response_code;
    pub mod session;
    pub mod signature;
    pub mod template;
    mod tpm;

    pub use auth::{Auth, AuthValue, Hierarchies};
    pub use command::{Answer, Command};
    pub use credential::Credential;
    pub use error::{Error, Refusal};
    pub use handle::{Entity, HandleKind, Hierarchy};
    pub use object::{Created, NewObject, Object, Sensitive};
    pub use pcr::PcrSelection;
    pub use public::{Public, name_of};
    pub use session::{NewSession, SessionId, SessionKind};
    pub use tpm::Tpm;
}

pub use transport::{Locality, MAX_MESSAGE, Transport, TransportError, tis};
