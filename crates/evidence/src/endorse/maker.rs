//! Keys that a device's maker put into its element and certified: the IAK, which attests, and the
//! IDevID, which is who the device is (TCG, TPM 2.0 Keys for Device Identity and Attestation §8;
//! IEEE 802.1AR §8). With them an attestation key is believed by the device's maker, without an
//! endorsement key and without a credential.

use super::{MAX_CERTIFICATES, decoded, lak_binding, same_key};
use crate::Error;
use crate::cbor::{Out, Reader, Written};
use crate::tpm::{LakPublic, verify_certify};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use touchstone_certs::issue::{Kind, Profile, ProfileFault};
use touchstone_certs::{AlternativeName, Certificate, Purpose, TrustStore};
use touchstone_crypto::{Crypto, Verified};

/// What a device shows of its IAK: the maker's certificate, and that it is in the attestation key's TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MakersProof {
    /// TPMT_PUBLIC of the IAK.
    pub iak_public: Vec<u8>,
    /// Its certificate in DER, then those of issuers, of the IDevID's too, as far as the device has them.
    pub certificates: Vec<Vec<u8>>,
    /// TPMS_ATTEST: what the IAK says of the attestation key, qualified by [`lak_binding`].
    pub attest: Vec<u8>,
    /// TPMT_SIGNATURE.
    pub signature: Vec<u8>,
}

impl MakersProof {
    pub(super) fn encode(&self, out: &mut Out) -> Written {
        out.array(4)?.bytes(&self.iak_public)?.array(self.certificates.len() as u64)?;
        for certificate in &self.certificates {
            out.bytes(certificate)?;
        }
        out.bytes(&self.attest)?.bytes(&self.signature)?;
        Ok(())
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, Error> {
        match reader.array(4)? {
            0 => Ok(None),
            4 => Ok(Some(Self {
                iak_public: reader.bytes()?.to_vec(),
                certificates: reader
                    .list(MAX_CERTIFICATES, |reader| reader.bytes().map(<[u8]>::to_vec))?,
                attest: reader.bytes()?.to_vec(),
                signature: reader.bytes()?.to_vec(),
            })),
            _ => Err(reader.malformed()),
        }
    }

    /// Checks that a maker certified the IAK and the IDevID of one device, and that the IAK certifies
    /// the attestation key `object`: both never leave their TPM, so that it is the maker's.
    pub(super) fn verify(
        &self,
        crypto: &dyn Crypto,
        makers: &TrustStore,
        object: &[u8],
        idevid: &[Certificate],
        now: u64,
    ) -> Result<MadeDevice, Error> {
        let certificates = decoded(&self.certificates)?;
        let (iak, above) = certificates.split_first().ok_or(Error::NoIak)?;
        let (identity, beside) = match idevid.split_first() {
            Some((leaf, issuers)) => (Some(leaf), issuers),
            None => (None, &[][..]),
        };
        let issuers: Vec<Certificate> = above.iter().chain(beside).cloned().collect();
        let iak_public: &[u8] = &self.iak_public;
        let keys = MakersKeys { iak_public, iak, idevid: identity, issuers: &issuers };
        let made = keys.verify(crypto, makers, now)?.into_inner();
        let binding = lak_binding(crypto, iak_public);
        verify_certify(crypto, &self.attest, &self.signature, &made.iak, object, &binding)?;
        Ok(made)
    }
}

/// The maker's keys of one device, as it shows them.
#[derive(Clone, Copy, Debug)]
pub struct MakersKeys<'a> {
    /// TPMT_PUBLIC of the IAK.
    pub iak_public: &'a [u8],
    /// Its certificate.
    pub iak: &'a Certificate,
    /// The IDevID's certificate, if it has one.
    pub idevid: Option<&'a Certificate>,
    /// Certificates of issuers, as far as the device has them.
    pub issuers: &'a [Certificate],
}

/// What a maker vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeDevice {
    /// The IAK: what it quotes is quoted by that maker's device.
    pub iak: LakPublic,
    /// `SubjectPublicKeyInfo` of the IDevID.
    pub identity_spki: Option<Vec<u8>>,
    /// The kind of hardware module, as a dotted object identifier: 2.23.133.1.2 is a TPM 2.0.
    pub hardware_kind: String,
    /// The module's serial number.
    pub hardware_serial: Vec<u8>,
    /// Who certified the IAK (RFC 4514).
    pub issuer: String,
}

impl MakersKeys<'_> {
    /// Checks that the certificates lead to one of the makers at `now`, are of the profiles of an IAK
    /// and an IDevID, belong to the keys, and name the same hardware module.
    pub fn verify(
        &self,
        crypto: &dyn Crypto,
        makers: &TrustStore,
        now: u64,
    ) -> Result<Verified<MadeDevice>, Error> {
        let iak = LakPublic::from_native(self.iak_public).map_err(|error| match error {
            Error::KeyAttributes(missing) => Error::MakersAttributes(missing),
            other => other.in_item("TPMT_PUBLIC of the IAK"),
        })?;
        let refused = |what| move |error| Error::MakersCertificate { what, error };
        makers
            .validate(crypto, self.iak, self.issuers, now, Purpose::Any)
            .map_err(refused("IAK"))?;
        of_profile("IAK", Kind::AttestationKey, self.iak)?;
        if !same_key(iak.spki_der(), self.iak.spki_der()) {
            return Err(Error::MakersKey("IAK"));
        }
        let (hardware_kind, hardware_serial) = module("IAK", self.iak)?;
        if let Some(idevid) = self.idevid {
            makers
                .validate(crypto, idevid, self.issuers, now, Purpose::DeviceIdentity)
                .map_err(refused("IDevID"))?;
            of_profile("IDevID", Kind::IDevId, idevid)?;
            if module("IDevID", idevid)? != (hardware_kind, hardware_serial) {
                return Err(Error::MakersModule);
            }
            if same_key(iak.spki_der(), idevid.spki_der()) {
                return Err(Error::MakersKey("IDevID"));
            }
        }
        Ok(Verified::vouch(MadeDevice {
            identity_spki: self.idevid.map(|idevid| idevid.spki_der().to_vec()),
            hardware_kind: hardware_kind.to_owned(),
            hardware_serial: hardware_serial.to_vec(),
            issuer: self.iak.issuer().to_owned(),
            iak,
        }))
    }
}

fn of_profile(what: &'static str, kind: Kind, certificate: &Certificate) -> Result<(), Error> {
    let faults = Profile::from(kind).check(certificate).err().unwrap_or_default();
    faults.first().map_or(Ok(()), |fault| Err(Error::MakersProfile { what, fault: *fault }))
}

/// The hardware module that a certificate names.
fn module<'c>(
    what: &'static str,
    certificate: &'c Certificate,
) -> Result<(&'c str, &'c [u8]), Error> {
    let mut modules = certificate.alternative_names().iter().filter_map(|name| match name {
        AlternativeName::HardwareModule { kind, serial } => {
            Some((kind.as_str(), serial.as_slice()))
        }
        _ => None,
    });
    let missing = Error::MakersProfile { what, fault: ProfileFault::Names };
    match (modules.next(), modules.next()) {
        (Some(module), None) if !module.1.is_empty() => Ok(module),
        _ => Err(missing),
    }
}
