//! The root key: from what opens the store to 32 octets that everything else is derived from.

use crate::cipher::{self, Key};
use crate::disk;
use crate::{Cost, KeySource};
use argon2::{Algorithm, Argon2, Params, Version};
use std::path::{Path, PathBuf};
use touchstone_element::Error;
use zeroize::Zeroizing;

/// Octets of the shortest secret that needs no stretching.
const SHORTEST: usize = 32;
/// Octets of the longest.
const LONGEST: usize = 4096;

/// How the root key is made, as a store's header says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// From a secret with enough entropy.
    Secret,
    /// From a passphrase.
    Passphrase(Cost),
}

/// The root key of a store.
pub(crate) struct Root {
    key: Key,
}

impl Root {
    /// The kind of a store that `source` makes.
    pub(crate) fn kind(source: &KeySource) -> Result<Kind, Error> {
        match source {
            KeySource::Passphrase { cost, .. } if !cost.is_sound() => Err(Error::BadInput(
                "a passphrase's cost is 8 MiB to 1 GiB, 1 to 64 passes and 1 to 16 lanes",
            )),
            KeySource::Passphrase { cost, .. } => Ok(Kind::Passphrase(*cost)),
            _ => Ok(Kind::Secret),
        }
    }

    /// The root key of a store of that kind and salt. `fresh` when the store is being made: then a
    /// machine secret that is not there is made too.
    pub(crate) fn derive(
        source: &KeySource,
        kind: Kind,
        salt: &[u8; 32],
        fresh: bool,
    ) -> Result<Self, Error> {
        let mut key = Key::default();
        match (source, kind) {
            (KeySource::MachineSecret(path), Kind::Secret) => {
                let secret = machine_secret(path, fresh)?;
                cipher::derive(salt, &secret, &[b"touchstone software element root"], &mut *key)?;
            }
            (KeySource::Credential(name), Kind::Secret) => {
                let secret = read_secret(&credential(name)?)?;
                cipher::derive(salt, &secret, &[b"touchstone software element root"], &mut *key)?;
            }
            (KeySource::Passphrase { passphrase, .. }, Kind::Passphrase(cost)) => {
                key = stretch(passphrase.expose(), salt, cost)?;
            }
            (_, Kind::Passphrase(_)) => {
                return Err(Error::BadInput("the store opens with a passphrase; give it"));
            }
            (_, Kind::Secret) => {
                return Err(Error::BadInput(
                    "the store opens with a machine secret or a credential, not a passphrase",
                ));
            }
        }
        Ok(Self { key })
    }

    /// The root key itself.
    pub(crate) fn expose(&self) -> &[u8] {
        self.key.as_ref()
    }

    /// Octets that tell one root key from another, and nothing else.
    pub(crate) fn check(&self) -> Result<[u8; 16], Error> {
        let mut check = [0; 16];
        cipher::derive(&[], self.expose(), &[b"touchstone software element check"], &mut check)?;
        Ok(check)
    }
}

/// Argon2id (RFC 9106).
pub(crate) fn stretch(passphrase: &[u8], salt: &[u8; 32], cost: Cost) -> Result<Key, Error> {
    if passphrase.is_empty() {
        return Err(Error::BadInput("a passphrase is not empty"));
    }
    let bad = |_| Error::BadInput("a passphrase is shorter than 4 GiB and its cost within bounds");
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(bad)?;
    let mut key = Key::default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, salt, key.as_mut())
        .map_err(bad)?;
    Ok(key)
}

fn machine_secret(path: &Path, fresh: bool) -> Result<Zeroizing<Vec<u8>>, Error> {
    if fresh && !disk::exists(path)? {
        let secret = Zeroizing::new(cipher::random::<SHORTEST>()?);
        disk::replace(path, secret.as_ref())?;
    }
    read_secret(path)
}

fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let missing = || disk::fault(path, std::io::ErrorKind::NotFound.into());
    let secret = disk::read(path, LONGEST)?.ok_or_else(missing)?;
    if secret.len() < SHORTEST {
        return Err(Error::BadInput("a machine secret or credential has 32 to 4096 octets"));
    }
    Ok(secret)
}

fn credential(name: &str) -> Result<PathBuf, Error> {
    let plain = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
    if !plain {
        return Err(Error::BadInput("a credential's name is a file's name, without `/`"));
    }
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or(Error::BadInput(
        "there is no $CREDENTIALS_DIRECTORY; give the service LoadCredentialEncrypted=",
    ))?;
    Ok(Path::new(&folder).join(name))
}
