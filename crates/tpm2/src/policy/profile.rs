//! Policies that the TCG fixed: of endorsement keys and of device identities.

use super::Policy;
use crate::code;
use crate::handle::{Entity, Hierarchy};
use crate::template::DeviceKey;
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};

/// PolicyA of the EK Credential Profile, as a value.
fn endorser() -> Policy {
    Policy::new().secret(&Hierarchy::Endorsement.entity())
}

/// These policies hold no key that might not encode.
fn octets(policy: &Policy, crypto: &dyn Crypto, hash: HashAlgorithm) -> Vec<u8> {
    policy.digest(crypto, hash).unwrap_or(Digest::zero(hash)).as_bytes().to_vec()
}

/// `PolicySecret(TPM_RH_ENDORSEMENT)`: PolicyA of the EK Credential Profile.
pub fn endorsement(crypto: &dyn Crypto, hash: HashAlgorithm) -> Vec<u8> {
    octets(&endorser(), crypto, hash)
}

/// PolicyB of the EK Credential Profile: PolicyA, or what the index 0x01C07F01.. says.
pub fn endorsement_or_nv(crypto: &dyn Crypto, hash: HashAlgorithm) -> Vec<u8> {
    let index = match hash {
        HashAlgorithm::Sha384 => 0x01C0_7F02,
        HashAlgorithm::Sha512 => 0x01C0_7F03,
        _ => 0x01C0_7F01,
    };
    let policy = Policy::new().any_of([endorser(), authorize_nv(crypto, hash, index)]);
    octets(&policy, crypto, hash)
}

fn branches(crypto: &dyn Crypto, key: DeviceKey) -> [Policy; 4] {
    [
        endorser(),
        endorser().command(code::CERTIFY),
        endorser().command(code::ACTIVATE_CREDENTIAL),
        authorize_nv(crypto, HashAlgorithm::Sha256, key.policy_index()),
    ]
}

/// The branches of a device key's policy, in their order (Keys for Device Identity §7.3.6).
pub fn device_key_branches(crypto: &dyn Crypto, key: DeviceKey) -> [Vec<u8>; 4] {
    branches(crypto, key).map(|branch| octets(&branch, crypto, HashAlgorithm::Sha256))
}

/// The policy of a device key: any of its branches.
pub fn device_key(crypto: &dyn Crypto, key: DeviceKey) -> Vec<u8> {
    octets(&Policy::new().any_of(branches(crypto, key)), crypto, HashAlgorithm::Sha256)
}

/// `PolicyAuthorizeNV` of an index that only the endorsement hierarchy writes.
fn authorize_nv(crypto: &dyn Crypto, hash: HashAlgorithm, index: u32) -> Policy {
    // POLICYWRITE, WRITEALL, PPREAD, OWNERREAD, AUTHREAD, POLICYREAD, NO_DA, WRITTEN: EK Credential
    // Profile Annex B.6.6, Keys for Device Identity §7.3.5.1.
    const ATTRIBUTES: u32 = 0x220F_1008;
    // TPMT_HA: the digest and the identifier in front of it.
    let size = u16::try_from(hash.len() + 2).unwrap_or(u16::MAX).to_be_bytes();
    let policy = endorsement(crypto, hash);
    let policy_len = u16::try_from(policy.len()).unwrap_or(u16::MAX).to_be_bytes();
    let id = hash.tpm_id().to_be_bytes();
    let (handle, attributes) = (index.to_be_bytes(), ATTRIBUTES.to_be_bytes());
    let digest = crypto.hash(hash, &[&handle, &id, &attributes, &policy_len, &policy, &size]);
    Policy::new().kept_in(Entity::named(index, [&id, digest.as_bytes()].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, string::String};
    use touchstone_crypto_awslc::AwsLc;

    fn hex(octets: &[u8]) -> String {
        let show = |hex: String, octet: &u8| format!("{hex}{octet:02x}");
        octets.iter().fold(String::new(), show)
    }

    #[test]
    fn the_digests_are_those_the_tcg_prints() {
        // EK Credential Profile v2.5 Annex B.6.
        assert_eq!(
            hex(&endorsement(&AwsLc, HashAlgorithm::Sha256)),
            "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa"
        );
        assert_eq!(
            hex(&endorsement_or_nv(&AwsLc, HashAlgorithm::Sha256)),
            "ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0"
        );
        assert_eq!(
            hex(&endorsement_or_nv(&AwsLc, HashAlgorithm::Sha384)),
            "b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419ca\
             cb47ba09699646150f9fc000f3f80e12"
        );
        // Keys for Device Identity and Attestation §7.3.6.6.
        assert_eq!(
            hex(&device_key(&AwsLc, DeviceKey::IDevId)),
            "ad6b3a2284fd698a0710bf5cc1b9bdf15e2532e3f601fa4b93a6a8fa8de579ea"
        );
        assert_eq!(
            hex(&device_key(&AwsLc, DeviceKey::Iak)),
            "5437182326e414fca797d5f174615a1641f61255797c3a2b22c21d120b2d1e07"
        );
    }
}
