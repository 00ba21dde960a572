//! Policy digests of the keys whose templates the TCG fixed, computed as TPM 2.0 Part 1 §19.7 says.

use crate::Error;
use crate::code;
use crate::command::Command;
use crate::handle::Hierarchy;
use crate::marshal::Writer;
use crate::session::{Asks, SessionId};
use crate::template::DeviceKey;
use crate::tpm::Tpm;
use alloc::vec;
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, HashAlgorithm};

/// `PolicySecret(TPM_RH_ENDORSEMENT)`: PolicyA of the EK Credential Profile.
pub fn endorsement(crypto: &dyn Crypto, algorithm: HashAlgorithm) -> Vec<u8> {
    let start = vec![0; algorithm.len()];
    let digest = extend(
        crypto,
        algorithm,
        &start,
        code::POLICY_SECRET.number,
        &Hierarchy::Endorsement.handle().to_be_bytes(),
    );
    // Part 3 §23.4: the reference is hashed in a second step, also when it is empty.
    hash(crypto, algorithm, &[&digest])
}

/// PolicyB of the EK Credential Profile: PolicyA, or what the index 0x01C07F01.. says.
pub fn endorsement_or_nv(crypto: &dyn Crypto, algorithm: HashAlgorithm) -> Vec<u8> {
    let index = match algorithm {
        HashAlgorithm::Sha384 => 0x01C0_7F02,
        HashAlgorithm::Sha512 => 0x01C0_7F03,
        _ => 0x01C0_7F01,
    };
    either(
        crypto,
        algorithm,
        &[endorsement(crypto, algorithm), authorize_nv(crypto, algorithm, index)],
    )
}

/// The branches of a device key's policy, in their order (Keys for Device Identity §7.3.6).
pub fn device_key_branches(crypto: &dyn Crypto, key: DeviceKey) -> [Vec<u8>; 4] {
    let algorithm = HashAlgorithm::Sha256;
    let secret = endorsement(crypto, algorithm);
    let only = |command: u32| {
        extend(crypto, algorithm, &secret, code::POLICY_COMMAND_CODE.number, &command.to_be_bytes())
    };
    let (certify, activate) = (only(code::CERTIFY.number), only(code::ACTIVATE_CREDENTIAL.number));
    [secret, certify, activate, authorize_nv(crypto, algorithm, key.policy_index())]
}

/// The policy of a device key: any of its branches.
pub fn device_key(crypto: &dyn Crypto, key: DeviceKey) -> Vec<u8> {
    either(crypto, HashAlgorithm::Sha256, &device_key_branches(crypto, key))
}

fn extend(
    crypto: &dyn Crypto,
    algorithm: HashAlgorithm,
    digest: &[u8],
    command: u32,
    argument: &[u8],
) -> Vec<u8> {
    hash(crypto, algorithm, &[digest, &command.to_be_bytes(), argument])
}

fn either(crypto: &dyn Crypto, algorithm: HashAlgorithm, branches: &[Vec<u8>]) -> Vec<u8> {
    extend(crypto, algorithm, &vec![0; algorithm.len()], code::POLICY_OR.number, &branches.concat())
}

/// `PolicyAuthorizeNV` of an index that only the endorsement hierarchy writes.
fn authorize_nv(crypto: &dyn Crypto, algorithm: HashAlgorithm, index: u32) -> Vec<u8> {
    // POLICYWRITE, WRITEALL, PPREAD, OWNERREAD, AUTHREAD, POLICYREAD, NO_DA, WRITTEN: EK Credential
    // Profile Annex B.6.6, Keys for Device Identity §7.3.5.1.
    const ATTRIBUTES: u32 = 0x220F_1008;
    // TPMT_HA: the digest and the identifier in front of it.
    let size = u16::try_from(algorithm.len() + 2).unwrap_or(u16::MAX).to_be_bytes();
    let policy = endorsement(crypto, algorithm);
    let policy_len = u16::try_from(policy.len()).unwrap_or(u16::MAX).to_be_bytes();
    let id = algorithm.tpm_id().to_be_bytes();
    let (index, attributes) = (index.to_be_bytes(), ATTRIBUTES.to_be_bytes());
    let digest = hash(crypto, algorithm, &[&index, &id, &attributes, &policy_len, &policy, &size]);
    let start = vec![0; algorithm.len()];
    extend(
        crypto,
        algorithm,
        &start,
        code::POLICY_AUTHORIZE_NV.number,
        &[id.as_slice(), &digest].concat(),
    )
}

fn hash(crypto: &dyn Crypto, algorithm: HashAlgorithm, parts: &[&[u8]]) -> Vec<u8> {
    crypto.hash(algorithm, parts).as_bytes().to_vec()
}

/// The steps by which a policy session earns its digest.
impl Tpm {
    /// `PolicySecret` of a hierarchy, without expiry.
    pub fn policy_secret(&mut self, session: SessionId, hierarchy: Hierarchy) -> Result<(), Error> {
        let auth = self.hierarchy_auth(hierarchy);
        // Empty nonce, cpHash and reference, and no expiry.
        let parameters = Writer::default().u16(0).u16(0).u16(0).u32(0);
        self.run(
            &Command::new(code::POLICY_SECRET)
                .authorized(&hierarchy.entity(), auth)
                .handle(&session.entity())
                .parameters(parameters),
        )?;
        Ok(())
    }

    /// `PolicyAuthValue`: the session's next use proves the entity's value.
    pub fn policy_auth_value(&mut self, session: SessionId) -> Result<(), Error> {
        self.run(&Command::new(code::POLICY_AUTH_VALUE).handle(&session.entity()))?;
        self.now_asks(session, Asks::Value)
    }

    /// `PolicyPassword`: the session's next use shows the entity's value to who listens on the bus.
    /// The digest is that of `PolicyAuthValue`, which shows nothing.
    pub fn dangerous_policy_password(&mut self, session: SessionId) -> Result<(), Error> {
        self.run(&Command::new(code::POLICY_PASSWORD).handle(&session.entity()))?;
        self.now_asks(session, Asks::Password)
    }

    /// `PolicyCommandCode`.
    pub fn policy_command(&mut self, session: SessionId, command: code::Code) -> Result<(), Error> {
        let parameters = Writer::default().u32(command.number);
        let policy = Command::new(code::POLICY_COMMAND_CODE).handle(&session.entity());
        self.run(&policy.parameters(parameters))?;
        Ok(())
    }

    /// `PolicyOR`.
    pub fn policy_or(&mut self, session: SessionId, branches: &[Vec<u8>]) -> Result<(), Error> {
        let count = u32::try_from(branches.len())
            .map_err(|_| Error::BadInput("a policy has too many branches"))?;
        let parameters = branches
            .iter()
            .try_fold(Writer::default().u32(count), |writer, branch| writer.sized(branch))?;
        let policy = Command::new(code::POLICY_OR).handle(&session.entity());
        self.run(&policy.parameters(parameters))?;
        Ok(())
    }
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
