//! Certificates of our own making.

use crate::{ClientAuth, ClientSetup, Identity, ServerSetup};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

/// The time at which everything here happens: 2026-01-01.
pub(super) const NOW: u64 = 1_767_225_600;

fn name_of(key: &KeyPair) -> String {
    key.public_key_raw().iter().map(|octet| format!("{octet:02x}")).take(20).collect()
}

/// A root, and what it issues.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: Vec<u8>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        // Two authorities of one name would differ by their signatures alone.
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("root {}", name_of(&key)));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { issuer: Issuer::new(params, key), der }
    }

    pub(super) fn roots(&self) -> Vec<Vec<u8>> {
        vec![self.der.clone()]
    }

    pub(super) fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2025, 1, 1);
        params.not_after = date_time_ymd(2027, 1, 1);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued { der: certificate.der().to_vec(), pem: certificate.pem(), key: key.serialize_pem() }
    }

    pub(super) fn identity(&self, name: &str) -> Identity {
        self.issue(name, |_| {}).identity()
    }
}

pub(super) struct Issued {
    pub(super) der: Vec<u8>,
    pub(super) pem: String,
    pub(super) key: String,
}

impl Issued {
    pub(super) fn identity(&self) -> Identity {
        Identity::from_pem(self.pem.as_bytes(), self.key.as_bytes()).unwrap()
    }
}

pub(super) fn client(roots: &[Vec<u8>]) -> ClientSetup {
    ClientSetup::new(roots).clock(|| Some(NOW))
}

pub(super) fn server(identity: Identity, auth: ClientAuth) -> ServerSetup {
    ServerSetup::new(identity, auth).clock(|| Some(NOW))
}
