//! The keys of the device's maker: their certificates, and the keys wherever the maker left them.
//!
//! A certificate stands in the index that the TCG sets aside (TPM 2.0 Keys for Device Identity and
//! Attestation §7.3.2), or is given by whoever opens the TPM. Its key is the one at a persistent handle that
//! it is for, or else comes back from its template (§7.3.1).

use crate::kinds::public_key;
use crate::told::local;
use crate::tpm::{Loaded, Tpm};
use touchstone_certs::Certificate;
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{DeviceIdentity, Error};
use touchstone_tpm2::nv::split_certificates;
use touchstone_tpm2::template::DeviceKey;
use touchstone_tpm2::{self as tpm2, Hierarchy, Object};

/// The first persistent handle (TPM 2.0 Part 2 §7.2).
const PERSISTENT: u32 = 0x8100_0000;

/// Certificates of the maker that stand somewhere else than in the TPM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MakersCertificates {
    /// Of the IDevID, in DER, its own first, then those of its issuers; none are looked for in the TPM.
    pub idevid: Vec<Vec<u8>>,
    /// Of the IAK.
    pub iak: Vec<Vec<u8>>,
}

/// What is known of the maker's keys.
#[derive(Default)]
pub(crate) struct Makers {
    given: MakersCertificates,
    idevid: Option<Found>,
    iak: Option<Found>,
}

/// A key that was found.
#[derive(Clone)]
struct Found {
    identity: DeviceIdentity,
    place: Place,
}

#[derive(Clone, Copy)]
enum Place {
    /// At this persistent handle.
    Kept(u32),
    /// It is made from its template.
    Template,
}

impl Makers {
    fn found(&mut self, key: DeviceKey) -> &mut Option<Found> {
        match key {
            DeviceKey::IDevId => &mut self.idevid,
            DeviceKey::Iak => &mut self.iak,
        }
    }

    /// To be looked for again.
    pub(crate) fn forget(&mut self) {
        (self.idevid, self.iak) = (None, None);
    }
}

impl Tpm {
    /// The same with certificates of the maker that stand somewhere else than in the TPM.
    #[must_use]
    pub fn with_makers_certificates(mut self, given: MakersCertificates) -> Self {
        self.makers = Makers { given, ..Makers::default() };
        self
    }

    pub(crate) fn maker_key(&mut self, key: DeviceKey) -> Result<Option<DeviceIdentity>, Error> {
        Ok(self.find_makers_key(key)?.map(|found| found.identity))
    }

    /// Lends out a key that the maker certified.
    pub(crate) fn with_makers_key<T>(
        &mut self,
        key: DeviceKey,
        serve: impl FnOnce(&mut Self, &Loaded) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let unknown = || Error::UnknownKey(key.name().to_owned());
        match self.find_makers_key(key)?.ok_or_else(unknown)?.place {
            Place::Template => self.with_device_key(key, serve),
            Place::Kept(handle) => {
                let object = self.ask(|tpm| tpm.read_public(handle))?;
                serve(self, &Loaded { object, maker: Some(key), policy: Vec::new() })
            }
        }
    }

    fn find_makers_key(&mut self, key: DeviceKey) -> Result<Option<Found>, Error> {
        if let Some(found) = self.makers.found(key) {
            return Ok(Some(found.clone()));
        }
        let certificates = self.makers_certificates(key)?;
        let Some(leaf) = certificates.first() else { return Ok(None) };
        let leaf = Certificate::decode(leaf)
            .map_err(|_| Error::Malformed("the maker's certificate does not parse"))?;
        let (native, place) = if let Some(kept) = self.kept(leaf.spki_der())? {
            (kept.native, Place::Kept(kept.entity.handle))
        } else {
            let made = self.with_device_key(key, |_, made| Ok(made.object.native.clone()))?;
            (made, Place::Template)
        };
        let public = public_key(native)?;
        if public.spki_der != leaf.spki_der() {
            return Err(Error::CertificateOfAnother(key.name()));
        }
        let found = Found { identity: DeviceIdentity { public, certificates }, place };
        Ok(Some(self.makers.found(key).insert(found).clone()))
    }

    fn makers_certificates(&mut self, key: DeviceKey) -> Result<Vec<Vec<u8>>, Error> {
        let given = match key {
            DeviceKey::IDevId => &self.makers.given.idevid,
            DeviceKey::Iak => &self.makers.given.iak,
        };
        if !given.is_empty() {
            return Ok(given.clone());
        }
        let Some(stored) = self.ask(|tpm| tpm.nv_read_open(key.certificate()))? else {
            return Ok(Vec::new());
        };
        let certificates = split_certificates(&stored).map_err(local)?;
        if certificates.is_empty() {
            return Err(Error::Malformed("the index of the device identity holds no certificate"));
        }
        Ok(certificates)
    }

    /// The key at a persistent handle, whichever that is.
    fn kept(&mut self, spki_der: &[u8]) -> Result<Option<Object>, Error> {
        for handle in self.ask(|tpm| tpm.handles(PERSISTENT))? {
            let object = self.ask(|tpm| match tpm.read_public(handle) {
                Ok(object) => Ok(Some(object)),
                // What is there is of a kind that has no name here.
                Err(tpm2::Error::Refused(_) | tpm2::Error::Unsupported(_)) => Ok(None),
                Err(error) => Err(error),
            })?;
            let Some(object) = object else { continue };
            if object.public.spki_der().is_ok_and(|spki| spki == spki_der) {
                return Ok(Some(object));
            }
        }
        Ok(None)
    }

    /// Makes a key from its template, lends it out and unloads it.
    pub(crate) fn with_device_key<T>(
        &mut self,
        key: DeviceKey,
        serve: impl FnOnce(&mut Self, &Loaded) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let object = self.primary(Hierarchy::Endorsement, &key.template(&AwsLc))?;
        self.lend(&Loaded { object, maker: Some(key), policy: Vec::new() }, serve)
    }
}
