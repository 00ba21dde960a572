//! Elements for programs: where one is, how it is opened, and who answers an engine's asks from it.
//!
//! * [`Location`] is what settings and command lines say: `tpm:/dev/tpmrm0`, `pkcs11:token=…`,
//!   `software:/var/lib/…?secret=…`; [`Location::open`] opens any of them.
//! * [`Elements`] are those of one device, so that a
//!   [`Reference`](touchstone_element::Reference) in a configuration leads to a key.
//! * [`Desk`] answers asks from a slow element on a thread of its own.
//!   [`ElementSigner`](touchstone_element::ElementSigner) is for libraries that insist on waiting.
//!
//! Which kinds can be opened is a matter of this crate's features (`tpm`, `software`, `pkcs11`). All
//! of them parse everywhere; one that is not built in is refused with these words when it is opened.

mod desk;
mod location;
mod open;

pub use desk::{Answered, Desk, DeskError, Job};
pub use location::{Location, LocationError, SoftwareKey};
pub use open::{Elements, OpenKey};
