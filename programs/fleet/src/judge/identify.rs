//! Who is at the other end: a device by its IDevID or LDevID, a checkpoint, or nobody known.
//! TLS has proven that the peer holds its certificate's key and that the chain is valid.

use super::{Judge, No};
use crate::authority::sha256_hex;
use crate::clock;
use crate::serve::Peer;
use crate::store::{CertificateRow, DeviceRow, Status};
use touchstone_certs::{Certificate, Purpose};
use touchstone_crypto_awslc::AwsLc;

/// Who a certificate belongs to.
#[derive(Debug)]
pub struct Identity {
    /// The certificate that was shown.
    pub certificate: Certificate,
    /// Whose it is.
    pub person: Person,
}

/// Who somebody is.
#[derive(Debug)]
pub enum Person {
    /// A device with its maker's certificate (IDevID), onboarded or not yet.
    Made(Option<Box<DeviceRow>>),
    /// A device with a certificate of ours (LDevID).
    Enrolled(Box<DeviceRow>, Box<CertificateRow>),
    /// A checkpoint with a certificate of ours.
    Checkpoint(Box<CertificateRow>),
    /// Somebody with another certificate of ours, and the device that it was issued to.
    Holder(Option<Box<DeviceRow>>, Box<CertificateRow>),
}

/// SHA-256 of the certificate that a peer has shown; `None` without one.
pub(crate) fn peer_sha256(peer: &Peer) -> Option<String> {
    peer.certificates.first().map(|leaf| sha256_hex(leaf))
}

impl Judge {
    /// Finds out who the peer is.
    pub async fn identify(&self, peer: &Peer) -> Result<Identity, No> {
        let leaf = peer.certificates.first().ok_or_else(|| {
            No::refused("exchange.certificate", "show the device's certificate in TLS")
        })?;
        let certificate = Certificate::decode(leaf).map_err(|error| {
            No::refused("exchange.certificate", format!("the certificate does not parse: {error}"))
        })?;
        let (shown, now) = (certificate.clone(), clock::now());
        let person = match self.store.call(move |db| db.recorded(&shown, now)).await? {
            Some(row) => self.issued_by_us(row).await?,
            None => self.made_by_a_maker(&certificate, peer).await?,
        };
        Ok(Identity { certificate, person })
    }

    async fn issued_by_us(&self, row: CertificateRow) -> Result<Person, No> {
        match &row.status {
            Status::Good => {}
            Status::Expired => {
                return Err(No::refused(
                    "attest.certificate.expired",
                    "the certificate has expired; come back with the IDevID",
                ));
            }
            Status::Revoked { reason, .. } => {
                return Err(No::refused(
                    "attest.certificate.revoked",
                    format!("the certificate was revoked ({reason}); come back with the IDevID"),
                ));
            }
        }
        match (row.kind.as_str(), row.device.clone()) {
            ("device", Some(device)) => {
                let found = self.store.call(move |db| db.device(&device)).await?;
                let device = found.ok_or(No::Failed)?;
                Ok(Person::Enrolled(Box::new(device), Box::new(row)))
            }
            ("checkpoint", _) => Ok(Person::Checkpoint(Box::new(row))),
            (_, Some(device)) => {
                let found = self.store.call(move |db| db.device(&device)).await?;
                Ok(Person::Holder(found.map(Box::new), Box::new(row)))
            }
            (_, None) => Ok(Person::Holder(None, Box::new(row))),
        }
    }

    async fn made_by_a_maker(&self, leaf: &Certificate, peer: &Peer) -> Result<Person, No> {
        let issuers: Vec<Certificate> = peer
            .certificates
            .iter()
            .skip(1)
            .filter_map(|der| Certificate::decode(der).ok())
            .collect();
        self.trust
            .device_roots
            .validate(&AwsLc, leaf, &issuers, clock::now(), Purpose::DeviceIdentity)
            .map_err(|error| {
                No::refused(
                    "exchange.certificate",
                    format!("not the IDevID of a known maker: {error}"),
                )
            })?;
        let sha256 = sha256_hex(leaf.spki_der());
        let found = self.store.call(move |db| db.device_by_idevid(&sha256)).await?;
        Ok(Person::Made(found.map(Box::new)))
    }

    /// The device that the peer is, however it shows it.
    pub async fn device(&self, peer: &Peer) -> Result<DeviceRow, No> {
        match self.identify(peer).await?.person {
            Person::Made(Some(device)) | Person::Enrolled(device, _) => Ok(*device),
            Person::Made(None) => Err(No::refused(
                "attest.device.unknown",
                "this device was not onboarded; run the enroll exchange first",
            )),
            Person::Checkpoint(_) | Person::Holder(..) => Err(stranger()),
        }
    }
}

fn stranger() -> No {
    No::refused("exchange.certificate", "this certificate is not for a device")
}
