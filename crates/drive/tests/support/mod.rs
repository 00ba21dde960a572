//! Certificates of our own making, and configurations with them.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use touchstone_tls::{ClientAuth, ClientConfig, ClientSetup, Identity, ServerConfig, ServerSetup};

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub der: Vec<u8>,
    pub pem: String,
}

pub struct Issued {
    pub der: Vec<u8>,
    pub pem: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let (der, pem) = (certificate.der().to_vec(), certificate.pem());
        Self { issuer: Issuer::new(params, key), der, pem }
    }

    pub fn roots(&self) -> Vec<Vec<u8>> {
        vec![self.der.clone()]
    }

    pub fn issue(&self, name: &str) -> Issued {
        self.issue_until(name, 2090)
    }

    pub fn issue_until(&self, name: &str, year: i32) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued { der: certificate.der().to_vec(), pem: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Issued {
    pub fn identity(&self) -> Identity {
        Identity::from_pem(self.pem.as_bytes(), self.key.as_bytes()).unwrap()
    }
}

/// A client and a server under one authority; the server is `127.0.0.1` and wants a certificate.
pub fn mutual() -> (ClientConfig, ServerConfig) {
    let ca = Authority::new("root");
    let client = ClientSetup::new(&ca.roots()).identity(ca.issue("device").identity());
    let auth = ClientAuth::Required(ca.roots());
    let server = ServerSetup::new(ca.issue("127.0.0.1").identity(), auth);
    (client.build().unwrap(), server.build().unwrap())
}
