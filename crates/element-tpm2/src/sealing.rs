//! Sealed secrets: objects of the TPM that are kept outside it, in the form of TSS2 key files
//! (`TPMKey` of the type sealed, in DER).

use crate::bound::{self, Bound};
use crate::told::local;
use crate::tpm::{Tpm, selected};
use touchstone_element::{Error, SealTo, Sealing, Secret};
use touchstone_tpm2::pem::{KeyFile, KeyKind};
use touchstone_tpm2::{Auth, AuthValue, NewObject, template};

/// What every TPM seals (`MAX_SYM_DATA`, Part 2 §A.2).
pub(crate) const LIMIT: usize = 128;
/// An authorization value is a digest long at most (Part 1 §17.6.4.2).
const LONGEST_PASSWORD: usize = 32;

impl Sealing for Tpm {
    fn seal(&mut self, secret: &[u8], to: &SealTo) -> Result<Vec<u8>, Error> {
        if secret.len() > LIMIT {
            return Err(Error::TooLarge { limit: LIMIT });
        }
        if secret.is_empty() {
            return Err(Error::BadInput("there is nothing to seal"));
        }
        let value = to.password.as_ref().map(value_of).transpose()?;
        let mut template = template::sealed();
        if value.is_some() {
            template = template.guarded_by_lockout();
        }
        let mut commands = Vec::new();
        if let Some(pcrs) = &to.pcrs {
            let selection = selected(&pcrs.selection)?;
            let values = match &pcrs.values {
                Some(values) if values.len() == pcrs.selection.pcrs.len() => values.clone(),
                Some(_) => return Err(Error::BadInput("a value for each PCR is needed")),
                None => self.ask(|tpm| tpm.pcr_read(&selection))?,
            };
            let mut bound = Bound::new().with_pcrs(selection, &values).map_err(local)?;
            if value.is_some() {
                bound = bound.with_value();
            }
            template = template.only_with_policy(&bound.digest().map_err(local)?);
            commands = bound.commands;
        }
        let empty_auth = value.is_none();
        let new = NewObject::new(template).auth(value.unwrap_or_default()).data(secret);
        let created = self.ask(|tpm| {
            let parent = tpm.srk()?;
            tpm.create(&parent, Auth::empty(), &new)
        })?;
        let file = KeyFile {
            kind: KeyKind::Sealed,
            empty_auth,
            policy: commands,
            ..KeyFile::loadable(created.native, created.private)
        };
        file.to_der().map_err(|_| Error::Malformed("what was sealed fits no file"))
    }

    fn unseal(&mut self, sealed: &[u8], password: Option<&Secret>) -> Result<Secret, Error> {
        let file = KeyFile::from_der(sealed)
            .map_err(|_| Error::BadInput("not a sealed secret (a TSS2 key file in DER)"))?;
        if file.kind != KeyKind::Sealed {
            return Err(Error::BadInput("a key, not a sealed secret"));
        }
        let value = match password {
            // Known beforehand, so that no try is spent on it.
            None if !file.empty_auth => {
                return Err(Error::WrongAuthorization { tries_left: None });
            }
            Some(password) if !file.empty_auth => value_of(password)?,
            _ => AuthValue::default(),
        };
        let object = self.load_file(&file)?;
        let opened = self.ask(|tpm| {
            bound::using(tpm, &file.policy, &value, |tpm, auth| tpm.unseal(&object, auth))
        });
        self.ask(|tpm| tpm.flush(object.entity.handle))?;
        Ok(Secret::new(opened?.to_vec()))
    }
}

fn value_of(password: &Secret) -> Result<AuthValue, Error> {
    let octets = password.expose();
    let value = AuthValue::new(octets);
    if value.is_empty() || octets.len() > LONGEST_PASSWORD || value.expose() != octets {
        return Err(Error::BadInput(
            "a TPM's password is 1 to 32 octets, and the last of them is not zero",
        ));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_a_tpm_would_shorten_is_refused() {
        for bad in [&b""[..], b"pin\0", &[1; 33]] {
            assert!(value_of(&Secret::new(bad.to_vec())).is_err());
        }
        assert!(value_of(&Secret::new(b"p\0n".to_vec())).is_ok());
    }
}
