//! Keys and secrets that are bound to a state: the policy that their file holds, and running it.

use touchstone_crypto::{Crypto, Digest, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_tpm2::marshal::Writer;
use touchstone_tpm2::pem::PolicyCommand;
use touchstone_tpm2::{
    Auth, AuthValue, Command, Error, NewSession, PcrSelection, SessionId, Tpm, code,
};

/// The hash of our objects' names, and so of their policies.
const HASH: HashAlgorithm = HashAlgorithm::Sha256;

/// A policy under construction: its commands, and the digest that the TPM will see.
pub(crate) struct Bound {
    pub(crate) commands: Vec<PolicyCommand>,
    digest: Digest,
}

impl Bound {
    pub(crate) fn new() -> Self {
        Self { commands: Vec::new(), digest: Digest::zero(HASH) }
    }

    /// These registers have these values (Part 3 §23.7).
    pub(crate) fn with_pcrs(
        mut self,
        pcrs: PcrSelection,
        values: &[Digest],
    ) -> Result<Self, Error> {
        let values: Vec<&[u8]> = values.iter().map(Digest::as_bytes).collect();
        let values = AwsLc.hash(HASH, &values);
        let selection = pcrs.encode();
        self.extend(code::POLICY_PCR, &[&selection, values.as_bytes()]);
        // As the command has them, which is how key files have them, too.
        let parameters = Writer::default().sized(values.as_bytes())?.octets(&selection).done();
        self.commands.push(PolicyCommand { code: code::POLICY_PCR.number, parameters });
        Ok(self)
    }

    /// The authorization value is known, too (Part 3 §23.17).
    pub(crate) fn with_value(mut self) -> Self {
        self.extend(code::POLICY_AUTH_VALUE, &[]);
        let code = code::POLICY_AUTH_VALUE.number;
        self.commands.push(PolicyCommand { code, parameters: Vec::new() });
        self
    }

    pub(crate) const fn digest(&self) -> &Digest {
        &self.digest
    }

    fn extend(&mut self, code: code::Code, arguments: &[&[u8]]) {
        let number = code.number.to_be_bytes();
        let start: [&[u8]; 2] = [self.digest.as_bytes(), &number];
        self.digest = AwsLc.hash(HASH, &[&start, arguments].concat());
    }
}

/// Uses something by the policy of its file, or by its value when it has none.
pub(crate) fn using<T>(
    tpm: &mut Tpm,
    policy: &[PolicyCommand],
    value: &AuthValue,
    serve: impl FnOnce(&mut Tpm, Auth) -> Result<T, Error>,
) -> Result<T, Error> {
    if policy.is_empty() {
        return serve(tpm, Auth::Value(value.clone()));
    }
    tpm.with_session(&NewSession::policy(HASH), |tpm, session| {
        for command in policy {
            assert(tpm, session, command)?;
        }
        serve(tpm, Auth::Policy(session, value.clone()))
    })
}

fn assert(tpm: &mut Tpm, session: SessionId, command: &PolicyCommand) -> Result<(), Error> {
    let code = match code::Code::from_number(command.code) {
        Some(code::POLICY_AUTH_VALUE) => return tpm.policy_auth_value(session),
        Some(
            code @ (code::POLICY_PCR
            | code::POLICY_COMMAND_CODE
            | code::POLICY_LOCALITY
            | code::POLICY_PHYSICAL_PRESENCE),
        ) => code,
        _ => {
            return Err(Error::Unsupported("a policy of more than PCRs, value, command and place"));
        }
    };
    let parameters = Writer::default().octets(&command.parameters);
    tpm.run(&Command::new(code).handle(&session.entity()).parameters(parameters))?;
    Ok(())
}
