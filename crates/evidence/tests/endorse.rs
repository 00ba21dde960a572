//! The endorsements of the rig's device: real EK certificates, and everything that can be wrong.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests fail loudly"
)]

mod attester;

use attester::{LAK_ATTRIBUTES, SIGN_ATTRIBUTES, certify, ecc_public, key, sized};
use touchstone_certs::issue::{Kind, Template};
use touchstone_certs::{Certificate, Name, TrustStore};
use touchstone_crypto::{Signer, Verified};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_evidence::Error;
use touchstone_evidence::endorse::{
    Believed, Bundle, CertifiedKey, Endorsed, Wanted, identity_binding,
};
use touchstone_peers::rig;

/// fixedTPM, fixedParent, sensitiveDataOrigin, adminWithPolicy, restricted, decrypt.
const EK_ATTRIBUTES: u32 = 0x0003_00B2;

/// TPMT_PUBLIC of an RSA 2048 endorsement key (template L-1, TCG EK Credential Profile B.3.3).
fn ek_public(certificate: &Certificate, attributes: u32) -> Vec<u8> {
    let spki = certificate.spki_der();
    let modulus = &spki[spki.len() - 5 - 256..spki.len() - 5];
    let mut public = vec![0x00, 0x01, 0x00, 0x0B];
    public.extend(attributes.to_be_bytes());
    public.extend(sized(&[0x83; 32]));
    // AES 128 CFB; no scheme; 2048 bits; the default exponent.
    public.extend([0x00, 0x06, 0x00, 0x80, 0x00, 0x43, 0x00, 0x10, 0x08, 0x00, 0, 0, 0, 0]);
    public.extend(sized(modulus));
    public
}

struct Device {
    lak: SoftSigner,
    identity: SoftSigner,
    leaf: Certificate,
    chain: Vec<Certificate>,
}

impl Device {
    fn new() -> Self {
        let leaf = Certificate::decode(&rig("ek-rsa2048.der")).unwrap();
        let chain = Certificate::from_pem(&rig("ek-chain.pem")).unwrap();
        Self { lak: key(), identity: key(), leaf, chain }
    }

    fn roots(&self) -> TrustStore {
        TrustStore::new(vec![self.chain.last().unwrap().clone()])
    }

    fn now(&self) -> u64 {
        self.leaf.not_before().max(self.chain[0].not_before()) + 60
    }

    fn lak_public(&self) -> Vec<u8> {
        ecc_public(self.lak.spki_der(), LAK_ATTRIBUTES)
    }

    fn bundle(&self) -> Bundle {
        let public = ecc_public(self.identity.spki_der(), SIGN_ATTRIBUTES);
        let binding = identity_binding(&AwsLc, &self.lak_public());
        let certified = certify(&self.lak, &public, &binding);
        Bundle {
            ek_public: ek_public(&self.leaf, EK_ATTRIBUTES),
            ek_certificates: vec![self.leaf.der().to_vec(), self.chain[0].der().to_vec()],
            lak_public: self.lak_public(),
            device_identity: Some(CertifiedKey {
                public,
                attest: certified.attest,
                signature: certified.signature,
            }),
            maker: None,
        }
    }

    fn refused(&self, bundle: Bundle) -> Error {
        let shown = shown(&self.identity);
        verify(bundle, &self.roots(), &[shown], self.now()).unwrap_err()
    }
}

fn verify(
    bundle: Bundle,
    tpm_makers: &TrustStore,
    idevid: &[Certificate],
    now: u64,
) -> Result<Verified<Endorsed>, Error> {
    let device_makers = TrustStore::new(Vec::new());
    let wanted = Wanted::EndorsementKey;
    let believed = Believed { tpm_makers, device_makers: &device_makers, wanted };
    bundle.verify(&AwsLc, &believed, idevid, now)
}

/// The certificate that a device has shown in TLS.
fn shown(key: &SoftSigner) -> Certificate {
    let name = Name::common_name("gateway").unwrap();
    Template::new(Kind::Device, name, 0, 1).self_sign(&AwsLc, key).unwrap()
}

#[test]
fn a_genuine_device_is_endorsed() {
    let device = Device::new();
    let bundle = Bundle::decode(&device.bundle().encode()).unwrap();
    assert_eq!(bundle, device.bundle_like(&bundle));
    let shown = shown(&device.identity);
    let endorsed = verify(bundle, &device.roots(), &[shown], device.now()).unwrap();
    assert_eq!(endorsed.lak.spki_der(), device.lak.spki_der());
    assert_eq!(endorsed.identity_spki.as_deref(), Some(device.identity.spki_der()));
    let ek = endorsed.ek.as_ref().unwrap();
    assert_eq!(ek.fingerprint, device.leaf.fingerprint_sha256(&AwsLc));
    assert_eq!((ek.issuer.as_str(), &endorsed.made), (device.leaf.issuer(), &None));
}

impl Device {
    /// Signatures differ each time; the rest does not.
    fn bundle_like(&self, other: &Bundle) -> Bundle {
        Bundle { device_identity: other.device_identity.clone(), ..self.bundle() }
    }
}

#[test]
fn an_element_of_an_unknown_maker_is_refused() {
    let device = Device::new();
    let nobody = TrustStore::new(Vec::new());
    let refused = verify(device.bundle(), &nobody, &[], device.now()).unwrap_err();
    assert_eq!(refused.code(), "certs.refused.untrusted-issuer");
    let mut alone = device.bundle();
    alone.ek_certificates.truncate(1);
    assert_eq!(device.refused(alone).code(), "certs.refused.untrusted-issuer");
    let mut none = device.bundle();
    none.ek_certificates.clear();
    assert_eq!(device.refused(none), Error::NoEndorsementCertificate);
}

#[test]
fn somebody_elses_certificate_is_refused() {
    let device = Device::new();
    let mut borrowed = device.bundle();
    let at = borrowed.ek_public.len() - 1;
    borrowed.ek_public[at] ^= 2;
    assert_eq!(device.refused(borrowed), Error::EndorsementKey);
}

#[test]
fn an_endorsement_key_that_signs_or_could_be_moved_is_refused() {
    let device = Device::new();
    for attributes in [EK_ATTRIBUTES & !0x2, EK_ATTRIBUTES & !0x1_0000, EK_ATTRIBUTES | 0x4_0000] {
        let mut bundle = device.bundle();
        bundle.ek_public = ek_public(&device.leaf, attributes);
        let refused = device.refused(bundle);
        assert_eq!(refused, Error::KeyAttributes("an endorsement key"), "{attributes:#x}");
    }
}

#[test]
fn an_identity_that_is_not_in_this_element_is_refused() {
    let device = Device::new();
    // The peer holds another key than the one that was certified.
    let another = shown(&key());
    let refused = verify(device.bundle(), &device.roots(), &[another], device.now()).unwrap_err();
    assert_eq!(refused, Error::WrongName);

    // It was not certified at all.
    let mut bundle = device.bundle();
    bundle.device_identity = None;
    assert_eq!(device.refused(bundle), Error::WrongName);

    // It was certified by another attestation key.
    let mut bundle = device.bundle();
    let other = Device::new();
    bundle.device_identity = other.bundle().device_identity;
    assert_eq!(device.refused(bundle).code(), "evidence.attest.signature");

    // It was certified for something else.
    let mut bundle = device.bundle();
    let public = ecc_public(device.identity.spki_der(), SIGN_ATTRIBUTES);
    let certified = certify(&device.lak, &public, b"another context");
    let (attest, signature) = (certified.attest, certified.signature);
    bundle.device_identity = Some(CertifiedKey { public, attest, signature });
    assert_eq!(device.refused(bundle), Error::NotFresh);

    // It could be copied to another machine.
    let mut bundle = device.bundle();
    let public = ecc_public(device.identity.spki_der(), SIGN_ATTRIBUTES & !0x2);
    let binding = identity_binding(&AwsLc, &device.lak_public());
    let certified = certify(&device.lak, &public, &binding);
    let (attest, signature) = (certified.attest, certified.signature);
    bundle.device_identity = Some(CertifiedKey { public, attest, signature });
    assert_eq!(device.refused(bundle), Error::KeyAttributes("bound to one TPM"));
}

#[test]
fn an_unrestricted_attestation_key_is_refused() {
    let device = Device::new();
    let mut bundle = device.bundle();
    bundle.lak_public = ecc_public(device.lak.spki_der(), SIGN_ATTRIBUTES);
    let wanted = Error::KeyAttributes("restricted to what the TPM made");
    assert_eq!(device.refused(bundle), wanted);
}

#[test]
fn a_cut_bundle_is_malformed() {
    let bytes = Device::new().bundle().encode();
    for cut in 0..bytes.len() {
        assert!(Bundle::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
}
