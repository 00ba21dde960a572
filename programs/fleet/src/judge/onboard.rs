//! Onboarding: the EK certificate leads to a known maker and the attestation key lives in the same TPM
//! (MakeCredential, ActivateCredential), or the device's maker certified an IAK and that certifies the
//! attestation key, or both; and the attestation key certifies the IDevID that TLS has seen.

use super::identify::Person;
use super::{Judge, Memory, No};
use crate::api::types::{Maker, Named, Welcome};
use crate::authority::{hex, sha256_hex};
use crate::clock;
use crate::serve::Peer;
use crate::store::{NewDevice, NewEvent};
use subtle::ConstantTimeEq;
use touchstone_audit::Code;
use touchstone_certs::Certificate;
use touchstone_crypto::{Crypto, Signer};
use touchstone_crypto_awslc::AwsLc;
use touchstone_evidence::endorse::{Believed, Bundle, Endorsed};
use touchstone_evidence::tpm::spki_of;
use touchstone_tpm2::credential;
use zeroize::Zeroizing;

/// Octets of the secret that the TPM has to open: what every EK's name algorithm allows.
const SECRET: usize = 32;

/// A device that was sent a credential.
pub struct Pending {
    device: NewDevice,
    secret: Zeroizing<[u8; SECRET]>,
}

impl Judge {
    /// Checks the endorsements and makes a credential that only their TPM can open.
    pub(super) async fn endorse(
        &self,
        question: Vec<u8>,
        peer: &Peer,
        memory: &mut Memory,
    ) -> Result<Vec<u8>, No> {
        let identity = self.identify(peer).await?;
        if !matches!(identity.person, Person::Made(_)) {
            return Err(No::refused("enroll.certificate", "onboarding wants the maker's IDevID"));
        }
        let idevid = identity.certificate;
        let trust = self.trust.clone();
        let above = peer.certificates.iter().skip(1);
        let above: Vec<_> = above.filter_map(|der| Certificate::decode(der).ok()).collect();
        let shown = [vec![idevid.clone()], above].concat();
        let checked = self.heavy(move || check(&question, &shown, &trust.makers())).await?;
        let (endorsed, certificates) = match checked {
            Ok(checked) => checked,
            Err(no) => {
                self.note_refusal(&idevid, &no).await?;
                return Err(no);
            }
        };
        let mut secret = Zeroizing::new([0; SECRET]);
        AwsLc.random(secret.as_mut()).map_err(|_| No::Failed)?;
        let name = endorsed.lak.name(&AwsLc).map_err(|error| malformed(&error))?;
        let credential = credential::make(&endorsed.ek_public, &name, secret.as_ref(), &AwsLc)
            .map_err(|error| No::refused("enroll.credential", error.to_string()))?;
        let device = new_device(&endorsed, &idevid, certificates, peer)?;
        *memory = Memory::Onboarding(Box::new(Pending { device, secret }));
        Ok([sized(&credential.blob)?, sized(&credential.secret)?].concat())
    }

    /// Records the device, if it could open the credential.
    pub(super) async fn conclude(&self, proof: &[u8], pending: Pending) -> Result<Vec<u8>, No> {
        if !bool::from(pending.secret.as_slice().ct_eq(proof)) {
            return Err(No::refused(
                "enroll.credential.wrong",
                "the secret is not the one in the credential: the attestation key is not in this TPM",
            ));
        }
        let now = clock::now();
        let enrolled = self.store.call(move |db| db.enroll(&pending.device, now)).await?;
        tracing::info!(device = %enrolled.id, new = enrolled.new, "onboarded");
        let roots = self.authority.roots().iter().map(touchstone_certs::Certificate::to_pem);
        let roots_pem: String = roots.collect::<Result<_, _>>().map_err(|_| No::Failed)?;
        let welcome = Welcome {
            device: enrolled.id,
            tenant: self.config.tenant.clone(),
            fleet: self.config.name.clone(),
            time: now,
            verifier_key_pem: public_key_pem(self.key.spki_der()),
            roots_pem,
        };
        Ok(Named::new(welcome).to_vec())
    }

    /// That somebody with a maker's certificate failed is for operators to know.
    async fn note_refusal(&self, idevid: &Certificate, no: &No) -> Result<(), No> {
        let No::Refused { code, text } = no else { return Ok(()) };
        let words = format!("onboarding of {} refused: {text}", idevid.subject());
        let event =
            NewEvent::new(Code::DeviceRefused, idevid.subject(), words).with("reason_code", *code);
        if self.refusals.may_tell(&sha256_hex(idevid.der()), clock::now()) {
            self.store.call(move |db| db.record_event(clock::now(), &event)).await?;
        }
        Ok(())
    }
}

/// Certificates that vouch for a device, each with what it is of.
type Certificates = Vec<(&'static str, Vec<u8>)>;

fn check(
    question: &[u8],
    idevid: &[Certificate],
    believed: &Believed<'_>,
) -> Result<(Endorsed, Certificates), No> {
    let bundle = Bundle::decode(question).map_err(|error| malformed(&error))?;
    let of_ek = bundle.ek_certificates.clone();
    let of_iak = bundle.maker.as_ref().map(|proof| proof.certificates.clone());
    let endorsed = bundle
        .verify(&AwsLc, believed, idevid, clock::now())
        .map_err(|error| No::refused(error.code(), error.to_string()))?
        .into_inner();
    // What nobody looked at vouches for nothing.
    let ek = of_ek.into_iter().filter(|_| endorsed.ek.is_some()).map(|der| ("ek", der));
    let iak = of_iak.into_iter().flatten().filter(|_| endorsed.made.is_some());
    let certificates = ek.chain(iak.map(|der| ("iak", der))).collect();
    Ok((endorsed, certificates))
}

fn malformed(error: &touchstone_evidence::Error) -> No {
    No::refused(error.code(), error.to_string())
}

fn new_device(
    endorsed: &Endorsed,
    idevid: &Certificate,
    certificates: Certificates,
    peer: &Peer,
) -> Result<NewDevice, No> {
    let ek_spki = spki_of(&endorsed.ek_public).map_err(|error| malformed(&error))?;
    let name = idevid.common_name().unwrap_or_else(|| idevid.subject().to_owned());
    let identity = peer.certificates.iter().map(|der| ("idevid", der.clone()));
    Ok(NewDevice {
        name: name.chars().take(128).collect(),
        idevid_subject: idevid.subject().to_owned(),
        idevid_spki: idevid.spki_der().to_vec(),
        idevid_sha256: sha256_hex(idevid.spki_der()),
        ek_sha256: sha256_hex(&ek_spki),
        ek_issuer: endorsed.ek.as_ref().map(|ek| ek.issuer.clone()),
        maker: endorsed.made.as_ref().map(|made| Maker {
            iak_sha256: sha256_hex(made.iak.spki_der()),
            iak_issuer: made.issuer.clone(),
            hardware_kind: made.hardware_kind.clone(),
            hardware_serial: hex(&made.hardware_serial),
        }),
        ek_public: endorsed.ek_public.clone(),
        lak_public: endorsed.lak.native().to_vec(),
        lak_spki: endorsed.lak.spki_der().to_vec(),
        lak_sha256: sha256_hex(endorsed.lak.spki_der()),
        endorsements: certificates.into_iter().chain(identity).collect(),
    })
}

/// A TPM2B: two octets of length, then the octets.
fn sized(octets: &[u8]) -> Result<Vec<u8>, No> {
    let len = u16::try_from(octets.len()).map_err(|_| No::Failed)?;
    Ok([&len.to_be_bytes(), octets].concat())
}

/// A public key as `PUBLIC KEY` PEM (RFC 7468 §13).
pub(crate) fn public_key_pem(spki: &[u8]) -> String {
    // Encoding octets that are in memory into a growing string has no way to fail.
    pem_rfc7468::encode_string("PUBLIC KEY", pem_rfc7468::LineEnding::LF, spki).unwrap_or_default()
}
