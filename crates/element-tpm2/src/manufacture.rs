//! What the maker of a device does once: identity keys that come back from their template, and
//! their certificates stored beside them (TCG TPM 2.0 Keys for Device Identity and Attestation §7.3).

use crate::kinds::public_key;
use crate::storage::{self, MAX_CERTIFICATE};
use crate::told::local;
use crate::tpm::Tpm;
use touchstone_element::{DeviceIdentity, Error, PublicKey};
use touchstone_tpm2::nv::split_certificates;
use touchstone_tpm2::template::DeviceKey;

/// Makes the IDevID: `sign_certificate` gets its public key and gives the certificate in DER,
/// followed by those above it if they shall travel along; 2048 octets in all.
///
/// Doing it again gives the same key and replaces the certificate. The certificate goes to the
/// platform hierarchy, which `TPM2_Clear` spares, when that is open; the firmware of a device in the
/// field closes it, and then it goes to the owner's.
pub fn idevid<E: From<Error>>(
    tpm: &mut Tpm,
    sign_certificate: impl FnOnce(&PublicKey) -> Result<Vec<u8>, E>,
) -> Result<DeviceIdentity, E> {
    make(tpm, DeviceKey::IDevId, sign_certificate)
}

/// Makes the IAK, an attestation key, as [`idevid`] makes the IDevID.
pub fn iak<E: From<Error>>(
    tpm: &mut Tpm,
    sign_certificate: impl FnOnce(&PublicKey) -> Result<Vec<u8>, E>,
) -> Result<DeviceIdentity, E> {
    make(tpm, DeviceKey::Iak, sign_certificate)
}

fn make<E: From<Error>>(
    tpm: &mut Tpm,
    key: DeviceKey,
    sign_certificate: impl FnOnce(&PublicKey) -> Result<Vec<u8>, E>,
) -> Result<DeviceIdentity, E> {
    let public = tpm.with_device_key(key, |_, loaded| public_key(loaded.object.native.clone()))?;
    let stored = sign_certificate(&public)?;
    let certificates = split_certificates(&stored).map_err(local)?;
    if certificates.is_empty() {
        return Err(Error::BadInput("the device identity's certificate is empty").into());
    }
    if stored.len() > usize::from(MAX_CERTIFICATE) {
        return Err(Error::TooLarge { limit: usize::from(MAX_CERTIFICATE) }.into());
    }
    tpm.ask(|tpm| storage::store_certificate(tpm, key.certificate(), &stored))?;
    tpm.makers.forget();
    Ok(DeviceIdentity { public, certificates })
}
