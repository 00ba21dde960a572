//! Policy digests of the keys whose templates the TCG fixed, computed as TPM 2.0 Part 1 §19.7 says.

use crate::kdf::hash;
use crate::template::DeviceKey;
use touchstone_crypto::HashAlgorithm;

pub(crate) const RH_ENDORSEMENT: u32 = 0x4000_000B;
pub(crate) const CC_ACTIVATE_CREDENTIAL: u32 = 0x0000_0147;
pub(crate) const CC_CERTIFY: u32 = 0x0000_0148;
const CC_POLICY_SECRET: u32 = 0x0000_0151;
const CC_POLICY_COMMAND_CODE: u32 = 0x0000_016C;
const CC_POLICY_OR: u32 = 0x0000_0171;
const CC_POLICY_AUTHORIZE_NV: u32 = 0x0000_0192;

/// `PolicySecret(TPM_RH_ENDORSEMENT)`: PolicyA of the EK Credential Profile.
pub(crate) fn endorsement(algorithm: HashAlgorithm) -> Vec<u8> {
    let start = vec![0; algorithm.len()];
    let digest = extend(algorithm, &start, CC_POLICY_SECRET, &RH_ENDORSEMENT.to_be_bytes());
    // Part 3 §23.4: the reference is hashed in a second step, also when it is empty.
    hash(algorithm, &[&digest])
}

/// PolicyB of the EK Credential Profile: PolicyA, or what the index 0x01C07F01.. says.
pub(crate) fn endorsement_or_nv(algorithm: HashAlgorithm) -> Vec<u8> {
    let index = match algorithm {
        HashAlgorithm::Sha384 => 0x01C0_7F02,
        HashAlgorithm::Sha512 => 0x01C0_7F03,
        _ => 0x01C0_7F01,
    };
    either(algorithm, &[endorsement(algorithm), authorize_nv(algorithm, index)])
}

/// The branches of a device key's policy, in their order (Keys for Device Identity §7.3.6).
pub(crate) fn device_key_branches(key: DeviceKey) -> [Vec<u8>; 4] {
    let algorithm = HashAlgorithm::Sha256;
    let secret = endorsement(algorithm);
    let only =
        |command: u32| extend(algorithm, &secret, CC_POLICY_COMMAND_CODE, &command.to_be_bytes());
    let (certify, activate) = (only(CC_CERTIFY), only(CC_ACTIVATE_CREDENTIAL));
    [secret, certify, activate, authorize_nv(algorithm, key.policy_index())]
}

/// The policy of a device key: any of its branches.
pub(crate) fn device_key(key: DeviceKey) -> Vec<u8> {
    either(HashAlgorithm::Sha256, &device_key_branches(key))
}

fn extend(algorithm: HashAlgorithm, digest: &[u8], command: u32, argument: &[u8]) -> Vec<u8> {
    hash(algorithm, &[digest, &command.to_be_bytes(), argument])
}

fn either(algorithm: HashAlgorithm, branches: &[Vec<u8>]) -> Vec<u8> {
    extend(algorithm, &vec![0; algorithm.len()], CC_POLICY_OR, &branches.concat())
}

/// `PolicyAuthorizeNV` of an index that only the endorsement hierarchy writes.
fn authorize_nv(algorithm: HashAlgorithm, index: u32) -> Vec<u8> {
    // POLICYWRITE, WRITEALL, PPREAD, OWNERREAD, AUTHREAD, POLICYREAD, NO_DA, WRITTEN: EK Credential
    // Profile Annex B.6.6, Keys for Device Identity §7.3.5.1.
    const ATTRIBUTES: u32 = 0x220F_1008;
    // TPMT_HA: the digest and the identifier in front of it.
    let size = u16::try_from(algorithm.len() + 2).unwrap_or(u16::MAX).to_be_bytes();
    let policy = endorsement(algorithm);
    let policy_len = u16::try_from(policy.len()).unwrap_or(u16::MAX).to_be_bytes();
    let id = algorithm.tpm_id().to_be_bytes();
    let (index, attributes) = (index.to_be_bytes(), ATTRIBUTES.to_be_bytes());
    let digest = hash(algorithm, &[&index, &id, &attributes, &policy_len, &policy, &size]);
    let start = vec![0; algorithm.len()];
    extend(algorithm, &start, CC_POLICY_AUTHORIZE_NV, &[id.as_slice(), &digest].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(octets: &[u8]) -> String {
        let show = |hex: String, octet: &u8| format!("{hex}{octet:02x}");
        octets.iter().fold(String::new(), show)
    }

    #[test]
    fn the_digests_are_those_the_tcg_prints() {
        // EK Credential Profile v2.5 Annex B.6.
        assert_eq!(
            hex(&endorsement(HashAlgorithm::Sha256)),
            "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa"
        );
        assert_eq!(
            hex(&endorsement_or_nv(HashAlgorithm::Sha256)),
            "ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0"
        );
        assert_eq!(
            hex(&endorsement_or_nv(HashAlgorithm::Sha384)),
            "b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419ca\
             cb47ba09699646150f9fc000f3f80e12"
        );
        // Keys for Device Identity and Attestation §7.3.6.6.
        assert_eq!(
            hex(&device_key(DeviceKey::IDevId)),
            "ad6b3a2284fd698a0710bf5cc1b9bdf15e2532e3f601fa4b93a6a8fa8de579ea"
        );
        assert_eq!(
            hex(&device_key(DeviceKey::Iak)),
            "5437182326e414fca797d5f174615a1641f61255797c3a2b22c21d120b2d1e07"
        );
    }
}
