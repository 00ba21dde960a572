//! The structures that a TPM would make, over the logs of the rig's device: a key and a signature
//! in software, so that every field can be wrong in turn.
#![allow(dead_code, reason = "not every test file needs all of it")]

use touchstone_crypto::{Crypto, HashAlgorithm, SignatureAlgorithm, Signer, ecdsa};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_evidence::{Challenge, Evidence, QuoteParts, RuntimeClaims, binding, tpm};
use touchstone_measure::{Pcrs, ima, tcg::EventLog};
use touchstone_peers::rig;

pub(crate) const SHA256: HashAlgorithm = HashAlgorithm::Sha256;
/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign.
pub(crate) const LAK_ATTRIBUTES: u32 = 0x0005_0072;
/// The same without restricted.
pub(crate) const SIGN_ATTRIBUTES: u32 = 0x0004_0072;

pub(crate) struct Attester {
    pub(crate) key: SoftSigner,
    pub(crate) event_log: Vec<u8>,
    pub(crate) ima_log: Vec<u8>,
    pub(crate) runtime: RuntimeClaims,
}

impl Attester {
    pub(crate) fn of_the_rig() -> Self {
        Self {
            key: key(),
            event_log: rig("binary_bios_measurements"),
            ima_log: rig("binary_runtime_measurements"),
            runtime: RuntimeClaims {
                agent_version: "0.1.0".into(),
                uptime_ms: 12_000,
                command_line: String::from_utf8(rig("cmdline.txt")).unwrap(),
                ..RuntimeClaims::default()
            },
        }
    }

    pub(crate) fn lak(&self) -> tpm::LakPublic {
        tpm::LakPublic::from_native(&ecc_public(self.key.spki_der(), LAK_ATTRIBUTES)).unwrap()
    }

    /// The PCRs that the logs lead to.
    pub(crate) fn pcrs(&self) -> Pcrs {
        let mut pcrs = EventLog::decode(&self.event_log).unwrap().replay(&AwsLc, SHA256);
        let list = ima::Log::decode(&self.ima_log).unwrap();
        pcrs.set(ima::PCR, list.replay_pcr10(&AwsLc, SHA256));
        pcrs
    }

    /// A quote of these PCRs.
    pub(crate) fn quote(&self, challenge: &Challenge, pcrs: &Pcrs) -> QuoteParts {
        let runtime = self.runtime.encode();
        let qualifying = binding(&AwsLc, &challenge.nonce, &runtime);
        let digest = pcrs.composite(&AwsLc, SHA256, &challenge.selection.pcrs).unwrap();
        let mut bits = [0u8; 3];
        challenge.selection.pcrs.iter().for_each(|pcr| bits[*pcr as usize / 8] |= 1 << (pcr % 8));
        let mut body = 1u32.to_be_bytes().to_vec();
        body.extend(challenge.selection.algorithm.tpm_id().to_be_bytes());
        body.push(3);
        body.extend(bits);
        body.extend(sized(digest.as_bytes()));
        let attest = attest(0x8018, &qualifying, &body);
        QuoteParts { signature: signature(&self.key, &attest), attest }
    }

    /// Evidence as an honest device would send it.
    pub(crate) fn evidence(&self, challenge: &Challenge) -> Vec<u8> {
        let quote = self.quote(challenge, &self.pcrs());
        self.wrap(challenge, &quote)
    }

    /// These logs and claims with any quote; the PCR values come along.
    pub(crate) fn wrap(&self, challenge: &Challenge, quote: &QuoteParts) -> Vec<u8> {
        let pcrs = self.pcrs();
        let values: Vec<_> =
            challenge.selection.pcrs.iter().map(|pcr| pcrs.value(*pcr).unwrap()).collect();
        let runtime = self.runtime.encode();
        Evidence::encode(quote, &self.event_log, &self.ima_log, &runtime, &values)
    }
}

pub(crate) fn key() -> SoftSigner {
    SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap()
}

/// TPM2B.
pub(crate) fn sized(octets: &[u8]) -> Vec<u8> {
    [&u16::try_from(octets.len()).unwrap().to_be_bytes(), octets].concat()
}

/// TPMS_ATTEST.
pub(crate) fn attest(kind: u16, qualifying: &[u8], body: &[u8]) -> Vec<u8> {
    let mut attest = 0xFF54_4347u32.to_be_bytes().to_vec();
    attest.extend(kind.to_be_bytes());
    attest.extend(sized(&[0; 34]));
    attest.extend(sized(qualifying));
    attest.extend([0; 17]);
    attest.extend([0; 8]);
    attest.extend(body);
    attest
}

/// TPMT_SIGNATURE by a P-256 key.
pub(crate) fn signature(key: &SoftSigner, message: &[u8]) -> Vec<u8> {
    let fixed = ecdsa::der_to_fixed(&key.sign(message).unwrap(), 32).unwrap();
    [&[0x00, 0x18, 0x00, 0x0B][..], &sized(&fixed[..32]), &sized(&fixed[32..])].concat()
}

/// TPMT_PUBLIC of a P-256 signing key.
pub(crate) fn ecc_public(spki_der: &[u8], attributes: u32) -> Vec<u8> {
    let point = &spki_der[spki_der.len() - 64..];
    let mut public = vec![0x00, 0x23, 0x00, 0x0B];
    public.extend(attributes.to_be_bytes());
    public.extend(sized(&[]));
    // No symmetric algorithm; ECDSA with SHA-256; P-256; no key derivation.
    public.extend([0x00, 0x10, 0x00, 0x18, 0x00, 0x0B, 0x00, 0x03, 0x00, 0x10]);
    public.extend(sized(&point[..32]));
    public.extend(sized(&point[32..]));
    public
}

/// TPM2_Certify of `object` by `signer`.
pub(crate) fn certify(signer: &SoftSigner, object: &[u8], qualifying: &[u8]) -> QuoteParts {
    let name = tpm::name_of(&AwsLc, object).unwrap();
    let body = [sized(&name), sized(&[0; 34])].concat();
    let attest = attest(0x8017, qualifying, &body);
    QuoteParts { signature: signature(signer, &attest), attest }
}

/// A nonce that a verifier would give.
pub(crate) fn challenge() -> Challenge {
    let mut nonce = vec![0; 32];
    AwsLc.random(&mut nonce).unwrap();
    Challenge::standard(nonce)
}
