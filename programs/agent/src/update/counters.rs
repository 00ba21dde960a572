//! Rollback counters: the last version of each component, in storage that a rolled-back disk does
//! not roll back.

use std::sync::{Arc, Mutex};
use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{Error, Storage};

/// Numbers that only ever rise.
pub trait Counters {
    /// The number kept for a component; `None` before the first.
    fn last(&mut self, component: &str) -> Result<Option<u64>, Error>;

    /// Keeps a higher number.
    fn raise(&mut self, component: &str, to: u64) -> Result<(), Error>;
}

impl<S: Storage> Counters for Arc<Mutex<S>> {
    fn last(&mut self, component: &str) -> Result<Option<u64>, Error> {
        let value = self.lock().map_err(|_| Error::Poisoned)?.load(&name(component))?;
        let number = |bytes: Vec<u8>| {
            let bytes: [u8; 8] = bytes.try_into().map_err(|_| {
                Error::Malformed("the rollback counter in the element is not eight octets")
            })?;
            Ok(u64::from_be_bytes(bytes))
        };
        value.map(number).transpose()
    }

    fn raise(&mut self, component: &str, to: u64) -> Result<(), Error> {
        self.lock().map_err(|_| Error::Poisoned)?.store(&name(component), &to.to_be_bytes())
    }
}

/// A name that the element takes, for any component's name.
fn name(component: &str) -> String {
    let digest = AwsLc.hash(HashAlgorithm::Sha256, &[component.as_bytes()]).to_hex();
    format!("update-{}", digest.get(..16).unwrap_or_default())
}
